// The bytes of a segment of the write-ahead log: its header, and the frame around each record.
//
//   segment   magic 8 | version 4 | header size 4 | node 16 | number 8 | … zeros … | crc 4          64 bytes
//   record    length 4 | type 1 | zero 3 | lsn 8 | chain 8 | durable hint 8 | payload crc 4 | header crc 4   40 bytes
//             payload, padded with zeros to a multiple of 8
//
// A header has a checksum of its own, so that a length is trusted before it is used. The chain value is a hash of the
// previous record's header: a record that was written elsewhere, or earlier, does not fit. The durable hint is the
// highest position that was known to be on disk when the record was written: what lies at or below it was perhaps
// acknowledged, and is never truncated.
#pragma once

#include <openreplica/storage/record_codec.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace openreplica::inline v0::storage {

inline constexpr std::string_view segment_magic = "ORSEGMNT";
inline constexpr std::uint32_t segment_version = 1;
inline constexpr std::size_t segment_header_size = 64;
inline constexpr std::size_t record_header_size = 40;
/// What a disk writes at once.
inline constexpr std::size_t sector_size = 512;
/// A longer record is refused before it is written, and a longer length is damage.
inline constexpr std::uint32_t max_record_bytes = 1u << 30;

/// `wal-0000000000000001`: sorted by name is sorted by number.
[[nodiscard]] inline std::string segment_name(std::uint64_t number) {
    char text[32];
    std::snprintf(text, sizeof text, "wal-%016llu", static_cast<unsigned long long>(number));
    return text;
}
/// The number in a file's name after `prefix`, when the rest of the name is sixteen digits.
[[nodiscard]] inline std::optional<std::uint64_t> numbered(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix) || name.size() != prefix.size() + 16) return std::nullopt;
    std::uint64_t n = 0;
    for (char c : name.substr(prefix.size())) {
        if (c < '0' || c > '9') return std::nullopt;
        n = n * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return n;
}

struct segment_header {
    node_id node;
    std::uint64_t number = 0;
    bool operator==(segment_header const&) const = default;
};

[[nodiscard]] inline std::string encode(segment_header const& h) {
    std::string out;
    wire_writer w(out);
    w.put_raw(segment_magic);
    w.put(segment_version);
    w.put(static_cast<std::uint32_t>(segment_header_size));
    w.put(h.node);
    w.put(h.number);
    out.resize(segment_header_size - 4, '\0');
    w.put(crc32c(out));
    return out;
}

/// Nothing when the bytes are no segment header of a version that this program knows.
[[nodiscard]] inline std::optional<segment_header> decode_segment_header(std::string_view in) {
    if (in.size() < segment_header_size) return std::nullopt;
    wire_reader r(in.substr(0, segment_header_size));
    bool const known = r.get_raw(segment_magic.size()) == segment_magic && r.get<std::uint32_t>() == segment_version &&
                       r.get<std::uint32_t>() == segment_header_size;
    segment_header h;
    h.node = r.get<node_id>();
    h.number = r.get<std::uint64_t>();
    wire_reader tail(in.substr(segment_header_size - 4, 4));
    if (!known || tail.get<std::uint32_t>() != crc32c(in.substr(0, segment_header_size - 4))) return std::nullopt;
    return h;
}

struct record_header {
    std::uint32_t length = 0; ///< of the payload, bytes
    char type = 0;
    lsn at;
    std::uint64_t chain = 0; ///< of the record before
    lsn durable_hint;
    std::uint32_t payload_crc = 0;
    bool operator==(record_header const&) const = default;

    /// How many bytes the whole record takes.
    [[nodiscard]] std::size_t span() const { return record_header_size + (std::size_t{length} + 7) / 8 * 8; }
};

inline void encode(record_header const& h, std::string& out) {
    std::size_t const begin = out.size();
    wire_writer w(out);
    w.put(h.length);
    w.put(static_cast<std::uint8_t>(h.type));
    out.append(3, '\0');
    w.put(h.at);
    w.put(h.chain);
    w.put(h.durable_hint);
    w.put(h.payload_crc);
    w.put(crc32c(std::string_view(out).substr(begin)));
}

/// Nothing when the header's own checksum does not hold.
[[nodiscard]] inline std::optional<record_header> decode_record_header(std::string_view in) {
    if (in.size() < record_header_size) return std::nullopt;
    wire_reader r(in.substr(0, record_header_size));
    record_header h;
    h.length = r.get<std::uint32_t>();
    h.type = static_cast<char>(r.get<std::uint8_t>());
    bool const zeros = r.get_raw(3) == std::string_view("\0\0\0", 3);
    h.at = r.get<lsn>();
    h.chain = r.get<std::uint64_t>();
    h.durable_hint = r.get<lsn>();
    h.payload_crc = r.get<std::uint32_t>();
    auto const crc = r.get<std::uint32_t>();
    if (crc != crc32c(in.substr(0, record_header_size - 4)) || !zeros || h.length > max_record_bytes) return std::nullopt;
    return h;
}

/// The chain value that the record behind the one with this encoded header must carry.
[[nodiscard]] inline std::uint64_t chain_after(std::string_view encoded_header) {
    return hash64(encoded_header.substr(0, record_header_size));
}
/// The chain value of a log's very first record.
[[nodiscard]] inline std::uint64_t chain_seed(node_id node) { return mix64(node.high ^ mix64(node.low)); }

} // namespace openreplica::inline v0::storage
