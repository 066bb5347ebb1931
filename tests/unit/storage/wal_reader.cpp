#include <openreplica/storage/wal_reader.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace wal_reader_test {

using namespace storage_test;

TEST_CASE("the records of several segments come back in order, with their positions") {
    sample_node node = node_with_log(3, 0);
    std::vector<storage::wal_record> written;
    for (std::uint64_t at = 1; at <= 40; ++at) {
        written.push_back(accept(at, at * 250));
        REQUIRE_FALSE(node.write({accept(at, at * 250)}));
    }
    std::vector<storage::wal_record> read;
    lsn last;
    storage::record_visitor const visit = [&](storage::record_header const& h, storage::wal_record&& r) {
        CHECK(h.at == last.next());
        last = h.at;
        if (std::holds_alternative<paxos::accept_record>(r)) read.push_back(std::move(r));
    };
    auto const s = storage::wal_reader(*node.dir, node.found.owner.node, {}, visit).scan();
    CHECK(read == written);
    storage::wal_tail const& tail = node.log->writer().tail();
    CHECK(s.tail.last == tail.last);
    CHECK(s.tail.chain == tail.chain);
    CHECK(s.tail.offset == tail.offset);
    CHECK(s.tail.state == tail.state);
    REQUIRE(s.tail.segments.size() == tail.segments.size());
    CHECK(s.tail.segments.size() > 3);
    for (std::size_t i = 0; i < tail.segments.size(); ++i) CHECK(s.tail.segments[i].highest == tail.segments[i].highest);
    CHECK_FALSE(s.damage);
    CHECK(s.last_bytes.empty());
    CHECK(s.hint < s.tail.last);
}

TEST_CASE("an empty directory is an empty log") {
    sample_node node;
    faulty_directory dir(node.disk);
    auto const s = scan(dir, owner);
    CHECK(s.records == 0);
    CHECK(s.tail.segments.empty());
    CHECK_FALSE(s.damage);
}

TEST_CASE("a file that cannot be read is an error with its name, never the end of the log") {
    sample_node node = node_with_log(3, 5);
    for (auto what : {operation::kind::open, operation::kind::read, operation::kind::size}) {
        node.disk->fault = [&](operation const& o) { return o.what == what ? io_error() : std::error_code{}; };
        auto const s = scan(*node.dir, node.found.owner.node);
        CHECK(s.failure == io_error());
        CHECK(s.failed_file == node.last_segment());
    }
    node.disk->fault = [](operation const& o) {
        return o.what == operation::kind::list ? io_error() : std::error_code{};
    };
    CHECK(scan(*node.dir, node.found.owner.node).failure == io_error());
}

TEST_CASE("segments before the first one that is needed may be there in any part") {
    sample_node node = node_with_log(3, 0);
    for (std::uint64_t at = 1; at <= 5; ++at) REQUIRE_FALSE(node.write({accept(at, 40'000)}));
    node.disk->erase(storage::segment_name(2));
    auto const s = scan(*node.dir, node.found.owner.node, {lsn{}, 3});
    CHECK_FALSE(s.damage);
    CHECK(s.tail.segments.front().number == 3);
    CHECK(row_of(scan(*node.dir, node.found.owner.node, {lsn{}, 1})) == "T11");
}

TEST_CASE("a record of a kind that this version does not know is damage, not the end") {
    sample_node node = node_with_log(3, 1);
    std::string const name = node.last_segment();
    std::string bytes = node.disk->content(name), head;
    auto const& tail = node.log->writer().tail();
    std::string const payload = std::string("future") + storage::payload_end;
    storage::record_header const h{static_cast<std::uint32_t>(payload.size()), 'Z', tail.last.next(), tail.chain, tail.last,
                                   openreplica::crc32c(payload)};
    storage::encode(h, head);
    bytes.replace(static_cast<std::size_t>(tail.offset), head.size() + payload.size(), head + payload);
    node.disk->set_content(name, bytes);
    CHECK(row_of(scan(*node.dir, node.found.owner.node)) == "T10");
}

} // namespace wal_reader_test
