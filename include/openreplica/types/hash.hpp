// Checksums and hashes: CRC32C for bytes at rest and on the wire, a 64-bit hash for names and digests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace openreplica::inline v0 {

namespace detail {

/// Eight tables for the reflected Castagnoli polynomial, so that eight bytes are folded at a time.
consteval std::array<std::array<std::uint32_t, 256>, 8> make_crc32c_tables() {
    std::array<std::array<std::uint32_t, 256>, 8> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
        t[0][i] = c;
    }
    for (std::uint32_t i = 0; i < 256; ++i)
        for (std::size_t k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
    return t;
}

inline constexpr auto crc32c_tables = make_crc32c_tables();

} // namespace detail

namespace detail {

/// Folds `data` into the inverted CRC with table look-ups.
[[nodiscard]] inline std::uint32_t fold_crc32c_by_table(std::uint32_t crc, std::string_view data) {
    auto const& t = crc32c_tables;
    char const* p = data.data();
    std::size_t n = data.size();
    for (; n >= 8; n -= 8, p += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, p, 8);
        word ^= crc;
        crc = t[7][word & 0xff] ^ t[6][(word >> 8) & 0xff] ^ t[5][(word >> 16) & 0xff] ^ t[4][(word >> 24) & 0xff] ^
              t[3][(word >> 32) & 0xff] ^ t[2][(word >> 40) & 0xff] ^ t[1][(word >> 48) & 0xff] ^ t[0][word >> 56];
    }
    for (; n > 0; --n, ++p) crc = t[0][(crc ^ static_cast<unsigned char>(*p)) & 0xff] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
/// The same with the processor's instruction.
[[nodiscard]] __attribute__((target("sse4.2"))) inline std::uint32_t fold_crc32c_by_instruction(std::uint32_t crc,
                                                                                              std::string_view data) {
    char const* p = data.data();
    std::size_t n = data.size();
    std::uint64_t wide = crc;
    for (; n >= 8; n -= 8, p += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = static_cast<std::uint32_t>(wide);
    for (; n > 0; --n, ++p) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*p));
    return crc;
}
#endif

} // namespace detail

/// CRC32C (Castagnoli) of `data`, continued from `seed` (the CRC of what came before; 0 at the start).
[[nodiscard]] inline std::uint32_t crc32c(std::string_view data, std::uint32_t seed = 0) {
#if defined(__x86_64__)
    static bool const has_instruction = __builtin_cpu_supports("sse4.2") != 0;
    if (has_instruction) return ~detail::fold_crc32c_by_instruction(~seed, data);
#endif
    return ~detail::fold_crc32c_by_table(~seed, data);
}

/// Mixes 64 bits so that every input bit reaches every output bit (the finaliser of splitmix64).
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/// A 64-bit hash that is the same on every machine and compiler. Not for adversaries: it names things and finds
/// differences between honest replicas.
[[nodiscard]] constexpr std::uint64_t hash64(std::string_view data, std::uint64_t seed = 0) {
    std::uint64_t h = mix64(seed + 0x9E3779B97F4A7C15u + data.size());
    std::size_t i = 0;
    for (; i + 8 <= data.size(); i += 8) {
        std::uint64_t word = 0;
        for (std::size_t k = 0; k < 8; ++k)
            word |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i + k])) << (8 * k);
        h = mix64(h ^ word) + 0x9E3779B97F4A7C15u;
    }
    std::uint64_t tail = 0;
    for (std::size_t k = 0; i + k < data.size(); ++k)
        tail |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i + k])) << (8 * k);
    return mix64(h ^ tail);
}

} // namespace openreplica::inline v0
