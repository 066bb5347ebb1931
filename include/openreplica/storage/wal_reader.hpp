// Reads a write-ahead log from its beginning, and finds out how it ends.
#pragma once

#include <openreplica/storage/damage.hpp>
#include <openreplica/storage/files.hpp>
#include <openreplica/storage/record_codec.hpp>
#include <openreplica/storage/segment.hpp>
#include <openreplica/storage/wal_writer.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

/// Where and how a log stops being readable.
struct damage_report {
    damage_row const* row = nullptr; ///< never null
    std::string file;
    std::uint64_t offset = 0;
    lsn at; ///< the position that should be there

    [[nodiscard]] std::string text() const {
        return file + ", byte " + std::to_string(offset) + ", record " + std::to_string(at.value) + ": " +
               std::string(row->sentence) + " (" + std::string(row->name) + ")";
    }
};

/// A whole log.
struct wal_scan {
    wal_tail tail;                         ///< as of the last valid record
    lsn hint;                              ///< the highest position that a valid record knew to be on disk
    std::uint64_t records = 0;
    std::optional<damage_report> damage;   ///< of a log that does not simply end
    std::error_code failure;               ///< the files could not be read at all
    std::string failed_file;
    std::string last_bytes;                ///< what the last segment holds from `tail.offset` on, if anything but zeros
};

/// What the meta files know of a log.
struct log_bounds {
    lsn durable;                     ///< the log reached this position once
    std::uint64_t first_segment = 0; ///< what is older is not needed, and may be there in part; 0: nobody knows
};

/// Called for every valid record, in order.
using record_visitor = std::function<void(record_header const&, wal_record&&)>;

/// Scans the segments of one directory.
class wal_reader {
    directory& dir_;
    node_id node_;
    log_bounds known_;
    record_visitor const& visit_;
    wal_scan out_;
    std::shared_ptr<std::string const> bytes_;
    std::string name_;

public:
    /// @param visit outlives the reader; may be empty
    wal_reader(directory& dir, node_id node, log_bounds known, record_visitor const& visit)
        : dir_(dir), node_(node), known_(known), visit_(visit) {}

    [[nodiscard]] wal_scan scan() {
        std::vector<std::string> names;
        std::vector<std::uint64_t> numbers;
        if (auto failure = dir_.list(names)) {
            out_.failure = failure;
            out_.failed_file = "the directory";
            return std::move(out_);
        }
        for (std::string const& n : names)
            if (auto const number = numbered(n, "wal-"); number && *number >= known_.first_segment)
                numbers.push_back(*number);
        std::sort(numbers.begin(), numbers.end());
        out_.hint = known_.durable;
        if (known_.first_segment > 0 && (numbers.empty() || numbers.front() > known_.first_segment)) {
            report("T11", segment_name(known_.first_segment), 0);
            return std::move(out_);
        }
        for (std::size_t i = 0; i < numbers.size() && !out_.damage && !out_.failure; ++i) {
            bool const last = i + 1 == numbers.size();
            if (i > 0 && numbers[i] != numbers[i - 1] + 1) {
                report("T11", segment_name(numbers[i - 1] + 1), 0); // A segment is missing.
                break;
            }
            scan_segment(numbers[i], last);
        }
        if (!out_.damage && !out_.failure && out_.tail.last < out_.hint) report("T11", name_, out_.tail.offset);
        return std::move(out_);
    }

private:
    void report(std::string_view row, std::string const& file, std::uint64_t offset) {
        auto const it = std::find_if(std::begin(damage_table), std::end(damage_table),
                                     [&](damage_row const& r) { return r.name == row; });
        out_.damage = damage_report{&*it, file, offset, out_.tail.last.next()};
    }

    void scan_segment(std::uint64_t number, bool last) {
        name_ = segment_name(number);
        std::string content;
        if (auto failure = read_all(dir_, name_, content)) {
            out_.failure = failure;
            out_.failed_file = name_;
            return;
        }
        bytes_ = std::make_shared<std::string const>(std::move(content));
        auto const header = decode_segment_header(*bytes_);
        // A segment gets its name when its header is on disk: whatever is wrong with it now is no torn write.
        if (!header || *header != segment_header{node_, number}) return report(header ? "T10" : "T5", name_, 0);
        bool const first = out_.tail.segments.empty();
        out_.tail.segments.push_back({number, {}});
        std::uint64_t offset = segment_header_size;
        for (bool begins = true;; begins = false) {
            auto const h = record_at(offset, first && begins, begins);
            if (!h) break;
            offset += h->span();
        }
        if (out_.damage) return;
        out_.tail.offset = offset;
        judge_end(offset, last);
    }

    /// Takes the record at `offset` if it is valid and continues the log.
    std::optional<record_header> record_at(std::uint64_t offset, bool first, bool begins) {
        auto const h = whole_record(offset);
        if (!h) return std::nullopt;
        std::string_view const raw = std::string_view(*bytes_).substr(offset, record_header_size);
        bool const fits = first || (h->at == out_.tail.last.next() && h->chain == out_.tail.chain);
        if (!fits || (begins && h->type != 'S')) return std::nullopt;
        auto record = decode_payload(h->type, bytes_, offset + record_header_size, h->length);
        if (!record) return std::nullopt;
        out_.tail.last = h->at;
        out_.tail.chain = chain_after(raw);
        out_.hint = std::max(out_.hint, h->durable_hint);
        ++out_.records;
        note(*record);
        if (visit_) visit_(*h, std::move(*record));
        return h;
    }

    void note(wal_record const& r) {
        if (auto const* s = std::get_if<checkpoint>(&r)) {
            out_.tail.state = *s;
        } else if (auto const* p = std::get_if<paxos::promise_record>(&r)) {
            out_.tail.state.apply(*p);
        } else if (auto const* a = std::get_if<paxos::accept_record>(&r)) {
            out_.tail.state.apply(*a);
            slot& highest = out_.tail.segments.back().highest;
            highest = std::max(highest, a->what.at);
        } else if (auto const* c = std::get_if<paxos::chosen_record>(&r)) {
            out_.tail.state.apply(*c);
        } else {
            out_.tail.state.apply(std::get<paxos::founding_record>(r));
        }
    }

    /// The header of the record at `offset` when all its checksums hold.
    [[nodiscard]] std::optional<record_header> whole_record(std::uint64_t offset) const {
        if (offset >= bytes_->size()) return std::nullopt;
        std::string_view const rest = std::string_view(*bytes_).substr(offset);
        auto const h = decode_record_header(rest);
        if (!h || rest.size() < h->span()) return std::nullopt;
        bool const whole = crc32c(rest.substr(record_header_size, h->length)) == h->payload_crc;
        if (!whole && !OPENREPLICA_MUTANT(wal_skips_checksum)) return std::nullopt;
        return h;
    }

    /// What is at `offset`, where the valid records of this segment end.
    void judge_end(std::uint64_t offset, bool last) {
        std::string_view const rest = std::string_view(*bytes_).substr(std::min<std::size_t>(offset, bytes_->size()));
        finding f;
        f.last_segment = last;
        f.zeros = rest.find_first_not_of('\0') == std::string_view::npos;
        if (!f.zeros) describe(offset, rest, f);
        f.acknowledged = last && out_.tail.last.next() <= out_.hint;
        damage_row const& row = judge(f);
        if (row.then != verdict::clean) out_.damage = damage_report{&row, name_, offset, out_.tail.last.next()};
        if (last && !f.zeros) out_.last_bytes = rest.substr(0, rest.find_last_not_of('\0') + 1);
    }

    void describe(std::uint64_t offset, std::string_view rest, finding& f) {
        auto const header = decode_record_header(rest);
        f.header_ok = header.has_value();
        std::size_t const span = header ? header->span() : record_header_size;
        f.cut = rest.size() < span;
        f.foreign = whole_record(offset).has_value();
        // The padding behind a payload is zero by nature, and so may be the sector that only the padding reaches.
        std::size_t const written = header ? record_header_size + header->length : record_header_size;
        f.zero_sector = has_zero_sector(offset, std::min<std::size_t>(written, rest.size()));
        lsn const here = out_.tail.last.next();
        for (std::size_t at = offset + 8; at + record_header_size <= bytes_->size(); at += 8) {
            if (!may_begin_record(at)) continue;
            auto const h = whole_record(at);
            if (!h || h->at <= here) continue;
            out_.hint = std::max(out_.hint, h->durable_hint);
            bool const knew = h->durable_hint >= here;
            if (knew || f.behind == finding::later::none)
                f.behind = knew ? finding::later::later_group : finding::later::same_group;
        }
    }

    /// A quick look that spares most positions the checksum.
    [[nodiscard]] bool may_begin_record(std::size_t at) const {
        char const* const b = bytes_->data() + at;
        return b[5] == 0 && b[6] == 0 && b[7] == 0 && wal_record_types.find(b[4]) != std::string_view::npos;
    }

    /// Whether a sector that the range reaches holds only zeros, as far as it lies in the file and behind the range's
    /// beginning: in the first sector, what lies before it was written earlier.
    [[nodiscard]] bool has_zero_sector(std::uint64_t offset, std::size_t size) const {
        for (std::uint64_t s = offset / sector_size * sector_size; s < offset + size; s += sector_size) {
            std::uint64_t const from = std::max(s, offset);
            std::string_view const part = std::string_view(*bytes_).substr(from, s + sector_size - from);
            if (!part.empty() && part.find_first_not_of('\0') == std::string_view::npos) return true;
        }
        return false;
    }
};

} // namespace openreplica::inline v0::storage
