// Virtual time, the network, and what one seed decides.
#pragma once

#include "random.hpp"

#include <openreplica/types/ids.hpp>
#include <openreplica/types/unique_function.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace simulation {

/// Microseconds since the simulation began.
using sim_time = std::int64_t;
constexpr sim_time ms = 1000;
constexpr sim_time second = 1000 * ms;

/// A named invariant does not hold.
struct violation : std::runtime_error {
    std::string name;
    violation(std::string n, std::string const& sentence) : std::runtime_error(sentence), name(std::move(n)) {}
};

inline void require(bool holds, char const* name, std::string const& sentence) {
    if (!holds) throw violation(name, sentence);
}

enum class fault : std::uint8_t {
    loss, duplication, delay, replay, one_way, partition, isolation, crash, crash_all, pause, slow_disk, drift, count
};
inline char const* name_of(fault f) {
    constexpr char const* names[] = {"loss",      "duplication", "delay",     "replay", "one_way",   "partition",
                                     "isolation", "crash",       "crash_all", "pause",  "slow_disk", "drift"};
    return names[static_cast<std::size_t>(f)];
}

/// What a seed draws before anything runs: each fault class with probability one half, and the group's settings.
struct configuration {
    int nodes = 3;    ///< founders, with a disk
    int learners = 0; ///< join later, without a disk: after a crash they are new nodes
    std::array<bool, static_cast<std::size_t>(fault::count)> on{};
    std::uint64_t loss = 0, duplication = 0, replay = 0; ///< per mille
    sim_time mean_delay = ms;
    sim_time disk_delay = ms / 2;
    std::uint64_t snapshot_every = 65536, keep_entries = 16384;
    std::size_t window = 4096;
    sim_time session_timeout = 10 * second;

    explicit configuration(std::uint64_t seed) {
        random r(seed ^ 0x5EED);
        constexpr int sizes[] = {1, 2, 3, 3, 3, 3, 5};
        nodes = sizes[r.below(7)];
        for (bool& f : on) f = r.chance(500);
        if (has(fault::loss)) loss = static_cast<std::uint64_t>(r.between(5, 150));
        if (has(fault::duplication)) duplication = static_cast<std::uint64_t>(r.between(5, 150));
        if (has(fault::replay)) replay = static_cast<std::uint64_t>(r.between(2, 20));
        if (has(fault::delay)) mean_delay = r.between(2, 40) * ms;
        if (has(fault::slow_disk)) disk_delay = r.between(5, 80) * ms;
        if (r.chance(500)) {
            snapshot_every = static_cast<std::uint64_t>(r.between(16, 512));
            keep_entries = static_cast<std::uint64_t>(r.between(0, 64));
        }
        if (r.chance(200)) window = static_cast<std::size_t>(r.between(4, 64));
        if (r.chance(500)) session_timeout = r.between(1000, 4000) * ms;
        if (r.chance(400)) learners = static_cast<int>(r.between(1, 2));
    }
    [[nodiscard]] bool has(fault f) const { return on[static_cast<std::size_t>(f)]; }
    [[nodiscard]] std::string text() const {
        std::string out = std::to_string(nodes) + " founders, " + std::to_string(learners) + " learners, snapshots every " + std::to_string(snapshot_every) + ", window " +
                          std::to_string(window) + ", sessions " + std::to_string(session_timeout / ms) + " ms, faults:";
        for (std::size_t i = 0; i < on.size(); ++i)
            if (on[i]) out += std::string(" ") + name_of(static_cast<fault>(i));
        return out;
    }
};

/// The event queue, the trace, and which links work.
class world {
    struct event {
        openreplica::unique_function<void()> run;
    };
    std::map<std::pair<sim_time, std::uint64_t>, event> queue_;
    std::uint64_t sequence_ = 0;
    std::uint64_t trace_hash_ = 0;
    std::deque<std::string> trace_;

public:
    random rng;
    configuration config;
    sim_time now = 0;
    bool healed = false;
    bool verbose = false;
    std::uint64_t events = 0;
    std::array<std::uint64_t, static_cast<std::size_t>(fault::count)> fired{};
    std::vector<std::vector<bool>> cut; ///< [from][to]

    explicit world(std::uint64_t seed)
        : rng(seed), config(seed), cut(all_nodes(), std::vector<bool>(all_nodes())) {}

    [[nodiscard]] std::size_t all_nodes() const { return static_cast<std::size_t>(config.nodes + config.learners); }

    void at(sim_time when, openreplica::unique_function<void()> run) {
        queue_.emplace(std::pair(std::max(when, now), ++sequence_), event{std::move(run)});
    }
    void after(sim_time delay, openreplica::unique_function<void()> run) { at(now + delay, std::move(run)); }
    void run_until(sim_time end) {
        while (!queue_.empty() && queue_.begin()->first.first <= end) {
            auto node = queue_.extract(queue_.begin());
            now = node.key().first;
            ++events;
            node.mapped().run();
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
        if (trace_.size() > 40) trace_.pop_front();
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
