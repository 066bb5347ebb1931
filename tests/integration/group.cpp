// Groups of real nodes over real sockets, in one process: founding, joining, losing members, bad neighbours.
#include "node_group.hpp"

#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <asio/connect.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace node_group;

namespace {

/// Its class must stay as it is: the methods are listed beside it.
class thermometer {
    int degrees = 0;

public:
    int warm(int by) { return degrees += by; }
    int read() const { return degrees; }
    friend void to_json(nlohmann::json& j, thermometer const& t) { j = t.degrees; }
    friend void from_json(nlohmann::json const& j, thermometer& t) { j.get_to(t.degrees); }
};
OPENREPLICA_METHODS_NON_INTRUSIVE(thermometer, warm, read)

/// Live state: a thread of its own does the work, and nobody can write it as JSON.
class live_sum {
    int sum = 0;
    std::mutex mutable mutex;
    std::condition_variable changed;
    std::optional<int> next;
    std::jthread worker{[this](std::stop_token const& stop) { work(stop); }};

    void work(std::stop_token const& stop) {
        std::stop_callback const wake(stop, [this] {
            std::lock_guard const lock(mutex);
            changed.notify_all();
        });
        for (std::unique_lock lock(mutex); !stop.stop_requested();) {
            changed.wait(lock, [&] { return stop.stop_requested() || next; });
            if (next) sum += *next;
            next.reset();
            changed.notify_all();
        }
    }

public:
    int add(int n) {
        std::unique_lock lock(mutex);
        next = n;
        changed.notify_all();
        changed.wait(lock, [this] { return !next; });
        return sum;
    }
    int get() const {
        std::lock_guard const lock(mutex);
        return sum;
    }
    OPENREPLICA_METHODS(live_sum, add, get)
};

/// What the process writes to its standard error meanwhile.
class captured_errors {
    std::FILE* file_ = std::tmpfile();
    int saved_ = dup(2);

public:
    captured_errors() {
        std::fflush(stderr);
        dup2(fileno(file_), 2);
    }
    captured_errors(captured_errors const&) = delete;
    captured_errors& operator=(captured_errors const&) = delete;
    ~captured_errors() {
        dup2(saved_, 2);
        close(saved_);
        std::fclose(file_);
    }
    [[nodiscard]] std::string text() const {
        std::string out(4096, '\0');
        auto const n = pread(fileno(file_), out.data(), out.size(), 0);
        out.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        return out;
    }
};

} // namespace

TEST_CASE("three nodes that know one another's addresses found one group and share an object") {
    group g(3);
    REQUIRE(g.ready());
    for (auto& n : g.nodes) CHECK(n->status().cluster == g.nodes[0]->status().cluster);
    openreplica::replicated<tally> a{*g.nodes[0], "t"}, b{*g.nodes[1], "t"}, c{*g.nodes[2], "t"};
    CHECK(a->add("x") == 1);
    CHECK(b->add("x") == 2);
    CHECK(c->add("y") == 1);
    CHECK(a->size() == 2);
    CHECK(b->most() == 2);
    CHECK(eventually([&] {
        auto const s = g.nodes[0]->status(), t = g.nodes[1]->status(), u = g.nodes[2]->status();
        return s.applied == t.applied && t.applied == u.applied && s.digest == t.digest && t.digest == u.digest;
    }));
}

TEST_CASE("calls through every member go on when the leader is gone, and none is lost or executed twice") {
    group g(3);
    REQUIRE(g.ready());
    std::size_t const leader = g.leader();
    REQUIRE(leader < 3);
    std::atomic<int> acknowledged = 0;
    std::atomic<bool> stop = false;
    std::vector<std::jthread> callers;
    for (std::size_t i = 0; i < 3; ++i) {
        if (i == leader) continue;
        callers.emplace_back([&, i, shared = openreplica::replicated<tally>(*g.nodes[i], "t")] {
            for (int k = 0; !stop; ++k) {
                shared->add(std::to_string(i) + "/" + std::to_string(k));
                ++acknowledged;
            }
        });
    }
    REQUIRE(eventually([&] { return acknowledged > 200; }));
    g.nodes[leader].reset();
    int const at_death = acknowledged;
    CHECK(eventually([&] { return acknowledged > at_death + 200; }));
    stop = true;
    callers.clear();
    openreplica::replicated<tally> shared(*g.nodes[(leader + 1) % 3], "t");
    CHECK(shared->size() == acknowledged);
    CHECK(shared->most() == 1);
}

TEST_CASE("a node without founders joins as a learner, by snapshot when the log's start is gone, and serves calls") {
    group g(3, [](auto& o) { o.snapshot_every = 64; });
    REQUIRE(g.ready());
    openreplica::replicated<tally> shared{*g.nodes[0], "t"};
    for (int i = 0; i < 500; ++i) shared->add(std::to_string(i));
    REQUIRE(eventually([&] { return g.nodes[0]->status().log_start > 1; }));
    openreplica::node late{member("test", "127.0.0.1:0", g.addresses, 0)};
    openreplica::replicated<tally> there{late, "t"};
    REQUIRE(late.wait_ready(20s));
    CHECK(late.status().role == "standby");
    CHECK(there->size() == 500);
    CHECK(there->add("late") == 1);
    CHECK(there.local()->size() == 501);
    CHECK(shared->size() == 501);
    CHECK(eventually([&] { return late.status().digest == g.nodes[0]->status().digest; }));
}

TEST_CASE("an object with live state is had by whoever joins through all of the log, and status names it and its price") {
    group g(3, [](auto& o) { o.snapshot_every = 64; });
    REQUIRE(g.ready());
    openreplica::replicated<tally> plain{*g.nodes[0], "t"};
    openreplica::replicated<live_sum> live{*g.nodes[0], "live"};
    for (int i = 1; i <= 300; ++i) {
        plain->add(std::to_string(i));
        CHECK(live->add(1) == i);
    }
    auto const kept = [&] { return g.nodes[0]->status(); };
    CHECK(eventually([&] { return kept().log_kept_by == "live"; }));
    CHECK(kept().log_start == 1);
    CHECK(kept().log_memory_bytes > 600 * 32);
    openreplica::node late{member("test", "127.0.0.1:0", g.addresses, 0)};
    REQUIRE(late.wait_ready(20s));
    openreplica::replicated<live_sum> there{late, "live"};
    CHECK(there->get() == 300);
    CHECK(there.local()->get() == 300);
    CHECK(there->add(1) == 301);
    // Without it the log goes, at last.
    CHECK(live.destroy());
    CHECK(eventually([&] { return plain->add("more"), kept().log_start > 600; }));
    CHECK(kept().log_kept_by == "");
}

TEST_CASE("a restarted diskless member comes back as a learner without a vote") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::replicated<tally> first{*g.nodes[0], "t"};
    first->add("before");
    auto const cluster = g.nodes[0]->status().cluster;
    g.nodes[2].reset();
    g.nodes[2].emplace(member("test", g.addresses[2], g.addresses, 3));
    openreplica::replicated<tally> again{*g.nodes[2], "t"};
    CHECK(again->add("after") == 1);
    CHECK(again->size() == 2);
    CHECK(g.nodes[2]->status().cluster == cluster);
    CHECK(g.nodes[2]->status().role == "standby");
}

TEST_CASE("two of three founders do not found, and say whom they wait for; the third completes the group") {
    auto const addresses = free_addresses(3);
    openreplica::node a{member("test", addresses[0], addresses, 3)};
    openreplica::node b{member("test", addresses[1], addresses, 3)};
    openreplica::replicated<tally> shared{a, "t"};
    CHECK_THROWS_AS(shared.with({.timeout = 1500ms})->add("x"), openreplica::error);
    CHECK(a.status().role == "founding");
    CHECK(a.status().problem.find("2 of 3") != std::string::npos);
    openreplica::node c{member("test", addresses[2], addresses, 3)};
    REQUIRE(a.wait_ready(20s));
    CHECK(shared->add("x") == 1);
}

TEST_CASE("with a majority gone calls end at their deadline with an honest outcome") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::replicated<tally> shared{*g.nodes[0], "t"};
    shared->add("x");
    g.nodes[1].reset();
    g.nodes[2].reset();
    auto const begun = std::chrono::steady_clock::now();
    try {
        shared.with({.timeout = 1s})->add("y");
        FAIL("a call went through without a majority");
    } catch (openreplica::error const& e) {
        bool const honest = e.code() == openreplica::errc::outcome_unknown || e.code() == openreplica::errc::not_executed;
        CHECK(honest);
    }
    CHECK(std::chrono::steady_clock::now() - begun < 5s);
    try {
        shared.with({.timeout = 500ms})->size();
        FAIL("a read was answered without a majority");
    } catch (openreplica::error const& e) {
        CHECK(e.code() == openreplica::errc::not_executed);
    }
    CHECK(shared.local()->size() >= 1);
}

TEST_CASE("nodes of another group or with another fingerprint are refused with a reason, and the group goes on") {
    std::mutex mutex;
    std::string said;
    group g(1);
    REQUIRE(g.ready());
    auto o = member("other", "127.0.0.1:0", {g.addresses[0]}, 0);
    o.logger = [&](openreplica::log_level, std::string_view line) {
        std::lock_guard const lock(mutex);
        said += line;
    };
    openreplica::node stranger{std::move(o)};
    CHECK(eventually([&] {
        std::lock_guard const lock(mutex);
        return said.find("belongs to group \"test\"") != std::string::npos;
    }));
    openreplica::replicated<tally> shared{*g.nodes[0], "t"};
    CHECK(shared->add("x") == 1);
    CHECK(stranger.status().role == "founding");
}

TEST_CASE("garbage on the port closes that connection and nothing else") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::replicated<tally> shared{*g.nodes[0], "t"};
    for (std::string const bytes : {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02", "ORR1\x01\x02\xff\xff\xff\xff\xff"}) {
        asio::io_context io;
        asio::ip::tcp::socket s(io);
        s.connect({asio::ip::address_v4::loopback(), openreplica::parse_endpoint(g.addresses[0])->port});
        std::string padded = bytes + std::string(64, 'x');
        asio::write(s, asio::buffer(padded));
        char rest = 0;
        asio::error_code over;
        asio::read(s, asio::buffer(&rest, 1), over);
        CHECK(over);
    }
    CHECK(shared->add("x") == 1);
}

TEST_CASE("a program of another protocol version is refused with a reason") {
    group g(1);
    REQUIRE(g.ready());
    openreplica::net::hello stranger;
    stranger.oldest = stranger.newest = 99;
    stranger.group = "test";
    stranger.self = {openreplica::node_id{1, 2}, {"127.0.0.1", 1}};
    asio::io_context io;
    asio::ip::tcp::socket s(io);
    s.connect({asio::ip::address_v4::loopback(), openreplica::parse_endpoint(g.addresses[0])->port});
    asio::write(s, asio::buffer(openreplica::net::encode(stranger)));
    std::string answer;
    asio::error_code over;
    asio::read(s, asio::dynamic_buffer(answer), over);
    CHECK(over == asio::error::eof);
    CHECK(answer.find("no common protocol version") != std::string::npos);
}

TEST_CASE("a class that stays as it is gets its methods from beside it") {
    group g(3);
    REQUIRE(g.ready());
    openreplica::replicated<thermometer> here{*g.nodes[0], "room"}, there{*g.nodes[2], "room"};
    CHECK(here->warm(20) == 20);
    CHECK(there->read() == 20);
}

TEST_CASE("without a logger warnings go to the standard error, and nothing else does") {
    captured_errors const errors;
    auto o = member("quiet", "127.0.0.1:0", {"srv:nowhere.example"}, 0);
    o.dns_server = "127.0.0.1:" + std::to_string(free_port());
    o.logger = nullptr;
    openreplica::node lonely{std::move(o)};
    CHECK(eventually([&] { return errors.text().find("openreplica: srv:nowhere.example") != std::string::npos; }));
    openreplica::node alone{{.group = "quiet"}};
    REQUIRE(alone.wait_ready(20s));
    CHECK(errors.text().find("leads") == std::string::npos);
}

TEST_CASE("a command above the limit is refused before it is sent") {
    group g(1, [](auto& o) { o.limits.max_command_bytes = 1000; });
    REQUIRE(g.ready());
    openreplica::replicated<tally> shared{*g.nodes[0], "t"};
    CHECK(shared->add(std::string(900, 'x')) == 1);
    try {
        shared->add(std::string(1000, 'x'));
        FAIL("an oversized command was taken");
    } catch (openreplica::error const& e) {
        CHECK(e.code() == openreplica::errc::too_large);
    }
}
