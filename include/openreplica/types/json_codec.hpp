// How a value of a C++ type becomes JSON text and back.
#pragma once

#include <openreplica/types/bytes.hpp>
#include <openreplica/types/json_reader.hpp>
#include <openreplica/types/json_text.hpp>
#include <openreplica/types/json_tree.hpp>
#include <openreplica/types/strong.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace openreplica::inline v0 {

/// How `T` becomes canonical JSON text and back. Specialise it for a type whose JSON is not what nlohmann makes of it.
///
/// A specialisation has `static void write(std::string& out, T const&)`, which appends; `static T read(json_reader&)`,
/// which throws `json_error` for a text that holds no `T`; and `static std::string name()`, which is part of the
/// fingerprint of every method that has a `T` and must be the same from every compiler. One value has one text.
///
/// This primary template takes any type with nlohmann's `to_json` and `from_json`. What it reads must be equal to what
/// it would write again, because the conversions inside a generated `from_json` are not checked: 1.9 into an `int`
/// member is refused here.
template <class T>
struct codec {
    using uses_json_tree = void;

    static void write(std::string& out, T const& v) requires json_convertible<T> {
        write_json_tree(out, nlohmann::json(v));
    }
    static T read(json_reader& r) requires json_convertible<T> {
        std::size_t const from = (void(r.peek()), r.offset());
        nlohmann::json const tree = read_json_tree(r);
        T v = json_tree_to<T>(r, tree);
        std::string again;
        write(again, v);
        if (again == r.text().substr(from, r.offset() - from)) return v;
        // Not canonical is the caller's affair; not the same value is ours.
        json_reader second(again);
        if (read_json_tree(second) != tree)
            r.fail("the value changes when it is converted to the declared type; pass every member, in range");
        r.mark_not_canonical();
        return v;
    }
    static std::string name() { return "json"; }
};

/// `T` can be an argument or a result.
template <class T>
concept has_codec = requires(std::string& out, T const& v, json_reader& r) {
    codec<T>::write(out, v);
    { codec<T>::read(r) } -> std::same_as<T>;
    { codec<T>::name() } -> std::convertible_to<std::string>;
};
/// The codec of `T` names it: it is not the general one.
template <class T>
concept has_typed_codec = has_codec<T> && !requires {
    typename codec<T>::uses_json_tree;
};

template <>
struct codec<bool> {
    static void write(std::string& out, bool v) { out += v ? "true" : "false"; }
    static bool read(json_reader& r) { return r.read_bool(); }
    static std::string name() { return "bool"; }
};

/// Integers; `char` is the small integer it is, in -128…127 on every machine. Wide and UTF characters have no codec.
template <class T>
concept json_integer =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
    !std::same_as<T, char16_t> && !std::same_as<T, char32_t> && sizeof(T) <= 8 && !std::is_const_v<T>;

template <json_integer T>
struct codec<T> {
    static void write(std::string& out, T v) {
        if constexpr (std::same_as<T, char>)
            write_json_integer(out, static_cast<signed char>(v));
        else
            write_json_integer(out, v);
    }
    static T read(json_reader& r) {
        if constexpr (std::same_as<T, char>)
            return static_cast<char>(r.read_integer<signed char>());
        else
            return r.read_integer<T>();
    }
    static std::string name() {
        if constexpr (std::same_as<T, char>)
            return "char";
        else
            return (std::signed_integral<T> ? "i" : "u") + std::to_string(sizeof(T) * 8);
    }
};

template <class T>
requires std::same_as<T, float> || std::same_as<T, double>
struct codec<T> {
    static void write(std::string& out, T v) { write_json_number(out, v); }
    static T read(json_reader& r) { return r.read_number<T>(); }
    static std::string name() { return "f" + std::to_string(sizeof(T) * 8); }
};

template <class T>
requires std::is_enum_v<T>
struct codec<T> {
    using underlying = codec<std::underlying_type_t<T>>;
    static void write(std::string& out, T v) { underlying::write(out, static_cast<std::underlying_type_t<T>>(v)); }
    static T read(json_reader& r) { return static_cast<T>(underlying::read(r)); }
    static std::string name() { return "enum<" + underlying::name() + ">"; }
};

template <>
struct codec<std::string> {
    static void write(std::string& out, std::string const& v) { write_json_string(out, v); }
    static std::string read(json_reader& r) { return r.read_string(); }
    static std::string name() { return "string"; }
};

template <>
struct codec<bytes> {
    static void write(std::string& out, bytes const& v) {
        out += '"';
        write_base64(out, v.data);
        out += '"';
    }
    static bytes read(json_reader& r) {
        std::string scratch;
        return {read_base64(r.read_string_view(scratch))};
    }
    static std::string name() { return "bytes"; }
};

/// A strong integer is its number: ids can be arguments and results.
template <class Tag, class Rep>
struct codec<strong<Tag, Rep>> {
    static void write(std::string& out, strong<Tag, Rep> v) { write_json_integer(out, v.value); }
    static strong<Tag, Rep> read(json_reader& r) { return strong<Tag, Rep>(r.read_integer<Rep>()); }
    static std::string name() { return codec<Rep>::name(); }
};

template <class T>
requires has_codec<T>
struct codec<std::optional<T>> {
    static_assert(
        !std::is_same_v<T, std::nullopt_t> && !requires(T t) { t.has_value(); },
        "openreplica: an optional inside an optional has one JSON form for two values");
    static void write(std::string& out, std::optional<T> const& v) {
        if (v)
            codec<T>::write(out, *v);
        else
            out += "null";
    }
    static std::optional<T> read(json_reader& r) {
        if (r.peek() != json_kind::null) return codec<T>::read(r);
        r.read_null();
        return std::nullopt;
    }
    static std::string name() { return "optional<" + codec<T>::name() + ">"; }
};

/// A duration is the count of its units; the units are part of the name.
template <class Rep, class Period>
requires has_codec<Rep>
struct codec<std::chrono::duration<Rep, Period>> {
    using value_type = std::chrono::duration<Rep, Period>;
    static void write(std::string& out, value_type v) { codec<Rep>::write(out, v.count()); }
    static value_type read(json_reader& r) { return value_type(codec<Rep>::read(r)); }
    static std::string name() {
        return "duration<" + codec<Rep>::name() + "," + std::to_string(Period::num) + "/" +
               std::to_string(Period::den) + ">";
    }
};
/// A calendar time is the count of its units since 1970.
template <class Duration>
requires has_codec<Duration>
struct codec<std::chrono::time_point<std::chrono::system_clock, Duration>> {
    using value_type = std::chrono::time_point<std::chrono::system_clock, Duration>;
    static void write(std::string& out, value_type v) { codec<Duration>::write(out, v.time_since_epoch()); }
    static value_type read(json_reader& r) { return value_type(codec<Duration>::read(r)); }
    static std::string name() { return "time<" + codec<Duration>::name() + ">"; }
};

namespace detail {

template <class Range>
void write_json_list(std::string& out, Range const& range) {
    out += '[';
    bool first = true;
    for (auto const& v : range) {
        if (!std::exchange(first, false)) out += ',';
        codec<typename Range::value_type>::write(out, v);
    }
    out += ']';
}

/// `std::vector` and `std::deque`: a list.
template <class List>
struct list_codec {
    using value_type = typename List::value_type;
    static void write(std::string& out, List const& v) { write_json_list(out, v); }
    static List read(json_reader& r) {
        List v;
        for (auto scope = r.begin_array(); r.next_element(scope);) v.push_back(codec<value_type>::read(r));
        return v;
    }
    static std::string name() { return "list<" + codec<value_type>::name() + ">"; }
};

/// Maps with text keys: an object, sorted by key.
template <class Map>
struct object_codec {
    using mapped_type = typename Map::mapped_type;
    static void write_member(std::string& out, bool& first, std::string const& key, mapped_type const& v) {
        if (!std::exchange(first, false)) out += ',';
        write_json_string(out, key);
        out += ':';
        codec<mapped_type>::write(out, v);
    }
    static Map read(json_reader& r) {
        Map v;
        std::string key;
        std::string last;
        for (auto scope = r.begin_object(); r.next_member(scope, key);) {
            if (scope.count > 1 && !(last < key)) r.mark_not_canonical();
            last = key;
            if (!v.emplace(std::move(key), codec<mapped_type>::read(r)).second)
                r.fail("an object has two members of one name");
            key.clear();
        }
        return v;
    }
    static std::string name() { return "map<string," + codec<mapped_type>::name() + ">"; }
};

/// Pairs, tuples and arrays: a list of fixed length.
template <class Tuple>
struct tuple_codec {
    static constexpr std::size_t size = std::tuple_size_v<Tuple>;
    template <std::size_t I>
    using element = std::tuple_element_t<I, Tuple>;

    static void write(std::string& out, Tuple const& v) {
        out += '[';
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            ((out += I == 0 ? "" : ",", codec<element<I>>::write(out, std::get<I>(v))), ...);
        }
        (std::make_index_sequence<size>{});
        out += ']';
    }
    static Tuple read(json_reader& r) {
        constexpr std::string_view wrong_length = "the list does not have the declared length";
        auto scope = r.begin_array();
        // Braces evaluate from left to right, as the elements stand in the text.
        Tuple v = [&]<std::size_t... I>(std::index_sequence<I...>) {
            return Tuple{(r.expect_element(scope, wrong_length), codec<element<I>>::read(r))...};
        }
        (std::make_index_sequence<size>{});
        r.expect_end_of_array(scope, wrong_length);
        return v;
    }
};

template <class Tuple>
struct tuple_has_codecs : std::false_type {};
template <class... T>
struct tuple_has_codecs<std::tuple<T...>> : std::bool_constant<(has_codec<T> && ...)> {};

} // namespace detail

template <class T, class A>
requires has_codec<T>
struct codec<std::vector<T, A>> : detail::list_codec<std::vector<T, A>> {
};
template <class T, class A>
requires has_codec<T>
struct codec<std::deque<T, A>> : detail::list_codec<std::deque<T, A>> {
};

template <class T, class C, class A>
requires has_codec<T>
struct codec<std::set<T, C, A>> {
    static void write(std::string& out, std::set<T, C, A> const& v) { detail::write_json_list(out, v); }
    static std::set<T, C, A> read(json_reader& r) {
        std::set<T, C, A> v;
        for (auto scope = r.begin_array(); r.next_element(scope);) {
            auto const [at, is_new] = v.insert(codec<T>::read(r));
            if (!is_new) r.fail("a set holds an element twice");
            if (std::next(at) != v.end()) r.mark_not_canonical();
        }
        return v;
    }
    static std::string name() { return "set<" + codec<T>::name() + ">"; }
};

template <class T, std::size_t N>
requires has_codec<T>
struct codec<std::array<T, N>> {
    static void write(std::string& out, std::array<T, N> const& v) { detail::write_json_list(out, v); }
    static std::array<T, N> read(json_reader& r) requires std::default_initializable<T> {
        std::array<T, N> v{};
        auto scope = r.begin_array();
        for (T& element : v) {
            r.expect_element(scope, "the list does not have the declared length");
            element = codec<T>::read(r);
        }
        r.expect_end_of_array(scope, "the list does not have the declared length");
        return v;
    }
    static std::string name() { return "array<" + codec<T>::name() + "," + std::to_string(N) + ">"; }
};

template <class T, class C, class A>
requires has_codec<T>
struct codec<std::map<std::string, T, C, A>> : detail::object_codec<std::map<std::string, T, C, A>> {
    static void write(std::string& out, std::map<std::string, T, C, A> const& v) {
        std::vector<std::pair<std::string const, T> const*> members;
        if constexpr (!std::same_as<C, std::less<std::string>> && !std::same_as<C, std::less<>>) {
            for (auto const& m : v) members.push_back(&m);
            std::ranges::sort(members, {}, [](auto const* m) -> std::string const& { return m->first; });
        }
        out += '{';
        bool first = true;
        if (members.empty())
            for (auto const& [k, x] : v) codec::write_member(out, first, k, x);
        else
            for (auto const* m : members) codec::write_member(out, first, m->first, m->second);
        out += '}';
    }
};

template <class T, class H, class E, class A>
requires has_codec<T>
struct codec<std::unordered_map<std::string, T, H, E, A>>
    : detail::object_codec<std::unordered_map<std::string, T, H, E, A>> {
    static void write(std::string& out, std::unordered_map<std::string, T, H, E, A> const& v) {
        // The order of a hash table depends on its history and its library, so it must not reach the text.
        std::vector<std::pair<std::string const, T> const*> members;
        members.reserve(v.size());
        for (auto const& m : v) members.push_back(&m);
        std::ranges::sort(members, {}, [](auto const* m) -> std::string const& { return m->first; });
        out += '{';
        bool first = true;
        for (auto const* m : members) codec::write_member(out, first, m->first, m->second);
        out += '}';
    }
};

/// A map with other keys: a list of `[key,value]`, in the map's order.
template <class K, class T, class C, class A>
requires(!std::same_as<K, std::string> && has_codec<K> && has_codec<T>) struct codec<std::map<K, T, C, A>> {
    static void write(std::string& out, std::map<K, T, C, A> const& v) {
        out += '[';
        bool first = true;
        for (auto const& [key, mapped] : v) {
            out += std::exchange(first, false) ? "[" : ",[";
            codec<K>::write(out, key);
            out += ',';
            codec<T>::write(out, mapped);
            out += ']';
        }
        out += ']';
    }
    static std::map<K, T, C, A> read(json_reader& r) {
        std::map<K, T, C, A> v;
        for (auto scope = r.begin_array(); r.next_element(scope);) {
            auto [key, mapped] = detail::tuple_codec<std::pair<K, T>>::read(r);
            auto const [at, is_new] = v.emplace(std::move(key), std::move(mapped));
            if (!is_new) r.fail("a map holds a key twice");
            if (std::next(at) != v.end()) r.mark_not_canonical();
        }
        return v;
    }
    static std::string name() { return "map<" + codec<K>::name() + "," + codec<T>::name() + ">"; }
};

template <class A, class B>
requires has_codec<A> && has_codec<B>
struct codec<std::pair<A, B>> : detail::tuple_codec<std::pair<A, B>> {
    static std::string name() { return "tuple<" + codec<A>::name() + "," + codec<B>::name() + ">"; }
};
template <class... T>
requires(sizeof...(T) > 0 && detail::tuple_has_codecs<std::tuple<T...>>::value) struct codec<std::tuple<T...>>
    : detail::tuple_codec<std::tuple<T...>> {
    static std::string name() {
        std::string out;
        ((out += out.empty() ? "tuple<" : ",", out += codec<T>::name()), ...);
        return out + ">";
    }
};

/// The value that `text` holds; nothing may follow it.
template <has_codec T>
[[nodiscard]] T from_json_text(std::string_view text, json_limits limits = {}) {
    json_reader r(text, limits);
    T v = codec<T>::read(r);
    r.expect_end();
    return v;
}
/// The canonical text of a value.
template <has_codec T>
[[nodiscard]] std::string to_json_text(T const& v) {
    std::string out;
    codec<T>::write(out, v);
    return out;
}

} // namespace openreplica::inline v0
