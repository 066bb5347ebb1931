#include <openreplica/storage/wal_writer.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace wal_writer_test {

using namespace storage_test;
using kind = operation::kind;

/// How often something happened to files of a kind.
struct counter {
    std::uint64_t writes = 0, syncs = 0;
    void watch(simulated_disk& disk) {
        disk.fault = [this](operation const& o) {
            writes += o.what == kind::write;
            syncs += o.what == kind::sync;
            return std::error_code{};
        };
    }
};

/// The node starts again after a crash, by default one that kept nothing that was not synced, and has these slots.
void check_durable(sample_node& node, std::uint64_t slots, survivors keep = survivors::none) {
    node.disk->fault = {};
    node.disk->crash(keep, {});
    node.start();
    CHECK(node.found.warnings.empty());
    REQUIRE(node.found.state.entries.size() == slots);
    for (std::uint64_t i = 0; i < slots; ++i) CHECK(node.found.state.entries[i].at == slot{i + 1});
}

TEST_CASE("a group is one write and one sync, and all of it is durable when it returns") {
    sample_node node = node_with_log(3, 0);
    counter c;
    c.watch(*node.disk);
    REQUIRE_FALSE(node.write({accept(1, 10), accept(2, 5000), accept(3, 0), paxos::promise_record{ballot_of(4)}}));
    CHECK(c.writes == 1);
    CHECK(c.syncs == 1);
    CHECK(node.log->writer().durable() == node.log->writer().tail().last);
    check_durable(node, 3);
    CHECK(node.found.state.promised == ballot_of(4));
    CHECK(node.found.state.entries[1] == accept(2, 5000).what);
}

TEST_CASE("R04: every group is synced before it counts, the hundredth as the first") {
    sample_node node = node_with_log(3, 0);
    counter c;
    c.watch(*node.disk);
    for (std::uint64_t at = 1; at <= 100; ++at) {
        REQUIRE_FALSE(node.write({accept(at, 10)}));
        CHECK(c.syncs == at);
    }
    check_durable(node, 100);
}

TEST_CASE("nothing of a group is durable before it is committed, and an empty commit writes nothing") {
    sample_node node = node_with_log(3, 4);
    counter c;
    c.watch(*node.disk);
    node.log->writer().add(accept(5, 10));
    CHECK(node.log->writer().has_group());
    check_durable(node, 4);
    c = {};
    c.watch(*node.disk);
    CHECK_FALSE(node.log->writer().commit());
    CHECK(c.writes == 0);
}

TEST_CASE("bodies around the size from which they are not copied read back the same") {
    sample_node node = node_with_log(3, 0, 256 * 1024);
    std::vector<paxos::record> group;
    std::uint64_t at = 0;
    for (std::size_t size : {4095u, 4096u, 4097u, 0u, 9001u, 1u, 7u, 8u, 40000u}) group.push_back(accept(++at, size));
    REQUIRE_FALSE(node.write(group));
    check_durable(node, at);
    for (std::uint64_t i = 0; i < at; ++i)
        CHECK(node.found.state.entries[i] == std::get<paxos::accept_record>(group[i]).what);
}

TEST_CASE("a full segment is followed by another one that begins with a checkpoint, from the spare if there is one") {
    sample_node node = node_with_log(3, 0);
    REQUIRE_FALSE(node.log->prepare_spare());
    node.log->writer().spare_is_ready();
    std::size_t const before = node.log->writer().tail().segments.size();
    std::uint64_t at = 0;
    while (node.log->writer().tail().segments.size() == before) REQUIRE_FALSE(node.write({accept(++at, 3000)}));
    CHECK_FALSE(node.log->writer().has_spare());
    CHECK_FALSE(node.disk->exists(storage::spare_name));
    while (node.log->writer().tail().segments.size() < before + 3) REQUIRE_FALSE(node.write({accept(++at, 3000)}));
    check_durable(node, at);
}

TEST_CASE("a group that is larger than a segment gets a segment of its own size and leaves the spare alone") {
    sample_node node = node_with_log(3, 2);
    REQUIRE_FALSE(node.log->prepare_spare());
    node.log->writer().spare_is_ready();
    REQUIRE_FALSE(node.write({accept(3, 200 * 1024), accept(4, 10)}));
    CHECK(node.log->writer().has_spare());
    CHECK(node.disk->content(node.last_segment()).size() > 200 * 1024);
    REQUIRE_FALSE(node.write({accept(5, 10)}));
    check_durable(node, 5);
}

TEST_CASE("without room for another segment the group waits, and is written when there is room") {
    sample_node node = node_with_log(3, 0);
    std::uint64_t at = 0;
    node.disk->capacity = 2 * small_segment; // The first segment was cut off to its contents, so this is less than two.
    std::error_code failure;
    while (!failure) failure = node.write({accept(++at, 3000)});
    CHECK(storage::wal_writer::is_full(failure));
    CHECK_FALSE(node.log->writer().poisoned());
    CHECK(storage::wal_writer::is_full(node.log->writer().commit()));
    CHECK_FALSE(node.disk->exists(storage::urgent_name)); // The disk got back what the attempt took.
    node.log->writer().add(accept(++at, 100));
    node.disk->capacity = ~std::uint64_t{0};
    CHECK_FALSE(node.log->writer().commit());
    CHECK_FALSE(node.log->writer().has_group());
    check_durable(node, at);
}

TEST_CASE("where even a prepared segment finds no room, what was written of a group is never taken for records") {
    // A file system that copies on write needs room for every write.
    for (std::size_t part : {0u, 60u, 512u, 1500u}) {
        for (std::size_t more : {0u, 100u, 70'000u}) {
            CAPTURE(part);
            CAPTURE(more);
            sample_node node = node_with_log(3, 3);
            node.disk->short_write_bytes = part;
            node.disk->fault = [](operation const& o) { return o.what == kind::write ? disk_full() : std::error_code{}; };
            CHECK(storage::wal_writer::is_full(node.write({accept(4, 100), accept(5, 700), accept(6, 700)})));
            CHECK_FALSE(node.log->writer().poisoned());
            node.disk->fault = {};
            if (more > 0) node.log->writer().add(accept(7, more)); // The largest one moves the group to a new segment.
            CHECK_FALSE(node.log->writer().commit());
            check_durable(node, more > 0 ? 7 : 6, survivors::all);
        }
    }
}

TEST_CASE("a spare that a failed write spoiled is not used for another group") {
    sample_node node = node_with_log(3, 0);
    REQUIRE_FALSE(node.log->prepare_spare());
    node.log->writer().spare_is_ready();
    std::uint64_t at = 0;
    node.disk->short_write_bytes = 4000;
    node.disk->fault = [](operation const& o) {
        return o.what == kind::write && o.name == storage::spare_name ? disk_full() : std::error_code{};
    };
    std::error_code failure;
    while (!failure) failure = node.write({accept(++at, 3000)});
    CHECK(storage::wal_writer::is_full(failure));
    CHECK_FALSE(node.log->writer().has_spare());
    CHECK_FALSE(node.disk->exists(storage::spare_name));
    CHECK_FALSE(node.log->writer().commit());
    check_durable(node, at);
}

TEST_CASE("R26: after one failed sync the writer never works again, whatever the error was") {
    for (std::error_code const error : {io_error(), disk_full(), std::error_code(EDQUOT, std::system_category())}) {
        sample_node node = node_with_log(3, 4);
        node.disk->fault = [&](operation const& o) { return o.what == kind::sync ? error : std::error_code{}; };
        // An error that a full disk gives elsewhere is no reason to wait for room here.
        CHECK(node.write({accept(5, 100)}) == io_error());
        node.disk->fault = {};
        CHECK(node.log->writer().commit() == io_error());
        CHECK(node.write({accept(6, 100)}) == io_error());
        CHECK(node.log->writer().poisoned() == io_error());
        CHECK(node.log->writer().durable() < node.log->writer().tail().last.next().next());
        check_durable(node, 4);
    }
}

TEST_CASE("each step of beginning a segment that fails poisons the writer, and a restart finds all that was durable") {
    for (kind what : {kind::create, kind::open, kind::write, kind::sync, kind::rename, kind::sync_names}) {
        sample_node node = node_with_log(3, 4);
        node.disk->fault = [&](operation const& o) {
            bool const hit = o.what == what && (o.name.empty() || o.name == storage::urgent_name);
            return hit ? io_error() : std::error_code{};
        };
        CHECK(node.write({accept(5, 100'000)}) == io_error());
        node.disk->fault = {};
        CHECK(node.log->writer().commit() == io_error());
        check_durable(node, 4);
    }
}

TEST_CASE("a segment is forgotten when all its entries are behind the given slot, and the last one never") {
    sample_node node = node_with_log(3, 0);
    std::uint64_t at = 0;
    while (node.log->writer().tail().segments.size() < 5) REQUIRE_FALSE(node.write({accept(++at, 9000)}));
    auto const segments = node.log->writer().tail().segments;
    storage::wal_writer& w = node.log->writer();
    CHECK(w.forget(slot{}).empty());
    CHECK(w.forget(segments[0].highest.prev()).empty());
    CHECK(w.forget(segments[0].highest) == std::vector<std::uint64_t>{1});
    CHECK(w.forget(slot{at}) == std::vector<std::uint64_t>{2, 3, 4});
    CHECK(w.forget(slot{at}).empty());
    CHECK(w.tail().segments.size() == 1);
}

TEST_CASE("a segment without entries is forgotten at once, because the next one begins with all it says") {
    sample_node node = node_with_log(3, 0);
    node.start();
    CHECK(node.log->writer().forget(slot{}) == std::vector<std::uint64_t>{1});
}

} // namespace wal_writer_test
