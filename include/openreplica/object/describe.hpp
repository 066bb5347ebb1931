// Where a type's method table comes from, and the type's name on the wire.
#pragma once

#include <openreplica/object/method.hpp>
#include <openreplica/types/json_codec.hpp>

#include <string>
#include <string_view>
#include <type_traits>

namespace openreplica::inline v0 {

/// Describes a type whose source must stay as it is: specialise it with
/// `static constexpr auto methods() { return openreplica::method_table<openreplica::method<"put", lambda>, …>{}; }`.
///
/// An optional `static constexpr std::string_view name` is the type's name on the wire; without it the name is the
/// macro's spelling, or for a standard container its codec's name. A specialisation with only a name renames a type
/// that has its table from a macro. Names and tables are format: two versions of a program that meet must agree.
template <class T>
struct describe {};

namespace object {

template <class T>
concept described = requires {
    describe<T>::methods();
};
template <class T>
concept intrusive = requires {
    T::openreplica_methods();
};
template <class T>
concept described_beside = requires {
    openreplica_description(tag<T>{});
};
template <class T>
concept has_method_table = described<T> || intrusive<T> || described_beside<T>;
template <class T>
concept has_given_name = requires {
    std::string_view(describe<T>::name);
};

template <class T>
consteval auto find_description() {
    if constexpr (described<T>) {
        return tag<describe<T>>{};
    } else if constexpr (intrusive<T>) {
        static_assert(std::is_same_v<typename T::openreplica_described_type, T>,
                      "openreplica: the method table is inherited from a base class; give this class its own "
                      "OPENREPLICA_METHODS and its own JSON conversion, or its snapshots would lose its members");
        return tag<T>{};
    } else if constexpr (described_beside<T>) {
        return tag<decltype(openreplica_description(tag<T>{}))>{};
    } else {
        static_assert(has_method_table<T>,
                      "openreplica: this type has no method table; add OPENREPLICA_METHODS(type, method...) inside it, "
                      "or OPENREPLICA_METHODS_NON_INTRUSIVE(type, method...) beside it, or specialise "
                      "openreplica::describe<type>");
        return tag<describe<T>>{};
    }
}

/// The class that holds the table of `T`, and its `->` proxy if a macro made it.
template <class T>
using description_of = typename decltype(find_description<T>())::type;

template <class T>
consteval auto find_table() {
    if constexpr (!has_method_table<T>) {
        return method_table<>{}; // The missing table was already reported.
    } else if constexpr (described<T>) {
        return describe<T>::methods();
    } else {
        return description_of<T>::openreplica_methods();
    }
}

template <class Method, class List>
struct codable;
template <class Method, class... P>
struct codable<Method, type_list<P...>> {
    static constexpr bool params = (has_codec<owned_argument_t<P>> && ...);
    static constexpr bool result = std::is_void_v<typename Method::result> || has_codec<typename Method::result>;
    static_assert(params, "openreplica: a parameter of this method cannot become JSON; give its type to_json and "
                          "from_json (NLOHMANN_DEFINE_TYPE_INTRUSIVE) or specialise openreplica::codec");
    static_assert(result, "openreplica: the result of this method cannot become JSON; give its type to_json and "
                          "from_json (NLOHMANN_DEFINE_TYPE_INTRUSIVE) or specialise openreplica::codec");
};
template <class Table>
struct check_table;
template <class... M>
struct check_table<method_table<M...>> {
    static constexpr bool ok =
        ((codable<M, typename M::params>::params && codable<M, typename M::params>::result) && ...);
};

/// The method table of `T`. Ill-formed with a sentence when there is none or when a method cannot travel.
template <class T>
struct table_holder {
    using description = description_of<T>;
    using type = decltype(find_table<T>());
    static_assert(check_table<type>::ok, "openreplica: a method's parameters and result must be convertible to JSON");
};
template <class T>
using table_of = typename table_holder<T>::type;

/// The entry of `T`'s table for a pointer to member.
template <class T, auto P>
struct entry_for_pointer {
    static constexpr std::size_t index = index_of_pointer<P, table_of<T>>;
    static_assert(index < table_of<T>::size,
                  "openreplica: this method is not in the type's method table; add it to OPENREPLICA_METHODS(...)");
    using type = entry_at_t<(index < table_of<T>::size ? index : 0), table_of<T>>;
};
/// The entry of `T`'s table for a name.
template <class T, fixed_string Name>
struct entry_for_name {
    static constexpr std::size_t index = index_of_name<Name, table_of<T>>;
    static_assert(index < table_of<T>::size, "openreplica: the type's method table has no method of this name");
    using type = entry_at_t<(index < table_of<T>::size ? index : 0), table_of<T>>;
};

/// True when `T` was described by a macro, so that `->method(…)` works.
template <class T>
inline constexpr bool has_proxy = requires {
    typename description_of<T>::template openreplica_proxy<int>;
};

/// Takes the place of a proxy for a type that has none: an object that holds the caller and no methods.
template <class Caller>
struct empty_proxy {
    Caller openreplica_caller;
};
template <class T, class Caller>
struct proxy_holder {
    using type = empty_proxy<Caller>;
};
template <class T, class Caller>
requires has_proxy<T>
struct proxy_holder<T, Caller> {
    using type = typename description_of<T>::template openreplica_proxy<Caller>;
};
/// An aggregate `{caller}` whose member functions `m(args…)` call `caller.template invoke<&T::m>(args…)`.
template <class T, class Caller>
using proxy_of = typename proxy_holder<T, Caller>::type;

/// The template arguments of a class template of types, as a suffix of its name.
template <class T>
struct template_suffix {
    static constexpr bool known = false;
    static std::string text() { return {}; }
};
template <template <class...> class X, class... A>
struct template_suffix<X<A...>> {
    static constexpr bool known = true;
    static std::string text() {
        std::string out;
        ((out += (out.empty() ? "<" : ","), out += codec<A>::name()), ...);
        return out + ">";
    }
};

template <class T>
consteval bool is_template_instance() {
#if defined(__clang__) || defined(__GNUC__)
    std::string_view text = __PRETTY_FUNCTION__;
    text = text.substr(0, text.find_last_of(']'));
    return text.ends_with('>');
#else
    return false;
#endif
}

/// The type's name on the wire: the same in every program and from every compiler.
template <class T>
[[nodiscard]] std::string type_name() {
    if constexpr (has_given_name<T>) {
        return std::string(std::string_view(describe<T>::name));
    } else if constexpr (requires { description_of<T>::openreplica_type_name(); }) {
        std::string const spelling(description_of<T>::openreplica_type_name());
        if constexpr (template_suffix<T>::known) {
            return spelling.ends_with('>') ? spelling : spelling + template_suffix<T>::text();
        } else {
            static_assert(
                !is_template_instance<T>() || described_beside<T>,
                "openreplica: a class template with arguments that are not types needs a name for each "
                "instance; specialise openreplica::describe<type> with static constexpr std::string_view name");
            return spelling;
        }
    } else {
        static_assert(has_typed_codec<T>, "openreplica: this type needs a name that is the same in every program; add "
                                          "static constexpr std::string_view name to openreplica::describe<type>");
        return codec<T>::name();
    }
}

} // namespace object

} // namespace openreplica::inline v0
