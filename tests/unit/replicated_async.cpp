// Asynchronous calls of a handle: tokens, executors, cancellation, on a real node alone.
#include <openreplica/openreplica.hpp>

#include "one_node.hpp"

#include <doctest/doctest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace async_test {

using namespace openreplica;
using one_node::alone;
using one_node::gate;
using namespace std::chrono_literals;

gate* the_gate = nullptr; // Of the one test that uses it.

class dial {
    int value = 0;

public:
    int add(int n) { return value += n; }
    int get() const { return value; }
    void clear() { value = 0; }
    void look() const {}
    int fail() { throw std::runtime_error("no"); }
    int fail_read() const { throw std::runtime_error("no read"); }
    void pass() { the_gate->pass(); }
    OPENREPLICA_METHODS(dial, add, get, clear, look, fail, fail_read, pass)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(dial, value)
};
using handle = replicated<dial>;

/// A node whose calls cannot be executed: the other founder never comes.
node_options waiting() {
    node_options o = alone();
    o.seeds = {"127.0.0.1:1"};
    o.founders = 2;
    return o;
}

errc code(std::exception_ptr const& e) { return static_cast<errc>(code_of(e).value()); }

/// A result that must come in time.
template <class R>
R get(std::future<R> f) {
    if (f.wait_for(20s) != std::future_status::ready) throw std::runtime_error("no completion");
    return f.get();
}

asio::awaitable<int> three_adds(handle h) {
    int last = 0;
    for (int i = 0; i < 3; ++i) last = co_await h.async(asio::use_awaitable)->add(1);
    co_await h.async(asio::use_awaitable)->look();
    co_return last + co_await h.async(asio::use_awaitable)->get();
}

asio::awaitable<std::string> text_of_failure(handle h) {
    try {
        co_await h.async(asio::use_awaitable)->fail();
    } catch (error const& e) {
        co_return e.what();
    }
    co_return "nothing was thrown";
}

TEST_CASE("a callback gets no error and the result, or the error and a default result; void methods only the error") {
    node n{alone()};
    handle h{n, "h"};
    std::promise<std::pair<errc, int>> added, failed, unread;
    h.async([&](std::exception_ptr e, int r) { added.set_value({code(e), r}); })->add(2);
    CHECK(get(added.get_future()) == std::pair{errc{}, 2});
    h.async([&](std::exception_ptr e, int r) { failed.set_value({code(e), r}); })->fail();
    CHECK(get(failed.get_future()) == std::pair{errc::method_threw, 0});
    h.async([&](std::exception_ptr e, int r) { unread.set_value({code(e), r}); })->fail_read();
    CHECK(get(unread.get_future()) == std::pair{errc::method_threw, 0});
    std::promise<errc> cleared, looked;
    h.async([&](std::exception_ptr e) { cleared.set_value(code(e)); })->clear();
    CHECK(get(cleared.get_future()) == errc{});
    h.async([&](std::exception_ptr e) { looked.set_value(code(e)); })->look();
    CHECK(get(looked.get_future()) == errc{});
}

TEST_CASE("futures, coroutines and deferred operations complete, by every way to name the method") {
    node n{alone()};
    handle h{n, "h"};
    CHECK(get(h.async()->add(1)) == 1);
    CHECK(get(h.async(asio::use_future)->get()) == 1);
    get(h.async(asio::use_future)->clear());
    CHECK(get(asio::co_spawn(n.get_executor(), three_adds(h), asio::use_future)) == 6);
    CHECK(get(asio::co_spawn(n.get_executor(), text_of_failure(h), asio::use_future)).find("fail: no") == 0);
    CHECK(get(h.async_call<&dial::add>(1, asio::use_future)) == 4);
    CHECK(get(h.async_call<"add">(1, asio::use_future)) == 5);
    CHECK(get(h.async_call<"get">(asio::use_future)) == 5);
    CHECK(get(h.async_exists(asio::use_future)));
    get(h.async_reset(asio::use_future));
    CHECK(get(h.async_destroy(asio::use_future)));
    CHECK_FALSE(get(h.async_exists(asio::use_future)));
}

TEST_CASE("a deferred call is made when it is started, with the arguments that it was given") {
    node n{alone()};
    handle h{n, "h"};
    int amount = 5;
    auto later = h.async(asio::experimental::deferred)->add(amount);
    amount = 100;
    CHECK(h->get() == 0);
    CHECK(get(std::move(later)(asio::use_future)) == 5);
    CHECK(h->get() == 5);
}

TEST_CASE("a handler with an executor of its own runs there, one without on the node's") {
    asio::io_context io{1};
    node n{alone()};
    handle h{n, "h"};
    std::promise<std::thread::id> own, nodes, again;
    auto const here = [&](std::exception_ptr, int) { own.set_value(std::this_thread::get_id()); };
    h.async(asio::bind_executor(io, here))->add(1);
    io.run_for(20s); // There is work until the handler has run.
    CHECK(get(own.get_future()) == std::this_thread::get_id());
    h.async([&](std::exception_ptr, int) { nodes.set_value(std::this_thread::get_id()); })->get();
    asio::post(n.get_executor(), [&] { again.set_value(std::this_thread::get_id()); });
    CHECK(get(nodes.get_future()) == get(again.get_future()));
}

TEST_CASE("a handler never runs inside the call that starts it") {
    asio::io_context io{1};
    node n{alone()};
    handle h{n, "h"};
    h->look();
    std::promise<bool> inside_of_call, inside_of_stopped;
    // On the one thread that runs handlers, so that one that runs too early can only be inside.
    asio::post(n.get_executor(), [&] {
        auto const inside = std::make_shared<bool>(true);
        h.async([&, inside](std::exception_ptr, int) { inside_of_call.set_value(*inside); })->add(1);
        *inside = false;
    });
    CHECK_FALSE(get(inside_of_call.get_future()));
    n.stop();
    bool ran = false;
    h.async(asio::bind_executor(io, [&](std::exception_ptr e, int) {
        ran = true;
        CHECK(code(e) == errc::stopped);
    }))->add(1);
    CHECK_FALSE(ran);
    io.run_for(20s);
    CHECK(ran);
}

TEST_CASE("cancelling a call that was not sent ends it with cancelled, for updates and reads") {
    asio::io_context io{1};
    node n{waiting()};
    handle h{n, "h"};
    asio::cancellation_signal update, read;
    errc ended_update{}, ended_read{};
    auto const bound = [&](asio::cancellation_signal& s, errc& into) {
        auto f = [&into](std::exception_ptr e, int) { into = code(e); };
        return asio::bind_cancellation_slot(s.slot(), asio::bind_executor(io, f));
    };
    h.async(bound(update, ended_update))->add(1);
    h.async(bound(read, ended_read))->get();
    update.emit(asio::cancellation_type::terminal);
    read.emit(asio::cancellation_type::total);
    io.run_for(20s);
    CHECK(ended_update == errc::cancelled);
    CHECK(ended_read == errc::cancelled);
    CHECK(n.status().pending_calls == 0);
    update.emit(asio::cancellation_type::terminal); // Too late changes nothing.
}

TEST_CASE("cancelling a call that was sent ends it with outcome_unknown, and it may run all the same") {
    gate g;
    the_gate = &g;
    asio::io_context io{1};
    node n{alone()};
    handle h{n, "h"};
    h->look();
    auto const before = h.async()->pass();
    REQUIRE(g.wait_entered()); // The thread that applies stands in the method.
    auto const chosen = n.status().chosen;
    asio::cancellation_signal signal;
    errc ended{};
    auto const told = [&](std::exception_ptr e, int) { ended = code(e); };
    h.async(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, told)))->add(1);
    auto const until = std::chrono::steady_clock::now() + 20s;
    while (n.status().chosen <= chosen && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    REQUIRE(n.status().chosen > chosen); // It is in the log.
    signal.emit(asio::cancellation_type::terminal);
    g.open();
    io.run_for(20s);
    CHECK(ended == errc::outcome_unknown);
    before.wait();
    CHECK(h->get() == 1);
}

TEST_CASE("cancelling from a coroutine's side reaches the call") {
    asio::io_context io{1};
    node n{waiting()};
    handle h{n, "h"};
    asio::cancellation_signal signal;
    errc ended{};
    auto const told = [&](std::exception_ptr e, int) { ended = code(e); };
    asio::co_spawn(io, three_adds(h), asio::bind_cancellation_slot(signal.slot(), told));
    asio::post(io, [&] { asio::post(io, [&] { signal.emit(asio::cancellation_type::terminal); }); });
    io.run_for(20s);
    CHECK(ended == errc::cancelled);
}

TEST_CASE("a thousand calls in flight on one handle all complete, in the order of the log") {
    asio::io_context io{1};
    node n{alone()};
    handle h{n, "h"};
    int expected = 0, out_of_order = 0;
    for (int i = 0; i < 1000; ++i)
        h.async(asio::bind_executor(io, [&](std::exception_ptr e, int now) {
            if (e || now != ++expected) ++out_of_order;
        }))->add(1);
    io.run_for(20s);
    CHECK(expected == 1000);
    CHECK(out_of_order == 0);
}

TEST_CASE("stopping the node ends what is pending, each once: unsent with stopped") {
    node n{waiting()};
    handle h{n, "h"};
    std::atomic<int> stopped = 0, others = 0;
    for (int i = 0; i < 50; ++i) {
        h.async([&](std::exception_ptr e, int) { ++(code(e) == errc::stopped ? stopped : others); })->add(1);
        h.async([&](std::exception_ptr e, int) { ++(code(e) == errc::stopped ? stopped : others); })->get();
    }
    n.stop();
    CHECK(stopped == 100);
    CHECK(others == 0);
}

} // namespace async_test
