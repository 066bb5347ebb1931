// The fixed header in front of every message on a connection.
#pragma once

#include <openreplica/types/hash.hpp>
#include <openreplica/types/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace openreplica::inline v0::net {

/// Version of the frame layout and of the messages in it.
inline constexpr std::uint8_t frame_version = 1;
inline constexpr std::uint32_t frame_magic = 0x3152'524Fu; // "ORR1" in the byte order of the wire
inline constexpr std::size_t frame_header_size = 20;
/// Before the handshake a stranger may send this much, and no more.
inline constexpr std::size_t max_handshake_frame = 64 * 1024;

/// magic u32, version u8, type u8, flags u16 (zero), body length u32, body CRC32C u32, header CRC32C u32.
struct frame_header {
    std::uint8_t type = 0;
    std::uint32_t length = 0;
    std::uint32_t body_checksum = 0;
};

/// Room for a header in front of a body that is about to be written behind it.
inline std::string begin_frame(std::size_t body_size) {
    std::string out;
    out.reserve(frame_header_size + body_size);
    out.resize(frame_header_size);
    return out;
}

/// Fills in the header of a frame whose body is complete.
inline void finish_frame(std::string& frame, std::uint8_t type) {
    std::string_view const body = std::string_view(frame).substr(frame_header_size);
    std::string header;
    wire_writer w(header);
    w.put(frame_magic);
    w.put(frame_version);
    w.put(type);
    w.put(std::uint16_t{0});
    w.put(static_cast<std::uint32_t>(body.size()));
    w.put(crc32c(body));
    w.put(crc32c(header));
    frame.replace(0, frame_header_size, header);
}

/// Reads a header, or says why these bytes are none. Nothing is allocated for a body before this has accepted it.
[[nodiscard]] inline std::variant<frame_header, std::string> read_header(std::string_view bytes, std::size_t max_frame) {
    wire_reader r(bytes.substr(0, frame_header_size));
    auto const magic = r.get<std::uint32_t>();
    auto const version = r.get<std::uint8_t>();
    frame_header h;
    h.type = r.get<std::uint8_t>();
    auto const flags = r.get<std::uint16_t>();
    h.length = r.get<std::uint32_t>();
    h.body_checksum = r.get<std::uint32_t>();
    auto const checksum = r.get<std::uint32_t>();
    if (!r.complete()) return std::string("a header is cut short");
    if (magic != frame_magic) return std::string("the bytes are not OpenReplica's: something else speaks to this port");
    if (checksum != crc32c(bytes.substr(0, frame_header_size - 4))) return std::string("a header's checksum is wrong");
    if (version != frame_version) return "frame version " + std::to_string(version) + " is not spoken here";
    if (flags != 0) return std::string("a header has unknown flags");
    if (h.length > max_frame)
        return "a message of " + std::to_string(h.length) + " bytes exceeds the limit of " + std::to_string(max_frame);
    return h;
}

} // namespace openreplica::inline v0::net
