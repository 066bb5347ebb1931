// Exactly once: what a retry, a late copy and a stranger's session get.
#include <openreplica/object/object_space_apply.hpp>

#include "space_driver.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace openreplica;
using space_test::driver;

TEST_CASE("a retry gets the first outcome and does not run again") {
    driver d;
    d.create("t");
    auto const add = d.make(command_kind::call, "t", R"(["add",5])");
    auto const first = d.raw(add)->outcome;
    auto const second = d.raw(add)->outcome;
    CHECK(first == second);
    CHECK(second.at.value == d.at - 1);
    auto const boom = d.make(command_kind::call, "t", R"(["add_then_throw",1])");
    CHECK(d.raw(boom)->outcome == d.raw(boom)->outcome);
    CHECK(d.call("t", R"(["get"])").result == "6");
}

TEST_CASE("calls of a session run in any order of their numbers, each once") {
    driver d;
    d.create("t");
    auto const a = d.make(command_kind::call, "t", R"(["add",1])");
    auto const b = d.make(command_kind::call, "t", R"(["add",10])");
    CHECK(d.raw(b)->outcome.result == "10");
    CHECK(d.raw(a)->outcome.result == "11"); // Below the highest number seen, and still run.
    CHECK(d.raw(b)->outcome.result == "10");
}

TEST_CASE("a call that was acknowledged is refused, never run") {
    driver d;
    d.create("t");
    auto const add = d.make(command_kind::call, "t", R"(["add",5])");
    d.raw(add);
    d.acked_below = d.seq + 1;
    CHECK(d.call("t", R"(["get"])").result == "5");
    CHECK(d.raw(add)->outcome.code == errc::outcome_unknown);
    CHECK(d.call("t", R"(["get"])").result == "5");
}

TEST_CASE("a session that is not open runs nothing") {
    driver d;
    d.create("t");
    auto e = d.make(command_kind::call, "t", R"(["add",5])");
    for (auto id : {session_id{0}, session_id{999}, session_id{d.session.value + 1}}) {
        e.session = id;
        CHECK(d.raw(e)->outcome.code == errc::session_expired);
    }
    envelope close = d.make(command_kind::close_session, "", "[]");
    CHECK(d.raw(close)->outcome.ok());
    CHECK(d.raw(close)->outcome.code == errc::session_expired);
    CHECK(d.call("t", R"(["add",5])").code == errc::session_expired);
    CHECK(d.space.open_sessions() == 0);
}

TEST_CASE("a session is named by its opening slot and tells its opener's number") {
    driver d;
    envelope e;
    e.kind = command_kind::open_session;
    e.object = object_id{4711};
    e.body = "[]";
    auto const a = d.raw(e);
    auto const b = d.raw(e); // A late copy opens another one, it revives none.
    CHECK(a->session.value + 1 == b->session.value);
    CHECK(a->opener == 4711);
    CHECK(d.space.open_sessions() == 3);
}

TEST_CASE("only a tick at the deadline expires a session") {
    driver d;
    d.create("t");
    auto const timeout = object::default_session_timeout.value;
    d.time = timeout - 1;
    d.tick();
    CHECK(d.call("t", R"(["add",1])").ok()); // Counts as activity.
    d.time = 2 * timeout - 2;
    d.tick();
    CHECK(d.space.open_sessions() == 1);
    CHECK(d.space.next_deadline() == log_time{2 * timeout - 1});
    d.time = 3 * timeout;
    CHECK(d.call("t", R"(["add",1])").ok()); // Late, but no tick has come before it.
    d.time = 4 * timeout - 1;
    d.tick();
    CHECK(d.space.open_sessions() == 1);
    envelope alive = d.make(command_kind::keep_alive, "", "[]");
    CHECK(d.raw(alive)->outcome.ok());
    d.time = 4 * timeout;
    d.tick();
    CHECK(d.space.open_sessions() == 1);
    d.time = 5 * timeout - 1;
    d.tick();
    CHECK(d.space.open_sessions() == 0);
    CHECK(d.call("t", R"(["add",1])").code == errc::session_expired);
}

TEST_CASE("an opener chooses the timeout, within bounds") {
    driver d;
    auto const expires_at = [&](std::string_view body) {
        driver fresh;
        envelope close = fresh.make(command_kind::close_session, "", "[]");
        fresh.raw(close);
        fresh.open(body);
        return fresh.space.next_deadline().value().value;
    };
    CHECK(expires_at("[2000000]") == 2'000'000);
    CHECK(expires_at("[1]") == object::min_session_timeout.value);
    CHECK(expires_at("[18446744073709551615]") == object::max_session_timeout.value);
    envelope e;
    e.kind = command_kind::open_session;
    for (auto body : {"[-1]", "[1,2]", "{}", "", "[\"1\"]"}) {
        e.body = body;
        CHECK(d.raw(e)->outcome.code == errc::bad_arguments);
    }
    CHECK(d.space.open_sessions() == 1);
}

TEST_CASE("a command stamped after its deadline is recorded as not executed") {
    driver d;
    d.create("t");
    auto e = d.make(command_kind::call, "t", R"(["add",5])");
    e.deadline = log_time{100};
    d.time = 101;
    CHECK(d.raw(e)->outcome.code == errc::not_executed);
    e.deadline = log_time{1000}; // A copy cannot change the verdict.
    CHECK(d.raw(e)->outcome.code == errc::not_executed);
    auto in_time = d.make(command_kind::call, "t", R"(["add",5])");
    in_time.deadline = log_time{101};
    CHECK(d.raw(in_time)->outcome.result == "5");
}

TEST_CASE("results that are not acknowledged are bounded by number and by bytes") {
    driver d;
    d.create("t");
    auto far = d.make(command_kind::call, "t", R"(["add",1])");
    far.seq = sequence{object::session_window}; // acked_below is 1: the last number that fits.
    CHECK(d.raw(far)->outcome.ok());
    far.seq = sequence{object::session_window + 1};
    CHECK(d.raw(far)->outcome.code == errc::overloaded);

    std::string const big = "[\"repeat\"," + std::to_string(object::max_result_bytes - 2) + "]";
    int stored = 0;
    while (d.call("t", big).ok()) ++stored;
    CHECK(stored == static_cast<int>(object::session_bytes / object::max_result_bytes));
    auto const refused = d.make(command_kind::call, "t", R"(["add",1000])");
    CHECK(d.raw(refused)->outcome.code == errc::overloaded);
    d.acked_below = d.seq; // All but the refused one.
    CHECK(d.call("t", R"(["get"])").result == "1");
    CHECK(d.raw(refused)->outcome.code == errc::overloaded); // Refused is refused: the caller was told so.
    CHECK(d.call("t", R"(["get"])").result == "1");
}

TEST_CASE("every call of a log with copies and reordering runs exactly once") {
    std::mt19937_64 random(11);
    for (int round = 0; round < 20; ++round) {
        driver d;
        d.create("t");
        std::vector<envelope> pending;
        for (int i = 0; i < 200; ++i) {
            auto const e = d.make(command_kind::call, "t", R"(["add",1])");
            for (std::uint64_t copies = 1 + random() % 3; copies > 0; --copies) pending.push_back(e);
        }
        std::ranges::shuffle(pending, random);
        std::set<std::string> results;
        for (auto const& e : pending) results.insert(d.raw(e)->outcome.result);
        CHECK(results.size() == 200);
        CHECK(d.call("t", R"(["get"])").result == "200");
    }
}
