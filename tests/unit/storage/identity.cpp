#include <openreplica/storage/identity.hpp>

#include "sample_log.hpp"

#include <openreplica/storage/posix_directory.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

namespace identity_test {

using namespace storage_test;
using storage::identity;
using storage::meta;

std::string const block(512, '\0');

meta sample_meta() { return {7, owner, ballot_of(3), slot{40}, 5, lsn{99}, 3}; }

TEST_CASE("an id reads back from either of its copies") {
    for (bool ready : {false, true}) {
        for (bool only_joins : {false, true}) {
            identity const i{owner, ready, only_joins};
            std::string const bytes = storage::encode(i);
            CHECK(bytes.size() == 1024);
            CHECK(storage::decode_identity(bytes) == i);
            CHECK(storage::decode_identity(block + bytes.substr(512)) == i);
            CHECK(storage::decode_identity(bytes.substr(0, 512) + block) == i);
            CHECK(storage::decode_identity(bytes.substr(0, 700)) == i);
            CHECK_FALSE(storage::decode_identity(block + block));
            CHECK_FALSE(storage::decode_identity({}));
        }
    }
    CHECK_FALSE(storage::decode_identity(storage::encode(identity{node_id{}, true, false})));
}

TEST_CASE("a meta file reads back, for its owner only") {
    std::string const bytes = storage::encode(sample_meta());
    CHECK(storage::decode_meta(bytes, owner) == sample_meta());
    CHECK_FALSE(storage::decode_meta(bytes, node_id{1, 2}));
    for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(storage::decode_meta(bytes.substr(0, n), owner));
}

TEST_CASE("a block is refused under another magic, so that no file passes for one of another kind") {
    CHECK_FALSE(storage::decode_meta(storage::encode(identity{owner, true, false}), owner));
    CHECK_FALSE(storage::decode_identity(storage::encode(sample_meta())));
}

TEST_CASE("of two meta files the higher number counts, and the one that is left when the other is bad") {
    sample_node node;
    faulty_directory dir(node.disk);
    storage::meta_files files(dir);
    CHECK_FALSE(files.read(owner));
    meta m = sample_meta();
    REQUIRE_FALSE(files.write(m));
    m.durable = lsn{100};
    REQUIRE_FALSE(files.write(m));
    storage::meta_files again(dir);
    auto const best = again.read(owner);
    REQUIRE(best);
    CHECK(best->durable == lsn{100});
    CHECK(best->number == 4);
    for (char const* name : storage::meta_names) {
        sample_node copy;
        copy.disk->restore(node.disk->image());
        copy.disk->flip_bit(name, 100);
        faulty_directory other(copy.disk);
        storage::meta_files one(other);
        auto const left = one.read(owner);
        REQUIRE(left);
        CHECK(left->durable == lsn{100}); // Both say the same once `write` returned.
        REQUIRE_FALSE(one.write(*left));
        CHECK(storage::meta_files(other).read(owner)->number > left->number);
    }
}

TEST_CASE("R24: a crash while the meta files are written leaves what they said before, or after") {
    for (std::uint64_t at = 1;; ++at) {
        sample_node node;
        meta m = sample_meta();
        {
            faulty_directory dir(node.disk);
            REQUIRE_FALSE(storage::meta_files(dir).write(m));
            REQUIRE_FALSE(dir.sync());
        }
        faulty_directory dir(node.disk);
        storage::meta_files files(dir);
        REQUIRE(files.read(owner));
        m.durable = lsn{100};
        node.disk->lose_power_at = node.disk->changes() + at;
        bool done = false;
        try {
            done = !files.write(m);
        } catch (power_loss) {
        }
        node.disk->crash(survivors::random, bits_from(at));
        faulty_directory after(node.disk);
        auto const found = storage::meta_files(after).read(owner);
        REQUIRE(found);
        CHECK((found->durable == lsn{100} || (!done && found->durable == lsn{99})));
        if (done) break;
    }
}

TEST_CASE("an empty directory gives a fresh id, and the same one ever after") {
    sample_node node;
    node.start();
    node_id const self = node.found.owner.node;
    CHECK(self == node_id{0xfeed, 1});
    CHECK(node.found.owner.ready);
    CHECK_FALSE(node.found.owner.only_joins);
    CHECK(node.found.state.promised == ballot{});
    node.start();
    CHECK(node.found.owner.node == self);
    sample_node other;
    other.ids = counting_ids(50);
    other.start();
    CHECK(other.found.owner.node != self);
}

TEST_CASE("R25: a directory that was being made when the power went is made anew, and no id ever comes back without its data") {
    for (auto keep : {survivors::none, survivors::all, survivors::random}) {
        for (std::uint64_t at = 1;; ++at) {
            sample_node node;
            node.disk->lose_power_at = at;
            bool done = false;
            try {
                node.start();
                done = true;
            } catch (power_loss) {
            }
            node.disk->crash(keep, bits_from(at));
            node.start();
            CHECK(node.found.owner.ready);
            CHECK(node.found.warnings.empty());
            CHECK(node.found.state.entries.empty());
            if (done) CHECK(node.found.owner.node == node_id{0xfeed, 1});
            for (auto const& [name, bytes] : node.disk->image()) CHECK_FALSE(name.ends_with(".broken"));
            if (done) break;
        }
    }
}

TEST_CASE("files of a node without a readable id are never opened as anybody's") {
    sample_node node = node_with_log(3, 5);
    auto const image = node.disk->image();
    SUBCASE("the id is missing") { node.disk->erase("id"); }
    SUBCASE("both copies are damaged") {
        node.disk->flip_bit("id", 100);
        node.disk->flip_bit("id", 512 * 8 + 100);
    }
    SUBCASE("the id is empty") { node.disk->set_content("id", ""); }
    auto const before = node.disk->image();
    CHECK(node.refusal().find("restore the whole directory from a backup") != std::string::npos);
    CHECK(node.disk->image() == before);
}

TEST_CASE("one damaged copy of the id is written again from the other") {
    sample_node node = node_with_log(3, 5);
    node_id const self = node.found.owner.node;
    node.disk->zero_sector("id", 0);
    node.start();
    CHECK(node.found.owner.node == self);
    REQUIRE(node.found.warnings.size() == 1);
    CHECK(node.disk->content("id") == storage::encode(node.found.owner));
    CHECK(node.found.state.entries.size() == 5);
}

TEST_CASE("the data of one node under the id of another are damage, and the other's id does not come back") {
    sample_node node = node_with_log(3, 5), other;
    other.ids = counting_ids(50);
    other.start();
    node.disk->set_content("id", other.disk->content("id"));
    CHECK(node.refusal().find("(T10)") != std::string::npos); // Nobody can say that the group has other members.
}

TEST_CASE("R25: an id file from the time when the directory was made does not bring the id back without its data") {
    sample_node node = node_with_log(3, 5);
    node_id const self = node.found.owner.node;
    node.disk->set_content("id", storage::encode(identity{self, false, false}));
    node.start();
    CHECK(node.found.owner.node != self);
    CHECK(node.found.owner.only_joins);
    CHECK(node.disk->exists("wal-0000000000000001.broken"));
}

TEST_CASE("files that are not a node's stay as they are") {
    sample_node node;
    node.disk->set_content("lost+found", "x");
    node.disk->set_content("notes.tmp", "y");
    node.start();
    node.start();
    CHECK(node.disk->content("lost+found") == "x");
    CHECK(node.disk->content("notes.tmp") == "y");
}

TEST_CASE("a second node on one directory is told so, and the first one is not disturbed") {
    char path[] = "/tmp/openreplica-lock-XXXXXX";
    REQUIRE(::mkdtemp(path) != nullptr);
    {
        storage::posix_directory first(path);
        try {
            storage::posix_directory second(path);
            FAIL("two nodes share a directory");
        } catch (openreplica::error const& e) {
            CHECK(std::string(e.what()).find("is in use by another node") != std::string::npos);
            CHECK(std::string(e.what()).find(path) != std::string::npos);
        }
        storage::posix_directory const reader(path, storage::posix_directory::access::read_only);
        CHECK_FALSE(storage::write_all(first, "a", {"b"}));
    }
    CHECK_NOTHROW(storage::posix_directory{path});
    std::filesystem::remove_all(path);
}

} // namespace identity_test
