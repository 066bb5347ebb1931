// The transport's members. Included by transport.hpp.
#pragma once

#include <openreplica/runtime/transport.hpp>

namespace openreplica::inline v0::runtime {

inline transport::transport(asio::any_io_executor strand, node_options const& options, events e)
    : strand_(std::move(strand)), options_(options), events_(std::move(e)),
      listener_(strand_, *parse_endpoint(options.listen), make_listener_options(), listener_events()) {}

inline void transport::start() { listener_.start(); }

inline void transport::stop() {
    stopped_ = true;
    listener_.stop();
    for (auto& [where, p] : peers_)
        if (p.link) p.link->stop();
    peers_.clear();
    routes_.clear();
}

inline net::hello transport::make_hello() const {
    net::hello h;
    h.group = options_.group;
    h.cluster = cluster_;
    h.self = self_;
    h.failure_groups = options_.failure_groups;
    if (catalogue_)
        for (auto& t : catalogue_()) h.catalogue.push_back({std::move(t.name), t.fingerprint, t.in_use});
    return h;
}

inline void transport::set_identity(node_id self, cluster_id cluster, openreplica::endpoint const& advertised) {
    bool const changed = self != self_.id || cluster != cluster_;
    if (!cluster_.empty() && cluster != cluster_) listener_.close_guests(); // They came to the other cluster.
    self_ = {self, advertised};
    cluster_ = cluster;
    own_.insert(advertised);
    if (!changed) return;
    for (auto& [where, p] : peers_) {
        if (p.link) p.link->stop();
        bool const was_up = std::exchange(p.up, false);
        if (was_up && p.id) events_.down(*p.id);
        dial(where, p);
    }
    routes_.clear();
}

// ---- incoming

inline net::listener_options transport::make_listener_options() const {
    net::listener_options o;
    o.max_frame = options_.limits.max_frame_bytes;
    o.max_connections = options_.limits.max_connections;
    if (events_.guest_up) o.max_guests = options_.limits.max_clients;
    o.guest_queue_bytes = options_.limits.client_queue_bytes;
    return o;
}

inline net::listener::events transport::listener_events() {
    return {.judge = [this](net::hello const& theirs) { return net::judge(make_hello(), theirs); },
            .accepted =
                [this](net::hello const& theirs) {
                    // Messages to it leave over a connection of this node's own.
                    introduction& met = met_[theirs.self.id];
                    met = {theirs.cluster, {}, false, theirs.self.address, theirs.failure_groups};
                    for (auto const& t : theirs.catalogue) met.types.insert(t.name);
                    renew(theirs.self);
                },
            .message = [this](paxos::member const& from, net::any_message&& m) { deliver(from, std::move(m)); },
            .batch_end = [this] { events_.batch_end(); },
            .malformed = [this](std::string const& reason) { complain(reason); },
            .guest_up = [this](net::guest_id guest, net::hello const&) { events_.guest_up(guest); },
            .guest_message = [this](net::guest_id from,
                                    net::client_request&& m) { events_.guest_message(from, std::move(m)); },
            .guest_down = [this](net::guest_id guest) { events_.guest_down(guest); }};
}

inline void transport::deliver(paxos::member const& from, net::any_message&& m) {
    auto const met = met_.find(from.id);
    if (auto* founding = std::get_if<paxos::founding_message>(&m)) {
        if (met != met_.end() && std::holds_alternative<paxos::discover>(*founding)) met->second.seeks = true;
        return events_.founding(from, *founding);
    }
    // A node that has not joined this group, as far as its handshake tells, has no say in it.
    if (cluster_.empty() || met == met_.end() || met->second.cluster != cluster_) return;
    events_.message(from.id, std::move(std::get<paxos::message>(m)));
}

/// There must be a connection to whoever introduced itself, as whom it is now: a process may go on under another id.
inline void transport::renew(paxos::member const& who) {
    peer* const p = connect(who.address);
    if (p == nullptr || !p->up || p->id == who.id) return;
    p->link->stop();
    on_down(who.address, true);
    dial(who.address, *p);
}

/// One line a second at most: a stranger must not fill the log.
inline void transport::complain(std::string const& reason) {
    auto const now = std::chrono::steady_clock::now();
    ++complaints_;
    if (now - complained_at_ < std::chrono::seconds(1)) return;
    complained_at_ = now;
    events_.log(log_level::warning, reason + (complaints_ > 1 ? " (" + std::to_string(complaints_) + " such since the "
                                                                                                     "last line)"
                                                               : ""));
    complaints_ = 0;
}

// ---- outgoing

inline transport::peer* transport::connect(openreplica::endpoint const& where) {
    if (stopped_) return nullptr;
    if (own_.contains(where)) {
        events_.met_self();
        return nullptr;
    }
    auto const [it, added] = peers_.try_emplace(where);
    if (added) dial(where, it->second);
    return &it->second;
}

inline void transport::dial(openreplica::endpoint const& where, peer& p) {
    net::link::events e;
    auto const weak = weak_from_this();
    e.up = [weak, where](net::hello_reply const& who) {
        if (auto const self = weak.lock()) self->on_up(where, who);
    };
    e.down = [weak, where](std::error_code, bool was_up) {
        if (auto const self = weak.lock()) self->on_down(where, was_up);
    };
    e.refused = [weak, where](net::hello_reply const& why) {
        if (auto const self = weak.lock()) self->on_refused(where, why);
    };
    net::link_options o;
    o.queue_bytes = options_.limits.link_queue_bytes;
    p.link = net::link::make(strand_, where, make_hello(), o, std::move(e));
    p.link->start();
}

inline void transport::on_up(openreplica::endpoint const& where, net::hello_reply const& who) {
    auto const it = peers_.find(where);
    if (it == peers_.end()) return;
    peer& p = it->second;
    if (p.id && *p.id != who.self.id) forget(*p.id); // Another process took over the address.
    p.id = who.self.id;
    p.up = true;
    p.elsewhere = false;
    p.misfit.clear();
    auto const other = routes_.find(who.self.id);
    bool const second = other != routes_.end() && other->second != where && link_to(who.self.id) != nullptr;
    if (!second) {
        routes_[who.self.id] = where;
        events_.up(who.self.id);
    }
}

inline void transport::on_down(openreplica::endpoint const& where, bool was_up) {
    auto const it = peers_.find(where);
    if (it == peers_.end()) return;
    peer& p = it->second;
    p.elsewhere = false;
    if (std::exchange(p.up, false)) p.down_since = std::chrono::steady_clock::now();
    if (was_up && p.id && routes_.contains(*p.id) && routes_[*p.id] == where) {
        routes_.erase(*p.id);
        events_.down(*p.id);
        events_.batch_end();
    }
    forget_silent();
}

inline void transport::on_refused(openreplica::endpoint const& where, net::hello_reply const& why) {
    if (why.reason == net::refusal::self) {
        // This node met itself: a seed list may name every member. The link is closed by its next turn, not in its own
        // callback.
        own_.insert(where);
        events_.met_self();
        asio::post(strand_, [self = shared_from_this(), where] {
            auto const it = self->peers_.find(where);
            if (it == self->peers_.end()) return;
            it->second.link->stop();
            self->peers_.erase(it);
        });
        return;
    }
    std::string const sentence = to_string(where) + " refused this node: " + why.text;
    if (auto const it = peers_.find(where); it != peers_.end()) {
        using net::refusal;
        it->second.elsewhere = why.reason == refusal::wrong_group;
        bool const program = why.reason == refusal::needs_upgrade || why.reason == refusal::protocol ||
                             why.reason == refusal::catalogue;
        it->second.misfit = program ? sentence : std::string();
    }
    events_.log(log_level::warning, sentence);
}

inline void transport::forget(node_id id) {
    met_.erase(id);
    events_.forgotten(id);
}

/// Addresses that only a passing node had are given up after a while without an answer.
inline void transport::forget_silent() {
    auto const limit = std::chrono::steady_clock::now() - std::chrono::seconds(30);
    for (auto it = peers_.begin(); it != peers_.end();) {
        peer& p = it->second;
        bool const gone = !p.seed && !p.member && !p.up && p.down_since < limit;
        if (gone) give_up(p);
        it = gone ? peers_.erase(it) : std::next(it);
    }
}

inline void transport::give_up(peer& p) {
    if (p.id) forget(*p.id);
    asio::post(strand_, [link = p.link] { link->stop(); }); // Not in a callback of its own.
}

inline void transport::drop_seed(openreplica::endpoint const& where) {
    auto const it = peers_.find(where);
    if (it == peers_.end()) return;
    it->second.seed = false;
    if (it->second.up || it->second.member) return;
    give_up(it->second);
    peers_.erase(it);
}

inline void transport::set_members(paxos::configuration const& governing) {
    for (auto& [where, p] : peers_) p.member = false;
    for (paxos::member const& m : governing.voters) connect_member(m);
}

inline std::vector<acquaintance> transport::acquaintances() const {
    std::vector<acquaintance> all;
    auto const types = catalogue_ ? catalogue_() : std::vector<state_machine::type_print>{};
    for (auto const& [id, where] : routes_) {
        auto const met = met_.find(id);
        if (met == met_.end() || met->second.cluster != cluster_) continue;
        auto const lacks = std::find_if(types.begin(), types.end(),
                                        [&](auto const& t) { return t.in_use && !met->second.types.contains(t.name); });
        all.push_back({{id, met->second.address}, met->second.failure_groups,
                       lacks == types.end() ? std::string() : lacks->name});
    }
    return all;
}

inline std::vector<openreplica::endpoint> transport::silent_seeds() const {
    std::vector<openreplica::endpoint> silent;
    for (auto const& [where, p] : peers_) {
        auto const met = p.up && p.id ? met_.find(*p.id) : met_.end();
        bool const seeks = met != met_.end() && met->second.seeks;
        if (p.seed && !seeks && !p.elsewhere) silent.push_back(where);
    }
    return silent;
}

inline std::string transport::misfit() const {
    for (auto const& [where, p] : peers_)
        if (!p.misfit.empty()) return p.misfit;
    return {};
}

inline transport::peer* transport::link_to(node_id id) {
    auto const route = routes_.find(id);
    if (route == routes_.end()) return nullptr;
    auto const it = peers_.find(route->second);
    return it != peers_.end() && it->second.up ? &it->second : nullptr;
}

inline void transport::send(std::span<node_id const> to, paxos::message const& what) {
    std::shared_ptr<std::string const> frame; // Encoded once, however many it goes to.
    bool const droppable = std::holds_alternative<paxos::heartbeat>(what) ||
                           std::holds_alternative<paxos::heartbeat_reply>(what);
    for (node_id id : to)
        if (peer* p = link_to(id)) {
            if (!frame) frame = std::make_shared<std::string const>(net::encode(what));
            p->link->send(frame, droppable ? net::priority::droppable : net::priority::normal);
        }
}

inline void transport::send(std::optional<node_id> to, paxos::founding_message const& what) {
    auto const frame = std::make_shared<std::string const>(net::encode(what));
    if (to) {
        if (peer* p = link_to(*to)) p->link->send(frame, net::priority::normal);
        return;
    }
    for (auto const& [id, where] : routes_)
        if (peer* p = link_to(id)) p->link->send(frame, net::priority::normal);
}

inline std::vector<node_id> transport::connected() const {
    std::vector<node_id> ids;
    for (auto const& [id, where] : routes_) ids.push_back(id);
    return ids;
}

} // namespace openreplica::inline v0::runtime
