// The macros that list a type's methods. C++ cannot enumerate them yet; everything else here is ordinary code.
#pragma once

#include <openreplica/object/describe.hpp>

/// Lists the methods of a class that replicas may call, from inside the class: `OPENREPLICA_METHODS(counter, add,
/// get)`.
///
/// Up to 64 methods, public or private, declared before or after the macro, also inherited ones. Each name must stand
/// for one function: for overloads specialise `openreplica::describe`. In a class template write the template's name
/// without arguments. What follows the macro in the class is `public:`, as after a Qt macro. The spelling of the type
/// and of the methods is wire format.
#define OPENREPLICA_METHODS(T, ...)                                                                                    \
public:                                                                                                                \
    using openreplica_described_type = T;                                                                              \
    static constexpr ::std::string_view openreplica_type_name() { return #T; }                                         \
    static constexpr auto openreplica_methods() {                                                                      \
        return ::openreplica::object::table_of_entries<void OPENREPLICA_DETAIL_EXPAND(                                 \
            OPENREPLICA_DETAIL_EACH(OPENREPLICA_DETAIL_ENTRY, T, __VA_ARGS__))>{};                                     \
    }                                                                                                                  \
    template <class OrCaller>                                                                                          \
    struct openreplica_proxy {                                                                                         \
        OrCaller openreplica_caller;                                                                                   \
        OPENREPLICA_DETAIL_EXPAND(OPENREPLICA_DETAIL_EACH(OPENREPLICA_DETAIL_PROXY, T, __VA_ARGS__))                   \
    };

/// Lists the public methods of a class that must stay as it is. Stands at namespace scope, in the class's own
/// namespace.
#define OPENREPLICA_METHODS_NON_INTRUSIVE(T, ...)                                                                      \
    template <class>                                                                                                   \
    struct openreplica_description_for;                                                                                \
    template <>                                                                                                        \
    struct openreplica_description_for<T> {                                                                            \
        OPENREPLICA_METHODS(T, __VA_ARGS__)                                                                            \
    };                                                                                                                 \
    [[maybe_unused]] constexpr openreplica_description_for<T> openreplica_description(::openreplica::object::tag<T>) { \
        return {};                                                                                                     \
    }

// One entry of the table. The lambda asks first whether the name stands for one function, so that an overload gets a
// sentence from the table and not a failed deduction.
#define OPENREPLICA_DETAIL_ENTRY(T, m)                                                                                 \
    , decltype([]<class OrT>(::openreplica::object::tag<OrT>) {                                                        \
        if constexpr (requires { ::openreplica::object::is_one_function(&OrT::m); })                                   \
            return ::openreplica::method<#m, &OrT::m>{};                                                               \
        else                                                                                                           \
            return ::openreplica::not_one_function<#m>{};                                                              \
    }(::openreplica::object::tag<T>{}))

// What `handle->m(arguments…)` calls.
#define OPENREPLICA_DETAIL_PROXY(T, m)                                                                                 \
    template <class... OrA>                                                                                            \
    decltype(auto) m(OrA&&... openreplica_arguments) {                                                                 \
        return openreplica_caller.template invoke<&T::m>(static_cast<OrA&&>(openreplica_arguments)...);                \
    }

// Applies f(T, x) to each x. A macro cannot name itself, so the next step is hidden behind a pair of parentheses that
// only the next rescan sees; EXPAND rescans often enough for 64 steps.
#define OPENREPLICA_DETAIL_EACH(f, T, x, ...)                                                                          \
    f(T, x) __VA_OPT__(OPENREPLICA_DETAIL_AGAIN OPENREPLICA_DETAIL_PARENS(f, T, __VA_ARGS__))
#define OPENREPLICA_DETAIL_AGAIN() OPENREPLICA_DETAIL_EACH
#define OPENREPLICA_DETAIL_PARENS ()
#define OPENREPLICA_DETAIL_EXPAND(...)                                                                                 \
    OPENREPLICA_DETAIL_EXPAND_9(OPENREPLICA_DETAIL_EXPAND_9(OPENREPLICA_DETAIL_EXPAND_9(                               \
        OPENREPLICA_DETAIL_EXPAND_9(OPENREPLICA_DETAIL_EXPAND_9(OPENREPLICA_DETAIL_EXPAND_9(                           \
            OPENREPLICA_DETAIL_EXPAND_9(OPENREPLICA_DETAIL_EXPAND_9(OPENREPLICA_DETAIL_EXPAND_9(__VA_ARGS__)))))))))
#define OPENREPLICA_DETAIL_EXPAND_9(...)                                                                               \
    OPENREPLICA_DETAIL_EXPAND_1(OPENREPLICA_DETAIL_EXPAND_1(OPENREPLICA_DETAIL_EXPAND_1(                               \
        OPENREPLICA_DETAIL_EXPAND_1(OPENREPLICA_DETAIL_EXPAND_1(OPENREPLICA_DETAIL_EXPAND_1(                           \
            OPENREPLICA_DETAIL_EXPAND_1(OPENREPLICA_DETAIL_EXPAND_1(OPENREPLICA_DETAIL_EXPAND_1(__VA_ARGS__)))))))))
#define OPENREPLICA_DETAIL_EXPAND_1(...) __VA_ARGS__
