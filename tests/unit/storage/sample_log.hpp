// What the tests of the storage write and find again.
#pragma once

#include "faulty_directory.hpp"

#include <openreplica/error.hpp>
#include <openreplica/storage/disk_log.hpp>
#include <openreplica/storage/recovery.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace storage_test {

namespace paxos = openreplica::paxos;
using openreplica::ballot;
using openreplica::cluster_id;
using openreplica::log_time;
using openreplica::lsn;
using openreplica::node_id;
using openreplica::shared_bytes;
using openreplica::slot;

inline constexpr node_id owner{0x0123456789abcdefu, 0xfedcba9876543210u};
inline constexpr std::uint64_t small_segment = 64 * 1024;

/// Text without a NUL that is different for every seed: what JSON looks like to a disk.
inline std::string text(std::size_t size, std::uint64_t seed) {
    std::string s(size, ' ');
    for (std::size_t i = 0; i < size; ++i)
        s[i] = static_cast<char>('!' + (i * 31 + seed * 17 + (i >> 5) * (seed + 3)) % 90);
    return s;
}

inline ballot ballot_of(std::uint64_t round) { return {round, 1, owner}; }

inline paxos::accept_record accept(std::uint64_t at, std::size_t size, std::uint64_t round = 1) {
    paxos::value v{paxos::value_kind::command, log_time{at * 10}, shared_bytes(text(size, at + round))};
    if (size == 0) v = {paxos::value_kind::no_op, log_time{at * 10}, {}};
    return {paxos::entry{slot{at}, ballot_of(round), std::move(v)}};
}

inline paxos::configuration voters(std::size_t n) {
    paxos::configuration c{openreplica::epoch{1}, {}};
    for (std::size_t i = 0; i < n; ++i)
        c.voters.push_back({node_id{i + 1, i + 7}, {"host-" + std::to_string(i) + ".example", 4711}});
    return c;
}

inline paxos::founding_record founding(std::size_t n, paxos::founding_record::step what) {
    return {what, paxos::first_configuration{cluster_id{77, 88}, voters(n)}};
}

inline paxos::snapshot snapshot_at(std::uint64_t at, std::size_t size = 3000) {
    return {slot{at}, ballot_of(1), log_time{at * 10}, voters(3), shared_bytes(text(size, at))};
}

/// Gives 1, 2, 3, …
inline std::function<node_id()> counting_ids(std::uint64_t from = 1) {
    auto next = std::make_shared<std::uint64_t>(from);
    return [next] { return node_id{0xfeed, (*next)++}; };
}

/// A repeatable source of bits.
inline random_bits bits_from(std::uint64_t seed) {
    auto state = std::make_shared<std::uint64_t>(seed);
    return [state] { return openreplica::mix64(*state += 0x9E3779B97F4A7C15u); };
}

inline std::error_code io_error() { return std::make_error_code(std::errc::io_error); }
inline std::error_code disk_full() { return std::make_error_code(std::errc::no_space_on_device); }

/// A simulated disk and a node's process on it.
struct sample_node {
    std::shared_ptr<simulated_disk> disk = std::make_shared<simulated_disk>();
    std::unique_ptr<faulty_directory> dir;
    std::unique_ptr<storage::disk_log> log;
    storage::recovered_directory found;
    std::uint64_t segment_bytes = small_segment;
    std::function<node_id()> ids = counting_ids();

    /// Starts the process anew; what was written stays as the disk has it.
    void start() {
        log.reset();
        dir = std::make_unique<faulty_directory>(disk);
        found = storage::recovery(*dir, segment_bytes, ids).open();
        storage::recovered_directory copy = found;
        log = std::make_unique<storage::disk_log>(*dir, segment_bytes, std::move(copy));
        if (log->open()) throw std::runtime_error("the log does not open");
    }
    /// Writes and syncs one group.
    [[nodiscard]] std::error_code write(std::vector<paxos::record> const& group) {
        for (auto const& r : group) log->writer().add(r);
        return log->writer().commit();
    }
    /// The sentence with which a start ends; empty when it works.
    [[nodiscard]] std::string refusal() {
        try {
            start();
            return {};
        } catch (openreplica::error const& e) {
            return e.what();
        }
    }
    /// The name of the last segment.
    [[nodiscard]] std::string last_segment() const {
        std::string last;
        for (auto const& [name, bytes] : disk->image())
            if (storage::numbered(name, "wal-")) last = name;
        return last;
    }
};

/// A node of a group of `n` that has accepted `slots` entries of several sizes, a few in each group.
inline sample_node node_with_log(std::size_t n, std::uint64_t slots, std::uint64_t segment_bytes = small_segment) {
    using step = paxos::founding_record::step;
    sample_node node;
    node.segment_bytes = segment_bytes;
    node.start();
    bool failed = static_cast<bool>(node.write({founding(n, step::accepted), founding(n, step::chosen)}));
    failed = failed || node.write({paxos::promise_record{ballot_of(1)}});
    if (failed || node.log->carry_out(node.log->plan_removal(slot{}))) throw std::runtime_error("the disk failed");
    for (std::uint64_t at = 1; at <= slots;) {
        std::vector<paxos::record> group;
        for (std::uint64_t k = 0; k < 1 + at % 3 && at <= slots; ++k, ++at) group.push_back(accept(at, (at * 97) % 900));
        if (node.write(group)) throw std::runtime_error("the disk failed");
    }
    return node;
}

inline bool same(paxos::durable_state const& a, paxos::durable_state const& b) {
    return a.group == b.group && a.group_chosen == b.group_chosen && a.abandoned == b.abandoned &&
           a.promised == b.promised && a.chosen == b.chosen && a.base == b.base && a.entries == b.entries;
}

/// Scans the log of a directory.
inline storage::wal_scan scan(storage::directory& dir, node_id node, storage::log_bounds known = {}) {
    return storage::wal_reader(dir, node, known, {}).scan();
}

/// The row of the damage table that a scan ended with; empty: a clean end.
inline std::string row_of(storage::wal_scan const& s) { return s.damage ? std::string(s.damage->row->name) : ""; }

} // namespace storage_test
