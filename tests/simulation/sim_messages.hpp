// How a simulated node's messages travel, and what they must not claim. Included by sim_node.hpp.
#pragma once

#include "sim_node.hpp"

#include <openreplica/net/codec.hpp>
#include <openreplica/net/handshake.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace simulation {

namespace net = openreplica::net;

// ---- S4 and S5

/// S4: what a message claims to be durable is durable.
inline void sim_node::check_durable(paxos::message const& what) {
    if (auto const* m = std::get_if<paxos::prepare>(&what)) {
        require(disk_.twin().promised() >= m->number, "S4", "a candidate asks under a ballot that it may forget");
        oracle_.group(cluster_)->on_ballot(self_.id, who(), m->number);
    } else if (auto const* p = std::get_if<paxos::promise>(&what)) {
        require(disk_.twin().promised() >= p->number, "S4", "a promise left before it was durable");
        check_report(*p);
    } else if (auto const* a = std::get_if<paxos::accepted>(&what)) {
        check_ack(*a);
    } else if (auto const* x = std::get_if<paxos::accept>(&what)) {
        votes& g = *oracle_.group(cluster_);
        g.on_ballot(self_.id, who(), x->number);
        g.on_proposing(x->number, x->current);
        slot s = x->first;
        for (auto const& v : x->values) {
            g.on_value(x->number, s, fingerprint(v));
            if (v.kind == paxos::value_kind::command) oracle_.on_sent(v.body.view(), who());
            s = s.next();
        }
    } else if (auto const* f = std::get_if<paxos::forward>(&what)) {
        for (auto const& c : f->commands) oracle_.on_sent(c.view(), who());
    }
}

/// S4: every acknowledged slot is durable here, under the ballot of the acknowledgement or as the chosen value.
inline void sim_node::check_ack(paxos::accepted const& a) {
    require(disk_.twin().promised() >= a.number, "S4", "an acknowledgement left before its ballot was durable");
    require(disk_.twin().durable_upto() >= a.upto, "S4", [&] {
        return "an acknowledgement of " + at_slot(a.upto) + " left, and only " + at_slot(disk_.twin().durable_upto()) + " is durable";
    });
    if (acked_.first != a.number) acked_ = {a.number, slot{}};
    votes const& g = *oracle_.group(cluster_);
    for (slot s = std::max(acked_.second, disk_.twin().base()).next(); s <= a.upto; s = s.next()) {
        paxos::entry const* const e = disk_.twin().find(s);
        require(e != nullptr && (e->accepted == a.number || g.chosen(s) == fingerprint(e->what)), "S4", [&] {
            return "an acknowledgement covers " + at_slot(s) + ", which is held under another ballot and not chosen";
        });
    }
    acked_.second = std::max(acked_.second, a.upto);
}

/// S5: a promise reports what was accepted above the sender's chosen index, all of it and nothing else, in chunks that
/// leave nothing out.
inline void sim_node::check_report(paxos::promise const& p) {
    votes const& g = *oracle_.group(cluster_);
    require(p.chosen == slot{} || p.chosen <= disk_.twin().base() || g.chosen(p.chosen).has_value(), "S5",
            [&] { return "a promise calls " + at_slot(p.chosen) + " chosen, which it is not"; });
    if (disk_.twin().promised() != p.number) return; // Overtaken: the higher promise's report counts.
    if (told_.number != p.number) told_ = {p.number, {}};
    auto const& held = disk_.twin().before_promise();
    slot const begins = p.entries.empty() ? p.chosen.next() : p.entries.front().at;
    slot const ends = p.entries.empty() ? p.chosen : p.entries.back().at;
    bool const follows = std::any_of(told_.reach.begin(), told_.reach.end(),
                                     [&](auto const& chunk) { return chunk.second.next() >= begins; });
    require(begins <= p.chosen.next() || follows, "S5", [&] {
        return "a promise jumps over what lies below " + at_slot(begins);
    });
    told_.reach[begins] = std::max(told_.reach[begins], ends);
    slot expected = begins;
    for (paxos::entry const& e : p.entries) {
        require(e.at == expected, "S5", [&] { return "a promise leaves out " + at_slot(expected); });
        expected = expected.next();
        auto const it = held.find(e.at);
        if (it == held.end()) continue; // Accepted or learned since.
        bool const same = e.accepted == it->second.under && fingerprint(e.what) == it->second.value;
        require(same || e.accepted > it->second.under, "S5", [&] { return "a promise misreports " + at_slot(e.at); });
    }
    require(!p.last || held.empty() || held.rbegin()->first <= std::max(ends, p.chosen), "S5",
            [&] { return "a promise hides what " + at_slot(held.rbegin()->first) + " holds"; });
}

// ---- the way

inline void sim_node::send(std::span<node_id const> to, paxos::message const& what) {
    check_durable(what);
    if (world_.verbose) trace("sends " + std::string(paxos::name_of(what)));
    auto const frame = std::make_shared<std::string const>(net::encode(what));
    for (node_id id : to)
        if (auto const i = group_.index_of(id)) post(*i, frame);
}

inline void sim_node::send(std::optional<node_id> to, paxos::founding_message const& what) {
    auto const frame = std::make_shared<std::string const>(net::encode(what));
    for (std::size_t i = 0; i < group_.nodes.size(); ++i)
        if (group_.nodes[i].get() != this && (!to || group_.nodes[i]->id() == *to)) post(i, frame);
}

inline void sim_node::post(std::size_t to, frame_ptr const& frame) {
    world& w = world_;
    if (w.link(static_cast<std::size_t>(index_), to).cut) return;
    if (w.healed) return arrive(to, frame, w.delay());
    if (w.rng.chance(w.config.loss)) return w.fire(fault::loss);
    if (w.config.bit_flip > 0 && w.rng.below(2000) < w.config.bit_flip) {
        w.fire(fault::bit_flip);
        std::string damaged = *frame;
        damaged[w.rng.below(damaged.size())] ^= static_cast<char>(1u << w.rng.below(8));
        return arrive(to, std::make_shared<std::string const>(std::move(damaged)), w.delay());
    }
    arrive(to, frame, w.delay());
    if (w.rng.chance(w.config.duplication)) {
        w.fire(fault::duplication);
        arrive(to, frame, w.delay());
    }
    if (w.rng.chance(w.config.replay)) {
        w.fire(fault::replay);
        arrive(to, frame, w.rng.between(1, 20) * second / 2); // Long after everyone has moved on.
    }
}

/// A connection ends with the process that it leads to, or breaks: nothing arrives that was sent over an earlier one.
inline void sim_node::arrive(std::size_t to, frame_ptr frame, sim_time after) {
    sim_node* const target = group_.nodes[to].get();
    link_state& link = world_.link(static_cast<std::size_t>(index_), to);
    sim_time when = std::max(world_.now + after, link.clogged_until + after / 8) + target->when_free();
    if (world_.healed) when = link.last_arrival = std::max(when, link.last_arrival + 1);
    // Nobody queues more than this for a node that cannot keep up.
    if (when - world_.now > 12 * second) return;
    world_.at(when, [target, life = target->life_, &link, generation = link.generation, from = self_, cluster = cluster_,
                     frame = std::move(frame)] {
        if (life == target->life_ && generation == link.generation) target->deliver(from, cluster, frame);
    });
}

inline bool sim_node::is_damaged(std::string const& frame) const {
    auto const header = net::read_header(frame, std::size_t{1} << 28);
    auto const* const h = std::get_if<net::frame_header>(&header);
    return h == nullptr || h->length != frame.size() - net::frame_header_size ||
           h->body_checksum != openreplica::crc32c(std::string_view(frame).substr(net::frame_header_size));
}

inline void sim_node::deliver(paxos::member const& from, cluster_id cluster, frame_ptr const& frame) {
    if (!alive()) return;
    if (world_.now < paused_until_) {
        world_.at(wakes_up(), [this, from, cluster, frame, life = life_] {
            if (life == life_) deliver(from, cluster, frame);
        });
        return;
    }
    if (world_.config.bit_flip > 0 && is_damaged(*frame)) {
        // S17: the damage was found, the connection ends.
        if (auto const i = group_.index_of(from.id)) connection_lost(*i);
        return;
    }
    auto const type = static_cast<std::uint8_t>((*frame)[5]);
    auto m = net::decode(type, frame, net::frame_header_size, frame->size() - net::frame_header_size);
    require(m.has_value(), "S17", "a message of our own cannot be read, or a damaged one passed for whole");
    act([&] {
        if (auto* f = std::get_if<paxos::founding_message>(&*m))
            engine().on_message(from, *f);
        else if (cluster == cluster_ && !cluster.empty())
            engine().on_message(from.id, std::move(std::get<paxos::message>(*m)));
    });
}

/// What was on its way between the two is lost; soon there is a new connection.
inline void sim_node::connection_lost(std::size_t peer) {
    auto const me = static_cast<std::size_t>(index_);
    ++world_.link(me, peer).generation;
    ++world_.link(peer, me).generation;
    sim_node* const other = group_.nodes[peer].get();
    if (!alive() || !other->alive()) return;
    peer_changed(other->id(), false);
    other->peer_changed(self_.id, false);
    world_.after(world_.rng.between(1, 500) * ms, [this, other, lives = std::pair(life_, other->life_)] {
        if (lives != std::pair(life_, other->life_)) return;
        peer_changed(other->id(), true);
        other->peer_changed(self_.id, true);
    });
}

/// Somebody of another group, or of another cluster under the same name, finds this address: the handshake refuses it.
/// What it sends before it notices is read by the codec and goes nowhere.
inline void sim_node::stranger_knocks() {
    net::hello mine, theirs;
    mine.group = theirs.group = "simulated";
    mine.cluster = cluster_;
    mine.self = self_;
    theirs.self = {node_id{world_.rng.bits(), world_.rng.bits()}, {"stranger", 1}};
    theirs.cluster = cluster_id{world_.rng.bits(), world_.rng.bits()};
    if (cluster_.empty() || world_.rng.chance(500)) theirs.group = "another";
    require(net::judge(mine, theirs).reason != net::refusal::none, "S17", "a member of another cluster was let in");
    std::string noise(world_.rng.below(200), '\0');
    for (char& c : noise) c = static_cast<char>(world_.rng.below(world_.rng.chance(500) ? 4 : 256));
    auto const size = noise.size();
    (void)net::decode(static_cast<std::uint8_t>(world_.rng.below(72)), std::make_shared<std::string const>(std::move(noise)), 0,
                      size);
    auto const foreign = net::encode(paxos::message(paxos::prepare{ballot{1u << 20, 0, theirs.self.id}, {}, {}, {}}));
    auto const before = process_->engine->status().promised;
    deliver(theirs.self, theirs.cluster, std::make_shared<std::string const>(foreign));
    require(!alive() || process_->engine->status().promised == before, "S17", "a member of another cluster got a promise");
}

} // namespace simulation
