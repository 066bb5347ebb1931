// The simulated disk itself: what it forgets, and how it fails.
#include "faulty_directory.hpp"

#include "sample_log.hpp"

#include <doctest/doctest.h>

#include <set>

namespace faulty_directory_test {

using namespace storage_test;
using storage::directory;

struct fixture {
    std::shared_ptr<simulated_disk> disk = std::make_shared<simulated_disk>();
    std::unique_ptr<faulty_directory> dir = std::make_unique<faulty_directory>(disk);

    std::unique_ptr<storage::file> create(std::string const& name, std::string_view bytes) {
        auto [f, failure] = dir->open(name, directory::mode::fresh);
        REQUIRE_FALSE(failure);
        REQUIRE_FALSE(f->write(0, {bytes}));
        return std::move(f);
    }
    void crash(survivors keep, std::uint64_t seed = 1) {
        disk->crash(keep, bits_from(seed));
        dir = std::make_unique<faulty_directory>(disk);
    }
    std::string read(std::string const& name) {
        std::string s;
        REQUIRE_FALSE(storage::read_all(*dir, name, s));
        return s;
    }
};

TEST_CASE("a name is lost in a crash until the directory is synced, contents until the file is") {
    fixture f;
    auto file = f.create("a", "one");
    REQUIRE_FALSE(file->sync());
    f.crash(survivors::none);
    CHECK_FALSE(f.disk->exists("a"));

    file = f.create("a", "one");
    REQUIRE_FALSE(f.dir->sync());
    f.crash(survivors::none);
    CHECK(f.read("a").empty());

    CHECK_FALSE(storage::write_all(*f.dir, "a", {"two"}));
    f.crash(survivors::none);
    CHECK(f.read("a") == "two");
    CHECK_THROWS_AS((void)file->sync(), power_loss); // The handle belongs to a process that died.
}

TEST_CASE("a crash keeps any subset of the sectors that were not synced, and all of it if it likes") {
    fixture f;
    CHECK_FALSE(storage::write_all(*f.dir, "a", {std::string(4 * 512, 'o')}));
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        fixture g;
        g.disk->restore(f.disk->image());
        auto [file, failure] = g.dir->open("a", directory::mode::existing);
        REQUIRE_FALSE(failure);
        REQUIRE_FALSE(file->write(512, {std::string(2 * 512, 'n')}));
        g.crash(survivors::random, seed);
        std::string const left = g.read("a");
        seen.insert({left[0], left[512], left[1024], left[1536]});
    }
    CHECK(seen == std::set<std::string>{"oooo", "onoo", "oono", "onno"});
    auto [file, failure] = f.dir->open("a", directory::mode::existing);
    REQUIRE_FALSE(file->write(4 * 512, {"more"}));
    f.crash(survivors::all);
    CHECK(f.read("a") == std::string(4 * 512, 'o') + "more");
}

TEST_CASE("a sync that fails leaves a file that reads well and is not on the disk") {
    fixture f;
    CHECK_FALSE(storage::write_all(*f.dir, "a", {"old"}));
    auto [file, failure] = f.dir->open("a", directory::mode::existing);
    REQUIRE_FALSE(file->write(0, {"new"}));
    f.disk->fault = [](operation const& o) { return o.what == operation::kind::sync ? io_error() : std::error_code{}; };
    CHECK(file->sync());
    f.disk->fault = {};
    CHECK_FALSE(file->sync());
    CHECK(f.read("a") == "new");
    f.disk->drop_caches();
    CHECK(f.read("a") == "old");
}

TEST_CASE("a full disk writes what fits, and room comes back with a removed file") {
    fixture f;
    f.disk->capacity = 1000;
    auto big = f.create("a", std::string(600, 'a'));
    auto [file, failure] = f.dir->open("b", directory::mode::fresh);
    REQUIRE_FALSE(failure);
    CHECK(file->write(0, {std::string(600, 'b')}) == std::errc::no_space_on_device);
    CHECK(f.read("b") == std::string(400, 'b'));
    CHECK_FALSE(big->write(100, {std::string(500, 'c')})); // Room that a file has already is its own.
    CHECK_FALSE(f.dir->remove("a"));
    CHECK_FALSE(file->write(0, {std::string(600, 'b')}));
}

TEST_CASE("the power goes at the operation that was asked for, and a random prefix of the renames survives") {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        fixture f;
        REQUIRE_FALSE(storage::write_all(*f.dir, "a", {"x"}));
        f.disk->lose_power_at = f.disk->changes() + 3;
        REQUIRE_FALSE(f.dir->rename("a", "b"));
        REQUIRE_FALSE(f.dir->rename("b", "c"));
        CHECK_THROWS_AS((void)f.dir->rename("c", "d"), power_loss);
        CHECK_THROWS_AS((void)f.dir->sync(), power_loss);
        CHECK(f.disk->is_dark());
        f.crash(survivors::random, seed);
        std::vector<std::string> names;
        REQUIRE_FALSE(f.dir->list(names));
        REQUIRE(names.size() == 1);
        seen.insert(names.front());
    }
    CHECK(seen == std::set<std::string>{"a", "b", "c"});
}

TEST_CASE("a write that fails may have written a part, and sectors can be swapped, zeroed and flipped at rest") {
    fixture f;
    REQUIRE_FALSE(storage::write_all(*f.dir, "a", {std::string(512, 'a') + std::string(512, 'b') + "c"}));
    f.disk->fault = [](operation const& o) { return o.what == operation::kind::write ? io_error() : std::error_code{}; };
    f.disk->short_write_bytes = 2;
    auto [file, failure] = f.dir->open("a", directory::mode::existing);
    CHECK(file->write(0, {"1", "23"}) == std::errc::io_error);
    CHECK(f.read("a").substr(0, 3) == "12a");
    f.disk->swap_sectors("a", 0, 1);
    CHECK(f.read("a").substr(510, 4) == "bb12");
    f.disk->zero_sector("a", 0);
    f.disk->flip_bit("a", 1024 * 8);
    CHECK(f.read("a") == std::string(512, '\0') + "12" + std::string(510, 'a') + "b");
    f.disk->truncate("a", 3);
    CHECK(f.read("a") == std::string(3, '\0'));
}

} // namespace faulty_directory_test
