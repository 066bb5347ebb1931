// Strong integers: a slot is not an epoch, and neither is a number.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace openreplica::inline v0 {

/// An integer that does not mix with other integers.
///
/// Comparison, `next()`, `prev()`, adding a count and the distance of two are all that an id or a position needs.
/// The raw number is reached by `.value` where bytes are written, and nowhere else.
template <class Tag, std::unsigned_integral Rep = std::uint64_t>
struct strong {
    using rep = Rep;
    Rep value{};

    constexpr strong() = default;
    constexpr explicit strong(Rep v) : value(v) {}

    constexpr auto operator<=>(strong const&) const = default;

    [[nodiscard]] constexpr strong next() const { return strong{static_cast<Rep>(value + 1)}; }
    /// The position before this one. Zero has none: it stays zero.
    [[nodiscard]] constexpr strong prev() const { return value == 0 ? strong{} : strong{static_cast<Rep>(value - 1)}; }
    [[nodiscard]] constexpr strong plus(Rep n) const { return strong{static_cast<Rep>(value + n)}; }
    /// How many steps lead from `from` to this one; zero when it lies behind.
    [[nodiscard]] constexpr Rep since(strong from) const {
        return value > from.value ? static_cast<Rep>(value - from.value) : Rep{};
    }
};

} // namespace openreplica::inline v0

template <class Tag, class Rep>
struct std::hash<openreplica::strong<Tag, Rep>> {
    std::size_t operator()(openreplica::strong<Tag, Rep> s) const noexcept { return std::hash<Rep>{}(s.value); }
};
