// A data directory at work, one step at a time and without threads: the writer, and what makes room for it.
#pragma once

#include <openreplica/storage/files.hpp>
#include <openreplica/storage/identity.hpp>
#include <openreplica/storage/recovery.hpp>
#include <openreplica/storage/snapshot_file.hpp>
#include <openreplica/storage/wal_writer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

/// The log, the snapshots and the meta files of one directory.
///
/// @par Threads
/// The functions under "writer" belong to the thread that writes the log. The others touch only files that the writer
/// does not, and belong to one other thread. A `removal` carries from one to the other what both must know.
class disk_log {
    directory& dir_;
    node_id node_;
    std::uint64_t segment_bytes_;
    wal_writer writer_;
    meta_files meta_;
    std::vector<slot> snapshots_; ///< on disk, newest first

public:
    /// So many snapshots stay, with the log from the oldest of them on: if the newest one decays, the one before it and
    /// the log replace it.
    static constexpr std::size_t kept_snapshots = 2;

    disk_log(directory& dir, std::uint64_t segment_bytes, recovered_directory&& found)
        : dir_(dir), node_(found.owner.node), segment_bytes_(segment_bytes),
          writer_(dir, node_, segment_bytes, std::move(found.tail)), meta_(dir), snapshots_(std::move(found.snapshots)) {}

    /// Call once, before anything else.
    [[nodiscard]] std::error_code open() {
        (void)meta_.read(node_);
        return writer_.open();
    }

    // ---- writer

    [[nodiscard]] wal_writer& writer() { return writer_; }
    [[nodiscard]] wal_writer const& writer() const { return writer_; }

    /// What the directory may lose, and what the meta files must say before it does.
    struct removal {
        meta says;
        std::vector<std::uint64_t> segments;
    };
    /// Whether a group of records changes what the meta files say of the group: they are written behind it.
    [[nodiscard]] static bool has_founding(std::span<paxos::record const> group) {
        return std::any_of(group.begin(), group.end(), [](paxos::record const& r) {
            return std::holds_alternative<paxos::founding_record>(r);
        });
    }
    /// @param reach the log is not needed up to this slot
    [[nodiscard]] removal plan_removal(slot reach) {
        removal r;
        r.segments = writer_.forget(reach);
        wal_tail const& tail = writer_.tail();
        r.says.node = node_;
        r.says.promised = tail.state.promised;
        r.says.first_segment = tail.segments.front().number;
        r.says.durable = writer_.durable();
        r.says.voters = static_cast<std::uint32_t>(tail.state.group.members.voters.size());
        return r;
    }

    // ---- beside the writer

    [[nodiscard]] std::error_code prepare_spare() { return prepare_segment(dir_, spare_name, segment_bytes_); }

    /// Writes a snapshot file. An older one than the newest on disk is not needed, and not written.
    [[nodiscard]] std::error_code write(paxos::snapshot const& s) {
        if (!snapshots_.empty() && s.at <= snapshots_.front()) return {};
        if (auto failure = write_snapshot(dir_, node_, s)) return failure;
        snapshots_.insert(snapshots_.begin(), s.at);
        return {};
    }
    [[nodiscard]] slot newest_snapshot() const { return snapshots_.empty() ? slot{} : snapshots_.front(); }
    /// The log is needed from behind this slot on.
    [[nodiscard]] slot log_reach() const {
        return snapshots_.size() < kept_snapshots ? slot{} : snapshots_[kept_snapshots - 1];
    }

    /// Removes files, once the meta files say so. A file that cannot be removed is only in the way.
    [[nodiscard]] std::error_code carry_out(removal r) {
        r.says.snapshot = newest_snapshot();
        if (auto failure = meta_.write(r.says)) return failure;
        for (std::uint64_t number : r.segments) (void)dir_.remove(segment_name(number));
        for (; snapshots_.size() > kept_snapshots; snapshots_.pop_back()) (void)dir_.remove(snapshot_name(snapshots_.back()));
        return dir_.sync();
    }
};

} // namespace openreplica::inline v0::storage
