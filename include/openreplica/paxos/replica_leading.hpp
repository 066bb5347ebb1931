// The replica's members that campaign and lead. Included by replica.hpp.
#pragma once

#include <openreplica/paxos/replica.hpp>

namespace openreplica::inline v0::paxos {

// ---- phase 1

inline void replica::campaign(instant now) {
    candidate c;
    c.number = ballot{std::max(election_.highest(), acceptor_.promised()).round + 1, options_.priority, self_};
    c.since = c.moved_at = now;
    election_.note(c.number);
    acceptor_.promise_to(c.number, fx_);
    c.own_promise = fx_.last();
    ask_promises(c, now);
    role_ = std::move(c);
    advance_candidate(now);
}

inline void replica::ask_promises(candidate& c, instant now) {
    std::map<slot, std::vector<node_id>> missing; ///< by how far their reports have come
    for (node_id id : peers_) {
        if (!c.told.is_complete(id)) missing[c.told.reach(id)].push_back(id);
    }
    for (auto& [after, ids] : missing) ask_promise(c.number, std::move(ids), after);
    c.asked_at = now;
}

/// Only once this node's own promise is durable: a candidate that forgot its ballot in a crash would use it again, for
/// other values.
inline void replica::ask_promise(ballot const& number, std::vector<node_id> of, slot after) {
    prepare const ask{number, log_.chosen(), governing().number, after};
    if (OPENREPLICA_MUTANT(ask_before_durable))
        fx_.send(std::move(of), ask);
    else
        fx_.send_durable(std::move(of), ask);
}

inline void replica::on(node_id from, promise const& m, instant now) {
    auto* c = std::get_if<candidate>(&role_);
    auto* l = std::get_if<leader>(&role_);
    if (c == nullptr && l == nullptr) return;
    ballot const& mine = c != nullptr ? c->number : l->number;
    if (m.number != mine && !OPENREPLICA_MUTANT(foreign_promise_counted)) return;
    reports& told = c != nullptr ? c->told : l->told;
    if (!told.take(from, m)) return;
    // The end of an answer that is not the end of the report.
    if (!m.last && m.chunk + 1 == acceptor::promise_chunks) ask_promise(mine, {from}, told.reach(from));
    if (l != nullptr) return activate(*l, now);
    c->moved_at = now;
    advance_candidate(now);
}

/// Rule 3: a ballot that cannot catch up or gather its quorum in time is dropped. Its time begins when its own promise is
/// durable and again whenever a report gets on; and as long as a quorum has promised it without its disks being done, it
/// may still succeed.
inline void replica::watch_campaign(candidate& c, instant now, std::uint64_t jitter) {
    duration const limit = options_.election_timeout_max;
    bool const disks_work = !c.promised || (!c.told.has_quorum(governing(), self_, true) &&
                                               election_.quorum_follows(governing(), c.number, now, limit));
    if (now - c.moved_at > (disks_work ? patient_campaigns * limit : limit) || now - c.since > patient_campaigns * limit) {
        follow(now);
        quiet_until_ = now + duration(static_cast<duration::rep>(jitter % 1000) * options_.heartbeat.count() / 250);
    } else if (now - c.asked_at >= options_.heartbeat) {
        ask_promises(c, now);
        advance_candidate(now);
    }
}

inline void replica::advance_candidate(instant now) {
    auto* c = std::get_if<candidate>(&role_);
    if (c == nullptr) return;
    if (!is_voter()) return follow(now); // It has learned that it lost its vote.
    if (!c->told.has_quorum(governing(), self_, durable_ >= c->own_promise)) return;
    // Rule 3: nothing is proposed at or below the highest chosen index of the quorum; what is missing is fetched first.
    auto const [highest, who] = c->told.highest_chosen(governing());
    if (highest > log_.chosen() && !OPENREPLICA_MUTANT(propose_below_chosen)) {
        learner_.note(highest, now);
        learner_.fetch(*who, now, fx_);
        return;
    }
    lead(now);
}

inline void replica::lead(instant now) {
    candidate won = std::get<candidate>(std::move(role_));
    leader l;
    l.number = won.number;
    l.since = now;
    l.base = log_.chosen();
    l.told = std::move(won.told);
    for (node_id id : peers_) l.peers[id] = leader::progress{.next = l.base.next(), .floor = l.base};
    role_ = std::move(l);
    hint_ = self_;
    propose_merged(std::get<leader>(role_), now);
    batches_.ask_again();
    beat(now); // Followers learn at once whom to follow.
}

/// Proposes again what may have been chosen above the chosen prefix, and this ballot's own no-op; a stop-sign among it comes
/// last.
inline void replica::propose_merged(leader& l, instant now) {
    std::vector<value> values = l.told.merge(governing(), log_);
    if (log_.holds(log_.chosen())) stamp_ = std::max(stamp_, log_.value_at(log_.chosen()).stamp);
    for (value const& v : values) stamp_ = std::max(stamp_, v.stamp);
    if (l.clock(now) < stamp_) l.clock_base = l.clock_base.plus(stamp_.since(l.clock(now)));
    l.own_acked = std::max(l.own_acked, log_.chosen());
    l.settled = std::max(l.settled, log_.chosen());
    l.stopped = !values.empty() && values.back().kind == value_kind::configuration;
    l.no_op = log_.chosen().plus(values.size() + 1);
    if (l.stopped)
        l.retiring = governing();
    else
        values.push_back(value{value_kind::no_op, l.clock(now), {}});
    propose_values(l, std::move(values), now);
}

inline void replica::follow(instant now) {
    if (std::holds_alternative<follower>(role_)) return;
    role_ = follower{};
    if (hint_ == self_) hint_.reset();
    unhappy_since_ = now;
    batches_.ask_again();
}

inline void replica::on(node_id, reject const& m, instant now) { preempted(m.promised, now); }

inline void replica::preempted(ballot const& by, instant now) {
    election_.note(by);
    if (auto* c = std::get_if<candidate>(&role_); c != nullptr && by > c->number) {
        follow(now);
        quiet_until_ = now + options_.heartbeat;
    } else if (auto* l = std::get_if<leader>(&role_); l != nullptr && by > l->number) {
        // A ballot that nobody leads stands in the way: take a higher one. If its owner does lead, follow it.
        auto const other = election_.leader(now, options_.election_timeout_min);
        follow(now);
        if (!other && is_voter()) campaign(now);
    }
}

// ---- phase 2

inline std::size_t replica::fitting(leader const& l, std::span<shared_bytes const> commands) const {
    // Rule 1: the slots above a stop-sign belong to the new configuration.
    if (l.stopped && !OPENREPLICA_MUTANT(proposes_past_stop_sign)) return 0;
    auto const open = static_cast<std::size_t>(proposed().since(log_.chosen()));
    std::size_t bytes = l.open_bytes;
    std::size_t n = 0;
    for (; n < commands.size() && open + n < options_.window_entries && bytes < options_.window_bytes; ++n)
        bytes += value{value_kind::command, {}, commands[n]}.weight();
    return n;
}

inline std::size_t replica::propose(std::span<shared_bytes const> commands, instant now) {
    auto* l = std::get_if<leader>(&role_);
    if (l == nullptr) return 0;
    settle(*l);
    std::size_t const taken = fitting(*l, commands);
    log_time const stamp = l->clock(now);
    std::vector<value> values;
    for (shared_bytes const& c : commands.first(taken)) values.push_back(value{value_kind::command, stamp, c});
    if (taken > 0) propose_values(*l, std::move(values), now);
    return taken;
}

inline bool replica::has_room(std::span<shared_bytes const> commands) const {
    auto const* l = std::get_if<leader>(&role_);
    return l != nullptr && fitting(*l, commands) == commands.size();
}

inline void replica::propose_values(leader& l, std::vector<value> values, instant now) {
    slot const first = acceptor_.held().next();
    for (value const& v : values) l.open_bytes += v.weight();
    lsn const written = acceptor_.accept_own(l.number, first, values, fx_);
    l.own_writes.emplace_back(written, acceptor_.held());
    l.open_since.emplace_back(acceptor_.held(), now);
    l.own_durable(durable_);
    count_votes(now);
}

inline void replica::on(node_id from, accepted const& m, instant now) {
    auto* l = std::get_if<leader>(&role_);
    // Acks are tagged with the ballot they were written under: one of an earlier ballot proves nothing here.
    // Only above a stop-sign may a peer know more to be chosen than this leader has proposed.
    if (l == nullptr || (m.upto > proposed() && !l->stopped)) return;
    if (m.number != l->number && !OPENREPLICA_MUTANT(stale_ack_counted)) return;
    auto const it = l->peers.find(from);
    if (it == l->peers.end()) return;
    leader::progress& p = it->second;
    slot const upto = std::min(m.upto, proposed());
    p.acked = std::max(p.acked, upto);
    if (p.lagging) {
        rewind(*l, p, upto);
    } else if (p.next <= upto) {
        p.next = upto.next();
    } else if (m.gap && p.next > upto.next() && now - p.rewound_at >= options_.heartbeat) {
        // Many accepts behind one hole complain at once; one rewind answers them all.
        p.rewound_at = now;
        rewind(*l, p, upto);
    }
    count_votes(now);
}

/// Sends again from behind `held`; entries below this ballot's first slot are the peer's own business to fetch. What it
/// has acknowledged it holds, whatever a message says that comes late.
inline void replica::rewind(leader& l, leader::progress& p, slot held) {
    held = std::max(held, p.acked);
    p.next = std::max(held, l.base).next();
    p.lagging = held < l.base || p.next <= log_.trimmed();
}

inline void replica::count_votes(instant now) {
    auto* l = std::get_if<leader>(&role_);
    if (l == nullptr) return;
    slot upto = l->tally(OPENREPLICA_MUTANT(old_voters_counted) && l->retiring ? *l->retiring : governing(), self_);
    // A stop-sign is announced when those whom it brings hold it too: nobody else could go on from there.
    if (auto const* k = log_.open_stop_sign(); k != nullptr && k->first <= upto && !OPENREPLICA_MUTANT(proposes_past_stop_sign))
        upto = l->tally(k->second, self_) >= k->first ? k->first : k->first.prev();
    if (upto <= log_.chosen()) return;
    learner_.choose(upto, now, fx_);
    settle(*l);
    answer_reads(*l);
    l->stopped ? activate(*l, now) : finish_change(*l, now);
}

/// Takes what has been chosen out of the window.
inline void replica::settle(leader& l) {
    for (; l.settled < log_.chosen(); l.settled = l.settled.next())
        l.open_bytes -= log_.value_at(l.settled.next()).weight();
    while (!l.open_since.empty() && l.open_since.front().first <= log_.chosen()) l.open_since.pop_front();
}

inline void replica::pump(leader& l) {
    // Peers that need the same slots get one message, which is encoded once.
    std::map<slot, std::vector<node_id>> by_next;
    for (auto const& [id, p] : l.peers) {
        bool const room = p.next.since(std::max(p.acked, p.floor)) <= options_.window_entries;
        if (!p.lagging && p.next <= proposed() && log_.holds(p.next) && room) by_next[p.next].push_back(id);
    }
    for (auto const& [next, ids] : by_next) {
        slot first = next;
        while (first <= proposed()) {
            accept m{l.number, log_.governing(first).number, first, {}, log_.chosen()};
            std::size_t bytes = 0;
            slot s = first;
            for (bool ends = false; s <= proposed() && !ends; s = s.next()) {
                m.values.push_back(log_.value_at(s));
                bytes += m.values.back().weight();
                // What follows a stop-sign is of another epoch.
                ends = bytes >= options_.batch_bytes || m.values.back().kind == value_kind::configuration;
            }
            fx_.send(ids, std::move(m));
            first = s;
            if (first.since(next) >= options_.window_entries) break;
        }
        for (node_id id : ids) {
            l.peers[id].next = first;
            l.peers[id].told = log_.chosen();
        }
    }
}

/// The chosen index rides on accepts; a peer to which none goes is told at once.
inline void replica::send_chosen(leader& l) {
    std::vector<node_id> ids;
    for (auto& [id, p] : l.peers)
        if (p.told < log_.chosen()) {
            ids.push_back(id);
            p.told = log_.chosen();
        }
    fx_.send(std::move(ids), chosen_index{l.number, log_.chosen()});
}

inline void replica::watch_progress(leader& l, instant now) {
    duration const limit = options_.election_timeout_max;
    // Check-quorum: a leader that hears no quorum stops serving and steps down.
    bool const fresh = now - l.since < limit;
    bool const followed = holds_for_all(l, [&](configuration const& c) {
        return election_.quorum_follows(c, l.number, now, limit);
    });
    if (!fresh && !followed) return follow(now);
    settle(l);
    // Rule 7: its links are up, but its oldest accept does not get chosen: somebody else may do better.
    l.stalled = !l.open_since.empty() && now - l.open_since.front().second > 2 * limit;
    if (l.stalled && (governing().voters.size() > 1 || l.stopped)) {
        quiet_until_ = now + 2 * limit;
        follow(now);
    }
}

// ---- the leader's reads

inline void replica::answer_reads(leader& l) {
    if (log_.chosen() < l.no_op && !OPENREPLICA_MUTANT(read_before_no_op)) return;
    std::uint64_t answered = beats_;
    (void)holds_for_all(l, [&](configuration const& c) {
        answered = std::min(answered, l.confirmed(c, self_, beats_));
        return true;
    });
    for (auto const& w : l.reads.take_confirmed(answered)) {
        // Rule 6: before its no-op was chosen this leader did not know what earlier ballots had chosen.
        slot const index = OPENREPLICA_MUTANT(read_before_no_op) ? w.index : std::max(w.index, l.no_op);
        if (w.from == self_)
            read_point_reached(w.number, index);
        else
            fx_.send(w.from, read_reply{w.number, index});
    }
}

inline std::optional<log_time> replica::clock(instant now) const {
    auto const* l = std::get_if<leader>(&role_);
    return l == nullptr ? std::nullopt : std::optional(l->clock(now));
}

inline duration replica::leading_for(instant now) const {
    auto const* l = std::get_if<leader>(&role_);
    return l == nullptr ? duration{} : now - l->since;
}

} // namespace openreplica::inline v0::paxos
