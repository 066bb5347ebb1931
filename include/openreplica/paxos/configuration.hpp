// Who votes.
#pragma once

#include <openreplica/types/bytes.hpp>
#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/mutation.hpp>
#include <openreplica/types/wire.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace openreplica::inline v0::paxos {

/// A node and where it listens.
struct member {
    node_id id;
    endpoint address;

    auto operator<=>(member const&) const = default;
};

/// The voters that govern the slots of one epoch. A configuration comes from founding or from a chosen entry, never
/// from DNS or an options file.
struct configuration {
    epoch number;
    std::vector<member> voters;      ///< sorted by id, no id twice
    std::vector<node_id> removed{};  ///< ids that have had a vote and lost it, sorted: none ever votes again

    bool operator==(configuration const&) const = default;

    [[nodiscard]] bool has_voter(node_id id) const {
        return std::any_of(voters.begin(), voters.end(), [&](member const& m) { return m.id == id; });
    }
    [[nodiscard]] bool has_removed(node_id id) const { return std::binary_search(removed.begin(), removed.end(), id); }
    /// The number of voters that every decision needs.
    [[nodiscard]] std::size_t quorum() const { return voters.size() / 2 + 1; }
};

/// More voters than this are refused as malformed.
inline constexpr std::size_t max_voters = 31;

/// More removed ids than this are refused as malformed.
inline constexpr std::size_t max_removed = 32768;

/// The configuration that follows `c` with these voters.
[[nodiscard]] inline configuration succeeding(configuration const& c, std::vector<member> voters) {
    std::sort(voters.begin(), voters.end());
    configuration next{epoch{c.number.value + 1}, std::move(voters), c.removed};
    for (member const& m : c.voters)
        if (!next.has_voter(m.id) && !OPENREPLICA_MUTANT(tombstones_forgotten)) next.removed.push_back(m.id);
    std::sort(next.removed.begin(), next.removed.end());
    return next;
}

inline void encode(wire_writer& w, configuration const& c) {
    w.put(c.number);
    w.put(static_cast<std::uint8_t>(c.voters.size()));
    for (member const& m : c.voters) {
        w.put(m.id);
        w.put_string(m.address.host);
        w.put(m.address.port);
    }
    w.put(static_cast<std::uint32_t>(c.removed.size()));
    for (node_id id : c.removed) w.put(id);
}

/// Reads a configuration; marks the reader as failed when it is malformed: too many ids, unsorted, a voter that was removed,
/// a host name longer than DNS allows.
[[nodiscard]] inline configuration decode_configuration(wire_reader& r) {
    configuration c;
    c.number = r.get<epoch>();
    auto const count = r.get<std::uint8_t>();
    if (count > max_voters) r.fail();
    for (std::size_t i = 0; i < count && r.ok(); ++i) {
        member m;
        m.id = r.get<node_id>();
        auto const host = r.get_string();
        if (host.size() > 255 || (!c.voters.empty() && !(c.voters.back().id < m.id))) r.fail();
        m.address.host = std::string(host.substr(0, 255));
        m.address.port = r.get<std::uint16_t>();
        c.voters.push_back(std::move(m));
    }
    auto const removed = r.get<std::uint32_t>();
    if (removed > max_removed) r.fail();
    for (std::uint32_t i = 0; i < removed && r.ok(); ++i) {
        auto const id = r.get<node_id>();
        if ((!c.removed.empty() && !(c.removed.back() < id)) || c.has_voter(id)) r.fail();
        c.removed.push_back(id);
    }
    return c;
}

/// A configuration as the body of a log entry.
[[nodiscard]] inline shared_bytes body_of(configuration const& c) {
    std::string out;
    wire_writer w(out);
    encode(w, c);
    return shared_bytes(std::move(out));
}
/// Nothing when the body is no configuration with voters.
[[nodiscard]] inline std::optional<configuration> decode_configuration(std::string_view body) {
    wire_reader r(body);
    configuration c = decode_configuration(r);
    if (!r.complete() || c.voters.empty()) return std::nullopt;
    return c;
}

} // namespace openreplica::inline v0::paxos
