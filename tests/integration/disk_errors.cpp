// Disks that fail, fill up and decay under real processes.
//
// This program has an fdatasync of its own, which takes the place of the system's in the members too: it fails as often
// as the test asks for.
#define DOCTEST_CONFIG_IMPLEMENT
#include "durable_group.hpp"
#include "private_mounts.hpp"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <sys/syscall.h>

using namespace durable;

namespace {

std::string no_mounts; ///< why this process has no mounts of its own

/// What a member looks for: a file of as many bytes as syncs shall fail. And of which files: "/wal-", "/snapshot".
constexpr char const *trigger_variable = "OPENREPLICA_TEST_FAIL_SYNC", *target_variable = "OPENREPLICA_TEST_FAIL_SYNC_OF";

bool is_target(int fd) {
    char name[512], link[64];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    auto const n = readlink(link, name, sizeof name - 1);
    char const* target = std::getenv(target_variable);
    return n > 0 && target != nullptr && std::string_view(name, static_cast<std::size_t>(n)).find(target) != std::string::npos;
}

} // namespace

extern "C" int fdatasync(int fd) {
    static char const* const trigger = std::getenv(trigger_variable);
    struct stat left {};
    // The sync after the last that fails succeeds, as on Linux, which has forgotten by then what it did not write.
    if (trigger != nullptr && stat(trigger, &left) == 0 && left.st_size > 0 && is_target(fd) &&
        truncate(trigger, left.st_size - 1) == 0) {
        errno = EIO;
        return -1;
    }
    return static_cast<int>(syscall(SYS_fdatasync, fd));
}

namespace {

/// Three members, whose syncs fail on request.
struct failing_group {
    temporary_directory triggers;
    durable::group members{3};

    explicit failing_group(std::string const& target) {
        members.callers = 2;
        for (std::size_t i = 0; i < 3; ++i)
            members.set_environment(i, {std::string(trigger_variable) + "=" + trigger(i).string(),
                                        std::string(target_variable) + "=" + target});
        members.start_all();
        REQUIRE(members.listen(60));
    }
    [[nodiscard]] fs::path trigger(std::size_t i) const { return triggers.path / std::to_string(i); }
    /// The next `n` of them.
    void fail_syncs(std::size_t i, std::size_t n) { std::ofstream(trigger(i)) << std::string(n, '.'); }
};

std::vector<std::size_t> others(std::size_t than) {
    return {(than + 1) % 3, (than + 2) % 3};
}

void check_failed_sync(bool leads) {
    failing_group g("/wal-");
    auto& members = g.members;
    std::size_t const leader = members.leader();
    std::size_t const victim = leads ? leader : (leader + 1) % 3;
    std::string const id = owner_of(members.dir(victim));
    members.forget();
    g.fail_syncs(victim, 1);

    // It says so, in its status and to its logger.
    REQUIRE(members.hear(victim, "disk failed"));
    CHECK(members.hear(victim, "problem writing to data_dir"));
    CHECK(members.latest(victim, "problem ").find("restart the process") != std::string::npos);
    CHECK(members.hear(victim, "log error", 1, 5s));
    // Somebody else leads, and calls through the others go on.
    if (leads) {
        CHECK(members.hear(victim, "role voter", 1, 10s));
        CHECK(members.hear_any(others(victim), "role leader", 10s));
    }
    members.forget();
    for (std::size_t i : others(victim)) CHECK(members.hear(i, "call done ", 30));
    // The application of the failed one lives: its calls end, in time, with a result or with the reason.
    CHECK(members.hear(victim, "call ", 20));
    CHECK(members.heard(victim, "call done ") + members.heard(victim, "call storage_failed ") +
              members.heard(victim, "call outcome_unknown ") == members.heard(victim, "call "));
    CHECK(fs::file_size(g.trigger(victim)) == 0);

    // What the restart finds was never acknowledged or is whole: the node votes under its id.
    members.end(victim);
    CHECK(damage_of(members.dir(victim)) == "");
    members.start(victim);
    CHECK(members.hear(victim, "id " + id));
    CHECK(members.hear(victim, "role voter"));
    CHECK(members.hear(victim, "disk ok"));
    CHECK(members.hear(victim, "call done ", 10));
    // It counts again: with one of the others gone it is the second half of a majority.
    members.end(others(victim)[0]);
    members.forget();
    CHECK(members.hear(victim, "call done ", 20));
    check_exactly_once(members.read_back(), members.acknowledged);
}

/// A small file system of memory for one member.
struct small_disk {
    temporary_directory where;
    mounts::file_system disk{{}, where.path / "disk", "4M"};
    small_disk() { REQUIRE(disk.is_mounted()); }
    [[nodiscard]] fs::path data() const { return disk.path() / "data"; }
    [[nodiscard]] fs::path filler() const { return disk.path() / "filler"; }
    void fill() const {
        std::ofstream out(filler(), std::ios::binary);
        while (out.write(std::string(4096, 'x').data(), 4096).flush()) {}
    }
    void make_room() const { fs::remove(filler()); }
};

bool is_skipped(char const* what) {
    if (no_mounts.empty()) return false;
    std::cout << "skipped: " << what << ", because " << no_mounts << std::endl;
    MESSAGE("skipped: " << no_mounts);
    return true;
}

// ---- decay

void flip_bit(fs::path const& file, std::uintmax_t offset) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(offset));
    char const c = static_cast<char>(f.get() ^ 0x10);
    f.seekp(static_cast<std::streamoff>(offset));
    f.put(c);
    REQUIRE(f.good());
}
/// Where the content of a file ends, whose rest may be zeros for records to come.
std::uintmax_t written(fs::path const& file) {
    std::ifstream in(file, std::ios::binary);
    std::string const content(std::istreambuf_iterator<char>(in), {});
    auto const last = content.find_last_not_of('\0');
    REQUIRE(last != std::string::npos);
    return last + 1;
}
void flip_in_the_middle(fs::path const& file) { flip_bit(file, written(file) / 2); }

/// Files whose name begins so, in order.
std::vector<fs::path> files(fs::path const& dir, std::string const& begins) {
    std::vector<fs::path> found;
    for (auto const& entry : fs::directory_iterator(dir))
        if (entry.path().filename().string().starts_with(begins)) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
}

/// Two segments at least, and the older of two snapshots has the log behind it. It has not in a member whose disk was so
/// slow that it fetched the newer one from another, nor for a moment in one that has removed what it does not need.
bool can_lose_a_snapshot(fs::path const& dir) {
    namespace storage = openreplica::storage;
    storage::posix_directory f(dir.string(), storage::posix_directory::access::read_only);
    auto const found = storage::read_directory(f);
    return found.log.tail.segments.size() >= 2 && found.snapshots.size() >= 2 && !found.entries.empty() &&
           found.entries.front().at <= found.snapshots[1].at.next();
}

struct decay {
    char const* what;
    std::function<void(fs::path const& dir)> happen;
    bool costs_the_vote;
};

decay const decays[] = {
    {"a bit of the log", [](fs::path const& d) { flip_in_the_middle(files(d, "wal-").front()); }, true},
    {"the second half of a segment that others follow",
     [](fs::path const& d) {
         auto const first = files(d, "wal-").front();
         fs::resize_file(first, written(first) / 2);
     },
     true},
    {"a segment", [](fs::path const& d) { fs::remove(files(d, "wal-").back()); }, true},
    {"a bit of each snapshot", [](fs::path const& d) { for (auto const& f : files(d, "snapshot-")) flip_in_the_middle(f); },
     true},
    {"a bit of both meta files", [](fs::path const& d) { for (auto const& f : files(d, "meta.")) flip_bit(f, 30); }, true},
    {"a bit of the newest snapshot", [](fs::path const& d) { flip_in_the_middle(files(d, "snapshot-").back()); }, false},
    {"the end of the newest snapshot",
     [](fs::path const& d) {
         auto const newest = files(d, "snapshot-").back();
         fs::resize_file(newest, fs::file_size(newest) - 1);
     },
     false},
    {"a bit of one meta file", [](fs::path const& d) { flip_bit(d / "meta.a", 30); }, false},
    {"a bit of one copy of the id", [](fs::path const& d) { flip_bit(d / "id", 20); }, false},
};

} // namespace

TEST_CASE("R26: a sync fails at a follower: it says so and votes no more, the group goes on, and a restart heals it") {
    check_failed_sync(false);
}

TEST_CASE("R26: a sync fails at the leader: another one leads, nothing is lost, and a restart heals it") {
    check_failed_sync(true);
}

TEST_CASE("a snapshot whose sync fails does not count, and the node goes on without it") {
    failing_group g("/snapshot");
    std::size_t const victim = g.members.leader();
    g.fail_syncs(victim, 1000);
    REQUIRE(g.members.hear(victim, "problem a snapshot could not be written", 1, 60s));
    CHECK(g.members.heard(victim, "disk failed") == 0);
    CHECK(files(g.members.dir(victim), "snapshot-0").empty());
    g.fail_syncs(victim, 0);
    g.members.forget();
    CHECK(g.members.hear(victim, "call done ", 400)); // The next one is kept.
    g.members.end_all();
    CHECK_FALSE(files(g.members.dir(victim), "snapshot-0").empty());
    CHECK(damage_of(g.members.dir(victim)) == "");
    check_exactly_once(g.members.read_back(), g.members.acknowledged);
}

TEST_CASE("R27: a full disk: a node alone refuses updates, reads go on, and it resumes by itself when there is room") {
    if (is_skipped("a full disk of a node alone")) return;
    small_disk disk;
    durable::group members(1);
    members.place(0, disk.data());
    members.start(0);
    REQUIRE(members.listen(30));
    disk.fill();
    REQUIRE(members.hear(0, "disk full", 1, 60s));
    CHECK(members.hear(0, "problem data_dir"));
    CHECK(members.hear(0, "call storage_full ", 3));
    members.forget();
    CHECK(members.hear(0, "read ", 20));
    disk.make_room();
    CHECK(members.hear(0, "disk ok"));
    CHECK(members.hear(0, "call done ", 30));
    check_exactly_once(members.read_back(), members.acknowledged);
}

TEST_CASE("R27: a full disk at a follower: the others go on, and it follows again when there is room") {
    if (is_skipped("a full disk of a follower")) return;
    small_disk disks[3];
    durable::group members(3);
    for (std::size_t i = 0; i < 3; ++i) members.place(i, disks[i].data());
    members.start_all();
    REQUIRE(members.listen(30));
    std::size_t const victim = (members.leader() + 1) % 3;
    disks[victim].fill();
    REQUIRE(members.hear(victim, "disk full", 1, 60s));
    members.forget();
    for (std::size_t i : others(victim)) CHECK(members.hear(i, "call done ", 30));
    CHECK(members.hear(victim, "call ", 3)); // With a result, or with the reason.
    CHECK(members.hear(victim, "read ", 5));
    disks[victim].make_room();
    CHECK(members.hear(victim, "disk ok"));
    members.end(others(victim)[0]);
    members.forget();
    CHECK(members.hear(victim, "call done ", 20)); // It is the second half of a majority.
    check_exactly_once(members.read_back(), members.acknowledged);
}

TEST_CASE("R22: a stopped member's files decay: it keeps its vote only if nothing is lost, and the group is intact") {
    for (decay const& d : decays) {
        INFO("decayed: " << std::string(d.what));
        durable::group members(3);
        members.callers = 4;
        fs::path const dir = members.dir(2);
        for (int tries = 0; tries == 0 || !can_lose_a_snapshot(dir); ++tries) {
            REQUIRE(tries < 10);
            members.start_all();
            // Two snapshots, and a log that begins behind its beginning.
            do REQUIRE(members.listen(200));
            while (fs::exists(dir / "wal-0000000000000001"));
            // The restart begins another segment. Of all, so that there is little to catch up with.
            members.end_all();
            members.start_all();
            REQUIRE(members.hear(2, "call done ", 5));
            members.end(2);
        }
        std::string const id = owner_of(dir);
        d.happen(dir);
        members.start(2);
        if (d.costs_the_vote) {
            CHECK(members.hear(2, "role standby"));
            CHECK(members.heard(2, "id " + id) == 0);
            CHECK(members.latest(2, "log warning ").find("is damaged") != std::string::npos);
            CHECK(fs::exists(dir / "id.broken")); // The evidence.
            CHECK(files(dir, "wal-").back().string().ends_with(".broken"));
        } else {
            CHECK(members.hear(2, "id " + id));
            CHECK(members.hear(2, "role voter"));
        }
        CHECK(members.hear(2, "call done ", 20)); // It has caught up, and its application works.
        CHECK(members.hear(2, "read ", 3));
        CHECK(members.hear(0, "call done ", 20));
        std::cout << d.what << ": " << (d.costs_the_vote ? "comes back as a new node" : "keeps its vote") << std::endl;
        check_exactly_once(members.read_back(), members.acknowledged);
    }
}

TEST_CASE("R20: a node alone whose files decay refuses to start, with a sentence") {
    decay const cases[] = {
        {"a bit of the log", [](fs::path const& d) { flip_bit(files(d, "wal-").front(), 120); }, true},
        {"the log", [](fs::path const& d) { for (auto const& f : files(d, "wal-")) fs::remove(f); }, true},
        {"both meta files", [](fs::path const& d) { for (auto const& f : files(d, "meta.")) fs::resize_file(f, 100); }, true},
        {"the id", [](fs::path const& d) { fs::resize_file(d / "id", 10); }, true},
    };
    for (decay const& d : cases) {
        INFO("decayed: " << std::string(d.what));
        temporary_directory scratch;
        std::string const dir = (scratch.path / "data").string();
        {
            openreplica::node node{options_for("127.0.0.1:0", {"-"}, dir)};
            openreplica::replicated<journal> shared{node, "journal"};
            for (int i = 0; i < 20; ++i) shared->append(std::to_string(i), "");
        }
        d.happen(dir);
        try {
            openreplica::node node{options_for("127.0.0.1:0", {"-"}, dir)};
            FAIL_CHECK("it started");
        } catch (openreplica::error const& e) {
            CHECK(e.code() == openreplica::errc::storage_failed);
            CHECK(std::string(e.what()).find("from a backup") != std::string::npos);
        }
    }
}

int main(int argc, char** argv) {
    if (!is_member(argc, argv)) no_mounts = mounts::make_private();
    return durable_main(argc, argv);
}
