// The threads of a data directory, on real files and on a disk that fails.
#include <openreplica/storage/data_directory.hpp>

#include "sample_log.hpp"

#include <openreplica/storage/posix_directory.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

namespace data_directory_test {

using namespace storage_test;
using namespace std::chrono_literals;
using storage::data_directory;
using storage::health;
using kind = operation::kind;

/// A folder that is gone afterwards.
struct temporary_folder {
    std::string path = "/tmp/openreplica-data-XXXXXX";
    temporary_folder() {
        if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary folder");
    }
    ~temporary_folder() { std::filesystem::remove_all(path); }
    temporary_folder(temporary_folder const&) = delete;
    temporary_folder& operator=(temporary_folder const&) = delete;
};

/// Lets several threads use the simulated disk.
class shared_file final : public storage::file {
    std::mutex& mutex_;
    std::unique_ptr<storage::file> file_;

public:
    shared_file(std::mutex& m, std::unique_ptr<storage::file> f) : mutex_(m), file_(std::move(f)) {}
    ~shared_file() override {
        std::lock_guard const lock(mutex_);
        file_.reset();
    }
    std::error_code write(std::uint64_t at, std::vector<std::string_view> const& parts) override {
        std::lock_guard const lock(mutex_);
        return file_->write(at, parts);
    }
    std::error_code read(std::uint64_t at, std::size_t n, std::string& out) override {
        std::lock_guard const lock(mutex_);
        return file_->read(at, n, out);
    }
    std::error_code sync() override {
        std::lock_guard const lock(mutex_);
        return file_->sync();
    }
    std::error_code size(std::uint64_t& out) override {
        std::lock_guard const lock(mutex_);
        return file_->size(out);
    }
};

class shared_directory final : public storage::directory {
    std::mutex& mutex_;
    faulty_directory dir_;

public:
    shared_directory(std::mutex& m, std::shared_ptr<simulated_disk> disk) : mutex_(m), dir_(std::move(disk)) {}
    std::pair<std::unique_ptr<storage::file>, std::error_code> open(std::string const& name, mode m) override {
        std::lock_guard const lock(mutex_);
        auto [f, failure] = dir_.open(name, m);
        if (failure) return {std::unique_ptr<storage::file>{}, failure};
        return {std::make_unique<shared_file>(mutex_, std::move(f)), failure};
    }
    std::error_code list(std::vector<std::string>& names) override {
        std::lock_guard const lock(mutex_);
        return dir_.list(names);
    }
    std::error_code rename(std::string const& from, std::string const& to) override {
        std::lock_guard const lock(mutex_);
        return dir_.rename(from, to);
    }
    std::error_code remove(std::string const& name) override {
        std::lock_guard const lock(mutex_);
        return dir_.remove(name);
    }
    std::error_code sync() override {
        std::lock_guard const lock(mutex_);
        return dir_.sync();
    }
    std::string where() const override { return "simulated"; }
};

/// A data directory, what it reported, and how to wait for it.
struct listener {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<lsn> durable;
    std::deque<slot> kept;
    std::deque<health> healths;
    lsn appended;
    std::unique_ptr<data_directory> store;
    paxos::durable_state found;

    void open(std::unique_ptr<storage::directory> dir, storage::data_directory_options options,
              std::function<node_id()> ids = counting_ids()) {
        store.reset();
        storage::storage::events e;
        e.durable = [this](lsn upto) { note([&] { durable.push_back(upto); }); };
        e.kept = [this](slot at, bool whole) {
            note([&] {
                if (whole) kept.push_back(at);
            });
        };
        e.changed = [this] { note([&] { healths.push_back(store->state()); }); };
        store = std::make_unique<data_directory>(std::move(dir), options, std::move(ids), std::move(e));
        appended = {};
        durable.clear();
        found = store->recover();
    }
    template <class What>
    void note(What what) {
        std::lock_guard const lock(mutex);
        what();
        changed.notify_all();
    }
    template <class What>
    [[nodiscard]] bool wait(What what) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, 20s, what);
    }
    void append(std::vector<paxos::record> const& records) {
        appended = lsn{appended.value + records.size()};
        store->append(records, appended);
    }
    [[nodiscard]] bool wait_durable() {
        return wait([&] { return !durable.empty() && durable.back() == appended; });
    }
    [[nodiscard]] bool wait_health(health h) {
        return wait([&] { return !healths.empty() && healths.back() == h; });
    }
};

storage::data_directory_options small() {
    storage::data_directory_options o;
    o.segment_bytes = small_segment;
    o.probe_every = 5ms;
    return o;
}

TEST_CASE("on real files: reports come in order, and everything is found again") {
    temporary_folder folder;
    listener l;
    l.open(std::make_unique<storage::posix_directory>(folder.path), small());
    node_id const self = l.store->self();
    for (std::uint64_t at = 1; at <= 200; ++at) l.append({accept(at, at * 20), paxos::promise_record{ballot_of(at)}});
    REQUIRE(l.wait_durable());
    CHECK(std::is_sorted(l.durable.begin(), l.durable.end()));
    CHECK(l.store->state() == health::ok);
    auto const status = l.store->status();
    CHECK(status.directory == folder.path);
    CHECK(status.problem.empty());
    CHECK(status.log_bytes > small_segment);
    CHECK(status.slowest_sync >= status.last_sync);

    l.store.reset();
    l.open(std::make_unique<storage::posix_directory>(folder.path), small());
    CHECK(l.store->self() == self);
    CHECK(l.store->warnings().empty());
    CHECK(l.found.promised == ballot_of(200));
    REQUIRE(l.found.entries.size() == 200);
    for (std::uint64_t at = 1; at <= 200; ++at) CHECK(l.found.entries[at - 1] == accept(at, at * 20).what);
}

TEST_CASE("on real files: kept snapshots are reported, trim the log, and are the base of the next start") {
    temporary_folder folder;
    listener l;
    l.open(std::make_unique<storage::posix_directory>(folder.path), small());
    for (std::uint64_t at = 1; at <= 90; ++at) {
        l.append({accept(at, 12'000)});
        REQUIRE(l.wait_durable());
        if (at % 30 != 0) continue;
        l.store->keep(snapshot_at(at));
        REQUIRE(l.wait([&] { return !l.kept.empty() && l.kept.back() == slot{at}; }));
    }
    CHECK(l.store->status().snapshot == slot{90});
    std::string const first = folder.path + "/" + storage::segment_name(1);
    for (int i = 0; i < 2000 && std::filesystem::exists(first); ++i) std::this_thread::sleep_for(5ms);
    CHECK_FALSE(std::filesystem::exists(first));
    l.store.reset();
    l.open(std::make_unique<storage::posix_directory>(folder.path), small());
    CHECK(l.found.base == snapshot_at(90));
    CHECK(l.found.entries.empty());
    CHECK(l.found.chosen == slot{90});
}

TEST_CASE("on real files: starting over gives another id, and the log of the new one goes on over several segments") {
    temporary_folder folder;
    listener l;
    l.open(std::make_unique<storage::posix_directory>(folder.path), small());
    l.append({accept(1, 100)});
    REQUIRE(l.wait_durable());
    l.store->start_over(node_id{9, 9}, false);
    CHECK(l.store->self() == node_id{9, 9});
    for (std::uint64_t at = 1; at <= 40; ++at) {
        l.append({accept(at, 12'000)});
        REQUIRE(l.wait_durable());
    }
    CHECK(l.store->state() == health::ok);
    l.store.reset();
    l.open(std::make_unique<storage::posix_directory>(folder.path), small());
    CHECK(l.store->self() == node_id{9, 9});
    CHECK(l.found.entries.size() == 40);
}

/// A data directory on a simulated disk.
struct simulated {
    std::mutex mutex;
    std::shared_ptr<simulated_disk> disk = std::make_shared<simulated_disk>();
    listener l; // Last: its threads end first.

    void open(storage::data_directory_options options = small()) {
        l.open(std::make_unique<shared_directory>(mutex, disk), options);
    }
    void set_fault(std::function<std::error_code(operation const&)> fault) {
        std::lock_guard const lock(mutex);
        disk->fault = std::move(fault);
    }
    void set_capacity(std::uint64_t bytes) {
        std::lock_guard const lock(mutex);
        disk->capacity = bytes;
    }
    void crash_and_open() {
        l.store.reset();
        disk->fault = {};
        disk->crash(survivors::none, {});
        open();
    }
};

TEST_CASE("R27: a full disk is reported, loses nothing, and is good again by itself when there is room") {
    simulated s;
    s.open();
    s.set_capacity(3 * small_segment + 8192);
    std::uint64_t at = 0;
    while (s.l.store->state() == health::ok) {
        s.l.append({accept(++at, 9000)});
        (void)s.l.wait([&] { return (!s.l.durable.empty() && s.l.durable.back() == s.l.appended) || !s.l.healths.empty(); });
    }
    REQUIRE(s.l.wait_health(health::full));
    CHECK(s.l.store->status().problem.find("updates are refused until there is room") != std::string::npos);
    for (int i = 0; i < 12; ++i) s.l.append({accept(++at, 9000)});
    s.set_capacity(~std::uint64_t{0});
    CHECK(s.l.wait_durable());
    CHECK(s.l.wait_health(health::ok));
    CHECK(s.l.store->status().problem.empty());
    s.crash_and_open();
    CHECK(s.l.found.entries.size() == at);
}

TEST_CASE("a full disk with a spare that is too small for the group is good again, too") {
    simulated s;
    s.open();
    s.l.append({accept(1, 10)});
    REQUIRE(s.l.wait_durable());
    s.set_fault([](operation const& o) {
        return o.what == kind::write && o.name == storage::urgent_name ? disk_full() : std::error_code{};
    });
    s.l.append({accept(2, 200'000)});
    REQUIRE(s.l.wait_health(health::full));
    s.set_fault({});
    CHECK(s.l.wait_durable());
    CHECK(s.l.wait_health(health::ok));
}

TEST_CASE("a snapshot makes room on a full disk while a group waits for it") {
    simulated s;
    s.open();
    std::uint64_t at = 0;
    for (; at < 30;) {
        s.l.append({accept(++at, 12'000)});
        REQUIRE(s.l.wait_durable());
    }
    s.l.store->keep(snapshot_at(15));
    REQUIRE(s.l.wait([&] { return s.l.kept.size() == 1; }));
    {
        std::lock_guard const lock(s.mutex);
        std::uint64_t used = 0;
        for (auto const& [name, bytes] : s.disk->image()) used += bytes.size();
        s.disk->capacity = used + 20'000;
    }
    while (s.l.store->state() == health::ok) {
        s.l.append({accept(++at, 12'000)});
        (void)s.l.wait([&] { return (!s.l.durable.empty() && s.l.durable.back() == s.l.appended) || !s.l.healths.empty(); });
    }
    for (int i = 0; i < 3; ++i) s.l.append({accept(++at, 12'000)});
    s.l.store->keep(snapshot_at(at - 1));
    CHECK(s.l.wait_durable());
    CHECK(s.l.wait_health(health::ok));
}

TEST_CASE("records that wait for room weigh at most so much, then the storage gives up") {
    simulated s;
    auto o = small();
    o.max_waiting_bytes = 50'000;
    s.open(o);
    s.set_capacity(0);
    for (std::uint64_t at = 1; at <= 60; ++at) s.l.append({accept(at, 9000)});
    CHECK(s.l.wait_health(health::failed));
    CHECK(s.l.store->status().problem.find("is full") != std::string::npos);
}

TEST_CASE("R26: a failed sync fails the storage for good: nothing is reported durable any more") {
    simulated s;
    s.open();
    s.l.append({accept(1, 10)});
    REQUIRE(s.l.wait_durable());
    s.set_fault([](operation const& o) {
        return o.what == kind::sync && o.name.starts_with("wal-") ? io_error() : std::error_code{};
    });
    s.l.append({accept(2, 10)});
    REQUIRE(s.l.wait_health(health::failed));
    CHECK(s.l.durable.back() == lsn{1});
    auto const status = s.l.store->status();
    CHECK(status.state == health::failed);
    CHECK(status.problem.find("no longer votes") != std::string::npos);
    s.set_fault({});
    s.l.append({accept(3, 10)});
    s.l.store->close();
    CHECK(s.l.durable.back() == lsn{1});
    s.crash_and_open();
    CHECK(s.l.found.entries.size() == 1);
}

TEST_CASE("a snapshot that cannot be written is a problem in the status until one can, and not the end") {
    simulated s;
    s.open();
    s.set_fault([](operation const& o) { return o.name == storage::snapshot_aside ? io_error() : std::error_code{}; });
    for (std::uint64_t at = 1; at <= 5; ++at) s.l.append({accept(at, 10)});
    s.l.store->keep(snapshot_at(5));
    for (int i = 0; i < 2000 && s.l.store->status().problem.empty(); ++i) std::this_thread::sleep_for(5ms);
    CHECK(s.l.store->status().problem.find("the log grows until one can") != std::string::npos);
    CHECK(s.l.store->state() == health::ok);
    s.set_fault({});
    s.l.store->keep(snapshot_at(5));
    CHECK(s.l.wait([&] { return s.l.kept.size() == 1; }));
    CHECK(s.l.store->status().problem.empty());
    CHECK(s.l.wait_durable());
}

TEST_CASE("R28: a write that takes long makes the storage slow while it lasts") {
    simulated s;
    auto o = small();
    o.slow_after = 10ms;
    s.open(o);
    std::promise<void> go;
    auto const gate = go.get_future().share();
    s.set_fault([&, gate](operation const& op) {
        if (op.what == kind::sync && op.name.starts_with("wal-")) {
            s.mutex.unlock(); // The disk hangs, and holds nobody else up.
            gate.wait();
            s.mutex.lock();
        }
        return std::error_code{};
    });
    s.l.append({accept(1, 10)});
    for (int i = 0; i < 2000 && s.l.store->state() != health::slow; ++i) std::this_thread::sleep_for(5ms);
    CHECK(s.l.store->state() == health::slow);
    CHECK(s.l.store->status().problem.find("the disk is slow or hangs") != std::string::npos);
    go.set_value();
    CHECK(s.l.wait_durable());
    CHECK(s.l.store->state() == health::ok);
    CHECK(s.l.store->status().slowest_sync >= 10ms);
}

TEST_CASE("records that arrive while a group is written become one group") {
    simulated s;
    s.open();
    std::promise<void> go;
    auto const gate = go.get_future().share();
    std::atomic<int> syncs{0};
    s.set_fault([&, gate](operation const& op) {
        if (op.what == kind::sync && op.name.starts_with("wal-")) {
            ++syncs;
            s.mutex.unlock();
            gate.wait();
            s.mutex.lock();
        }
        return std::error_code{};
    });
    s.l.append({accept(1, 10)});
    while (syncs == 0) std::this_thread::sleep_for(1ms);
    for (std::uint64_t at = 2; at <= 50; ++at) s.l.append({accept(at, 10)});
    go.set_value();
    CHECK(s.l.wait_durable());
    CHECK(syncs == 2);
    CHECK(s.l.durable == std::deque{lsn{1}, lsn{50}});
}

TEST_CASE("a damaged directory comes back under a fresh id that only joins") {
    simulated s;
    sample_node node = node_with_log(3, 12);
    node.disk->flip_bit(node.last_segment(), 8 * 600);
    s.disk = node.disk;
    s.open();
    CHECK(s.l.store->only_joins());
    CHECK(s.l.store->warnings().size() == 1);
    CHECK(s.l.found.entries.empty());
}

TEST_CASE("the checksum is the same by the processor's instruction and by the table") {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") == 0) {
        MESSAGE("skipped: this processor has no such instruction");
        return;
    }
    std::string const bytes = storage_test::text(3000, 7);
    for (std::size_t from = 0; from < 9; ++from)
        for (std::size_t size : {0u, 1u, 7u, 8u, 9u, 63u, 64u, 1000u, 2985u})
            for (std::uint32_t seed : {0u, ~0u, 0x12345678u})
                CHECK(openreplica::detail::fold_crc32c_by_instruction(seed, std::string_view(bytes).substr(from, size)) ==
                      openreplica::detail::fold_crc32c_by_table(seed, std::string_view(bytes).substr(from, size)));
#endif
}

} // namespace data_directory_test
