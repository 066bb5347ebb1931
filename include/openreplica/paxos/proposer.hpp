// The roles of a node that proposes: first a candidate, then a leader. A follower has no state of its own.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/output.hpp>
#include <openreplica/paxos/reads.hpp>
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
    /// What one voter reported. It counts when it is complete.
    struct report {
        bool complete = false;
        slot chosen;                ///< its chosen index as it told last
        slot reach;                 ///< every slot up to here is reported, or chosen there
        std::vector<entry> entries; ///< ascending
    };

    ballot number;
    instant since;
    instant asked_at;  ///< when the last prepare left
    instant moved_at;  ///< when the campaign last got on
    lsn own_promise;   ///< this node's own report counts once this position is durable
    bool promised = false; ///< this node's own promise is durable
    std::map<node_id, report> reports;

    /// Takes one chunk of a promise. True when it was news; chunks that do not continue what is there are left for the
    /// retransmission.
    ///
    /// Chunks of two answers go together: every entry was reported under this ballot's promise, so that only this ballot
    /// can still change it. What became chosen there between them is fetched as chosen before anything is proposed.
    bool on_promise(node_id from, promise const& m) {
        report& r = reports[from];
        if (r.complete) return false;
        slot const end = std::max(r.reach, m.chosen);
        slot const first = m.entries.empty() ? end.next() : m.entries.front().at;
        slot const last = m.entries.empty() ? end : m.entries.back().at;
        slot expected = first;
        bool const whole = std::all_of(m.entries.begin(), m.entries.end(), [&](entry const& e) {
            return e.at == std::exchange(expected, expected.next()); // A hole would be filled in `merge`, however wide.
        });
        if (!whole || first > end.next() || last < r.reach) return false;
        r.chosen = std::max(r.chosen, m.chosen);
        for (entry const& e : m.entries)
            if (e.at > r.reach) r.entries.push_back(e);
        bool const news = std::max(last, end) > r.reach || m.last;
        r.reach = std::max(last, end);
        r.complete = m.last || OPENREPLICA_MUTANT(partial_promise_counted);
        return news;
    }
    /// Up to where `id` has reported: the next `prepare` asks it to go on from there.
    [[nodiscard]] slot reported(node_id id) const {
        auto const it = reports.find(id);
        return it == reports.end() ? slot{} : it->second.reach;
    }

    /// A majority of the voters has promised; `own_durable` says whether this node's own promise counts.
    [[nodiscard]] bool has_quorum(configuration const& c, node_id self, bool own_durable) const {
        auto const n = std::count_if(c.voters.begin(), c.voters.end(), [&](member const& m) {
            if (m.id == self) return own_durable;
            auto const it = reports.find(m.id);
            return it != reports.end() && it->second.complete;
        });
        return static_cast<std::size_t>(n) >= c.quorum();
    }

    /// Who reported the highest chosen index. Nothing is proposed at or below it.
    [[nodiscard]] std::pair<slot, std::optional<node_id>> highest_chosen(configuration const& c) const {
        std::pair<slot, std::optional<node_id>> best;
        for (auto const& [id, r] : reports)
            if (r.complete && c.has_voter(id) && r.chosen > best.first) best = {r.chosen, id};
        return best;
    }

    /// The values that must be proposed again, from `own.chosen() + 1` on: per slot the one of the highest ballot.
    ///
    /// A hole is filled with a no-op. The merge stops behind the first configuration entry, chosen or not (rule 1):
    /// what the old quorum accepted above it is only an input to the next merge.
    [[nodiscard]] std::vector<value> merge(configuration const& c, log const& own) const {
        std::vector<entry> best;
        auto offer = [&](entry const& e) {
            if (e.at <= own.chosen()) return;
            auto const i = static_cast<std::size_t>(e.at.since(own.chosen().next()));
            if (best.size() <= i) best.resize(i + 1);
            bool const better = OPENREPLICA_MUTANT(lowest_ballot_wins) ? e.accepted < best[i].accepted
                                                                        : e.accepted > best[i].accepted;
            if (best[i].accepted.empty() || better) best[i] = e;
        };
        for (slot s = own.chosen().next(); s <= own.last(); s = s.next()) offer(own.entry_at(s));
        for (auto const& [id, r] : reports)
            if (r.complete && c.has_voter(id))
                for (entry const& e : r.entries) offer(e);
        std::vector<value> values;
        for (entry& e : best) {
            if (OPENREPLICA_MUTANT(skip_reproposal)) e.what = value{};
            values.push_back(std::move(e.what));
            if (values.back().kind == value_kind::configuration) break;
        }
        return values;
    }
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
