// Storage on a disk: a write-ahead log and snapshots in one directory.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/storage/disk_log.hpp>
#include <openreplica/storage/files.hpp>
#include <openreplica/storage/recovery.hpp>
#include <openreplica/storage/storage.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

struct data_directory_options {
    std::uint64_t segment_bytes = 32u << 20;
    std::chrono::microseconds slow_after{450000}; ///< a write that takes longer makes the storage `slow`
    std::chrono::milliseconds probe_every{1000};  ///< how often a full disk is tried again
    /// Records that wait for a disk with room weigh at most this much; then the storage gives up.
    std::uint64_t max_waiting_bytes = 256u << 20;
};

/// A node's durable memory.
///
/// @par Threads
/// `append` and `keep` hand their work over and return. One thread writes the log: everything that arrived while it wrote
/// is the next group, written at once and synced once; no timer waits for more. Another thread does what may take longer:
/// it prepares the next segment, writes snapshots, and removes what they replace. Neither touches the caller's state;
/// reports come from them.
///
/// @par Errors
/// A failed write or sync poisons the storage for good: nobody knows what the disk holds, and a sync that succeeds later
/// proves nothing. A full disk does not: what is under way still fits into the spare segment, and the storage is `full`
/// until another one could be made.
class data_directory final : public storage {
public:
    /// Opens, repairs or makes the directory, which this object then owns. Nothing is written later than `recover`.
    ///
    /// @throws openreplica::error `storage_failed` with a sentence when it cannot be used, or when a person must decide
    data_directory(std::unique_ptr<directory> dir, data_directory_options options, std::function<node_id()> fresh_id,
                   events e)
        : dir_(std::move(dir)), where_(dir_->where()), options_(options), events_(std::move(e)) {
        take(recovery(*dir_, options_.segment_bytes, std::move(fresh_id)).open());
    }
    ~data_directory() override { stop(); }

    [[nodiscard]] node_id self() const { return owner_.node; }
    /// This id replaced one whose data were damaged: its node never founds a group.
    [[nodiscard]] bool only_joins() const { return owner_.only_joins; }
    /// What was found and done at the start, a sentence each.
    [[nodiscard]] std::vector<std::string> const& warnings() const { return warnings_; }

    [[nodiscard]] paxos::durable_state recover() override {
        start();
        return std::move(state_);
    }

    void append(std::span<paxos::record const> records, lsn last) override {
        std::lock_guard const lock(mutex_);
        waiting_last_ = last;
        if (health_.load() == health::failed) return; // Nothing becomes durable any more.
        for (paxos::record const& r : records) {
            if (auto const* a = std::get_if<paxos::accept_record>(&r)) waiting_bytes_ += a->what.what.weight();
            waiting_.push_back(r);
        }
        if (!writing_) writer_wakes_.notify_one();
    }

    void keep(paxos::snapshot const& s) override {
        std::lock_guard const lock(mutex_);
        to_keep_ = s;
        chores_wake_.notify_one();
    }

    void start_over(node_id fresh, bool only_joins) override {
        stop();
        lsn const moot = waiting_last_;
        waiting_.clear();
        waiting_bytes_ = 0;
        trim_to_.reset();
        removals_.clear();
        to_keep_.reset();
        try {
            take(recovery(*dir_, options_.segment_bytes, {}).start_over(identity{fresh, false, only_joins || owner_.only_joins}));
        } catch (error const& e) { // It can be repaired: when it is opened the next time, one id or the other is whole.
            return fail(e.what());
        }
        start();
        events_.durable(moot);
    }

    [[nodiscard]] health state() const override {
        health const h = health_.load();
        if (h == health::failed) return h;
        auto const since = writing_since_.load();
        bool const slow = since != 0 && now_us() - since > options_.slow_after.count();
        return slow ? health::slow : h;
    }

    [[nodiscard]] storage_status status() const {
        std::lock_guard const lock(mutex_);
        storage_status s = status_;
        s.directory = where_;
        s.state = state();
        if (s.problem.empty()) s.problem = snapshot_problem_;
        if (s.state == health::slow)
            s.problem = "a write to data_dir \"" + s.directory + "\" has been under way for " +
                        std::to_string((now_us() - writing_since_.load()) / 1000) + " ms: the disk is slow or hangs";
        return s;
    }

    /// Ends both threads and lets go of the directory. Nothing that was appended and is not durable yet becomes so.
    void close() {
        stop();
        std::lock_guard const lock(mutex_);
        log_.reset();
        dir_.reset();
    }

private:
    void stop() {
        {
            std::lock_guard const lock(mutex_);
            stopping_ = true;
            writer_wakes_.notify_one();
            chores_wake_.notify_one();
        }
        if (writer_.joinable()) writer_.join();
        if (chores_.joinable()) chores_.join();
    }

    [[nodiscard]] static std::int64_t now_us() {
        return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }

    void take(recovered_directory&& found) {
        owner_ = found.owner;
        warnings_ = std::move(found.warnings);
        state_ = std::move(found.state);
        log_.emplace(*dir_, options_.segment_bytes, std::move(found));
        if (auto failure = log_->open()) detail::check(*dir_, failure, "opening the log");
        std::lock_guard const lock(mutex_);
        status_.snapshot = log_->newest_snapshot();
    }

    void start() {
        stopping_ = has_spare_ = spare_is_new_ = spare_failed_ = false;
        writer_ = std::thread([this] { run_writer(); });
        chores_ = std::thread([this] { run_chores(); });
    }

    // ---- the writer's thread

    void run_writer() {
        std::vector<paxos::record> group;
        std::unique_lock lock(mutex_);
        for (;;) {
            writer_wakes_.wait(lock, [this] { return stopping_ || !waiting_.empty() || trim_to_ || spare_is_new_; });
            if (stopping_) return;
            take_spare();
            plan_trim();
            if (waiting_.empty()) continue;
            group.swap(waiting_);
            group_bytes_ = std::exchange(waiting_bytes_, 0);
            lsn const last = waiting_last_;
            writing_ = true;
            lock.unlock();
            bool const durable = write(group);
            lock.lock();
            writing_ = false;
            if (!durable) return;
            lock.unlock();
            events_.durable(last);
            lock.lock();
        }
    }

    /// Writes one group, waiting for room if there is none. False: the storage is poisoned or stops.
    [[nodiscard]] bool write(std::vector<paxos::record>& group) {
        bool const founds = disk_log::has_founding(group);
        wal_writer& w = log_->writer();
        for (paxos::record& r : group) w.add(std::move(r));
        group.clear();
        for (;;) {
            std::int64_t const begun = now_us();
            writing_since_ = begun;
            std::error_code const failure = w.commit();
            writing_since_ = 0;
            note_spare();
            if (!failure) {
                wrote(std::chrono::microseconds(now_us() - begun), founds);
                if (w.has_spare()) set_good(); // Otherwise whoever makes the spare says so.
                return true;
            }
            if (!wal_writer::is_full(failure)) {
                fail("writing to data_dir \"" + where_ + "\" failed: " + failure.message());
                return false;
            }
            if (!wait_for_room()) return false;
        }
    }

    void wrote(std::chrono::microseconds took, bool founds) {
        std::lock_guard const lock(mutex_);
        status_.last_sync = took;
        status_.slowest_sync = std::max(status_.slowest_sync, took);
        status_.log_bytes = log_->writer().tail().segments.size() * options_.segment_bytes;
        if (!founds) return;
        removals_.push_back(log_->plan_removal(slot{})); // The meta files know of the group from now on.
        chores_wake_.notify_one();
    }

    /// Lets the other thread make a spare when the one that was there is used up.
    void note_spare() {
        std::lock_guard const lock(mutex_);
        if (!has_spare_ || spare_is_new_ || log_->writer().has_spare()) return;
        has_spare_ = false;
        chores_wake_.notify_one();
    }

    /// Under the lock, by the writer's thread, between two groups.
    void plan_trim() {
        if (!trim_to_) return;
        removals_.push_back(log_->plan_removal(*std::exchange(trim_to_, std::nullopt)));
        chores_wake_.notify_one();
    }

    [[nodiscard]] bool wait_for_room() {
        set_full();
        std::unique_lock lock(mutex_);
        if (waiting_bytes_ + group_bytes_ > options_.max_waiting_bytes) {
            lock.unlock();
            fail("data_dir \"" + where_ + "\" is full, and " + std::to_string(options_.max_waiting_bytes >> 20) +
                 " MiB wait to be written");
            return false;
        }
        writer_wakes_.wait_for(lock, options_.probe_every, [this] { return stopping_ || spare_is_new_ || trim_to_; });
        take_spare();
        plan_trim(); // What it removes may be the room that is missing.
        return !stopping_;
    }

    void take_spare() {
        if (!std::exchange(spare_is_new_, false)) return;
        log_->writer().spare_is_ready();
    }

    void set_full() {
        health expected = health::ok;
        if (!health_.compare_exchange_strong(expected, health::full)) return;
        {
            std::lock_guard const lock(mutex_);
            status_.problem = "data_dir \"" + where_ +
                              "\" is full: updates are refused until there is room for another segment of " +
                              std::to_string(options_.segment_bytes >> 10) + " KiB; it resumes by itself";
        }
        events_.changed();
    }
    void set_good() {
        health expected = health::full;
        if (!health_.compare_exchange_strong(expected, health::ok)) return;
        {
            std::lock_guard const lock(mutex_);
            status_.problem.clear();
        }
        events_.changed();
    }
    void fail(std::string const& what) {
        {
            std::lock_guard const lock(mutex_);
            status_.problem = what + "; this node no longer votes: check the disk, then restart the process";
        }
        health_ = health::failed;
        events_.changed();
    }

    // ---- the thread for what may take long

    void run_chores() {
        std::unique_lock lock(mutex_);
        for (;;) {
            auto const due = [this] {
                return stopping_ || to_keep_ || !removals_.empty() || (!has_spare_ && !spare_failed_);
            };
            if (spare_failed_)
                chores_wake_.wait_for(lock, options_.probe_every, due);
            else
                chores_wake_.wait(lock, due);
            if (stopping_) return;
            bool const spare = !has_spare_;
            auto const snapshot = std::exchange(to_keep_, std::nullopt);
            auto const removals = std::exchange(removals_, {});
            lock.unlock();
            for (auto const& r : removals) (void)log_->carry_out(r); // First, because it makes room.
            if (spare) make_spare();
            if (snapshot) keep_now(*snapshot);
            lock.lock();
        }
    }

    void make_spare() {
        std::error_code const failure = log_->prepare_spare();
        {
            std::lock_guard const lock(mutex_);
            spare_failed_ = static_cast<bool>(failure);
            has_spare_ = spare_is_new_ = !failure;
            writer_wakes_.notify_one();
        }
        // Another failure than a full disk is the writer's to find, if it needs the spare.
        if (wal_writer::is_full(failure)) set_full();
        if (!failure) set_good();
    }

    void keep_now(paxos::snapshot const& s) {
        std::error_code const failure = log_->write(s);
        {
            std::lock_guard const lock(mutex_);
            snapshot_problem_.clear();
            if (failure)
                snapshot_problem_ = "a snapshot could not be written to data_dir \"" + where_ +
                                    "\": " + failure.message() + "; the log grows until one can";
            else
                trim_to_ = log_->log_reach();
            status_.snapshot = log_->newest_snapshot();
            writer_wakes_.notify_one();
        }
        events_.kept(s.at, !failure);
    }

    std::unique_ptr<directory> dir_;
    std::string where_; ///< for sentences
    data_directory_options options_;
    events events_;
    identity owner_;
    std::vector<std::string> warnings_;
    paxos::durable_state state_;
    std::optional<disk_log> log_;

    mutable std::mutex mutex_;
    std::condition_variable writer_wakes_, chores_wake_;
    std::vector<paxos::record> waiting_;
    lsn waiting_last_;
    std::uint64_t waiting_bytes_ = 0;
    std::uint64_t group_bytes_ = 0; ///< of the group that is being written
    bool writing_ = false;
    bool stopping_ = false;
    bool has_spare_ = false;    ///< there is one; only while there is none may the chores' thread make it
    bool spare_failed_ = false; ///< it could not: try again after a while
    bool spare_is_new_ = false; ///< it did, and the writer does not know yet
    std::optional<paxos::snapshot> to_keep_;
    std::optional<slot> trim_to_;
    std::vector<disk_log::removal> removals_;
    storage_status status_;
    std::string snapshot_problem_; ///< why the latest snapshot is not on disk; empty: it is

    std::atomic<health> health_{health::ok};
    std::atomic<std::int64_t> writing_since_{0};
    std::thread writer_, chores_;
};

} // namespace openreplica::inline v0::storage
