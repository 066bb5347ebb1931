// What one seed decides before anything runs: which faults there are, and every number of the group.
#pragma once

#include "random.hpp"

#include <openreplica/paxos/replica.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace simulation {

/// Microseconds since the simulation began.
using sim_time = std::int64_t;
constexpr sim_time ms = 1000;
constexpr sim_time second = 1000 * ms;

/// A class of faults; a seed has each with probability one half, some with less.
enum class fault : std::uint8_t {
    loss, duplication, delay, replay, one_way, partition, isolation, leader_isolation, ring, bridge, clog, swizzle, reset,
    bit_flip, stranger, crash, crash_all, pause, slow_node, suspend, slow_disk, drift, throwing, graceful_stop,
    other_options, memory_loss, dead_rest, torn_write, decay, sync_error, disk_full, membership, hand_over, count
};
constexpr std::size_t fault_count = static_cast<std::size_t>(fault::count);

inline char const* name_of(fault f) {
    constexpr char const* names[] = {
        "loss",  "duplication", "delay",    "replay",   "one_way",   "partition", "isolation", "leader_isolation", "ring",
        "bridge", "clog",       "swizzle",  "reset",    "bit_flip",  "stranger",  "crash",     "crash_all",        "pause",
        "slow_node", "suspend", "slow_disk", "drift",   "throwing",  "graceful_stop", "other_options", "memory_loss", "dead_rest",
        "torn_write", "decay", "sync_error", "disk_full", "membership", "hand_over"};
    static_assert(std::size(names) == fault_count);
    return names[static_cast<std::size_t>(f)];
}

/// The options of one life of one node.
struct node_settings {
    openreplica::paxos::replica_options protocol;
    std::uint64_t snapshot_every = 65536, keep_entries = 16384;
    std::size_t snapshot_chunk = 256 * 1024;
    sim_time session_timeout = 10 * second;
    std::size_t max_pending = 65536;

    /// So little room that calls may be refused for the lack of it.
    [[nodiscard]] bool is_narrow() const {
        return protocol.window_entries < 1024 || protocol.window_bytes < 1024 * 1024 || max_pending < 1024;
    }

    static node_settings draw(random& r, int nodes) {
        node_settings s;
        auto& p = s.protocol;
        if (r.chance(700)) {
            auto const beat = std::chrono::milliseconds(nodes > 4 ? r.between(50, 100) : r.between(25, 100));
            p.heartbeat = beat;
            p.election_timeout_min = beat * r.between(5, 7);
            p.election_timeout_max = p.election_timeout_min + beat * r.between(2, 4);
        }
        if (r.chance(250)) p.window_entries = static_cast<std::size_t>(r.between(4, 64));
        if (r.chance(250)) p.window_bytes = static_cast<std::size_t>(r.between(200, 4000));
        if (r.chance(400)) p.batch_bytes = static_cast<std::size_t>(r.between(1, 2000));
        if (r.chance(500)) p.promise_bytes = static_cast<std::size_t>(r.between(64, 800));
        if (r.chance(500)) p.learn_bytes = static_cast<std::size_t>(r.between(64, 4000));
        if (r.chance(200)) p.priority = static_cast<std::uint32_t>(r.below(3));
        if (r.chance(600)) {
            s.snapshot_every = static_cast<std::uint64_t>(r.between(16, 300));
            s.keep_entries = static_cast<std::uint64_t>(r.between(0, 64));
        }
        if (r.chance(700)) s.snapshot_chunk = static_cast<std::size_t>(r.between(200, 4000));
        if (r.chance(500)) s.session_timeout = r.between(1000, 4000) * ms;
        if (r.chance(150)) s.max_pending = static_cast<std::size_t>(r.between(2, 6));
        return s;
    }
    [[nodiscard]] std::string text() const {
        using std::to_string;
        auto const in_ms = [](openreplica::duration d) { return to_string(d / std::chrono::milliseconds(1)); };
        return "heartbeat " + in_ms(protocol.heartbeat) + " ms, election " + in_ms(protocol.election_timeout_min) + "-" +
               in_ms(protocol.election_timeout_max) + " ms, window " + to_string(protocol.window_entries) + "/" +
               to_string(protocol.window_bytes) + " B, batch " + to_string(protocol.batch_bytes) + " B, promise chunk " +
               to_string(protocol.promise_bytes) + " B, snapshot every " + to_string(snapshot_every) + " keeping " +
               to_string(keep_entries) + " in parts of " + to_string(snapshot_chunk) + " B, session " +
               to_string(session_timeout / ms) + " ms, pending " + to_string(max_pending);
    }
};

/// The group and its faults.
struct configuration {
    int nodes = 3;         ///< founders
    int learners = 0;      ///< join later, as standbys
    int durable_learners = 0; ///< so many of them have a disk; the others are new nodes after a crash
    bool diskless = false; ///< the founders keep nothing either
    std::array<bool, fault_count> on{};
    std::uint64_t loss = 0, duplication = 0, replay = 0, bit_flip = 0; ///< per mille
    sim_time mean_delay = ms;
    sim_time disk_delay = ms / 2;
    std::uint64_t segment_bytes = 64 * 1024; ///< of the write-ahead logs
    sim_time slowness = 0; ///< of the slow node, for each thing that it does
    node_settings base;    ///< every node's options, unless it restarts with others

    explicit configuration(std::uint64_t seed) {
        random r(seed ^ 0x5EED);
        constexpr int sizes[] = {1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5, 6, 7};
        nodes = sizes[r.below(std::size(sizes))];
        for (bool& f : on)
            if (&f < &on[static_cast<std::size_t>(fault::membership)]) f = r.chance(500);
        diskless = on[static_cast<std::size_t>(fault::memory_loss)] = nodes > 1 && r.chance(120);
        if (has(fault::loss)) loss = static_cast<std::uint64_t>(r.between(5, 150));
        if (has(fault::duplication)) duplication = static_cast<std::uint64_t>(r.between(5, 150));
        if (has(fault::replay)) replay = static_cast<std::uint64_t>(r.between(2, 20));
        if (has(fault::bit_flip)) bit_flip = static_cast<std::uint64_t>(r.between(1, 4));
        if (has(fault::delay)) mean_delay = r.between(2, 40) * ms;
        if (has(fault::slow_disk)) disk_delay = r.chance(200) ? r.between(100, 300) * ms : r.between(5, 80) * ms;
        segment_bytes = static_cast<std::uint64_t>(r.between(4, 64)) * 1024;
        if (has(fault::slow_node)) slowness = r.between(100, 3000);
        if (r.chance(400)) learners = static_cast<int>(r.between(1, 2));
        base = node_settings::draw(r, nodes + learners);
        on[static_cast<std::size_t>(fault::membership)] = r.chance(400);
        on[static_cast<std::size_t>(fault::hand_over)] = r.chance(300);
        if (!has(fault::membership)) return;
        learners = static_cast<int>(r.between(1, 4));
        durable_learners = static_cast<int>(r.between(0, learners));
    }
    [[nodiscard]] bool has(fault f) const { return on[static_cast<std::size_t>(f)]; }
    /// Whether somewhere in this run calls may be refused for lack of room.
    [[nodiscard]] bool may_be_narrow() const { return base.is_narrow() || has(fault::other_options); }
    [[nodiscard]] std::string text() const {
        std::string out = std::to_string(nodes) + (diskless ? " diskless" : "") + " founders, " + std::to_string(learners) + " standbys (" +
                          std::to_string(durable_learners) + " with disks), segments of " + std::to_string(segment_bytes / 1024) + " KiB, " + base.text() + ", faults:";
        for (std::size_t i = 0; i < on.size(); ++i)
            if (on[i]) out += std::string(" ") + name_of(static_cast<fault>(i));
        return out;
    }
};

} // namespace simulation
