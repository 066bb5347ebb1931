// A process that uses the group's objects and is no member of it.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/object/command_text.hpp>
#include <openreplica/object/host.hpp>
#include <openreplica/object/type_registry.hpp>
#include <openreplica/options.hpp>
#include <openreplica/runtime/client_service.hpp>
#include <openreplica/runtime/surroundings.hpp>
#include <openreplica/runtime/waiter.hpp>
#include <openreplica/status.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace openreplica::inline v0 {

/// The way to a group's objects for a process that is no replica: `replicated<T>` works on it as on a node.
///
/// Opening a client does not wait for the group: calls made before one is found wait until their deadline. It looks for
/// the group at its seeds, learns of the members from any of them, and follows when they change: a client that knows a
/// DNS name survives the replacement of every member.
///
/// Each call runs at most once, however often the library has to send it again: it travels under the client's session,
/// which the group keeps while the client is heard of. The first call that needs one opens it; a client that only reads
/// has none. Const methods run at a replica, and `local()` ones at a near one, on whatever state it has; what a client
/// has seen once, it never sees undone.
///
/// @par Threads
/// `client(options)` runs threads of its own; handlers without an executor of their own run on one that runs nothing
/// else. `client(executor, options)` runs everything on the caller's executor: whoever runs it must not block in it. All
/// members are safe from any thread; moving a client is not.
///
/// @par Lifetime
/// The destructor stops. Handles (`replicated<T>`) may outlive the client; their calls then end with `errc::stopped`. The
/// context of a caller's executor must live until `stop()` has returned and every asynchronous call has completed.
/// Movable: a moved-from client's members throw `errc::stopped`.
class client {
public:
    /// Opens a client with threads of its own.
    ///
    /// @throws error `bad_option` or `not_supported` with a sentence about the option.
    explicit client(client_options options) : group_(options.group) {
        options.validate();
        threads_.emplace();
        open(threads_->surroundings(), std::move(options));
    }

    /// Opens a client on the caller's executor. A blocking call on a thread that runs it throws `errc::would_deadlock`;
    /// this is recognised for `asio::io_context`, `asio::thread_pool` and strands of them.
    ///
    /// @throws error as above
    client(asio::any_io_executor executor, client_options options) : group_(options.group) {
        options.validate();
        open({executor, executor, executor, [executor] { return detail::runs_in_this_thread(executor); }, {}},
             std::move(options));
    }

    /// The same on an execution context.
    template <class Context>
        requires std::is_convertible_v<Context&, asio::execution_context&>
    client(Context& context, client_options options)
        : client(asio::any_io_executor(context.get_executor()), std::move(options)) {}

    client(client&& other) noexcept
        : group_(std::move(other.group_)), threads_(std::exchange(other.threads_, std::nullopt)),
          service_(std::exchange(other.service_, nullptr)), stopped_(other.stopped_.exchange(false)) {}
    client& operator=(client&& other) noexcept {
        if (this != &other) {
            stop();
            group_ = std::move(other.group_);
            threads_ = std::exchange(other.threads_, std::nullopt);
            service_ = std::exchange(other.service_, nullptr);
            stopped_ = other.stopped_.exchange(false);
        }
        return *this;
    }
    ~client() { stop(); }

    /// Ends every pending call with an outcome, closes the session and all connections, and ends the client's own
    /// threads. On a caller's executor it returns at once. May be called again, also by several threads; the first one
    /// does it.
    void stop() noexcept {
        if (!service_ || stopped_.exchange(true)) return;
        if (!threads_) return service_->stop();
        std::promise<void> closed;
        service_->stop([&closed] { closed.set_value(); });
        closed.get_future().wait();
        threads_->finish();
    }

    /// Opens the session and waits until calls can be executed. False when `timeout` passes first or the client is
    /// stopped. Nobody needs to: calls wait by themselves.
    bool wait_ready(std::chrono::nanoseconds timeout) { return service().wait_ready(timeout); }

    /// A recent picture of the group as this client sees it, at most a fifth of a heartbeat old.
    [[nodiscard]] client_status status() const;

    /// The executor of handlers that have none of their own.
    [[nodiscard]] asio::any_io_executor get_executor() const { return service().get_executor(); }

    // ---- what tools need: no types

    /// Calls a method of an object whose type this program need not know: `arguments` is a JSON array in canonical form, as
    /// `call("hits", "add", "[1]")`. It goes through the log, const or not, exactly once. Returns the result as JSON
    /// text, empty for void. The object must exist.
    ///
    /// @throws error as a call of a handle does
    std::string call(std::string const& object, std::string const& method, std::string const& arguments,
                     call_options options = {});

    /// Asks a replica about itself and what it holds; blocks for the answer, JSON text. `what` is `status`, `members`,
    /// `objects`, `types`, `show` (an object's state; the argument is its name), `sessions`, `pending` or `log` (the
    /// last entries; the argument is their number).
    ///
    /// @param of the address of the replica; empty: the one that answers soonest
    /// @throws error `not_executed` when nobody answers in time, and what the replica says
    std::string ask(std::string const& what, std::string const& argument = {}, std::optional<endpoint> of = {},
                    std::chrono::nanoseconds timeout = {});

    /// Gives the group an operator's order, JSON text, and blocks for what came of it. It is sent once.
    ///
    /// @throws error `not_supported` when the group takes none; `outcome_unknown` when no answer came in time
    std::string order(std::string const& text, std::chrono::nanoseconds timeout = {});

    /// What handles hold on to.
    friend object::host openreplica_host(client const& c) {
        (void)c.service();
        return {c.service_, nullptr};
    }

private:
    void open(runtime::surroundings around, client_options options) {
        auto types = [] { return object::type_registry::global().catalogue(); };
        service_ = std::make_shared<runtime::client_service>(std::move(around), std::move(options), types);
        service_->start();
    }
    [[nodiscard]] runtime::client_service& service() const {
        if (!service_) throw error(errc::stopped, "this client was moved from; use the one that it was moved to");
        return *service_;
    }
    /// Blocks for one outcome: `start` is given the completion.
    template <class Start>
    std::string wait_for(std::string const& what, std::chrono::nanoseconds timeout, Start start) const;

    std::string group_;
    std::optional<detail::own_threads> threads_;
    std::shared_ptr<runtime::client_service> service_;
    std::atomic<bool> stopped_ = false;
};

template <class Start>
std::string client::wait_for(std::string const& what, std::chrono::nanoseconds timeout, Start start) const {
    if (service().would_deadlock())
        throw error(errc::would_deadlock, "\"" + what + "\" was asked on a thread that the client needs to get the answer");
    runtime::waiter waiter;
    call_outcome outcome;
    start([&](call_outcome&& o) {
        outcome = std::move(o);
        waiter.finish();
    });
    service().wait(waiter, timeout);
    if (!outcome.ok()) throw error(outcome.code, outcome.text);
    return std::move(outcome.result);
}

inline std::string client::call(std::string const& object, std::string const& method, std::string const& arguments,
                                call_options options) {
    if (arguments.size() < 2 || arguments.front() != '[' || arguments.back() != ']')
        throw error(errc::bad_arguments, "the arguments of \"" + method + "\" are no JSON array; write [] for none");
    auto birth = std::make_shared<runtime::object_birth>();
    birth->id = object::object_id_of(object);
    birth->created = true; // Its type is unknown here, so it cannot be made.
    std::string body = "[";
    write_json_string(body, method);
    if (arguments.size() > 2) (body += ',').append(arguments, 1, arguments.size() - 2);
    body += ']';
    return wait_for(method, options.timeout, [&](runtime::gateway::completion done) {
        service().submit({command_kind::call, std::move(birth), std::move(body), options.timeout, true}, std::move(done));
    });
}

inline std::string client::ask(std::string const& what, std::string const& argument, std::optional<endpoint> of,
                               std::chrono::nanoseconds timeout) {
    return wait_for(what, timeout, [&](runtime::gateway::completion done) {
        service().inquire({false, what, argument, std::move(of), {}, std::move(done)}, timeout);
    });
}

inline std::string client::order(std::string const& text, std::chrono::nanoseconds timeout) {
    return wait_for("order", timeout, [&](runtime::gateway::completion done) {
        service().inquire({true, {}, text, {}, {}, std::move(done)}, timeout);
    });
}

inline client_status client::status() const {
    runtime::client_engine_status const s = service().status();
    client_status out;
    out.group = group_;
    if (!s.cluster.empty()) out.cluster = to_string(s.cluster);
    out.epoch = s.current.value;
    out.session = s.session.value;
    out.ready = s.session != session_id{};
    out.seen = s.seen.value;
    for (auto const& r : s.replicas) {
        out.replicas.push_back({r.id.empty() ? std::string() : to_string(r.id), to_string(r.where), r.up, r.serving, r.member,
                                r.round_trip.count(), r.reads});
        if (r.leads) out.leader = to_string(r.where);
    }
    out.pending_calls = service().pending_calls();
    out.problem = s.problem;
    return out;
}

} // namespace openreplica::inline v0
