// Little-endian integers in byte strings: what frames, envelopes and files are made of.
#pragma once

#include <openreplica/types/ballot.hpp>
#include <openreplica/types/ids.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace openreplica::inline v0 {

/// Appends values to a byte string, little-endian, without padding.
class wire_writer {
    std::string& out_;

public:
    explicit wire_writer(std::string& out) : out_(out) {}

    template <std::unsigned_integral U>
    void put(U v) {
        char raw[sizeof(U)];
        for (std::size_t i = 0; i < sizeof(U); ++i) raw[i] = static_cast<char>((v >> (8 * i)) & 0xff);
        out_.append(raw, sizeof(U));
    }
    template <class Tag, class Rep>
    void put(strong<Tag, Rep> v) {
        put(v.value);
    }
    template <class Tag>
    void put(unique_id<Tag> const& id) {
        put(id.high);
        put(id.low);
    }
    void put(ballot const& b) {
        put(b.round);
        put(b.priority);
        put(b.owner);
    }
    void put(bool v) { put(static_cast<std::uint8_t>(v ? 1 : 0)); }
    /// A 32-bit length, then the bytes.
    void put_string(std::string_view s) {
        put(static_cast<std::uint32_t>(s.size()));
        out_.append(s);
    }
    void put_raw(std::string_view s) { out_.append(s); }
    [[nodiscard]] std::size_t size() const { return out_.size(); }
};

/// Takes values from a byte string that a stranger may have made: it never reads past the end.
///
/// After the first read that did not fit, `ok()` is false and every further read gives zero.
class wire_reader {
    std::string_view in_;
    std::size_t at_ = 0;
    bool ok_ = true;

public:
    explicit wire_reader(std::string_view in) : in_(in) {}

    [[nodiscard]] bool ok() const { return ok_; }
    /// True when every byte was read and every read fitted: trailing bytes are an error, never ignored.
    [[nodiscard]] bool complete() const { return ok_ && at_ == in_.size(); }
    [[nodiscard]] std::size_t offset() const { return at_; }
    [[nodiscard]] std::size_t remaining() const { return in_.size() - at_; }
    /// Marks the input as malformed for a reason that only the caller can see.
    void fail() { ok_ = false; }

    template <std::unsigned_integral U>
    [[nodiscard]] U get() {
        if (!take(sizeof(U))) return 0;
        U v = 0;
        for (std::size_t i = 0; i < sizeof(U); ++i)
            v = static_cast<U>(v | static_cast<U>(static_cast<U>(static_cast<unsigned char>(in_[at_ - sizeof(U) + i]))
                                                  << (8 * i)));
        return v;
    }
    template <class Strong>
        requires requires { typename Strong::rep; }
    [[nodiscard]] Strong get() {
        return Strong{get<typename Strong::rep>()};
    }
    template <class Id>
        requires std::same_as<Id, node_id> || std::same_as<Id, cluster_id>
    [[nodiscard]] Id get() {
        auto high = get<std::uint64_t>();
        return Id{high, get<std::uint64_t>()};
    }
    [[nodiscard]] ballot get_ballot() {
        ballot b;
        b.round = get<std::uint64_t>();
        b.priority = get<std::uint32_t>();
        b.owner = get<node_id>();
        return b;
    }
    [[nodiscard]] bool get_bool() {
        auto v = get<std::uint8_t>();
        if (v > 1) ok_ = false;
        return v == 1;
    }
    /// A 32-bit length, then that many bytes, as a view into the input.
    [[nodiscard]] std::string_view get_string() {
        auto n = get<std::uint32_t>();
        return get_raw(n);
    }
    [[nodiscard]] std::string_view get_raw(std::size_t n) {
        if (!take(n)) return {};
        return in_.substr(at_ - n, n);
    }

private:
    bool take(std::size_t n) {
        if (!ok_ || in_.size() - at_ < n) {
            ok_ = false;
            return false;
        }
        at_ += n;
        return true;
    }
};

} // namespace openreplica::inline v0
