// Who votes.
#pragma once

#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/ids.hpp>
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
    std::vector<member> voters; ///< sorted by id, no id twice

    bool operator==(configuration const&) const = default;

    [[nodiscard]] bool has_voter(node_id id) const {
        return std::any_of(voters.begin(), voters.end(), [&](member const& m) { return m.id == id; });
    }
    /// The number of voters that every decision needs.
    [[nodiscard]] std::size_t quorum() const { return voters.size() / 2 + 1; }
};

/// More voters than this are refused as malformed.
inline constexpr std::size_t max_voters = 31;

inline void encode(wire_writer& w, configuration const& c) {
    w.put(c.number);
    w.put(static_cast<std::uint8_t>(c.voters.size()));
    for (member const& m : c.voters) {
        w.put(m.id);
        w.put_string(m.address.host);
        w.put(m.address.port);
    }
}

/// Reads a configuration; marks the reader as failed when it is malformed: too many voters, unsorted, a host name
/// longer than DNS allows.
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
    return c;
}

} // namespace openreplica::inline v0::paxos
