// Who are you, and do we belong together?
#pragma once

#include <openreplica/net/frame.hpp>
#include <openreplica/paxos/configuration.hpp>
#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/wire.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace openreplica::inline v0::net {

inline constexpr std::uint8_t hello_type = 128;
inline constexpr std::uint8_t hello_reply_type = 129;
/// The protocol versions that this library speaks. Both sides of a connection name a range and use the newest that they have
/// in common; so a group is taken from one version to the next a process at a time, if the newer one speaks both.
inline constexpr std::uint16_t protocol_min = 1;
inline constexpr std::uint16_t protocol_max = 1;

/// What the sender of a hello is. A client takes no part in the protocol: it has no address, and is answered over the
/// connection that it made.
enum class role : std::uint8_t { peer, client };

/// The first message on a connection.
struct hello {
    /// A type that the sender's program knows.
    struct type_print {
        std::string name;
        std::uint64_t fingerprint = 0;
        bool in_use = false; ///< the group has, or had, objects of the type, as far as the sender has applied the log
        bool operator==(type_print const&) const = default;
    };
    std::uint16_t oldest = protocol_min;
    std::uint16_t newest = protocol_max;
    std::string group{};
    cluster_id cluster{}; ///< empty: belongs to no group yet
    paxos::member self{};
    std::vector<type_print> catalogue{};
    std::vector<std::string> failure_groups{}; ///< what the sender shares the fate of
    role who = role::peer;
    bool operator==(hello const&) const = default;
};

/// Why a connection is refused.
enum class refusal : std::uint8_t { none, wrong_group, protocol, wrong_cluster, catalogue, self, full, needs_upgrade };

/// The answer; a refused connection is closed after it.
struct hello_reply {
    refusal reason = refusal::none;
    std::string text{}; ///< for a refusal: what does not fit and what to do
    paxos::member self{};
    cluster_id cluster{};
    std::uint16_t protocol = 0; ///< the version that both use from here on; 0 in a refusal
    bool operator==(hello_reply const&) const = default;
};

/// The first type that is in use where the one hello comes from, and that the other one's program does not know.
[[nodiscard]] inline std::string const* missing_type(hello const& in_use_at, hello const& known_to) {
    for (auto const& t : in_use_at.catalogue) {
        auto const is_it = [&](auto const& known) { return known.name == t.name; };
        if (t.in_use && std::none_of(known_to.catalogue.begin(), known_to.catalogue.end(), is_it)) return &t.name;
    }
    return nullptr;
}

/// Decides whether two nodes, or a client and a node, may talk (rule 16). The epoch is information and no reason to refuse.
///
/// @par Programs of different versions
/// @li Two programs may differ in the types that they know, as long as they agree on those that both know. So members can
///     be replaced by a newer program one at a time, and a newer program joins an older group.
/// @li A type that some voter's program lacks is not used: the leader refuses the command that would make its first
///     object, as long as the voter's latest handshake does not name it. So no connection that is up is ever cut because
///     of a type that came later: whoever has a vote and is there can apply what it votes for.
/// @li Once a type is in use, whoever introduces itself without it is refused, be it new, or a member that comes back with
///     an older program: it would have to stop in the middle of the log. Its vote counts as silent until it is upgraded or
///     replaced. Either side may be the one that lacks the type, and either side sees it, so that no half of a
///     connection is left over. A node that has just started knows only the types of what it has applied: whoever gets past
///     it stops at the first entry that it cannot apply, as ever, and says so.
[[nodiscard]] inline hello_reply judge(hello const& mine, hello const& theirs) {
    auto refuse = [&](refusal why, std::string text) {
        return hello_reply{why, std::move(text), mine.self, mine.cluster};
    };
    bool const takes_any = theirs.who == role::client && theirs.group.empty();
    if (theirs.group != mine.group && !takes_any)
        return refuse(refusal::wrong_group, "this node belongs to group \"" + mine.group + "\", not \"" + theirs.group +
                                                "\"; check the seeds");
    if (theirs.oldest > mine.newest || theirs.newest < mine.oldest)
        return refuse(refusal::protocol, "no common protocol version: this node speaks " + std::to_string(mine.oldest) +
                                             " to " + std::to_string(mine.newest) + "; upgrade the older program");
    if (theirs.self.id == mine.self.id) return refuse(refusal::self, "this node met itself");
    if (!theirs.cluster.empty() && !mine.cluster.empty() && theirs.cluster != mine.cluster)
        return refuse(refusal::wrong_cluster, "this node belongs to cluster " + to_string(mine.cluster) + ", not " +
                                                  to_string(theirs.cluster) + ": two groups have the same name");
    for (auto const& t : theirs.catalogue) {
        auto const known = std::find_if(mine.catalogue.begin(), mine.catalogue.end(),
                                        [&](auto const& m) { return m.name == t.name; });
        if (known != mine.catalogue.end() && known->fingerprint != t.fingerprint)
            return refuse(refusal::catalogue, "type \"" + t.name + "\" has other methods here than there; run programs "
                                                                   "that agree on it");
    }
    if (theirs.who == role::peer) {
        if (auto const* type = missing_type(mine, theirs))
            return refuse(refusal::needs_upgrade, "the group has objects of type \"" + *type + "\", which the program there "
                                                  "does not know and could not apply; run a version that knows it");
        if (auto const* type = missing_type(theirs, mine))
            return refuse(refusal::needs_upgrade, "the program here does not know type \"" + *type + "\", of which the group "
                                                  "has objects; this node must be upgraded");
    }
    return hello_reply{refusal::none, {}, mine.self, mine.cluster, std::min(mine.newest, theirs.newest)};
}

namespace detail {

inline void put_member(wire_writer& w, paxos::member const& m) {
    w.put(m.id);
    w.put_string(m.address.host);
    w.put(m.address.port);
}
[[nodiscard]] inline paxos::member get_member(wire_reader& r) {
    paxos::member m;
    m.id = r.get<node_id>();
    auto const host = r.get_string();
    if (host.size() > 255) r.fail();
    m.address.host = std::string(host.substr(0, 255));
    m.address.port = r.get<std::uint16_t>();
    return m;
}

} // namespace detail

[[nodiscard]] inline std::string encode(hello const& h) {
    std::string out = begin_frame(128 + 64 * h.catalogue.size());
    wire_writer w(out);
    w.put(h.oldest);
    w.put(h.newest);
    w.put_string(h.group);
    w.put(h.cluster);
    detail::put_member(w, h.self);
    w.put(static_cast<std::uint32_t>(h.catalogue.size()));
    for (auto const& t : h.catalogue) {
        w.put_string(t.name);
        w.put(t.fingerprint);
        w.put(static_cast<std::uint8_t>(t.in_use));
    }
    w.put(static_cast<std::uint32_t>(h.failure_groups.size()));
    for (auto const& g : h.failure_groups) w.put_string(g);
    w.put(static_cast<std::uint8_t>(h.who));
    finish_frame(out, hello_type);
    return out;
}

[[nodiscard]] inline std::optional<hello> decode_hello(std::string_view body) {
    wire_reader r(body);
    hello h;
    h.oldest = r.get<std::uint16_t>();
    h.newest = r.get<std::uint16_t>();
    h.group = std::string(r.get_string());
    h.cluster = r.get<cluster_id>();
    h.self = detail::get_member(r);
    auto const count = r.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < count && r.ok(); ++i) {
        hello::type_print t;
        t.name = std::string(r.get_string());
        t.fingerprint = r.get<std::uint64_t>();
        auto const in_use = r.get<std::uint8_t>();
        if (in_use > 1) r.fail();
        t.in_use = in_use == 1;
        h.catalogue.push_back(std::move(t));
    }
    auto const groups = r.get<std::uint32_t>();
    for (std::uint32_t i = 0; i < groups && r.ok(); ++i) h.failure_groups.emplace_back(r.get_string());
    auto const who = r.get<std::uint8_t>();
    // A newer program may have more to say than this one understands.
    bool const whole = h.newest > protocol_max ? r.ok() : r.complete();
    if (!whole || h.self.id.empty() || who > static_cast<std::uint8_t>(role::client)) return std::nullopt;
    h.who = static_cast<role>(who);
    if (h.self.address.empty() != (h.who == role::client)) return std::nullopt;
    return h;
}

[[nodiscard]] inline std::string encode(hello_reply const& m) {
    std::string out = begin_frame(128 + m.text.size());
    wire_writer w(out);
    w.put(static_cast<std::uint8_t>(m.reason));
    w.put_string(m.text);
    detail::put_member(w, m.self);
    w.put(m.cluster);
    w.put(m.protocol);
    finish_frame(out, hello_reply_type);
    return out;
}

[[nodiscard]] inline std::optional<hello_reply> decode_hello_reply(std::string_view body) {
    wire_reader r(body);
    hello_reply m;
    auto const reason = r.get<std::uint8_t>();
    m.text = std::string(r.get_string());
    m.self = detail::get_member(r);
    m.cluster = r.get<cluster_id>();
    m.protocol = r.get<std::uint16_t>();
    if (!r.complete() || reason > static_cast<std::uint8_t>(refusal::needs_upgrade) || m.self.id.empty()) return std::nullopt;
    m.reason = static_cast<refusal>(reason);
    return m;
}

} // namespace openreplica::inline v0::net
