// Linearizable reads without log entries.
#pragma once

#include <openreplica/paxos/output.hpp>
#include <openreplica/types/instant.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace openreplica::inline v0::paxos {

/// The reads that wait at one replica, gathered into numbered batches: while one batch is on its way to the leader, the
/// next one gathers.
class read_batches {
    std::uint64_t gathering_; ///< the number that a read arriving now gets
    std::uint64_t in_flight_ = 0; ///< the batch on its way; 0 if none
    bool waiting_ = false;        ///< somebody waits in the gathering batch
    instant sent_at_{};

public:
    /// Numbers start at a random place: an answer to an earlier life of this node must not match.
    explicit read_batches(std::uint64_t incarnation) : gathering_((incarnation >> 2) + 1) {}

    /// A read arrived; it is served by the first read point whose number is at least the result.
    std::uint64_t add() {
        waiting_ = true;
        return gathering_;
    }
    /// The batch to send now: a new one when none is under way, or the same again after `patience` without an answer.
    std::optional<std::uint64_t> due(instant now, duration patience) {
        if (in_flight_ == 0) {
            if (!waiting_) return std::nullopt;
            in_flight_ = gathering_++;
            waiting_ = false;
        } else if (now - sent_at_ < patience) {
            return std::nullopt;
        }
        sent_at_ = now;
        return in_flight_;
    }
    /// The leader changed: what was asked of the old one is asked of the new one.
    void ask_again() { sent_at_ = instant{} - std::chrono::hours(1); }

    /// An answer covers its batch. A late answer to an older batch covers nothing new.
    bool on_answer(std::uint64_t number) {
        if (number != in_flight_) return false;
        in_flight_ = 0;
        return true;
    }
    [[nodiscard]] bool idle() const { return in_flight_ == 0 && !waiting_; }
};

/// The leader's side: read requests that wait for the proof that it still leads.
///
/// A request that arrived before heartbeat number n was sent is confirmed when a quorum has answered n or a later one
/// and still follows the leader's ballot. Only replies to heartbeats sent after the request arrived count.
class read_confirmations {
public:
    struct waiting {
        node_id from;
        std::uint64_t number; ///< the requester's batch number
        slot index;           ///< the leader's chosen index when the request arrived
        std::uint64_t after;  ///< confirmed by a heartbeat with at least this number; 0: none was sent since
    };

    void add(node_id from, std::uint64_t number, slot index) { queue_.push_back({from, number, index, 0}); }

    /// True when requests wait for a heartbeat that has not been sent and none of an earlier round is outstanding.
    [[nodiscard]] bool needs_round() const {
        return !queue_.empty() && queue_.front().after == 0;
    }
    [[nodiscard]] bool empty() const { return queue_.empty(); }

    /// Heartbeat `number` leaves now: it confirms everything that has arrived.
    void round_sent(std::uint64_t number) {
        for (waiting& w : queue_)
            if (w.after == 0) w.after = OPENREPLICA_MUTANT(old_heartbeat_confirms) ? number - 1 : number;
    }

    /// Takes out what a quorum's answers up to `number` confirm, if the leader may answer (`floor` is chosen).
    [[nodiscard]] std::vector<waiting> take_confirmed(std::uint64_t number) {
        auto const end = std::find_if(queue_.begin(), queue_.end(), [&](waiting const& w) {
            return (w.after == 0 || w.after > number) && !OPENREPLICA_MUTANT(read_without_quorum);
        });
        std::vector<waiting> done(queue_.begin(), end);
        queue_.erase(queue_.begin(), end);
        return done;
    }

private:
    std::vector<waiting> queue_;
};

} // namespace openreplica::inline v0::paxos
