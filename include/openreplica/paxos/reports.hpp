// What the voters have told a proposer about its ballot: phase 1, once for all slots.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace openreplica::inline v0::paxos {

/// The promises of one ballot. A node's promise counts when it is complete.
///
/// Every node reports for itself and for all slots, so that one collection serves every configuration that comes to govern
/// while the ballot lasts.
class reports {
public:
    /// What one node has reported.
    struct report {
        bool complete = false;
        slot chosen;                ///< its chosen index as it told last
        slot reach;                 ///< every slot up to here is reported, or chosen there
        std::vector<entry> entries; ///< ascending
    };

    /// Takes one chunk of a promise. True when it was news; chunks that do not continue what is there are left for the
    /// retransmission.
    ///
    /// Chunks of two answers go together: every entry was reported under this ballot's promise, so that only this ballot
    /// can still change it. What became chosen there between them is fetched as chosen before anything is proposed.
    bool take(node_id from, promise const& m) {
        report& r = of_[from];
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

    [[nodiscard]] bool is_complete(node_id id) const {
        auto const it = of_.find(id);
        return it != of_.end() && it->second.complete;
    }
    /// Up to where `id` has reported: the next `prepare` asks it to go on from there.
    [[nodiscard]] slot reach(node_id id) const {
        auto const it = of_.find(id);
        return it == of_.end() ? slot{} : it->second.reach;
    }

    /// A majority of the voters has promised; `own_durable` says whether this node's own promise counts.
    [[nodiscard]] bool has_quorum(configuration const& c, node_id self, bool own_durable) const {
        auto const n = std::count_if(c.voters.begin(), c.voters.end(), [&](member const& m) {
            return m.id == self ? own_durable : is_complete(m.id);
        });
        return static_cast<std::size_t>(n) >= c.quorum();
    }

    /// Who reported the highest chosen index. Nothing is proposed at or below it.
    [[nodiscard]] std::pair<slot, std::optional<node_id>> highest_chosen(configuration const& c) const {
        std::pair<slot, std::optional<node_id>> best;
        for (auto const& [id, r] : of_)
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
        for (auto const& [id, r] : of_)
            if (r.complete && c.has_voter(id))
                for (entry const& e : r.entries) offer(e);
        std::vector<value> values;
        for (entry& e : best) {
            if (OPENREPLICA_MUTANT(skip_reproposal)) e.what = value{};
            values.push_back(std::move(e.what));
            if (values.back().kind == value_kind::configuration && !OPENREPLICA_MUTANT(merge_past_stop_sign)) break;
        }
        return values;
    }

    /// Everything that was reported has been proposed again.
    void forget_entries() {
        for (auto& [id, r] : of_) r.entries = {};
    }

private:
    std::map<node_id, report> of_; // Ordered: what follows must not depend on addresses or hashes.
};

} // namespace openreplica::inline v0::paxos
