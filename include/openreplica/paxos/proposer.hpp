// The roles of a node that proposes: first a candidate, then a leader. A follower has no state of its own.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/output.hpp>
#include <openreplica/paxos/reads.hpp>
#include <openreplica/paxos/reports.hpp>
#include <openreplica/types/instant.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace openreplica::inline v0::paxos {

/// Does not propose.
struct follower {};

/// Phase 1, once for all slots.
struct candidate {
    ballot number;
    instant since;
    instant asked_at;  ///< when the last prepare left
    instant moved_at;  ///< when the campaign last got on
    lsn own_promise;   ///< this node's own report counts once this position is durable
    bool promised = false; ///< this node's own promise is durable
    reports told;          ///< by the others
};

/// Phase 2, pipelined.
struct leader {
    /// How far one peer has got.
    struct progress {
        slot acked{};                ///< durable there, under this ballot or chosen
        slot next{};                 ///< the next slot to send
        slot floor{};                ///< what is on its way is counted from here at least
        slot told{};                 ///< the chosen index it was told last
        bool lagging = false;        ///< misses entries below this ballot's first slot: it fetches them itself
        std::uint64_t answered = 0;  ///< the highest heartbeat it answered while following this ballot
        std::uint64_t marked = 0;    ///< a heartbeat that left when `next` was `next_then`; 0: none is out
        slot next_then{};
        slot acked_then{};           ///< what was acknowledged when `silent_beats` was 0
        std::uint32_t silent_beats = 0; ///< heartbeats since an acknowledgement moved although the peer holds more
        instant rewound_at{};
    };

    ballot number;
    instant since;
    slot base;   ///< the chosen index when the ballot began: it proposes above
    slot no_op;  ///< the ballot's own no-op: reads are answered when it is chosen
    std::map<node_id, progress> peers;
    std::deque<std::pair<lsn, slot>> own_writes; ///< this node's accepts that are not yet durable
    slot own_acked;
    std::size_t open_bytes = 0; ///< weight of the proposed values above `settled`
    slot settled;               ///< up to here chosen values have left the window
    std::deque<std::pair<slot, instant>> open_since; ///< when the open slots were proposed, one mark per batch
    log_time clock_base;        ///< the log clock when the ballot began
    read_confirmations reads;
    bool stopped = false; ///< rule 1: it proposed a stop-sign, and gives out no slot above it
    reports told;         ///< promises of this ballot, for the configuration that a stop-sign brings
    instant asked_at{};   ///< when promises were asked for last
    /// Governed before the last stop-sign, until the no-op above that is chosen: whoever follows it may still choose there.
    std::optional<configuration> retiring;
    bool stalled = false; ///< rule 7: the oldest accept has been open for too long

    /// The log clock: elapsed leader time since the last stamp of earlier ballots (rule 13).
    [[nodiscard]] log_time clock(instant now) const {
        return clock_base.plus(static_cast<std::uint64_t>(std::max<duration::rep>((now - since).count(), 0)));
    }

    /// Counts this node's accepts up to `durable` as its vote.
    void own_durable(lsn durable) {
        while (!own_writes.empty() && (own_writes.front().first <= durable || OPENREPLICA_MUTANT(own_vote_before_sync))) {
            own_acked = own_writes.front().second;
            own_writes.pop_front();
        }
    }

    /// The highest slot that a majority of the voters holds durably under this ballot.
    [[nodiscard]] slot tally(configuration const& c, node_id self) const {
        std::vector<slot> votes;
        for (member const& m : c.voters) {
            auto const it = peers.find(m.id);
            votes.push_back(m.id == self ? own_acked : it == peers.end() ? slot{} : it->second.acked);
            if (m.id == self && OPENREPLICA_MUTANT(vote_counted_twice) && votes.size() < c.voters.size())
                votes.push_back(own_acked);
        }
        if (OPENREPLICA_MUTANT(learner_vote_counted))
            for (auto const& [id, p] : peers)
                if (!c.has_voter(id)) votes.push_back(p.acked);
        auto const nth = votes.begin() + static_cast<std::ptrdiff_t>(c.quorum() - 1);
        std::nth_element(votes.begin(), nth, votes.end(), std::greater<>{});
        return *nth;
    }

    /// The highest heartbeat that a majority answered while following this ballot; this node answers itself.
    [[nodiscard]] std::uint64_t confirmed(configuration const& c, node_id self, std::uint64_t sent) const {
        std::vector<std::uint64_t> answers;
        for (member const& m : c.voters) {
            auto const it = peers.find(m.id);
            answers.push_back(m.id == self ? sent : it == peers.end() ? 0 : it->second.answered);
        }
        auto const nth = answers.begin() + static_cast<std::ptrdiff_t>(c.quorum() - 1);
        std::nth_element(answers.begin(), nth, answers.end(), std::greater<>{});
        return *nth;
    }
};

} // namespace openreplica::inline v0::paxos
