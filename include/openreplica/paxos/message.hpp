// What the members of a group say to one another about the log.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/value.hpp>
#include <openreplica/types/ballot.hpp>
#include <openreplica/types/ids.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace openreplica::inline v0::paxos {

/// Phase 1 request: promise my ballot, and tell what you have accepted.
struct prepare {
    ballot number;
    slot chosen;   ///< the candidate's chosen index
    epoch current; ///< the epoch that governs the candidate's first unchosen slot
    slot after{};  ///< what the receiver reported up to here has arrived: it goes on behind
    bool operator==(prepare const&) const = default;
};

/// Phase 1 reply, in chunks; it counts when the last one is there.
///
/// It reports what the acceptor accepted above *its own* chosen index. Slots up to `chosen` are reported as chosen,
/// never as empty. One answer has a limited number of chunks; the candidate asks for the rest.
struct promise {
    ballot number; ///< the ballot that is promised
    slot chosen;   ///< the acceptor's chosen index
    epoch current;
    std::uint32_t chunk = 0; ///< 0, 1, 2, … within the answer to one `prepare`
    bool last = true;
    std::vector<entry> entries; ///< ascending slots
    bool operator==(promise const&) const = default;
};

/// The answer to a `prepare` or an `accept` of a ballot below the promised one.
struct reject {
    ballot number;   ///< the refused ballot
    ballot promised; ///< the ballot that stands in its way
    bool operator==(reject const&) const = default;
};

/// Phase 2 request for the slots `first`, `first + 1`, …
struct accept {
    ballot number;
    epoch current;
    slot first;
    std::vector<value> values;
    slot chosen; ///< the leader's chosen index
    bool operator==(accept const&) const = default;
};

/// Phase 2 reply: every slot up to `upto` is durable here, accepted under `number` or already chosen.
struct accepted {
    ballot number;
    slot upto;
    bool gap = false; ///< something above `upto` arrived that could not be taken: send again from `upto + 1`
    bool operator==(accepted const&) const = default;
};

/// The chosen index, when no `accept` is on its way to carry it.
struct chosen_index {
    ballot number;
    slot chosen;
    bool operator==(chosen_index const&) const = default;
};

/// Asks any peer for chosen entries from `from` on.
struct learn {
    slot from;
    bool operator==(learn const&) const = default;
};

/// Chosen entries `first`, `first + 1`, … Empty with `log_start > first`: they are gone, ask for a snapshot.
struct learned {
    ballot behind; ///< the highest ballot under which these entries were accepted (rule R)
    slot first;
    std::vector<value> values;
    slot chosen;    ///< the sender's chosen index
    slot log_start; ///< the lowest slot that the sender still has
    bool operator==(learned const&) const = default;
};

/// Sent to every peer at every heartbeat interval, and at once when reads wait for a confirmation.
struct heartbeat {
    std::uint64_t number = 0; ///< rises with every heartbeat of this sender
    ballot leading;           ///< the ballot that the sender leads; empty when it does not lead
    slot chosen;
    bool operator==(heartbeat const&) const = default;
};

/// How well a node's disk does, as its storage judges it.
enum class disk_state : std::uint8_t { ok = 0, slow = 1, full = 2, failed = 3 };

/// The answer, at once, never waiting for a disk.
struct heartbeat_reply {
    std::uint64_t number = 0; ///< of the heartbeat that is answered
    ballot promised;          ///< the highest ballot that the sender has promised
    bool leading = false;     ///< the sender leads `promised`
    bool happy = false;       ///< the sender's leader is fine, as far as it can see
    slot chosen;              ///< its chosen index
    slot held;                ///< how far it holds the promised ballot's accepts; for resending, never a vote
    disk_state disk = disk_state::ok;
    epoch current{};          ///< of the sender's next slot
    std::uint32_t silent = 0; ///< bit i: the sender has not heard the voter with index i of that epoch for a while
    bool operator==(heartbeat_reply const&) const = default;
};

/// Asks the leader for a read point; the answer covers every read that waited at the sender.
struct read_request {
    std::uint64_t number = 0;
    bool operator==(read_request const&) const = default;
};

/// A read point: at some moment after the request arrived, its sender led and had chosen up to `index`.
struct read_reply {
    std::uint64_t number = 0;
    slot index;
    bool operator==(read_reply const&) const = default;
};

/// Commands of the sender's callers on their way to the leader.
struct forward {
    std::uint64_t number = 0; ///< rises with every forward of this sender
    std::uint8_t hops = 0;    ///< how often it was relayed; at most one
    std::vector<shared_bytes> commands;
    bool operator==(forward const&) const = default;
};

/// Says that commands of a forward were not taken: none of them was proposed because of it.
struct forward_refused {
    std::uint64_t number = 0;
    std::vector<std::uint32_t> which; ///< positions in the forward; empty: all of them
    std::uint8_t reason = 0;          ///< the number of an `errc`; `not_executed`: the receiver does not lead
    std::string text;                 ///< what happened and what to do; may be empty
    bool operator==(forward_refused const&) const = default;
};

/// Asks for the bytes of a snapshot from `offset` on; `at` zero means the sender's newest.
struct snapshot_request {
    slot at;
    std::uint64_t offset = 0;
    bool operator==(snapshot_request const&) const = default;
};

/// A part of a snapshot.
struct snapshot_chunk {
    slot at;                   ///< the last slot that the snapshot holds
    ballot behind;             ///< the highest ballot of a slot that it holds (rule R)
    log_time stamp;            ///< the log clock at `at`
    configuration governing;   ///< of slot `at + 1`
    std::uint64_t offset = 0;
    std::uint64_t total = 0;   ///< size of the whole, bytes
    std::uint32_t checksum = 0; ///< CRC32C of the whole
    shared_bytes data;
    bool operator==(snapshot_chunk const&) const = default;
};

/// The leader asks a voter to take over: it campaigns at once, although the leader is well.
struct hand_over {
    ballot number; ///< the leader's
    bool operator==(hand_over const&) const = default;
};

/// The leader names the voters that there may soon be: they should have connections to one another by then.
struct meet {
    std::vector<member> voters;
    bool operator==(meet const&) const = default;
};

/// What shall become of the voters, in the words of whoever asks: nodes by their id (32 hexadecimal digits) or `host:port`.
struct voter_change {
    std::vector<std::string> add{};
    std::vector<std::string> remove{};
    bool exactly = false; ///< `add` names all voters there shall be
    bool operator==(voter_change const&) const = default;
};

/// Asks the leader to change the voters. The same number is the same request again.
struct change_request {
    std::uint64_t number = 0;
    voter_change what;
    bool operator==(change_request const&) const = default;
};

/// Asks the leader to hand over to a voter. The same number is the same request again.
struct transfer_request {
    std::uint64_t number = 0;
    std::string to; ///< empty: to whom the leader thinks best
    bool operator==(transfer_request const&) const = default;
};

/// The answer to a change or a transfer. It is not sent before the matter is decided.
struct change_reply {
    std::uint64_t number = 0;
    std::uint8_t code = 0; ///< the number of an `errc`; 0: done
    std::string text;      ///< what happened and what to do
    epoch current{};       ///< of the sender: a change is in it, or in an earlier one
    bool operator==(change_reply const&) const = default;
};

/// Everything that members say once they belong to a group. The order of the alternatives is the wire's type number.
using message = std::variant<prepare, promise, reject, accept, accepted, chosen_index, learn, learned, heartbeat,
                             heartbeat_reply, read_request, read_reply, forward, forward_refused, snapshot_request,
                             snapshot_chunk, hand_over, change_request, transfer_request, change_reply, meet>;

/// The name of a message's kind, for logs and traces.
[[nodiscard]] inline std::string_view name_of(message const& m) {
    constexpr std::string_view names[] = {"prepare",       "promise",      "reject",       "accept",
                                          "accepted",      "chosen_index", "learn",        "learned",
                                          "heartbeat",     "heartbeat_reply", "read_request", "read_reply",
                                          "forward",       "forward_refused", "snapshot_request", "snapshot_chunk",
                                          "hand_over",     "change_request",  "transfer_request", "change_reply",
                                          "meet"};
    return names[m.index()];
}

} // namespace openreplica::inline v0::paxos
