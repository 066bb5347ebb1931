// The types that a constructor's arguments travel as.
#pragma once

#include <openreplica/object/convert_argument.hpp>
#include <openreplica/object/method.hpp>
#include <openreplica/types/json_codec.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0::object {

/// `T` can be constructed from values of these types without a conversion that could lose a value.
template <class T, class... A>
concept brace_constructible = std::constructible_from<T, A...> && (sizeof...(A) == 0 || requires { T{std::declval<A>()...}; });

namespace detail {

/// Stands for a number of any type where one parameter after another is looked at.
struct any_number {
    template <class N>
    requires(json_integer<N> || std::floating_point<N>)
    operator N() const; // NOLINT(google-explicit-constructor)
};

template <class A>
using own_type = std::conditional_t<std::is_convertible_v<A, std::string_view>, std::string, std::remove_cvref_t<A>>;
template <class A>
using own_or_any = std::conditional_t<json_integer<own_type<A>>, any_number, own_type<A>>;

template <class T, std::size_t I, class Candidate, class Positions, class... A>
inline constexpr bool takes = false;
template <class T, std::size_t I, class Candidate, std::size_t... Is, class... A>
inline constexpr bool takes<T, I, Candidate, std::index_sequence<Is...>, A...> =
    brace_constructible<T, std::conditional_t<Is == I, Candidate, own_or_any<A>>...>;

/// The first of these types that the parameter in place `I` takes; `Own` when it takes none.
template <class T, std::size_t I, class Own, class Arguments, class... Candidates>
struct first_taken {
    using type = Own;
};
template <class T, std::size_t I, class Own, class... A, class Candidate, class... More>
struct first_taken<T, I, Own, type_list<A...>, Candidate, More...>
    : std::conditional_t<takes<T, I, Candidate, std::index_sequence_for<A...>, A...>, std::type_identity<Candidate>,
                         first_taken<T, I, Own, type_list<A...>, More...>> {};

/// An integer travels as the widest type that its parameter takes without narrowing.
template <class T, std::size_t I, class Own, class... A>
using travel_type =
    typename std::conditional_t<json_integer<Own>,
                                first_taken<T, I, Own, type_list<A...>, Own, std::uint64_t, std::int64_t, std::uint32_t,
                                            std::int32_t, std::uint16_t, std::int16_t, std::uint8_t, std::int8_t, double, float>,
                                std::type_identity<Own>>::type;

template <class T, class... A, std::size_t... I>
type_list<travel_type<T, I, own_type<A>, A...>...> travel_types(std::index_sequence<I...>);

template <class T, class... A>
struct constructor_arguments {
    using type = decltype(travel_types<T, A...>(std::index_sequence_for<A...>{}));
};
template <class T, class... A>
requires brace_constructible<T, own_type<A>...>
struct constructor_arguments<T, A...> {
    using type = type_list<own_type<A>...>;
};

} // namespace detail

/// A `type_list` of what these arguments travel as: their own types, text as `std::string`; but an integer whose type the
/// constructor does not take without narrowing, as `16` for a `std::size_t`, as one that it takes.
template <class T, class... A>
using constructor_arguments_t = typename detail::constructor_arguments<T, A...>::type;

/// The argument as what it travels as. @throws json_error (`bad_arguments`) for a number that does not fit
template <class B, class A>
[[nodiscard]] B constructor_argument(A&& a) {
    if constexpr (json_integer<std::remove_cvref_t<A>>)
        return convert_argument<B>(a);
    else
        return B(std::forward<A>(a));
}

template <class T, class... A>
concept constructible_from_arguments = []<class... B>(type_list<B...>) {
    return brace_constructible<T, B...> && (has_codec<B> && ...);
}(constructor_arguments_t<T, A...>{});

/// True when `T` can be constructed so; the sentence is said once, instead of what the compiler makes of it.
template <class T, class... A>
consteval bool check_construction() {
    static_assert(constructible_from_arguments<T, A...>,
                  "openreplica: a replicated object of this type cannot be constructed from these arguments; they are "
                  "values with a JSON form, and fit a constructor without narrowing");
    return constructible_from_arguments<T, A...>;
}

} // namespace openreplica::inline v0::object
