// The replica's members that every node runs, leading or not. Included by replica.hpp.
#pragma once

#include <openreplica/paxos/replica.hpp>

namespace openreplica::inline v0::paxos {

/// What a node must not go below: its promises, and whatever it holds.
[[nodiscard]] inline ballot highest_ballot(durable_state const& s) {
    ballot b = std::max(s.promised, s.base.behind);
    for (entry const& e : s.entries) b = std::max(b, e.accepted);
    return b;
}

inline replica::replica(node_id self, configuration first, replica_options options, durable_state const& recovered,
                        instant now)
    : self_(self), options_(options), log_(std::move(first)),
      acceptor_(log_, highest_ballot(recovered), options.promise_bytes), learner_(log_, acceptor_, options.learn_bytes),
      election_(self), batches_(options.incarnation), stamp_(recovered.base.stamp), beats_(options.incarnation >> 2),
      next_beat_(now), last_tick_(now), unhappy_since_(now), quiet_until_(now), patience_(spread(self.low)) {
    bool const forgets = OPENREPLICA_MUTANT(restart_forgets_configuration);
    if (recovered.base.at > slot{})
        log_.install(recovered.base.at, forgets ? configuration(governing()) : recovered.base.governing);
    for (entry const& e : recovered.entries) log_.put(e.at, e.accepted, e.what);
    election_.note(acceptor_.promised());
    // The hint is believed when the entry that it names is still here: the log up to it is what was chosen then.
    slot const hint = recovered.chosen;
    if (hint > log_.chosen() && log_.holds(hint) && log_.ballot_at(hint) >= recovered.chosen_under)
        OPENREPLICA_MUTANT(recovered_not_applied) ? log_.choose(hint) : learner_.choose(hint, now, fx_);
    hinted_ = log_.chosen();
    for (member const& m : governing().voters) add_peer(m.id);
}

inline void replica::step(node_id from, message const& m, instant now) {
    std::visit([&](auto const& body) { on(from, body, now); }, m);
}

inline void replica::add_peer(node_id peer) {
    if (peer == self_ || !peers_.insert(peer).second) return;
    if (auto* l = std::get_if<leader>(&role_)) l->peers[peer] = leader::progress{.next = proposed().next(), .floor = proposed()};
}

inline void replica::remove_peer(node_id peer) {
    if (governing().has_voter(peer)) return;
    peers_.erase(peer);
    election_.forget(peer);
    if (auto* l = std::get_if<leader>(&role_)) l->peers.erase(peer);
}

inline void replica::suspect(node_id peer, instant now) {
    election_.suspect(peer);
    if (hint_ == peer) hint_.reset();
    // Whoever lost its leader looks again after one or two heartbeats instead of a whole election timeout: the others
    // must have had the time to notice, and a leader whose connection merely broke to answer over a new one.
    if (!is_leader() && !unhappy_since_ && !is_happy(now)) {
        unhappy_since_ = now;
        patience_ = options_.heartbeat + duration(static_cast<duration::rep>(self_.low % 1000) *
                                                  options_.heartbeat.count() / 1000);
    }
}

inline std::vector<node_id> replica::others() const { return {peers_.begin(), peers_.end()}; }

// ---- time

inline void replica::tick(instant now, std::uint64_t jitter) {
    duration const pause = now - last_tick_;
    last_tick_ = now;
    if (pause > 3 * options_.heartbeat) {
        // This process did not run: its own timers prove nothing about the others.
        election_.excuse(pause);
        if (unhappy_since_) unhappy_since_ = now;
    }
    if (now >= next_beat_) beat(now);
    catch_up(now, jitter);
    if (auto* l = std::get_if<leader>(&role_)) {
        press_change(*l, now);
        watch_progress(*l, now);
    } else if (auto* c = std::get_if<candidate>(&role_)) {
        watch_campaign(*c, now, jitter);
    } else {
        consider_running(now, jitter);
    }
}

inline void replica::consider_running(instant now, std::uint64_t jitter) {
    if (is_happy(now)) {
        unhappy_since_.reset();
        return;
    }
    if (!unhappy_since_) {
        unhappy_since_ = now;
        patience_ = spread(jitter);
    }
    if (!is_voter() || !is_fit_to_lead(now) || now < quiet_until_ || now - *unhappy_since_ < patience_) return;
    duration const limit = options_.election_timeout_min;
    if (!election_.reaches_quorum(governing(), now, limit) || election_.happy_voter(governing(), now, limit)) return;
    // Rule 7: a voter that lags far behind another one lets that one run first.
    if (election_.highest_chosen(governing(), now, limit).since(log_.chosen()) > options_.window_entries) {
        quiet_until_ = now + 2 * options_.election_timeout_max;
        return;
    }
    campaign(now);
}

/// How long to stay unhappy before running. Silence of one minimal election timeout made the node unhappy already, so
/// this is what spreads the nodes between the minimum and the maximum.
inline duration replica::spread(std::uint64_t jitter) const {
    auto const range = (options_.election_timeout_max - options_.election_timeout_min).count();
    return duration(range > 0 ? static_cast<duration::rep>(jitter % static_cast<std::uint64_t>(range)) : 0);
}

inline bool replica::is_happy(instant now) const {
    duration const limit = options_.election_timeout_min;
    if (auto const* l = std::get_if<leader>(&role_))
        return !l->stalled && (now - l->since < limit || holds_for_all(*l, [&](configuration const& c) {
            return election_.quorum_follows(c, l->number, now, options_.election_timeout_max);
        }));
    if (std::holds_alternative<candidate>(role_)) return false;
    auto const id = election_.leader(now, limit);
    return id && election_.seen(*id, now, limit)->said.happy;
}

inline void replica::beat(instant now) {
    next_beat_ = now + options_.heartbeat;
    send_heartbeats();
    if (log_.chosen() > hinted_ && log_.holds(log_.chosen())) {
        hinted_ = log_.chosen();
        fx_.write(chosen_record{hinted_, log_.ballot_at(hinted_)});
    }
    if (auto* l = std::get_if<leader>(&role_))
        for (auto& [id, p] : l->peers)
            if (p.marked == 0) {
                p.marked = beats_;
                p.next_then = p.next;
            }
}

inline void replica::send_heartbeats() {
    ++beats_;
    heartbeat m{beats_, {}, log_.chosen()};
    if (auto* l = std::get_if<leader>(&role_)) {
        m.leading = l->number;
        l->reads.round_sent(beats_);
        if (governing().voters.size() == 1) answer_reads(*l); // Alone, it is its own quorum.
    }
    fx_.send(others(), m);
}

// ---- messages that every node answers

inline void replica::on(node_id from, heartbeat const& m, instant now) {
    add_peer(from);
    election_.note(m.leading);
    learner_.note(m.chosen, now);
    if (!m.leading.empty() && m.leading >= acceptor_.promised() && hint_ != from && !is_leader()) {
        hint_ = from;
        batches_.ask_again();
        // Ask it at once: only its answer makes this node happy.
        fx_.send(from, heartbeat{beats_, {}, log_.chosen()});
    }
    if (!m.leading.empty() && m.leading == acceptor_.promised()) learner_.on_chosen(m.leading, m.chosen, now, fx_);
    fx_.send(from, heartbeat_reply{m.number, acceptor_.promised(), is_leader(), is_happy(now), log_.chosen(),
                                   acceptor_.held(), disk_, governing().number,
                                   election_.silent_voters(governing(), now, options_.election_timeout_max)});
}

inline void replica::on(node_id from, heartbeat_reply const& m, instant now) {
    if (!peers_.contains(from) || m.number > beats_) return;
    election_.on_reply(from, m, now);
    learner_.note(m.chosen, now);
    auto* l = std::get_if<leader>(&role_);
    if (l == nullptr) {
        if (m.leading && m.promised >= acceptor_.promised()) hint_ = from;
        return;
    }
    if (m.promised > l->number && governing().has_voter(from)) return preempted(m.promised, now);
    auto const it = l->peers.find(from);
    if (it == l->peers.end()) return;
    leader::progress& p = it->second;
    if (m.promised == l->number) {
        p.answered = std::max(p.answered, m.number);
        answer_reads(*l);
    }
    if (p.marked == 0 || m.number < p.marked) return;
    // What left before the marked heartbeat should have been there before it: if it was not, it is lost.
    slot const there = m.promised == l->number ? std::max(m.held, p.acked) : p.acked;
    if (!p.lagging && there.next() < p.next_then) rewind(*l, p, there);
    p.marked = 0;
    ask_for_ack(p, there);
}

/// What a peer holds and does not acknowledge waits for its disk, or the acknowledgement is lost: when nothing else is on its
/// way, the last entry is sent again.
inline void replica::ask_for_ack(leader::progress& p, slot there) {
    bool const waits = !p.lagging && p.acked < there && p.acked == p.acked_then;
    p.silent_beats = waits ? p.silent_beats + 1 : 0;
    p.acked_then = p.acked;
    constexpr std::uint32_t patience = 4;
    if (p.silent_beats % patience == patience - 1 && p.next == there.next()) p.next = there;
}

inline void replica::on(node_id from, prepare const& m, instant now) {
    add_peer(from);
    // Whoever lost its vote while it was away must not disturb: nobody needs it to lead, and it learns better from heartbeats.
    if (m.current < governing().number && !governing().has_voter(from)) return;
    election_.note(m.number);
    if (m.number > acceptor_.promised()) follow(now);
    acceptor_.on_prepare(from, m, fx_);
    // As long as it asks, its campaign gets its time: disks may be slow.
    if (m.number == acceptor_.promised()) quiet_until_ = std::max(quiet_until_, now + options_.election_timeout_min);
    learner_.note(m.chosen, now);
}

inline void replica::on(node_id from, accept const& m, instant now) {
    election_.note(m.number);
    if (m.number.owner != from) return; // A ballot has one owner; nobody else proposes in it.
    if (m.number > acceptor_.promised()) follow(now);
    if (m.number >= acceptor_.promised()) hint_ = from;
    bool const taken = acceptor_.on_accept(from, m, fx_);
    if (!taken && m.number == acceptor_.promised()) {
        // Something below it is missing: fetch what is chosen, the leader sends the rest again.
        learner_.note(m.chosen, now);
        if (m.chosen > log_.chosen()) learner_.fetch(from, now, fx_);
    }
    learner_.on_chosen(m.number, m.chosen, now, fx_);
}

inline void replica::on(node_id from, chosen_index const& m, instant now) {
    if (m.number.owner != from) return;
    election_.note(m.number);
    learner_.on_chosen(m.number, m.chosen, now, fx_);
}

inline void replica::on(node_id from, learn const& m, instant) { learner_.on_learn(from, m, fx_); }

inline void replica::on(node_id from, learned const& m, instant now) {
    if (m.behind > acceptor_.promised()) {
        election_.note(m.behind);
        follow(now);
    }
    bool const moved = learner_.on_learned(from, m, now, fx_);
    if (moved) {
        if (learner_.is_behind() && m.chosen > log_.chosen()) learner_.fetch(from, now, fx_);
        after_learning(now);
    }
}

inline void replica::after_learning(instant now) {
    if (auto* c = std::get_if<candidate>(&role_)) {
        c->moved_at = now;
        return advance_candidate(now);
    }
    if (auto* l = std::get_if<leader>(&role_)) return activate(*l, now);
    // The leader waits to hear that the gap is closed.
    if (!acceptor_.promised().empty() && acceptor_.promised().owner != self_)
        fx_.send_durable(acceptor_.promised().owner, accepted{acceptor_.promised(), acceptor_.held(), true});
}

inline void replica::catch_up(instant now, std::uint64_t jitter) {
    if (!learner_.should_fetch(now, options_.heartbeat) || peers_.empty()) return;
    // Any peer has chosen entries; asking a random one spares the leader and gets around a dead one.
    auto it = peers_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(jitter % peers_.size()));
    learner_.fetch(*it, now, fx_);
}

inline void replica::persisted(lsn upto, instant now) {
    durable_ = std::max(durable_, upto);
    if (auto* c = std::get_if<candidate>(&role_); c != nullptr && !c->promised && durable_ >= c->own_promise) {
        c->promised = true;
        c->moved_at = now;
    }
    if (auto* l = std::get_if<leader>(&role_)) {
        l->own_durable(OPENREPLICA_MUTANT(any_report_counts) ? fx_.last() : durable_);
        count_votes(now);
    }
    advance_candidate(now);
}

// ---- reads

inline void replica::send_reads(instant now) {
    auto* l = std::get_if<leader>(&role_);
    std::optional<node_id> const to = l != nullptr ? std::optional(self_) : route(now);
    if (!to) return;
    auto const number = batches_.due(now, 2 * options_.heartbeat);
    if (number && l == nullptr) fx_.send(*to, read_request{*number});
    if (l == nullptr) return;
    if (number) l->reads.add(self_, *number, log_.chosen());
    if (l->reads.needs_round()) send_heartbeats();
    if (OPENREPLICA_MUTANT(read_without_quorum)) answer_reads(*l);
}

inline void replica::on(node_id from, read_request const& m, instant now) {
    if (auto* l = std::get_if<leader>(&role_)) {
        l->reads.add(from, m.number, log_.chosen());
    } else if (route(now) && *route(now) != from) {
        // The sender cannot reach the leader; its read joins the ones that wait here.
        relayed_.push_back({from, m.number, batches_.add()});
    }
}

inline void replica::on(node_id, read_reply const& m, instant) { read_point_reached(m.number, m.index); }

inline void replica::read_point_reached(std::uint64_t number, slot index) {
    if (!batches_.on_answer(number)) return;
    fx_.serve_reads({number, index});
    std::erase_if(relayed_, [&](relayed_read const& r) {
        if (r.batch > number) return false;
        fx_.send(r.from, read_reply{r.number, index});
        return true;
    });
}

// ---- snapshots and the log's start

inline bool replica::install(snapshot const& s, instant now) {
    if (s.at <= log_.chosen() && !OPENREPLICA_MUTANT(chosen_goes_back)) return false;
    follow(now);
    acceptor_.promise_to(s.behind, fx_); // Rule R.
    election_.note(s.behind);
    log_.install(s.at, OPENREPLICA_MUTANT(install_keeps_configuration) ? configuration(governing()) : s.governing);
    hinted_ = s.at;
    fx_.write(chosen_record{s.at, s.behind}); // What is acknowledged from here on waits for the snapshot to be durable.
    stamp_ = std::max(stamp_, s.stamp);
    learner_.installed(s.at, now);
    after_learning(now);
    return true;
}

inline void replica::trim(slot upto) {
    if (auto* l = std::get_if<leader>(&role_)) settle(*l);
    log_.trim(std::min(upto, log_.chosen()));
}

// ---- the disk

inline void replica::set_disk(disk_state s, instant now) {
    disk_ = s;
    if (!is_leader() || is_fit_to_lead(now)) return;
    follow(now);
    quiet_until_ = now + 2 * options_.election_timeout_max; // Somebody with a better disk goes first.
}

/// A slow disk is no reason to hand over to nobody, and neither is a full one when the others' are no better.
inline bool replica::is_fit_to_lead(instant now) const {
    if (disk_ == disk_state::ok) return true;
    if (disk_ == disk_state::failed) return false;
    return election_.with_disk(governing(), disk_state::ok, now, options_.election_timeout_max) < governing().quorum();
}

inline bool replica::quorum_full(instant now) const {
    if (!is_leader()) return false;
    std::size_t const full = election_.with_disk(governing(), disk_state::full, now, options_.election_timeout_max) +
                             (disk_ == disk_state::full && is_voter() ? 1 : 0);
    return governing().voters.size() - full < governing().quorum();
}

// ---- output and questions

inline output replica::take_output(instant now) {
    if (governing().number != met_) {
        met_ = governing().number;
        for (member const& m : governing().voters) add_peer(m.id);
    }
    send_reads(now);
    if (auto* l = std::get_if<leader>(&role_)) {
        pump(*l);
        send_chosen(*l);
    }
    output out = fx_.take();
    for (entry const& e : out.chosen) stamp_ = std::max(stamp_, e.what.stamp);
    return out;
}

inline std::optional<node_id> replica::leader_id(instant now) const {
    if (is_leader()) return self_;
    auto const evident = election_.leader(now, options_.election_timeout_max);
    return evident ? evident : hint_;
}

inline std::optional<node_id> replica::route(instant now) const {
    duration const limit = options_.election_timeout_max;
    auto const id = leader_id(now);
    if (id && election_.reaches(*id, now, limit)) return id;
    // A connection may be open and lead nowhere: whoever sees the leader brings it what this node cannot.
    auto const relay = election_.happy_voter(governing(), now, limit);
    return relay ? relay : id;
}

inline observation replica::observe() const {
    observation o{acceptor_.promised(), log_.trimmed(), log_.chosen(), log_.last(), acceptor_.held(),
                  is_leader(), std::holds_alternative<candidate>(role_), {}, {}, 0};
    if (auto const* l = std::get_if<leader>(&role_)) {
        o.leading_ballot = l->number;
        o.first_proposed = l->base.next();
        o.open_bytes = l->open_bytes;
    }
    return o;
}

} // namespace openreplica::inline v0::paxos
