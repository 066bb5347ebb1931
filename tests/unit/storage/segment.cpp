#include <openreplica/storage/segment.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace segment_test {

using namespace storage_test;
using storage::record_header;
using storage::segment_header;

TEST_CASE("a segment's name holds its number, and no other name does") {
    CHECK(storage::segment_name(42) == "wal-0000000000000042");
    CHECK(storage::numbered("wal-0000000000000042", "wal-") == 42u);
    CHECK(storage::numbered("snapshot-0000000000000007", "snapshot-") == 7u);
    for (auto name : {"wal-42", "wal-00000000000000042", "wal-000000000000004x", "wal-0000000000000042.broken", "lost+found", ""})
        CHECK_FALSE(storage::numbered(name, "wal-"));
}

TEST_CASE("a segment header reads back, and one that is cut or has any bit wrong is refused") {
    segment_header const h{owner, 7};
    std::string const bytes = storage::encode(h);
    REQUIRE(bytes.size() == storage::segment_header_size);
    CHECK(storage::decode_segment_header(bytes + "records") == h);
    for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(storage::decode_segment_header(bytes.substr(0, n)));
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string bad = bytes;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        CHECK_FALSE(storage::decode_segment_header(bad));
    }
}

TEST_CASE("a record header reads back, and one that is cut or has any bit wrong is refused") {
    record_header const h{300, 'A', lsn{8}, 0x1122334455667788u, lsn{6}, 0xdeadbeefu};
    CHECK(h.span() == storage::record_header_size + 304);
    std::string bytes;
    storage::encode(h, bytes);
    REQUIRE(bytes.size() == storage::record_header_size);
    CHECK(storage::decode_record_header(bytes) == h);
    for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(storage::decode_record_header(bytes.substr(0, n)));
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string bad = bytes;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        CHECK_FALSE(storage::decode_record_header(bad));
        CHECK(storage::chain_after(bad) != storage::chain_after(bytes));
    }
}

TEST_CASE("a length at the limit is read, and one past it is damage even under a good checksum") {
    for (std::uint32_t more : {0u, 1u}) {
        std::string bytes;
        storage::encode(record_header{storage::max_record_bytes + more, 'A', lsn{1}, 0, lsn{}, 0}, bytes);
        CHECK(storage::decode_record_header(bytes).has_value() == (more == 0));
    }
}

TEST_CASE("zeros are no header of anything, and two nodes' logs begin differently") {
    std::string const zeros(64, '\0');
    CHECK_FALSE(storage::decode_segment_header(zeros));
    CHECK_FALSE(storage::decode_record_header(zeros));
    CHECK(storage::chain_seed(owner) != storage::chain_seed(node_id{owner.low, owner.high}));
}

} // namespace segment_test
