// This process's seat in the group.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/introspection.hpp>
#include <openreplica/object/host.hpp>
#include <openreplica/object/invocation.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/operator_orders.hpp>
#include <openreplica/options.hpp>
#include <openreplica/runtime/service.hpp>
#include <openreplica/runtime/surroundings.hpp>
#include <openreplica/status.hpp>
#include <openreplica/types/endpoint.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>
#include <asio/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0 {

/// What shall become of the voters: `{.add = {…}, .remove = {…}}`, or with `exactly` those in `add` and no others. Nodes
/// are named by their id (32 hexadecimal digits) or `host:port`.
using paxos::voter_change;

/// A process's seat in its group: a replica of every object, and the way for calls to reach them.
///
/// Opening a node does not wait for the group: calls made before there is one wait until their deadline.
///
/// @par Threads
/// `node(options)` runs threads of its own; handlers without an executor of their own run on one that runs nothing
/// else. `node(executor, options)` runs the protocol on the caller's executor: whoever runs it must not block in it.
/// Either way the objects' methods run one at a time, on a thread of the node's own or on one that waits in a blocking
/// call. All members are safe from any thread; moving a node is not.
///
/// @par Lifetime
/// The destructor stops. Handles (`replicated<T>`) may outlive the node; their calls then end with `errc::stopped`.
/// The context of a caller's executor must live until `stop()` has returned and every asynchronous call has completed:
/// their handlers run there. Handles that make none afterwards may outlive it.
/// Movable: a moved-from node has no seat, and its members throw `errc::stopped`.
class node {
public:
    /// Opens a node with threads of its own.
    ///
    /// @throws error `bad_option` or `not_supported` with a sentence about the option; `address_in_use` when the listen
    /// address is taken.
    explicit node(node_options options) : group_(options.group) {
        options.validate();
        threads_.emplace();
        try {
            open(threads_->surroundings(), std::move(options));
        } catch (...) {
            threads_->finish();
            throw;
        }
    }

    /// Opens a node on the caller's executor. A blocking call on a thread that runs it throws `errc::would_deadlock`;
    /// this is recognised for `asio::io_context`, `asio::thread_pool` and strands of them.
    ///
    /// @throws error as above
    node(asio::any_io_executor executor, node_options options) : group_(options.group) {
        options.validate();
        open({executor, executor, executor, [executor] { return detail::runs_in_this_thread(executor); }, {}},
             std::move(options));
    }

    /// The same on an execution context.
    template <class Context>
        requires std::is_convertible_v<Context&, asio::execution_context&>
    node(Context& context, node_options options)
        : node(asio::any_io_executor(context.get_executor()), std::move(options)) {}

    node(node&& other) noexcept
        : group_(std::move(other.group_)), threads_(std::exchange(other.threads_, std::nullopt)),
          host_(std::exchange(other.host_, {})), service_(std::exchange(other.service_, nullptr)),
          stopped_(other.stopped_.exchange(false)) {}
    node& operator=(node&& other) noexcept {
        if (this != &other) {
            stop();
            group_ = std::move(other.group_);
            threads_ = std::exchange(other.threads_, std::nullopt);
            host_ = std::exchange(other.host_, {});
            service_ = std::exchange(other.service_, nullptr);
            stopped_ = other.stopped_.exchange(false);
        }
        return *this;
    }
    ~node() { stop(); }

    /// Leaves the group's service. A leader with threads of its own hands over first, for at most an `election_timeout`.
    /// Then every pending call ends with an outcome, all connections are closed, the node's own
    /// threads end. On a caller's executor it returns at once; whether somebody runs it makes no difference, unless one
    /// of its threads is at work for the node just now: then the connections are closed there. May be called again, also
    /// by several threads; the first one does it.
    void stop() noexcept {
        if (!service_ || stopped_.exchange(true)) return;
        if (!threads_) return service_->stop();
        service_->hand_over();
        std::promise<void> closed;
        service_->stop([&closed] { closed.set_value(); });
        closed.get_future().wait();
        service_->join();
        threads_->finish();
    }

    /// Waits until calls can be executed: a group was founded or found, and this process has a session. False when
    /// `timeout` passes first or the node is stopped.
    bool wait_ready(std::chrono::nanoseconds timeout) { return service().wait_ready(timeout); }

    /// The address that the others reach this node at.
    [[nodiscard]] openreplica::endpoint endpoint() const { return service().endpoint(); }

    /// A recent picture of this node, at most a fifth of a heartbeat old.
    [[nodiscard]] node_status status() const { return status_of(service(), group_); }

    // ---- the group's voters and its leader

    /// Changes the voters, any number of them at once, while the group runs. Nodes are named by their id (32 hexadecimal
    /// digits) or `host:port`; those to come must be standbys that have caught up. Returns when they govern.
    ///
    /// A node that loses its vote goes on as a standby under a fresh id. What is so already is done at once.
    ///
    /// @par Completion signature
    /// With a completion token as the last argument, here and below: `void(std::exception_ptr)`.
    ///
    /// @par Cancellation
    /// Any cancellation type gives up waiting; the change may still be carried out.
    ///
    /// @par Errors
    /// `change_refused` with a sentence: the voters are as they were. `not_executed` when no leader could be asked before
    /// `call_timeout`. `outcome_unknown` when one was, and its answer did not come.
    void reconfigure(voter_change what) { wait_for_change(std::move(what)); }
    template <class Token>
    auto reconfigure(voter_change what, Token&& token) {
        return begin_change(std::move(what), std::forward<Token>(token));
    }

    /// Gives a standby a vote.
    void add_voter(std::string who) { wait_for_change(voter_change{{std::move(who)}, {}}); }
    template <class Token>
    auto add_voter(std::string who, Token&& token) {
        return begin_change(voter_change{{std::move(who)}, {}}, std::forward<Token>(token));
    }
    /// Takes a voter's vote.
    void remove_voter(std::string who) { wait_for_change(voter_change{{}, {std::move(who)}}); }
    template <class Token>
    auto remove_voter(std::string who, Token&& token) {
        return begin_change(voter_change{{}, {std::move(who)}}, std::forward<Token>(token));
    }
    /// Both in one step: the number of voters, and what a majority is, stay as they are.
    void replace_voter(std::string old, std::string fresh) {
        wait_for_change(voter_change{{std::move(fresh)}, {std::move(old)}});
    }
    template <class Token>
    auto replace_voter(std::string old, std::string fresh, Token&& token) {
        return begin_change(voter_change{{std::move(fresh)}, {std::move(old)}}, std::forward<Token>(token));
    }
    /// Exactly these vote.
    void set_voters(std::vector<std::string> all) { wait_for_change(voter_change{std::move(all), {}, true}); }
    template <class Token>
    auto set_voters(std::vector<std::string> all, Token&& token) {
        return begin_change(voter_change{std::move(all), {}, true}, std::forward<Token>(token));
    }

    /// Makes a voter the leader; without a name, whoever is fittest among the others. Calls go on meanwhile. Returns when
    /// the present leader leads no more. Errors as above.
    void transfer_leadership(std::string to = {}) { wait_for_change(std::move(to)); }
    template <class Token>
    auto transfer_leadership(std::string to, Token&& token) {
        return begin_change(std::move(to), std::forward<Token>(token));
    }

    /// The executor of handlers that have none of their own.
    [[nodiscard]] asio::any_io_executor get_executor() const { return service().get_executor(); }

    /// What handles hold on to.
    friend object::host const& openreplica_host(node const& n) {
        (void)n.service();
        return n.host_;
    }

private:
    void open(runtime::service::surroundings around, node_options options) {
        auto objects = std::make_shared<object::object_space>(
            object::type_registry::global(), object::proposal_limits{options.limits.max_command_bytes});
        service_ = std::make_shared<runtime::service>(std::move(around), std::move(options), objects);
        service_->set_inspector(
            detail::inspector(*service_, objects, [&s = *service_, group = group_] { return status_of(s, group); }));
        service_->set_operator([&s = *service_](std::string const& order, runtime::guests::completion done) {
            detail::carry_out_order(s, order, std::move(done));
        });
        host_ = {service_, std::move(objects)};
        service_->start();
    }
    using change_wish = runtime::engine::change_wish;
    template <class Token>
    auto begin_change(change_wish what, Token&& token) {
        (void)service();
        auto start = [s = service_, what = std::move(what)](runtime::gateway::completion done) mutable {
            return s->wish(std::move(what), {}, std::move(done));
        };
        auto finish = [](call_outcome const&) {};
        return asio::async_initiate<Token, void(std::exception_ptr)>(
            object::initiation<void, decltype(finish)>{host_.gateway, finish}, token, std::move(start));
    }
    void wait_for_change(change_wish what) {
        if (service().would_deadlock())
            throw error(errc::would_deadlock, "the group's voters cannot be changed by a blocking call on a thread that the node "
                                              "needs; give a completion token");
        std::promise<call_outcome> outcome;
        service().wish(std::move(what), {}, [&](call_outcome&& o) { outcome.set_value(std::move(o)); });
        if (call_outcome const o = outcome.get_future().get(); !o.ok()) throw error(o.code, o.text);
    }
    [[nodiscard]] static node_status status_of(runtime::service const& service, std::string const& group);
    [[nodiscard]] runtime::service& service() const {
        if (!service_) throw error(errc::stopped, "this node was moved from; use the node that it was moved to");
        return *service_;
    }

    std::string group_;
    std::optional<detail::own_threads> threads_;
    object::host host_;
    std::shared_ptr<runtime::service> service_;
    std::atomic<bool> stopped_ = false;
};

inline node_status node::status_of(runtime::service const& service, std::string const& group) {
    runtime::engine_status const s = service.status();
    auto const connected = service.connected();
    node_status out;
    out.id = to_string(s.self);
    out.group = group;
    out.endpoint = to_string(service.endpoint());
    if (!s.cluster.empty()) out.cluster = to_string(s.cluster);
    out.role = s.cluster.empty() ? "founding" : s.leading ? "leader" : s.voter ? "voter" : "standby";
    out.epoch = s.governing.number.value;
    for (paxos::member const& m : s.governing.voters) {
        bool const up = m.id == s.self || std::find(connected.begin(), connected.end(), m.id) != connected.end();
        out.voters.push_back({to_string(m.id), to_string(m.address), up});
        if (s.leader == m.id) out.leader = to_string(m.address);
    }
    out.ready = s.session != session_id{};
    out.healthy = s.healthy;
    out.chosen = s.chosen.value;
    out.applied = s.applied.value;
    out.log_start = s.log_start.value;
    out.log_memory_bytes = s.log_weight;
    out.digest = s.digest;
    out.pending_calls = service.pending_calls();
    constexpr char const* states[] = {"ok", "slow", "full", "failed"};
    auto const disk = service.storage_status();
    out.disk = {disk.directory, states[static_cast<std::size_t>(disk.state)], disk.log_bytes, disk.snapshot.value,
                disk.last_sync.count(), disk.slowest_sync.count()};
    out.problem = s.problem.empty() ? disk.problem : s.problem;
    out.log_kept_by = s.log_kept_by;
    out.last_change = s.last_change;
    out.snapshot_pause_us = s.freeze_pause.count();
    return out;
}

} // namespace openreplica::inline v0
