// What a handle to a replicated object needs of the process's node or client.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/runtime/waiter.hpp>
#include <openreplica/types/envelope.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/outcome.hpp>
#include <openreplica/types/unique_function.hpp>

#include <asio/any_io_executor.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

namespace openreplica::inline v0::runtime {

/// How to make an object that does not exist yet. All calls of one handle and its copies share one birth.
struct object_birth {
    object_id id;
    std::string body;     ///< body of the `create` command: `["name","type",arg…]`
    bool created = false; ///< touched by the gateway only: the object is known to have been created or adopted
    bool creating = false; ///< touched by the gateway only: a `create` command is on its way
};

/// A command to be ordered by the log.
struct command_request {
    command_kind kind = command_kind::call;
    std::shared_ptr<object_birth> birth; ///< the object; created first, unless the kind is `destroy` or `reset`
    std::string body;                    ///< JSON text as `command_kind` describes it
    std::chrono::nanoseconds timeout{};  ///< until the call must have its outcome; 0: the node's `call_timeout`
    bool caller_waits = false;           ///< the calling thread will block in `wait`: it may do work of the node's itself
};

/// A read that a replica makes for a process that has none.
struct remote_read {
    bool exists = false; ///< asks whether the object exists; otherwise for a const method
    bool local = false;  ///< any replica's own state will do
    std::chrono::nanoseconds max_staleness{}; ///< of a local read; 0: any
    std::string name; ///< of the object
    std::string type; ///< that it must have; empty: any
    std::string body; ///< `["method",arg…]`
};

/// A wish for a read point, or for the result of a read.
struct read_request {
    std::shared_ptr<object_birth> birth; ///< made first if it is not there; null: nothing is made
    std::chrono::nanoseconds timeout{};
    bool caller_waits = false;
    std::shared_ptr<remote_read const> remote{}; ///< what to read; null where the objects are
};

/// Names a pending call within its gateway.
using call_ticket = strong<struct call_ticket_tag>;

/// Takes calls from any thread and gives each exactly one outcome.
class gateway {
public:
    using completion = unique_function<void(call_outcome&&)>;

    virtual ~gateway() = default;

    /// Sends a command through the log. `done` runs once, on any thread; it must neither block nor run user code.
    /// Inside this call it runs only for a caller that waits, or after the node has stopped.
    virtual call_ticket submit(command_request request, completion done) = 0;

    /// On a node, waits for a linearizable read point: `done` runs once the local objects hold everything that completed
    /// before this call. On a client, has the read made by a replica: `outcome.result` is what it gave. `outcome.at` is
    /// the read point.
    virtual call_ticket read(read_request request, completion done) = 0;

    /// Blocks until `w` is finished, which `done` of a call with this `timeout` does; at its deadline it ends the call
    /// itself. Meanwhile this thread may run methods and completions in place of a thread of the node: the caller has to
    /// wake up anyway, and one thread less has to.
    virtual void wait(waiter& w, std::chrono::nanoseconds timeout) = 0;

    /// Gives up on a call: `cancelled` when nothing was sent, `outcome_unknown` when it was. A finished call is left
    /// as it is.
    virtual void cancel(call_ticket ticket) = 0;

    /// The executor of handlers that have none of their own.
    [[nodiscard]] virtual asio::any_io_executor get_executor() const = 0;

    /// While the result is held, the executor stays what it is: `stop` comes before or after, and a completion that was
    /// bound to the executor of a running node is not lost.
    [[nodiscard]] virtual std::shared_lock<std::shared_mutex> hold_open() const = 0;

    /// The node was stopped: it serves nobody any more.
    [[nodiscard]] virtual bool is_stopped() const = 0;

    /// True on a thread that the node needs to make progress: blocking here would wait for ever.
    [[nodiscard]] virtual bool would_deadlock() const = 0;
};

} // namespace openreplica::inline v0::runtime
