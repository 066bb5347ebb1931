// Snapshots beside the log: which stay, what they let go, and what replaces a bad one.
#include <openreplica/storage/disk_log.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace disk_log_test {

using namespace storage_test;

/// Writes entries up to the slot, each in a group of its own, so large that five fill a segment.
void write_until(sample_node& node, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t at = from; at <= to; ++at) REQUIRE_FALSE(node.write({accept(at, 12'000)}));
}

void keep(sample_node& node, std::uint64_t at) {
    REQUIRE_FALSE(node.log->write(snapshot_at(at)));
    REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(node.log->log_reach())));
}

std::vector<std::string> files(sample_node const& node, std::string const& prefix) {
    std::vector<std::string> out;
    for (auto const& [name, bytes] : node.disk->image())
        if (storage::numbered(name, prefix)) out.push_back(name);
    return out;
}

/// A node with snapshots at 10, 20 and 30 and entries up to 35.
sample_node with_snapshots() {
    sample_node node = node_with_log(3, 0);
    for (std::uint64_t at : {10u, 20u, 30u}) {
        write_until(node, at - 9, at);
        keep(node, at);
    }
    write_until(node, 31, 35);
    return node;
}

TEST_CASE("two snapshots stay, and the log from the older of them on") {
    sample_node node = with_snapshots();
    CHECK(files(node, "snapshot-") ==
          std::vector<std::string>{"snapshot-0000000000000020", "snapshot-0000000000000030"});
    CHECK(files(node, "wal-").front() != storage::segment_name(1));
    node.disk->crash(survivors::none, {});
    node.start();
    CHECK(node.found.warnings.empty());
    CHECK(node.found.state.base == snapshot_at(30));
    CHECK(node.found.state.entries.size() == 5);
    CHECK(node.found.snapshots == std::vector{slot{30}, slot{20}});
    keep(node, 34); // Goes on where it was: the oldest goes.
    CHECK(files(node, "snapshot-").front() == "snapshot-0000000000000030");
}

TEST_CASE("R22: an older snapshot and the log replace the newest one when it is bad, and the bad one is kept aside") {
    sample_node node = with_snapshots();
    node.disk->flip_bit("snapshot-0000000000000030", 9999);
    std::string const bad = node.disk->content("snapshot-0000000000000030");
    for (int i = 0; i < 2; ++i) {
        node.disk->crash(survivors::none, {});
        node.start();
        CHECK_FALSE(node.found.owner.only_joins);
        CHECK(node.found.state.base == snapshot_at(20));
        REQUIRE(node.found.state.entries.size() == 15);
        for (std::uint64_t at = 21; at <= 35; ++at) CHECK(node.found.state.entries[at - 21] == accept(at, 12'000).what);
        CHECK(node.disk->content("snapshot-0000000000000030.broken") == bad);
        CHECK(node.found.warnings.size() == (i == 0 ? 1 : 0));
    }
    CHECK(node.found.snapshots == std::vector{slot{20}});
}

TEST_CASE("R22: when both snapshots are bad the node does not vote, because the log was trimmed") {
    sample_node node = with_snapshots();
    node.disk->flip_bit("snapshot-0000000000000030", 9999);
    node.disk->flip_bit("snapshot-0000000000000020", 9999);
    node.start();
    CHECK(node.found.owner.only_joins);
    CHECK(node.found.warnings.at(0).find("(T13)") != std::string::npos);
    CHECK(node.disk->exists("snapshot-0000000000000020.broken"));
    CHECK(node.disk->exists("snapshot-0000000000000030.broken"));
}

TEST_CASE("a snapshot that disappears is missed, and so is the snapshot of another slot under its name") {
    for (bool swapped : {false, true}) {
        sample_node node = with_snapshots();
        node.disk->erase("snapshot-0000000000000020");
        if (swapped)
            node.disk->set_content("snapshot-0000000000000030", storage_test::text(4000, 1));
        else
            node.disk->erase("snapshot-0000000000000030");
        node.start();
        CHECK(node.found.owner.only_joins);
    }
    sample_node node = with_snapshots();
    node.disk->set_content("snapshot-0000000000000030", node.disk->content("snapshot-0000000000000020"));
    node.start();
    CHECK(node.found.state.base == snapshot_at(20));
    CHECK(node.found.state.entries.size() == 15);
}

TEST_CASE("R32: an older snapshot than the newest on disk is not written") {
    sample_node node = with_snapshots();
    REQUIRE_FALSE(node.log->write(snapshot_at(25)));
    CHECK_FALSE(node.disk->exists("snapshot-0000000000000025"));
    CHECK(node.log->newest_snapshot() == slot{30});
}

TEST_CASE("R24: the power may go at every operation of keeping a snapshot and trimming, and nothing is lost") {
    for (auto keep_what : {survivors::none, survivors::all, survivors::random}) {
        for (std::uint64_t at = 1;; ++at) {
            CAPTURE(at);
            sample_node node = with_snapshots();
            node.disk->lose_power_at = node.disk->changes() + at;
            bool done = false;
            try {
                if (node.log->write(snapshot_at(34))) FAIL("the disk failed");
                done = !node.log->carry_out(node.log->plan_removal(node.log->log_reach()));
            } catch (power_loss) {
            }
            node.disk->crash(keep_what, bits_from(at));
            for (int i = 0; i < 2; ++i) {
                node.start();
                auto const& s = node.found.state;
                CHECK(node.found.warnings.empty());
                CHECK((s.base == snapshot_at(34) || (!done && s.base == snapshot_at(30))));
                REQUIRE(s.entries.size() == 35 - s.base.at.value);
                CHECK(s.entries.back() == accept(35, 12'000).what);
            }
            if (done) break;
        }
    }
}

TEST_CASE("a segment that could not be removed is not in the way, and goes at the next start") {
    sample_node node = node_with_log(3, 0);
    for (std::uint64_t at : {10u, 20u}) {
        write_until(node, at - 9, at);
        keep(node, at);
    }
    write_until(node, 21, 30);
    REQUIRE_FALSE(node.log->write(snapshot_at(30)));
    auto const plan = node.log->plan_removal(node.log->log_reach());
    REQUIRE(plan.segments.size() > 1);
    std::string const stays = storage::segment_name(plan.segments[0]);
    node.disk->fault = [&](operation const& o) {
        return o.what == operation::kind::remove && o.name == stays ? io_error() : std::error_code{};
    };
    REQUIRE_FALSE(node.log->carry_out(plan));
    node.disk->fault = {};
    REQUIRE(node.disk->exists(stays));
    REQUIRE_FALSE(node.disk->exists(storage::segment_name(plan.segments[1])));
    node.start();
    CHECK(node.found.warnings.empty());
    CHECK(node.found.state.base == snapshot_at(30));
    CHECK_FALSE(node.disk->exists(stays));
}

TEST_CASE("meta files that cannot be written keep everything that they would have let go") {
    sample_node node = with_snapshots();
    auto const before = files(node, "wal-");
    node.disk->fault = [](operation const& o) {
        return o.name.starts_with("meta.") && o.what == operation::kind::sync ? io_error() : std::error_code{};
    };
    REQUIRE_FALSE(node.log->write(snapshot_at(35)));
    CHECK(node.log->carry_out(node.log->plan_removal(node.log->log_reach())) == io_error());
    CHECK(files(node, "wal-") == before);
    CHECK(files(node, "snapshot-").size() == 3);
    node.disk->fault = {};
    node.disk->crash(survivors::none, {});
    node.start();
    CHECK(node.found.state.base == snapshot_at(35));
}

} // namespace disk_log_test
