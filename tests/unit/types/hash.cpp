#include <openreplica/types/hash.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace hash_test {

using namespace openreplica;

/// CRC32C as its definition says, one bit at a time: the dumb twin of the tables.
std::uint32_t plain_crc32c(std::string_view data) {
    std::uint32_t crc = ~0u;
    for (char c : data) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
    }
    return ~crc;
}

std::string counting(std::size_t size) {
    std::string s;
    for (std::size_t i = 0; i < size; ++i) s.push_back(static_cast<char>(i * 37 + 11));
    return s;
}

TEST_CASE("crc32c gives the values of RFC 3720, appendix B.4") {
    CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
    CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43u);
    std::string ascending;
    for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
    CHECK(crc32c(ascending) == 0x46DD794Eu);
    CHECK(crc32c(std::string(ascending.rbegin(), ascending.rend())) == 0x113FDB5Cu);
    // An iSCSI SCSI Read (10) command PDU.
    std::string read(48, '\0');
    read[0] = '\x01';
    read[1] = '\xc0';
    read[16] = '\x14';
    read[22] = '\x04';
    read[27] = '\x14';
    read[31] = '\x18';
    read[32] = '\x28';
    read[40] = '\x02';
    CHECK(crc32c(read) == 0xD9963A56u);
}

TEST_CASE("crc32c of nothing is zero and of the nine digits is the catalogue's check value") {
    CHECK(crc32c("") == 0);
    CHECK(crc32c("123456789") == 0xE3069283u);
}

TEST_CASE("crc32c agrees with its definition for every length and every alignment") {
    std::string const text = counting(96);
    for (std::size_t from = 0; from < 9; ++from)
        for (std::size_t size = 0; from + size <= text.size(); ++size) {
            auto const part = std::string_view(text).substr(from, size);
            CHECK(crc32c(part) == plain_crc32c(part));
        }
}

TEST_CASE("crc32c of a text in two parts is the crc32c of the whole") {
    std::string const text = counting(40);
    for (std::size_t cut = 0; cut <= text.size(); ++cut)
        CHECK(crc32c(std::string_view(text).substr(cut), crc32c(std::string_view(text).substr(0, cut))) ==
              crc32c(text));
}

TEST_CASE("crc32c sees every change of one or two bits") {
    std::string const text = counting(20);
    std::uint32_t const right = crc32c(text);
    for (std::size_t a = 0; a < text.size() * 8; ++a)
        for (std::size_t b = a; b < text.size() * 8; ++b) {
            std::string changed = text;
            changed[a / 8] = static_cast<char>(changed[a / 8] ^ (1 << (a % 8)));
            if (b != a) changed[b / 8] = static_cast<char>(changed[b / 8] ^ (1 << (b % 8)));
            if (crc32c(changed) == right) FAIL("bits ", a, " and ", b, " went unseen");
        }
}

TEST_CASE("hash64 never changes: objects in the log are named by it") {
    CHECK(hash64("") == 0x4821'8226'FF3C'D4BFu);
    CHECK(hash64("account") == 0x01C0'1F43'1151'9655u);
    CHECK(hash64("0123456789abcdef!") == 0x785C'ED86'4985'5AE5u);
    CHECK(hash64("account", 1) == 0x27F1'D87D'B57F'1ED5u);
    static_assert(hash64("account") == hash64(std::string_view("account")));
}

TEST_CASE("hash64 tells texts apart by length, by place and by seed") {
    std::set<std::uint64_t> seen;
    std::size_t made = 0;
    // Zeros differ only in their number, and it is the number that padding would hide.
    for (std::size_t size = 0; size < 40; ++size, ++made) seen.insert(hash64(std::string(size, '\0')));
    for (std::size_t at = 0; at < 40; ++at, ++made) {
        std::string s(40, '\0');
        s[at] = 1;
        seen.insert(hash64(s));
    }
    CHECK(seen.size() == made);
    std::set<std::uint64_t> seeded;
    for (std::uint64_t seed = 0; seed < 40; ++seed) seeded.insert(hash64("account", seed));
    CHECK(seeded.size() == 40);
}

TEST_CASE("mix64 is the finaliser of splitmix64: these are that generator's first numbers from seed 0") {
    CHECK(mix64(0x9E37'79B9'7F4A'7C15u) == 0xE220'A839'7B1D'CDAFu);
    CHECK(mix64(0x9E37'79B9'7F4A'7C15u * 2) == 0x6E78'9E6A'A1B9'65F4u);
    CHECK(mix64(0x9E37'79B9'7F4A'7C15u * 3) == 0x06C4'5D18'8009'454Fu);
}

TEST_CASE("mix64 spreads every input bit over the output") {
    for (int bit = 0; bit < 64; ++bit) {
        int changed = 0;
        for (std::uint64_t x = 1; x <= 64; ++x) {
            std::uint64_t difference =
                mix64(x * 0x9E37'79B9'7F4A'7C15u) ^ mix64((x * 0x9E37'79B9'7F4A'7C15u) ^ (std::uint64_t{1} << bit));
            for (; difference != 0; difference &= difference - 1) ++changed;
        }
        // Half of 64 * 64 bits, and a margin of more than ten standard deviations.
        CHECK(changed > 2048 - 350);
        CHECK(changed < 2048 + 350);
    }
}

} // namespace hash_test
