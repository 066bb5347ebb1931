// Whose directory this is, and what a node must find again in it.
#pragma once

#include <openreplica/storage/files.hpp>
#include <openreplica/storage/segment.hpp>
#include <openreplica/types/ballot.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/wire.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace openreplica::inline v0::storage {

/// A fixed block of bytes with its own magic and checksum, one sector long, so that a disk writes all or nothing of it.
namespace sealed {

[[nodiscard]] inline std::string seal(std::string_view magic, std::string_view body) {
    std::string out(magic);
    wire_writer w(out);
    w.put_string(body);
    w.put(crc32c(out));
    out.resize(sector_size, '\0');
    return out;
}

/// The body, or nothing when the block is not whole.
[[nodiscard]] inline std::optional<std::string_view> open(std::string_view magic, std::string_view block) {
    wire_reader r(block.substr(0, sector_size));
    if (r.get_raw(magic.size()) != magic) return std::nullopt;
    std::string_view const body = r.get_string();
    std::size_t const end = r.offset();
    auto const crc = r.get<std::uint32_t>();
    if (!r.ok() || crc != crc32c(block.substr(0, end))) return std::nullopt;
    return body;
}

} // namespace sealed

/// The `id` file: who the node is. Written when the directory is made, twice into one file, and never changed while the
/// id lives.
struct identity {
    node_id node;
    bool ready = false;     ///< false while the directory is being made: whatever else is in it is not this id's
    bool only_joins = false; ///< it replaced an id whose data were damaged: it never founds a group
    bool operator==(identity const&) const = default;
};

inline constexpr std::string_view identity_magic = "ORIDENT1";
inline constexpr char const* identity_name = "id";

[[nodiscard]] inline std::string encode(identity const& i) {
    std::string body;
    wire_writer w(body);
    w.put(i.node);
    w.put(i.ready);
    w.put(i.only_joins);
    std::string const block = sealed::seal(identity_magic, body);
    return block + block;
}

[[nodiscard]] inline std::optional<identity> decode_identity(std::string_view file) {
    for (std::size_t at : {std::size_t{0}, sector_size}) {
        auto const body = file.size() < at + sector_size ? std::nullopt : sealed::open(identity_magic, file.substr(at));
        if (!body) continue;
        wire_reader r(*body);
        identity i;
        i.node = r.get<node_id>();
        i.ready = r.get_bool();
        i.only_joins = r.get_bool();
        if (r.complete() && !i.node.empty()) return i;
    }
    return std::nullopt;
}

/// A `meta` file: what must not be missed if the end of the log, or a snapshot, is gone. Two of them take turns.
struct meta {
    std::uint64_t number = 0;    ///< rises with every write: the higher of the two counts
    node_id node;
    ballot promised;             ///< the promise is at least this
    slot snapshot;               ///< a snapshot of this slot was on disk
    std::uint64_t first_segment = 0; ///< segments below it may be gone
    lsn durable;                 ///< the log reached this position once
    std::uint32_t voters = 0;    ///< how many the group had; 0: no group
    bool operator==(meta const&) const = default;
};

inline constexpr std::string_view meta_magic = "ORMETA01";
inline constexpr char const* meta_names[] = {"meta.a", "meta.b"};

[[nodiscard]] inline std::string encode(meta const& m) {
    std::string body;
    wire_writer w(body);
    w.put(m.number);
    w.put(m.node);
    w.put(m.promised);
    w.put(m.snapshot);
    w.put(m.first_segment);
    w.put(m.durable);
    w.put(m.voters);
    return sealed::seal(meta_magic, body);
}

[[nodiscard]] inline std::optional<meta> decode_meta(std::string_view file, node_id owner) {
    auto const body = file.size() < sector_size ? std::nullopt : sealed::open(meta_magic, file);
    if (!body) return std::nullopt;
    wire_reader r(*body);
    meta m;
    m.number = r.get<std::uint64_t>();
    m.node = r.get<node_id>();
    m.promised = r.get_ballot();
    m.snapshot = r.get<slot>();
    m.first_segment = r.get<std::uint64_t>();
    m.durable = r.get<lsn>();
    m.voters = r.get<std::uint32_t>();
    if (!r.complete() || m.node != owner) return std::nullopt;
    return m;
}

/// The two meta files of a directory.
class meta_files {
    directory& dir_;
    meta last_;

public:
    explicit meta_files(directory& dir) : dir_(dir) {}

    /// The higher valid one; nothing when both are bad.
    [[nodiscard]] std::optional<meta> read(node_id owner) {
        std::optional<meta> best;
        for (char const* name : meta_names) {
            std::string content;
            if (read_all(dir_, name, content)) continue;
            auto const m = decode_meta(content, owner);
            if (m && (!best || m->number > best->number)) best = m;
        }
        if (best) last_ = *best;
        return best;
    }

    /// Writes both, one after the other, so that at every moment one of them is whole; numbers them.
    [[nodiscard]] std::error_code write(meta m) {
        m.number = last_.number;
        for (int i = 0; i < 2; ++i) {
            ++m.number;
            std::string const block = encode(m);
            if (auto failure = write_all(dir_, meta_names[m.number % 2], {block})) return failure;
        }
        last_ = m;
        return {};
    }
    [[nodiscard]] meta const& last() const { return last_; }
};

} // namespace openreplica::inline v0::storage
