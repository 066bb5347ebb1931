// A pull reader over JSON text that a stranger may have written.
#pragma once

#include <openreplica/types/json_text.hpp>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace openreplica::inline v0 {

/// What the next value is.
enum class json_kind : std::uint8_t { null, boolean, number, string, array, object };

/// An array or object that is being read.
struct json_scope {
    std::uint32_t count = 0; ///< elements or members begun so far
};

/// Reads a JSON text value by value, into the types that the caller expects.
///
/// It never builds a tree, never recurses, and never reads past the end. It accepts RFC 8259 without a byte order
/// mark, and refuses what is no well-formed UTF-8, lone surrogates, numbers out of range, and texts past the limits.
/// It notes whether the text was the canonical spelling (`canonical()`), which arguments must be.
///
/// @par Errors
/// Everything throws `json_error` with a sentence that says where.
class json_reader {
    std::string_view text_;
    std::size_t at_ = 0;
    std::uint32_t depth_ = 0;
    bool canonical_ = true;
    json_limits limits_;

public:
    explicit json_reader(std::string_view text, json_limits limits = {}) : text_(text), limits_(limits) {
        if (text_.starts_with("\xEF\xBB\xBF")) fail("a byte order mark is not allowed");
    }

    [[nodiscard]] std::size_t offset() const { return at_; }
    [[nodiscard]] std::string_view text() const { return text_; }
    /// False once something was read that the writer would have spelled differently: spaces, `1e2`, `\/`.
    [[nodiscard]] bool canonical() const { return canonical_; }
    void mark_not_canonical() { canonical_ = false; }
    [[nodiscard]] json_limits const& limits() const { return limits_; }

    [[noreturn]] void fail(std::string_view what) const {
        throw json_error("JSON at byte " + std::to_string(at_) + ": " + std::string(what));
    }

    [[nodiscard]] json_kind peek() {
        skip_space();
        if (at_ == text_.size()) fail("the text ends where a value is expected");
        switch (text_[at_]) {
        case 'n':
            return json_kind::null;
        case 't':
        case 'f':
            return json_kind::boolean;
        case '"':
            return json_kind::string;
        case '[':
            return json_kind::array;
        case '{':
            return json_kind::object;
        default:
            if (text_[at_] == '-' || is_digit(text_[at_])) return json_kind::number;
            fail("a value is expected here");
        }
    }

    void read_null() {
        expect_kind(json_kind::null, "null is expected");
        expect_word("null");
    }
    [[nodiscard]] bool read_bool() {
        expect_kind(json_kind::boolean, "true or false is expected");
        bool const v = text_[at_] == 't';
        expect_word(v ? "true" : "false");
        return v;
    }

    /// An integer in the range of `I`: no fraction, no exponent, no rounding.
    template <std::integral I>
    [[nodiscard]] I read_integer() {
        expect_kind(json_kind::number, "an integer is expected");
        std::size_t const from = at_;
        bool whole = true;
        std::string_view const token = scan_number(whole);
        I v{};
        auto const [end, failure] = std::from_chars(token.data(), token.data() + token.size(), v);
        if (whole && failure == std::errc{} && end == token.data() + token.size()) {
            if (token == "-0") canonical_ = false;
            return v;
        }
        at_ = from;
        fail(whole ? "the integer does not fit the declared type" : "an integer is expected, not a fraction");
    }

    /// A finite number. An integer is taken as one, but is not its canonical spelling.
    template <std::floating_point F>
    [[nodiscard]] F read_number() {
        expect_kind(json_kind::number, "a number is expected");
        std::size_t const from = at_;
        bool whole = true;
        std::string_view const token = scan_number(whole);
        F v{};
        auto const [end, failure] = std::from_chars(token.data(), token.data() + token.size(), v);
        if (failure != std::errc{} || end != token.data() + token.size()) {
            at_ = from;
            fail("the number does not fit the declared type");
        }
        std::string spelled;
        write_json_number(spelled, v);
        if (spelled != token) canonical_ = false;
        return v;
    }

    /// A string as a view: into the text when nothing in it is escaped, else into `scratch`.
    [[nodiscard]] std::string_view read_string_view(std::string& scratch) {
        expect_kind(json_kind::string, "a string is expected");
        std::size_t const from = ++at_;
        skip_plain();
        if (at_ < text_.size() && text_[at_] == '"') return text_.substr(from, at_++ - from);
        scratch.assign(text_.substr(from, at_ - from));
        for (;;) {
            if (at_ == text_.size()) fail("the text ends inside a string");
            char const c = text_[at_];
            if (c == '"') break;
            if (c != '\\') fail("a control character inside a string must be escaped");
            read_escape(scratch);
            std::size_t const plain = at_;
            skip_plain();
            scratch.append(text_.substr(plain, at_ - plain));
        }
        ++at_;
        return scratch;
    }
    [[nodiscard]] std::string read_string() {
        std::string scratch;
        std::string_view const v = read_string_view(scratch);
        if (v.data() != scratch.data()) scratch.assign(v);
        return scratch;
    }

    /// Use as `for (auto a = r.begin_array(); r.next_element(a);) …` with one value read per turn.
    [[nodiscard]] json_scope begin_array() {
        expect_kind(json_kind::array, "an array is expected");
        enter();
        return {};
    }
    [[nodiscard]] bool next_element(json_scope& scope) { return next(scope, ']'); }

    /// Use as `for (auto o = r.begin_object(); r.next_member(o, key);) …` with one value read per turn. The caller
    /// sees to duplicate keys.
    [[nodiscard]] json_scope begin_object() {
        expect_kind(json_kind::object, "an object is expected");
        enter();
        return {};
    }
    [[nodiscard]] bool next_member(json_scope& scope, std::string& key) {
        if (!next(scope, '}')) return false;
        if (scope.count > limits_.members)
            fail("an object has more than " + std::to_string(limits_.members) + " members");
        skip_space();
        if (at_ == text_.size() || text_[at_] != '"') fail("a member's name is expected");
        std::string scratch;
        key.assign(read_string_view(scratch));
        skip_space();
        if (at_ == text_.size() || text_[at_] != ':') fail("a colon is expected after a member's name");
        ++at_;
        return true;
    }

    /// Reads the next element of a fixed list; `what` is the sentence when there is none.
    void expect_element(json_scope& scope, std::string_view what) {
        if (!next_element(scope)) fail(what);
    }
    /// Reads the end of a fixed list.
    void expect_end_of_array(json_scope& scope, std::string_view what) {
        if (next_element(scope)) fail(what);
    }

    /// Reads and checks a value of any shape without keeping it, duplicate keys included. Returns its text.
    std::string_view skip_value();

    /// Only spaces may follow the value: trailing bytes are an error.
    void expect_end() {
        skip_space();
        if (at_ != text_.size()) fail("unexpected bytes after the value");
    }

private:
    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    void skip_space() {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
            canonical_ = false;
            ++at_;
        }
    }
    void expect_kind(json_kind kind, std::string_view what) {
        if (peek() != kind) fail(what);
    }
    void expect_word(std::string_view word) {
        if (text_.substr(at_, word.size()) != word) fail("a value is expected here");
        at_ += word.size();
    }
    void enter() {
        if (++depth_ > limits_.depth) fail("values are nested deeper than " + std::to_string(limits_.depth));
        ++at_;
    }
    bool next(json_scope& scope, char close) {
        skip_space();
        if (at_ == text_.size()) fail("the text ends inside an array or object");
        if (text_[at_] == close) {
            ++at_;
            --depth_;
            return false;
        }
        if (scope.count > 0) {
            if (text_[at_] != ',') fail("a comma is expected here");
            ++at_;
            skip_space();
            if (at_ < text_.size() && text_[at_] == close) fail("a value is expected after a comma");
        }
        ++scope.count;
        return true;
    }
    /// Moves past a number of RFC 8259; `whole` becomes false when it has a fraction or an exponent.
    std::string_view scan_number(bool& whole) {
        std::size_t const from = at_;
        auto const digits = [this] {
            std::size_t const first = at_;
            while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
            if (at_ == first) fail("a digit is expected in a number");
        };
        if (text_[at_] == '-') ++at_;
        if (at_ < text_.size() && text_[at_] == '0') {
            ++at_;
            if (at_ < text_.size() && is_digit(text_[at_])) fail("a number cannot begin with 0");
        } else {
            digits();
        }
        if (at_ < text_.size() && text_[at_] == '.') {
            whole = false;
            ++at_;
            digits();
        }
        if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
            whole = false;
            ++at_;
            if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
            digits();
        }
        return text_.substr(from, at_ - from);
    }
    /// Moves to the next quote, backslash, control character or the end.
    void skip_plain() {
        while (at_ < text_.size()) {
            auto const c = static_cast<unsigned char>(text_[at_]);
            if (c >= 0x80) {
                std::size_t const n = utf8_sequence(text_.data() + at_, text_.size() - at_);
                if (n == 0) fail("a string is not well-formed UTF-8");
                at_ += n;
            } else if (c < 0x20 || c == '"' || c == '\\') {
                return;
            } else {
                ++at_;
            }
        }
    }
    std::uint32_t read_hex4() {
        std::uint32_t v = 0;
        if (text_.size() - at_ < 4) fail("\\u needs four hexadecimal digits");
        for (std::size_t i = 0; i < 4; ++i, ++at_) {
            char const c = text_[at_];
            if (is_digit(c))
                v = v << 4 | static_cast<std::uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f')
                v = v << 4 | static_cast<std::uint32_t>(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F')
                v = v << 4 | static_cast<std::uint32_t>(c - 'A' + 10);
            else
                fail("\\u needs four hexadecimal digits");
        }
        return v;
    }
    void read_escape(std::string& out) {
        std::size_t const from = at_;
        if (text_.size() - at_ < 2) fail("the text ends inside a string");
        char const c = text_[at_ + 1];
        at_ += 2;
        switch (c) {
        case '"':
        case '\\':
            out += c;
            return;
        case 'b':
            out += '\b';
            return;
        case 'f':
            out += '\f';
            return;
        case 'n':
            out += '\n';
            return;
        case 'r':
            out += '\r';
            return;
        case 't':
            out += '\t';
            return;
        case '/':
            out += '/';
            canonical_ = false;
            return;
        case 'u':
            break;
        default:
            at_ = from;
            fail("unknown escape in a string");
        }
        std::uint32_t code = read_hex4();
        if (code >= 0xDC00 && code <= 0xDFFF) fail("a low surrogate stands alone");
        if (code >= 0xD800 && code <= 0xDBFF) {
            if (text_.substr(at_, 2) != "\\u") fail("a high surrogate stands alone");
            at_ += 2;
            std::uint32_t const low = read_hex4();
            if (low < 0xDC00 || low > 0xDFFF) fail("a high surrogate stands alone");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        append_utf8(out, code);
        // Only control characters without a short form are written as \u, in lower case.
        std::string spelled;
        std::string raw;
        append_utf8(raw, code);
        write_json_string(spelled, raw);
        if (text_.substr(from, at_ - from) != std::string_view(spelled).substr(1, spelled.size() - 2))
            canonical_ = false;
    }
    static void append_utf8(std::string& out, std::uint32_t code) {
        auto const put = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xC0 | code >> 6);
            put(0x80 | (code & 63));
        } else if (code < 0x10000) {
            put(0xE0 | code >> 12);
            put(0x80 | (code >> 6 & 63));
            put(0x80 | (code & 63));
        } else {
            put(0xF0 | code >> 18);
            put(0x80 | (code >> 12 & 63));
            put(0x80 | (code >> 6 & 63));
            put(0x80 | (code & 63));
        }
    }
};

inline std::string_view json_reader::skip_value() {
    struct level {
        json_scope scope;
        bool is_object;
        std::vector<std::string> keys;
    };
    std::vector<level> open; // Its length is bounded by the depth limit.
    std::string scratch;
    (void)peek();
    std::size_t const from = at_;
    do {
        switch (peek()) {
        case json_kind::null:
            read_null();
            break;
        case json_kind::boolean:
            (void)read_bool();
            break;
        case json_kind::number: {
            std::size_t const start = at_;
            bool whole = true;
            (void)scan_number(whole);
            at_ = start;
            if (!whole)
                (void)read_number<double>();
            else if (text_[at_] == '-')
                (void)read_integer<std::int64_t>();
            else
                (void)read_integer<std::uint64_t>();
            break;
        }
        case json_kind::string:
            (void)read_string_view(scratch);
            break;
        case json_kind::array:
            open.push_back({begin_array(), false, {}});
            break;
        case json_kind::object:
            open.push_back({begin_object(), true, {}});
            break;
        }
        while (!open.empty()) {
            level& top = open.back();
            if (!top.is_object && next_element(top.scope)) break;
            if (top.is_object && next_member(top.scope, scratch)) {
                top.keys.push_back(scratch);
                break;
            }
            std::ranges::sort(top.keys);
            if (std::ranges::adjacent_find(top.keys) != top.keys.end()) fail("an object has two members of one name");
            open.pop_back();
        }
    } while (!open.empty());
    return text_.substr(from, at_ - from);
}

} // namespace openreplica::inline v0
