// What the state machine knows of a C++ type: functions that read arguments, run methods and write results.
#pragma once

#include <openreplica/object/context.hpp>
#include <openreplica/object/describe.hpp>
#include <openreplica/object/instance.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/json_codec.hpp>
#include <openreplica/types/outcome.hpp>
#include <openreplica/types/unique_function.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <vector>

namespace openreplica::inline v0::object {

/// The longest result that a method may return, as JSON text. A format constant.
inline constexpr std::size_t max_result_bytes = std::size_t{1} << 20;

/// The rest of a body `["method",arg…]` or `["name","type",arg…]`, behind what was read already.
struct argument_list {
    json_reader& reader;
    json_scope scope;
};

/// One method of a type.
struct method_entry {
    std::string_view name;
    bool is_read = false;
    /// Reads the arguments, runs the method, writes the result. The instance is locked by the caller.
    /// Throws only `std::bad_alloc`.
    call_outcome (*invoke)(instance_base&, context&, argument_list) = nullptr;
};

/// Appends the state that an object had as JSON; needs neither the object nor its lock. @throws json_error
using frozen_object = unique_function<void(std::string&)>;

/// `T` offers its state cheaply: immutable, or copied on write.
template <class T>
concept has_cheap_snapshot = requires(T const& value) {
    { value.snapshot() } -> std::same_as<T>;
} || requires(T const& value) {
    { value.snapshot() } -> std::same_as<std::shared_ptr<T const>>;
};

/// A type as the state machine sees it.
struct type_entry {
    std::string name;
    std::uint64_t fingerprint = 0; ///< of its name and its methods' names, constness and types
    std::type_index cpp_type = typeid(void);
    std::vector<method_entry> methods; ///< sorted by name
    /// The state as it is now: a copy, or what a cheap `T::snapshot() const` gives. Null when `T` has no JSON form.
    frozen_object (*freeze)(instance_base const&) = nullptr;
    /// @throws json_error
    std::unique_ptr<instance_base> (*read_state)(type_entry const&, json_reader&) = nullptr;

    /// Null when there is no such method.
    [[nodiscard]] method_entry const* find(std::string_view method_name) const {
        auto const at = std::ranges::lower_bound(methods, method_name, {}, &method_entry::name);
        return at != methods.end() && at->name == method_name ? &*at : nullptr;
    }
};

/// One way to construct an object: the type and the types of the arguments, which the `create` command names.
struct constructor_entry {
    std::string name; ///< `counter`, or `counter(i32,string)`
    type_entry const* type = nullptr;
    /// Throws what `T`'s constructor throws, or json_error with `decoded` false.
    std::unique_ptr<instance_base> (*construct)(type_entry const&, argument_list, bool& decoded) = nullptr;
};

/// The arguments of a list of types, from the rest of a body. @throws json_error
template <class... A>
std::tuple<A...> read_arguments(argument_list list) {
    json_reader& r = list.reader;
    // Braces evaluate from left to right, as the arguments stand in the text.
    std::tuple<A...> args{(r.expect_element(list.scope, "an argument is missing"), codec<A>::read(r))...};
    r.expect_end_of_array(list.scope, "there are more arguments than parameters");
    r.expect_end();
    if (!r.canonical())
        throw json_error("the arguments are not in canonical form: declared order, no spaces, 1.0 for a fraction and 1 "
                         "for an integer");
    return args;
}

/// What a call was doing when something was thrown.
enum class call_phase : std::uint8_t { arguments, method, result };

/// The outcome for the exception being handled. Rethrows `std::bad_alloc`: a replica out of memory must stop, because
/// the others are not.
[[nodiscard]] inline call_outcome outcome_of_exception(call_phase phase, std::string_view what, v0::slot at) {
    auto const failure = [&](errc code, std::string_view text) {
        call_outcome outcome = failed(code, std::string(what) + ": " + printable(text));
        if (phase != call_phase::arguments) outcome.at = at;
        return outcome;
    };
    errc const code = phase == call_phase::arguments ? errc::bad_arguments
                      : phase == call_phase::method  ? errc::method_threw
                                                     : errc::bad_result;
    try {
        throw;
    } catch (std::bad_alloc const&) {
        throw;
    } catch (json_error const& e) {
        return failure(code, e.sentence());
    } catch (std::exception const& e) {
        return failure(code, e.what());
    } catch (...) {
        return failure(code, "threw something that is no std::exception");
    }
}

template <class T, class Method, class List>
struct method_functions;
template <class T, class Method, class... P>
struct method_functions<T, Method, type_list<P...>> {
    static call_outcome invoke(instance_base& base, context& ctx, argument_list list) {
        call_phase phase = call_phase::arguments;
        try {
            auto args = read_arguments<owned_argument_t<P>...>(list);
            phase = call_phase::method;
            auto& held = static_cast<instance<T>&>(base);
            call_outcome outcome;
            outcome.at = ctx.slot();
            auto const run = [&](auto&... a) -> decltype(auto) {
                if constexpr (Method::is_read)
                    return run_method<Method>(std::as_const(held).value(), std::as_const(ctx), std::move(a)...);
                else
                    return run_method<Method>(held.value(), ctx, std::move(a)...);
            };
            if constexpr (std::is_void_v<typename Method::result>) {
                std::apply(run, args);
            } else {
                decltype(auto) result = std::apply(run, args);
                phase = call_phase::result;
                codec<typename Method::result>::write(outcome.result, result);
                if (outcome.result.size() > max_result_bytes)
                    throw json_error("the result has " + std::to_string(outcome.result.size()) +
                                     " bytes of JSON, more than " + std::to_string(max_result_bytes) +
                                     "; return a part of it");
            }
            return outcome;
        } catch (...) {
            return outcome_of_exception(phase, Method::name, ctx.slot());
        }
    }
    static std::string signature() {
        std::string out(Method::name);
        out += '(';
        ((out += codec<owned_argument_t<P>>::name(), out += ','), ...);
        out += ")->";
        if constexpr (std::is_void_v<typename Method::result>)
            out += "void";
        else
            out += codec<typename Method::result>::name();
        out += Method::is_read ? " const" : "";
        return out;
    }
};

/// Writing and reading the state of a `T`. The general codec's check that nothing changes is for arguments of
/// strangers; a state was written by this program, and need not be equal text after a hash table was rebuilt.
template <class T>
struct state_functions {
    static frozen_object freeze(instance_base const& base) {
        T const& value = static_cast<instance<T> const&>(base).value();
        if constexpr (has_cheap_snapshot<T>) {
            return [kept = value.snapshot()](std::string& out) { codec<T>::write(out, state_in(kept)); };
        } else if constexpr (std::is_copy_constructible_v<T>) {
            return [kept = T(value)](std::string& out) { codec<T>::write(out, kept); };
        } else {
            std::string text;
            codec<T>::write(text, value);
            return [text = std::move(text)](std::string& out) { out += text; };
        }
    }
    static T const& state_in(T const& kept) { return kept; }
    static T const& state_in(std::shared_ptr<T const> const& kept) { return *kept; }
    static std::unique_ptr<instance_base> read(type_entry const& type, json_reader& r) {
        using from_value = typename instance<T>::from_value;
        if constexpr (has_typed_codec<T>)
            return std::make_unique<instance<T>>(type, from_value{}, codec<T>::read(r));
        else
            return std::make_unique<instance<T>>(type, from_value{}, json_tree_to<T>(r, read_json_tree(r)));
    }
};

template <class T, class... M>
type_entry make_type_entry(method_table<M...>) {
    type_entry entry;
    entry.name = type_name<T>();
    entry.cpp_type = typeid(T);
    std::vector<std::string> signatures;
    (
        [&] {
            using functions = method_functions<T, M, typename M::params>;
            entry.methods.push_back({M::name, M::is_read, &functions::invoke});
            signatures.push_back(functions::signature());
        }(),
        ...);
    std::ranges::sort(entry.methods, {}, &method_entry::name);
    std::ranges::sort(signatures);
    std::string all = entry.name;
    for (auto const& s : signatures) (all += '\n') += s;
    entry.fingerprint = hash64(all);
    if constexpr (has_codec<T>) {
        entry.freeze = &state_functions<T>::freeze;
        entry.read_state = &state_functions<T>::read;
    }
    return entry;
}

/// The entry of `T` in this program: one object, built on first use.
template <class T>
[[nodiscard]] type_entry const& type_entry_of() {
    static type_entry const entry = make_type_entry<T>(table_of<T>{});
    return entry;
}

/// `counter`, or `counter(i32,string)` for constructor arguments `A`.
template <class T, class... A>
[[nodiscard]] std::string constructor_name() {
    std::string arguments;
    ((arguments += arguments.empty() ? "" : ",", arguments += codec<A>::name()), ...);
    std::string const& name = type_entry_of<T>().name;
    return arguments.empty() ? name : name + "(" + arguments + ")";
}

template <class T, class... A>
[[nodiscard]] constructor_entry make_constructor_entry() {
    constructor_entry entry;
    entry.name = constructor_name<T, A...>();
    entry.type = &type_entry_of<T>();
    entry.construct = [](type_entry const& type, argument_list list, bool& decoded) -> std::unique_ptr<instance_base> {
        auto args = read_arguments<A...>(list);
        decoded = true;
        return std::apply([&](auto&... a) { return std::make_unique<instance<T>>(type, std::move(a)...); }, args);
    };
    return entry;
}

} // namespace openreplica::inline v0::object
