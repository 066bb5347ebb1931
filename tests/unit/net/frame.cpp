#include <openreplica/net/frame.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace frame_test {

using namespace openreplica;
using namespace std::string_view_literals;

constexpr std::size_t limit = 1000;

/// A frame as `begin_frame` and `finish_frame` make it.
std::string frame_of(std::uint8_t type, std::string_view body) {
    std::string f = net::begin_frame(body.size());
    f.append(body);
    net::finish_frame(f, type);
    return f;
}

/// A header with any contents and a checksum that fits them.
std::string header_of(std::uint32_t magic, std::uint8_t version, std::uint8_t type, std::uint16_t flags,
                      std::uint32_t length, std::uint32_t body_checksum = 0) {
    std::string bytes;
    wire_writer w(bytes);
    w.put(magic);
    w.put(version);
    w.put(type);
    w.put(flags);
    w.put(length);
    w.put(body_checksum);
    w.put(crc32c(bytes));
    return bytes;
}

/// Why a header was refused; empty when it was taken.
std::string reason_for(std::string_view bytes, std::size_t max_frame = limit) {
    auto const h = net::read_header(bytes, max_frame);
    auto const* reason = std::get_if<std::string>(&h);
    return reason != nullptr ? *reason : std::string();
}

bool says(std::string const& reason, std::string_view words) { return reason.find(words) != std::string::npos; }

TEST_CASE("a frame is a header of twenty bytes and the body behind it") {
    std::string const f = frame_of(0x2a, "123456789");
    REQUIRE(f.size() == net::frame_header_size + 9);
    CHECK(f.substr(0, 4) == "ORR1");
    CHECK(f.substr(4, 1) == "\1");                  // version
    CHECK(f.substr(5, 1) == "\x2a");                // type
    CHECK(f.substr(6, 2) == "\0\0"sv);              // flags
    CHECK(f.substr(8, 4) == "\x09\0\0\0"sv);        // length
    CHECK(f.substr(12, 4) == "\x83\x92\x06\xe3"sv); // the body's CRC32C, 0xE3069283
    std::string header_checksum;
    wire_writer(header_checksum).put(crc32c(f.substr(0, 16)));
    CHECK(f.substr(16, 4) == header_checksum);
    CHECK(f.substr(20) == "123456789");
}

TEST_CASE("every field of a header comes back as it went, for every type") {
    for (unsigned type = 0; type < 256; ++type) {
        std::string const body(type, static_cast<char>(type));
        auto const h = net::read_header(frame_of(static_cast<std::uint8_t>(type), body), limit);
        REQUIRE(std::holds_alternative<net::frame_header>(h));
        CHECK(std::get<net::frame_header>(h).type == type);
        CHECK(std::get<net::frame_header>(h).length == body.size());
        CHECK(std::get<net::frame_header>(h).body_checksum == crc32c(body));
    }
}

TEST_CASE("what follows a header has no influence on it") {
    std::string const f = frame_of(3, "body");
    CHECK(reason_for(f.substr(0, net::frame_header_size)).empty());
    CHECK(reason_for(f + "anything").empty());
}

TEST_CASE("a frame may have no body, and making it needs no room guessed right") {
    auto const h = net::read_header(frame_of(1, ""), 0);
    REQUIRE(std::holds_alternative<net::frame_header>(h));
    CHECK(std::get<net::frame_header>(h).length == 0);
    std::string grown = net::begin_frame(0);
    grown.append(100, 'x');
    net::finish_frame(grown, 1);
    CHECK(grown == frame_of(1, std::string(100, 'x')));
}

TEST_CASE("a header with any one bit flipped is refused") {
    std::string const good = frame_of(5, "some body").substr(0, net::frame_header_size);
    REQUIRE(reason_for(good).empty());
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        std::string flipped = good;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        CHECK_MESSAGE(!reason_for(flipped).empty(), "bit " << bit);
    }
}

TEST_CASE("a header cut at any byte is refused as cut short") {
    std::string const good = frame_of(5, "");
    for (std::size_t size = 0; size < net::frame_header_size; ++size)
        CHECK(reason_for(std::string(good.data(), size)) == "a header is cut short");
}

TEST_CASE("a body of exactly the limit is taken and one byte more is not") {
    for (std::size_t max_frame : {std::size_t{0}, std::size_t{1}, limit, net::max_handshake_frame}) {
        auto const length = static_cast<std::uint32_t>(max_frame);
        CHECK(reason_for(header_of(net::frame_magic, 1, 1, 0, length), max_frame).empty());
        std::string const reason = reason_for(header_of(net::frame_magic, 1, 1, 0, length + 1), max_frame);
        CHECK(reason ==
              "a message of " + std::to_string(length + 1) + " bytes exceeds the limit of " + std::to_string(length));
    }
    CHECK(says(reason_for(header_of(net::frame_magic, 1, 1, 0, 0xffff'ffff)), "4294967295 bytes"));
    CHECK(reason_for(header_of(net::frame_magic, 1, 1, 0, 0xffff'ffff), 0xffff'ffff).empty());
}

TEST_CASE("a header of another protocol is told from one that was damaged on its way") {
    CHECK(says(reason_for("GET / HTTP/1.1\r\nHost: bank\r\n"), "something else speaks to this port"));
    CHECK(says(reason_for(std::string(20, '\0')), "something else speaks to this port"));
    // A checksum that fits does not make other magic ours.
    CHECK(says(reason_for(header_of(net::frame_magic + 1, 1, 1, 0, 0)), "something else"));
    std::string damaged = frame_of(1, "");
    damaged[19] = static_cast<char>(damaged[19] ^ 1);
    CHECK(reason_for(damaged) == "a header's checksum is wrong");
}

TEST_CASE("a header of another version is refused by its number, whatever else it says") {
    for (unsigned version = 0; version < 256; ++version) {
        std::string const reason = reason_for(header_of(net::frame_magic, static_cast<std::uint8_t>(version), 1, 0, 0));
        if (version == net::frame_version)
            CHECK(reason.empty());
        else
            CHECK(says(reason, "frame version " + std::to_string(version) + " "));
    }
    CHECK(says(reason_for(header_of(net::frame_magic, 2, 1, 7, 0xffff'ffff)), "frame version 2 "));
}

TEST_CASE("a header with any flag is refused, so that a flag can get a meaning later") {
    for (int bit = 0; bit < 16; ++bit)
        CHECK(reason_for(header_of(net::frame_magic, 1, 1, static_cast<std::uint16_t>(1 << bit), 0)) ==
              "a header has unknown flags");
}

} // namespace frame_test
