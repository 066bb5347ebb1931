// Calls of a node keep their deadlines, whatever objects, executors and `stop` do meanwhile.
#include <openreplica/runtime/service.hpp>

#include <openreplica/openreplica.hpp>

#include "../one_node.hpp"

#include <doctest/doctest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

template <>
struct openreplica::describe<std::map<std::string, int>> {
    static constexpr auto methods() {
        using map = std::map<std::string, int>;
        return method_table<method<"size", [](map const& m) { return m.size(); }>, method<"clear", [](map& m) { m.clear(); }>>{};
    }
};

namespace service_test {

using namespace openreplica;
using one_node::alone;
using one_node::gate;
using one_node::thrown_by;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

inline std::atomic<gate*> the_gate = nullptr;

class door {
    int passed = 0;

public:
    int knock() { return ++passed; }
    int slow() {
        the_gate.load()->pass();
        return ++passed;
    }
    int get() const { return passed; }
    OPENREPLICA_METHODS(door, knock, slow, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(door, passed)
};
using handle = replicated<door>;

/// The code of a blocking call on a thread of its own, which must end soon.
template <class F>
std::future<errc> on_a_thread(F f) {
    return std::async(std::launch::async, [f = std::move(f)] { return thrown_by(f); });
}
errc get(std::future<errc>& f) {
    if (f.wait_for(20s) != std::future_status::ready) std::terminate(); // Its destructor would wait for ever.
    return f.get();
}

TEST_CASE("a call ends at its deadline although its own method is still running") {
    gate g;
    the_gate = &g;
    node n{alone()};
    handle h{n, "h"};
    REQUIRE(h->knock() == 1);
    auto call = on_a_thread([h] { h.with({.timeout = 100ms})->slow(); });
    CHECK(get(call) == errc::outcome_unknown); // Before the gate opens.
    g.open();
    CHECK(h->get() == 2);
}

TEST_CASE("updates and reads end at their deadline behind somebody else's slow method") {
    gate g;
    the_gate = &g;
    node n{alone()};
    handle h{n, "h"};
    REQUIRE(h->knock() == 1);
    auto slow = h.async(asio::use_future)->slow();
    REQUIRE(g.wait_entered());
    auto update = on_a_thread([h] { h.with({.timeout = 100ms})->knock(); });
    auto read = on_a_thread([h] { h.with({.timeout = 100ms})->get(); });
    auto future = h.with({.timeout = 100ms}).async(asio::use_future)->knock();
    CHECK(get(update) == errc::outcome_unknown);
    CHECK(get(read) == errc::not_executed);
    REQUIRE(future.wait_for(20s) == std::future_status::ready);
    CHECK(thrown_by([&] { future.get(); }) == errc::outcome_unknown);
    CHECK(slow.wait_for(0s) == std::future_status::timeout);
    g.open();
    CHECK(slow.get() >= 2);
}

TEST_CASE("cancelling takes effect behind a slow method") {
    gate g;
    the_gate = &g;
    asio::io_context io{1};
    node n{alone()};
    handle h{n, "h"};
    REQUIRE(h->knock() == 1);
    auto slow = h.async(asio::use_future)->slow();
    REQUIRE(g.wait_entered());
    asio::cancellation_signal signal;
    errc ended{};
    h.async(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, [&](std::exception_ptr e, int) {
        ended = static_cast<errc>(code_of(e).value());
    })))->get();
    signal.emit(asio::cancellation_type::terminal);
    io.run_for(20s);
    CHECK(ended == errc::cancelled);
    g.open();
    slow.wait();
}

TEST_CASE("stop() tells callers the end of their calls while a slow method goes on") {
    gate g;
    the_gate = &g;
    asio::io_context io{1};
    auto guard = asio::make_work_guard(io);
    std::thread runner([&] { io.run(); });
    {
        node n{io, alone()};
        handle h{n, "h"};
        REQUIRE(h->knock() == 1);
        auto slow = on_a_thread([h] { h->slow(); });
        REQUIRE(g.wait_entered());
        auto read = on_a_thread([h] { h->get(); });
        while (n.status().pending_calls < 2) std::this_thread::yield();
        n.stop();
        CHECK(get(read) == errc::stopped);
        g.open(); // `slow` may run on its caller's own thread.
        CHECK(get(slow) == errc::outcome_unknown);
    }
    guard.reset();
    runner.join();
}

TEST_CASE("on an io_context that nobody runs calls end at their deadline, and at stop()") {
    asio::io_context io{1};
    node n{io, alone()};
    handle h{n, "h"};
    auto update = on_a_thread([h] { h.with({.timeout = 100ms})->knock(); });
    auto read = on_a_thread([h] { h.with({.timeout = 100ms})->get(); });
    CHECK(get(update) == errc::not_executed);
    CHECK(get(read) == errc::not_executed);
    auto patient_update = on_a_thread([h] { h->knock(); });
    auto patient_read = on_a_thread([h] { h->get(); });
    while (n.status().pending_calls < 2) std::this_thread::yield();
    n.stop();
    CHECK(get(patient_update) == errc::stopped);
    CHECK(get(patient_read) == errc::stopped);
}

TEST_CASE("on an io_context that was stopped blocking reads and updates end at stop()") {
    asio::io_context io{1};
    auto guard = asio::make_work_guard(io);
    std::thread runner([&] { io.run(); });
    node n{io, alone()};
    REQUIRE(n.wait_ready(20s));
    handle h{n, "h"};
    REQUIRE(h->knock() == 1);
    io.stop();
    runner.join();
    auto read = on_a_thread([h] { h->get(); });
    auto other = on_a_thread([h] { h->get(); });
    n.stop();
    errc const codes[] = {get(read), get(other)}; // One that waits alone may have made its read itself.
    for (errc c : codes) CHECK((c == errc::stopped || c == errc{}));
}

TEST_CASE("handles may outlive the context of a node that was stopped") {
    std::optional<handle> h;
    {
        asio::io_context io{1};
        auto guard = asio::make_work_guard(io);
        std::thread runner([&] { io.run(); });
        node n{io, alone()};
        h.emplace(n, "h");
        CHECK((*h)->knock() == 1);
        io.stop();
        runner.join();
        n.stop();
    }
    CHECK(thrown_by([&] { (*h)->knock(); }) == errc::stopped);
    CHECK(thrown_by([&] { (*h)->get(); }) == errc::stopped);
    h.reset();
}

TEST_CASE("a pending asynchronous read that holds its handle keeps nothing alive after stop()") {
    std::weak_ptr<int> witness;
    {
        asio::io_context io{1};
        node n{io, alone()};
        handle h{n, "h"};
        auto held = std::make_shared<int>(1);
        witness = held;
        h.async([h, held](std::exception_ptr, int) {})->get();
        held.reset();
        CHECK_FALSE(witness.expired());
        n.stop();
    }
    CHECK(witness.expired());
}

TEST_CASE("asynchronous calls that race with stop() all complete") {
    for (int round = 0; round < 50; ++round) {
        node n{alone()};
        handle h{n, "h"};
        std::atomic<int> begun = 0, ended = 0;
        std::thread caller([&] {
            for (int i = 0; i < 200; ++i) {
                ++begun;
                h.async([&](std::exception_ptr, int) { ++ended; })->knock();
            }
        });
        while (begun < 20) std::this_thread::yield();
        n.stop();
        caller.join();
        auto const until = steady::now() + 20s;
        while (ended < begun && steady::now() < until) std::this_thread::yield();
        REQUIRE(ended == begun);
    }
}

TEST_CASE("constructor arguments above the limit are too_large for updates and reads, and cost the node nothing") {
    node_options o = alone();
    o.limits.max_command_bytes = 200;
    node n{o};
    replicated<std::map<std::string, int>> big{n, "big", std::map<std::string, int>{{std::string(300, 'x'), 1}}};
    CHECK(thrown_by([&] { big.call<"size">(); }) == errc::too_large);
    CHECK(thrown_by([&] { big.call<"clear">(); }) == errc::too_large);
    CHECK(n.status().pending_calls == 0);
    handle h{n, "h"};
    CHECK(h->knock() == 1);
}

TEST_CASE("reads count as pending calls, and past the limit they are overloaded") {
    asio::io_context io{1};
    node_options o = alone();
    o.limits.max_pending_calls = 2;
    node n{io, o};
    handle h{n, "h"};
    auto a = h.async(asio::use_future)->get();
    auto b = h.async(asio::use_future)->knock();
    CHECK(n.status().pending_calls == 2);
    CHECK(thrown_by([&] { h->get(); }) == errc::overloaded);
    CHECK(thrown_by([&] { h->knock(); }) == errc::overloaded);
    n.stop();
    CHECK(thrown_by([&] { a.get(); }) == errc::stopped);
    CHECK(thrown_by([&] { b.get(); }) == errc::stopped);
}

TEST_CASE("wait_ready() takes the longest duration, local() ends with stopped after stop()") {
    node n{alone()};
    CHECK(n.wait_ready(std::chrono::nanoseconds::max()));
    handle h{n, "h"};
    REQUIRE(h->knock() == 1);
    CHECK(h.local()->get() == 1);
    n.stop();
    CHECK(thrown_by([&] { h.local()->get(); }) == errc::stopped);
}

} // namespace service_test
