// The checked conversion of an argument to the parameter type that its method declares.
#pragma once

#include <openreplica/types/json_text.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0 {

namespace detail {

template <class T>
concept arithmetic = std::is_arithmetic_v<T>;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;
template <class A, class B>
inline constexpr bool is_tuple<std::pair<A, B>> = true;

[[noreturn]] inline void refuse_number(std::string const& value, std::string_view why) {
    throw json_error("the argument " + value + " does not fit the declared parameter: " + std::string(why));
}

template <arithmetic To, arithmetic From>
To convert_number(From from) {
    if constexpr (std::same_as<To, From>) {
        return from;
    } else if constexpr (std::same_as<To, bool> || std::same_as<From, bool>) {
        refuse_number(std::to_string(from), "a number is no bool; write the comparison, or 0 and 1");
    } else if constexpr (std::integral<To> && std::integral<From>) {
        auto const to = static_cast<To>(from);
        if (static_cast<From>(to) != from || (to < To{}) != (from < From{}))
            refuse_number(std::to_string(from), "it is outside the type's range");
        return to;
    } else if constexpr (std::integral<To>) {
        // Both bounds are powers of two, so they are exact in every floating-point type.
        From const above = std::ldexp(From{1}, std::numeric_limits<To>::digits);
        From const lowest = std::signed_integral<To> ? -above : From{0};
        if (!(from >= lowest && from < above)) refuse_number(std::to_string(from), "it is outside the type's range");
        if (from != std::trunc(from)) refuse_number(std::to_string(from), "it has a fraction; round it first");
        return static_cast<To>(from);
    } else if constexpr (std::integral<From>) {
        auto const to = static_cast<To>(from);
        if (to >= std::ldexp(To{1}, std::numeric_limits<From>::digits) || static_cast<From>(to) != from)
            refuse_number(std::to_string(from), "it has more digits than the type holds");
        return to;
    } else {
        auto const to = static_cast<To>(from);
        if (std::isfinite(from) && !std::isfinite(to))
            refuse_number(std::to_string(from), "it is outside the type's range");
        return to;
    }
}

template <class To, class From>
To convert_value(From&& from);

template <class To, class From>
inline constexpr bool is_engaged_by = false;
template <class T, class From>
inline constexpr bool is_engaged_by<std::optional<T>, From> = std::convertible_to<From, T>;

template <class To, class From, std::size_t... I>
To convert_tuple(From&& from, std::index_sequence<I...>) {
    return To{convert_value<std::tuple_element_t<I, To>>(std::get<I>(std::forward<From>(from)))...};
}

template <class To, class From>
To convert_value(From&& from) {
    using Source = std::remove_cvref_t<From>;
    if constexpr (std::same_as<To, Source>) {
        return To(std::forward<From>(from));
    } else if constexpr (arithmetic<To> && arithmetic<Source>) {
        return convert_number<To>(from);
    } else if constexpr (is_optional<To> && is_optional<Source>) {
        if (!from) return std::nullopt;
        return convert_value<typename To::value_type>(*std::forward<From>(from));
    } else if constexpr (is_engaged_by<To, From>) {
        return convert_value<typename To::value_type>(std::forward<From>(from));
    } else if constexpr (is_tuple<To> && is_tuple<Source>) {
        return convert_tuple<To>(std::forward<From>(from), std::make_index_sequence<std::tuple_size_v<To>>{});
    } else {
        To to = std::forward<From>(from);
        return to;
    }
}

} // namespace detail

/// The argument as a value of type `To`.
///
/// It converts what C++ converts implicitly, but a number only when its value stays the same: 300 into a `uint8_t`,
/// 1.9 into an `int`, -1 into an unsigned and a bool into a number are errors, also inside an optional, pair or tuple.
/// `double` to `float` rounds.
///
/// @throws json_error (`errc::bad_arguments`)
template <class To, class From>
requires std::convertible_to<From, To>
[[nodiscard]] To convert_argument(From&& from) { return detail::convert_value<To>(std::forward<From>(from)); }

} // namespace openreplica::inline v0
