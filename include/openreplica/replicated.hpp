// The handle to a replicated object.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/object/describe.hpp>
#include <openreplica/object/host.hpp>
#include <openreplica/object/invocation.hpp>
#include <openreplica/options.hpp>

#include <asio/use_future.hpp>

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0 {

/// A handle to the object of type `T` that the group knows under a name.
///
/// Making a handle waits for nothing: the object is created, unless it exists, ahead of the handle's first call. Every
/// replica holds a live `T` and applies the same calls to it in the same order.
///
/// @par Calls
/// `h->m(args…)` blocks; `h.async(token)->m(args…)` completes a token; `h.local()->m(args…)` asks this process's replica,
/// which is consistent but may lag. On a client it asks a replica that is near: what the client has seen once it never
/// sees undone, and `with({.max_staleness = …})` bounds how old an answer may be.
/// `h.call<&T::m>(args…)` and `h.call<"m">(args…)` do the same as `->`, for tables without a proxy. A const method is a
/// linearizable read; any other is an update through the log, executed exactly once.
///
/// @par Completion signature
/// `void(std::exception_ptr, R)`, or `void(std::exception_ptr)` for a void method; `code_of(e)` gives the error code.
///
/// @par Cancellation
/// Any cancellation type gives up waiting: `cancelled` when nothing was sent, `outcome_unknown` when it was.
///
/// @par Lifetime
/// Handles may be copied and may outlive the node; a call's arguments are encoded before it returns. After the node has
/// stopped, calls end with `errc::stopped`.
///
/// @par Thread safety
/// Distinct and shared objects: safe. Handlers run on their associated executor, by default the node's; never inside
/// the call that starts them.
///
/// @par Errors
/// Blocking calls throw `openreplica::error`: see `errc`. Arguments that do not fit throw at once (`bad_arguments`).
template <class T>
class replicated {
    using table = object::table_of<T>;
    static_assert(table::size > 0 || object::has_method_table<T>,
                  "openreplica: this type has no method table; add OPENREPLICA_METHODS(type, method...) inside it");

    object::target aim_;

    template <class Caller>
    [[nodiscard]] static auto proxy(Caller c) {
        return object::arrow<object::proxy_of<T, Caller>>{{std::move(c)}};
    }

public:
    /// A handle on `where`, a node or a client. The constructor arguments count only if the object does not exist yet.
    ///
    /// @throws error `bad_arguments` for a name that is empty, longer than 256 bytes or no UTF-8; `type_mismatch` when
    /// two types of this program have one name.
    template <class Host, class... A>
    replicated(Host& where, std::string name, A&&... args) {
        if constexpr (object::check_construction<T, A...>()) {
            object::require_registered<T>(object::constructor_arguments_t<T, A...>{});
            aim_.where = openreplica_host(where);
            aim_.birth = std::make_shared<runtime::object_birth>();
            aim_.birth->id = object::object_id_of(name);
            aim_.birth->body = object::encode_birth<T>(name, std::forward<A>(args)...);
            aim_.name = std::make_shared<std::string const>(std::move(name));
        }
    }

    [[nodiscard]] std::string const& name() const { return *aim_.name; }

    /// The same object with other options for the calls made through the result.
    [[nodiscard]] replicated with(call_options o) const {
        replicated other = *this;
        other.aim_.options = o;
        return other;
    }

    /// `h->m(args…)`: waits for the outcome.
    [[nodiscard]] auto operator->() const { return proxy(object::blocking_caller<T>{aim_}); }

    /// `h.async(token)->m(args…)`: any Asio completion token; without one, a `std::future`.
    template <class Token = asio::use_future_t<>>
    [[nodiscard]] auto async(Token&& token = Token()) const {
        return proxy(object::async_caller<T, std::decay_t<Token>>{aim_, std::forward<Token>(token)});
    }

    /// `h.local()->m(args…)`: a const method on this process's replica, without asking anybody; on a client, at a replica
    /// that is near. It does not create the object.
    [[nodiscard]] auto local() const { return proxy(object::local_caller<T>{aim_}); }

    template <auto M, class... A>
    auto call(A&&... args) const {
        return object::blocking_caller<T>{aim_}.template call<typename object::entry_for_pointer<T, M>::type>(
            std::forward<A>(args)...);
    }
    template <fixed_string Name, class... A>
    auto call(A&&... args) const {
        return object::blocking_caller<T>{aim_}.template call<typename object::entry_for_name<T, Name>::type>(
            std::forward<A>(args)...);
    }
    /// The same on this process's replica.
    template <fixed_string Name, class... A>
    auto local_call(A&&... args) const {
        return object::local_caller<T>{aim_}.template call<typename object::entry_for_name<T, Name>::type>(
            std::forward<A>(args)...);
    }
    /// `h.async_call<&T::m>(args…, token)`.
    template <auto M, class... X>
    auto async_call(X&&... arguments_and_token) const {
        return async_entry<typename object::entry_for_pointer<T, M>::type>(std::forward<X>(arguments_and_token)...);
    }
    /// `h.async_call<"m">(args…, token)`.
    template <fixed_string Name, class... X>
    auto async_call(X&&... arguments_and_token) const {
        return async_entry<typename object::entry_for_name<T, Name>::type>(std::forward<X>(arguments_and_token)...);
    }

    /// Whether the object exists: a linearizable read that does not create it.
    [[nodiscard]] bool exists() const {
        return is_here(aim_, object::wait_for(aim_, exists_plan(), "exists"));
    }
    template <class Token>
    auto async_exists(Token&& token) const {
        auto finish = [aim = aim_](call_outcome const& o) { return is_here(aim, o); };
        return object::initiate<bool>(aim_, exists_plan(), std::move(finish), std::forward<Token>(token));
    }

    /// Ends the object. True when there was one. Calls through any handle then end with `no_such_object`, until a new
    /// handle's first call creates it again.
    bool destroy() const { return flag(object::wait_for(aim_, destroy_plan(), "destroy")); }
    template <class Token>
    auto async_destroy(Token&& token) const {
        return object::initiate<bool>(aim_, destroy_plan(), [](call_outcome const& o) { return flag(o); },
                                      std::forward<Token>(token));
    }

    /// Puts a newly constructed object in place of the old one, or creates it.
    template <class... A>
    void reset(A&&... args) const {
        (void)object::wait_for(aim_, reset_plan(std::forward<A>(args)...), "reset");
    }
    /// `h.async_reset(constructor args…, token)`.
    template <class... X>
    auto async_reset(X&&... arguments_and_token) const {
        return split(
            [this]<class Token, class... A>(Token&& token, A&&... args) {
                return object::initiate<void>(aim_, reset_plan(std::forward<A>(args)...), [](call_outcome const&) {},
                                              std::forward<Token>(token));
            },
            std::forward<X>(arguments_and_token)...);
    }

private:
    static bool is_here(object::target const& aim, call_outcome const& o) {
        if (aim.is_remote()) return flag(o);
        auto const found = aim.where.objects->find(aim.birth->id);
        return found && found->name() == *aim.name;
    }
    static bool flag(call_outcome const& o) { return o.result == "true"; }
    object::call_plan exists_plan() const {
        object::call_plan plan{.read = true, .creates = false};
        if (aim_.is_remote())
            plan.remote = std::make_shared<runtime::remote_read const>(
                runtime::remote_read{true, false, {}, *aim_.name, {}, {}});
        return plan;
    }
    static object::call_plan destroy_plan() { return {.kind = command_kind::destroy, .body = "[]"}; }
    template <class... A>
    object::call_plan reset_plan(A&&... args) const {
        if constexpr (object::check_construction<T, A...>()) {
            object::require_registered<T>(object::constructor_arguments_t<T, A...>{});
            return {.kind = command_kind::reset, .body = object::encode_birth<T>(*aim_.name, std::forward<A>(args)...)};
        } else {
            return {};
        }
    }

    /// Calls `f(token, args…)` with the last argument as the token.
    template <class F, class... X>
    static auto split(F f, X&&... x) {
        static_assert(sizeof...(X) > 0, "openreplica: an asynchronous call ends with its completion token");
        if constexpr (sizeof...(X) > 0) {
            auto all = std::forward_as_tuple(std::forward<X>(x)...);
            constexpr std::size_t last = sizeof...(X) - 1;
            return [&]<std::size_t... I>(std::index_sequence<I...>) {
                return f(std::get<last>(std::move(all)), std::get<I>(std::move(all))...);
            }(std::make_index_sequence<last>{});
        }
    }
    template <class Method, class... X>
    auto async_entry(X&&... x) const {
        return split(
            [this]<class Token, class... A>(Token&& token, A&&... args) {
                return object::async_caller<T, std::decay_t<Token>>{aim_, std::forward<Token>(token)}
                    .template call<Method>(std::forward<A>(args)...);
            },
            std::forward<X>(x)...);
    }
};

} // namespace openreplica::inline v0
