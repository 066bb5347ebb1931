// A node's life: opening, stopping, moving, its threads or the caller's.
#include <openreplica/openreplica.hpp>

#include "one_node.hpp"

#include <doctest/doctest.h>

#include <asio/bind_executor.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace node_test {

using namespace openreplica;
using one_node::alone;
using one_node::thrown_by;
using namespace std::chrono_literals;

class visits {
    int value = 0;

public:
    int add(int n) { return value += n; }
    int get() const { return value; }
    OPENREPLICA_METHODS(visits, add, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(visits, value)
};
using handle = replicated<visits>;

/// Runs `f` on a thread of its own: a call that never ends fails the test and does not hang it for ever.
template <class F>
auto in_time(F f) {
    std::packaged_task<decltype(f())()> task(std::move(f));
    auto result = task.get_future();
    std::thread runner(std::move(task));
    if (result.wait_for(20s) != std::future_status::ready) {
        runner.detach();
        throw std::runtime_error("the call did not end");
    }
    runner.join();
    return result.get();
}

template <class R>
errc code_of_future(std::future<R>& f) {
    if (f.wait_for(20s) != std::future_status::ready) throw std::runtime_error("the future did not become ready");
    return thrown_by([&] { (void)f.get(); });
}

/// A caller's own context with one thread.
struct own_context {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(io);
    std::thread thread{[this] { io.run(); }};

    ~own_context() {
        guard.reset();
        thread.join();
    }
};

TEST_CASE("a node alone becomes ready, leads, and says so") {
    node n{alone()};
    REQUIRE(n.wait_ready(20s));
    handle h{n, "h"};
    CHECK(h->add(2) == 2);
    node_status const s = n.status();
    CHECK(s.group == "t");
    CHECK(s.role == "leader");
    CHECK(s.ready);
    CHECK(s.healthy);
    CHECK(s.problem == "");
    CHECK(s.cluster.size() == 32);
    CHECK(s.voters.size() == 1);
    CHECK(s.leader == s.endpoint);
    CHECK(s.endpoint == to_string(n.endpoint()));
    CHECK(n.endpoint().host == "127.0.0.1");
    CHECK(n.endpoint().port != 0);
    nlohmann::json const text = s;
    CHECK(text["role"] == "leader");
    CHECK(text["voters"][0]["endpoint"] == s.endpoint);
}

TEST_CASE("a wrong option, a taken address and a wrong name server are refused by the constructor") {
    CHECK(thrown_by([] { node n{node_options{}}; }) == errc::bad_option);
    node const first{alone()};
    node_options o = alone();
    o.listen = to_string(first.endpoint());
    CHECK(thrown_by([&] { node n{o}; }) == errc::address_in_use);
    asio::io_context io;
    CHECK(thrown_by([&] { node n(io, o); }) == errc::address_in_use);
    o = alone();
    o.dns_server = "::1:53:x";
    CHECK(thrown_by([&] { node n{o}; }) == errc::bad_option);
    o = alone();
    o.data_dir = "/dev/null/data";
    CHECK(thrown_by([&] { node n{o}; }) == errc::storage_failed);
}

TEST_CASE("after stop() every kind of call ends with stopped") {
    node n{alone()};
    handle h{n, "h"};
    REQUIRE(h->add(1) == 1);
    n.stop();
    n.stop(); // Again changes nothing.
    CHECK(in_time([&] { return thrown_by([&] { h->add(1); }); }) == errc::stopped);
    CHECK(in_time([&] { return thrown_by([&] { h->get(); }); }) == errc::stopped);
    CHECK(in_time([&] { return thrown_by([&] { (void)h.exists(); }); }) == errc::stopped);
    CHECK(in_time([&] { return thrown_by([&] { h.destroy(); }); }) == errc::stopped);
    CHECK(in_time([&] { return thrown_by([&] { h.reset(); }); }) == errc::stopped);
    handle late{n, "late"};
    CHECK(in_time([&] { return thrown_by([&] { late->get(); }); }) == errc::stopped);
    auto update = h.async(asio::use_future)->add(1);
    CHECK(code_of_future(update) == errc::stopped);
    auto read = h.async(asio::use_future)->get();
    CHECK(code_of_future(read) == errc::stopped);
    std::promise<errc> told;
    h.async([&](std::exception_ptr e, int) { told.set_value(static_cast<errc>(code_of(e).value())); })->add(1);
    auto heard = told.get_future();
    REQUIRE(heard.wait_for(20s) == std::future_status::ready);
    CHECK(heard.get() == errc::stopped);
    CHECK_FALSE(n.wait_ready(20s));
}

TEST_CASE("handles outlive the node: their calls end with stopped, and nothing of the node is touched") {
    std::optional<node> n(std::in_place, alone());
    handle h{*n, "h"};
    REQUIRE(h->add(1) == 1);
    n.reset();
    CHECK(in_time([&] { return thrown_by([&] { h->add(1); }); }) == errc::stopped);
    CHECK(in_time([&] { return thrown_by([&] { h->get(); }); }) == errc::stopped);
    auto later = h.async(asio::use_future)->add(1);
    CHECK(code_of_future(later) == errc::stopped);
    handle const copy = h;
    h = copy.with({.timeout = 1s});
    CHECK(in_time([&] { return thrown_by([&] { h->get(); }); }) == errc::stopped);
}

TEST_CASE("calls that race with stop() end, each with its result or an honest error") {
    for (int round = 0; round < 20; ++round) {
        node n{alone()};
        handle h{n, "h"};
        REQUIRE(h->add(1) == 1);
        auto caller = [&](bool reads) {
            return [h, reads] {
                for (;;) {
                    errc const code = thrown_by([&] { reads ? h->get() : h->add(1); });
                    if (code != errc{}) return code;
                }
            };
        };
        auto updates = std::async(std::launch::async, caller(false));
        auto reads = std::async(std::launch::async, caller(true));
        n.stop();
        REQUIRE(updates.wait_for(20s) == std::future_status::ready);
        REQUIRE(reads.wait_for(20s) == std::future_status::ready);
        errc const code = updates.get();
        CHECK((code == errc::stopped || code == errc::outcome_unknown || code == errc::not_executed));
        CHECK(reads.get() == errc::stopped);
    }
}

TEST_CASE("a node that was moved from has no seat, the one it was moved to keeps it") {
    node first{alone()};
    handle h{first, "h"};
    REQUIRE(h->add(1) == 1);
    node second{std::move(first)};
    CHECK(h->add(1) == 2);
    CHECK(second.status().role == "leader");
    CHECK(thrown_by([&] { (void)first.status(); }) == errc::stopped);
    CHECK(thrown_by([&] { (void)first.wait_ready(1s); }) == errc::stopped);
    CHECK(thrown_by([&] { handle none{first, "h"}; }) == errc::stopped);
    first.stop();
    node third{alone()};
    handle other{third, "h"};
    third = std::move(second);
    CHECK(h->add(1) == 3);
    CHECK(in_time([&] { return thrown_by([&] { other->add(1); }); }) == errc::stopped);
    handle const moved = std::move(h);
    CHECK(moved->get() == 3);
    CHECK(thrown_by([&] { h->get(); }) == errc::stopped);
    CHECK(thrown_by([&] { h.local()->get(); }) == errc::stopped);
    CHECK(thrown_by([&] { h.async(asio::use_future)->get(); }) == errc::stopped);
}

TEST_CASE("a handle can be made again on the node that took a stopped one's place") {
    node n{alone()};
    handle h{n, "h"};
    REQUIRE(h->add(1) == 1);
    n.stop();
    n = node{alone()};
    REQUIRE(n.wait_ready(20s));
    handle again{n, "h"};
    CHECK(again->add(1) == 1);
    n.stop();
    CHECK(in_time([&] { return thrown_by([&] { again->get(); }); }) == errc::stopped);
}

TEST_CASE("a blocking call in a handler of the node's executor throws would_deadlock at once") {
    node n{alone()};
    handle h{n, "h"};
    auto ask = asio::post(n.get_executor(), asio::use_future([&] {
        CHECK(thrown_by([&] { h->add(1); }) == errc::would_deadlock);
        CHECK(thrown_by([&] { h->get(); }) == errc::would_deadlock);
        CHECK(thrown_by([&] { (void)h.exists(); }) == errc::would_deadlock);
        CHECK(thrown_by([&] { (void)n.wait_ready(1s); }) == errc::would_deadlock);
    }));
    REQUIRE(ask.wait_for(20s) == std::future_status::ready);
    CHECK(h->get() == 0);
}

TEST_CASE("a node on the caller's io_context serves other threads, and refuses to block the one that runs it") {
    own_context mine;
    node n{mine.io, alone()};
    handle h{n, "h"};
    CHECK(h->add(1) == 1);
    CHECK(h->get() == 1);
    auto ask = asio::post(mine.io, asio::use_future([&] {
        CHECK(thrown_by([&] { h->add(1); }) == errc::would_deadlock);
        CHECK(thrown_by([&] { h->get(); }) == errc::would_deadlock);
        CHECK(h.local()->get() == 1);
    }));
    REQUIRE(ask.wait_for(20s) == std::future_status::ready);
    std::promise<std::thread::id> ran;
    h.async([&](std::exception_ptr, int) { ran.set_value(std::this_thread::get_id()); })->add(1);
    CHECK(ran.get_future().get() == mine.thread.get_id());
    n.stop();
    CHECK(in_time([&] { return thrown_by([&] { h->add(1); }); }) == errc::stopped);
    CHECK(in_time([&] { return thrown_by([&] { h->get(); }); }) == errc::stopped);
}

TEST_CASE("would_deadlock is known for a thread_pool and for strands") {
    asio::thread_pool pool{2};
    asio::io_context io{1};
    {
        node n{pool, alone()};
        handle h{n, "h"};
        CHECK(h->add(1) == 1);
        auto const blocks = [&] { CHECK(thrown_by([&] { h->add(1); }) == errc::would_deadlock); };
        auto ask = asio::post(pool, asio::use_future(blocks));
        REQUIRE(ask.wait_for(20s) == std::future_status::ready);
        n.stop();
    }
    pool.join();
    node typed{asio::make_strand(io), alone()};
    node erased{asio::make_strand(asio::any_io_executor(io.get_executor())), alone()};
    handle a{typed, "h"}, b{erased, "h"};
    asio::post(io, [&] {
        CHECK(thrown_by([&] { a->add(1); }) == errc::would_deadlock);
        CHECK(thrown_by([&] { b->add(1); }) == errc::would_deadlock);
        typed.stop();
        erased.stop();
    });
    io.run_for(20s);
    CHECK(io.stopped());
}

TEST_CASE("a node on an io_context that one thread runs completes asynchronous calls, and stop lets it end") {
    asio::io_context io{1};
    node n{io, alone()};
    handle h{n, "h"};
    int sum = 0;
    h.async([&](std::exception_ptr e, int now) {
        CHECK_FALSE(e);
        sum = now;
        h.async([&](std::exception_ptr, int again) {
            sum += again;
            n.stop();
        })->get();
    })->add(21);
    io.run_for(20s);
    CHECK(sum == 42);
    CHECK(io.stopped());
}

TEST_CASE("a handler may end its own node") {
    auto n = std::make_unique<node>(alone());
    handle h{*n, "h"};
    std::promise<void> gone;
    h.async([&](std::exception_ptr, int) {
        n.reset();
        gone.set_value();
    })->add(1);
    REQUIRE(gone.get_future().wait_for(20s) == std::future_status::ready);
    CHECK(in_time([&] { return thrown_by([&] { h->get(); }); }) == errc::stopped);
}

} // namespace node_test
