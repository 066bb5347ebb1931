// The engine's members that deal with the group: founding, peers, messages, time. Included by engine.hpp.
#pragma once

#include <openreplica/runtime/engine.hpp>

namespace openreplica::inline v0::runtime {

inline engine::engine(paxos::member self, engine_options options, environment& env, storage::storage& store,
                      calls& pending)
    : self_(std::move(self)), options_(std::move(options)), env_(env), store_(store), calls_(pending), healing_(options_.healing) {
    options_.protocol.incarnation = env_.random();
    next_forward_ = (env_.random() >> 2) + 1; // A refusal of an earlier life's forward must not match.
    opener_ = env_.random() | 1;
}

inline void engine::start(paxos::durable_state&& recovered) {
    founding_.emplace(self_, founding_options(), recovered, env_.now());
    if (met_self_) founding_->met_self(env_.now());
    if (recovered.base.at > slot{}) {
        checked_snapshot base = with_checksum(recovered.base);
        install_ = snapshot_parts{base.what, {base.what.state}, base.checksum};
        install_is_recovered_ = true;
        snapshots_.keep(std::move(base), env_.now()); // Peers that need it may ask at once.
    }
    if (recovered.group_chosen) join(recovered.group, recovered);
}

inline paxos::founding_options engine::founding_options() const {
    paxos::founding_options o;
    o.founders = options_.founders;
    o.has_seeds = options_.has_seeds;
    return o;
}

inline void engine::join(paxos::first_configuration const& group, paxos::durable_state const& recovered) {
    cluster_ = group.cluster;
    first_ = group.members;
    core_base_ = written_;
    replica_.emplace(self_.id, first_, options_.protocol, recovered, env_.now());
    for (node_id peer : up_) replica_->add_peer(peer);
    known_ = replica_->governing();
    env_.identity_changed(self_.id, cluster_, known_);
    env_.log(log_level::info, "node " + short_name(self_.id) + " belongs to cluster " + short_name(cluster_) + " of " +
                                  std::to_string(known_.voters.size()) + " voters, " +
                                  (known_.has_voter(self_.id) ? "as a voter" : "as a standby without a vote"));
}

/// Follows the configuration that the log brings.
inline void engine::watch_voters() {
    paxos::configuration const& now = replica_->governing();
    if (now.number != known_.number) {
        std::string voters;
        for (paxos::member const& m : now.voters) voters += " " + to_string(m.address);
        env_.log(log_level::info, "epoch " + std::to_string(now.number.value) + " begins; its voters are" + voters);
        for (paxos::member const& m : std::exchange(known_, now).voters)
            if (std::find(up_.begin(), up_.end(), m.id) == up_.end()) replica_->remove_peer(m.id);
        env_.voters_changed(known_);
    }
    // Its id has had its vote. As a standby under a fresh one it may be given another.
    bool const done = parked_.empty() && parked_commands_.empty() && replica_->leader_id(env_.now());
    bool const retires = replica_->is_retired() && !OPENREPLICA_MUTANT(removed_keeps_id);
    if (retires && done && health_ == storage::health::ok) start_over(true);
}

inline void engine::on_peer_up(node_id peer) {
    if (std::find(up_.begin(), up_.end(), peer) == up_.end()) up_.push_back(peer);
    if (replica_) replica_->add_peer(peer);
}

inline void engine::on_peer_down(node_id peer) {
    std::erase(up_, peer);
    // Whoever comes back may have forgotten what it took: its refusals prove nothing about what was sent before.
    std::erase_if(forwards_, [&](auto const& f) { return f.second.to == peer; });
    std::erase_if(sent_for_clients_, [&](auto const& f) { return f.second.to == peer; });
    if (replica_) replica_->suspect(peer, env_.now());
}

inline void engine::on_peer_forgotten(node_id peer) {
    std::erase(up_, peer);
    if (replica_) replica_->remove_peer(peer);
}

inline void engine::on_met_self() {
    met_self_ = true;
    if (founding_) founding_->met_self(env_.now());
}

inline void engine::on_message(node_id from, paxos::message&& m) {
    if (!replica_ || stopped_) return;
    std::visit([&](auto& body) { on(from, body); }, m);
}

inline void engine::on_message(paxos::member const& from, paxos::founding_message const& m) {
    if (stopped_ || !founding_) return;
    bool const asks = std::holds_alternative<paxos::discover>(m);
    if (replica_ && asks) {
        // Whoever looks for a group is told of this one; a node advertises it once its first no-op is chosen.
        bool const established = replica_->entries().chosen() > slot{};
        env_.send(from.id, paxos::founding_message(paxos::welcome{cluster_, replica_->governing(), established, first_}));
    }
    founding_->step(from, m, env_.now());
}

inline void engine::step_founding() {
    paxos::founding_output out = founding_->take_output();
    if (!out.append.empty()) {
        written_ = written_.plus(out.append.size());
        store_.append(out.append, written_);
    }
    for (auto& m : out.messages) {
        lsn const after = m.durable ? written_ : lsn{};
        held_founding_.emplace_back(std::move(m), after);
    }
    while (!held_founding_.empty() && held_founding_.front().second <= durable_) {
        auto const& m = held_founding_.front().first;
        env_.send(m.to, m.what);
        held_founding_.pop_front();
    }
    if (out.needs_new_identity) return start_over(false);
    if (replica_) return;
    if (auto const* g = founding_->group())
        join(*g, {});
    else if (auto const* w = founding_->joined())
        join_existing(*w);
}

/// Joins a group that others founded, and remembers it: what is written from here on belongs to that cluster.
inline void engine::join_existing(paxos::welcome const& w) {
    using paxos::founding_record;
    paxos::first_configuration const group{w.cluster, w.first};
    paxos::record const joined = founding_record{founding_record::step::chosen, group};
    written_ = written_.next();
    store_.append(std::span(&joined, 1), written_);
    join(group, {});
    env_.voters_changed(w.governing); // Where they are now: the first ones may be gone.
}

/// This node's id is of no more use: it has refused to take part in a cluster for good, or has had its vote. It goes on as an
/// empty node under a fresh one; its objects stay as they are until they are brought up to date.
inline void engine::start_over(bool only_joins) {
    if (only_joins) options_.founders = 0;
    options_.protocol.incarnation = env_.random(); // An answer to what the old id asked must not match.
    for (read_group& g : asked_) g.number = 0;     // They are asked again.
    self_.id = node_id{env_.random(), env_.random()};
    replica_.reset();
    cluster_ = {};
    held_founding_.clear();
    held_.clear();
    parked_.clear();
    parked_commands_.clear();
    keeping_.reset();
    snapshotting_ = installing_ = false;
    snapshot_tried_ = {};
    install_.reset();
    snapshots_ = snapshot_transfer{options_.snapshot_chunk};
    store_.start_over(self_.id, only_joins);
    founding_.emplace(self_, founding_options(), paxos::durable_state{}, env_.now());
    if (met_self_) founding_->met_self(env_.now());
    env_.identity_changed(self_.id, {}, {});
    std::string const why = only_joins ? "this node has lost its vote" : "the first configuration that this node had accepted was "
                                                                         "abandoned";
    env_.log(only_joins ? log_level::info : log_level::warning, why + "; it goes on as node " + short_name(self_.id));
}

inline void engine::tick() {
    if (stopped_) return;
    instant const now = env_.now();
    if (!replica_ && options_.has_seeds) founding_->seeds_silent(env_.silent_seeds());
    if (replica_ && replica_->entries().chosen() > slot{}) founding_->established();
    founding_->tick(now, env_.random(), cluster_id{env_.random(), env_.random()});
    calls_.expire(now);
    expire_reads(now);
    watch_storage(now);
    if (!replica_) return press_wishes(now);
    replica_->tick(now, env_.random());
    heal(now);
    carry_out_orders(now);
    watch_voters();
    press_wishes(now);
    if (!replica_) return;
    watch_leader(now);
    keep_session(now);
    keep_clock(now);
    calls_.resend(now - options_.retry);
}

inline void engine::watch_storage(instant now) {
    bool const stays_full = OPENREPLICA_MUTANT(full_for_good) && health_ == storage::health::full;
    if (!stays_full) health_ = store_.state();
    if (replica_) replica_->set_disk(health_, now);
}

inline void engine::watch_leader(instant now) {
    auto const leader = replica_->leader_id(now);
    if (leader != known_leader_) {
        known_leader_ = leader;
        env_.log(log_level::info, leader ? "node " + short_name(*leader) + " leads" : "no leader is known");
    }
    auto const route = replica_->route(now);
    if (route == route_) return;
    route_ = route;
    // What was on its way to the old leader may be lost: the session table sorts out what was not.
    if (route) calls_.resend(now);
}

inline void engine::keep_session(instant now) {
    if (!replica_->route(now)) return;
    if (calls_.session() == session_id{}) {
        if (now - opened_at_ < options_.retry || !is_near_the_end(now)) return;
        opened_at_ = now;
        std::string const body = "[" + std::to_string(options_.session_timeout.count()) + "]";
        send_command(encode(envelope{command_kind::open_session, object_id{opener_}, {}, {}, {}, {}, body}));
    } else if (now - session_used_ >= options_.session_timeout / 3 &&
               now - kept_alive_at_ >= std::min(options_.retry, options_.session_timeout / 3)) {
        kept_alive_at_ = now;
        send_command(encode(envelope{command_kind::keep_alive, {}, calls_.session(), {}, {}, {}, "[]"}));
    }
}

/// Little is left to take up before what is proposed now. A session that is opened earlier may have expired when this
/// node gets to see it.
inline bool engine::is_near_the_end(instant now) const {
    constexpr std::uint64_t near = 32768; // entries
    slot const known = replica_->known_chosen();
    return !installing_ && !install_ && !snapshots_.is_fetching(now) &&
           known.since(std::min(report_.applied, known)) <= near;
}

inline void engine::keep_clock(instant now) {
    // Rule 13: nothing expires until a leader has led for one session timeout, so that everyone could be heard.
    auto const clock = replica_->clock(now);
    if (!clock || !report_.next_deadline || *report_.next_deadline > *clock) return;
    if (replica_->leading_for(now) < options_.session_timeout || now - ticked_at_ < options_.retry) return;
    ticked_at_ = now;
    send_command(encode(envelope{command_kind::tick, {}, {}, {}, {}, {}, "[]"}));
}

inline void engine::stop() {
    stopped_ = true;
    calls_.stop();
    auto end = [&](std::vector<pending_read>& reads) {
        for (pending_read& r : reads)
            finished_.push_back({std::move(r.done), failed(errc::stopped, "the node was stopped")});
    };
    for (read_group& g : asked_) end(g.reads);
    for (placed_reads& p : placed_) end(p.reads);
    asked_.clear();
    placed_.clear();
    press_wishes(env_.now());
    flush();
}

inline engine_status engine::status() const {
    engine_status s;
    s.self = self_.id;
    s.cluster = cluster_;
    s.session = calls_.session();
    s.applied = report_.applied;
    s.digest = report_.digest;
    s.problem = report_.problem;
    s.log_kept_by = log_kept_by_;
    s.last_change = last_change_;
    s.freeze_pause = freeze_pause_;
    if (!replica_) {
        s.problem = founding_ ? founding_->explain() : "not started";
        return s;
    }
    instant const now = env_.now();
    s.governing = replica_->governing();
    s.leader = replica_->leader_id(now);
    s.leading = replica_->is_leader();
    s.voter = replica_->is_voter();
    s.healthy = replica_->is_happy(now);
    s.promised = replica_->promised();
    s.chosen = replica_->entries().chosen();
    s.log_start = replica_->entries().first();
    s.log_weight = replica_->entries().weight();
    return s;
}

} // namespace openreplica::inline v0::runtime
