// The JSON bodies of commands, from typed arguments, and typed results from outcomes.
#pragma once

#include <openreplica/object/convert_argument.hpp>
#include <openreplica/object/describe.hpp>
#include <openreplica/object/type_entry.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/json_codec.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0::object {

/// The longest name of an object, in bytes. A format constant.
inline constexpr std::size_t max_name_bytes = 256;

/// How an object is named in commands.
[[nodiscard]] constexpr object_id object_id_of(std::string_view name) { return object_id{hash64(name)}; }

/// True when the arguments can be converted to the method's parameters, in number and type.
template <class Method, class... A>
inline constexpr bool accepts = []<class... P>(type_list<P...>) {
    if constexpr (sizeof...(P) != sizeof...(A))
        return false;
    else
        return (std::convertible_to<A, owned_argument_t<P>> && ...);
}(typename Method::params{});

/// The body of a `call`: `["method",arg…]`, each argument converted to its declared type first.
/// @throws json_error (`bad_arguments`) when an argument does not fit or has no JSON form.
template <class Method, class... A>
requires accepts<Method, A...>
[[nodiscard]] std::string encode_call(A&&... args) {
    std::string out = "[";
    write_json_string(out, Method::name);
    [&]<class... P>(type_list<P...>) {
        ((out += ',',
          codec<owned_argument_t<P>>::write(out, convert_argument<owned_argument_t<P>>(std::forward<A>(args)))),
         ...);
    }(typename Method::params{});
    out += ']';
    return out;
}

/// The type that a constructor argument travels as: its own, text as `std::string`.
template <class A>
using constructor_argument_t =
    std::conditional_t<std::is_convertible_v<A, std::string_view>, std::string, std::remove_cvref_t<A>>;

/// `T` can be constructed from arguments of these types without a conversion that could lose a value.
template <class T, class... A>
concept constructible_from_arguments = std::constructible_from<T, constructor_argument_t<A>...> &&
                                       (has_codec<constructor_argument_t<A>>&&...) &&
                                       (sizeof...(A) == 0 ||
                                        requires { T{std::declval<constructor_argument_t<A>>()...}; });

/// True when `T` can be constructed so; the sentence is said once, instead of what the compiler makes of it.
template <class T, class... A>
consteval bool check_construction() {
    static_assert(constructible_from_arguments<T, A...>,
                  "openreplica: a replicated object of this type cannot be constructed from these arguments; they are "
                  "values with a JSON form, and fit a constructor without narrowing");
    return constructible_from_arguments<T, A...>;
}

/// The body of a `create` or `reset`: `["name","type",arg…]`, where the type names the constructor's arguments too.
/// @throws json_error (`bad_arguments`) for a name that is empty, too long or no UTF-8, or an argument without JSON.
template <class T, class... A>
requires constructible_from_arguments<T, A...>
[[nodiscard]] std::string encode_birth(std::string_view name, A&&... args) {
    if (name.empty() || name.size() > max_name_bytes)
        throw json_error("the name of a replicated object has 1 to " + std::to_string(max_name_bytes) +
                         " bytes; this one has " + std::to_string(name.size()));
    std::string out = "[";
    write_json_string(out, name);
    out += ',';
    write_json_string(out, constructor_name<T, constructor_argument_t<A>...>());
    ((out += ',', codec<constructor_argument_t<A>>::write(out, constructor_argument_t<A>(std::forward<A>(args)))), ...);
    out += ']';
    return out;
}

/// The typed result of a successful outcome; `R` may be void. A result has no member limit: a method made it.
/// @throws json_error when the text holds no `R`.
template <class R>
[[nodiscard]] R decode_result(std::string_view text) {
    if constexpr (!std::is_void_v<R>)
        return from_json_text<R>(text,
                                 {.depth = json_limits{}.depth, .members = std::numeric_limits<std::uint32_t>::max()});
}

} // namespace openreplica::inline v0::object
