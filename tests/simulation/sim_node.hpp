// One simulated process: the shipping engine, calls, applier and objects, in a world that fails.
#pragma once

#include "disk.hpp"
#include "oracle.hpp"

#include <openreplica/net/codec.hpp>
#include <openreplica/object/macros.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/object/command_text.hpp>
#include <openreplica/paxos/invariants.hpp>
#include <openreplica/runtime/engine.hpp>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace simulation {

namespace runtime = openreplica::runtime;
using openreplica::node_id;

/// What the callers share: the order and the number of what was appended show everything.
class append_list {
    std::vector<std::string> items;

public:
    int append(std::string const& id) {
        items.push_back(id);
        return static_cast<int>(items.size());
    }
    std::vector<std::string> const& all() const { return items; }
    OPENREPLICA_METHODS(append_list, append, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(append_list, items)
};

class group;

class sim_node final : public runtime::environment {
    /// Everything that dies with the process.
    struct process {
        runtime::calls calls{65536};
        openreplica::object::object_space space;
        runtime::applier applier{space, calls};
        std::unique_ptr<runtime::engine> engine;
        std::shared_ptr<runtime::object_birth> birth;
        std::deque<runtime::apply_batch> to_apply;
        slot delivered; ///< the last slot handed to the applier
    };

    world& world_;
    oracle& oracle_;
    group& group_;
    int index_;
    bool learner_; ///< joins without a vote and keeps nothing: each of its lives is a new node
    paxos::member self_;
    std::int64_t offset_, drift_; ///< of this node's clock: µs, and parts per thousand
    disk disk_;
    std::shared_ptr<process> process_;
    sim_time last_apply_ = 0;
    openreplica::cluster_id cluster_;
    std::uint64_t life_ = 0;
    sim_time paused_until_ = 0;
    std::vector<std::size_t> open_; ///< this life's calls without an outcome

public:
    sim_node(world& w, oracle& o, group& g, int index)
        : world_(w), oracle_(o), group_(g), index_(index), learner_(index >= w.config.nodes),
          self_{node_id{w.rng.bits(), w.rng.bits()}, {"node", static_cast<std::uint16_t>(index + 1)}},
          offset_(w.rng.between(0, 1000) * second),
          drift_(w.config.has(fault::drift) ? w.rng.between(-100, 100) : 0), disk_(w) {
        if (drift_ != 0) w.fire(fault::drift);
    }

    [[nodiscard]] node_id id() const { return self_.id; }
    [[nodiscard]] bool alive() const { return process_ != nullptr; }
    [[nodiscard]] runtime::engine& engine() { return *process_->engine; }
    [[nodiscard]] runtime::engine_status status() const { return process_->engine->status(); }

    void start();
    void crash();
    void pause(sim_time until) { paused_until_ = std::max(paused_until_, until); }
    void deliver(paxos::member const& from, openreplica::cluster_id cluster, std::string const& frame);
    void peer_changed(node_id peer, bool up) {
        act([&] { up ? engine().on_peer_up(peer) : engine().on_peer_down(peer); });
    }
    void append(std::string const& id, sim_time timeout);
    void read(sim_time timeout);
    void check_calls() const {
        if (world_.now < paused_until_ + second) return; // Who does not run cannot end anything.
        for (std::size_t c : open_) oracle_.check_open(c, world_.now);
    }
    [[nodiscard]] std::size_t open_calls() const { return open_.size(); }
    [[nodiscard]] std::vector<std::string> list() const {
        auto const found = process_->space.find<append_list>("list");
        return found->read([](append_list const& l) { return l.all(); });
    }

    // environment
    [[nodiscard]] openreplica::instant now() const override {
        return openreplica::instant(openreplica::duration(offset_ + world_.now + world_.now * drift_ / 1000));
    }
    [[nodiscard]] std::uint64_t random() override { return world_.rng.bits(); }
    void send(std::span<node_id const> to, paxos::message const& what) override;
    void send(std::optional<node_id> to, paxos::founding_message const& what) override;
    [[nodiscard]] call_outcome check(openreplica::envelope const& command,
                                     paxos::configuration const&) const override {
        return process_->space.check(command);
    }
    void apply(runtime::apply_batch&& work) override;
    void identity_changed(node_id self, openreplica::cluster_id cluster, paxos::configuration const&) override {
        self_.id = self;
        cluster_ = cluster;
    }
    void log(openreplica::log_level, std::string const& line) override { trace(line); }

private:
    void trace(std::string const& line) { world_.trace("n" + std::to_string(index_) + " " + line); }

    /// Runs an input, later if the process is paused, and carries out what follows; the core's own invariants are
    /// checked around it.
    template <class F>
    void act(F f) {
        if (!alive()) return;
        auto const* core = process_->engine->core();
        std::optional<paxos::observation> before;
        if (core != nullptr) before = core->observe();
        f();
        process_->engine->flush();
        core = process_->engine->core();
        if (core == nullptr || !before) return;
        auto const after = core->observe();
        if (auto const broken = paxos::violated(*before, after))
            throw violation(broken->substr(0, broken->find(':')), *broken);
        check_window(*before, after);
    }
    /// S19: a leader that goes on proposing stays within its window. What it re-proposes at first may exceed it.
    void check_window(paxos::observation const& before, paxos::observation const& after) const {
        bool const same = before.leading && after.leading && before.leading_ballot == after.leading_ballot;
        if (!same || after.last <= before.last) return;
        require(after.last.since(after.chosen) <= world_.config.window, "S19",
                std::to_string(after.last.since(after.chosen)) + " entries are open, the window has room for " +
                    std::to_string(world_.config.window));
    }
    template <class F>
    void later(sim_time delay, F f) {
        world_.after(delay, [this, life = life_, f = std::move(f)]() mutable { retry_when_awake(life, std::move(f)); });
    }
    template <class F>
    void retry_when_awake(std::uint64_t life, F f) {
        if (life != life_ || !alive()) return;
        if (world_.now < paused_until_)
            world_.at(paused_until_, [this, life, f = std::move(f)]() mutable { retry_when_awake(life, std::move(f)); });
        else
            f();
    }
    void tick_again() {
        later(12500 + static_cast<sim_time>(world_.rng.below(1000)), [this] {
            act([&] { engine().tick(); });
            tick_again();
        });
    }
    void check_durable(paxos::message const& what) const;
    void check_report(paxos::promise const& p) const;
    void post(std::size_t to, std::string frame);
    void finish(std::size_t call, call_outcome&& outcome, bool read) {
        std::erase(open_, call);
        std::vector<std::string> seen;
        if (read && outcome.ok()) seen = list();
        trace("call " + oracle_.name(call) + " ended " + std::to_string(static_cast<int>(outcome.code)) + " at slot " +
              std::to_string(outcome.at.value));
        oracle_.end(call, std::move(outcome), std::move(seen), world_.now);
    }
};

/// All nodes of a simulation.
class group {
public:
    std::vector<std::unique_ptr<sim_node>> nodes;
    [[nodiscard]] std::optional<std::size_t> index_of(node_id id) const {
        for (std::size_t i = 0; i < nodes.size(); ++i)
            if (nodes[i]->id() == id) return i;
        return std::nullopt;
    }
};

inline void sim_node::start() {
    openreplica::object::require_registered<append_list>();
    ++life_;
    if (learner_) {
        disk_.wipe();
        self_.id = node_id{world_.rng.bits(), world_.rng.bits()};
        cluster_ = {};
    }
    trace("starts");
    process_ = std::make_shared<process>();
    process_->birth = std::make_shared<runtime::object_birth>();
    process_->birth->id = openreplica::object::object_id_of("list");
    process_->birth->body = openreplica::object::encode_birth<append_list>("list");
    runtime::engine_options o;
    o.founders = learner_ ? 0u : static_cast<std::uint32_t>(world_.config.nodes);
    o.has_seeds = world_.all_nodes() > 1;
    o.snapshot_every = world_.config.snapshot_every;
    o.keep_entries = world_.config.keep_entries;
    o.protocol.window_entries = world_.config.window;
    o.session_timeout = openreplica::duration(world_.config.session_timeout);
    process_->engine = std::make_unique<runtime::engine>(self_, o, *this, disk_, process_->calls);
    disk_.report = [this](lsn upto) { act([&] { engine().on_durable(upto); }); };
    process_->engine->start(disk_.recover());
    process_->engine->on_met_self();
    process_->engine->flush();
    for (auto const& n : group_.nodes)
        if (n.get() != this && n->alive()) {
            peer_changed(n->id(), true);
            n->peer_changed(self_.id, true);
        }
    tick_again();
}

inline void sim_node::crash() {
    trace("crashes");
    ++life_;
    process_.reset();
    disk_.crash();
    disk_.report = nullptr;
    open_.clear(); // Their callers died with the process.
    last_apply_ = 0;
    for (auto const& n : group_.nodes) {
        if (!n->alive()) continue;
        n->peer_changed(self_.id, false);
        if (learner_) n->act([&] { n->engine().on_peer_forgotten(self_.id); }); // Nobody comes back under its id.
    }
}

// ---- messages

/// S4: what a message claims to be durable is durable. A learner's disk forgets by declaration.
inline void sim_node::check_durable(paxos::message const& what) const {
    if (auto const* p = std::get_if<paxos::prepare>(&what))
        require(disk_.promised() >= p->number, "S4", "a candidate asks under a ballot that it may forget");
    if (auto const* p = std::get_if<paxos::promise>(&what)) {
        require(disk_.promised() >= p->number, "S4", "a promise left before it was durable");
        check_report(*p);
    }
    if (auto const* a = std::get_if<paxos::accepted>(&what)) {
        require(disk_.promised() >= a->number, "S4", "an acknowledgement left before its ballot was durable");
        require(disk_.durable_upto() >= a->upto, "S4", "an acknowledgement of slot " + std::to_string(a->upto.value) +
                                                           " left, and only slot " +
                                                           std::to_string(disk_.durable_upto().value) + " is durable");
    }
}

/// S5: a promise reports the latest accepted value of every slot above the sender's chosen index. (All of the
/// simulation's promises fit one chunk.)
inline void sim_node::check_report(paxos::promise const& p) const {
    if (disk_.promised() != p.number) return; // Overtaken: the higher promise's report counts.
    auto const& held = disk_.before_promise();
    for (auto it = held.upper_bound(p.chosen); it != held.end(); ++it) {
        auto const told = std::find_if(p.entries.begin(), p.entries.end(), [&](auto const& e) { return e.at == it->first; });
        require(told != p.entries.end() && told->accepted >= it->second, "S5",
                "a promise hides what slot " + std::to_string(it->first.value) + " holds");
    }
}

inline void sim_node::send(std::span<node_id const> to, paxos::message const& what) {
    check_durable(what);
    if (auto const* m = std::get_if<paxos::accept>(&what)) oracle_.on_proposed(self_.id, *m);
    if (world_.verbose) trace("sends " + std::string(paxos::name_of(what)));
    std::string const frame = openreplica::net::encode(what);
    for (node_id id : to)
        if (auto const i = group_.index_of(id)) post(*i, frame);
}

inline void sim_node::send(std::optional<node_id> to, paxos::founding_message const& what) {
    std::string const frame = openreplica::net::encode(what);
    for (std::size_t i = 0; i < group_.nodes.size(); ++i)
        if (group_.nodes[i].get() != this && (!to || group_.nodes[i]->id() == *to)) post(i, frame);
}

inline void sim_node::post(std::size_t to, std::string frame) {
    world& w = world_;
    if (w.cut[static_cast<std::size_t>(index_)][to]) return;
    if (!w.healed && w.rng.chance(w.config.loss)) return w.fire(fault::loss);
    // A connection ends with the process that it leads to: nothing arrives that was sent to an earlier life.
    auto arrive = [&w, target = group_.nodes[to].get(), life = group_.nodes[to]->life_, from = self_, cluster = cluster_,
                   frame](sim_time after) {
        w.after(after, [target, life, from, cluster, frame] {
            if (life == target->life_) target->deliver(from, cluster, frame);
        });
    };
    arrive(w.delay());
    if (w.healed) return;
    if (w.rng.chance(w.config.duplication)) {
        w.fire(fault::duplication);
        arrive(w.delay());
    }
    if (w.rng.chance(w.config.replay)) {
        w.fire(fault::replay);
        arrive(w.rng.between(1, 20) * second / 2); // Long after everyone has moved on.
    }
}

inline void sim_node::deliver(paxos::member const& from, openreplica::cluster_id cluster, std::string const& frame) {
    if (!alive()) return;
    if (world_.now < paused_until_) {
        world_.at(paused_until_, [this, from, cluster, frame] { deliver(from, cluster, frame); });
        return;
    }
    auto const buffer = std::make_shared<std::string const>(frame);
    auto const header = openreplica::net::read_header(frame, frame.size());
    require(std::holds_alternative<openreplica::net::frame_header>(header), "codec", "a frame of our own is refused");
    auto m = openreplica::net::decode(std::get<openreplica::net::frame_header>(header).type, buffer,
                                      openreplica::net::frame_header_size, frame.size() - openreplica::net::frame_header_size);
    require(m.has_value(), "codec", "a message of our own cannot be read");
    act([&] {
        if (auto* f = std::get_if<paxos::founding_message>(&*m))
            engine().on_message(from, *f);
        else if (cluster == cluster_ && !cluster.empty())
            engine().on_message(from.id, std::move(std::get<paxos::message>(*m)));
    });
}

// ---- user code

inline void sim_node::apply(runtime::apply_batch&& work) {
    if (work.install) process_->delivered = std::max(process_->delivered, work.install->at);
    for (auto const& e : work.entries) {
        oracle_.on_chosen(e);
        require(e.at == process_->delivered.next() || e.at <= process_->delivered || work.install, "S7",
                "slot " + std::to_string(e.at.value) + " was delivered after slot " +
                    std::to_string(process_->delivered.value));
        process_->delivered = std::max(process_->delivered, e.at);
    }
    process_->to_apply.push_back(std::move(work));
    last_apply_ = std::max(last_apply_, world_.now + static_cast<sim_time>(world_.rng.below(2000)));
    later(last_apply_ - world_.now, [this] {
        runtime::apply_batch next = std::move(process_->to_apply.front());
        process_->to_apply.pop_front();
        auto report = process_->applier.run(std::move(next), now());
        require(report.problem.empty(), "S7", report.problem);
        oracle_.on_applied(report.applied, report.digest);
        act([&] { engine().on_applied(std::move(report)); });
    });
}

inline void sim_node::append(std::string const& id, sim_time timeout) {
    std::size_t const call = oracle_.begin(id, world_.now, world_.now + timeout + timeout / 5);
    open_.push_back(call);
    runtime::command_request request{openreplica::command_kind::call, process_->birth, oracle::append_body(id), {}};
    process_->calls.submit(
        runtime::call_ticket{call + 1}, std::move(request),
        [this, call](call_outcome&& o) { finish(call, std::move(o), false); }, now(),
        now() + openreplica::duration(timeout));
    if (world_.now >= paused_until_) act([] {});
}

inline void sim_node::read(sim_time timeout) {
    if (!process_->calls.is_created(*process_->birth)) return;
    std::size_t const call = oracle_.begin({}, world_.now, world_.now + timeout + timeout / 5);
    open_.push_back(call);
    std::vector<runtime::pending_read> reads;
    reads.push_back({[this, call](call_outcome&& o) { finish(call, std::move(o), true); },
                     runtime::call_ticket{call + 1}, now() + openreplica::duration(timeout)});
    act([&] { engine().add_reads(std::move(reads)); });
}

} // namespace simulation
