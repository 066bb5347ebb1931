// Messages as bytes.
#pragma once

#include <openreplica/net/decode.hpp>
#include <openreplica/net/frame.hpp>
#include <openreplica/net/handshake.hpp>
#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/message.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace openreplica::inline v0::net {

/// Frame types of founding messages begin here; those of the group's messages begin at 1.
inline constexpr std::uint8_t first_founding_type = 64;

/// Writes message bodies, field by field in the order of their declaration.
class encoder {
    wire_writer w_;

    void put(paxos::value const& v) {
        w_.put(static_cast<std::uint8_t>(v.kind));
        w_.put(v.stamp);
        w_.put_string(v.body.view());
    }
    void put(std::vector<paxos::value> const& values) {
        w_.put(static_cast<std::uint32_t>(values.size()));
        for (auto const& v : values) put(v);
    }
    void put(std::vector<std::string> const& names) {
        w_.put(static_cast<std::uint32_t>(names.size()));
        for (auto const& n : names) w_.put_string(n);
    }
    void put(paxos::first_configuration const& f) {
        w_.put(f.cluster);
        paxos::encode(w_, f.members);
    }

public:
    explicit encoder(std::string& out) : w_(out) {}

    void operator()(paxos::prepare const& m) {
        w_.put(m.number);
        w_.put(m.chosen);
        w_.put(m.current);
        w_.put(m.after);
    }
    void operator()(paxos::promise const& m) {
        w_.put(m.number);
        w_.put(m.chosen);
        w_.put(m.current);
        w_.put(m.chunk);
        w_.put(m.last);
        w_.put(static_cast<std::uint32_t>(m.entries.size()));
        for (auto const& e : m.entries) {
            w_.put(e.at);
            w_.put(e.accepted);
            put(e.what);
        }
    }
    void operator()(paxos::reject const& m) {
        w_.put(m.number);
        w_.put(m.promised);
    }
    void operator()(paxos::accept const& m) {
        w_.put(m.number);
        w_.put(m.current);
        w_.put(m.first);
        put(m.values);
        w_.put(m.chosen);
    }
    void operator()(paxos::accepted const& m) {
        w_.put(m.number);
        w_.put(m.upto);
        w_.put(m.gap);
    }
    void operator()(paxos::chosen_index const& m) {
        w_.put(m.number);
        w_.put(m.chosen);
    }
    void operator()(paxos::learn const& m) { w_.put(m.from); }
    void operator()(paxos::learned const& m) {
        w_.put(m.behind);
        w_.put(m.first);
        put(m.values);
        w_.put(m.chosen);
        w_.put(m.log_start);
    }
    void operator()(paxos::heartbeat const& m) {
        w_.put(m.number);
        w_.put(m.leading);
        w_.put(m.chosen);
    }
    void operator()(paxos::heartbeat_reply const& m) {
        w_.put(m.number);
        w_.put(m.promised);
        w_.put(m.leading);
        w_.put(m.happy);
        w_.put(m.chosen);
        w_.put(m.held);
        w_.put(static_cast<std::uint8_t>(m.disk));
        w_.put(m.current);
        w_.put(m.silent);
    }
    void operator()(paxos::read_request const& m) { w_.put(m.number); }
    void operator()(paxos::read_reply const& m) {
        w_.put(m.number);
        w_.put(m.index);
    }
    void operator()(paxos::forward const& m) {
        w_.put(m.number);
        w_.put(m.hops);
        w_.put(static_cast<std::uint32_t>(m.commands.size()));
        for (auto const& c : m.commands) w_.put_string(c.view());
    }
    void operator()(paxos::forward_refused const& m) {
        w_.put(m.number);
        w_.put(static_cast<std::uint32_t>(m.which.size()));
        for (std::uint32_t i : m.which) w_.put(i);
        w_.put(m.reason);
        w_.put_string(m.text);
    }
    void operator()(paxos::snapshot_request const& m) {
        w_.put(m.at);
        w_.put(m.offset);
    }
    void operator()(paxos::snapshot_chunk const& m) {
        w_.put(m.at);
        w_.put(m.behind);
        w_.put(m.stamp);
        paxos::encode(w_, m.governing);
        w_.put(m.offset);
        w_.put(m.total);
        w_.put(m.checksum);
        w_.put_string(m.data.view());
    }
    void operator()(paxos::hand_over const& m) { w_.put(m.number); }
    void operator()(paxos::meet const& m) {
        w_.put(static_cast<std::uint32_t>(m.voters.size()));
        for (auto const& v : m.voters) detail::put_member(w_, v);
    }
    void operator()(paxos::change_request const& m) {
        w_.put(m.number);
        put(m.what.add);
        put(m.what.remove);
        w_.put(m.what.exactly);
    }
    void operator()(paxos::transfer_request const& m) {
        w_.put(m.number);
        w_.put_string(m.to);
    }
    void operator()(paxos::change_reply const& m) {
        w_.put(m.number);
        w_.put(m.code);
        w_.put_string(m.text);
        w_.put(m.current);
    }

    void operator()(paxos::discover const& m) {
        detail::put_member(w_, m.self);
        w_.put(m.founders);
        w_.put(static_cast<std::uint32_t>(m.heard.size()));
        for (auto const& h : m.heard) detail::put_member(w_, h);
        w_.put(m.bound);
    }
    void operator()(paxos::propose_first const& m) { put(m.offer); }
    void operator()(paxos::first_accepted const& m) { w_.put(m.cluster); }
    void operator()(paxos::first_chosen const& m) { put(m.chosen); }
    void operator()(paxos::abandon_first const& m) { w_.put(m.cluster); }
    void operator()(paxos::first_abandoned const& m) { w_.put(m.cluster); }
    void operator()(paxos::welcome const& m) {
        w_.put(m.cluster);
        paxos::encode(w_, m.governing);
        w_.put(m.established);
        paxos::encode(w_, m.first);
    }
};

namespace detail {

/// A guess that spares the larger messages a reallocation.
[[nodiscard]] inline std::size_t body_size(paxos::message const& m) {
    std::size_t n = 96;
    if (auto const* a = std::get_if<paxos::accept>(&m))
        for (auto const& v : a->values) n += v.body.size() + 13;
    if (auto const* f = std::get_if<paxos::forward>(&m))
        for (auto const& c : f->commands) n += c.size() + 4;
    return n;
}

} // namespace detail

/// The frame of a message of the group.
[[nodiscard]] inline std::string encode(paxos::message const& m) {
    std::string out = begin_frame(detail::body_size(m));
    std::visit(encoder(out), m);
    finish_frame(out, static_cast<std::uint8_t>(1 + m.index()));
    return out;
}

/// The frame of a founding message.
[[nodiscard]] inline std::string encode(paxos::founding_message const& m) {
    std::string out = begin_frame(128);
    std::visit(encoder(out), m);
    finish_frame(out, static_cast<std::uint8_t>(first_founding_type + m.index()));
    return out;
}

using any_message = std::variant<paxos::message, paxos::founding_message>;

/// Reads the body of a frame of the given type; the values in it are slices of `buffer`. Nothing when it is malformed.
[[nodiscard]] inline std::optional<any_message> decode(std::uint8_t type, std::shared_ptr<std::string const> buffer,
                                                       std::size_t offset, std::size_t size) {
    decoder d(std::move(buffer), offset, size);
    std::size_t const number = type;
    if (number >= 1 && number <= std::variant_size_v<paxos::message>) {
        auto m = d.message<paxos::message>(number - 1);
        if (d.complete()) return any_message(std::move(m));
    } else if (number >= first_founding_type &&
               number < first_founding_type + std::variant_size_v<paxos::founding_message>) {
        auto m = d.message<paxos::founding_message>(number - first_founding_type);
        if (d.complete()) return any_message(std::move(m));
    }
    return std::nullopt;
}

} // namespace openreplica::inline v0::net
