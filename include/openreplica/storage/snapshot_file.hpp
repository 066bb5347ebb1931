// Snapshots as files.
//
//   snapshot-0000000000000042   magic 8 | header length 4 | header … | crc 4          what it is a snapshot of
//                               { chunk: up to 1 MiB of the state | crc 4 } …
//                               magic 8 | crc of the whole state 4 | crc of these 12 bytes 4
#pragma once

#include <openreplica/paxos/record.hpp>
#include <openreplica/storage/files.hpp>
#include <openreplica/storage/segment.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/wire.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

inline constexpr std::string_view snapshot_magic = "ORSNAP01";
inline constexpr std::string_view snapshot_end_magic = "ORSNAPED";
inline constexpr std::size_t snapshot_chunk_bytes = 1u << 20;
/// After so many bytes of a snapshot the disk is made to take them: other writers never wait behind a gigabyte.
inline constexpr std::size_t snapshot_sync_bytes = 8u << 20;
inline constexpr char const* snapshot_aside = "snapshot.tmp";

[[nodiscard]] inline std::string snapshot_name(slot at) {
    return "snapshot-" + segment_name(at.value).substr(4);
}

namespace detail {

[[nodiscard]] inline std::string encode_snapshot_header(node_id node, paxos::snapshot const& s) {
    std::string body;
    wire_writer b(body);
    b.put(node);
    b.put(s.at);
    b.put(s.behind);
    b.put(s.stamp);
    encode(b, s.governing);
    b.put(static_cast<std::uint64_t>(s.state.size()));
    std::string out(snapshot_magic);
    wire_writer w(out);
    w.put_string(body);
    w.put(crc32c(out));
    return out;
}

[[nodiscard]] inline std::string encode_crc(std::uint32_t crc) {
    std::string out;
    wire_writer(out).put(crc);
    return out;
}

} // namespace detail

/// Reads a whole snapshot file. Nothing when a single bit of it is wrong, or when it belongs to another node.
[[nodiscard]] inline std::optional<paxos::snapshot> decode_snapshot(node_id node, std::string_view file) {
    wire_reader r(file);
    bool const magic = r.get_raw(snapshot_magic.size()) == snapshot_magic;
    wire_reader h(r.get_string());
    std::size_t const header_end = r.offset();
    if (!magic || r.get<std::uint32_t>() != crc32c(file.substr(0, header_end)) || !r.ok()) return std::nullopt;
    paxos::snapshot s;
    bool const own = h.get<node_id>() == node;
    s.at = h.get<slot>();
    s.behind = h.get_ballot();
    s.stamp = h.get<log_time>();
    s.governing = paxos::decode_configuration(h);
    auto left = h.get<std::uint64_t>();
    if (!own || !h.complete() || left > r.remaining()) return std::nullopt;
    std::string state;
    state.reserve(static_cast<std::size_t>(left));
    while (left > 0) {
        std::string_view const chunk = r.get_raw(static_cast<std::size_t>(std::min<std::uint64_t>(left, snapshot_chunk_bytes)));
        if (r.get<std::uint32_t>() != crc32c(chunk) || !r.ok()) return std::nullopt;
        state += chunk;
        left -= chunk.size();
    }
    std::string_view const end = file.substr(r.offset());
    bool const closed = r.get_raw(snapshot_end_magic.size()) == snapshot_end_magic &&
                        r.get<std::uint32_t>() == crc32c(state) && r.get<std::uint32_t>() == crc32c(end.substr(0, 12));
    if (!closed || !r.complete()) return std::nullopt;
    s.state = shared_bytes(std::move(state));
    return s;
}

/// Writes a snapshot so that a crash leaves all of it or none: aside, synced, read back, renamed, directory synced.
[[nodiscard]] inline std::error_code write_snapshot(directory& dir, node_id node, paxos::snapshot const& s) {
    std::string_view const state = s.state.view();
    auto [f, failure] = dir.open(snapshot_aside, directory::mode::fresh);
    std::uint64_t at = 0;
    std::size_t unsynced = 0;
    auto const put = [&, &f = f, &failure = failure](std::vector<std::string_view> const& parts) {
        if (!failure) failure = f->write(at, parts);
        for (std::string_view p : parts) at += p.size(), unsynced += p.size();
        if (failure || unsynced < snapshot_sync_bytes) return;
        failure = f->sync();
        unsynced = 0;
    };
    put({detail::encode_snapshot_header(node, s)});
    for (std::size_t from = 0; from < state.size() && !failure; from += snapshot_chunk_bytes) {
        std::string_view const chunk = state.substr(from, snapshot_chunk_bytes);
        std::string const crc = detail::encode_crc(crc32c(chunk));
        put({chunk, crc});
    }
    std::string end = std::string(snapshot_end_magic) + detail::encode_crc(crc32c(state));
    end += detail::encode_crc(crc32c(end));
    put({end});
    if (!failure) failure = f->sync();
    f.reset();
    std::string back;
    if (!failure) failure = read_all(dir, snapshot_aside, back);
    if (!failure && decode_snapshot(node, back) != s) failure = std::make_error_code(std::errc::io_error);
    if (!failure) failure = dir.rename(snapshot_aside, snapshot_name(s.at));
    if (!failure) failure = dir.sync();
    if (failure) (void)dir.remove(snapshot_aside);
    return failure;
}

} // namespace openreplica::inline v0::storage
