// Virtual time, the trace, and the state of every link.
#pragma once

#include "settings.hpp"

#include <openreplica/types/hash.hpp>
#include <openreplica/types/unique_function.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace simulation {

/// A named invariant does not hold.
struct violation : std::runtime_error {
    std::string name;
    violation(std::string n, std::string const& sentence) : std::runtime_error(sentence), name(std::move(n)) {}
};

/// The sentence is made only when it is needed: checks run by the million.
template <class Sentence>
void require(bool holds, char const* name, Sentence const& sentence) {
    if (holds) return;
    if constexpr (requires { std::string(sentence()); })
        throw violation(name, sentence());
    else
        throw violation(name, std::string(sentence));
}

/// One direction between two nodes.
struct link_state {
    bool cut = false;
    sim_time clogged_until = 0;  ///< nothing arrives before
    sim_time last_arrival = 0;   ///< a healthy connection keeps the order
    std::uint64_t generation = 0; ///< of the connection: what an earlier one carried is lost
};

/// The event queue, the trace, and the links.
class world {
    struct event {
        sim_time when;
        std::uint64_t order;
        openreplica::unique_function<void()> run;
        bool operator<(event const& o) const { return when != o.when ? when > o.when : order > o.order; }
    };
    std::vector<event> queue_; // A heap, the earliest event first.
    std::uint64_t sequence_ = 0;
    std::uint64_t trace_hash_ = 0;
    std::deque<std::string> trace_;
    std::vector<link_state> links_;

public:
    random rng;
    configuration config;
    sim_time now = 0;
    bool healed = false;
    sim_time window_full_at = -1; ///< when a leader last had no room for another entry
    bool verbose = false;
    std::uint64_t events = 0;
    std::array<std::uint64_t, fault_count> fired{};

    explicit world(std::uint64_t seed) : rng(seed), config(seed) { links_.resize(all_nodes() * all_nodes()); }

    [[nodiscard]] std::size_t all_nodes() const { return static_cast<std::size_t>(config.nodes + config.learners); }
    [[nodiscard]] link_state& link(std::size_t from, std::size_t to) { return links_[from * all_nodes() + to]; }
    void mend_links() {
        for (link_state& l : links_) l.cut = false;
    }
    void unclog_links() {
        for (link_state& l : links_) l.clogged_until = std::min(l.clogged_until, now);
    }

    void at(sim_time when, openreplica::unique_function<void()> run) {
        queue_.push_back({std::max(when, now), ++sequence_, std::move(run)});
        std::push_heap(queue_.begin(), queue_.end());
    }
    void after(sim_time delay, openreplica::unique_function<void()> run) { at(now + delay, std::move(run)); }
    void run_until(sim_time end) {
        while (!queue_.empty() && queue_.front().when <= end) {
            std::pop_heap(queue_.begin(), queue_.end());
            event e = std::move(queue_.back());
            queue_.pop_back();
            now = e.when;
            ++events;
            e.run();
        }
        now = end;
    }
    void fire(fault f) { ++fired[static_cast<std::size_t>(f)]; }

    /// Keeps the last lines for a report, and a hash of all for the test of determinism.
    void trace(std::string line) {
        trace_hash_ = openreplica::hash64(line, trace_hash_ + static_cast<std::uint64_t>(now));
        line = std::to_string(now / ms) + "." + std::to_string(now % ms) + " ms  " + line;
        if (verbose) std::fprintf(stderr, "%s\n", line.c_str());
        trace_.push_back(std::move(line));
        if (trace_.size() > 60) trace_.pop_front();
    }
    [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }
    [[nodiscard]] std::deque<std::string> const& last_lines() const { return trace_; }

    /// How long a message takes, with the faults of the seed.
    sim_time delay() {
        sim_time d = 50 + static_cast<sim_time>(rng.below(static_cast<std::uint64_t>(healed ? 500 : config.mean_delay)));
        // A long tail, so that messages overtake one another.
        if (!healed && config.has(fault::delay) && rng.chance(50)) {
            fire(fault::delay);
            d += rng.between(1, 10) * config.mean_delay;
        }
        return d;
    }
};

} // namespace simulation
