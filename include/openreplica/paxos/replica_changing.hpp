// The replica's members that change the voters, and hand over leadership. Included by replica.hpp.
#pragma once

#include <openreplica/paxos/replica.hpp>

namespace openreplica::inline v0::paxos {

// ---- what a leader needs while a stop-sign passes

/// From proposing a stop-sign until a no-op above it is chosen, whatever a leader needs of a majority it needs of both
/// configurations' (rule 5): another leader may rely on either.
template <class Predicate>
bool replica::holds_for_all(leader const& l, Predicate holds) const {
    bool all = holds(governing());
    if (l.retiring) all = holds(*l.retiring) && all;
    if (l.stopped)
        if (auto const* k = log_.open_stop_sign()) all = holds(k->second) && all;
    return all;
}

inline bool replica::is_changing() const {
    auto const* l = std::get_if<leader>(&role_);
    return l != nullptr && (l->stopped || l->retiring);
}

inline void replica::ask_missing_promises(leader& l, configuration const& of, instant now) {
    if (now - l.asked_at < options_.heartbeat) return;
    l.asked_at = now;
    for (member const& m : of.voters)
        if (m.id != self_ && !l.told.is_complete(m.id)) ask_promise(l.number, {m.id}, l.told.reach(m.id));
}

inline void replica::press_change(leader& l, instant now) {
    if (!l.stopped) return;
    auto const* k = log_.open_stop_sign();
    configuration const& next = k != nullptr ? k->second : governing();
    if (!l.told.has_quorum(next, self_, true)) ask_missing_promises(l, next, now);
    activate(l, now);
}

/// The stop-sign is chosen: its voters govern what follows. Rule 1: nothing is proposed there before a majority of them has
/// promised this ballot and reported; what the old quorum accepted above the stop-sign is only an input to that merge.
inline void replica::activate(leader& l, instant now) {
    if (!l.stopped || log_.open_stop_sign() != nullptr || log_.chosen() < proposed()) return;
    // Everything that was proposed is chosen, and perhaps more was learned.
    l.settled = log_.chosen();
    l.open_bytes = 0;
    l.open_since.clear();
    if (!OPENREPLICA_MUTANT(activates_without_promises)) {
        if (!l.told.has_quorum(governing(), self_, true)) return;
        auto const [highest, who] = l.told.highest_chosen(governing());
        if (highest > log_.chosen()) {
            learner_.note(highest, now);
            return learner_.fetch(*who, now, fx_);
        }
    }
    propose_merged(l, now);
}

/// The no-op under the new configuration is chosen: the old one is of no more use. A leader that it left out hands over.
inline void replica::finish_change(leader& l, instant now) {
    if (!l.retiring || log_.chosen() < l.no_op) return;
    l.retiring.reset();
    l.told.forget_entries();
    if (is_voter()) return;
    send_chosen(l);
    if (auto const heir = best_heir(now)) fx_.send(*heir, hand_over{l.number});
    follow(now);
}

// ---- other voters

inline change_answer replica::change_voters(std::vector<member> voters, instant now) {
    auto* l = std::get_if<leader>(&role_);
    if (l == nullptr || !is_established()) return {change_verdict::not_leading};
    if (l->stopped || l->retiring) return {change_verdict::under_way};
    configuration const next = succeeding(governing(), std::move(voters));
    if (next.voters == governing().voters) return {change_verdict::unchanged};
    if (auto const why = obstacle_to(*l, next, now)) {
        if (why->verdict == change_verdict::asking) ask_missing_promises(*l, next, now);
        return *why;
    }
    l->stopped = true;
    l->retiring = governing();
    propose_values(*l, {value{value_kind::configuration, l->clock(now), body_of(next)}}, now);
    return {change_verdict::proposed};
}

/// Rule 5: what must hold before a stop-sign is proposed. Once it is accepted anywhere it cannot be taken back.
inline std::optional<change_answer> replica::obstacle_to(leader const& l, configuration const& next, instant now) const {
    if (next.voters.empty() || next.voters.size() > max_voters || next.removed.size() > max_removed)
        return change_answer{change_verdict::unfit_size};
    if (auto const unfit = unfit_voter(l, next, now)) return unfit;
    duration const lately = 3 * options_.heartbeat;
    if (!election_.quorum_follows(governing(), l.number, now, lately) || !election_.quorum_follows(next, l.number, now, lately))
        return change_answer{change_verdict::no_majority};
    return std::nullopt;
}

inline std::optional<change_answer> replica::unfit_voter(leader const& l, configuration const& next, instant now) const {
    bool asking = !l.told.has_quorum(next, self_, true);
    for (member const& m : next.voters) {
        if (governing().has_voter(m.id) || m.id == self_) continue;
        if (next.has_removed(m.id)) return change_answer{change_verdict::removed, m.id};
        auto const lag = lag_of(m.id);
        if (!lag || !election_.reaches(m.id, now, 3 * options_.heartbeat)) return change_answer{change_verdict::unknown, m.id};
        if (*lag > options_.window_entries) return change_answer{change_verdict::not_caught_up, m.id};
        asking = asking || !l.told.is_complete(m.id);
    }
    if (asking) return change_answer{change_verdict::asking};
    return std::nullopt;
}

inline std::optional<std::uint64_t> replica::lag_of(node_id peer) const {
    auto const* l = std::get_if<leader>(&role_);
    if (l == nullptr) return std::nullopt;
    if (peer == self_) return 0;
    auto const it = l->peers.find(peer);
    if (it == l->peers.end()) return std::nullopt;
    return proposed().since(std::min(it->second.acked, proposed()));
}

inline bool replica::is_silent_to_majority(node_id id, instant now) const {
    auto const& voters = governing().voters;
    auto const it = std::find_if(voters.begin(), voters.end(), [&](member const& m) { return m.id == id; });
    if (it == voters.end()) return false;
    auto const which = static_cast<std::size_t>(it - voters.begin());
    return election_.report_silent(governing(), which, now, options_.election_timeout_max) >= governing().quorum();
}

// ---- another leader

inline std::optional<node_id> replica::best_heir(instant now) const {
    std::optional<node_id> best;
    std::uint64_t least = 0;
    for (member const& m : governing().voters) {
        auto const* v = election_.seen(m.id, now, 3 * options_.heartbeat);
        auto const lag = lag_of(m.id);
        if (v == nullptr || !lag || v->said.disk != disk_state::ok || (best && *lag >= least)) continue;
        best = m.id;
        least = *lag;
    }
    return best;
}

inline change_answer replica::transfer_to(node_id heir, instant now) {
    if (!is_established()) return {change_verdict::not_leading};
    if (heir == self_) return {change_verdict::unchanged};
    if (!governing().has_voter(heir) || !election_.reaches(heir, now, 3 * options_.heartbeat))
        return {change_verdict::unknown, heir};
    if (*lag_of(heir) > options_.window_entries) return {change_verdict::not_caught_up, heir};
    fx_.send(heir, hand_over{std::get<leader>(role_).number});
    return {change_verdict::proposed, heir};
}

/// The leader itself asks: nobody's happiness stands in the way.
inline void replica::on(node_id from, hand_over const& m, instant now) {
    if (m.number.owner != from || m.number != acceptor_.promised() || !is_voter() || disk_ == disk_state::failed) return;
    if (std::holds_alternative<follower>(role_)) campaign(now);
}

} // namespace openreplica::inline v0::paxos
