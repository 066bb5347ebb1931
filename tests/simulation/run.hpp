// One seed from founding to rest.
#pragma once

#include "chaos.hpp"

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
    std::size_t epochs = 0; ///< configurations that were chosen after the first
    std::array<std::uint64_t, fault_count> fired{};
    std::uint64_t trace_hash = 0;
    std::uint64_t events = 0;
    double simulated_s = 0;

    [[nodiscard]] std::size_t fault_classes() const {
        return static_cast<std::size_t>(std::count_if(fired.begin(), fired.end(), [](auto n) { return n > 0; }));
    }
    /// Rule 23: it says something about the protocol.
    [[nodiscard]] bool counts() const { return simulated_s >= 60 && acknowledged >= 200 && fault_classes() >= 3; }
};

class run {
    static constexpr sim_time liveness_time = 10 * second;
    static constexpr std::uint64_t rounds_after_heal = 10;

    world world_;
    oracle oracle_{world_};
    group group_;
    chaos chaos_{world_, group_};
    std::uint64_t next_id_ = 0;
    bool quiet_ = false;
    std::vector<sim_node*> core_; ///< who is healed at the end

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
        if (votes* const living = oracle_.living_group()) r.epochs = living->voters().number.value - 1;
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
        // Some groups are founded in peace, others are not.
        world_.at(world_.rng.chance(700) ? 3 * second : 10 * ms, [this] { chaos_.begin(); });
        world_.run_until(chaos::safety_time);
        bool const may_live = heal();
        if (may_live) {
            check_leader();
            check_calls();
            check_wish();
            check_rest();
        } else {
            world_.run_until(world_.now + liveness_time);
        }
        oracle_.check_final();
    }

    [[nodiscard]] bool is_learner(std::size_t i) const { return i >= static_cast<std::size_t>(world_.config.nodes); }

    // ---- load

    void call_again() {
        if (quiet_) return;
        for (auto& n : group_.nodes) {
            if (!n->awake()) continue;
            n->check_calls();
            if (n->open_calls() < 8 && world_.rng.chance(600)) call(*n);
        }
        world_.after(world_.rng.between(50, 350) * ms, [this] { call_again(); });
    }
    void call(sim_node& n) {
        sim_time const timeout = world_.rng.between(100, 8000) * ms;
        if (world_.rng.chance(350)) return n.read(timeout);
        bool const throws = world_.config.has(fault::throwing) && world_.rng.chance(100);
        if (throws) world_.fire(fault::throwing);
        // Now and then many at once, so that there are batches and full windows.
        std::uint64_t const calls = world_.rng.chance(100) ? world_.rng.below(12) : 1;
        for (std::uint64_t i = 0; i < calls; ++i) n.append("c" + std::to_string(++next_id_), throws, timeout);
    }

    // ---- after the faults

    /// Heals a random core that holds a quorum; in some seeds the rest stays dead or cut off for ever. False when the
    /// group has lost its quorum for good: then nobody can make progress, and nobody may do harm.
    bool heal() {
        world_.healed = true;
        world_.trace("the core is healed");
        world_.mend_links();
        world_.unclog_links();
        // Damage that nobody has met yet may cost a vote: it shows at the start.
        for (auto& n : group_.nodes)
            if (!n->alive() && n->storage().is_damaged()) n->start();
        votes* const living = oracle_.living_group();
        std::vector<std::size_t> voters, others;
        for (std::size_t i = 0; i < group_.nodes.size(); ++i) {
            bool const keeps_vote = group_.nodes[i]->has_disk() || group_.nodes[i]->alive();
            bool const votes = living != nullptr && living->voters().has_voter(group_.nodes[i]->id()) && keeps_vote;
            (votes ? voters : others).push_back(i);
        }
        if (living != nullptr && voters.size() < living->voters().quorum()) return false;
        // What was offered may have been chosen as far as anybody knows: then it must be, and needs its voters.
        auto const also = living != nullptr ? living->also_needed() : std::vector<paxos::configuration const*>{};
        for (auto const* c : also)
            if (living_voters(*c) < c->quorum()) return false;
        bool const partly = living != nullptr && also.empty() && world_.config.has(fault::dead_rest) && world_.rng.chance(600);
        std::vector<bool> in_core(group_.nodes.size(), true);
        if (partly) {
            leave_out(voters, voters.size() - living->voters().quorum(), in_core);
            leave_out(others, others.size(), in_core);
        }
        for (std::size_t i = 0; i < group_.nodes.size(); ++i)
            if (in_core[i]) core_.push_back(group_.nodes[i].get());
        bool const dead = world_.rng.chance(500);
        for (std::size_t i = 0; i < group_.nodes.size(); ++i)
            if (!in_core[i]) exclude(i, dead, in_core);
        for (sim_node* n : core_) {
            if (n->alive() && n->storage().state() == paxos::disk_state::failed) n->crash();
            if (!n->alive()) n->start();
            n->storage().heal();
        }
        return true;
    }
    [[nodiscard]] std::size_t living_voters(paxos::configuration const& c) const {
        return static_cast<std::size_t>(std::count_if(group_.nodes.begin(), group_.nodes.end(), [&](auto const& n) {
            return c.has_voter(n->id()) && (n->has_disk() || n->alive());
        }));
    }
    void leave_out(std::vector<std::size_t> from, std::size_t most, std::vector<bool>& in_core) {
        for (std::uint64_t n = world_.rng.below(most + 1); n > 0; --n) {
            std::size_t const k = world_.rng.below(from.size());
            in_core[from[k]] = false;
            from.erase(from.begin() + static_cast<std::ptrdiff_t>(k));
        }
    }
    void exclude(std::size_t i, bool dead, std::vector<bool> const& in_core) {
        world_.fire(fault::dead_rest);
        if (dead && group_.nodes[i]->alive()) group_.nodes[i]->crash();
        for (std::size_t k = 0; k < in_core.size(); ++k)
            if (in_core[k]) world_.link(i, k).cut = world_.link(k, i).cut = true;
    }

    [[nodiscard]] sim_node* single_leader() const {
        sim_node* leader = nullptr;
        for (sim_node* n : core_)
            if (auto const* c = n->engine().core(); c != nullptr && c->is_established()) {
                if (leader != nullptr) return nullptr;
                leader = n;
            }
        return leader;
    }
    [[nodiscard]] std::uint64_t highest_round() {
        std::uint64_t round = 0;
        for (sim_node* n : core_) round = std::max(round, n->status().promised.round);
        return round;
    }

    /// L1: ten seconds after the healing one node leads, and it did not take many ballots.
    void check_leader() {
        std::uint64_t const before = highest_round();
        world_.run_until(world_.now + liveness_time);
        sim_node* const leader = single_leader();
        require(leader != nullptr, "L1", [&] {
            std::string out = "not one node leads ten seconds after everything was healed:";
            for (sim_node* n : core_) {
                auto const s = n->status();
                out += " [voter " + std::to_string(s.voter) + " leading " + std::to_string(s.leading) + " chosen " +
                       std::to_string(s.chosen.value) + " round " + std::to_string(s.promised.round) + " disk " +
                       std::to_string(static_cast<int>(n->storage().state())) + "]";
            }
            return out;
        });
        std::uint64_t const rounds = highest_round() - std::min(highest_round(), before);
        require(rounds <= rounds_after_heal, "L1", [&] { return "it took " + std::to_string(rounds) + " ballots to settle down"; });
        require(oracle_.living_group() != nullptr, "L1", "a group has a leader and nothing is chosen");
    }

    /// L2: a call made now, through every node, is executed, and no older one is still open.
    void check_calls() {
        std::size_t const made_before = oracle_.operations.size();
        std::vector<std::size_t> last(core_.size(), 0);
        std::vector<bool> done(core_.size(), false);
        for (sim_time const end = world_.now + liveness_time; world_.now < end;) {
            for (std::size_t i = 0; i < core_.size(); ++i) {
                if (done[i]) continue;
                operation const* o = last[i] == 0 ? nullptr : &oracle_.operations[last[i]];
                if (o != nullptr && !o->ended) continue;
                done[i] = o != nullptr && o->outcome.ok();
                // A caller who was refused for lack of room tries again.
                require(o == nullptr || done[i] || o->outcome.code == errc::overloaded, "L2",
                        [&] { return "a call in health ended with \"" + o->outcome.text + "\""; });
                if (done[i]) continue;
                last[i] = oracle_.operations.size();
                core_[i]->append("final" + std::to_string(++next_id_), false, liveness_time);
            }
            world_.run_until(world_.now + 200 * ms);
        }
        for (std::size_t i = 0; i < core_.size(); ++i)
            require(done[i], "L2", [&] { return oracle_.name(last[i]) + " was not executed in ten seconds of health"; });
        for (std::size_t c = 0; c < made_before; ++c) check_ended(c);
    }
    /// Calls of a process that is gone, or outside the core, may stay open.
    void check_ended(std::size_t c) {
        operation const& o = oracle_.operations[c];
        sim_node const& n = *group_.nodes[static_cast<std::size_t>(o.caller.node)];
        bool const in_core = std::find(core_.begin(), core_.end(), &n) != core_.end();
        require(o.ended || !in_core || !n.is_life(o.caller.life), "L2",
                [&] { return oracle_.name(c) + " from before the healing is still open"; });
    }

    /// L5: in health a change of the voters is done, or refused with a reason, and never left half done.
    void check_wish() {
        if (!world_.config.has(fault::membership)) return;
        paxos::voter_change wish{.add = {}, .remove = {}, .exactly = true};
        std::size_t const size = 1 + world_.rng.below(std::min<std::size_t>(core_.size(), 5));
        for (std::size_t i = 0; i < size; ++i)
            wish.add.push_back(to_string(core_[(i + world_.rng.below(2)) % core_.size()]->id()));
        sim_node& n = *core_[world_.rng.below(core_.size())];
        n.wish(wish, liveness_time);
        for (sim_time const end = world_.now + 2 * liveness_time; world_.now < end && !n.wished();)
            world_.run_until(world_.now + 50 * ms);
        require(n.wished().has_value(), "L5", "a change of the voters has no outcome");
        require(n.wished()->ok(), "L5", [&] { return "a change of the voters in health ended with \"" + n.wished()->text + "\""; });
        for (std::string const& id : wish.add)
            require(std::any_of(oracle_.living_group()->voters().voters.begin(), oracle_.living_group()->voters().voters.end(),
                                [&](auto const& m) { return to_string(m.id) == id; }),
                    "L5", "a change of the voters was reported as done, and is not");
        require(single_leader_soon(), "L5", "nobody leads after a change of the voters in health");
        // Who has lost its vote begins anew, and fetches everything.
        for (sim_time const end = world_.now + liveness_time; world_.now < end && lag() >= 100;)
            world_.run_until(world_.now + 50 * ms);
        require(lag() < 100, "L5", [&] { return "ten seconds after a change of the voters a replica is " + std::to_string(lag()) +
                                                " slots behind"; });
    }
    /// How far the last replica of the core is behind what the first knows to be chosen.
    [[nodiscard]] std::uint64_t lag() const {
        slot low{~std::uint64_t{0}}, high;
        for (sim_node* n : core_) {
            low = std::min(low, n->status().applied);
            high = std::max(high, n->status().chosen);
        }
        return high.since(std::min(low, high));
    }
    [[nodiscard]] bool single_leader_soon() {
        for (sim_time const end = world_.now + liveness_time; world_.now < end; world_.run_until(world_.now + 50 * ms))
            if (single_leader() != nullptr) return true;
        return false;
    }

    /// L3: every replica keeps up under load, and without load all come to rest in one state.
    void check_rest() {
        require(lag() < 100, "L3", [&] { return "a replica is " + std::to_string(lag()) + " slots behind"; });
        quiet_ = true;
        sim_time const end = world_.now + liveness_time;
        while (!is_level() && world_.now < end) world_.run_until(world_.now + 37 * ms);
        require(is_level(), "L3", "the replicas have not come to one slot ten seconds after the last call");
        for (sim_time const limit = world_.now + liveness_time; !keeps_little() && world_.now < limit;)
            world_.run_until(world_.now + 37 * ms);
        require(keeps_little(), "S19", "a node keeps more of the log than it should, ten seconds after the last call");
        for (sim_node* n : core_) {
            (void)n->machine().snapshot(); // Compared with the others' and with the twin's.
            n->machine().with_list([&](auto const& list) {
                require(oracle_.plain().held(n->machine().last(), list), "S10", "a replica's list is not what the log says");
            });
        }
    }
    /// S19: no node keeps more of the log than its options and the group's snapshots account for.
    [[nodiscard]] bool keeps_little() const {
        return std::all_of(core_.begin(), core_.end(), [](sim_node* n) {
            auto const& s = n->settings();
            return n->status().chosen.since(n->status().log_start) <= s.keep_entries + 6 * s.snapshot_every + 2000;
        });
    }
    [[nodiscard]] bool is_level() const {
        slot const first = core_.front()->status().applied;
        return std::all_of(core_.begin(), core_.end(), [&](sim_node* n) {
            return n->status().applied == first && n->status().chosen == first;
        });
    }
};

} // namespace simulation
