// One test for each row of the decision table, on the bytes of a real log.
#include <openreplica/storage/damage.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace damage_test {

using namespace storage_test;
using storage::finding;
using storage::verdict;

/// Where each record of a file begins.
std::vector<std::size_t> offsets(std::string const& bytes) {
    std::vector<std::size_t> out;
    for (std::size_t at = storage::segment_header_size;;) {
        auto const h = storage::decode_record_header(std::string_view(bytes).substr(std::min(at, bytes.size())));
        if (!h) return out;
        out.push_back(at);
        at += h->span();
    }
}

/// A log in one segment: two groups that are on disk, and a third one of three records, of many sectors.
struct sample {
    sample_node node = node_with_log(3, 0);
    std::string name;
    std::string before; ///< the last segment without the third group
    std::vector<std::size_t> at;
    std::uint64_t records = 0; ///< of the first two groups, and what came before them

    sample() {
        REQUIRE_FALSE(node.write({accept(1, 700), accept(2, 100)}));
        REQUIRE_FALSE(node.write({accept(3, 800)}));
        name = node.last_segment();
        before = node.disk->content(name);
        records = offsets(before).size();
        REQUIRE_FALSE(node.write({accept(4, 2000), accept(5, 2000), accept(6, 2000)}));
        at = offsets(bytes());
    }
    [[nodiscard]] std::string const& bytes() const { return node.disk->content(name); }
    [[nodiscard]] std::size_t third_group(std::size_t i) const { return at[static_cast<std::size_t>(records) + i]; }
    /// The sector never reached the disk.
    void forget_sector(std::size_t index) {
        std::string const old = before.substr(index * 512, 512);
        node.disk->put_sector(name, index, old);
    }
    void check(std::string const& row, verdict v, std::uint64_t left, storage::log_bounds known = {}) {
        faulty_directory dir(node.disk);
        node_id const self = node.found.owner.node;
        auto const s = scan(dir, self, known);
        CHECK(row_of(s) == row);
        CHECK((s.damage ? s.damage->row->then : verdict::clean) == v);
        CHECK(s.records == left);
        if (s.damage) CHECK(s.damage->text().find("(" + row + ")") != std::string::npos);
    }
};

TEST_CASE("T1: zeros to the end of the segment are a clean end") {
    sample s;
    s.check("", verdict::clean, s.at.size());
    s.node.disk->set_content(s.name, s.before);
    s.check("", verdict::clean, s.records);
}

TEST_CASE("T2: a file that ends inside a record that nobody waited for is torn") {
    sample s;
    for (std::size_t size : {s.third_group(2) - 1, s.third_group(1) + 40, s.third_group(1) + 39, s.third_group(1) + 1}) {
        s.node.disk->truncate(s.name, size);
        s.check("T2", verdict::torn, s.records + 1);
    }
}

TEST_CASE("T3: a header whose sector was never written is torn") {
    sample s;
    s.forget_sector(s.third_group(0) / 512); // The sectors behind it hold the rest of its payload, and no whole record.
    for (std::size_t i = s.third_group(1) / 512; i * 512 < s.bytes().size(); ++i) s.node.disk->zero_sector(s.name, i);
    s.check("T3", verdict::torn, s.records);
}

TEST_CASE("T3: a header that crosses into a sector that was never written is torn") {
    // Such a place for a record is found by trying sizes of the one before it.
    for (std::size_t size = 400; size < 1000; size += 8) {
        sample_node node = node_with_log(3, 0);
        REQUIRE_FALSE(node.write({accept(1, size), accept(2, 100)}));
        std::string const name = node.last_segment();
        std::size_t const last = offsets(node.disk->content(name)).back();
        if (last % 512 < 480) continue;
        node.disk->zero_sector(name, last / 512 + 1);
        faulty_directory dir(node.disk);
        auto const s = scan(dir, node.found.owner.node);
        CHECK(row_of(s) == "T3");
        CHECK(s.damage->row->then == verdict::torn);
        CHECK(s.damage->offset == last);
        return;
    }
    FAIL("no such place");
}

TEST_CASE("T4: a payload with a sector that was never written is torn") {
    sample s;
    std::size_t const middle = s.third_group(2) / 512 + 2;
    s.forget_sector(middle);
    s.check("T4", verdict::torn, s.records + 2);
}

TEST_CASE("R20, T5: a bad record of which every sector was written is damage, also at the very end") {
    for (std::size_t byte : {0u, 4u, 12u, 38u, 40u, 1000u}) {
        sample s;
        s.node.disk->flip_bit(s.name, (s.third_group(2) + byte) * 8 + 1);
        s.check("T5", verdict::damaged, s.records + 2);
    }
    sample s; // A segment header is on disk before the segment has its name.
    s.node.disk->zero_sector(s.name, 0);
    s.check("T5", verdict::damaged, 0);
}

TEST_CASE("T6: a bad record at a position that was on disk once is damage, whatever it looks like") {
    sample s;
    std::size_t const first = s.third_group(0);
    s.node.disk->truncate(s.name, first + 100);
    s.check("T2", verdict::torn, s.records);
    s.check("T6", verdict::damaged, s.records, {lsn{s.records + 1}, 0});
    s.check("T2", verdict::torn, s.records, {lsn{s.records}, 0});
}

TEST_CASE("R20, T7: a bad record before one that was written when it was on disk already is damage, zero sectors or not") {
    sample s;
    std::size_t const third_entry = s.at[static_cast<std::size_t>(s.records) - 1];
    SUBCASE("a flipped bit") { s.node.disk->flip_bit(s.name, (third_entry + 100) * 8); }
    SUBCASE("a sector of zeros") { s.node.disk->zero_sector(s.name, third_entry / 512 + 1); }
    s.check("T7", verdict::damaged, s.records - 1);
}

TEST_CASE("T8: a sector that was never written before others of the same write is torn") {
    sample s;
    s.forget_sector(s.third_group(0) / 512 + 1);
    s.check("T8", verdict::torn, s.records);
    sample t; // The same without a zero sector is no torn write.
    t.node.disk->flip_bit(t.name, (t.third_group(0) + 600) * 8);
    t.check("T5", verdict::damaged, t.records);
}

TEST_CASE("T9: a bad record in a segment that others follow is damage, even with a sector of zeros") {
    sample s;
    REQUIRE_FALSE(s.node.write({accept(7, 100'000)}));
    REQUIRE(s.node.last_segment() != s.name);
    s.forget_sector(s.third_group(2) / 512 + 2);
    s.check("T9", verdict::damaged, s.records + 2);
}

TEST_CASE("T10: whole records that belong elsewhere are damage") {
    sample s;
    SUBCASE("a record in another one's place") {
        std::string bytes = s.bytes();
        std::string const copy = bytes.substr(s.third_group(0), s.third_group(1) - s.third_group(0));
        bytes.replace(s.third_group(1), copy.size(), copy);
        s.node.disk->set_content(s.name, bytes);
        s.check("T10", verdict::damaged, s.records + 1);
    }
    SUBCASE("the segment of another node") {
        sample other;
        std::string bytes = other.bytes();
        bytes.replace(0, storage::segment_header_size, storage::encode(storage::segment_header{owner, 1}));
        s.node.disk->set_content(s.name, bytes);
        s.check("T10", verdict::damaged, 0);
    }
    SUBCASE("an older segment under a newer one's name") {
        REQUIRE_FALSE(s.node.write({accept(7, 100'000)}));
        s.node.disk->set_content(s.node.last_segment(), s.bytes());
        s.check("T10", verdict::damaged, s.at.size());
    }
    SUBCASE("a log that lost its end, and goes on in the next segment") {
        REQUIRE_FALSE(s.node.write({accept(7, 100'000)}));
        s.node.disk->set_content(s.name, s.before);
        s.check("T10", verdict::damaged, s.records);
    }
}

TEST_CASE("T11: a log that ends before a position that was on disk once has lost data") {
    sample s;
    SUBCASE("the position is known from the meta files") {
        s.check("T11", verdict::damaged, s.at.size(), {lsn{s.at.size() + 1}, 0});
        s.check("", verdict::clean, s.at.size(), {lsn{s.at.size()}, 0});
    }
    SUBCASE("a segment is missing in the middle, or at the beginning") {
        REQUIRE_FALSE(s.node.write({accept(7, 100'000)}));
        REQUIRE_FALSE(s.node.write({accept(8, 100'000)}));
        s.node.disk->erase(storage::segment_name(2));
        s.check("T11", verdict::damaged, s.at.size());
        s.node.disk->erase(storage::segment_name(1));
        s.check("T11", verdict::damaged, 0, {lsn{}, 1});
        s.check("", verdict::clean, 2, {lsn{}, 3});
    }
    SUBCASE("all segments are missing") {
        s.node.disk->erase(s.name);
        s.check("T11", verdict::damaged, 0, {lsn{}, 1});
    }
}

TEST_CASE("T12 and T13: bad meta files, and a bad snapshot that the log cannot replace, are damage") {
    sample_node node = node_with_log(3, 6);
    SUBCASE("both meta files") {
        for (char const* name : storage::meta_names) node.disk->flip_bit(name, 200);
        node.start();
        CHECK(node.found.warnings.at(0).find("(T12)") != std::string::npos);
    }
    SUBCASE("the newest snapshot") {
        REQUIRE_FALSE(node.log->write(snapshot_at(50)));
        REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(node.log->log_reach())));
        node.disk->flip_bit(storage::snapshot_name(slot{50}), 5000);
        node.start();
        CHECK(node.found.warnings.at(0).find("(T13)") != std::string::npos);
    }
    CHECK(node.found.owner.only_joins);
}

TEST_CASE("the table decides every finding, and no finding with acknowledged or foreign data ends as torn or clean") {
    for (unsigned bits = 0; bits < 128; ++bits) {
        for (auto behind : {finding::later::none, finding::later::same_group, finding::later::later_group}) {
            auto const bit = [&](unsigned i) { return (bits >> i & 1) != 0; };
            finding const f{bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), behind};
            verdict const v = storage::judge(f).then;
            if (f.acknowledged) CHECK(v == verdict::damaged);
            if (f.zeros) continue;
            CHECK(v != verdict::clean);
            if (f.foreign || !f.last_segment || behind == finding::later::later_group) CHECK(v == verdict::damaged);
            if (!f.zero_sector && !f.cut) CHECK(v == verdict::damaged);
        }
    }
}

} // namespace damage_test
