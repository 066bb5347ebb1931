// One simulated process: the shipping engine, calls, applier and objects, in a world that fails.
#pragma once

#include "disk.hpp"
#include "machine.hpp"

#include <openreplica/paxos/invariants.hpp>
#include <openreplica/runtime/engine.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace simulation {

class group;
using frame_ptr = std::shared_ptr<std::string const>;

class sim_node final : public runtime::environment {
    /// Everything that dies with the process.
    struct process {
        runtime::calls calls;
        checked_machine machine;
        runtime::applier applier{machine, calls};
        std::unique_ptr<runtime::engine> engine{};
        std::shared_ptr<runtime::object_birth> birth = std::make_shared<runtime::object_birth>();
        std::deque<runtime::apply_batch> to_apply{};
        slot delivered{}; ///< the last slot handed to the applier
        std::set<slot> installed{}; ///< the last slots of the snapshots handed to the applier
        ballot led{};     ///< the last ballot that it was seen to lead
        std::map<slot, ballot> behind{}; ///< the highest ballot behind what was handed to the applier, by its last slot

        process(oracle& o, life_id who, std::size_t max_pending) : calls(max_pending), machine(o, who) {}
    };
    /// The chunks of a promise that has been sent, for S5.
    struct told_report {
        ballot number{};
        std::map<slot, slot> reach{}; ///< where a chunk began → where it ended
    };

    world& world_;
    oracle& oracle_;
    group& group_;
    int index_;
    bool learner_;  ///< joins without a vote
    bool diskless_; ///< keeps nothing: each of its lives is a new node
    paxos::member self_;
    node_settings settings_;
    std::int64_t offset_, drift_; ///< of this node's clock: µs, and parts per thousand
    disk disk_;
    std::shared_ptr<process> process_;
    sim_time last_apply_ = 0;
    cluster_id cluster_;
    std::uint64_t life_ = 0;
    sim_time paused_until_ = 0;
    sim_time busy_until_ = 0; ///< a slow node works off one thing after the other
    bool slow_ = false;
    std::vector<std::size_t> open_; ///< this life's calls without an outcome
    told_report told_;
    std::pair<ballot, slot> acked_; ///< checked up to here, for S4
    std::optional<call_outcome> wished_;

public:
    sim_node(world& w, oracle& o, group& g, int index)
        : world_(w), oracle_(o), group_(g), index_(index), learner_(index >= w.config.nodes),
          diskless_(learner_ ? index >= w.config.nodes + w.config.durable_learners : w.config.diskless),
          self_{node_id{w.rng.bits(), w.rng.bits()}, {"node", static_cast<std::uint16_t>(index + 1)}},
          settings_(w.config.base), offset_(w.rng.between(0, 1000) * second),
          drift_(w.config.has(fault::drift) ? w.rng.between(-100, 100) : 0), disk_(w, o, diskless_) {
        if (drift_ != 0) w.fire(fault::drift);
    }

    [[nodiscard]] node_id id() const { return self_.id; }
    [[nodiscard]] cluster_id cluster() const { return cluster_; }
    [[nodiscard]] bool alive() const { return process_ != nullptr; }
    [[nodiscard]] bool awake() const { return alive() && world_.now >= paused_until_; }
    [[nodiscard]] sim_time wakes_at() const { return paused_until_; }
    [[nodiscard]] runtime::engine& engine() { return *process_->engine; }
    [[nodiscard]] runtime::engine_status status() const { return process_->engine->status(); }
    [[nodiscard]] checked_machine const& machine() const { return process_->machine; }
    [[nodiscard]] node_settings const& settings() const { return settings_; }
    [[nodiscard]] bool is_life(std::uint64_t life) const { return alive() && life == life_; }
    [[nodiscard]] std::size_t open_calls() const { return open_.size(); }

    void start();
    void crash();
    /// Ends as a program does that is told to: every call gets its outcome first.
    void stop();
    void pause(sim_time length) { paused_until_ = std::max(paused_until_, world_.now + length); }
    /// The machine sleeps, and its steady clock with it.
    void suspend(sim_time length);
    void set_slow(bool slow) { slow_ = slow; }
    [[nodiscard]] disk& storage() { return disk_; }
    [[nodiscard]] bool has_disk() const { return !diskless_; }
    void connection_lost(std::size_t peer);
    void stranger_knocks();

    void append(std::string const& id, bool throws, sim_time timeout);
    /// Wishes other voters, or (by name) another leader. What came of the last wish; nothing while it is open.
    void wish(std::variant<paxos::voter_change, std::string> what, sim_time timeout);
    [[nodiscard]] std::optional<call_outcome> const& wished() const { return wished_; }
    void read(sim_time timeout);
    void check_calls() const {
        if (world_.now < std::max(paused_until_, busy_until_) + second) return; // Who does not run cannot end anything.
        for (std::size_t c : open_) oracle_.check_open(c);
    }
    void peer_changed(node_id peer, bool up) {
        act([&] { up ? engine().on_peer_up(peer) : engine().on_peer_down(peer); });
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
        return process_->machine.check(command);
    }
    void apply(runtime::apply_batch&& work) override;
    void write(runtime::frozen_snapshot&& s) override {
        check_ballot(s.head);
        auto kept = std::make_shared<runtime::frozen_snapshot>(std::move(s));
        later(static_cast<sim_time>(world_.rng.below(50 * ms)), [this, kept] {
            act([&] { engine().on_written(runtime::write_out(std::move(*kept))); });
        });
    }
    void identity_changed(node_id self, cluster_id cluster, paxos::configuration const& voters) override;
    void voters_changed(paxos::configuration const& voters) override { oracle_.group(cluster_)->check_known(voters); }
    void meet(std::vector<paxos::member> const&) override {} // Everybody has met everybody.
    [[nodiscard]] std::vector<runtime::acquaintance> acquaintances() const override;
    void log(openreplica::log_level, std::string const& line) override { trace(line); }

private:
    void trace(std::string const& line) { world_.trace("n" + std::to_string(index_) + " " + line); }
    [[nodiscard]] life_id who() const { return {index_, life_}; }

    /// Runs an input and carries out what follows; the core's own invariants are checked around it.
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
        check_leading(*before, after);
    }
    void check_leading(paxos::observation const& before, paxos::observation const& after);
    /// A leader that has no room for what one node may send at once refuses it with reason.
    void note_window(paxos::observation const& leader) {
        constexpr std::uint64_t at_once = 32;
        if (leader.held.since(leader.chosen) + at_once >= settings_.protocol.window_entries) world_.window_full_at = world_.now;
    }
    template <class F>
    void later(sim_time delay, F f) {
        world_.after(delay, [this, life = life_, f = std::move(f)]() mutable { run_when_free(life, std::move(f)); });
    }
    template <class F>
    void run_when_free(std::uint64_t life, F f) {
        if (life != life_ || !alive()) return;
        if (world_.now < paused_until_)
            world_.at(wakes_up(), [this, life, f = std::move(f)]() mutable { run_when_free(life, std::move(f)); });
        else
            f();
    }
    /// What came during a pause is found soon after it, in any order.
    [[nodiscard]] sim_time wakes_up() { return paused_until_ + static_cast<sim_time>(world_.rng.below(3 * ms)); }
    /// When this node gets around to what arrives now.
    [[nodiscard]] sim_time when_free() {
        if (!slow_ || world_.healed) return 0;
        busy_until_ = std::min(std::max(busy_until_, world_.now) + world_.config.slowness, world_.now + second);
        return busy_until_ - world_.now;
    }
    void tick_again() {
        sim_time const often = settings_.protocol.heartbeat / std::chrono::microseconds(4);
        later(often + static_cast<sim_time>(world_.rng.below(1000)) + when_free(), [this] {
            act([&] { engine().tick(); });
            tick_again();
        });
    }
    void run_applier();
    void end_life();
    [[nodiscard]] runtime::engine_options engine_options() const;
    void meet_everyone();

    // Messages.
    void check_durable(paxos::message const& what);
    void check_ack(paxos::accepted const& a);
    void note_ballot(slot at, ballot const& b);
    /// S3: a snapshot names a ballot as high as any behind what it holds: whoever takes it up promises that.
    void check_ballot(paxos::snapshot const& s) {
        auto const at = process_->behind.upper_bound(s.at);
        if (at == process_->behind.begin()) return;
        require(std::prev(at)->second <= s.behind, "S3",
                [&] { return "the snapshot of " + at_slot(s.at) + " names a lower ballot than is behind it"; });
        process_->behind.erase(process_->behind.begin(), std::prev(at));
    }
    void check_report(paxos::promise const& p);
    void post(std::size_t to, frame_ptr const& frame);
    void arrive(std::size_t to, frame_ptr frame, sim_time after);
    void deliver(paxos::member const& from, cluster_id cluster, frame_ptr const& frame);
    [[nodiscard]] bool is_damaged(std::string const& frame) const;

    void finish_append(std::size_t call, call_outcome&& outcome);
    void finish_read(std::size_t call, call_outcome&& outcome);
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
    [[nodiscard]] std::optional<std::size_t> leader() const {
        for (std::size_t i = 0; i < nodes.size(); ++i)
            if (nodes[i]->alive() && nodes[i]->engine().core() != nullptr && nodes[i]->engine().core()->is_leader()) return i;
        return std::nullopt;
    }
};

// ---- life and death

inline runtime::engine_options sim_node::engine_options() const {
    runtime::engine_options o;
    o.protocol = settings_.protocol;
    o.founders = learner_ || disk_.only_joins() ? 0u : static_cast<std::uint32_t>(world_.config.nodes);
    o.has_seeds = world_.all_nodes() > 1;
    o.snapshot_every = settings_.snapshot_every;
    o.keep_entries = settings_.keep_entries;
    o.snapshot_chunk = settings_.snapshot_chunk;
    o.session_timeout = openreplica::duration(settings_.session_timeout);
    return o;
}

inline void sim_node::start() {
    openreplica::object::require_registered<append_list>();
    if (life_ > 0 && diskless_) {
        disk_.wipe();
        self_.id = node_id{world_.rng.bits(), world_.rng.bits()};
        cluster_ = {};
    }
    if (life_ > 0 && world_.config.has(fault::other_options) && world_.rng.chance(500)) {
        settings_ = node_settings::draw(world_.rng, static_cast<int>(world_.all_nodes()));
        world_.fire(fault::other_options);
    }
    ++life_;
    busy_until_ = 0;
    trace("starts");
    process_ = std::make_shared<process>(oracle_, who(), settings_.max_pending);
    process_->birth->id = openreplica::object::object_id_of("list");
    process_->birth->body = openreplica::object::encode_birth<append_list>("list");
    disk_.set_owner(self_.id, cluster_, who());
    paxos::durable_state recovered = disk_.recover();
    if (disk_.owner() != self_.id) {
        self_.id = disk_.owner();
        cluster_ = {};
        disk_.set_owner(self_.id, cluster_, who());
    }
    process_->engine = std::make_unique<runtime::engine>(self_, engine_options(), *this, disk_, process_->calls);
    if (diskless_)
        disk_.report = {[this](lsn upto) { engine().on_durable(upto); },
                        [this](slot at, bool whole) { engine().on_kept(at, whole); }};
    else
        disk_.report = {[this](lsn upto) { act([&] { engine().on_durable(upto); }); },
                        [this](slot at, bool whole) { act([&] { engine().on_kept(at, whole); }); }};
    process_->engine->start(std::move(recovered));
    process_->engine->on_met_self();
    process_->engine->flush();
    meet_everyone();
    tick_again();
}

inline void sim_node::meet_everyone() {
    for (auto const& n : group_.nodes)
        if (n.get() != this && n->alive()) {
            peer_changed(n->id(), true);
            n->peer_changed(self_.id, true);
        }
}

inline void sim_node::crash() {
    trace("crashes");
    if (diskless_ && !learner_) world_.fire(fault::memory_loss);
    end_life();
}

inline void sim_node::stop() {
    trace("stops");
    engine().stop();
    while (!process_->to_apply.empty()) run_applier();
    require(open_.empty(), "S12", "a node was stopped, and a call of it has no outcome");
    if (diskless_ && !learner_) world_.fire(fault::memory_loss);
    end_life();
}

inline void sim_node::end_life() {
    ++life_;
    process_.reset();
    disk_.crash();
    open_.clear(); // Their callers died with the process.
    last_apply_ = 0;
    paused_until_ = busy_until_ = 0;
    acked_ = {};
    for (auto const& n : group_.nodes) {
        if (!n->alive()) continue;
        n->peer_changed(self_.id, false);
        if (diskless_) n->act([&] { n->engine().on_peer_forgotten(self_.id); }); // Nobody comes back under its id.
    }
}

inline void sim_node::suspend(sim_time length) {
    if (!alive()) return;
    pause(length);
    for (std::size_t c : open_) oracle_.operations[c].deadline += length + length / 5;
    world_.at(paused_until_, [this, life = life_, length] {
        if (life == life_) offset_ -= length + length * drift_ / 1000;
    });
}

inline std::vector<runtime::acquaintance> sim_node::acquaintances() const {
    std::vector<runtime::acquaintance> all;
    for (auto const& n : group_.nodes)
        if (n.get() != this && n->alive() && n->cluster() == cluster_) all.push_back({n->self_});
    return all;
}

inline void sim_node::identity_changed(node_id self, cluster_id cluster, paxos::configuration const& voters) {
    if (self_.id != self) told_ = {}; // Otherwise whoever asked for the rest of a promise goes on from there.
    self_.id = self;
    cluster_ = cluster;
    disk_.set_owner(self, cluster, who());
    acked_ = {};
    if (cluster.empty()) {
        process_->delivered = {}; // Everything comes again, and is known already.
        for (auto const& n : group_.nodes)
            if (n.get() != this && n->alive()) world_.after(0, [this, other = n.get(), id = self, life = life_] {
                    if (life == life_ && other->alive()) other->peer_changed(id, true);
                });
        return;
    }
    oracle_.on_joined(cluster, voters);
}

/// S5: who leads has its promises. S19: a leader that goes on proposing stays within its window; what it re-proposes at
/// first may exceed it, and one value may pass the limit of bytes.
inline void sim_node::check_leading(paxos::observation const& before, paxos::observation const& after) {
    // The creation of the list is the library's own call.
    require(process_->calls.pending_count() <= settings_.max_pending + 1, "S19", "more calls are pending than there is room for");
    if (!after.leading) return;
    if (after.leading_ballot != process_->led) {
        process_->led = after.leading_ballot;
        oracle_.group(cluster_)->on_ballot(self_.id, who(), after.leading_ballot);
        oracle_.group(cluster_)->on_leading(after.leading_ballot, process_->engine->core()->governing());
    }
    auto const& p = settings_.protocol;
    note_window(after);
    bool const same = before.leading && before.leading_ballot == after.leading_ballot;
    if (!same || after.held <= before.held || after.held == before.held.next()) return;
    require(after.held.since(after.chosen) <= p.window_entries, "S19", [&] {
        return std::to_string(after.held.since(after.chosen)) + " entries are open, the window has room for " +
               std::to_string(p.window_entries);
    });
    require(after.open_bytes <= p.window_bytes + 400, "S19", [&] {
        return std::to_string(after.open_bytes) + " bytes are open, the window has room for " + std::to_string(p.window_bytes);
    });
}

// ---- user code

/// Something of this ballot was handed to the applier, and it holds everything up to `at` then.
inline void sim_node::note_ballot(slot at, ballot const& b) {
    auto& all = process_->behind;
    ballot const before = all.empty() ? ballot{} : all.rbegin()->second;
    if (all.empty() || at > all.rbegin()->first) all.emplace(at, std::max(before, b));
}

inline void sim_node::apply(runtime::apply_batch&& work) {
    process& p = *process_;
    if (work.install) {
        p.installed.insert(work.install->head.at);
        note_ballot(work.install->head.at, work.install->head.behind);
    }
    for (auto const& e : work.entries) {
        note_ballot(e.at, e.accepted);
        oracle_.on_delivered(cluster_, e);
        require(e.at == p.delivered.next() || p.installed.contains(e.at.prev()), "S7",
                [&] { return at_slot(e.at) + " was delivered after " + at_slot(p.delivered); });
        p.delivered = e.at;
    }
    p.to_apply.push_back(std::move(work));
    last_apply_ = std::max(last_apply_, world_.now + static_cast<sim_time>(world_.rng.below(2000)));
    later(last_apply_ - world_.now, [this] {
        if (!process_->to_apply.empty()) run_applier();
    });
}

inline void sim_node::run_applier() {
    runtime::apply_batch next = std::move(process_->to_apply.front());
    process_->to_apply.pop_front();
    auto report = process_->applier.run(std::move(next), now());
    require(report.problem.empty(), "S7", report.problem);
    oracle_.on_digest(report.applied, report.digest);
    act([&] { engine().on_applied(std::move(report)); });
}

inline void sim_node::append(std::string const& id, bool throws, sim_time timeout) {
    std::string const body = std::string(throws ? "[\"append_and_throw\",\"" : "[\"append\",\"") + id + "\"]";
    std::size_t const call = oracle_.begin(id, body, who(), world_.now + timeout + timeout / 5);
    open_.push_back(call);
    runtime::command_request request{openreplica::command_kind::call, process_->birth, body, {}};
    process_->calls.submit(
        runtime::call_ticket{call + 1}, std::move(request),
        [this, call](call_outcome&& o) { finish_append(call, std::move(o)); }, now(), now() + openreplica::duration(timeout));
    act([] {});
}

inline void sim_node::wish(std::variant<paxos::voter_change, std::string> what, sim_time timeout) {
    wished_.reset();
    auto done = [this](call_outcome&& o) {
        trace("its wish ended " + std::to_string(static_cast<int>(o.code)) + " " + o.text);
        wished_ = std::move(o);
    };
    auto const deadline = now() + openreplica::duration(timeout);
    act([&] { engine().wish({}, std::move(what), deadline, done); });
}

inline void sim_node::read(sim_time timeout) {
    if (!process_->calls.is_created(*process_->birth)) return;
    std::size_t const call = oracle_.begin({}, {}, who(), world_.now + timeout + timeout / 5);
    open_.push_back(call);
    std::vector<runtime::pending_read> reads;
    reads.push_back({[this, call](call_outcome&& o) { finish_read(call, std::move(o)); }, runtime::call_ticket{call + 1},
                     now() + openreplica::duration(timeout)});
    act([&] { engine().add_reads(std::move(reads)); });
}

inline void sim_node::finish_append(std::size_t call, call_outcome&& outcome) {
    std::erase(open_, call);
    if (auto const* core = process_->engine->core(); core != nullptr && core->is_leader()) note_window(core->observe());
    trace(oracle_.name(call) + " ended " + std::to_string(static_cast<int>(outcome.code)) + " at " + at_slot(outcome.at));
    oracle_.end_append(call, std::move(outcome));
}

inline void sim_node::finish_read(std::size_t call, call_outcome&& outcome) {
    std::erase(open_, call);
    trace(oracle_.name(call) + " ended " + std::to_string(static_cast<int>(outcome.code)) + " at " + at_slot(outcome.at));
    if (!outcome.ok()) return oracle_.end_read(call, std::move(outcome), nullptr, {});
    process_->machine.with_list([&](std::vector<std::string> const& list) {
        oracle_.end_read(call, std::move(outcome), &list, process_->machine.last());
    });
}

} // namespace simulation

#include "sim_messages.hpp"
