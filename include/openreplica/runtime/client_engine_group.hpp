// The client engine's members that deal with the group: endpoints, views, health. Included by client_engine.hpp.
#pragma once

#include <openreplica/runtime/client_engine.hpp>

namespace openreplica::inline v0::runtime {

inline client_engine::replica* client_engine::know(endpoint const& where) {
    if (auto const it = replicas_.find(where); it != replicas_.end()) return &it->second;
    if (replicas_.size() >= most_replicas) {
        if (!std::exchange(too_many_, true))
            env_.log(log_level::warning, "the seeds and the group name more than " + std::to_string(most_replicas) +
                                             " addresses; " + to_string(where) + " and further ones are not dialled");
        return nullptr;
    }
    replica& r = replicas_[where];
    env_.connect(where);
    return &r;
}

inline void client_engine::on_named(endpoint const& where) {
    if (stopped_) return;
    if (replica* r = know(where)) r->named = true;
}

inline void client_engine::on_omitted(endpoint const& where) {
    if (auto const it = replicas_.find(where); it != replicas_.end()) it->second.named = false;
}

inline void client_engine::on_up(endpoint const& where, node_id id) {
    auto const it = replicas_.find(where);
    if (it == replicas_.end() || stopped_) return;
    replica& r = it->second;
    r.up = true;
    if (r.id != id) r.round_trip.reset(); // Another process took over the address.
    r.id = id;
    r.seen.reset();
    r.ping = 0;
    r.heard_at = env_.now();
    watch_replica(where, r, env_.now());
}

inline void client_engine::on_down(endpoint const& where) {
    auto const it = replicas_.find(where);
    if (it == replicas_.end()) return;
    it->second.up = false;
    it->second.ping = 0;
    if (route_ == where) route_.reset();
    // Who comes back knows nothing of what was asked on the old connection.
    std::erase_if(sent_, [&](auto const& s) { return s.second.to == where; });
    for (auto& [number, r] : reads_)
        if (r.to == where) release(r);
    for (auto it2 = inquiries_.begin(); it2 != inquiries_.end();) {
        open_inquiry& i = it2->second;
        bool const lost = i.to == where && i.what.is_order;
        if (lost)
            finished_.push_back({std::move(i.what.done), failed(errc::outcome_unknown, "the connection to " + to_string(where) +
                                                                 " ended before the order's outcome was known; it may "
                                                                 "have been carried out")});
        else if (i.to == where)
            i.to.reset();
        it2 = lost ? inquiries_.erase(it2) : std::next(it2);
    }
    it->second.waiting = 0;
}

inline void client_engine::on_refused(endpoint const& where, std::string const& why) {
    std::string const line = to_string(where) + " refused this client: " + why;
    if (line != refusal_) env_.log(log_level::warning, line);
    refusal_ = line;
}

inline void client_engine::on_reply(endpoint const& from, net::client_reply&& m) {
    auto const it = replicas_.find(from);
    if (it == replicas_.end() || !it->second.up || stopped_) return;
    it->second.heard_at = env_.now();
    std::visit([&](auto& body) { on(from, body); }, m);
}

inline void client_engine::on(endpoint const& from, net::client_pong& m) {
    instant const now = env_.now();
    replica& r = replicas_.at(from);
    if (m.number != 0 && m.number == r.ping) {
        r.ping = 0;
        duration const took = now - r.pinged_at;
        // A busy moment is no distance: what is measured once too long is believed slowly, what is shorter at once.
        r.round_trip = r.round_trip ? std::min(took, *r.round_trip + (took - *r.round_trip) / 8) : took;
    }
    if (!m.now.cluster.empty() && !cluster_.empty() && m.now.cluster != cluster_) m.now.serving = false;
    r.seen = std::move(m.now);
    if (r.seen->serving) {
        calls_.clock(r.seen->clock, now);
        if (cluster_.empty()) env_.cluster_known(cluster_ = r.seen->cluster);
        adopt(*r.seen);
    }
    watch_route(now);
}

/// Of two views the one of the later configuration counts.
inline void client_engine::adopt(net::view const& v) {
    if (v.current <= current_ || v.members.empty()) return;
    current_ = v.current;
    for (auto& [where, r] : replicas_) r.member = false;
    for (paxos::member const& m : v.members)
        if (replica* r = know(m.address)) r->member = true;
}

/// Those whom nobody names any more are of use while nobody else serves.
inline void client_engine::forget_leavers(instant now) {
    for (auto it = replicas_.begin(); it != replicas_.end();) {
        replica const& r = it->second;
        endpoint const where = it->first;
        bool const leaves = !r.named && !r.member;
        bool const others = leaves && std::any_of(replicas_.begin(), replicas_.end(), [&](auto const& o) {
            return o.first != where && (o.second.named || o.second.member) && is_usable(o.second, now);
        });
        if (!others) {
            ++it;
            continue;
        }
        on_down(where);
        env_.disconnect(where);
        it = replicas_.erase(it);
    }
}

inline bool client_engine::is_usable(replica const& r, instant now) const {
    bool const silent = r.ping != 0 && now - std::max(r.pinged_at, r.heard_at) > silent_after * options_.heartbeat;
    return r.up && r.seen && r.seen->serving && !silent;
}

inline bool client_engine::is_usable(endpoint const& where, instant now) const {
    auto const it = replicas_.find(where);
    return it != replicas_.end() && is_usable(it->second, now);
}

/// Several may have led lately: the one of whom the highest ballot tells is the latest.
inline std::optional<endpoint> client_engine::leader(instant now) const {
    net::view const* newest = nullptr;
    for (auto const& [where, r] : replicas_) {
        if (!is_usable(r, now)) continue;
        auto const age = [](net::view const& v) { return std::pair(v.current, v.promised); };
        if (newest == nullptr || age(*newest) < age(*r.seen)) newest = &*r.seen;
    }
    if (newest == nullptr || newest->leader.empty()) return std::nullopt;
    for (auto const& [where, r] : replicas_)
        if (r.id == newest->leader && is_usable(r, now)) return where;
    return std::nullopt;
}

inline std::optional<endpoint> client_engine::nearest(std::optional<endpoint> const& but) const {
    std::optional<endpoint> best;
    duration best_trip{};
    for (auto const& [where, r] : replicas_) {
        if (where == but || !is_usable(r, env_.now())) continue;
        duration const trip = r.round_trip.value_or(std::chrono::seconds(1));
        if (best && trip >= best_trip) continue;
        best = where;
        best_trip = trip;
    }
    return best;
}

/// Among those that are about as near as the nearest, one that has the fewest reads to answer.
inline std::optional<endpoint> client_engine::choose_reader(std::optional<endpoint> const& but) {
    instant const now = env_.now();
    auto const first = nearest(but);
    if (!first) return but && is_usable(*but, now) ? but : std::nullopt;
    auto const trip = [](replica const& r) { return r.round_trip.value_or(std::chrono::seconds(1)); };
    duration const similar = 2 * trip(replicas_.at(*first)) + std::chrono::microseconds(500);
    std::optional<endpoint> best;
    std::size_t fewest = 0;
    std::uint64_t equal = 0;
    for (auto const& [where, r] : replicas_) {
        if (where == but || !is_usable(r, now) || trip(r) > similar) continue;
        if (best && r.waiting > fewest) continue;
        equal = best && r.waiting == fewest ? equal + 1 : 1;
        // Each of the equal ones is as likely as the others.
        if (equal == 1 || env_.random() % equal == 0) best = where;
        fewest = r.waiting;
    }
    return best;
}

inline void client_engine::watch_replica(endpoint const& where, replica& r, instant now) {
    if (!r.up) return;
    if (r.ping != 0) {
        if (now - std::max(r.pinged_at, r.heard_at) <= dead_after * options_.heartbeat) return;
        // The connection may be half open. What was asked over it is asked elsewhere.
        env_.log(log_level::info, to_string(where) + " has been silent for long; it is dialled again");
        on_down(where);
        return env_.connect(where);
    }
    if (r.seen && now - r.pinged_at < options_.heartbeat) return;
    r.ping = next_number_++;
    r.pinged_at = now;
    env_.send(where, net::client_ping{r.ping});
}

inline void client_engine::watch_route(instant now) {
    auto route = leader(now);
    if (!route && route_ && is_usable(*route_, now)) route = route_;
    if (!route) route = nearest(std::nullopt);
    if (route == route_) return;
    auto const before = std::exchange(route_, route);
    if (before && calls_.session() != session_id{}) env_.send(*before, net::client_leave{calls_.session()});
    // What was on its way to the old one may be lost: the session table sorts out what was not.
    if (route_) calls_.resend(now);
}

inline void client_engine::tick() {
    if (stopped_) return;
    instant const now = env_.now();
    for (auto& [where, r] : replicas_) watch_replica(where, r, now);
    forget_leavers(now);
    watch_route(now);
    if (!route_) env_.look_again();
    calls_.expire(now);
    watch_reads(now);
    watch_inquiries(now);
    keep_session(now);
    calls_.resend(now - options_.retry);
}

inline client_engine_status client_engine::status() const {
    instant const now = env_.now();
    client_engine_status s;
    s.cluster = cluster_;
    s.current = current_;
    s.session = calls_.session();
    s.seen = seen_;
    auto const leads = leader(now);
    for (auto const& [where, r] : replicas_)
        s.replicas.push_back({where, r.id, r.up, is_usable(r, now), leads == where, r.member, r.round_trip.value_or(duration{}),
                              r.reads});
    if (nearest(std::nullopt)) return s;
    bool const somebody = std::any_of(replicas_.begin(), replicas_.end(), [](auto const& r) { return r.second.up; });
    if (somebody)
        s.problem = "replicas answer, but none of them sees a healthy leader";
    else if (!refusal_.empty())
        s.problem = refusal_;
    else
        s.problem = replicas_.empty() ? "the seeds have not named any address yet; check the seeds and the DNS server"
                                      : "nobody answers at any of the " + std::to_string(replicas_.size()) +
                                            " addresses that are known; check the seeds, and that the group runs";
    return s;
}

} // namespace openreplica::inline v0::runtime
