// One seed from founding to rest.
#pragma once

#include "sim_node.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace simulation {

struct result {
    std::string invariant; ///< empty: everything held
    std::string sentence;
    std::vector<std::string> last_lines;
    std::size_t acknowledged = 0;
    std::size_t unknown = 0;
    std::array<std::uint64_t, static_cast<std::size_t>(fault::count)> fired{};
    std::uint64_t trace_hash = 0;
    std::uint64_t events = 0;
    double simulated_s = 0;

    [[nodiscard]] std::size_t fault_classes() const {
        return static_cast<std::size_t>(std::count_if(fired.begin(), fired.end(), [](auto n) { return n > 0; }));
    }
};

class run {
    static constexpr sim_time safety_time = 60 * second;

    world world_;
    oracle oracle_;
    group group_;
    std::uint64_t next_id_ = 0;

public:
    explicit run(std::uint64_t seed, bool verbose = false) : world_(seed) {
        world_.verbose = verbose;
        for (int i = 0; i < static_cast<int>(world_.all_nodes()); ++i)
            group_.nodes.push_back(std::make_unique<sim_node>(world_, oracle_, group_, i));
    }

    [[nodiscard]] result operator()() {
        result r;
        try {
            play();
        } catch (violation const& v) {
            r.invariant = v.name;
            r.sentence = v.what();
        }
        r.last_lines = {world_.last_lines().begin(), world_.last_lines().end()};
        r.acknowledged = oracle_.acknowledged;
        r.unknown = oracle_.unknown;
        r.fired = world_.fired;
        r.trace_hash = world_.trace_hash();
        r.events = world_.events;
        r.simulated_s = static_cast<double>(world_.now) / static_cast<double>(second);
        return r;
    }
    [[nodiscard]] std::string config() const { return world_.config.text(); }

private:
    void play() {
        for (std::size_t i = 0; i < group_.nodes.size(); ++i)
            world_.at(world_.rng.between(0, is_learner(i) ? 20000 : 500) * ms, [this, i] {
                if (!group_.nodes[i]->alive()) group_.nodes[i]->start();
            });
        world_.at(2 * second, [this] { call_again(); });
        world_.at(3 * second, [this] { hurt_again(); });
        world_.run_until(safety_time);
        heal();
        check_liveness();
        check_rest();
    }

    [[nodiscard]] bool is_learner(std::size_t i) const { return i >= static_cast<std::size_t>(world_.config.nodes); }

    // ---- load

    void call_again() {
        for (auto& n : group_.nodes) {
            if (!n->alive()) continue;
            n->check_calls();
            if (n->open_calls() < 8 && world_.rng.chance(600)) call(*n);
        }
        world_.after(world_.rng.between(20, 200) * ms, [this] { call_again(); });
    }
    void call(sim_node& n) {
        sim_time const timeout = world_.rng.between(100, 8000) * ms;
        if (world_.rng.chance(350))
            n.read(timeout);
        else
            n.append("c" + std::to_string(++next_id_), timeout);
    }

    // ---- faults

    void hurt_again() {
        if (world_.healed) return;
        sim_time rest = world_.rng.between(200, 3000) * ms;
        switch (world_.rng.below(6)) {
        case 0: cut_links(); break;
        case 1: crash_some(); break;
        case 2: pause_one(); break;
        case 3: mend_links(); break;
        case 4: rest = std::max(rest, isolate_one()); break;
        default: break;
        }
        world_.after(rest, [this] { hurt_again(); });
    }
    void mend_links() {
        for (auto& row : world_.cut) row.assign(row.size(), false);
    }
    void cut_links() {
        std::size_t const n = group_.nodes.size();
        mend_links();
        if (world_.config.has(fault::partition) && n > 1 && world_.rng.chance(600)) {
            world_.fire(fault::partition);
            auto const side = world_.rng.bits();
            for (std::size_t a = 0; a < n; ++a)
                for (std::size_t b = 0; b < n; ++b) world_.cut[a][b] = ((side >> a) & 1) != ((side >> b) & 1);
        } else if (world_.config.has(fault::one_way) && n > 1) {
            world_.fire(fault::one_way);
            for (std::size_t k = 0; k < n; ++k) world_.cut[world_.rng.below(n)][world_.rng.below(n)] = true;
        }
    }
    /// Cuts one node off for about as long as its session lives. The result is for how long.
    sim_time isolate_one() {
        std::size_t const n = group_.nodes.size();
        if (!world_.config.has(fault::isolation) || n == 1) return 0;
        world_.fire(fault::isolation);
        mend_links();
        std::size_t const alone = world_.rng.below(n);
        for (std::size_t k = 0; k < n; ++k)
            if (k != alone) world_.cut[alone][k] = world_.cut[k][alone] = true;
        sim_time const session = world_.config.session_timeout;
        sim_time const length = world_.rng.between(session / 2, session * 2);
        world_.after(length, [this] { mend_links(); });
        return length;
    }
    void crash_some() {
        bool const all = world_.config.has(fault::crash_all) && world_.rng.chance(200);
        if (!all && !world_.config.has(fault::crash)) return;
        std::size_t const victim = world_.rng.below(group_.nodes.size());
        for (std::size_t i = 0; i < group_.nodes.size(); ++i) {
            if ((!all && i != victim) || !group_.nodes[i]->alive()) continue;
            world_.fire(all ? fault::crash_all : fault::crash);
            group_.nodes[i]->crash();
            world_.after(world_.rng.between(10, 5000) * ms, [this, i] {
                if (!group_.nodes[i]->alive()) group_.nodes[i]->start();
            });
        }
    }
    void pause_one() {
        if (!world_.config.has(fault::pause)) return;
        world_.fire(fault::pause);
        group_.nodes[world_.rng.below(group_.nodes.size())]->pause(world_.now + world_.rng.between(50, 3000) * ms);
    }

    // ---- after the faults

    void heal() {
        world_.healed = true;
        world_.trace("everything is healed");
        mend_links();
        for (auto& n : group_.nodes)
            if (!n->alive()) n->start();
    }

    void check_liveness() {
        world_.run_until(world_.now + 10 * second);
        std::size_t leaders = 0;
        for (auto& n : group_.nodes) leaders += n->status().leading ? 1 : 0;
        require(leaders == 1, "L1", std::to_string(leaders) + " nodes lead ten seconds after everything was healed");
        // L2: a call made now, through every node, is executed.
        std::size_t const first = oracle_.operations.size();
        for (auto& n : group_.nodes) n->append("final" + std::to_string(++next_id_), 10 * second);
        std::size_t const end = oracle_.operations.size();
        world_.run_until(world_.now + 10 * second);
        for (std::size_t i = first; i < end; ++i)
            require(oracle_.operations[i].ended && (oracle_.operations[i].outcome.ok() ||
                                                    // A window of a few entries may be full just then.
                                                    oracle_.operations[i].outcome.code == errc::overloaded), "L2",
                    "call " + oracle_.name(i) + " was not executed in ten seconds of health: " +
                        oracle_.operations[i].outcome.text);
    }

    void check_rest() {
        // L3: under continuing load every replica keeps up; then compare them where they agree on the slot.
        openreplica::slot low{~std::uint64_t{0}}, high;
        for (auto& n : group_.nodes) {
            low = std::min(low, n->status().applied);
            high = std::max(high, n->status().chosen);
        }
        require(high.since(low) < 50, "L3", "a replica is " + std::to_string(high.since(low)) + " slots behind");
        sim_node* furthest = group_.nodes.front().get();
        for (auto& n : group_.nodes)
            if (n->status().applied > furthest->status().applied) furthest = n.get();
        oracle_.check_final(furthest->list());
    }
};

} // namespace simulation
