// The records of the protocol as bytes of the write-ahead log.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/mutation.hpp>
#include <openreplica/types/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::storage {

/// What the log remembers besides its entries. Every segment begins with one, so that older segments can go.
struct checkpoint {
    ballot promised;
    slot chosen;         ///< of the latest hint
    ballot chosen_under; ///< the ballot that it names
    paxos::first_configuration group;
    bool group_chosen = false;
    std::vector<cluster_id> abandoned;
    bool operator==(checkpoint const&) const = default;

    /// Takes in what a record changes here.
    void apply(paxos::record const& r) {
        std::visit([this](auto const& body) { on(body); }, r);
    }

private:
    void on(paxos::promise_record const& r) { promised = std::max(promised, r.promised); }
    void on(paxos::accept_record const& r) { promised = std::max(promised, r.what.accepted); }
    void on(paxos::chosen_record const& r) {
        if (r.chosen <= chosen) return;
        chosen = r.chosen;
        chosen_under = r.under;
    }
    void on(paxos::founding_record const& r) {
        using step = paxos::founding_record::step;
        switch (r.what) {
        case step::accepted:
        case step::chosen:
            group = r.first;
            group_chosen = r.what == step::chosen;
            break;
        case step::abandoned: abandoned.push_back(r.first.cluster); break;
        case step::ended:
            if (group.cluster != r.first.cluster) break;
            group = {};
            group_chosen = false;
            break;
        }
    }
};

/// Everything that a WAL can hold.
using wal_record = std::variant<paxos::promise_record, paxos::accept_record, paxos::chosen_record,
                                paxos::founding_record, checkpoint>;

/// The type byte of each, in the order of the variant. Every letter has several bits set, so that no flip of one bit
/// makes a header begin with zeros, which is what a sector that never reached the disk looks like.
inline constexpr std::string_view wal_record_types = "PACFS";

/// The last byte of every payload, for the same reason.
inline constexpr char payload_end = '\x5a';

namespace detail {

inline void put(wire_writer& w, paxos::promise_record const& r) {
    w.put(OPENREPLICA_MUTANT(promise_without_owner) ? ballot{r.promised.round, 0, {}} : r.promised);
}
/// Everything but the body, which comes last.
inline void put_head(wire_writer& w, paxos::accept_record const& r) {
    w.put(r.what.at);
    w.put(r.what.accepted);
    w.put(static_cast<std::uint8_t>(r.what.what.kind));
    w.put(r.what.what.stamp);
    w.put(static_cast<std::uint32_t>(r.what.what.body.size()));
}
inline void put(wire_writer& w, paxos::accept_record const& r) {
    put_head(w, r);
    w.put_raw(r.what.what.body.view());
}
inline void put(wire_writer& w, paxos::chosen_record const& r) {
    w.put(r.chosen);
    w.put(r.under);
}
inline void put(wire_writer& w, paxos::founding_record const& r) {
    w.put(static_cast<std::uint8_t>(r.what));
    w.put(r.first.cluster);
    encode(w, r.first.members);
}
inline void put(wire_writer& w, checkpoint const& r) {
    w.put(r.promised);
    w.put(r.chosen);
    w.put(r.chosen_under);
    w.put(r.group.cluster);
    encode(w, r.group.members);
    w.put(r.group_chosen);
    w.put(static_cast<std::uint32_t>(r.abandoned.size()));
    for (cluster_id c : r.abandoned) w.put(c);
}

inline wal_record get_promise(wire_reader& r) { return paxos::promise_record{r.get_ballot()}; }
inline wal_record get_accept(wire_reader& r, std::shared_ptr<std::string const> const& buffer, std::size_t offset) {
    paxos::accept_record a;
    a.what.at = r.get<slot>();
    a.what.accepted = r.get_ballot();
    auto const kind = r.get<std::uint8_t>();
    if (kind > static_cast<std::uint8_t>(paxos::value_kind::configuration)) r.fail();
    a.what.what.kind = static_cast<paxos::value_kind>(kind);
    a.what.what.stamp = r.get<log_time>();
    std::size_t const size = r.get_string().size();
    // A slice of the segment that was read: a gigabyte of log is not copied entry by entry.
    if (r.ok() && size > 0) a.what.what.body = shared_bytes(buffer, offset + r.offset() - size, size);
    return a;
}
inline wal_record get_chosen(wire_reader& r) {
    paxos::chosen_record c;
    c.chosen = r.get<slot>();
    c.under = r.get_ballot();
    return c;
}
inline wal_record get_founding(wire_reader& r) {
    paxos::founding_record f;
    auto const step = r.get<std::uint8_t>();
    if (step < 1 || step > 4) r.fail();
    f.what = static_cast<paxos::founding_record::step>(step);
    f.first.cluster = r.get<cluster_id>();
    f.first.members = paxos::decode_configuration(r);
    return f;
}
inline wal_record get_checkpoint(wire_reader& r) {
    checkpoint c;
    c.promised = r.get_ballot();
    c.chosen = r.get<slot>();
    c.chosen_under = r.get_ballot();
    c.group.cluster = r.get<cluster_id>();
    c.group.members = paxos::decode_configuration(r);
    c.group_chosen = r.get_bool();
    auto const n = r.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < n && r.ok(); ++i) c.abandoned.push_back(r.get<cluster_id>());
    return c;
}

} // namespace detail

/// Appends the payload of a record to `out`.
template <class Record>
void encode_payload(Record const& r, std::string& out) {
    wire_writer w(out);
    detail::put(w, r);
    out += payload_end;
}

/// Reads the payload of a record of the given type; nothing when it is none that this version knows.
[[nodiscard]] inline std::optional<wal_record> decode_payload(char type, std::shared_ptr<std::string const> const& buffer,
                                                              std::size_t offset, std::size_t size) {
    if (size == 0 || (*buffer)[offset + size - 1] != payload_end) return std::nullopt;
    wire_reader r(std::string_view(*buffer).substr(offset, size - 1));
    std::optional<wal_record> out;
    switch (type) {
    case 'P': out = detail::get_promise(r); break;
    case 'A': out = detail::get_accept(r, buffer, offset); break;
    case 'C': out = detail::get_chosen(r); break;
    case 'F': out = detail::get_founding(r); break;
    case 'S': out = detail::get_checkpoint(r); break;
    default: return std::nullopt;
    }
    if (!r.complete()) return std::nullopt;
    return out;
}

} // namespace openreplica::inline v0::storage
