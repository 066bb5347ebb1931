// Clients of real groups over real sockets: calls, reads and sessions while members stop, freeze and come back.
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "client_group.hpp"

#include <asio/co_spawn.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
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

TEST_CASE("local reads are spread over the replicas, and none is older than what the client has seen") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::client c(to(g.addresses));
    openreplica::replicated<tally> t{c, "t"};
    for (int i = 1; i <= 200; ++i) {
        std::string const id = std::to_string(i);
        t->add(id);
        // Whichever replica is asked: the client reads what it wrote.
        CHECK(t.local()->times(id) == 1);
        CHECK(t.local()->size() >= i);
    }
    // One that was busy when it was first measured counts as far for a while.
    CHECK(eventually([&] {
        (void)t.local()->size();
        int replicas_that_read = 0;
        for (auto const& r : c.status().replicas) replicas_that_read += r.reads > 0;
        return replicas_that_read == 3;
    }));
}

TEST_CASE("a client of many threads never sees a count go down, whichever replica answers") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::client c(to(g.addresses));
    openreplica::replicated<tally> t{c, "t"};
    t->add("x");
    std::atomic<bool> stop = false;
    std::atomic<int> wrong = 0, reads = 0;
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i)
        readers.emplace_back([&] {
            int last = 0;
            while (!stop) {
                int const now = t.local()->times("x");
                if (now < last) ++wrong;
                last = now;
                ++reads;
            }
        });
    openreplica::replicated<tally> writer{*g.nodes[0], "t"};
    for (int i = 0; i < 1000; ++i) writer->add("x");
    CHECK(eventually([&] { return reads > 1000; }));
    stop = true;
    readers.clear();
    CHECK(wrong == 0);
}

TEST_CASE("a replica that is cut off from the others shows its old state, but not to who sets a bound on its age") {
    // Two of three voters stop: the third one has no leader, so nobody serves; reads with a bound cannot be made.
    group g(3);
    REQUIRE(g.ready());
    openreplica::client c(to(g.addresses));
    openreplica::replicated<tally> t{c, "t"};
    t->add("x");
    CHECK(t.with({.max_staleness = 50ms}).local()->size() == 1);
    std::size_t const leader = g.leader();
    g.nodes[leader].reset();
    CHECK(t.with({.max_staleness = 50ms}).local()->size() == 1); // There is a new leader before long.
    g.nodes[(leader + 1) % 3].reset();
    auto const bounded = [&] {
        try {
            return t.with({.timeout = 300ms, .max_staleness = 50ms}).local()->size() == 1;
        } catch (openreplica::error const& e) {
            CHECK(e.code() == openreplica::errc::not_executed);
            return false;
        }
    };
    CHECK(eventually([&] { return !bounded(); }));
}

TEST_CASE("a client that is idle for longer than its session's timeout keeps its session") {
    group g(1);
    REQUIRE(g.ready());
    auto o = to(g.addresses);
    o.session_timeout = 600ms;
    o.heartbeat = 100ms;
    openreplica::client c(o);
    openreplica::replicated<tally> t{c, "t"};
    t->add("x");
    auto const session = c.status().session;
    REQUIRE(session != 0);
    auto const before = g.nodes[0]->status().applied;
    // An idle session is kept alive three times in its timeout.
    REQUIRE(eventually([&] { return g.nodes[0]->status().applied >= before + 8; }));
    CHECK(t->add("x") == 2);
    CHECK(c.status().session == session);
}

TEST_CASE("who only reads opens no session, and who stops closes the one that it has") {
    group g(1);
    REQUIRE(g.ready());
    openreplica::replicated<tally> on_node{*g.nodes[0], "t"};
    on_node->add("x");
    openreplica::client reader(to(g.addresses));
    openreplica::replicated<tally> t{reader, "t"};
    CHECK(t.local()->size() == 1);
    CHECK(t.exists());
    CHECK(reader.status().session == 0);
    auto const sessions = [&] { return nlohmann::json::parse(reader.ask("sessions")).size(); };
    auto const before = sessions();
    std::optional<openreplica::client> writer(to(g.addresses));
    CHECK(openreplica::replicated<tally>(*writer, "t")->add("x") == 2);
    CHECK(sessions() == before + 1);
    writer.reset();
    CHECK(eventually([&] { return sessions() == before; }));
}

TEST_CASE("clients past a node's limit are refused with its name, and have room when others go") {
    group g(1, [](auto& o) { o.limits.max_clients = 2; });
    REQUIRE(g.ready());
    openreplica::client a(to(g.addresses));
    std::optional<openreplica::client> b(to(g.addresses));
    REQUIRE(a.wait_ready(20s));
    REQUIRE(b->wait_ready(20s));
    openreplica::client c(to(g.addresses));
    CHECK(eventually([&] { return c.status().problem.find("limits.max_clients") != std::string::npos; }));
    b.reset();
    CHECK(c.wait_ready(20s));
}

TEST_CASE("a member that is not loopback's is not dialled without leave, although the group tells of it") {
    std::string const here = free_addresses(1)[0];
    group g(1, [&](auto& o) {
        o.listen = here;
        o.seeds.clear();
        o.advertise = "192.0.2.1:7000";
    });
    REQUIRE(g.ready());
    auto o = to({here});
    std::atomic<int> told = 0;
    o.logger = [&](openreplica::log_level, std::string_view line) {
        if (line.find("192.0.2.1:7000") != std::string_view::npos && line.find("allow_plaintext") != std::string_view::npos) ++told;
    };
    openreplica::client c(o);
    CHECK(openreplica::replicated<tally>(c, "t")->add("x") == 1);
    CHECK(eventually([&] { return told == 1; }));
}

namespace {

/// A member whose strand can be made to stand still, as a stopped process or a long pause does: its connections stay open.
class freezable {
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
    std::thread runner_{[this] { io_.run(); }};
    std::promise<void> thaw_;
    bool frozen_ = false;

public:
    std::optional<openreplica::node> node;

    explicit freezable(openreplica::node_options o) { node.emplace(io_, std::move(o)); }
    ~freezable() {
        thaw();
        node->stop();
        work_.reset();
        runner_.join();
    }
    void freeze() {
        std::promise<void> begun;
        asio::post(io_, [&begun, until = thaw_.get_future()] {
            begun.set_value();
            until.wait();
        });
        begun.get_future().wait();
        frozen_ = true;
    }
    void thaw() {
        if (std::exchange(frozen_, false)) thaw_.set_value();
    }
};

} // namespace

TEST_CASE("a leader that stands still with its connections open is left for the next one, and calls run once") {
    auto const addresses = free_addresses(3);
    std::vector<std::unique_ptr<freezable>> members;
    for (auto const& where : addresses) {
        openreplica::node_options o;
        o.group = "test";
        o.listen = where;
        o.seeds = addresses;
        o.founders = 3;
        o.logger = [](openreplica::log_level, std::string_view) {};
        members.push_back(std::make_unique<freezable>(o));
    }
    openreplica::client c(to(addresses));
    openreplica::replicated<tally> t{c, "t"};
    CHECK(t->add("0") == 1);
    REQUIRE(eventually([&] { return !c.status().leader.empty(); }));
    std::string const leader = c.status().leader;
    std::vector<std::future<int>> calls;
    auto const frozen = std::ranges::find_if(members, [&](auto const& m) { return to_string(m->node->endpoint()) == leader; });
    REQUIRE(frozen != members.end());
    (*frozen)->freeze();
    for (int i = 1; i <= 50; ++i) calls.push_back(t.async(asio::use_future)->add(std::to_string(i)));
    for (auto& f : calls) CHECK(f.get() == 1);
    CHECK(eventually([&] { return c.status().leader != leader; }));
    CHECK(t.local()->size() == 51);
    (*frozen)->thaw(); // What it was given before is ordered twice at most, and executed once.
    CHECK(t->size() == 51);
    CHECK(t->most() == 1);
}
