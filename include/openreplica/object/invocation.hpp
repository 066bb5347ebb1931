// Calls of a handle's methods: blocking, asynchronous and local.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/object/command_text.hpp>
#include <openreplica/object/host.hpp>
#include <openreplica/options.hpp>

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0::object {

/// One replicated object as a handle sees it. Cheap to copy.
struct target {
    host where{};
    std::shared_ptr<runtime::object_birth> birth{};
    std::shared_ptr<std::string const> name{};
    call_options options{};

    /// The objects are elsewhere: this process is a client, and reads travel too.
    [[nodiscard]] bool is_remote() const { return where.gateway != nullptr && where.objects == nullptr; }
    [[nodiscard]] runtime::gateway& gateway() const {
        if (!where.gateway) throw error(errc::stopped, "this handle was moved from; use the one that it was moved to");
        return *where.gateway;
    }
};

/// What is sent: a command, or a wish for a read point.
struct call_plan {
    command_kind kind = command_kind::call;
    bool read = false;
    bool creates = true; ///< the object is made first if it is not there
    std::string body{};
    bool caller_waits = false;
    std::shared_ptr<runtime::remote_read const> remote{}; ///< what a client reads
};

inline runtime::call_ticket start(target const& t, call_plan plan, runtime::gateway::completion done) {
    auto const birth = plan.creates ? t.birth : nullptr;
    if (plan.read)
        return t.gateway().read({birth, t.options.timeout, plan.caller_waits, std::move(plan.remote)}, std::move(done));
    return t.gateway().submit({plan.kind, t.birth, std::move(plan.body), t.options.timeout, plan.caller_waits},
                              std::move(done));
}

[[nodiscard]] inline std::exception_ptr failure_of(call_outcome const& o) {
    return o.ok() ? nullptr : std::make_exception_ptr(error(o.code, o.text));
}

/// Waits for one outcome on the caller's stack.
[[nodiscard]] inline call_outcome wait_for(target const& t, call_plan plan, std::string_view what) {
    if (t.gateway().would_deadlock())
        throw error(errc::would_deadlock, "the blocking call \"" + std::string(what) + "\" was made on a thread that the node "
                                          "needs to complete it; use .async(token) here");
    runtime::waiter waiter;
    call_outcome outcome;
    plan.caller_waits = true;
    start(t, std::move(plan), [&](call_outcome&& o) {
        outcome = std::move(o);
        waiter.finish();
    });
    t.gateway().wait(waiter, t.options.timeout);
    if (!outcome.ok()) throw error(outcome.code, outcome.text);
    return outcome;
}

template <class R>
struct completion_signature {
    using type = void(std::exception_ptr, R);
};
template <>
struct completion_signature<void> {
    using type = void(std::exception_ptr);
};
template <class R>
using completion_signature_t = typename completion_signature<R>::type;

/// Connects a call with the cancellation slot of its handler.
struct cancellation {
    std::atomic<std::uint64_t> ticket = 0;
    std::atomic<bool> wanted = false;
};

/// Starts an asynchronous operation. `Finish` turns the outcome into the result, on the handler's executor.
template <class R, class Finish>
struct initiation {
    std::shared_ptr<runtime::gateway> gateway;
    Finish finish;

    using executor_type = asio::any_io_executor;
    [[nodiscard]] executor_type get_executor() const { return gateway->get_executor(); }

    /// @param begin takes the completion and gives the ticket
    template <class Handler, class Begin>
    void operator()(Handler&& handler, Begin begin) {
        auto const open = gateway->hold_open();
        auto const own = asio::get_associated_executor(handler, get_executor());
        auto slot = asio::get_associated_cancellation_slot(handler);
        std::shared_ptr<cancellation> cancel;
        if (slot.is_connected()) {
            cancel = std::make_shared<cancellation>();
            slot.assign([cancel, gateway = gateway](asio::cancellation_type) {
                cancel->wanted = true;
                if (auto const ticket = cancel->ticket.load()) gateway->cancel(runtime::call_ticket{ticket});
            });
        }
        // Both executors have work until the handler runs; then who waits for it may end their contexts.
        auto done = [handler = std::decay_t<Handler>(std::forward<Handler>(handler)), finish = std::move(finish), slot,
                     io = asio::make_work_guard(get_executor()),
                     work = asio::make_work_guard(own)](call_outcome&& outcome) mutable {
            auto const to = work.get_executor();
            asio::post(to, [handler = std::move(handler), finish = std::move(finish), slot, io = std::move(io),
                            work = std::move(work), outcome = std::move(outcome)]() mutable {
                if (slot.is_connected()) slot.clear();
                io.reset();
                work.reset();
                complete(std::move(handler), finish, outcome);
            });
        };
        auto const ticket = begin(runtime::gateway::completion(std::move(done)));
        if (!cancel) return;
        cancel->ticket = ticket.value;
        if (cancel->wanted) gateway->cancel(ticket); // It was cancelled before it had a ticket.
    }

private:
    template <class Handler>
    static void complete(Handler handler, Finish& finish, call_outcome& outcome) {
        std::exception_ptr failure = failure_of(outcome);
        if constexpr (std::is_void_v<R>) {
            try {
                if (!failure) finish(outcome);
            } catch (...) {
                failure = std::current_exception();
            }
            std::move(handler)(failure);
        } else {
            R result{};
            try {
                if (!failure) result = finish(outcome);
            } catch (...) {
                failure = std::current_exception();
            }
            std::move(handler)(failure, std::move(result));
        }
    }
};

template <class R, class Token, class Finish>
auto initiate(target aim, call_plan plan, Finish finish, Token&& token) {
    static_assert(std::is_void_v<R> || std::is_default_constructible_v<R>,
                  "openreplica: the result of an asynchronous call must be default-constructible");
    (void)aim.gateway(); // Says so if the handle was moved from.
    auto gateway = aim.where.gateway;
    auto begin = [aim = std::move(aim), plan = std::move(plan)](runtime::gateway::completion done) mutable {
        return start(aim, std::move(plan), std::move(done));
    };
    return asio::async_initiate<Token, completion_signature_t<R>>(
        initiation<R, Finish>{std::move(gateway), std::move(finish)}, token, std::move(begin));
}

/// Runs a const method on this replica's object; what it throws becomes `method_threw`.
template <class T, class Method, class... A>
typename Method::result run_read(target const& t, A&&... args) {
    auto const held = t.where.objects->template find<T>(*t.name);
    context const ctx = t.where.objects->read_context();
    return held->read([&](T const& object) -> typename Method::result {
        try {
            return run_method<Method>(object, ctx, std::forward<A>(args)...);
        } catch (std::exception const& e) {
            throw error(errc::method_threw, std::string(Method::name) + ": " + e.what());
        } catch (...) {
            throw error(errc::method_threw, std::string(Method::name) + ": an exception that is no std::exception");
        }
    });
}

/// A read of a client, with its arguments; null on a node, which has the object.
template <class T, class Method, class... A>
[[nodiscard]] std::shared_ptr<runtime::remote_read const> remote_call(target const& t, bool local, A const&... args) {
    if (!t.is_remote()) return nullptr;
    return std::make_shared<runtime::remote_read const>(runtime::remote_read{
        false, local, t.options.max_staleness, *t.name, type_name<T>(), encode_call<Method>(args...)});
}

/// The arguments of a read, converted to the declared types and owned.
template <class Method, class... A>
[[nodiscard]] auto own_arguments(A&&... args) {
    return []<class... P, class... B>(type_list<P...>, B&&... b) {
        return std::tuple<owned_argument_t<P>...>(convert_argument<owned_argument_t<P>>(std::forward<B>(b))...);
    }(typename Method::params{}, std::forward<A>(args)...);
}

template <class Method, class... A>
consteval bool check_call() {
    static_assert(accepts<Method, A...>, "openreplica: these arguments do not fit the method; check their number and types");
    return accepts<Method, A...>;
}

// ---- the three ways to call; each is what a `->` proxy forwards to

/// Waits for the result and throws what went wrong.
template <class T>
struct blocking_caller {
    target aim;

    template <auto M, class... A>
    auto invoke(A&&... args) {
        return call<typename entry_for_pointer<T, M>::type>(std::forward<A>(args)...);
    }
    template <class Method, class... A>
    typename Method::result call(A&&... args) {
        if constexpr (check_call<Method, A...>()) {
            if constexpr (Method::is_read) {
                auto owned = own_arguments<Method>(std::forward<A>(args)...);
                auto const remote = std::apply([&](auto&... a) { return remote_call<T, Method>(aim, false, a...); }, owned);
                auto const outcome = wait_for(aim, {.read = true, .remote = remote}, Method::name);
                if (remote) return decode_result<typename Method::result>(outcome.result);
                return std::apply([&](auto&... a) { return run_read<T, Method>(aim, a...); }, owned);
            } else {
                auto body = encode_call<Method>(std::forward<A>(args)...);
                auto outcome = wait_for(aim, {.body = std::move(body)}, Method::name);
                return decode_result<typename Method::result>(outcome.result);
            }
        }
    }
};

/// Completes a token.
template <class T, class Token>
struct async_caller {
    target aim;
    Token token;

    template <auto M, class... A>
    auto invoke(A&&... args) {
        return call<typename entry_for_pointer<T, M>::type>(std::forward<A>(args)...);
    }
    template <class Method, class... A>
    auto call(A&&... args) {
        using result = typename Method::result;
        if constexpr (!check_call<Method, A...>()) {
            return;
        } else if constexpr (Method::is_read) {
            auto owned = own_arguments<Method>(std::forward<A>(args)...);
            auto remote = std::apply([&](auto&... a) { return remote_call<T, Method>(aim, false, a...); }, owned);
            auto finish = [aim = aim, owned = std::move(owned)](call_outcome const& o) mutable -> result {
                if (aim.is_remote()) return decode_result<result>(o.result);
                return std::apply([&](auto&... a) { return run_read<T, Method>(aim, a...); }, owned);
            };
            return initiate<result>(aim, {.read = true, .remote = std::move(remote)}, std::move(finish), std::move(token));
        } else {
            auto body = encode_call<Method>(std::forward<A>(args)...);
            auto finish = [](call_outcome const& o) -> result { return decode_result<result>(o.result); };
            return initiate<result>(aim, {.body = std::move(body)}, finish, std::move(token));
        }
    }
};

/// Asks one replica: this one, or on a client one that is near. A bound on the age of what it shows is kept on a node by
/// waiting for a read point, which is as fresh as can be.
template <class T>
struct local_caller {
    target aim;

    template <auto M, class... A>
    auto invoke(A&&... args) {
        return call<typename entry_for_pointer<T, M>::type>(std::forward<A>(args)...);
    }
    template <class Method, class... A>
    typename Method::result call(A&&... args) {
        static_assert(Method::is_read, "openreplica: local() offers const methods only: a change must go through the log; "
                                       "call it with ->");
        if constexpr (Method::is_read && check_call<Method, A...>()) {
            if (aim.gateway().is_stopped())
                throw error(errc::stopped, "the node was stopped; its replica is no longer kept up to date");
            auto owned = own_arguments<Method>(std::forward<A>(args)...);
            auto const remote = std::apply([&](auto&... a) { return remote_call<T, Method>(aim, true, a...); }, owned);
            if (remote || aim.options.max_staleness.count() > 0) {
                call_plan plan{.read = true, .creates = false, .remote = remote};
                auto const outcome = wait_for(aim, std::move(plan), Method::name);
                if (remote) return decode_result<typename Method::result>(outcome.result);
            }
            return std::apply([&](auto&... a) { return run_read<T, Method>(aim, a...); }, owned);
        }
    }
};

/// Lets `handle->method(…)` reach a proxy that lives as long as the expression.
template <class Proxy>
struct arrow {
    Proxy proxy;
    Proxy* operator->() { return &proxy; }
};

} // namespace openreplica::inline v0::object
