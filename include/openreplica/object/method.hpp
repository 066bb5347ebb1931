// One replicated method: its wire name, the function behind it, and what its signature says.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0 {

class context;

/// A string literal as a template argument.
template <std::size_t N>
struct fixed_string {
    char text[N]{};
    consteval fixed_string(char const (&literal)[N]) { // NOLINT(google-explicit-constructor): written as a literal
        std::copy_n(literal, N, text);
    }
    [[nodiscard]] constexpr std::string_view view() const { return {text, N - 1}; }
};

} // namespace openreplica::inline v0

namespace openreplica::inline v0::object {

template <class T>
struct tag {
    using type = T;
};

template <class... P>
struct type_list {
    static constexpr std::size_t size = sizeof...(P);
};

/// The type that owns a decoded argument until the method has run.
template <class P>
struct owned_argument {
    using type = std::remove_cvref_t<P>;
};
template <class P>
requires std::is_same_v<std::remove_cvref_t<P>, std::string_view>
struct owned_argument<P> {
    using type = std::string;
};
template <class P>
using owned_argument_t = typename owned_argument<P>::type;

/// Whether a method's first parameter is the context, and what the caller passes after it.
template <class... P>
struct split_context {
    using params = type_list<P...>;
    static constexpr bool takes_context = false;
    static constexpr bool may_change_context = false;
};
template <class... P>
struct split_context<context&, P...> {
    using params = type_list<P...>;
    static constexpr bool takes_context = true;
    static constexpr bool may_change_context = true;
};
template <class... P>
struct split_context<context const&, P...> {
    using params = type_list<P...>;
    static constexpr bool takes_context = true;
    static constexpr bool may_change_context = false;
};

template <class R, class Object, bool Read, class... P>
struct signature : split_context<P...> {
    using object_type = Object;
    using declared_result = R;
    using result = std::remove_cvref_t<R>;
    static constexpr bool is_read = Read;
};

/// The signature of a function that can be a method. Only the forms listed here can: a method for rvalues or of a
/// volatile object could never be called.
template <class F>
struct function_signature;
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...)> : signature<R, C, false, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...) noexcept> : signature<R, C, false, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...)&> : signature<R, C, false, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...)& noexcept> : signature<R, C, false, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...) const> : signature<R, C, true, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...) const noexcept> : signature<R, C, true, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...) const&> : signature<R, C, true, P...> {};
template <class R, class C, class... P>
struct function_signature<R (C::*)(P...) const& noexcept> : signature<R, C, true, P...> {};
template <class R, class C, class... P>
struct function_signature<R (*)(C&, P...)> : signature<R, std::remove_const_t<C>, std::is_const_v<C>, P...> {};
template <class R, class C, class... P>
struct function_signature<R (*)(C&, P...) noexcept> : signature<R, std::remove_const_t<C>, std::is_const_v<C>, P...> {};

/// A captureless lambda counts as the function pointer it converts to.
template <class F>
struct as_function {
    using type = F;
};
template <class F>
requires std::is_class_v<F> && requires(F const& f) { +f; }
struct as_function<F> {
    using type = decltype(+std::declval<F const&>());
};
template <auto M>
using function_of = typename as_function<std::remove_const_t<decltype(M)>>::type;

template <class F>
concept has_signature = requires {
    typename function_signature<F>::object_type;
};

/// Stands for a function without a usable signature, so that one sentence is reported and not a page.
struct no_signature : signature<void, void, false> {};
template <class F>
struct signature_or_none : no_signature {};
template <has_signature F>
struct signature_or_none<F> : function_signature<F> {};

template <class P>
inline constexpr bool is_pointer_parameter = std::is_pointer_v<std::remove_cvref_t<P>>;
template <class P>
inline constexpr bool is_out_parameter =
    std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>> &&
    !std::is_same_v<std::remove_cvref_t<P>, context>;
/// A range that does not own what it shows. `std::string` and containers own.
template <class R>
inline constexpr bool is_view = false;
template <class C, class Traits>
inline constexpr bool is_view<std::basic_string_view<C, Traits>> = true;
template <class R>
requires requires { typename R::element_type; } && requires(R const& r) {
    r.data();
    r.size_bytes();
}
inline constexpr bool is_view<R> = true;

template <class List>
struct parameter_rules;
template <class... P>
struct parameter_rules<type_list<P...>> {
    static constexpr bool no_pointers = !(is_pointer_parameter<P> || ...);
    static constexpr bool no_out = !(is_out_parameter<P> || ...);
    static constexpr bool no_late_context = !(std::is_same_v<std::remove_cvref_t<P>, context> || ...);
};

} // namespace openreplica::inline v0::object

namespace openreplica::inline v0 {

/// One replicated method: a wire name and a member function, a free function or a captureless lambda whose first
/// parameter is the object.
///
/// A const member function, or a function that takes the object as `T const&`, is a read and does not enter the log.
/// The optional first parameter after the object is `context&` (for a read: `context const&`). Overloads get one
/// `method` each, under different names.
template <fixed_string Name, auto M>
struct method {
    static constexpr std::string_view name = Name.view();
    static constexpr auto pointer = M;
    using function = object::function_of<M>;
    using signature = object::signature_or_none<function>;
    using params = typename signature::params;
    using result = typename signature::result;
    static constexpr bool is_read = signature::is_read;
    static constexpr bool takes_context = signature::takes_context;

    static_assert(!name.empty(), "openreplica: a method needs a name");
    static_assert(
        object::has_signature<function>,
        "openreplica: a method is a member function, or a function or captureless lambda whose first parameter "
        "is a reference to the object");
    static_assert(object::parameter_rules<params>::no_pointers,
                  "openreplica: a method cannot take a pointer: the call runs in other processes; take the value, or "
                  "std::string for text");
    static_assert(object::parameter_rules<params>::no_out,
                  "openreplica: a method cannot take a non-const reference: the call runs in other processes; return "
                  "the value instead");
    static_assert(object::parameter_rules<params>::no_late_context,
                  "openreplica: the context is a method's first parameter, taken as context& (const methods: context "
                  "const&)");
    static_assert(!std::is_pointer_v<result>,
                  "openreplica: a method cannot return a pointer: the caller is in another process; return the value");
    static_assert(!object::is_view<result>,
                  "openreplica: a method cannot return a view: the caller is in another process; return a std::string "
                  "or a container that owns its elements");
    static_assert(!(is_read && signature::may_change_context),
                  "openreplica: a const method takes context const&: it has no randomness and cannot wait");
};

/// Takes the place of a method whose name stands for no single function, so that the table can say so.
template <fixed_string Name>
struct not_one_function {
    static constexpr std::string_view name = Name.view();
    using params = object::type_list<>;
    using result = void;
    static constexpr bool is_read = false;
    static constexpr bool takes_context = false;
    static constexpr auto pointer = nullptr;
};

namespace object {
template <class M>
inline constexpr bool names_one_function = true;
template <fixed_string Name>
inline constexpr bool names_one_function<not_one_function<Name>> = false;
} // namespace object

/// The methods of a type, in declared order.
template <class... M>
struct method_table {
    static constexpr std::size_t size = sizeof...(M);
    static constexpr std::array<std::string_view, size> names{M::name...};

    static consteval bool has_unique_names() {
        for (std::size_t i = 0; i < size; ++i)
            for (std::size_t j = 0; j < i; ++j)
                if (names[i] == names[j]) return false;
        return true;
    }

    static_assert((object::names_one_function<M> && ...),
                  "openreplica: a listed method is overloaded, a template, static, inaccessible or missing; list one "
                  "function per name, or give each overload a name of its own with openreplica::method<\"name\", "
                  "pointer> in openreplica::describe<type>");
    static_assert(has_unique_names(),
                  "openreplica: two methods share one name; give each overload a name of its own with "
                  "openreplica::method<\"name\", pointer>");
};

namespace object {

/// What the macros build a table with: the first argument only makes room for the comma before the first method.
template <class, class... M>
using table_of_entries = method_table<M...>;

/// Can be called only with a name that stands for one function: an overload set deduces no `F`.
template <class F>
consteval bool is_one_function(F) {
    return has_signature<F>;
}

/// Two pointers are the same function. Comparing pointers to virtual functions is no constant expression, naming a
/// type with them is.
template <auto A, class M>
inline constexpr bool is_method_of =
    std::is_same_v<std::integral_constant<std::remove_const_t<decltype(A)>, A>,
                   std::integral_constant<std::remove_const_t<decltype(M::pointer)>, M::pointer>>;

/// The position of the method with pointer `P`, or the table's size.
template <auto P, class Table>
inline constexpr std::size_t index_of_pointer = 0;
template <auto P, class... M>
inline constexpr std::size_t index_of_pointer<P, method_table<M...>> = [] {
    constexpr bool found[] = {is_method_of<P, M>..., true};
    std::size_t i = 0;
    while (!found[i]) ++i;
    return i;
}();

/// The position of the method called `Name`, or the table's size.
template <fixed_string Name, class Table>
inline constexpr std::size_t index_of_name = [] {
    std::size_t i = 0;
    while (i < Table::size && Table::names[i] != Name.view()) ++i;
    return i;
}();

template <std::size_t I, class Table>
struct entry_at;
template <std::size_t I, class... M>
struct entry_at<I, method_table<M...>> {
    using type = std::tuple_element_t<I, std::tuple<M...>>;
};
template <std::size_t I, class Table>
using entry_at_t = typename entry_at<I, Table>::type;

/// Runs a method on a live object.
template <class Method, class Object, class Context, class... A>
decltype(auto) run_method(Object& target, Context& ctx, A&&... a) {
    if constexpr (Method::takes_context)
        return std::invoke(Method::pointer, target, ctx, std::forward<A>(a)...);
    else
        return std::invoke(Method::pointer, target, std::forward<A>(a)...);
}

} // namespace object

} // namespace openreplica::inline v0
