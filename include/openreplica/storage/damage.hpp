// A torn tail or corruption? The decision, as a table.
#pragma once

#include <cstdint>
#include <iterator>
#include <string_view>

namespace openreplica::inline v0::storage {

/// What a scan of the log saw where the readable records end. "Here" is the first byte that is no valid record.
struct finding {
    /// Valid records that lie behind the bad one.
    enum class later : std::uint8_t {
        none,
        same_group, ///< only ones that were written before the bad record was known to be on disk
        later_group ///< at least one that was written when the bad record was on disk already
    };
    bool last_segment = true;  ///< no segment follows
    bool zeros = false;        ///< nothing but zeros, or nothing at all, from here to the end of the segment
    bool cut = false;          ///< the file ends inside the record
    bool header_ok = false;    ///< the record's header is whole
    bool zero_sector = false;  ///< a sector of the record was never written: it holds only zeros
    bool foreign = false;      ///< the checksums hold, but it belongs elsewhere: wrong position, chain or owner
    bool acknowledged = false; ///< the position is known to have been on disk once
    later behind = later::none;
};

/// What follows from it.
enum class verdict : std::uint8_t {
    clean,   ///< the log ends here, as it was left
    torn,    ///< a write that was never acknowledged: truncate here and go on
    damaged, ///< acknowledged data may be missing: this node must not vote under its id any more
};

/// One row of the table. `any` fits both.
struct damage_row {
    enum class is : std::uint8_t { no, yes, any };
    std::string_view name;
    std::string_view sentence;
    is last_segment, zeros, cut, header_ok, zero_sector, foreign, acknowledged, same_group, later_group;
    verdict then;

    [[nodiscard]] constexpr bool fits(finding const& f) const {
        auto const one = [](is wanted, bool got) { return wanted == is::any || (wanted == is::yes) == got; };
        return one(last_segment, f.last_segment) && one(zeros, f.zeros) && one(cut, f.cut) && one(header_ok, f.header_ok) &&
               one(zero_sector, f.zero_sector) && one(foreign, f.foreign) && one(acknowledged, f.acknowledged) &&
               one(same_group, f.behind == finding::later::same_group) &&
               one(later_group, f.behind == finding::later::later_group);
    }
};

namespace detail {
inline constexpr auto N = damage_row::is::no;
inline constexpr auto Y = damage_row::is::yes;
inline constexpr auto A = damage_row::is::any;
} // namespace detail

/// The first row that fits decides. The last one fits everything.
///
/// A write that was under way when the power went leaves whole sectors of zeros, because segments are zeroed before
/// use; decay and misdirected writes do not. What was acknowledged is known from the durable hints of later records.
inline constexpr damage_row damage_table[] = {
    // name, sentence, last, zeros, cut, header, zero sector, foreign, acknowledged, same group, later group, verdict
    {"T11", "the log ends before a position that was on disk once", detail::A, detail::Y, detail::A, detail::A, detail::A,
     detail::A, detail::Y, detail::A, detail::A, verdict::damaged},
    {"T1", "zeros to the end of the segment", detail::A, detail::Y, detail::A, detail::A, detail::A, detail::A, detail::N,
     detail::A, detail::A, verdict::clean},
    {"T10", "a record that was written elsewhere or at another time", detail::A, detail::N, detail::A, detail::A, detail::A,
     detail::Y, detail::A, detail::A, detail::A, verdict::damaged},
    {"T7", "a bad record before records that were written later", detail::A, detail::N, detail::A, detail::A, detail::A,
     detail::N, detail::A, detail::A, detail::Y, verdict::damaged},
    {"T6", "a bad record that was on disk once", detail::A, detail::N, detail::A, detail::A, detail::A, detail::N, detail::Y,
     detail::A, detail::A, verdict::damaged},
    {"T9", "a bad record in a segment that others follow", detail::N, detail::N, detail::A, detail::A, detail::A, detail::N,
     detail::N, detail::A, detail::N, verdict::damaged},
    {"T2", "the file ends inside a record", detail::Y, detail::N, detail::Y, detail::A, detail::A, detail::N, detail::N,
     detail::N, detail::N, verdict::torn},
    {"T8", "a sector of a record was never written, others of the same write were", detail::Y, detail::N, detail::A,
     detail::A, detail::Y, detail::N, detail::N, detail::Y, detail::N, verdict::torn},
    {"T3", "a sector of a record's header was never written", detail::Y, detail::N, detail::N, detail::N, detail::Y,
     detail::N, detail::N, detail::N, detail::N, verdict::torn},
    {"T4", "a sector of a record's payload was never written", detail::Y, detail::N, detail::N, detail::Y, detail::Y,
     detail::N, detail::N, detail::N, detail::N, verdict::torn},
    {"T5", "a bad record, every sector of which was written", detail::A, detail::A, detail::A, detail::A, detail::A,
     detail::A, detail::A, detail::A, detail::A, verdict::damaged},
};

[[nodiscard]] constexpr damage_row const& judge(finding const& f) {
    for (damage_row const& row : damage_table)
        if (row.fits(f)) return row;
    return damage_table[std::size(damage_table) - 1];
}

} // namespace openreplica::inline v0::storage
