// Canonical JSON text, written straight into a string: one spelling per value, so that equal values have equal bytes.
#pragma once

#include <openreplica/error.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace openreplica::inline v0 {

/// A value that cannot become JSON, or a text that does not hold the expected value. Its code is `bad_arguments`.
class json_error : public error {
    std::string sentence_;

public:
    explicit json_error(std::string sentence) : error(errc::bad_arguments, sentence), sentence_(std::move(sentence)) {}
    /// The sentence alone, without the text of the code.
    [[nodiscard]] std::string const& sentence() const { return sentence_; }
};

/// Limits of a text. They influence what apply accepts, so the defaults are part of the format.
struct json_limits {
    std::uint32_t depth = 64;     ///< arrays and objects inside one another
    std::uint32_t members = 1024; ///< of one object
};

/// The length of the well-formed UTF-8 sequence at `p`, of at most `n` bytes; 0 when there is none. Overlong forms,
/// surrogates and code points above U+10FFFF are not well-formed (Unicode 15, table 3-7).
[[nodiscard]] inline std::size_t utf8_sequence(char const* p, std::size_t n) {
    auto const at = [p](std::size_t i) { return static_cast<unsigned char>(p[i]); };
    auto const tail = [&at](std::size_t i) { return (at(i) & 0xC0) == 0x80; };
    if (n == 0) return 0;
    unsigned char const a = at(0);
    if (a < 0x80) return 1;
    if (a < 0xC2 || a > 0xF4) return 0;
    if (a < 0xE0) return n >= 2 && tail(1) ? 2 : 0;
    if (a < 0xF0) {
        if (n < 3 || !tail(1) || !tail(2)) return 0;
        if ((a == 0xE0 && at(1) < 0xA0) || (a == 0xED && at(1) > 0x9F)) return 0;
        return 3;
    }
    if (n < 4 || !tail(1) || !tail(2) || !tail(3)) return 0;
    if ((a == 0xF0 && at(1) < 0x90) || (a == 0xF4 && at(1) > 0x8F)) return 0;
    return 4;
}

/// The text with every byte that belongs to no UTF-8 sequence replaced by `?`, and not longer than `limit` bytes.
[[nodiscard]] inline std::string printable(std::string_view text, std::size_t limit = 1024) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t const n = utf8_sequence(text.data() + i, text.size() - i);
        if (out.size() + (n == 0 ? 1 : n) > limit) break;
        if (n == 0)
            out += '?';
        else
            out.append(text, i, n);
        i += n == 0 ? 1 : n;
    }
    return out;
}

template <std::integral I>
void write_json_integer(std::string& out, I v) {
    char buffer[24];
    auto const end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
    out.append(buffer, end);
}

/// The shortest text that reads back as the same number, with `.0` after a whole one so that it stays a fraction.
/// @throws json_error for NaN and infinity, which JSON does not have.
template <std::floating_point F>
void write_json_number(std::string& out, F v) {
    if (!std::isfinite(v)) throw json_error("NaN and infinity have no JSON form; pass a finite number");
    char buffer[48];
    auto const end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
    std::string_view const text(buffer, static_cast<std::size_t>(end - buffer));
    out += text;
    if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

/// Escapes what must be escaped and nothing else; other characters stay as they are.
/// @throws json_error when the text is not UTF-8.
inline void write_json_string(std::string& out, std::string_view text) {
    constexpr char digits[] = "0123456789abcdef";
    out += '"';
    std::size_t from = 0;
    std::size_t i = 0;
    while (i < text.size()) {
        auto const c = static_cast<unsigned char>(text[i]);
        if (c >= 0x80) {
            std::size_t const n = utf8_sequence(text.data() + i, text.size() - i);
            if (n == 0)
                throw json_error("byte " + std::to_string(i) +
                                 " of a string is not UTF-8; pass text, or openreplica::bytes for other data");
            i += n;
            continue;
        }
        if (c >= 0x20 && c != '"' && c != '\\') {
            ++i;
            continue;
        }
        out.append(text, from, i - from);
        out += '\\';
        switch (c) {
        case '"':
            out += '"';
            break;
        case '\\':
            out += '\\';
            break;
        case '\b':
            out += 'b';
            break;
        case '\f':
            out += 'f';
            break;
        case '\n':
            out += 'n';
            break;
        case '\r':
            out += 'r';
            break;
        case '\t':
            out += 't';
            break;
        default:
            out += "u00";
            out += digits[c >> 4];
            out += digits[c & 15];
        }
        from = ++i;
    }
    out.append(text, from, text.size() - from);
    out += '"';
}

inline constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648 section 4).
inline void write_base64(std::string& out, std::string_view data) {
    auto const byte = [&data](std::size_t i) {
        return i < data.size() ? std::uint32_t{static_cast<unsigned char>(data[i])} : 0u;
    };
    for (std::size_t i = 0; i < data.size(); i += 3) {
        std::uint32_t const group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
        out += base64_alphabet[group >> 18];
        out += base64_alphabet[(group >> 12) & 63];
        out += i + 1 < data.size() ? base64_alphabet[(group >> 6) & 63] : '=';
        out += i + 2 < data.size() ? base64_alphabet[group & 63] : '=';
    }
}

/// @throws json_error for anything but the one canonical spelling.
[[nodiscard]] inline std::string read_base64(std::string_view text) {
    static constexpr auto values = [] {
        std::array<std::uint8_t, 256> t{};
        t.fill(64);
        for (std::size_t i = 0; i < 64; ++i)
            t[static_cast<unsigned char>(base64_alphabet[i])] = static_cast<std::uint8_t>(i);
        return t;
    }();
    auto const bad = [] { return json_error("bytes travel as base64 with padding; this string is not"); };
    if (text.size() % 4 != 0) throw bad();
    std::string out;
    out.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        bool const last = i + 4 == text.size();
        std::size_t const pad = !last || text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            std::uint32_t const v = k < 4 - pad ? values[static_cast<unsigned char>(text[i + k])] : 0u;
            if (v == 64) throw bad();
            group = group << 6 | v;
        }
        if ((pad == 1 && (group & 0xff) != 0) || (pad == 2 && (group & 0xffff) != 0)) throw bad();
        out += static_cast<char>(group >> 16 & 0xff);
        if (pad < 2) out += static_cast<char>(group >> 8 & 0xff);
        if (pad < 1) out += static_cast<char>(group & 0xff);
    }
    return out;
}

} // namespace openreplica::inline v0
