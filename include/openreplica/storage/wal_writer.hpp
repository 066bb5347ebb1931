// Appends to the write-ahead log, one group at a time.
#pragma once

#include <openreplica/storage/files.hpp>
#include <openreplica/storage/record_codec.hpp>
#include <openreplica/storage/segment.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::storage {

/// One segment of the log, as trimming sees it.
struct segment_info {
    std::uint64_t number = 0;
    slot highest; ///< of the entries in it; 0: none
};

/// Where a log ends, and what it holds: what recovery found, and where the writer goes on.
struct wal_tail {
    std::deque<segment_info> segments; ///< oldest first; the last one is written to
    std::uint64_t offset = 0;          ///< of the next record in the last segment
    lsn last;                          ///< position of the last record
    std::uint64_t chain = 0;           ///< what the next record must carry
    checkpoint state;                  ///< after the last record
};

/// Where the next segment is prepared; it becomes one by being renamed.
inline constexpr char const* spare_name = "spare";
/// The same for a segment that the writer prepares itself, because no spare is ready or the spare is too small.
inline constexpr char const* urgent_name = "segment.tmp";

/// Makes a file of `bytes` zeros that are on disk, so that writing into it later changes no metadata.
[[nodiscard]] inline std::error_code prepare_segment(directory& dir, std::string const& name, std::uint64_t bytes) {
    auto [f, failure] = dir.open(name, directory::mode::fresh);
    std::string const zeros(std::min<std::uint64_t>(bytes, 1u << 20), '\0');
    for (std::uint64_t at = 0; at < bytes && !failure; at += zeros.size())
        failure = f->write(at, {std::string_view(zeros).substr(0, static_cast<std::size_t>(bytes - at))});
    if (!failure) failure = f->sync();
    if (failure && f) (void)dir.remove(name); // A disk that is full gets back what this took.
    return failure;
}

/// The writing end of the log: records are gathered with `add`, and written and synced together by `commit`.
///
/// @par Order
/// A group lies in one segment, and a segment is left only when everything in it is durable. A new segment begins with a
/// checkpoint in the same write as the group that needed the room.
///
/// @par Errors
/// `commit` makes the whole group durable or fails. With "no space" for a write the group stays, and `commit` may be
/// called again. After any other error, and after every failed sync, the writer is poisoned: each further call returns
/// that error, because nobody knows what the disk holds. A record that is too long to be read again poisons it as well,
/// before anything of its group is written.
///
/// @par Thread safety
/// Unsafe. The spare may be prepared on another thread while `has_spare()` is false.
class wal_writer {
    directory& dir_;
    node_id node_;
    std::uint64_t segment_bytes_;
    wal_tail tail_;
    std::unique_ptr<file> current_;
    std::uint64_t capacity_ = 0; ///< size of the current segment
    lsn durable_;
    bool has_spare_ = false;
    std::error_code poison_;
    std::uint64_t spoiled_ = 0; ///< up to here, bytes of a group that found no room may lie in the current segment
    std::vector<paxos::record> group_;
    std::string frames_; ///< scratch: headers and small payloads of a group

public:
    /// Records with bodies up to this size are copied into one buffer; larger bodies are written from where they are.
    static constexpr std::size_t copied_bytes = 4096;

    wal_writer(directory& dir, node_id node, std::uint64_t segment_bytes, wal_tail tail)
        : dir_(dir), node_(node), segment_bytes_(segment_bytes), tail_(std::move(tail)), durable_(tail_.last) {}

    /// Opens the last segment. Call once, before anything else.
    [[nodiscard]] std::error_code open() {
        auto [f, failure] = dir_.open(segment_name(tail_.segments.back().number), directory::mode::existing);
        if (!failure) failure = f->size(capacity_);
        current_ = std::move(f);
        return poison_ = failure;
    }

    void add(paxos::record r) { group_.push_back(std::move(r)); }
    [[nodiscard]] bool has_group() const { return !group_.empty(); }

    /// Writes the group and makes it durable.
    [[nodiscard]] std::error_code commit() {
        if (poison_ || group_.empty()) return poison_;
        for (paxos::record const& r : group_)
            if (payload_bound(r) > max_record_bytes) return poison_ = std::make_error_code(std::errc::message_size);
        std::error_code const failure = tail_.offset + group_size() > capacity_ ? commit_rolling() : commit_here();
        if (failure) {
            if (OPENREPLICA_MUTANT(wal_skips_full_group) && is_full(failure)) return skip_group();
            if (!is_full(failure)) poison_ = failure;
            return failure;
        }
        durable_ = tail_.last;
        group_.clear();
        return {};
    }

    /// The error that ended this writer; zero while it works.
    [[nodiscard]] std::error_code poisoned() const { return poison_; }

    [[nodiscard]] static bool is_full(std::error_code const& e) {
        return e == std::errc::no_space_on_device || e == std::error_code(EDQUOT, std::system_category());
    }

    [[nodiscard]] bool has_spare() const { return has_spare_; }
    void spare_is_ready() { has_spare_ = true; }

    /// The oldest segments that hold nothing but entries up to `upto`: what may be deleted. They are forgotten here; the
    /// caller removes the files once its meta file says where the log begins now.
    [[nodiscard]] std::vector<std::uint64_t> forget(slot upto) {
        std::vector<std::uint64_t> gone;
        while (tail_.segments.size() > 1 && tail_.segments.front().highest <= upto) {
            gone.push_back(tail_.segments.front().number);
            tail_.segments.pop_front();
        }
        return gone;
    }

    [[nodiscard]] wal_tail const& tail() const { return tail_; }
    [[nodiscard]] lsn durable() const { return durable_; }

private:
    [[nodiscard]] static std::size_t payload_bound(paxos::record const& r) {
        if (auto const* a = std::get_if<paxos::accept_record>(&r)) return a->what.what.body.size() + 64;
        return std::holds_alternative<paxos::founding_record>(r) ? 16 * 1024 : 64;
    }
    [[nodiscard]] std::size_t group_size() const {
        std::size_t n = 0;
        for (paxos::record const& r : group_) n += record_header_size + payload_bound(r) + 8;
        return n;
    }

    /// A sync that fails once is never believed again, whatever it says of the disk's room.
    [[nodiscard]] std::error_code sync(file& f) {
        if (OPENREPLICA_MUTANT(wal_reports_before_sync)) return {};
        std::error_code const failure = f.sync();
        return !failure || OPENREPLICA_MUTANT(wal_trusts_failed_sync) ? std::error_code{} : poison(failure);
    }
    [[nodiscard]] std::error_code poison(std::error_code why) {
        return poison_ = is_full(why) ? std::make_error_code(std::errc::io_error) : why;
    }

    [[nodiscard]] std::error_code commit_here() {
        wal_tail next = tail_;
        std::vector<std::string_view> const parts = encode_group(next, false);
        if (auto failure = current_->write(tail_.offset, parts)) {
            spoiled_ = std::max(spoiled_, next.offset);
            return failure;
        }
        if (auto failure = sync(*current_)) return failure;
        spoiled_ = 0; // A group only grows: it covers what an earlier attempt left.
        take(std::move(next));
        return {};
    }

    /// A group that moves on to the next segment must not be found in this one too.
    [[nodiscard]] std::error_code erase_spoiled() {
        if (spoiled_ == 0) return {};
        std::string const zeros(static_cast<std::size_t>(spoiled_ - tail_.offset), '\0');
        if (auto failure = current_->write(tail_.offset, {zeros})) return failure;
        if (auto failure = sync(*current_)) return failure;
        spoiled_ = 0;
        return {};
    }

    /// Begins a new segment with the group. The spare becomes a segment by its name, once its contents are on disk: a
    /// segment that a reader finds has always a whole header and a whole checkpoint.
    [[nodiscard]] std::error_code commit_rolling() {
        if (auto failure = erase_spoiled()) return failure;
        std::uint64_t const overhead = segment_header_size + record_header_size + 32 * 1024 +
                                       tail_.state.abandoned.size() * sizeof(cluster_id);
        std::uint64_t const needed = std::max<std::uint64_t>(segment_bytes_, overhead + group_size());
        bool const spare_fits = has_spare_ && needed == segment_bytes_;
        char const* const name = spare_fits ? spare_name : urgent_name;
        if (!spare_fits)
            if (auto failure = prepare_segment(dir_, urgent_name, needed)) return failure;
        auto [fresh, failure] = dir_.open(name, directory::mode::existing);
        wal_tail next = tail_;
        next.segments.push_back({tail_.segments.back().number + 1, {}});
        next.offset = 0;
        if (!failure) failure = fresh->write(0, encode_group(next, true));
        if (failure) {
            // It is not all zeros any more, and it takes room.
            has_spare_ = has_spare_ && !spare_fits;
            (void)dir_.remove(name);
            return failure;
        }
        failure = sync(*fresh);
        if (!failure) failure = dir_.rename(name, segment_name(next.segments.back().number));
        if (!failure && !OPENREPLICA_MUTANT(wal_names_without_sync)) failure = dir_.sync();
        if (failure) return poison(failure);
        has_spare_ = has_spare_ && !spare_fits;
        current_ = std::move(fresh);
        capacity_ = needed;
        take(std::move(next));
        return {};
    }

    /// Only a mutant gets here: memory is ahead of the disk, and what follows leaves a gap.
    [[nodiscard]] std::error_code skip_group() {
        tail_.last = tail_.last.plus(group_.size());
        durable_ = tail_.last;
        group_.clear();
        return {};
    }

    void take(wal_tail&& next) {
        tail_ = std::move(next);
        for (paxos::record const& r : group_) tail_.state.apply(r);
    }

    /// Encodes the group behind `next`, which moves on to its end. The views point into `frames_` and into the group.
    [[nodiscard]] std::vector<std::string_view> encode_group(wal_tail& next, bool rolls) {
        struct cut {
            std::size_t at;
            std::string_view body;
        };
        frames_.clear();
        std::vector<cut> cuts;
        if (rolls) {
            frames_ += encode(segment_header{node_, next.segments.back().number});
            encode_record('S', tail_.state, {}, next);
        }
        for (paxos::record const& r : group_) {
            char const type = wal_record_types[r.index()];
            std::string_view body;
            if (auto const* a = std::get_if<paxos::accept_record>(&r)) {
                next.segments.back().highest = std::max(next.segments.back().highest, a->what.at);
                if (a->what.what.body.size() > copied_bytes) body = a->what.what.body.view();
            }
            std::visit([&](auto const& record) { encode_record(type, record, body, next); }, r);
            if (!body.empty()) cuts.push_back({body_end_, body});
        }
        next.offset += frames_.size();
        std::vector<std::string_view> parts;
        std::size_t from = 0;
        for (cut const& c : cuts) {
            parts.push_back(std::string_view(frames_).substr(from, c.at - from));
            parts.push_back(c.body);
            next.offset += c.body.size();
            from = c.at;
        }
        parts.push_back(std::string_view(frames_).substr(from));
        return parts;
    }

    /// Appends one framed record to `frames_`, without `body`, which belongs at `body_end_`.
    template <class Record>
    void encode_record(char type, Record const& r, std::string_view body, wal_tail& next) {
        std::size_t const begin = frames_.size();
        frames_.append(record_header_size, '\0');
        std::size_t const payload = frames_.size();
        if (body.empty())
            encode_payload(r, frames_);
        else
            encode_head(r, frames_);
        body_end_ = frames_.size();
        if (!body.empty()) frames_ += payload_end;
        record_header h;
        h.length = static_cast<std::uint32_t>(frames_.size() - payload + body.size());
        h.type = type;
        h.at = next.last.next();
        h.chain = next.chain;
        h.durable_hint = durable_;
        h.payload_crc = crc32c(std::string_view(frames_).substr(payload, body_end_ - payload));
        if (!body.empty()) {
            h.payload_crc = crc32c(body, h.payload_crc);
            h.payload_crc = crc32c(std::string_view(&payload_end, 1), h.payload_crc);
        }
        std::string header;
        encode(h, header);
        frames_.replace(begin, record_header_size, header);
        frames_.append(h.span() - record_header_size - h.length, '\0');
        next.last = h.at;
        next.chain = chain_after(header);
    }

    /// A payload without its body and its end.
    static void encode_head(paxos::accept_record const& r, std::string& out) {
        wire_writer w(out);
        detail::put_head(w, r);
    }
    template <class Record>
    static void encode_head(Record const&, std::string&) {}

    std::size_t body_end_ = 0;
};

} // namespace openreplica::inline v0::storage
