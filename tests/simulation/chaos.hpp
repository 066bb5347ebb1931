// What goes wrong, and when.
#pragma once

#include "sim_node.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace simulation {

/// Hurts a group now and then, with the faults that the seed has.
class chaos {
    world& world_;
    group& group_;
    std::set<std::size_t> damaged_; ///< whose files decayed once
    std::uint64_t last_words_ = 0;

public:
    static constexpr sim_time safety_time = 60 * second; ///< then everything is healed

    chaos(world& w, group& g) : world_(w), group_(g) {}

    void begin() {
        if (world_.config.has(fault::slow_node)) {
            world_.fire(fault::slow_node);
            any().set_slow(true);
        }
        hurt_again();
    }

private:
    [[nodiscard]] std::size_t size() const { return group_.nodes.size(); }
    [[nodiscard]] std::size_t any_index() { return world_.rng.below(size()); }
    sim_node& any() { return *group_.nodes[any_index()]; }

    void hurt_again() {
        if (world_.now > safety_time - 2 * second) return;
        constexpr std::array faults{fault::one_way, fault::partition, fault::isolation, fault::leader_isolation, fault::ring,
                                    fault::bridge, fault::clog, fault::swizzle, fault::reset, fault::stranger, fault::crash,
                                    fault::crash_all, fault::pause, fault::suspend, fault::graceful_stop, fault::sync_error,
                                    fault::disk_full, fault::membership, fault::hand_over};
        std::vector<fault> possible;
        for (fault f : faults)
            if (world_.config.has(f)) possible.push_back(f);
        if (world_.config.has(fault::membership)) possible.push_back(fault::membership); // Many are refused.
        sim_time rest = world_.rng.between(300, 4000) * ms;
        if (possible.empty() || world_.rng.chance(150))
            world_.mend_links();
        else
            rest = std::max<sim_time>(rest + hurt(possible[world_.rng.below(possible.size())]), ms);
        world_.after(rest, [this] { hurt_again(); });
    }
    /// The result is how much longer than usual the fault should be left alone.
    sim_time hurt(fault f) {
        switch (f) {
        case fault::crash: return crash(any_index());
        case fault::crash_all: return world_.rng.chance(400) ? crash_all() : 0;
        case fault::graceful_stop: return stop(any_index());
        case fault::pause: return pause();
        case fault::suspend: return suspend();
        case fault::stranger: return stranger();
        case fault::sync_error: return fail_sync();
        case fault::disk_full: return fill_up();
        case fault::membership: return change_voters();
        case fault::hand_over: return hand_over();
        default: return size() > 1 ? hurt_links(f) : 0;
        }
    }

    // ---- links

    sim_time hurt_links(fault f) {
        switch (f) {
        case fault::clog: return clog();
        case fault::swizzle: return swizzle();
        case fault::reset: return reset();
        case fault::isolation: return isolate(any_index(), f);
        case fault::leader_isolation: {
            auto const leader = group_.leader();
            return leader ? isolate(*leader, f) : 0;
        }
        case fault::one_way:
            world_.fire(f);
            world_.mend_links();
            for (std::size_t k = 0; k < size(); ++k) world_.link(any_index(), any_index()).cut = true;
            return 0;
        default: return cut_shape(f);
        }
    }
    /// Only neighbours of a ring reach one another, or two halves meet in one node, or the halves do not meet at all.
    sim_time cut_shape(fault f) {
        std::size_t const n = size();
        if (f != fault::partition && n < 4) f = fault::partition;
        if (!world_.config.has(f)) return 0;
        world_.fire(f);
        world_.mend_links();
        auto const side = world_.rng.bits();
        std::size_t const turn = any_index();
        for (std::size_t a = 0; a < n; ++a)
            for (std::size_t b = 0; b < n; ++b) {
                std::size_t const i = (a + turn) % n, k = (b + turn) % n;
                bool cut = ((side >> a) & 1) != ((side >> b) & 1);
                if (f == fault::ring) cut = (i + 1) % n != k && (k + 1) % n != i;
                if (f == fault::bridge) cut = i != 0 && k != 0 && (i <= n / 2) != (k <= n / 2);
                world_.link(a, b).cut = cut && a != b;
            }
        return world_.rng.between(0, 3000) * ms;
    }
    /// Cuts one node off for about as long as its session lives. Its last words get out, and it hears no answer.
    sim_time isolate(std::size_t alone, fault f) {
        world_.fire(f);
        world_.mend_links();
        for (std::size_t k = 0; k < size(); ++k)
            if (k != alone) world_.link(k, alone).cut = true;
        for (int i = 0; i < 2 && group_.nodes[alone]->awake(); ++i)
            group_.nodes[alone]->append("last" + std::to_string(++last_words_), false, 8 * second);
        world_.after(20 * ms, [this, alone] {
            for (std::size_t k = 0; k < size() && !world_.healed; ++k)
                if (k != alone && world_.link(k, alone).cut) world_.link(alone, k).cut = true;
        });
        sim_time const session = group_.nodes[alone]->settings().session_timeout;
        sim_time const length = world_.rng.between(session / 4, std::min(session * 2, 8 * second));
        world_.after(length, [this] {
            if (!world_.healed) world_.mend_links();
        });
        return length;
    }
    sim_time clog() {
        world_.fire(fault::clog);
        for (std::size_t k = 0; k < size(); ++k)
            world_.link(any_index(), any_index()).clogged_until = world_.now + world_.rng.between(100, 5000) * ms;
        return 0;
    }
    /// Links stop one after the other, and go on in another order.
    sim_time swizzle() {
        world_.fire(fault::swizzle);
        for (std::size_t k = 0; k < size(); ++k) {
            std::size_t const victim = any_index();
            sim_time const from = world_.rng.between(0, 1500) * ms, length = world_.rng.between(100, 3000) * ms;
            world_.after(from, [this, victim, until = world_.now + from + length] {
                if (world_.healed) return;
                for (std::size_t other = 0; other < size(); ++other)
                    world_.link(other, victim).clogged_until = world_.link(victim, other).clogged_until = until;
            });
        }
        return second;
    }
    sim_time reset() {
        std::size_t const a = any_index(), b = any_index();
        if (a == b || !group_.nodes[a]->alive() || !group_.nodes[b]->alive()) return 0;
        world_.fire(fault::reset);
        group_.nodes[a]->connection_lost(b);
        return -world_.rng.between(0, 200) * ms;
    }

    // ---- processes

    /// Who is still asleep when everything is healed is no part of the core.
    [[nodiscard]] sim_time within(sim_time length) const { return std::min(length, safety_time - second - world_.now); }

    void start_later(std::size_t i) {
        world_.after(world_.rng.between(10, 5000) * ms, [this, i] {
            if (!world_.healed && !group_.nodes[i]->alive()) group_.nodes[i]->start();
        });
    }
    /// A group of diskless nodes that all forget is gone; somebody must remember it, or there is nothing to check.
    [[nodiscard]] bool may_end(std::size_t victim) const {
        if (!world_.config.diskless || victim >= static_cast<std::size_t>(world_.config.nodes)) return true;
        for (std::size_t i = 0; i < static_cast<std::size_t>(world_.config.nodes); ++i)
            if (i != victim && group_.nodes[i]->alive() && !group_.nodes[i]->cluster().empty()) return true;
        return false;
    }
    sim_time crash(std::size_t victim) {
        if (!group_.nodes[victim]->alive() || !may_end(victim)) return 0;
        world_.fire(fault::crash);
        group_.nodes[victim]->crash();
        if (world_.config.has(fault::decay) && world_.rng.chance(300)) decay(victim);
        start_later(victim);
        return 0;
    }
    sim_time crash_all() {
        world_.fire(fault::crash_all);
        for (std::size_t i = 0; i < size(); ++i) {
            if (!group_.nodes[i]->alive() || !may_end(i)) continue;
            group_.nodes[i]->crash();
            start_later(i);
        }
        return second;
    }

    // ---- disks

    /// Damage may cost a node its vote, so that only so many founders may meet it as the group can do without.
    void decay(std::size_t victim) {
        if (!group_.nodes[victim]->has_disk()) return;
        damaged_.insert(victim);
        if (damaged_.size() > static_cast<std::size_t>(world_.config.nodes - 1) / 2) {
            damaged_.erase(victim);
            return;
        }
        world_.fire(fault::decay);
        group_.nodes[victim]->storage().decay();
    }
    /// Whoever's disk failed is started again after a while, as its operator would.
    sim_time fail_sync() {
        std::size_t const victim = any_index();
        if (!group_.nodes[victim]->alive() || !group_.nodes[victim]->has_disk()) return 0;
        group_.nodes[victim]->storage().fail_sync();
        world_.after(world_.rng.between(500, 6000) * ms, [this, victim] {
            if (!world_.healed && group_.nodes[victim]->alive()) crash(victim);
        });
        return 0;
    }
    sim_time fill_up() {
        sim_node& n = any();
        if (n.alive() && n.has_disk()) n.storage().fill_up(world_.rng.between(200, 6000) * ms);
        return 0;
    }

    sim_time stop(std::size_t victim) {
        if (!group_.nodes[victim]->awake() || !may_end(victim)) return 0;
        world_.fire(fault::graceful_stop);
        group_.nodes[victim]->stop();
        start_later(victim);
        return 0;
    }
    sim_time pause() {
        world_.fire(fault::pause);
        bool const leader = world_.rng.chance(400);
        sim_node& n = leader && group_.leader() ? *group_.nodes[*group_.leader()] : any();
        n.pause(within((world_.rng.chance(100) ? world_.rng.between(3000, 20000) : world_.rng.between(50, 3000)) * ms));
        // Whoever called it meanwhile is served first: nothing has told it yet that it slept.
        world_.at(n.wakes_at(), [&n] {
            if (n.awake()) n.read(2 * second);
        });
        return 0;
    }
    sim_time suspend() {
        sim_node& n = any();
        if (!n.awake()) return 0;
        world_.fire(fault::suspend);
        n.suspend(within(world_.rng.between(200, 6000) * ms));
        return 0;
    }
    // ---- the group

    /// Anybody wishes any voters. Where damage or a loss of memory may cost votes, few are replaced at a time.
    sim_time change_voters() {
        sim_node& by = any();
        if (!by.awake() || by.cluster().empty()) return 0;
        world_.fire(fault::membership);
        paxos::voter_change wish;
        bool const careful = world_.config.diskless || world_.config.has(fault::decay);
        auto const kind = world_.rng.below(careful ? 3 : 4);
        if (kind != 1) wish.add.push_back(to_string(any().id()));
        if (kind == 1 || kind == 2) wish.remove.push_back(to_string(any().id()));
        if (kind == 3) {
            wish.exactly = true;
            for (auto n = world_.rng.below(4); n > 0; --n) wish.add.push_back(to_string(any().id()));
        }
        if (careful && kind == 1 && world_.rng.chance(700)) return 0;
        by.wish(std::move(wish), world_.rng.between(500, 6000) * ms);
        // Now and then somebody dies of it.
        if (world_.config.has(fault::crash) && world_.rng.chance(300))
            world_.after(world_.rng.between(0, 60) * ms, [this] {
                if (!world_.healed) crash(group_.leader() && world_.rng.chance(500) ? *group_.leader() : any_index());
            });
        return -world_.rng.between(0, 300) * ms;
    }
    sim_time hand_over() {
        sim_node& by = any();
        if (!by.awake() || by.cluster().empty()) return 0;
        world_.fire(fault::hand_over);
        by.wish(world_.rng.chance(500) ? std::string() : to_string(any().id()), 2 * second);
        return 0;
    }

    sim_time stranger() {
        sim_node& n = any();
        if (!n.awake()) return 0;
        world_.fire(fault::stranger);
        n.stranger_knocks();
        return 0;
    }
};

} // namespace simulation
