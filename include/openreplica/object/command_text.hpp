// The JSON bodies of commands, from typed arguments, and typed results from outcomes.
#pragma once

#include <openreplica/object/constructor_arguments.hpp>
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

/// The body of a `create` or `reset`: `["name","type",arg…]`, where the type names the constructor's arguments too.
/// @throws json_error (`bad_arguments`) for a name that is empty, too long or no UTF-8, or an argument that does not fit.
template <class T, class... A>
requires constructible_from_arguments<T, A...>
[[nodiscard]] std::string encode_birth(std::string_view name, A&&... args) {
    if (name.empty() || name.size() > max_name_bytes)
        throw json_error("the name of a replicated object has 1 to " + std::to_string(max_name_bytes) +
                         " bytes; this one has " + std::to_string(name.size()));
    std::string out = "[";
    write_json_string(out, name);
    out += ',';
    [&]<class... B>(type_list<B...>) {
        write_json_string(out, constructor_name<T, B...>());
        ((out += ',', codec<B>::write(out, constructor_argument<B>(std::forward<A>(args)))), ...);
    }(constructor_arguments_t<T, A...>{});
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
