// A whole group of replicas in one thread from one seed: a bad network, crashes, slow disks, and checks after every step.
#pragma once

#include <openreplica/paxos/invariants.hpp>
#include <openreplica/paxos/replica.hpp>
#include <openreplica/types/hash.hpp>

#include "random_cluster_oracle.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace random_cluster {

using namespace std::chrono_literals;

class random_bits {
    std::uint64_t state_;

public:
    explicit random_bits(std::uint64_t seed) : state_(mix64(seed + 1)) {}
    std::uint64_t next() { return mix64(state_ += 0x9E3779B97F4A7C15u); }
    std::uint64_t below(std::uint64_t n) { return next() % n; }
    bool chance(double p) { return static_cast<double>(next() >> 11) < p * 9007199254740992.0; }
    duration within(duration most) { return duration(static_cast<duration::rep>(below(static_cast<std::uint64_t>(most.count()) + 1))); }
};

struct node {
    struct waiting_read {
        std::uint64_t number;
        slot floor; ///< what was acknowledged before the read began
    };
    px::member self;
    disk storage;
    std::unique_ptr<px::replica> core; ///< none while it is down
    std::uint64_t life = 0;
    lsn written, durable;              ///< positions of the core's records in this life
    bool syncing = false;
    std::deque<px::outgoing> held;
    std::vector<waiting_read> reads;
    slot delivered;
    ballot behind; ///< the highest ballot of a delivered entry
    duration clock_ahead{};
    instant paused_until{};
};

/// What one run met, so that a suite can show that its faults and paths were really there.
struct coverage {
    std::uint64_t steps = 0, chosen = 0, reads = 0, leaders = 0, crashes = 0, installs = 0, big_promises = 0;
};

class cluster {
public:
    explicit cluster(std::uint64_t seed);

    /// Faults for a while, then a healed network, which must recover. Throws the violation.
    coverage run();

private:
    struct event {
        instant at;
        std::uint64_t order;
        std::function<void()> what;
        bool operator<(event const& o) const { return at != o.at ? at > o.at : order > o.order; }
    };
    struct faults {
        double loss = 0, duplicate = 0, late = 0, big = 0;
        duration delay = 1ms, sync = 1ms;
        bool fifo = false, crashes = false, cuts = false, pauses = false, snapshots = false, suspicions = false;
    };

    void at(instant when, std::function<void()> what) { queue_.push({when, next_order_++, std::move(what)}); }
    void after(duration d, std::function<void()> what) { at(now_ + d, std::move(what)); }
    void run_until(instant end);
    [[nodiscard]] instant local(node const& n) const { return now_ + n.clock_ahead; }
    node& any() { return nodes_[random_.below(nodes_.size())]; }

    void start(node& n);
    void crash(node& n);
    void tick(node& n, std::uint64_t life);
    void act(node& n, std::function<void(px::replica&)> const& what);
    void carry_out(node& n, px::output&& out);
    void check_output(node const& n, px::output const& out) const;
    void start_sync(node& n);
    void release(node& n);
    void send(node& n, px::outgoing const& m);
    void check_visible(node const& n, px::message const& m);
    void transmit(std::size_t from, std::size_t to, std::shared_ptr<px::message const> const& m);
    void arrive(std::size_t from, std::size_t to, px::message const& m);
    void serve_snapshot(node& n, node_id to);
    void take_snapshot(node& n);
    void install(node& n, px::snapshot_chunk const& m);
    void client();
    void submit(node& n, std::size_t count);
    void read(node& n);
    void fault();
    void heal();
    void must_recover();
    [[nodiscard]] std::size_t index_of(node_id id) const;
    [[nodiscard]] px::snapshot snapshot_of(node const& n) const;

    random_bits random_;
    instant now_{1h};
    std::priority_queue<event> queue_;
    std::uint64_t next_order_ = 0;
    px::configuration config_;
    px::replica_options options_;
    std::deque<node> nodes_;
    std::set<std::pair<std::size_t, std::size_t>> cut_;
    std::map<std::pair<std::size_t, std::size_t>, instant> last_arrival_;
    faults faults_;
    bool healed_ = false;
    std::uint64_t next_command_ = 0;
    std::set<ballot> led_;
    oracle oracle_;
    coverage coverage_;
};

inline cluster::cluster(std::uint64_t seed) : random_(seed) {
    constexpr std::uint64_t sizes[] = {1, 2, 3, 3, 3, 3, 4, 5, 5, 5};
    std::size_t const voters = sizes[random_.below(std::size(sizes))];
    std::size_t const learners = random_.chance(0.3) ? 1 : 0;
    config_.number = epoch{1};
    for (std::size_t i = 0; i < voters + learners; ++i) {
        node& n = nodes_.emplace_back();
        n.self = {node_id{0, 100 + 37 * i}, {"n" + std::to_string(i), 1}};
        n.clock_ahead = random_.within(1h);
        if (i < voters) config_.voters.push_back(n.self);
    }
    if (random_.chance(0.5)) options_.window_entries = 1 + random_.below(16);
    if (random_.chance(0.3)) options_.window_bytes = 1 + random_.below(2000);
    if (random_.chance(0.5)) options_.batch_bytes = 1 + random_.below(200);
    auto on = [&] { return random_.chance(0.5); };
    if (on()) faults_.loss = 0.3 * static_cast<double>(random_.below(100)) / 100;
    if (on()) faults_.duplicate = 0.2;
    if (on()) faults_.late = 0.02;
    if (random_.chance(0.15)) faults_.big = 0.02;
    if (on()) faults_.delay = random_.within(60ms);
    if (on()) faults_.sync = random_.within(random_.chance(0.2) ? 200ms : 20ms);
    faults_.fifo = on();
    faults_.crashes = random_.chance(0.7);
    faults_.cuts = on();
    faults_.pauses = random_.chance(0.3);
    faults_.snapshots = on();
    faults_.suspicions = on();
}

inline void cluster::run_until(instant end) {
    while (!queue_.empty() && queue_.top().at <= end) {
        event e = queue_.top();
        queue_.pop();
        now_ = e.at;
        e.what();
    }
    now_ = end;
}

inline std::size_t cluster::index_of(node_id id) const {
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        if (nodes_[i].self.id == id) return i;
    fail("a message to nobody");
}

// ---- processes

inline void cluster::start(node& n) {
    ++n.life;
    px::replica_options o = options_;
    o.incarnation = random_.next();
    n.written = n.durable = lsn{};
    n.syncing = false;
    n.delivered = n.storage.image.base.at;
    n.behind = n.storage.image.base.behind;
    n.core = std::make_unique<px::replica>(n.self.id, config_, o, n.storage.image, local(n));
    // A learner makes itself known by its heartbeats; it must know whom to send them to, which its voters tell.
    tick(n, n.life);
}

inline void cluster::crash(node& n) {
    if (!n.core) return;
    ++coverage_.crashes;
    ++n.life;
    n.core.reset();
    n.held.clear();
    n.reads.clear();
    // What was written and not synced may have reached the disk, from its beginning on.
    for (auto keep = random_.below(n.storage.unsynced.size() + 1); keep > 0 && random_.chance(0.5); --keep)
        n.storage.sync_one(n.self.id, config_, oracle_);
    n.storage.unsynced.clear();
    if (!faults_.suspicions) return;
    for (node& other : nodes_)
        if (other.core && random_.chance(0.8))
            act(other, [&](px::replica& r) { r.suspect(n.self.id, local(other)); });
}

inline void cluster::tick(node& n, std::uint64_t life) {
    if (life != n.life) return;
    if (now_ >= n.paused_until) act(n, [&](px::replica& r) { r.tick(local(n), random_.next()); });
    after(5ms + random_.within(10ms), [this, &n, life] { tick(n, life); });
}

inline void cluster::act(node& n, std::function<void(px::replica&)> const& what) {
    ++coverage_.steps;
    auto const before = n.core->observe();
    what(*n.core);
    px::output out = n.core->take_output(local(n));
    auto const after = n.core->observe();
    if (auto const broken = px::violated(before, after)) fail(*broken);
    if (after.leading && led_.insert(after.leading_ballot).second) ++coverage_.leaders;
    carry_out(n, std::move(out));
}

inline void cluster::check_output(node const& n, px::output const& out) const {
    if (!out.append.empty() && out.last != n.written.plus(out.append.size())) fail("S4: positions are not consecutive");
    for (px::outgoing const& m : out.messages)
        if (m.after > n.written.plus(out.append.size())) fail("S4: waits for what is not written");
    // One step answers one prepare; its chunks together report all that was accepted.
    std::optional<px::promise> report;
    for (px::outgoing const& m : out.messages) {
        auto const* p = std::get_if<px::promise>(&m.what);
        if (p == nullptr) continue;
        if (!report) report = px::promise{p->number, p->chosen, p->current, 0, false, {}};
        report->entries.insert(report->entries.end(), p->entries.begin(), p->entries.end());
    }
    // All that was accepted behind what the candidate has, as far as one answer reaches.
    if (!report) return;
    std::vector<px::entry> accepted;
    px::log const& log = n.core->entries();
    slot const first = report->entries.empty() ? log.last().next() : report->entries.front().at;
    for (slot s = first; s <= log.last() && accepted.size() < report->entries.size(); s = s.next())
        accepted.push_back(log.entry_at(s));
    if (report->entries != accepted) fail("S5: a promise hides what was accepted");
}

inline void cluster::carry_out(node& n, px::output&& out) {
    check_output(n, out);
    for (px::record& r : out.append) {
        n.written = n.written.next();
        n.storage.unsynced.emplace_back(std::move(r), n.written);
    }
    start_sync(n);
    for (px::outgoing& m : out.messages) {
        if (m.after <= n.durable)
            send(n, m);
        else
            n.held.push_back(std::move(m));
    }
    for (px::entry const& e : out.chosen) {
        if (e.at != n.delivered.next()) fail("S7: not delivered in slot order");
        n.delivered = e.at;
        n.behind = std::max(n.behind, e.accepted);
        if (e.at > oracle_.acked) ++coverage_.chosen;
        oracle_.delivered(e);
    }
    for (px::read_point const& p : out.reads)
        std::erase_if(n.reads, [&](node::waiting_read const& r) {
            if (r.number > p.number) return false;
            if (p.index < r.floor) fail("S13: a read misses what was acknowledged before it began");
            ++coverage_.reads;
            return true;
        });
    for (node_id peer : out.snapshot_from) send(n, {{peer}, px::snapshot_request{}, {}});
}

// ---- storage

inline void cluster::start_sync(node& n) {
    if (n.syncing || n.storage.unsynced.empty()) return;
    n.syncing = true;
    auto const upto = n.storage.unsynced.size();
    after(random_.within(faults_.sync), [this, &n, upto, life = n.life] {
        if (life != n.life) return;
        for (std::size_t i = 0; i < upto; ++i) {
            n.durable = n.storage.unsynced.front().second;
            n.storage.sync_one(n.self.id, config_, oracle_);
        }
        n.syncing = false;
        release(n);
        act(n, [&](px::replica& r) { r.persisted(n.durable, local(n)); });
        start_sync(n);
    });
}

inline void cluster::release(node& n) {
    while (!n.held.empty() && n.held.front().after <= n.durable) {
        send(n, n.held.front());
        n.held.pop_front();
    }
}

inline px::snapshot cluster::snapshot_of(node const& n) const {
    return {n.delivered, n.behind, n.core->last_stamp(), config_, {}};
}

inline void cluster::take_snapshot(node& n) {
    if (n.delivered == slot{}) return;
    n.storage.unsynced.emplace_back(snapshot_of(n), n.written);
    start_sync(n);
    slot const keep{n.delivered.value - random_.below(std::min<std::uint64_t>(n.delivered.value, 20) + 1)};
    act(n, [&](px::replica& r) { r.trim(keep); });
}

inline void cluster::serve_snapshot(node& n, node_id to) {
    if (n.delivered == slot{}) return;
    auto const s = snapshot_of(n);
    send(n, {{to}, px::snapshot_chunk{s.at, s.behind, s.stamp, s.governing, 0, 0, 0, {}}, {}});
}

inline void cluster::install(node& n, px::snapshot_chunk const& m) {
    if (m.at <= n.core->entries().chosen()) return;
    ++coverage_.installs;
    n.storage.unsynced.emplace_back(px::snapshot{m.at, m.behind, m.stamp, m.governing, {}}, n.written);
    n.delivered = m.at;
    n.behind = std::max(n.behind, m.behind);
    act(n, [&](px::replica& r) {
        if (!r.install({m.at, m.behind, m.stamp, m.governing, {}}, local(n))) fail("S18: a newer snapshot was refused");
    });
    start_sync(n);
}

// ---- network

/// S4, seen from outside: what a message claims is on its sender's disk.
inline void cluster::check_visible(node const& n, px::message const& m) {
    px::durable_state const& on_disk = n.storage.image;
    if (auto const* p = std::get_if<px::prepare>(&m)) {
        if (on_disk.promised < p->number) fail("S4: a ballot was used before it was durable");
    } else if (auto const* r = std::get_if<px::promise>(&m)) {
        if (on_disk.promised < r->number) fail("S4: a promise left before it was durable");
        if (r->chunk > 0) ++coverage_.big_promises;
    } else if (auto const* a = std::get_if<px::accept>(&m)) {
        slot s = a->first;
        for (px::value const& v : a->values) {
            oracle_.saw(s, a->number, v);
            s = s.next();
        }
    } else if (auto const* k = std::get_if<px::accepted>(&m)) {
        for (slot s = on_disk.base.at.next(); s <= k->upto; s = s.next()) {
            px::entry const* e = n.storage.find(s);
            if (e == nullptr) fail("S4: an acceptance left before it was durable");
            auto const chosen = oracle_.chosen.find(s);
            bool const same = chosen != oracle_.chosen.end() && chosen->second.value == fingerprint(e->what);
            if (e->accepted != k->number && !same) fail("S4: acknowledged a slot that it holds under another ballot");
        }
    }
}

inline void cluster::send(node& n, px::outgoing const& m) {
    check_visible(n, m.what);
    auto const shared = std::make_shared<px::message const>(m.what);
    std::size_t const from = index_of(n.self.id);
    for (node_id id : m.to) transmit(from, index_of(id), shared);
}

inline void cluster::transmit(std::size_t from, std::size_t to, std::shared_ptr<px::message const> const& m) {
    if (cut_.contains({from, to}) || random_.chance(faults_.loss)) return;
    int const copies = random_.chance(faults_.duplicate) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
        instant when = now_ + 100us + random_.within(faults_.delay);
        if (random_.chance(faults_.late)) {
            when += random_.within(5s);
        } else if (faults_.fifo) {
            instant& last = last_arrival_[{from, to}];
            when = last = std::max(last + 1us, when);
        }
        at(when, [this, from, to, m] { arrive(from, to, *m); });
    }
}

inline void cluster::arrive(std::size_t from, std::size_t to, px::message const& m) {
    node& n = nodes_[to];
    if (!n.core) return;
    if (now_ < n.paused_until) {
        at(n.paused_until, [this, from, to, m] { arrive(from, to, m); });
        return;
    }
    node_id const sender = nodes_[from].self.id;
    if (std::holds_alternative<px::snapshot_request>(m)) return serve_snapshot(n, sender);
    if (auto const* chunk = std::get_if<px::snapshot_chunk>(&m)) return install(n, *chunk);
    act(n, [&](px::replica& r) { r.step(sender, m, local(n)); });
}

// ---- clients and faults

inline void cluster::submit(node& n, std::size_t count) {
    std::vector<shared_bytes> commands;
    for (std::size_t i = 0; i < count; ++i) {
        std::string text = "c" + std::to_string(next_command_++);
        if (random_.chance(faults_.big)) text.resize(150'000, '.');
        oracle_.submitted.insert(text);
        commands.emplace_back(std::move(text));
    }
    act(n, [&](px::replica& r) {
        bool const room = r.has_room(commands);
        if (r.propose(commands, local(n)) < count && room) fail("S19: room was promised and not given");
    });
}

inline void cluster::read(node& n) {
    act(n, [&](px::replica& r) { n.reads.push_back({r.read(), oracle_.acked}); });
}

inline void cluster::client() {
    if (healed_) return;
    for (node& n : nodes_)
        if (n.core && n.core->is_leader() && now_ >= n.paused_until && random_.chance(0.7)) submit(n, 1 + random_.below(5));
    if (node& n = any(); n.core && now_ >= n.paused_until) read(n);
    after(1ms + random_.within(40ms), [this] { client(); });
}

inline void cluster::fault() {
    if (healed_) return;
    node& n = any();
    if (faults_.crashes && random_.chance(0.3)) crash(n);
    if (node& back = any(); !back.core && random_.chance(0.8)) start(back);
    if (faults_.pauses && random_.chance(0.2)) n.paused_until = now_ + random_.within(2s);
    if (faults_.snapshots && n.core && random_.chance(0.6)) take_snapshot(n);
    if (faults_.cuts && random_.chance(0.4)) {
        cut_.clear();
        auto const links = random_.below(2 * nodes_.size());
        for (std::uint64_t i = 0; i < links; ++i) {
            auto const a = random_.below(nodes_.size()), b = random_.below(nodes_.size());
            cut_.insert({a, b});
            if (random_.chance(0.6)) cut_.insert({b, a});
        }
    }
    after(50ms + random_.within(600ms), [this] { fault(); });
}

inline void cluster::heal() {
    healed_ = true;
    cut_.clear();
    faults_ = faults{};
    faults_.delay = 2ms;
    faults_.fifo = true; // A healthy link is a TCP connection. Safety needs no order; progress may count on it.
    for (node& n : nodes_) {
        n.paused_until = std::min(n.paused_until, now_);
        if (!n.core) start(n);
    }
}

inline void cluster::must_recover() {
    run_until(now_ + 3s);
    std::vector<node*> leading;
    for (node& n : nodes_)
        if (n.core->is_established()) leading.push_back(&n);
    if (leading.size() != 1) fail("L1: " + std::to_string(leading.size()) + " leaders three seconds after the network healed");
    auto const ballots = led_.size();
    for (int i = 0; i < 10; ++i) {
        submit(*leading.front(), 1);
        for (node& n : nodes_) read(n);
        run_until(now_ + 100ms);
    }
    run_until(now_ + 1s);
    slot const end = leading.front()->core->entries().last();
    for (node& n : nodes_) {
        if (n.delivered != end)
            fail("L3: node " + std::to_string(index_of(n.self.id)) + " of " + std::to_string(nodes_.size()) + " is at slot " +
                 std::to_string(n.delivered.value) + " and the leader's log ends at " + std::to_string(end.value));
        if (!n.reads.empty()) fail("L2: a read is not answered although everybody is well");
        if (n.core->leader_id(local(n)) != leading.front()->self.id) fail("L1: a node does not know the leader");
    }
    if (led_.size() != ballots) fail("L1: the leader changed although everybody is well");
}

inline coverage cluster::run() {
    for (node& n : nodes_) start(n);
    client();
    after(1s, [this] { fault(); });
    run_until(now_ + 12s);
    heal();
    must_recover();
    return coverage_;
}

/// Runs one seed. Nothing, or what was violated.
[[nodiscard]] inline std::optional<std::string> run(std::uint64_t seed, coverage& total) {
    try {
        cluster c(seed);
        coverage const met = c.run();
        total.steps += met.steps;
        total.chosen += met.chosen;
        total.reads += met.reads;
        total.leaders += met.leaders;
        total.crashes += met.crashes;
        total.installs += met.installs;
        total.big_promises += met.big_promises;
    } catch (violation const& v) {
        return v.what();
    }
    return std::nullopt;
}

} // namespace random_cluster
