// What the core asks of its driver.
#pragma once

#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/mutation.hpp>

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::paxos {

/// A message for one or more peers: encode it once.
struct outgoing {
    std::vector<node_id> to;
    message what;
    lsn after; ///< must not leave before the storage has reported this position as durable; 0: may leave at once
};

/// "Every read that got a number up to this one may be served here once `index` is applied."
struct read_point {
    std::uint64_t number = 0;
    slot index;
};

/// Everything one step produced.
///
/// @par The order contract
/// 1. `append` goes to the storage, in order; its last record has position `last`. Nothing waits for it.
/// 2. A message leaves as soon as the storage has reported its `after` as durable, and never before: a voter that
///    forgets a promise in a crash can let two leaders choose different values for one slot. A message without `after`
///    leaves at once, also past messages that wait.
/// 3. `chosen` is applied in order, without gaps. `reads` are served after everything up to their index is applied.
/// 4. When the storage reports progress, `replica::persisted` is told, and may produce more.
struct output {
    std::vector<record> append;
    lsn last;
    std::vector<outgoing> messages;
    std::vector<entry> chosen;
    std::vector<read_point> reads;
    std::vector<node_id> snapshot_from; ///< the entries this node needs are gone; these peers have a snapshot

    [[nodiscard]] bool empty() const {
        return append.empty() && messages.empty() && chosen.empty() && reads.empty() && snapshot_from.empty();
    }
};

/// Collects the output of a step. Each part of the core writes into the one that the replica owns.
class effects {
    output pending_;
    lsn last_;

public:
    /// Appends a record and gives its position.
    lsn write(record r) {
        last_ = last_.next();
        pending_.append.push_back(std::move(r));
        pending_.last = last_;
        return last_;
    }
    void send(node_id to, message m) { pending_.messages.push_back({{to}, std::move(m), {}}); }
    void send(std::vector<node_id> to, message m) {
        if (!to.empty()) pending_.messages.push_back({std::move(to), std::move(m), {}});
    }
    /// Sends once everything written so far is durable.
    void send_durable(std::vector<node_id> to, message m) {
        if (to.empty()) return;
        lsn const after = OPENREPLICA_MUTANT(vote_before_durable) ? lsn{} : last_;
        pending_.messages.push_back({std::move(to), std::move(m), after});
    }
    void send_durable(node_id to, message m) { send_durable(std::vector{to}, std::move(m)); }
    void deliver(entry e) { pending_.chosen.push_back(std::move(e)); }
    void serve_reads(read_point p) { pending_.reads.push_back(p); }
    void ask_snapshot(node_id from) { pending_.snapshot_from.push_back(from); }

    [[nodiscard]] lsn last() const { return last_; }
    [[nodiscard]] output take() { return std::exchange(pending_, {}); }
};

} // namespace openreplica::inline v0::paxos
