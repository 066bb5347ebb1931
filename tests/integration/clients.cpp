// Clients of real groups over real sockets: calls, reads and sessions while members stop, freeze and come back.
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "client_group.hpp"

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

using namespace client_test;

TEST_CASE("a handle on a client does what one on a node does") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::client c(to(g.addresses));
    openreplica::replicated<tally> t{c, "t"};
    CHECK_FALSE(t.exists());
    CHECK(t->add("x") == 1);
    CHECK(t->add("x") == 2);
    CHECK(t->most() == 2);
    CHECK(t->size() == 1);
    CHECK(t.exists());
    CHECK(t.async()->add("y").get() == 1);
    CHECK(t.async()->size().get() == 2);
    CHECK(t.local()->size() == 2);
    CHECK(t.call<"times">("x") == 2);
    CHECK(t.local_call<"times">("y") == 1);
    openreplica::replicated<tally> on_node{*g.nodes[0], "t"};
    CHECK(on_node->size() == 2);
    CHECK(on_node->add("z") == 1);
    CHECK(t->size() == 3);
    t.reset();
    CHECK(t->size() == 0);
    CHECK(t.async_exists(asio::use_future).get());
    CHECK(t.destroy());
    CHECK_FALSE(t.destroy());
    CHECK_FALSE(t.exists());
    auto const s = c.status();
    CHECK(s.cluster == g.nodes[0]->status().cluster);
    CHECK(s.ready);
}

TEST_CASE("what a method throws, and what does not fit, reaches a client's caller as on a node") {
    group g(1);
    REQUIRE(g.ready());
    openreplica::client c(to(g.addresses));
    openreplica::replicated<tally> t{c, "t"};
    auto const code = [](auto const& f) {
        try {
            f();
        } catch (openreplica::error const& e) {
            return e.code();
        }
        return std::error_code{};
    };
    CHECK(t->size() == 0);
    CHECK(code([&] { (void)t->refuse("no"); }) == openreplica::errc::method_threw);
    CHECK(code([&] { (void)t->fail_to_read(); }) == openreplica::errc::method_threw);
    CHECK(code([&] { (void)t.local()->fail_to_read(); }) == openreplica::errc::method_threw);
    openreplica::replicated<tally> nowhere{c, "nowhere"};
    CHECK(code([&] { (void)nowhere.local()->size(); }) == openreplica::errc::no_such_object);
    openreplica::replicated<other> mismatched{c, "t"};
    CHECK(code([&] { (void)mismatched->get(); }) == openreplica::errc::type_mismatch);
    CHECK(code([&] { (void)mismatched.local()->get(); }) == openreplica::errc::type_mismatch);
    c.stop();
    CHECK(code([&] { (void)t->size(); }) == openreplica::errc::stopped);
    CHECK(code([&] { (void)t->add("x"); }) == openreplica::errc::stopped);
}

TEST_CASE("calls of clients go on when the leader is gone, and none is lost or executed twice") {
    group g(3);
    REQUIRE(g.ready());
    std::size_t const leader = g.leader();
    REQUIRE(leader < 3);
    std::atomic<int> acknowledged = 0;
    std::atomic<bool> stop = false;
    std::vector<std::jthread> callers;
    for (int i = 0; i < 3; ++i)
        callers.emplace_back([&, i, c = openreplica::client(to(g.addresses))] {
            openreplica::replicated<tally> t{c, "t"};
            for (int k = 0; !stop; ++k) {
                t->add(std::to_string(i) + "/" + std::to_string(k));
                ++acknowledged;
            }
        });
    REQUIRE(eventually([&] { return acknowledged > 200; }));
    g.nodes[leader].reset();
    int const at_death = acknowledged;
    CHECK(eventually([&] { return acknowledged > at_death + 200; }));
    stop = true;
    callers.clear();
    openreplica::replicated<tally> t(*g.nodes[(leader + 1) % 3], "t");
    CHECK(t->size() == acknowledged);
    CHECK(t->most() == 1);
}

TEST_CASE("a client that was given one address learns of the others, and outlives that one") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::client c(to({g.addresses[0]}));
    openreplica::replicated<tally> t{c, "t"};
    CHECK(t->add("x") == 1);
    REQUIRE(eventually([&] {
        int serving = 0;
        for (auto const& r : c.status().replicas) serving += r.serving && r.member;
        return serving == 3;
    }));
    g.nodes[0].reset();
    CHECK(t->add("x") == 2);
    CHECK(t->most() == 2);
    CHECK(t.local()->most() == 2);
}
