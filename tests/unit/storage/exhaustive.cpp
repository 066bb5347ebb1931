// Every small damage to the files of a node: each byte cut, each bit flipped, each sector zeroed, swapped or stale, each
// record dropped or doubled, each subset of the sectors of a write that was under way.
//
// What no node can see by itself is the loss of everything from some point on: a log without its end is a log that was
// shorter. Only a position in the meta files, or another node, tells the two apart. So a log may come back shorter than
// it was
//   - when its file was cut, and when the last records were dropped;
//   - when sectors of the last group became zeros, or went back to what they held before that group, whatever lies behind
//     the log's end: that is how a group looks that was under way when the power went.
// Everything else must end as damage, and nothing may ever come back that was not written in its place.
#include "sample_log.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

namespace exhaustive_test {

using namespace storage_test;
using storage::verdict;

constexpr std::size_t sector = storage::sector_size;

/// Files that can be read and listed, without the cost of the simulated disk.
class image_directory final : public storage::directory {
    class image_file final : public storage::file {
        std::string const& bytes_;

    public:
        explicit image_file(std::string const& bytes) : bytes_(bytes) {}
        std::error_code write(std::uint64_t, std::vector<std::string_view> const&) override { return io_error(); }
        std::error_code read(std::uint64_t at, std::size_t n, std::string& out) override {
            out.append(bytes_, static_cast<std::size_t>(at), n);
            return {};
        }
        std::error_code sync() override { return io_error(); }
        std::error_code size(std::uint64_t& out) override {
            out = bytes_.size();
            return {};
        }
    };

public:
    std::map<std::string, std::string> files;

    std::pair<std::unique_ptr<storage::file>, std::error_code> open(std::string const& name, mode) override {
        auto const it = files.find(name);
        if (it == files.end()) return {std::unique_ptr<storage::file>{}, io_error()};
        return {std::make_unique<image_file>(it->second), std::error_code{}};
    }
    std::error_code list(std::vector<std::string>& names) override {
        for (auto const& [name, bytes] : files) names.push_back(name);
        return {};
    }
    std::error_code rename(std::string const&, std::string const&) override { return io_error(); }
    std::error_code remove(std::string const&) override { return io_error(); }
    std::error_code sync() override { return io_error(); }
    std::string where() const override { return "image"; }
};

/// A log in one segment, as the last of its groups left it.
struct sample {
    std::string bytes;
    std::string before_last;        ///< without the last group
    std::vector<std::string> after; ///< the segment after each group
    std::vector<std::size_t> begins; ///< of each record; one more for the end
    std::size_t last_group = 0;      ///< number of the first record of the last group
    node_id self;

    [[nodiscard]] std::size_t records() const { return begins.size() - 1; }
    /// The record that this byte belongs to; padding counts to the record before it.
    [[nodiscard]] std::size_t record_at(std::size_t byte) const {
        auto const it = std::upper_bound(begins.begin(), begins.end(), byte);
        return it == begins.begin() ? 0 : static_cast<std::size_t>(it - begins.begin()) - 1;
    }
    /// Bytes that fill a record up to a multiple of eight: nobody reads them.
    [[nodiscard]] bool is_padding(std::size_t byte) const {
        if (byte < storage::segment_header_size || byte >= begins.back()) return false;
        std::size_t const begin = begins[record_at(byte)];
        auto const h = storage::decode_record_header(std::string_view(bytes).substr(begin));
        return byte >= begin + storage::record_header_size + h->length;
    }
};

paxos::record record_of(std::uint64_t i, std::uint64_t seed, std::size_t most, std::uint64_t& at) {
    if (i % 13 == 5) return paxos::promise_record{ballot_of(i)};
    if (i % 17 == 7) return paxos::chosen_record{slot{at}, ballot{1, 0, node_id{0, 1}}};
    return accept(++at, (i * 131 + seed * 71) % most, i);
}

/// Groups of one to five records until the segment holds `size` bytes; the last group reaches over `last` bytes.
sample make(std::size_t size, std::uint64_t seed, std::size_t most, std::size_t last = 0) {
    sample_node node;
    node.segment_bytes = 128 * 1024;
    node.start();
    std::string const name = node.last_segment();
    sample s;
    s.self = node.found.owner.node;
    std::uint64_t at = 0, i = 0;
    auto const end = [&] { return static_cast<std::size_t>(node.log->writer().tail().offset); };
    auto const commit = [&](std::vector<paxos::record> const& group) {
        std::string now = node.disk->content(name).substr(0, end());
        s.after.push_back(now);
        s.before_last = std::move(now);
        s.last_group = static_cast<std::size_t>(node.log->writer().tail().last.value);
        if (node.write(group)) throw std::runtime_error("the disk failed");
    };
    while (end() < size) {
        std::vector<paxos::record> group;
        for (std::uint64_t k = 0; k <= (i + seed) % 5; ++k, ++i) group.push_back(record_of(i, seed, most, at));
        commit(group);
    }
    if (last > 0) {
        std::vector<paxos::record> group;
        for (std::size_t have = 0; have < last; ++i) {
            group.push_back(record_of(i, seed, 1400, at));
            auto const* a = std::get_if<paxos::accept_record>(&group.back());
            have += storage::record_header_size + 40 + (a ? a->what.what.body.size() : 0);
        }
        commit(group);
    }
    // Some zeros of the prepared segment stay, so that there is something behind the last record.
    s.bytes = node.disk->content(name).substr(0, (end() / sector + 3) * sector);
    for (auto* old : {&s.before_last}) old->resize(s.bytes.size());
    for (std::string& old : s.after) old.resize(s.bytes.size());
    for (std::size_t byte = storage::segment_header_size; byte < end();) {
        s.begins.push_back(byte);
        byte += storage::decode_record_header(std::string_view(s.bytes).substr(byte))->span();
    }
    s.begins.push_back(end());
    return s;
}

/// What the reader made of a log, and whether all it took was written there.
struct answer {
    verdict then = verdict::clean;
    std::string row;
    std::size_t records = 0;
    bool faithful = true;
};

/// Reads logs that are a damaged form of one sample.
class judge {
    sample const& sample_;
    image_directory dir_;
    std::vector<std::uint64_t> chains_; ///< of each record, by its header
    std::size_t seen_ = 0;
    bool faithful_ = true;
    storage::record_visitor visit_;

public:
    explicit judge(sample const& s) : sample_(s) {
        for (std::size_t i = 0; i < s.records(); ++i)
            chains_.push_back(storage::decode_record_header(std::string_view(s.bytes).substr(s.begins[i]))->chain);
        visit_ = [this](storage::record_header const& h, storage::wal_record&&) {
            // The chain is a hash over everything before, and the header holds the checksum of the payload.
            faithful_ = faithful_ && seen_ < chains_.size() && h.chain == chains_[seen_] && h.at.value == seen_ + 1;
            ++seen_;
        };
    }
    [[nodiscard]] std::string& bytes() { return dir_.files["wal-0000000000000001"]; }
    [[nodiscard]] answer read() {
        seen_ = 0;
        faithful_ = true;
        auto const s = storage::wal_reader(dir_, sample_.self, {}, visit_).scan();
        answer a;
        a.row = row_of(s);
        if (s.damage) a.then = s.damage->row->then;
        a.records = seen_;
        a.faithful = faithful_ && !s.failure && s.records == seen_;
        return a;
    }
    [[nodiscard]] answer read(std::string const& damaged) {
        bytes() = damaged;
        return read();
    }
};

/// Counts what went wrong, so that half a million checks cost one assertion.
class tally {
    std::size_t wrong_ = 0;
    std::string first_;

public:
    std::map<std::string, std::size_t> rows;

    void expect(bool holds, answer const& a, std::string_view what, std::size_t where) {
        ++rows[a.row];
        if (holds && a.faithful) return;
        if (wrong_++ > 0) return;
        first_ = std::string(what) + " at " + std::to_string(where) + ": row " + a.row + ", " + std::to_string(a.records) +
                 " records" + (a.faithful ? "" : ", not those that were written");
    }
    ~tally() {
        INFO(first_);
        CHECK(wrong_ == 0);
    }
};

/// Thirty-two logs of 2 KiB, 64 KiB together, of many sizes of records.
std::vector<sample> const& small_logs() {
    static std::vector<sample> const logs = [] {
        std::vector<sample> out;
        for (std::uint64_t seed = 0; seed < 32; ++seed) out.push_back(make(2048, seed, seed % 2 == 0 ? 150 : 700));
        return out;
    }();
    return logs;
}
/// One log of 64 KiB, for damage whose number does not grow with its bits.
sample const& large_log() {
    static sample const s = make(61 * 1024, 3, 1100);
    return s;
}

TEST_CASE("cut at every byte: what is left is a prefix, torn only inside a record") {
    tally t;
    for (sample const& s : small_logs()) {
        judge j(s);
        for (std::size_t n = 0; n < s.bytes.size(); ++n) {
            j.bytes().assign(s.bytes, 0, n);
            answer const a = j.read();
            if (n < storage::segment_header_size) {
                t.expect(a.row == "T5" && a.records == 0, a, "cut", n);
                continue;
            }
            std::size_t const whole = n >= s.begins.back() ? s.records() : s.record_at(n);
            bool const inside = n > s.begins[whole] && n < s.begins.back();
            t.expect(a.row == (inside ? "T2" : "") && a.records == whole, a, "cut", n);
        }
    }
    CHECK(t.rows["T2"] > 60'000);
}

TEST_CASE("R21: every bit flipped: damage at the record that it lies in, or in bytes that nobody reads") {
    tally t;
    std::size_t bits = 0;
    for (sample const& s : small_logs()) {
        judge j(s);
        j.bytes() = s.bytes;
        for (std::size_t byte = 0; byte < s.begins.back(); ++byte) {
            std::size_t const r = s.record_at(byte);
            std::string_view const rest = std::string_view(s.bytes).substr(s.begins[r]);
            auto const h = storage::decode_record_header(rest);
            std::size_t const inside = byte < storage::segment_header_size ? 0 : byte - s.begins[r];
            bool const padding = s.is_padding(byte);
            char& c = j.bytes()[byte];
            // The reader judges one bit of each byte. That the checksums see the other seven is enough, because all that
            // the reader asks of a bad record is the same for them.
            c = static_cast<char>(c ^ (1 << (byte % 8)));
            answer const a = j.read();
            ++bits;
            if (byte < storage::segment_header_size)
                t.expect(a.row == "T5" && a.records == 0, a, "bit", byte);
            else if (padding)
                t.expect(a.row.empty() && a.records == s.records(), a, "bit of padding", byte);
            else
                t.expect(a.row == (r < s.last_group ? "T7" : "T5") && a.records == r, a, "bit", byte);
            c = s.bytes[byte];
            if (padding) continue;
            for (std::size_t bit = 0; bit < 8; ++bit, ++bits) {
                c = static_cast<char>(s.bytes[byte] ^ (1 << bit));
                std::string_view const bad = std::string_view(j.bytes()).substr(s.begins[r]);
                bool const seen =
                    byte < storage::segment_header_size ? !storage::decode_segment_header(j.bytes())
                    : inside < storage::record_header_size
                        ? !storage::decode_record_header(bad)
                        : openreplica::crc32c(bad.substr(storage::record_header_size, h->length)) != h->payload_crc;
                t.expect(seen, {}, "bit", byte * 8 + bit);
            }
            c = s.bytes[byte];
        }
    }
    CHECK(bits > 500'000);
}

/// What a log with some other sectors must be read as: whole, or damage, unless all of the difference lies in the last
/// group and every sector that differs is as it was before that group.
void expect_sectors(tally& t, sample const& s, answer const& a, std::size_t first_difference, bool as_before,
                    std::string_view what, std::size_t where) {
    if (first_difference >= s.begins.back()) return t.expect(a.row.empty() && a.records == s.records(), a, what, where);
    std::size_t const r = s.record_at(first_difference) + (s.is_padding(first_difference) ? 1 : 0);
    bool const harmless = a.row.empty() && a.records == s.records(); // Only padding differs.
    bool const unseen = as_before && a.then != verdict::damaged && a.records >= s.last_group;
    t.expect(harmless || ((a.then == verdict::damaged || unseen) && a.records <= r), a, what, where);
}

std::size_t difference(std::string const& a, std::string const& b) {
    std::size_t i = 0;
    while (i < a.size() && a.compare(i, sector, b, i, sector) == 0) i += sector;
    while (i < a.size() && a[i] == b[i]) ++i;
    return std::min(i, a.size());
}
/// Every sector of the log that differs from the sample is as it was before the last group.
bool is_as_before(sample const& s, std::string const& damaged, std::size_t from) {
    for (std::size_t i = from / sector * sector; i < s.begins.back(); i += sector) {
        std::string_view const now = std::string_view(damaged).substr(i, sector);
        if (now != std::string_view(s.bytes).substr(i, sector) && now != std::string_view(s.before_last).substr(i, sector))
            return false;
    }
    return true;
}

TEST_CASE("every sector zeroed, and every two sectors exchanged") {
    sample const& s = large_log();
    REQUIRE(s.records() > 100);
    REQUIRE(s.bytes.size() > 60 * 1024);
    tally t;
    judge j(s);
    std::size_t const sectors = s.bytes.size() / sector;
    auto const check = [&](std::string_view what, std::size_t where) {
        std::size_t const from = difference(s.bytes, j.bytes());
        bool const as_before = from < s.bytes.size() && is_as_before(s, j.bytes(), from);
        expect_sectors(t, s, j.read(), from, as_before, what, where);
    };
    for (std::size_t i = 0; i < sectors; ++i) {
        j.bytes() = s.bytes;
        j.bytes().replace(i * sector, sector, sector, '\0');
        check("zeros", i);
    }
    for (std::size_t a = 0; a < sectors; ++a) {
        for (std::size_t b = a + 1; b < sectors; ++b) {
            j.bytes() = s.bytes;
            j.bytes().replace(a * sector, sector, s.bytes, b * sector, sector);
            j.bytes().replace(b * sector, sector, s.bytes, a * sector, sector);
            check("exchanged", a * 1000 + b);
        }
    }
    CHECK(t.rows["T7"] > 100);
    CHECK(t.rows["T5"] > 0);
}

TEST_CASE("every sector as it was after each earlier group") {
    tally t;
    for (sample const& s : small_logs()) {
        judge j(s);
        for (std::string const& old : s.after) {
            for (std::size_t i = 0; i < s.bytes.size(); i += sector) {
                j.bytes() = s.bytes;
                j.bytes().replace(i, sector, old, i, sector);
                std::size_t const from = difference(s.bytes, j.bytes());
                if (from == s.bytes.size()) continue;
                expect_sectors(t, s, j.read(), from, is_as_before(s, j.bytes(), from), "stale", i);
            }
        }
    }
    CHECK(t.rows["T7"] > 50);
}

TEST_CASE("each record dropped, and each one doubled") {
    sample const& s = large_log();
    tally t;
    judge j(s);
    for (std::size_t r = 0; r < s.records(); ++r) {
        std::size_t const at = s.begins[r], size = s.begins[r + 1] - at;
        std::string damaged = s.bytes;
        answer a = j.read(damaged.erase(at, size));
        // A log without its last record is a shorter log.
        t.expect(a.row == (r + 1 < s.records() ? "T10" : "") && a.records == r, a, "dropped", r);
        damaged = s.bytes;
        a = j.read(damaged.insert(at, s.bytes, at, size));
        t.expect(a.row == "T10" && a.records == r + 1, a, "doubled", r);
    }
}

TEST_CASE("every subset of the last twelve sectors of a group that was under way: torn, never damage, nothing older lost") {
    for (std::uint64_t seed : {1u, 2u, 3u}) {
        sample const s = make(700, seed, 300, 11 * sector);
        std::size_t const first = (s.begins[s.last_group] / sector), end = (s.begins.back() + sector - 1) / sector;
        REQUIRE(end - first >= 12);
        tally t;
        judge j(s);
        for (std::size_t subset = 0; subset < 4096; ++subset) {
            j.bytes() = s.bytes;
            bool whole = true;
            for (std::size_t k = 0; k < 12; ++k) {
                if ((subset >> k & 1) != 0) continue;
                std::size_t const at = (end - 12 + k) * sector;
                whole = whole && s.bytes.compare(at, sector, s.before_last, at, sector) == 0;
                j.bytes().replace(at, sector, s.before_last, at, sector);
            }
            answer const a = j.read();
            t.expect(a.then != verdict::damaged && a.records >= s.last_group && (!whole || a.records == s.records()), a,
                     "subset", subset);
        }
        CHECK(t.rows["T8"] > 0);
        CHECK(t.rows["T4"] > 0);
    }
}

TEST_CASE("every byte cut, every bit and every sector of a snapshot: refused") {
    sample_node node = node_with_log(3, 0);
    REQUIRE_FALSE(node.log->write(snapshot_at(9, 6000)));
    std::string const whole = node.disk->content(storage::snapshot_name(slot{9}));
    node_id const self = node.found.owner.node;
    auto const refused = [&](std::string const& s) { return !storage::decode_snapshot(self, s); };
    std::size_t accepted = 0;
    for (std::size_t n = 0; n < whole.size(); ++n) accepted += !refused(whole.substr(0, n));
    std::string bad = whole;
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        bad[bit / 8] = static_cast<char>(whole[bit / 8] ^ (1 << (bit % 8)));
        accepted += !refused(bad);
        bad[bit / 8] = whole[bit / 8];
    }
    for (std::size_t a = 0; a < whole.size(); a += sector) {
        accepted += !refused(std::string(whole).replace(a, sector, std::string(std::min(sector, whole.size() - a), '\0')));
        for (std::size_t b = a + sector; b + sector <= whole.size(); b += sector) {
            bad = whole;
            bad.replace(a, sector, whole, b, sector);
            bad.replace(b, sector, whole, a, sector);
            accepted += !refused(bad);
        }
    }
    CHECK(accepted == 0);
}

TEST_CASE("every byte cut and every bit of the id and of a meta file: the same answer, or none") {
    storage::identity const id{owner, true, true};
    storage::meta const m{7, owner, ballot_of(3), slot{40}, 5, lsn{99}, 3};
    std::string const id_bytes = storage::encode(id), meta_bytes = storage::encode(m);
    std::size_t wrong = 0, none = 0;
    auto const check_id = [&](std::string const& s) {
        auto const got = storage::decode_identity(s);
        wrong += got && *got != id;
        none += !got;
    };
    auto const check_meta = [&](std::string const& s) {
        auto const got = storage::decode_meta(s, owner);
        wrong += got && *got != m;
        none += !got;
    };
    for (std::size_t n = 0; n <= id_bytes.size(); ++n) check_id(id_bytes.substr(0, n));
    CHECK(none == sector); // One whole copy is enough.
    for (std::size_t bit = 0; bit < id_bytes.size() * 8; ++bit) {
        std::string bad = id_bytes;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        check_id(bad);
    }
    CHECK(none == sector);
    for (std::size_t n = 0; n < meta_bytes.size(); ++n) check_meta(meta_bytes.substr(0, n));
    CHECK(none == 2 * sector);
    std::size_t const used = meta_bytes.find_last_not_of('\0') + 1;
    for (std::size_t bit = 0; bit < meta_bytes.size() * 8; ++bit) {
        std::string bad = meta_bytes;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        check_meta(bad);
    }
    CHECK(none == 2 * sector + used * 8);
    CHECK(wrong == 0);
}

TEST_CASE("a second recovery gives the answer of the first, for every sector of every file zeroed") {
    sample_node node = node_with_log(3, 20);
    REQUIRE_FALSE(node.log->write(snapshot_at(7)));
    REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(slot{})));
    auto const image = node.disk->image();
    std::set<std::string> answers;
    for (auto const& [name, bytes] : image) {
        std::size_t const used = bytes.find_last_not_of('\0') + 1;
        for (std::size_t i = 0; i * sector < used; ++i) {
            CAPTURE(name);
            CAPTURE(i);
            sample_node n;
            n.ids = counting_ids(100);
            n.disk->restore(image);
            n.disk->zero_sector(name, i);
            n.start();
            auto const first = n.found;
            n.disk->crash(survivors::none, {});
            n.start();
            CHECK(n.found.owner == first.owner);
            CHECK(same(n.found.state, first.state));
            answers.insert(first.owner.only_joins ? "another" : first.warnings.empty() ? "the same" : "the same, warned");
            if (!first.owner.only_joins) CHECK(first.state.base.at.value + first.state.entries.size() >= 18);
        }
    }
    CHECK(answers.size() == 3);
}

} // namespace exhaustive_test
