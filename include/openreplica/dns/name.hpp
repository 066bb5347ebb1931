// A domain name: at most 127 labels and 255 bytes, kept the way it travels.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace openreplica::inline v0::dns {

/// An absolute domain name. It is always valid: no label is longer than 63 bytes, the whole is at most 255 bytes.
///
/// Labels may hold any byte. Comparison ignores the case of ASCII letters, as DNS does (RFC 4343); `identical()` does
/// not, which is what the check of a randomised question needs. Names order by their lower-case bytes.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: safe to read.
class name {
    std::string wire_ = std::string(1, '\0'); // length-prefixed labels and the empty root label

public:
    static constexpr std::size_t max_size = 255;
    static constexpr std::size_t max_label = 63;

    /// The root, ".".
    name() = default;

    /// Reads `www.example.org`, with or without the final dot; `\.` and `\DDD` escape a byte.
    ///
    /// Nothing when the text is empty, has an empty or overlong label, or makes a name of more than 255 bytes.
    [[nodiscard]] static std::optional<name> parse(std::string_view text);

    /// Puts one label in front: `example.org` and "www" make `www.example.org`. Nothing when a limit is passed.
    [[nodiscard]] std::optional<name> child(std::string_view label) const {
        if (label.empty() || label.size() > max_label || label.size() + 1 + wire_.size() > max_size)
            return std::nullopt;
        name n;
        n.wire_.assign(1, static_cast<char>(label.size())).append(label).append(wire_);
        return n;
    }
    /// The name without its first label; the root's parent is the root.
    [[nodiscard]] name parent() const {
        name n;
        if (!is_root()) n.wire_ = wire_.substr(first_label().size() + 1);
        return n;
    }
    /// The leftmost label, without its length; empty for the root. It lives as long as this name does unchanged.
    [[nodiscard]] std::string_view first_label() const {
        return std::string_view(wire_).substr(1, static_cast<unsigned char>(wire_.front()));
    }
    [[nodiscard]] bool is_root() const { return wire_.size() == 1; }
    /// The number of labels, the root not counted.
    [[nodiscard]] std::size_t label_count() const {
        std::size_t count = 0;
        for (std::size_t at = 0; wire_[at] != 0; at += 1U + static_cast<unsigned char>(wire_[at])) ++count;
        return count;
    }
    /// True for the name itself and everything below it.
    [[nodiscard]] bool is_within(name const& ancestor) const {
        std::size_t at = 0;
        while (wire_.size() - at > ancestor.wire_.size()) at += 1U + static_cast<unsigned char>(wire_[at]);
        return wire_.size() - at == ancestor.wire_.size() &&
               equal_folded(std::string_view(wire_).substr(at), ancestor.wire_);
    }

    /// The uncompressed wire form, the root label included.
    [[nodiscard]] std::string const& wire() const { return wire_; }
    /// The text form without the final dot, "." for the root; unusual bytes are escaped, so it is safe to log.
    [[nodiscard]] std::string to_string() const;
    /// The wire form with lower-case letters: equal names have equal keys.
    [[nodiscard]] std::string key() const {
        std::string k = wire_;
        for (char& c : k) c = folded(c);
        return k;
    }
    /// Equality that includes the case of letters.
    [[nodiscard]] bool identical(name const& other) const { return wire_ == other.wire_; }
    /// The same name with the case of every letter chosen by `upper`, a callable without arguments that returns a bool.
    template <class Coin>
    [[nodiscard]] name with_random_case(Coin&& upper) const {
        name n = *this;
        for (char& c : n.wire_)
            // Lengths are at most 63, below 'A', so only bytes of labels are letters.
            if (folded(c) >= 'a' && folded(c) <= 'z')
                c = upper() ? static_cast<char>(folded(c) - 'a' + 'A') : folded(c);
        return n;
    }

    friend bool operator==(name const& a, name const& b) { return equal_folded(a.wire_, b.wire_); }
    friend std::weak_ordering operator<=>(name const& a, name const& b) { return a.key() <=> b.key(); }

    /// The lower-case form of an ASCII letter; every other byte unchanged.
    [[nodiscard]] static constexpr char folded(char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }

private:
    friend class name_builder;
    [[nodiscard]] static bool equal_folded(std::string_view a, std::string_view b) {
        if (a.size() != b.size()) return false;
        for (std::size_t i = 0; i < a.size(); ++i)
            if (folded(a[i]) != folded(b[i])) return false;
        return true;
    }
};

/// Collects labels from left to right; refuses what would break a limit.
class name_builder {
    std::string wire_;

public:
    /// False, and nothing is added, when the label is empty, too long, or makes the name too long.
    [[nodiscard]] bool add(std::string_view label) {
        if (label.empty() || label.size() > name::max_label || wire_.size() + label.size() + 2 > name::max_size)
            return false;
        wire_.push_back(static_cast<char>(label.size()));
        wire_.append(label);
        return true;
    }
    [[nodiscard]] name finish() const {
        name n;
        n.wire_ = wire_ + '\0';
        return n;
    }
};

namespace detail {

/// Reads the byte after a backslash: three digits up to 255, or any other byte as itself. Moves `at` past it.
[[nodiscard]] inline std::optional<char> unescape(std::string_view text, std::size_t& at) {
    if (at >= text.size()) return std::nullopt;
    auto const digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
    if (!digit(at)) return text[at++];
    if (!digit(at + 1) || !digit(at + 2)) return std::nullopt;
    int const value = (text[at] - '0') * 100 + (text[at + 1] - '0') * 10 + (text[at + 2] - '0');
    at += 3;
    if (value > 255) return std::nullopt;
    return static_cast<char>(value);
}

} // namespace detail

inline std::optional<name> name::parse(std::string_view text) {
    if (text == ".") return name{};
    if (text.empty()) return std::nullopt;
    name_builder built;
    std::string label;
    bool ended = false; // the text so far ends with the dot that closes a label
    for (std::size_t at = 0; at < text.size();) {
        char c = text[at++];
        ended = c == '.';
        if (ended) {
            if (!built.add(label)) return std::nullopt;
            label.clear();
            continue;
        }
        if (c == '\\') {
            auto const escaped = detail::unescape(text, at);
            if (!escaped) return std::nullopt;
            c = *escaped;
        }
        label.push_back(c);
    }
    if (!ended && !built.add(label)) return std::nullopt;
    return built.finish();
}

inline std::string name::to_string() const {
    if (is_root()) return ".";
    std::string text;
    for (std::size_t at = 0; wire_[at] != 0;) {
        std::size_t const end = at + 1U + static_cast<unsigned char>(wire_[at]);
        if (!text.empty()) text.push_back('.');
        for (++at; at < end; ++at) {
            auto const c = static_cast<unsigned char>(wire_[at]);
            if (c <= 0x20 || c >= 0x7f) {
                text.push_back('\\');
                for (int scale : {100, 10, 1}) text.push_back(static_cast<char>('0' + c / scale % 10));
                continue;
            }
            if (c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' || c == '$')
                text.push_back('\\');
            text.push_back(static_cast<char>(c));
        }
    }
    return text;
}

} // namespace openreplica::inline v0::dns
