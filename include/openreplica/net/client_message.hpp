// What a client and the replica that it is connected to say to each other.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/types/ballot.hpp>
#include <openreplica/types/bytes.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/outcome.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace openreplica::inline v0::net {

/// Names a client's connection within one replica; never reused there.
using guest_id = strong<struct guest_tag>;

// ---- from the client. Answers carry the number of what they answer; a client numbers within one connection.

/// Are you there, and how is the group?
struct client_ping {
    std::uint64_t number = 0;
    bool operator==(client_ping const&) const = default;
};

/// Commands for the log, as envelopes. From now on the outcomes of their session go to this connection.
struct client_commands {
    std::uint64_t number = 0;
    std::vector<shared_bytes> commands;
    bool operator==(client_commands const&) const = default;
};

/// The session's commands go over another connection now: no more outcomes of it here.
struct client_leave {
    session_id session;
    bool operator==(client_leave const&) const = default;
};

/// What a read asks of an object.
enum class query_kind : std::uint8_t {
    call = 1,   ///< a const method; body `["method",arg…]`
    exists = 2, ///< whether there is such an object: `true` or `false`
};

/// A read, to be made where it arrives.
struct client_query {
    std::uint64_t number = 0;
    query_kind kind = query_kind::call;
    bool local = false;             ///< the replica's own state will do, within the two bounds that follow
    slot floor;                     ///< the state holds at least this slot: clients do not go back in time
    std::uint64_t max_staleness_us = 0; ///< the state was the group's so long ago at most; 0: any time
    std::uint64_t timeout_us = 0;   ///< nobody waits for the answer afterwards
    std::string name;               ///< of the object
    std::string type;               ///< that it must have; empty: any
    shared_bytes body;
    bool operator==(client_query const&) const = default;
};

/// What a person asks of this replica: `status`, `objects`, …
struct client_question {
    std::uint64_t number = 0;
    std::string what;
    std::string argument;
    bool operator==(client_question const&) const = default;
};

/// What an operator asks of the group, as JSON text.
struct client_order {
    std::uint64_t number = 0;
    std::string text;
    bool operator==(client_order const&) const = default;
};

using client_request =
    std::variant<client_ping, client_commands, client_leave, client_query, client_question, client_order>;

// ---- from the replica

/// More members than this are refused as malformed.
inline constexpr std::size_t max_view_members = 64;

/// The group as one replica sees it.
struct view {
    cluster_id cluster;                 ///< empty: the replica belongs to no group yet
    epoch current;                      ///< number of the configuration
    std::vector<paxos::member> members; ///< who hosts the objects
    node_id leader;                     ///< empty: none is known
    ballot promised;                    ///< tells which of two views is the newer
    bool serving = false;               ///< this replica sees a healthy leader and applies what is chosen
    slot applied;
    log_time clock;                     ///< the log's clock, as far as this replica can tell
    bool operator==(view const&) const = default;
};

/// The answer to a ping; with number 0, news that nobody asked for.
struct client_pong {
    std::uint64_t number = 0;
    view now;
    bool operator==(client_pong const&) const = default;
};

/// The commands were not proposed because of this attempt.
struct client_refused {
    std::uint64_t number = 0;
    std::vector<std::uint32_t> which; ///< positions in the batch; empty: all
    errc reason{};
    std::string text;
    bool operator==(client_refused const&) const = default;
};

/// An `open_session` was applied.
struct client_opened {
    std::uint64_t opener = 0;
    session_id session;
    log_time clock;
    errc reason{}; ///< zero: it is open
    std::string text;
    bool operator==(client_opened const&) const = default;
};

/// How a command of a session ended.
struct command_outcome {
    sequence seq; ///< 0: a command without a number, such as `keep_alive`
    bool stored = true;
    call_outcome outcome;
    bool operator==(command_outcome const&) const = default;
};

/// Commands of one session were applied.
struct client_outcomes {
    session_id session;
    slot applied; ///< of the last one: a state that holds this slot holds what they did
    log_time clock;
    std::vector<command_outcome> list;
    bool operator==(client_outcomes const&) const = default;
};

/// The answer to a query, a question or an order.
struct client_answer {
    std::uint64_t number = 0;
    call_outcome outcome;            ///< `at`: the state that a query saw holds this slot, and nothing of a later one
    std::uint64_t staleness_us = 0;  ///< how long ago the state was surely the group's; all ones: unknown
    bool operator==(client_answer const&) const = default;
};

using client_reply = std::variant<client_pong, client_refused, client_opened, client_outcomes, client_answer>;

} // namespace openreplica::inline v0::net
