// The general JSON value, for types that only nlohmann's conversions know: read and written by our own rules.
#pragma once

#include <openreplica/types/bytes.hpp>
#include <openreplica/types/json_reader.hpp>
#include <openreplica/types/json_text.hpp>
#include <openreplica/types/strong.hpp>

#include <nlohmann/json.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0 {

/// nlohmann's conversions know `T`, both ways. Left out are `long double`, which differs between machines, and
/// `std::string_view`, which would show into a tree that is gone.
template <class T>
concept json_convertible = std::is_object_v<T> && !std::is_pointer_v<T> && !std::same_as<T, long double> &&
                           !std::same_as<T, std::string_view> && !std::is_const_v<T> && std::move_constructible<T> &&
                           requires(T const& v, nlohmann::json const& tree) {
    nlohmann::json(v);
    { tree.template get<T>() } -> std::same_as<T>;
};

/// Appends the canonical text of a tree: members sorted by name, no spaces, whole fractions with `.0`.
/// @throws json_error for NaN, text that is no UTF-8, binary values, and trees deeper than the format allows.
inline void write_json_tree(std::string& out, nlohmann::json const& tree, std::uint32_t depth = 0) {
    if (depth > json_limits{}.depth)
        throw json_error("values are nested deeper than " + std::to_string(json_limits{}.depth));
    switch (tree.type()) {
    case nlohmann::json::value_t::null:
        out += "null";
        break;
    case nlohmann::json::value_t::boolean:
        out += tree.get_ref<bool const&>() ? "true" : "false";
        break;
    case nlohmann::json::value_t::string:
        write_json_string(out, tree.get_ref<std::string const&>());
        break;
    case nlohmann::json::value_t::number_integer:
        write_json_integer(out, tree.get_ref<std::int64_t const&>());
        break;
    case nlohmann::json::value_t::number_unsigned:
        write_json_integer(out, tree.get_ref<std::uint64_t const&>());
        break;
    case nlohmann::json::value_t::number_float:
        write_json_number(out, tree.get_ref<double const&>());
        break;
    case nlohmann::json::value_t::array: {
        char separator = '[';
        for (auto const& element : tree) {
            out += std::exchange(separator, ',');
            write_json_tree(out, element, depth + 1);
        }
        out += tree.empty() ? "[]" : "]";
        break;
    }
    case nlohmann::json::value_t::object: {
        char separator = '{';
        for (auto const& [key, value] : tree.items()) {
            out += std::exchange(separator, ',');
            write_json_string(out, key);
            out += ':';
            write_json_tree(out, value, depth + 1);
        }
        out += tree.empty() ? "{}" : "}";
        break;
    }
    default:
        throw json_error("a binary or discarded value has no JSON form");
    }
}

/// Reads the next value of any shape. Recursion ends at the reader's depth limit.
[[nodiscard]] inline nlohmann::json read_json_tree(json_reader& r) {
    switch (r.peek()) {
    case json_kind::null:
        r.read_null();
        return nullptr;
    case json_kind::boolean:
        return r.read_bool();
    case json_kind::string:
        return r.read_string();
    case json_kind::number: {
        std::string_view const rest = r.text().substr(r.offset());
        std::size_t const end = rest.find_first_not_of("-0123456789");
        if (end != std::string_view::npos && std::string_view(".eE").find(rest[end]) != std::string_view::npos)
            return r.read_number<double>();
        if (rest.front() == '-') return r.read_integer<std::int64_t>();
        return r.read_integer<std::uint64_t>();
    }
    case json_kind::array: {
        auto tree = nlohmann::json::array();
        for (auto scope = r.begin_array(); r.next_element(scope);) tree.push_back(read_json_tree(r));
        return tree;
    }
    case json_kind::object:
        break;
    }
    auto tree = nlohmann::json::object();
    std::string key;
    std::string last;
    for (auto scope = r.begin_object(); r.next_member(scope, key);) {
        if (tree.contains(key)) r.fail("an object has two members of one name");
        if (scope.count > 1 && !(last < key)) r.mark_not_canonical();
        last = key;
        tree[key] = read_json_tree(r);
        key = last;
    }
    return tree;
}

/// What `from_json` makes of a tree; its complaints become ours, so that every replica gives the same code.
template <json_convertible T>
[[nodiscard]] T json_tree_to(json_reader const& r, nlohmann::json const& tree) {
    try {
        return tree.template get<T>();
    } catch (nlohmann::json::exception const& e) {
        r.fail(std::string("the value is not of the declared type: ") + e.what());
    }
}

/// Bytes and strong integers as members of a user's type.
template <class Json>
requires requires { typename Json::number_unsigned_t; }
void to_json(Json& j, bytes const& v) {
    std::string text;
    write_base64(text, v.data);
    j = std::move(text);
}
template <class Json>
requires requires { typename Json::number_unsigned_t; }
void from_json(Json const& j, bytes& v) { v.data = read_base64(j.template get_ref<std::string const&>()); }
template <class Json, class Tag, class Rep>
requires requires { typename Json::number_unsigned_t; }
void to_json(Json& j, strong<Tag, Rep> const& v) { j = v.value; }
template <class Json, class Tag, class Rep>
requires requires { typename Json::number_unsigned_t; }
void from_json(Json const& j, strong<Tag, Rep>& v) { j.get_to(v.value); }

} // namespace openreplica::inline v0
