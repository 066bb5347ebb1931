#include <openreplica/storage/snapshot_file.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace snapshot_file_test {

using namespace storage_test;

struct fixture {
    std::shared_ptr<simulated_disk> disk = std::make_shared<simulated_disk>();
    std::unique_ptr<faulty_directory> dir = std::make_unique<faulty_directory>(disk);
};

TEST_CASE("a snapshot reads back, empty, small, and at the size of its chunks") {
    constexpr std::size_t chunk = storage::snapshot_chunk_bytes;
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3000}, chunk - 1, chunk, chunk + 1, 2 * chunk + 5}) {
        fixture f;
        auto const s = snapshot_at(42, size);
        REQUIRE_FALSE(storage::write_snapshot(*f.dir, owner, s));
        f.disk->crash(survivors::none, {});
        CHECK(f.disk->image().size() == 1);
        CHECK(storage::decode_snapshot(owner, f.disk->content("snapshot-0000000000000042")) == s);
        CHECK_FALSE(storage::decode_snapshot(node_id{1, 2}, f.disk->content("snapshot-0000000000000042")));
    }
}

TEST_CASE("a snapshot that is cut anywhere, goes on behind its end, or has two chunks exchanged is refused") {
    fixture f;
    REQUIRE_FALSE(storage::write_snapshot(*f.dir, owner, snapshot_at(42)));
    std::string const whole = f.disk->content("snapshot-0000000000000042");
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK_FALSE(storage::decode_snapshot(owner, whole.substr(0, n)));
    CHECK_FALSE(storage::decode_snapshot(owner, whole + '\0'));

    constexpr std::size_t chunk = storage::snapshot_chunk_bytes;
    REQUIRE_FALSE(storage::write_snapshot(*f.dir, owner, snapshot_at(43, 2 * chunk)));
    std::string big = f.disk->content("snapshot-0000000000000043");
    std::size_t const header = big.size() - 2 * (chunk + 4) - 16;
    std::string const first = big.substr(header, chunk + 4);
    big.erase(header, chunk + 4);
    big.insert(header + chunk + 4, first);
    CHECK_FALSE(storage::decode_snapshot(owner, big)); // Each chunk's own checksum still holds.
}

TEST_CASE("a crash while a snapshot is written leaves all of it or none") {
    for (auto keep : {survivors::none, survivors::all, survivors::random}) {
        for (std::uint64_t at = 1;; ++at) {
            fixture f;
            f.disk->lose_power_at = at;
            bool done = false;
            try {
                done = !storage::write_snapshot(*f.dir, owner, snapshot_at(42));
            } catch (power_loss) {
            }
            f.disk->crash(keep, bits_from(at));
            bool const there = f.disk->exists("snapshot-0000000000000042");
            if (there) CHECK(storage::decode_snapshot(owner, f.disk->content("snapshot-0000000000000042")));
            if (done) CHECK(there);
            if (done) break;
        }
    }
}

TEST_CASE("a snapshot that cannot be written is an error, and leaves no half of it in the way") {
    using kind = operation::kind;
    for (kind what : {kind::create, kind::write, kind::sync, kind::open, kind::read, kind::rename, kind::sync_names}) {
        fixture f;
        f.disk->fault = [&](operation const& o) { return o.what == what ? disk_full() : std::error_code{}; };
        CHECK(storage::write_snapshot(*f.dir, owner, snapshot_at(42)) == disk_full());
        CHECK_FALSE(f.disk->exists(storage::snapshot_aside));
    }
}

TEST_CASE("what reads back differently from what was written never gets the name of a snapshot") {
    fixture f;
    f.disk->fault = [&](operation const& o) {
        if (o.what == operation::kind::read) f.disk->flip_bit(storage::snapshot_aside, 2000);
        return std::error_code{};
    };
    CHECK(storage::write_snapshot(*f.dir, owner, snapshot_at(42)) == io_error());
    CHECK(f.disk->image().empty());
}

} // namespace snapshot_file_test
