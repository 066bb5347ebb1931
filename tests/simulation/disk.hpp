// A node's storage: the shipping log and recovery on a simulated disk that takes its time and fails, beside a plain record
// of what must be durable.
#pragma once

#include "durable_twin.hpp"

#include "../unit/storage/faulty_directory.hpp"

#include <openreplica/storage/disk_log.hpp>
#include <openreplica/storage/storage.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace simulation {

namespace storage = openreplica::storage;
using openreplica::lsn;

/// What a data directory does with threads and a real disk, done here by events.
///
/// @par Faults
/// A crash leaves any part of what was being written. Sectors decay while the process is down, on fewer nodes than the
/// group can do without. A sync fails, and takes the dirty pages with it. The disk is full for a while.
class disk final : public storage::storage {
    struct pending {
        std::vector<paxos::record> records;
        lsn last;
    };
    world& world_;
    oracle& oracle_;
    durable_twin twin_;
    bool at_once_; ///< diskless: durable means in memory, by declaration
    std::deque<pending> unsynced_;
    sim_time last_sync_ = 0;
    life_id who_;
    std::uint64_t life_ = 0; ///< reports of an earlier life are not delivered
    lsn last_appended_;

    std::shared_ptr<storage_test::simulated_disk> files_ = std::make_shared<storage_test::simulated_disk>();
    std::unique_ptr<storage_test::faulty_directory> dir_;
    std::optional<openreplica::storage::disk_log> log_;
    openreplica::storage::health health_ = openreplica::storage::health::ok;
    bool damaged_ = false; ///< something decayed since the last start
    bool only_joins_ = false;
    bool half_changed_ = false; ///< the change to a fresh id was interrupted

public:
    struct reports {
        std::function<void(lsn)> durable;
        std::function<void(slot, bool)> kept;
    };
    reports report; ///< to the engine of the current life

    disk(world& w, oracle& o, bool at_once) : world_(w), oracle_(o), twin_(o), at_once_(at_once) {}

    [[nodiscard]] durable_twin const& twin() const { return twin_; }
    void set_owner(node_id self, cluster_id cluster, life_id who) {
        who_ = who;
        twin_.owner = self;
        twin_.cluster = cluster;
    }
    /// The id that the directory says its node has; the one that was set when it was empty.
    [[nodiscard]] node_id owner() const { return twin_.owner; }
    /// Its data were damaged once: its node never founds a group.
    [[nodiscard]] bool only_joins() const { return only_joins_; }

    // ---- storage

    void append(std::span<paxos::record const> records, lsn last) override {
        last_appended_ = last;
        // What a leader has written of its own is on its way.
        for (paxos::record const& r : records)
            if (auto const* a = std::get_if<paxos::accept_record>(&r)) oracle_.on_sent(a->what.what.body.view(), who_);
        if (at_once_) {
            for (paxos::record const& r : records) twin_.take(paxos::record(r));
            if (report.durable) report.durable(last);
            return;
        }
        if (health_ == openreplica::storage::health::failed) return;
        unsynced_.push_back({{records.begin(), records.end()}, last});
        schedule([this] { sync(); });
    }

    void keep(paxos::snapshot const& s) override {
        if (votes const* const g = oracle_.group(twin_.cluster)) g->check_snapshot(s);
        if (at_once_) {
            twin_.take(s);
            if (report.kept) report.kept(s.at, true);
            return;
        }
        world_.after(delay() * 3, [this, s, life = life_] {
            if (life == life_ && log_) keep_now(s);
        });
    }

    [[nodiscard]] paxos::durable_state recover() override {
        if (at_once_) return twin_.state();
        for (int interrupted = 0;; ++interrupted) {
            try {
                if (interrupted < 2 && world_.config.has(fault::torn_write) && world_.rng.chance(100))
                    files_->lose_power_at = files_->changes() + 1 + world_.rng.below(12);
                return open();
            } catch (storage_test::power_loss const&) {
                world_.fire(fault::torn_write);
                give_power_back();
            }
        }
    }

    /// Another directory, or one that keeps nothing: everything is gone. What was being written is written by nobody.
    void start_over(node_id fresh, bool only_joins) override {
        only_joins_ = only_joins_ || only_joins;
        ++life_;
        unsynced_.clear();
        twin_.wipe();
        twin_.owner = fresh;
        world_.after(0, [this, last = last_appended_, life = life_] {
            if (report.durable && life == life_) report.durable(last);
        });
        if (at_once_ || !dir_) return;
        log_.reset();
        try {
            use(openreplica::storage::recovery(*dir_, segment_bytes(), {})
                    .start_over(openreplica::storage::identity{fresh, false, only_joins_}));
        } catch (openreplica::error const&) {
            health_ = kind::failed; // The old id or the fresh one will be found whole.
            half_changed_ = true;
            world_.fire(fault::sync_error);
        }
    }

    [[nodiscard]] openreplica::storage::health state() const override { return health_; }

    // ---- the world

    /// The process dies. Of what it was writing any part may have reached the disk.
    void crash() {
        ++life_;
        last_appended_ = {}; // The next process counts anew.
        report = {};
        if (at_once_) return unsynced_.clear();
        if (log_ && !unsynced_.empty() && health_ == openreplica::storage::health::ok && world_.config.has(fault::torn_write) &&
            world_.rng.chance(700))
            tear();
        unsynced_.clear();
        log_.reset();
        dir_.reset();
        files_->fault = nullptr;
        files_->capacity = ~std::uint64_t{0};
        give_power_back();
        health_ = openreplica::storage::health::ok;
    }
    /// A diskless node's end, or a machine that is replaced.
    void wipe() {
        crash();
        twin_.wipe();
        files_ = std::make_shared<storage_test::simulated_disk>();
    }
    /// Bits flip, or a sector goes, in a file of a node that is down. A sector of zeros at the end of the log cannot be
    /// told from one that was never written, so that no node alone can notice it: that is left out.
    void decay() {
        std::vector<std::string> names;
        for (auto const& [name, bytes] : files_->image())
            if (!bytes.empty() && name != openreplica::storage::spare_name && !name.ends_with(".broken")) names.push_back(name);
        if (names.empty()) return;
        std::string const& name = names[world_.rng.below(names.size())];
        std::size_t const size = files_->content(name).size();
        bool const last_segment = name == *std::max_element(names.begin(), names.end());
        if (last_segment || world_.rng.chance(500))
            files_->flip_bit(name, world_.rng.below(size * 8));
        else
            files_->zero_sector(name, world_.rng.below(size / 512 + 1));
        damaged_ = true;
        world_.trace("damage in " + name);
    }
    /// Something decayed since the last start.
    [[nodiscard]] bool is_damaged() const { return damaged_; }
    /// The next sync fails, for good.
    void fail_sync() {
        files_->fault = [](storage_test::operation const& o) {
            return o.what == storage_test::operation::kind::sync ? std::make_error_code(std::errc::io_error) : std::error_code{};
        };
    }
    void fill_up(sim_time length) {
        files_->capacity = 0;
        world_.after(length, [files = files_] { files->capacity = ~std::uint64_t{0}; });
    }
    /// No fault is left, except what has been done already.
    void heal() {
        files_->fault = nullptr;
        files_->capacity = ~std::uint64_t{0};
    }

private:
    using kind = openreplica::storage::health;

    [[nodiscard]] std::uint64_t segment_bytes() const { return world_.config.segment_bytes; }
    [[nodiscard]] sim_time delay() {
        sim_time const range = world_.healed ? 300 : world_.config.disk_delay;
        return static_cast<sim_time>(world_.rng.below(static_cast<std::uint64_t>(range)));
    }
    template <class F>
    void schedule(F f) {
        last_sync_ = std::max(last_sync_, world_.now + delay());
        if (!world_.healed && world_.config.has(fault::slow_disk)) world_.fire(fault::slow_disk);
        world_.at(last_sync_, [f, life = life_, this]() mutable {
            if (life == life_) f();
        });
    }

    // ---- writing

    /// Everything that waits is one group.
    void sync() {
        if (unsynced_.empty() || health_ == kind::failed) return;
        auto& writer = log_->writer();
        for (; given_ < unsynced_.size(); ++given_)
            for (paxos::record const& r : unsynced_[given_].records) writer.add(r);
        std::error_code const failure = writer.commit();
        if (openreplica::storage::wal_writer::is_full(failure)) return wait_for_room();
        if (failure) {
            health_ = kind::failed;
            world_.fire(fault::sync_error);
            world_.trace("a sync failed");
            return;
        }
        std::deque<pending> const done = std::exchange(unsynced_, {});
        given_ = 0;
        if (std::any_of(done.begin(), done.end(), [](pending const& p) {
                return openreplica::storage::disk_log::has_founding(p.records);
            }))
            (void)log_->carry_out(log_->plan_removal(slot{})); // The meta files know of the group from now on.
        make_spare();
        // One report for each part, so that what leaves because of it can be compared with what was durable just then.
        for (auto const life = life_; pending const& p : done) {
            if (life != life_) return;
            for (paxos::record const& r : p.records) twin_.take(paxos::record(r));
            if (report.durable) report.durable(p.last);
        }
    }
    void wait_for_room() {
        health_ = kind::full;
        world_.fire(fault::disk_full);
        world_.after(200 * ms, [this, life = life_] {
            if (life != life_) return;
            make_spare();
            sync();
        });
    }
    void make_spare() {
        if (!log_->writer().has_spare()) {
            auto const failure = log_->prepare_spare();
            if (openreplica::storage::wal_writer::is_full(failure)) wait_for_spare();
            if (failure) return; // Another failure is the writer's to find.
            log_->writer().spare_is_ready();
        }
        if (health_ == kind::full) health_ = kind::ok;
    }
    void wait_for_spare() {
        if (std::exchange(health_, kind::full) == kind::full) return;
        world_.fire(fault::disk_full);
        world_.after(200 * ms, [this, life = life_] {
            if (life != life_ || health_ != kind::full) return;
            health_ = kind::ok;
            make_spare();
        });
    }

    void keep_now(paxos::snapshot const& s) {
        // A snapshot needs more room than a record: it may find none where the log still does.
        bool const no_room = !world_.healed && world_.config.has(fault::disk_full) && world_.rng.chance(400);
        if (no_room) world_.fire(fault::disk_full);
        bool const whole = !no_room && !log_->write(s);
        if (whole) {
            twin_.take(s);
            (void)log_->carry_out(log_->plan_removal(log_->log_reach()));
        }
        if (report.kept) report.kept(s.at, whole);
    }

    // ---- crashes

    /// The power goes somewhere in the middle of the group that is under way.
    void tear() {
        world_.fire(fault::torn_write);
        files_->lose_power_at = files_->changes() + 1 + world_.rng.below(3);
        try {
            auto& writer = log_->writer();
            for (; given_ < unsynced_.size(); ++given_)
                for (paxos::record const& r : unsynced_[given_].records) writer.add(r);
            (void)writer.commit();
        } catch (storage_test::power_loss const&) {
        }
    }
    void give_power_back() {
        files_->crash(storage_test::survivors::random, [this] { return world_.rng.bits(); });
        given_ = 0;
    }

    [[nodiscard]] paxos::durable_state open() {
        dir_ = std::make_unique<storage_test::faulty_directory>(files_);
        node_id const fresh{world_.rng.bits(), world_.rng.bits()};
        bool const first = twin_.is_new();
        auto found = recover_files([&] { return first ? twin_.owner : fresh; });
        files_->lose_power_at = 0;
        paxos::durable_state state = found.state;
        if (std::exchange(half_changed_, false)) {
            twin_.owner = found.owner.node;
            twin_.compare(state, true);
        } else if (found.owner.node != twin_.owner) {
            require(damaged_, "S16", "a directory that nothing happened to was given up");
            world_.trace("its data are damaged: it goes on as another node");
            twin_.wipe();
            twin_.owner = found.owner.node;
        } else {
            twin_.compare(state, damaged_);
        }
        damaged_ = false;
        only_joins_ = found.owner.only_joins;
        use(std::move(found));
        return state;
    }
    /// A damaged node that knows of no group yet asks a person, who gives it an empty directory. No other may refuse.
    [[nodiscard]] openreplica::storage::recovered_directory recover_files(std::function<node_id()> fresh) {
        namespace storage = openreplica::storage;
        try {
            return storage::recovery(*dir_, segment_bytes(), std::move(fresh)).open();
        } catch (openreplica::error const& e) {
            auto const known = storage::read_directory(*dir_).last_meta;
            require(damaged_ && known && known->voters == 0, "S16",
                    [&] { return std::string("a node refuses to start: ") + e.what(); });
        }
        world_.trace("its data are damaged, and it knows of no group: they are moved away");
        files_ = std::make_shared<storage_test::simulated_disk>();
        dir_ = std::make_unique<storage_test::faulty_directory>(files_);
        return storage::recovery(*dir_, segment_bytes(), [&] { return node_id{world_.rng.bits(), world_.rng.bits()}; }).open();
    }
    void use(openreplica::storage::recovered_directory&& found) {
        log_.emplace(*dir_, segment_bytes(), std::move(found));
        require(!log_->open(), "S16", "the log cannot be opened");
        make_spare();
    }

    std::size_t given_ = 0; ///< so many of the waiting groups are with the writer
};

} // namespace simulation
