// A whole group and its clients in one thread: shipping engines on both sides, in a world of delays, pauses and broken
// connections that one seed decides.
#pragma once

#include <openreplica/net/client_codec.hpp>
#include <openreplica/object/command_text.hpp>
#include <openreplica/object/macros.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/runtime/client_engine.hpp>
#include <openreplica/runtime/engine.hpp>
#include <openreplica/runtime/guests.hpp>
#include <openreplica/storage/memory.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

namespace client_cluster_test {

using namespace openreplica;
using namespace std::chrono_literals;

/// Remembers every call in its order.
class ledger {
    std::vector<std::string> entries;

public:
    std::size_t append(std::string const& id) {
        entries.push_back(id);
        return entries.size();
    }
    std::vector<std::string> const& all() const { return entries; }
    OPENREPLICA_METHODS(ledger, append, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ledger, entries)
};

/// Time, chance, and what happens next.
struct world {
    std::uint64_t state;
    instant now{1h};
    std::uint64_t order = 0;
    struct event {
        instant when;
        std::uint64_t order;
        std::function<void()> run;
        bool operator<(event const& o) const { return when != o.when ? when > o.when : order > o.order; }
    };
    std::priority_queue<event> queue;

    explicit world(std::uint64_t seed) : state(seed) {}
    std::uint64_t bits() { return mix64(state += 0x9E3779B97F4A7C15u); }
    duration between(duration least, duration most) {
        return least + duration(static_cast<duration::rep>(bits() % static_cast<std::uint64_t>((most - least).count() + 1)));
    }
    bool chance(unsigned percent) { return bits() % 100 < percent; }
    void after(duration d, std::function<void()> f) { queue.push({now + d, ++order, std::move(f)}); }
    void run_until(instant end) {
        while (!queue.empty() && queue.top().when <= end) {
            auto e = queue.top();
            queue.pop();
            now = e.when;
            e.run();
        }
        now = end;
    }
};

/// One direction of a connection: what it carries arrives in order, or never when it breaks first.
struct lane {
    std::uint64_t generation = 0;
    instant last{};
    bool up = true;

    void carry(world& w, std::function<void()> f) {
        if (!up) return;
        last = std::max(last, w.now + w.between(50us, 3ms));
        w.after(last - w.now, [this, g = generation, f = std::move(f)] {
            if (g == generation) f();
        });
    }
    void breaks() {
        ++generation;
        up = false;
    }
};

class cluster;
class sim_client;

/// A member that is never lost, but may be cut off or stand still.
struct member : runtime::environment {
    cluster& all;
    paxos::member self;
    object::type_registry registry;
    object::object_space space{registry};
    runtime::calls calls{64};
    storage::memory store{{[this](lsn upto) { engine.on_durable(upto); },
                           [this](slot at, bool whole) { engine.on_kept(at, whole); },
                           {}}};
    runtime::engine engine;
    runtime::guests guests;
    runtime::applier applier{space, calls, &guests};
    instant frozen_until{};
    std::map<std::uint64_t, lane> to_client; ///< by the guest's number

    member(cluster& c, std::uint64_t n);
    ~member() override { guests.stop(); }
    void act(std::function<void()> f);
    void tick();
    runtime::guests::surroundings guest_surroundings();

    instant now() const override;
    std::uint64_t random() override;
    void send(std::span<node_id const> to, paxos::message const& what) override;
    void send(std::optional<node_id> to, paxos::founding_message const& what) override;
    call_outcome check(envelope const& e, paxos::configuration const&) const override { return space.check(e); }
    void apply(runtime::apply_batch&& work) override;
    void write(runtime::frozen_snapshot&& s) override { engine.on_written(runtime::write_out(std::move(s))); }
    void identity_changed(node_id, cluster_id, paxos::configuration const&) override {}
    void voters_changed(paxos::configuration const&) override {}
    void meet(std::vector<paxos::member> const&) override {}
    std::vector<runtime::acquaintance> acquaintances() const override { return {}; }
    void refuse(net::guest_id client, std::uint64_t number, std::vector<std::uint32_t> const& which,
                call_outcome const& why) override {
        guests.refuse(client, number, which, why);
    }
    void log(log_level, std::string const&) override {}
};

struct call_record {
    std::string id;
    std::optional<call_outcome> outcome;
};

/// A client process with connections to every member that it knows.
class sim_client : public runtime::client_environment {
    struct connection {
        lane there, back;
        std::optional<net::guest_id> guest;
        bool wanted = false;
    };
    cluster& all_;
    std::string name_;
    std::map<endpoint, connection> connections_;
    runtime::calls calls_{64};
    runtime::client_engine engine_;
    std::shared_ptr<runtime::object_birth> birth_ = std::make_shared<runtime::object_birth>();

public:
    std::deque<call_record> made;
    std::size_t open = 0;

    sim_client(cluster& c, std::string name);
    void tick();
    void append();
    void break_connection(std::size_t member);
    void hear(endpoint const& from, std::string const& frame);

    instant now() const override;
    std::uint64_t random() override;
    void connect(endpoint const& where) override;
    void disconnect(endpoint const& where) override;
    void send(endpoint const& to, net::client_request const& what) override;
    void look_again() override {}
    void cluster_known(cluster_id) override {}
    void log(log_level, std::string const&) override {}

private:
    void dial(endpoint const& where);
    void cut(endpoint const& where);
};

class cluster {
public:
    world w;
    bool healed = false;
    std::vector<std::unique_ptr<member>> members;
    std::map<std::pair<std::size_t, std::size_t>, lane> lanes; ///< between members
    std::vector<std::unique_ptr<sim_client>> clients;
    std::uint64_t last_guest = 0;
    std::map<std::uint64_t, std::function<void(std::string)>> guests; ///< who hears what a member says to a guest

    cluster(std::uint64_t seed, std::size_t n_members, std::size_t n_clients) : w(seed) {
        for (std::size_t i = 0; i < n_members; ++i) members.push_back(std::make_unique<member>(*this, i + 1));
        for (std::size_t i = 0; i < n_members; ++i) {
            for (std::size_t k = 0; k < n_members; ++k)
                if (i != k) members[i]->act([&] { members[i]->engine.on_peer_up(members[k]->self.id); });
            tick_member(i);
        }
        for (std::size_t i = 0; i < n_clients; ++i) {
            clients.push_back(std::make_unique<sim_client>(*this, "c" + std::to_string(i)));
            tick_client(i);
        }
    }
    std::size_t index_of(node_id id) const {
        for (std::size_t i = 0; i < members.size(); ++i)
            if (members[i]->self.id == id) return i;
        return members.size();
    }
    std::size_t index_of(endpoint const& e) const { return static_cast<std::size_t>(e.port - 1); }

    /// Faults, one after another, until the world is healed.
    void trouble() {
        if (healed) return;
        std::size_t const victim = w.bits() % members.size();
        switch (w.bits() % 4) {
        case 0: members[victim]->frozen_until = w.now + w.between(10ms, 2s); break;
        case 1: isolate(victim, w.between(10ms, 3s)); break;
        case 2: isolate(leader().value_or(victim), w.between(100ms, 1500ms)); break;
        default: clients[w.bits() % clients.size()]->break_connection(victim);
        }
        w.after(w.between(20ms, 900ms), [this] { trouble(); });
    }
    void isolate(std::size_t i, duration length) {
        for (std::size_t k = 0; k < members.size(); ++k)
            if (k != i) link(i, k, false);
        w.after(length, [this, i] {
            for (std::size_t k = 0; k < members.size(); ++k)
                if (k != i) link(i, k, true);
        });
    }
    std::optional<std::size_t> leader() const {
        for (std::size_t i = 0; i < members.size(); ++i)
            if (auto const* core = members[i]->engine.core(); core != nullptr && core->is_leader()) return i;
        return std::nullopt;
    }
    /// A node that stands still is met later.
    template <class F>
    void when_awake(std::size_t i, F f) {
        if (members[i]->frozen_until <= w.now) return f();
        w.after(members[i]->frozen_until - w.now, [this, i, f = std::move(f)] { when_awake(i, f); });
    }

private:
    void link(std::size_t a, std::size_t b, bool up) {
        for (auto [from, to] : {std::pair(a, b), std::pair(b, a)}) {
            lane& l = lanes[{from, to}];
            if (l.up == up) continue;
            if (up)
                l.up = true;
            else
                l.breaks();
            when_awake(from, [this, from, to, up] {
                members[from]->act([&] {
                    if (up)
                        members[from]->engine.on_peer_up(members[to]->self.id);
                    else
                        members[from]->engine.on_peer_down(members[to]->self.id);
                });
            });
        }
    }
    void tick_member(std::size_t i) {
        w.after(w.between(8ms, 12ms), [this, i] {
            when_awake(i, [this, i] {
                members[i]->tick();
                tick_member(i);
            });
        });
    }
    void tick_client(std::size_t i) {
        w.after(w.between(8ms, 20ms), [this, i] {
            clients[i]->tick();
            tick_client(i);
        });
    }
};

// ---- members

inline member::member(cluster& c, std::uint64_t n)
    : all(c), self{node_id{0, n}, {"127.0.0.1", static_cast<std::uint16_t>(n)}},
      engine(self, {.founders = 3, .has_seeds = true, .session_timeout = 2s, .snapshot_every = 300, .keep_entries = 50}, *this,
             store, calls),
      guests(space, guest_surroundings(), 64) {
    registry.add<ledger>();
    engine.start({});
    engine.flush();
}

inline runtime::guests::surroundings member::guest_surroundings() {
    return {.send =
                [this](net::guest_id to, net::client_reply const& m) {
                    auto const hears = all.guests.find(to.value);
                    if (hears == all.guests.end()) return;
                    to_client[to.value].carry(all.w, [f = hears->second, frame = net::encode(m)] { f(frame); });
                },
            .close = [](net::guest_id) {},
            .propose = [this](net::guest_id from, net::client_commands&& m) { engine.on_commands(from, std::move(m)); },
            .ask = [](auto&&) {},
            .look =
                [this] {
                    auto const s = engine.status();
                    return net::view{s.cluster,  s.governing.number, s.governing.voters, s.leader.value_or(node_id{}),
                                     s.promised, s.healthy,          s.applied,          calls.clock_at(now())};
                },
            .wake = [] {},
            .now = [this] { return now(); },
            .question = [](auto, auto, auto) {},
            .order = [](auto, auto) {}};
}

inline void member::act(std::function<void()> f) {
    f();
    engine.flush();
    guests.flush();
}

inline void member::tick() {
    act([this] { engine.tick(); });
    guests.tick();
}

inline instant member::now() const { return all.w.now; }
inline std::uint64_t member::random() { return all.w.bits(); }

inline void member::send(std::span<node_id const> to, paxos::message const& what) {
    std::size_t const from = all.index_of(self.id);
    for (node_id id : to) {
        std::size_t const k = all.index_of(id);
        if (k >= all.members.size()) continue;
        all.lanes[{from, k}].carry(all.w, [this, k, what] {
            all.when_awake(k, [this, k, what] {
                all.members[k]->act([&] { all.members[k]->engine.on_message(self.id, paxos::message(what)); });
            });
        });
    }
}

inline void member::send(std::optional<node_id> to, paxos::founding_message const& what) {
    std::size_t const from = all.index_of(self.id);
    for (std::size_t k = 0; k < all.members.size(); ++k) {
        if (k == from || (to && all.members[k]->self.id != *to)) continue;
        all.lanes[{from, k}].carry(all.w, [this, k, what] {
            all.when_awake(k, [this, k, what] { all.members[k]->act([&] { all.members[k]->engine.on_message(self, what); }); });
        });
    }
}

inline void member::apply(runtime::apply_batch&& work) {
    auto kept = std::make_shared<runtime::apply_batch>(std::move(work));
    // In order, and a moment later, as another thread would.
    all.w.after(0us, [this, kept] {
        auto report = applier.run(std::move(*kept), now());
        act([&] { engine.on_applied(std::move(report)); });
    });
}

// ---- clients

inline sim_client::sim_client(cluster& c, std::string name)
    : all_(c), name_(std::move(name)), engine_({.heartbeat = 100ms, .session_timeout = 2s, .retry = 200ms}, *this, calls_) {
    birth_->id = object::object_id_of("ledger");
    birth_->body = object::encode_birth<ledger>("ledger");
    engine_.on_named({"127.0.0.1", static_cast<std::uint16_t>(1 + all_.w.bits() % all_.members.size())});
}

inline instant sim_client::now() const { return all_.w.now; }
inline std::uint64_t sim_client::random() { return all_.w.bits(); }

inline void sim_client::tick() {
    engine_.tick();
    engine_.flush();
}

inline void sim_client::append() {
    if (open >= 6) return;
    ++open;
    std::size_t const n = made.size();
    made.push_back({name_ + "/" + std::to_string(n), {}});
    duration const timeout = all_.w.between(50ms, 5s);
    std::string body = R"(["append",")" + made.back().id + "\"]";
    calls_.submit(runtime::call_ticket{n + 1}, {command_kind::call, birth_, std::move(body), {}},
                  [this, n](call_outcome&& o) {
                      CHECK(!made[n].outcome.has_value()); // Each call ends once.
                      made[n].outcome = std::move(o);
                      --open;
                  },
                  now(), now() + timeout);
    engine_.flush();
}

inline void sim_client::connect(endpoint const& where) {
    cut(where);
    connections_[where].wanted = true;
    all_.w.after(all_.w.between(1ms, 20ms), [this, where] { dial(where); });
}
inline void sim_client::disconnect(endpoint const& where) {
    cut(where);
    connections_[where].wanted = false;
}

inline void sim_client::dial(endpoint const& where) {
    connection& c = connections_[where];
    if (!c.wanted || c.guest) return;
    std::size_t const i = all_.index_of(where);
    if (all_.members[i]->frozen_until > all_.w.now) // It answers no handshake.
        return all_.w.after(all_.members[i]->frozen_until - all_.w.now, [this, where] { dial(where); });
    c.guest = net::guest_id{++all_.last_guest};
    c.there.up = c.back.up = true;
    all_.guests[c.guest->value] = [this, where](std::string const& frame) { hear(where, frame); };
    all_.members[i]->guests.on_up(*c.guest);
    engine_.on_up(where, all_.members[i]->self.id);
    engine_.flush();
}

/// What was under way is lost, in both directions.
inline void sim_client::cut(endpoint const& where) {
    connection& c = connections_[where];
    if (!c.guest) return;
    auto const guest = std::exchange(c.guest, std::nullopt);
    c.there.breaks();
    member& m = *all_.members[all_.index_of(where)];
    all_.guests.erase(guest->value);
    m.to_client[guest->value].breaks();
    all_.when_awake(all_.index_of(where), [&m, guest] { m.guests.on_down(*guest); });
}

inline void sim_client::break_connection(std::size_t member) {
    endpoint const where = all_.members[member]->self.address;
    if (!connections_.contains(where) || !connections_[where].guest) return;
    cut(where);
    engine_.on_down(where);
    engine_.flush();
    all_.w.after(all_.w.between(20ms, 500ms), [this, where] { dial(where); });
}

inline void sim_client::send(endpoint const& to, net::client_request const& what) {
    connection& c = connections_[to];
    if (!c.guest) return;
    std::size_t const i = all_.index_of(to);
    c.there.carry(all_.w, [this, i, guest = *c.guest, frame = net::encode(what)] {
        all_.when_awake(i, [this, i, guest, frame] {
            auto const bytes = std::make_shared<std::string const>(frame);
            auto m = net::decode_client_request(static_cast<std::uint8_t>(frame[5]), bytes, net::frame_header_size,
                                                frame.size() - net::frame_header_size);
            REQUIRE(m.has_value());
            all_.members[i]->act([&] { all_.members[i]->guests.on_message(guest, std::move(*m)); });
        });
    });
}

inline void sim_client::hear(endpoint const& from, std::string const& frame) {
    auto const bytes = std::make_shared<std::string const>(frame);
    auto m = net::decode_client_reply(static_cast<std::uint8_t>(frame[5]), bytes, net::frame_header_size,
                                      frame.size() - net::frame_header_size);
    REQUIRE(m.has_value());
    engine_.on_reply(from, std::move(*m));
    engine_.flush();
}

} // namespace client_cluster_test
