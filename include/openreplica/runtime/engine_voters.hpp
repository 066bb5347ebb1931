// The engine's members that change the group's voters and its leader on somebody's wish. Included by engine.hpp.
#pragma once

#include <openreplica/runtime/engine.hpp>

namespace openreplica::inline v0::runtime {

// ---- wishes of this process

inline void engine::wish(call_ticket ticket, change_wish what, instant deadline, gateway::completion done) {
    wishes_.push_back({ticket, env_.random(), std::move(what), deadline, std::move(done)});
    press_wishes(env_.now());
}

inline void engine::cancel_wish(call_ticket ticket) {
    for (std::size_t i = 0; i < wishes_.size(); ++i)
        if (wishes_[i].ticket == ticket) return end_wish(i, errc::cancelled, "the change was cancelled");
}

/// Nothing depends on it: whoever wants to lead runs when the connection is gone.
inline bool engine::step_aside() {
    if (!replica_ || stopped_) return false;
    auto const heir = replica_->best_heir(env_.now());
    return heir && replica_->transfer_to(*heir, env_.now()).verdict == paxos::change_verdict::proposed;
}

/// Brings every wish to whoever leads. The same wish may reach several leaders: it says how things shall be, so that the
/// second finds it fulfilled.
inline void engine::press_wishes(instant now) {
    for (std::size_t i = 0; i < wishes_.size();) {
        bool const seen = wishes_[i].done_in && known_.number >= *wishes_[i].done_in;
        if (seen || (wishes_[i].done_in && (stopped_ || wishes_[i].deadline <= now)))
            finish_wish(i, {});
        else if (stopped_)
            end_wish(i, errc::stopped, "the node was stopped");
        else if (wishes_[i].deadline <= now)
            end_wish(i, errc::not_executed, "the change was not seen to be done before its deadline");
        else
            send_wish(wishes_[i++], now);
    }
}

inline void engine::finish_wish(std::size_t index, call_outcome outcome) {
    finished_.push_back({std::move(wishes_[index].done), std::move(outcome)});
    wishes_.erase(wishes_.begin() + static_cast<std::ptrdiff_t>(index));
}

inline void engine::send_wish(open_wish& w, instant now) {
    if (w.done_in) return;
    auto const to = replica_ ? replica_->route(now) : std::nullopt;
    if (!to) return;
    if (*to == self_.id) return take_order(self_.id, w.number, w.what);
    if (w.asked == to && now - w.asked_at < options_.retry) return;
    w.asked_others = w.asked_others || (w.asked && w.asked != to);
    w.asked = to;
    w.asked_at = now;
    if (auto const* c = std::get_if<paxos::voter_change>(&w.what))
        env_.send(std::span(&*to, 1), paxos::message(paxos::change_request{w.number, *c}));
    else
        env_.send(std::span(&*to, 1), paxos::message(paxos::transfer_request{w.number, std::get<std::string>(w.what)}));
}

/// Nobody waits for it any more. It may still be carried out, if anybody was asked.
inline void engine::end_wish(std::size_t index, errc unsent, std::string const& why) {
    open_wish& w = wishes_[index];
    auto const own = std::find_if(orders_.begin(), orders_.end(), [&](order const& o) { return o.number == w.number; });
    bool const mine = own != orders_.end();
    bool const perhaps = w.asked.has_value() || (mine && !own->proposed.empty());
    std::string const obstacle = mine && !own->obstacle.empty() ? ": " + own->obstacle : std::string();
    if (mine) orders_.erase(own);
    finish_wish(index, failed(perhaps ? errc::outcome_unknown : unsent, why + obstacle));
}

inline void engine::on(node_id, paxos::change_reply const& m) {
    auto const it = std::find_if(wishes_.begin(), wishes_.end(), [&](open_wish const& w) { return w.number == m.number; });
    if (it == wishes_.end()) return;
    if (m.code == 0) {
        it->done_in = m.current; // Whoever wished it shall see it.
        return;
    }
    // Another leader may have carried it out before this one refused it.
    errc const code = it->asked_others ? errc::outcome_unknown : static_cast<errc>(m.code);
    finish_wish(static_cast<std::size_t>(it - wishes_.begin()), failed(code, m.text));
}

// ---- orders: wishes that this node carries out while it leads

inline void engine::on(node_id from, paxos::change_request const& m) { take_order(from, m.number, m.what); }
inline void engine::on(node_id from, paxos::transfer_request const& m) { take_order(from, m.number, m.to); }

inline void engine::take_order(node_id from, std::uint64_t number, change_wish const& what) {
    auto const same = [&](order const& o) { return o.from == from && o.number == number; };
    auto const it = std::find_if(orders_.begin(), orders_.end(), same);
    constexpr std::size_t most = 64;
    if (it != orders_.end())
        it->heard_at = env_.now();
    else if (replica_->is_leader() && orders_.size() < most)
        orders_.push_back({from, number, what, env_.now(), env_.now()});
}

inline void engine::carry_out_orders(instant now) {
    for (std::size_t i = 0; i < orders_.size();) {
        order& o = orders_[i];
        auto const outcome = std::visit([&](auto const& what) { return carry_out(o, what, now); }, o.what);
        // Who has stopped asking is gone, or asks the next leader.
        bool const moved = !replica_->is_leader() && (o.proposed.empty() || replica_->leader_id(now));
        bool const gone = now - o.heard_at > 10 * options_.retry || (!outcome && moved);
        if (outcome) answer(o, *outcome);
        if (outcome || gone)
            orders_.erase(orders_.begin() + static_cast<std::ptrdiff_t>(i));
        else
            ++i;
    }
}

inline void engine::answer(order const& o, call_outcome const& outcome) {
    paxos::change_reply const reply{o.number, static_cast<std::uint8_t>(outcome.code), outcome.text,
                                    replica_->governing().number};
    if (o.from == self_.id)
        on(self_.id, reply);
    else
        env_.send(std::span(&o.from, 1), paxos::message(reply));
}

inline std::optional<call_outcome> engine::carry_out(order& o, paxos::voter_change const& what, instant now) {
    using paxos::change_verdict;
    auto const& entries = replica_->entries();
    if (!o.proposed.empty()) {
        bool const governs = replica_->governing().voters == o.proposed && entries.chosen() > entries.governs_since();
        return governs && !replica_->is_changing() ? std::optional(call_outcome{}) : std::nullopt;
    }
    if (!replica_->is_leader()) return std::nullopt;
    std::vector<paxos::member> voters;
    if (call_outcome const why = resolve(what, voters); !why.ok()) {
        // A node that has just joined may not have met the leader yet.
        o.obstacle = why.text;
        return now - o.begun < 4 * options_.retry ? std::nullopt : std::optional(why);
    }
    if (!have_met(o, voters, now)) return std::nullopt;
    auto const did = replica_->change_voters(voters, now);
    std::string name = short_name(did.who);
    for (paxos::member const& m : voters)
        if (m.id == did.who) name = to_string(m.address);
    switch (did.verdict) {
    case change_verdict::proposed: o.proposed = std::move(voters); return std::nullopt;
    case change_verdict::unchanged: return call_outcome{};
    case change_verdict::not_leading:
    case change_verdict::asking: return std::nullopt;
    case change_verdict::under_way: return failed(errc::change_refused, "another change of the voters is under way; try again "
                                                                        "when it is done");
    case change_verdict::unfit_size: return failed(errc::change_refused, "a group has between 1 and " +
                                                                             std::to_string(paxos::max_voters) + " voters");
    case change_verdict::removed: return failed(errc::change_refused, name + " has had a vote under this id, and lost it: it "
                                                                      "comes back under another id");
    case change_verdict::unknown:
        o.obstacle = name + " does not answer the leader";
        return std::nullopt;
    case change_verdict::not_caught_up: // These pass by themselves: the wish waits for its deadline.
        o.obstacle = name + " has not caught up with the log";
        return std::nullopt;
    case change_verdict::no_majority:
        o.obstacle = "a majority of the voters, old or new, does not answer the leader";
        return std::nullopt;
    }
    return std::nullopt;
}

/// Whoever must lead or vote in a moment has a connection to the others before it comes to that.
inline bool engine::have_met(order& o, std::vector<paxos::member> const& voters, instant now) {
    auto const& known = replica_->governing();
    bool const adds = std::any_of(voters.begin(), voters.end(), [&](auto const& m) { return !known.has_voter(m.id); });
    if (!adds) return true;
    if (o.met != voters) {
        o.met = voters;
        o.met_at = now;
        for (paxos::member const& m : voters)
            if (m.id != self_.id) env_.send(std::span(&m.id, 1), paxos::message(paxos::meet{voters}));
    }
    return now - o.met_at >= 2 * options_.protocol.heartbeat;
}

inline void engine::on(node_id, paxos::meet const& m) { env_.meet(m.voters); }

inline std::optional<call_outcome> engine::carry_out(order& o, std::string const& heir, instant now) {
    using paxos::change_verdict;
    if (!replica_->is_leader()) {
        auto const leads = replica_->leader_id(now);
        bool const as_asked = leads && !o.proposed.empty() && (heir.empty() || *leads == o.proposed.front().id);
        return as_asked ? std::optional(call_outcome{}) : std::nullopt;
    }
    // A request may be lost, and a campaign may fail.
    if (!o.proposed.empty() && now - o.proposed_at < options_.protocol.election_timeout_max) return std::nullopt;
    auto const id = replica_->best_heir(now);
    auto const found = heir.empty() ? (id ? find_voter(to_string(*id)) : std::nullopt) : find_voter(heir);
    if (!found)
        return failed(errc::change_refused, heir.empty() ? "no other voter could take over" : heir + " is no voter");
    auto const did = replica_->transfer_to(found->id, now);
    if (did.verdict == change_verdict::unchanged) return call_outcome{};
    if (did.verdict == change_verdict::unknown)
        return failed(errc::change_refused, to_string(found->address) + " does not answer the leader");
    if (did.verdict == change_verdict::not_caught_up) o.obstacle = to_string(found->address) + " has not caught up with the log";
    if (did.verdict == change_verdict::proposed) {
        o.proposed = {*found};
        o.proposed_at = now;
    }
    return std::nullopt;
}

// ---- what a leader does by itself

inline group_view engine::view_of_group(instant now) const {
    group_view group;
    auto const known = env_.acquaintances();
    auto const groups_of = [&](node_id id) {
        if (id == self_.id) return options_.failure_groups;
        auto const it = std::find_if(known.begin(), known.end(), [&](acquaintance const& a) { return a.who.id == id; });
        return it == known.end() ? std::vector<std::string>{} : it->failure_groups;
    };
    auto const look = [&](paxos::member const& m) {
        constexpr std::uint64_t near = 256; // entries
        auto const lag = replica_->lag_of(m.id);
        duration const silent = replica_->silent_for(m.id, now);
        bool const able = std::none_of(known.begin(), known.end(), [&](acquaintance const& a) {
            return a.who.id == m.id && !a.lacks.empty();
        });
        bool const close = able && lag && *lag <= near && silent < 3 * options_.protocol.heartbeat;
        return group_view::node{m, groups_of(m.id), close, silent, replica_->is_silent_to_majority(m.id, now)};
    };
    paxos::configuration const& governing = replica_->governing();
    for (paxos::member const& m : governing.voters) group.voters.push_back(look(m));
    for (acquaintance const& a : known)
        if (!governing.has_voter(a.who.id) && !governing.has_removed(a.who.id)) group.standbys.push_back(look(a.who));
    return group;
}

/// Every decision is an order like a person's, and is said aloud.
inline void engine::heal(instant now) {
    if (!healing_.is_on() || !replica_->is_established() || replica_->is_changing() || !orders_.empty()) return;
    if (auto decision = healing_.decide(view_of_group(now), now)) {
        paxos::voter_change what{.add = {}, .remove = {}, .exactly = true};
        for (paxos::member const& m : decision->voters) what.add.push_back(to_string(m.id));
        last_change_ = std::move(decision->why);
        env_.log(decision->is_failure ? log_level::warning : log_level::info, last_change_);
        take_order(self_.id, env_.random(), what);
    } else if (auto const s = healing_.take_shortage(now)) {
        std::string where;
        for (std::string const& h : s->silent) where += " " + h;
        env_.log(log_level::warning, "no standby can take the place of the silent voters:" + where + "; start one");
        env_.replacement_needed(s->silent, s->failure_groups);
    }
}

// ---- names

inline std::optional<paxos::member> engine::find_voter(std::string const& name) const {
    for (paxos::member const& m : replica_->governing().voters)
        if (to_string(m.id) == name || to_string(m.address) == name) return m;
    return std::nullopt;
}

/// A process may have come back under another id: whoever is there now is meant by its address.
inline std::optional<paxos::member> engine::find_node(std::string const& name) const {
    auto const is_meant = [&](paxos::member const& m) { return to_string(m.id) == name || to_string(m.address) == name; };
    if (is_meant(self_)) return self_;
    for (acquaintance const& a : env_.acquaintances())
        if (is_meant(a.who)) return a.who;
    return find_voter(name);
}

/// The voters that there shall be.
inline call_outcome engine::resolve(paxos::voter_change const& what, std::vector<paxos::member>& voters) const {
    if (!what.exactly) voters = replica_->governing().voters;
    for (std::string const& name : what.remove) {
        auto const m = find_voter(name);
        if (!m && !find_node(name)) return failed(errc::change_refused, name + " is no voter, and no node that the leader knows");
        if (m) std::erase_if(voters, [&](paxos::member const& v) { return v.id == m->id; });
    }
    for (std::string const& name : what.add) {
        auto const m = find_node(name);
        if (!m) return failed(errc::change_refused, "no node called " + name + " is connected to the leader; check that it runs, "
                                                    "and its seeds");
        for (acquaintance const& a : env_.acquaintances())
            if (a.who.id == m->id && !a.lacks.empty())
                return failed(errc::change_refused, name + " runs a program that does not know type \"" + a.lacks + "\", of which "
                                                    "the group has objects; upgrade it first");
        if (std::none_of(voters.begin(), voters.end(), [&](paxos::member const& v) { return v.id == m->id; })) voters.push_back(*m);
    }
    std::sort(voters.begin(), voters.end());
    std::size_t const now = replica_->governing().voters.size();
    if (voters.size() < options_.min_voters && voters.size() < now)
        return failed(errc::change_refused, "this would leave " + std::to_string(voters.size()) + " voters, fewer than min_voters = " +
                                                std::to_string(options_.min_voters));
    return {};
}

} // namespace openreplica::inline v0::runtime
