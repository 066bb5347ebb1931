// A client's life: opening, waiting, stopping, moving, its threads or the caller's.
#include <openreplica/openreplica.hpp>

#include "one_node.hpp"

#include <doctest/doctest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace client_life_test {

using namespace openreplica;
using one_node::alone;
using one_node::thrown_by;
using namespace std::chrono_literals;

class score {
    int value = 0;

public:
    int add(int n) { return value += n; }
    int get() const { return value; }
    OPENREPLICA_METHODS(score, add, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(score, value)
};
using handle = replicated<score>;

client_options near(node const& n) {
    client_options o;
    o.group = "t";
    o.seeds = {to_string(n.endpoint())};
    o.logger = [](log_level, std::string_view) {};
    return o;
}
client_options nowhere() {
    client_options o;
    o.group = "t";
    o.seeds = {"127.0.0.1:1"};
    o.logger = [](log_level, std::string_view) {};
    return o;
}

TEST_CASE("wrong options throw before anything is opened") {
    CHECK(thrown_by([] { client c{client_options{}}; }) == errc::bad_option);
    asio::io_context io;
    CHECK(thrown_by([&] { client c(io, client_options{}); }) == errc::bad_option);
}

TEST_CASE("a client without a group waits until the deadline, and says that nothing was executed, and why") {
    client c(nowhere());
    handle h{c, "s"};
    std::string sentence;
    CHECK(thrown_by([&] { (void)h.with({.timeout = 50ms})->add(1); }, &sentence) == errc::not_executed);
    CHECK(thrown_by([&] { (void)h.with({.timeout = 50ms})->get(); }) == errc::not_executed);
    CHECK(thrown_by([&] { (void)h.with({.timeout = 50ms}).local()->get(); }) == errc::not_executed);
    CHECK(thrown_by([&] { (void)c.ask("status", "", {}, 50ms); }, &sentence) == errc::not_executed);
    CHECK(sentence.find("nobody answers") != std::string::npos);
    CHECK(thrown_by([&] { (void)c.order("{}", 50ms); }) == errc::not_executed);
    CHECK(!c.wait_ready(50ms));
    CHECK(c.status().problem.find("nobody answers") != std::string::npos);
}

TEST_CASE("a client that was stopped ends its calls, and its handles go on saying so") {
    std::optional<client> c(nowhere());
    handle h{*c, "s"};
    auto pending = h.async(asio::use_future)->add(1);
    auto read = h.async(asio::use_future)->get();
    std::thread waiter([&] { CHECK(!c->wait_ready(20s)); });
    c->stop();
    c->stop();
    waiter.join();
    CHECK(thrown_by([&] { (void)pending.get(); }) == errc::stopped);
    CHECK(thrown_by([&] { (void)read.get(); }) == errc::stopped);
    c.reset();
    CHECK(thrown_by([&] { (void)h->get(); }) == errc::stopped);
    CHECK(thrown_by([&] { (void)h.local()->get(); }) == errc::stopped);
    auto late = h.async(asio::use_future)->add(1);
    CHECK(thrown_by([&] { (void)late.get(); }) == errc::stopped);
}

TEST_CASE("a client can be moved; what was moved from says so") {
    node n(alone());
    client a(near(n));
    handle h{a, "s"};
    CHECK(h->add(1) == 1);
    client b = std::move(a);
    CHECK(h->add(1) == 2);
    CHECK(thrown_by([&] { (void)a.status(); }) == errc::stopped);
    CHECK(thrown_by([&] { handle broken{a, "s"}; }) == errc::stopped);
    client c(nowhere());
    c = std::move(b);
    CHECK(h->add(1) == 3);
    CHECK(c.wait_ready(20s));
}

TEST_CASE("on the caller's executor everything runs there, and a blocking call in it is refused") {
    node n(alone());
    asio::io_context io;
    client c(io, near(n));
    handle h{c, "s"};
    std::promise<errc> blocked, waited, asked;
    asio::post(io, [&] {
        blocked.set_value(thrown_by([&] { (void)h->add(1); }));
        waited.set_value(thrown_by([&] { (void)c.wait_ready(1s); }));
        asked.set_value(thrown_by([&] { (void)c.ask("status"); }));
    });
    std::promise<std::thread::id> ran_on;
    h.async([&](std::exception_ptr e, int sum) {
        CHECK(!e);
        CHECK(sum == 5);
        ran_on.set_value(std::this_thread::get_id());
        c.stop();
    })->add(5);
    std::thread runner([&] { io.run(); });
    auto const runner_id = runner.get_id();
    runner.join();
    CHECK(ran_on.get_future().get() == runner_id);
    CHECK(blocked.get_future().get() == errc::would_deadlock);
    CHECK(waited.get_future().get() == errc::would_deadlock);
    CHECK(asked.get_future().get() == errc::would_deadlock);
}

asio::awaitable<int> add_and_read(handle h) {
    co_await h.async(asio::use_awaitable)->add(3);
    co_return co_await h.async(asio::use_awaitable)->get();
}

TEST_CASE("coroutines, and cancellation of what has not been sent") {
    node n(alone());
    client c(near(n));
    CHECK(asio::co_spawn(c.get_executor(), add_and_read({c, "s"}), asio::use_future).get() == 3);
    client lost(nowhere());
    handle h{lost, "s"};
    asio::cancellation_signal stop;
    std::promise<std::error_code> end;
    h.async(asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e, int) { end.set_value(code_of(e)); }))->add(1);
    stop.emit(asio::cancellation_type::total);
    CHECK(end.get_future().get() == errc::cancelled);
}

TEST_CASE("calls past the limit are refused at once, and one that is too large too") {
    auto o = nowhere();
    o.limits.max_pending_calls = 2;
    client c(o);
    handle h{c, "s"};
    auto first = h.async(asio::use_future)->add(1);
    auto second = h.async(asio::use_future)->get();
    auto third = h.async(asio::use_future)->add(1);
    CHECK(thrown_by([&] { (void)third.get(); }) == errc::overloaded);
    CHECK(c.status().pending_calls == 2);
    CHECK(thrown_by([&] { (void)c.call("s", "add", "[" + std::string(1u << 20, '1') + "]"); }) == errc::too_large);
}

TEST_CASE("an untyped call is executed like any other, const or not; what is no array is refused") {
    node n(alone());
    client c(near(n));
    handle h{c, "s"};
    CHECK(h->add(1) == 1);
    CHECK(c.call("s", "add", "[41]") == "42");
    CHECK(c.call("s", "get", "[]") == "42");
    CHECK(thrown_by([&] { (void)c.call("s", "add", "1"); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { (void)c.call("s", "add", "[\"x\"]"); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { (void)c.call("s", "fly", "[]"); }) == errc::no_such_method);
    CHECK(thrown_by([&] { (void)c.call("nobody", "add", "[1]"); }) == errc::no_such_object);
    CHECK(h->get() == 42);
}

TEST_CASE("a bound on staleness holds on a node as well") {
    node n(alone());
    handle h{n, "s"};
    CHECK(h->add(1) == 1);
    CHECK(h.with({.max_staleness = 1ms}).local()->get() == 1);
}

TEST_CASE("a replica of another group refuses the client, which says so") {
    node n(alone());
    auto o = near(n);
    o.group = "another";
    client c(o);
    CHECK(!c.wait_ready(300ms));
    CHECK(c.status().problem.find("belongs to group") != std::string::npos);
}

} // namespace client_life_test
