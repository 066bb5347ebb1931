#include <openreplica/storage/suffixed_directory.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

namespace suffixed_directory_test {

using namespace storage_test;

TEST_CASE("a whole node lives beside another one's files, and touches none of them") {
    sample_node node = node_with_log(3, 12);
    auto const before = node.disk->image();
    {
        storage::suffixed_directory beside(*node.dir, ".other");
        std::vector<std::string> names;
        REQUIRE_FALSE(beside.list(names));
        CHECK(names.empty());
        CHECK(beside.where() == node.dir->where());
        auto found = storage::recovery(beside, small_segment, counting_ids(900)).open();
        CHECK(found.owner.node == node_id{0xfeed, 900});
        storage::disk_log log(beside, small_segment, std::move(found));
        REQUIRE_FALSE(log.open());
        log.writer().add(accept(1, 100));
        REQUIRE_FALSE(log.writer().commit());
        REQUIRE_FALSE(log.write(snapshot_at(1)));
        CHECK(storage::read_directory(beside).entries.size() == 1);
        CHECK(storage::read_directory(beside).snapshots.size() == 1);
        REQUIRE_FALSE(beside.list(names));
        CHECK(std::find(names.begin(), names.end(), "id") != names.end());
        REQUIRE_FALSE(beside.rename("meta.a", "meta.c"));
        CHECK(node.disk->exists("meta.c.other"));
        for (std::string const& n : names) (void)beside.remove(n);
        REQUIRE_FALSE(beside.remove("meta.c"));
        REQUIRE_FALSE(beside.sync());
    }
    CHECK(node.disk->image() == before);
}

TEST_CASE("an error of the directory below is passed on") {
    sample_node node = node_with_log(3, 1);
    storage::suffixed_directory beside(*node.dir, ".other");
    node.disk->fault = [](operation const&) { return io_error(); };
    std::vector<std::string> names;
    CHECK(beside.list(names) == io_error());
    CHECK(beside.open("id", storage::directory::mode::existing).second == io_error());
    CHECK(beside.rename("a", "b") == io_error());
    CHECK(beside.remove("a") == io_error());
    CHECK(beside.sync() == io_error());
}

} // namespace suffixed_directory_test
