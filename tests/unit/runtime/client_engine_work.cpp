// A client's calls: one session, one outcome each, whatever is lost on the way.
#include <openreplica/runtime/client_engine.hpp>

#include "client_script.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>

namespace client_engine_test {

TEST_CASE("who only reads has no session; the first call opens one, and waits for it") {
    script s;
    s.settle();
    auto const r = s.read();
    s.pass(5s);
    CHECK(!s.session_command(command_kind::open_session));
    auto const e = s.call();
    CHECK(s.batches().empty());
    auto const open = s.session_command(command_kind::open_session);
    REQUIRE(open);
    CHECK(open->body == "[10000000]");
    s.tell(1, net::client_opened{open->object.value + 1, session_id{40}, log_time{5'000'000}, errc{}, ""}); // Not ours.
    CHECK(s.batches().empty());
    s.tell(1, net::client_opened{open->object.value, session_id{50}, log_time{5'000'000}, errc{}, ""});
    REQUIRE(s.batches().size() == 1);
    auto const sent = decode_envelope(s.batches()[0].second.commands[0].view());
    CHECK(sent->session == session_id{50});
    CHECK(sent->seq == sequence{1});
    CHECK(sent->deadline > log_time{5'000'000 + 3'000'000}); // Of the log's clock, which the replica told.
    CHECK(sent->deadline < log_time{5'000'000 + 20'000'000});
    s.outcome(1, 1, good("3"));
    CHECK(e->outcome.result == "3");
}

TEST_CASE("an opening that gets lost is repeated, and one that is refused is told") {
    script s;
    s.settle();
    s.engine.want_session();
    s.pass(50ms);
    auto const first = s.session_command(command_kind::open_session);
    REQUIRE(first);
    std::uint64_t const opener = first->object.value;
    s.sent.clear();
    s.pass(600ms);
    auto const again = s.session_command(command_kind::open_session);
    REQUIRE(again);
    CHECK(again->object.value == opener);
    s.tell(1, net::client_opened{opener, session_id{}, log_time{}, errc::overloaded, "too many sessions"});
    CHECK(!s.engine.is_ready());
    CHECK(s.lines.back().find("too many sessions") != std::string::npos);
    s.tell(1, net::client_opened{opener, session_id{50}, log_time{}, errc{}, ""});
    CHECK(s.engine.is_ready());
}

TEST_CASE("an idle session is kept alive, and one in use needs no more") {
    script s;
    s.settle();
    s.open_session();
    for (int i = 0; i < 8; ++i) {
        auto const e = s.call();
        s.outcome(1, static_cast<std::uint64_t>(i) + 1, good("1"));
        s.pass(1s);
    }
    CHECK(!s.session_command(command_kind::keep_alive));
    s.pass(3s);
    auto const kept = s.session_command(command_kind::keep_alive);
    REQUIRE(kept);
    CHECK(kept->session == session_id{50});
    s.sent.clear();
    s.outcome(1, 0, {}); // It was applied.
    s.pass(3s);
    CHECK(!s.session_command(command_kind::keep_alive));
}

TEST_CASE("a call without an outcome is sent again under its number, and completes once") {
    script s;
    s.settle();
    s.open_session();
    auto const e = s.call();
    auto const first = s.batches().at(0).second.commands.at(0);
    s.sent.clear();
    s.pass(600ms);
    REQUIRE(s.batches().size() == 1);
    CHECK(s.batches()[0].second.commands.at(0) == first);
    s.outcome(1, 1, good("1"));
    CHECK(e->outcome.result == "1");
    e->done = false;
    s.outcome(1, 1, good("2")); // The second attempt was answered too.
    CHECK(!e->done);
}

TEST_CASE("a refusal proves that an attempt had no effect, once, and only from whom it was sent to") {
    script s;
    s.settle();
    s.open_session();
    auto const e = s.call();
    std::uint64_t const number = s.batches().at(0).second.number;
    s.tell(2, net::client_refused{number, {}, errc::overloaded, "full"});
    CHECK(!e->done);
    s.tell(1, net::client_refused{number, {7}, errc::overloaded, "full"}); // No such command in it.
    CHECK(!e->done);
    s.tell(1, net::client_refused{number, {0}, errc::method_threw, "no refusal"});
    CHECK(!e->done);
    s.tell(1, net::client_refused{number, {0}, errc::overloaded, "full"});
    CHECK(e->done);
    CHECK(e->outcome.code == errc::overloaded);
}

TEST_CASE("an attempt that was refused proves nothing about another one") {
    script s;
    s.settle();
    s.open_session();
    auto const e = s.call(2s);
    s.sent.clear();
    s.pass(600ms); // Sent again.
    std::uint64_t const second = s.batches().at(0).second.number;
    s.tell(1, net::client_refused{second, {}, errc::overloaded, "full"});
    s.pass(300ms);
    CHECK(!e->done);
    s.down(1);
    s.down(2);
    s.down(3);
    s.pass(2s);
    CHECK(e->done);
    CHECK(e->outcome.code == errc::outcome_unknown);
}

TEST_CASE("a refusal that comes twice counts once: the other attempt may have been executed") {
    script s;
    s.settle();
    s.open_session();
    auto const e = s.call();
    std::uint64_t const first = s.batches().at(0).second.number;
    s.pass(600ms); // Sent again.
    for (int i = 0; i < 3; ++i) s.tell(1, net::client_refused{first, {0}, errc::overloaded, "full"});
    CHECK(!e->done);
    s.outcome(1, 1, good("1"));
    CHECK(e->outcome.ok());
}

TEST_CASE("where nobody leads it is tried again soon") {
    script s;
    s.settle();
    s.open_session();
    auto const e = s.call();
    std::uint64_t const number = s.batches().at(0).second.number;
    s.sent.clear();
    s.tell(1, net::client_refused{number, {}, errc::not_executed, ""});
    s.pass(80ms);
    CHECK(s.batches().size() == 1);
    CHECK(!e->done);
}

TEST_CASE("a call that was never sent ends as not executed; one that was, as unknown") {
    script s;
    auto const unsent = s.call(1s);
    s.pass(2s);
    CHECK(unsent->done);
    CHECK(unsent->outcome.code == errc::not_executed);
    s.settle();
    s.open_session();
    auto const sent = s.call(1s);
    s.pass(2s);
    CHECK(sent->done);
    CHECK(sent->outcome.code == errc::outcome_unknown);
}

TEST_CASE("an expired session ends what was sent under it; what was not goes under the next one") {
    script s;
    s.settle();
    s.open_session(50);
    auto const sent = s.call();
    auto const other = s.call();
    s.sent.clear();
    s.tell(1, net::client_outcomes{session_id{50}, slot{200}, log_time{9'000'000},
                                   {{sequence{1}, true, failed(errc::session_expired, "gone")}}});
    CHECK(sent->done);
    CHECK(sent->outcome.code == errc::session_expired);
    CHECK(other->outcome.code == errc::outcome_unknown);
    CHECK(!s.engine.is_ready());
    auto const later = s.call();
    auto const open = s.session_command(command_kind::open_session);
    REQUIRE(open);
    s.tell(1, net::client_opened{open->object.value, session_id{60}, log_time{9'000'000}, errc{}, ""});
    auto const e = decode_envelope(s.batches().back().second.commands[0].view());
    CHECK(e->session == session_id{60});
    s.outcome(1, 1, good("1"), 210, 50); // Of the old session: nobody's.
    CHECK(!later->done);
    s.outcome(1, 1, good("2"), 210, 60);
    CHECK(later->outcome.result == "2");
}

TEST_CASE("a client never asks for an older state than it has shown") {
    script s;
    s.settle();
    s.open_session();
    auto const floor_of_next = [&](bool local) {
        s.sent.clear();
        (void)s.read(local);
        return s.sent_of<net::client_query>().at(0).second.floor;
    };
    CHECK(floor_of_next(true) == slot{});
    (void)s.call();
    s.outcome(1, 1, good("1"), 130);
    CHECK(floor_of_next(true) == slot{130}); // It reads what it wrote.
    s.sent.clear();
    (void)s.read(true);
    auto const [to, q] = s.sent_of<net::client_query>().at(0);
    s.answer(to.port, q.number, good("5", 150));
    CHECK(floor_of_next(true) == slot{150});
    CHECK(floor_of_next(false) == slot{150});
    CHECK(s.engine.status().seen == slot{150});
}

TEST_CASE("a bound on staleness is the call's, or else the client's") {
    script s({.max_staleness = 2s});
    s.settle();
    auto const bound = [&](bool local, std::chrono::nanoseconds staleness) {
        s.sent.clear();
        (void)s.read(local, 10s, staleness);
        return s.sent_of<net::client_query>().at(0).second.max_staleness_us;
    };
    CHECK(bound(true, 0ns) == 2'000'000);
    CHECK(bound(true, 30ms) == 30'000);
    CHECK(bound(true, 1ns) == 1); // A bound is never none.
}

TEST_CASE("a read that is not answered goes to another replica, and the first answer counts") {
    script s;
    s.settle();
    auto const e = s.read();
    auto const [first, q] = s.sent_of<net::client_query>().at(0);
    s.sent.clear();
    s.pass(600ms);
    REQUIRE(s.sent_of<net::client_query>().size() == 1);
    auto const [second, q2] = s.sent_of<net::client_query>()[0];
    CHECK(second != first);
    CHECK(q2.number == q.number);
    CHECK(q2.timeout_us < q.timeout_us);
    s.answer(first.port, q.number, good("9", 100));
    CHECK(e->outcome.result == "9");
    s.answer(second.port, q.number, good("8", 100)); // Too late, and no harm.
    CHECK(e->outcome.result == "9");
}

TEST_CASE("a replica that cannot read leaves it to another; what the object says is final") {
    script s;
    s.settle();
    auto const e = s.read();
    auto const [first, q] = s.sent_of<net::client_query>().at(0);
    s.sent.clear();
    s.answer(first.port, q.number, failed(errc::needs_upgrade, "it has stopped applying"));
    CHECK(!e->done);
    s.pass(100ms);
    REQUIRE(s.sent_of<net::client_query>().size() == 1);
    auto const second = s.sent_of<net::client_query>()[0].first;
    CHECK(second != first);
    s.answer(second.port, q.number, failed(errc::method_threw, "no"));
    CHECK(e->outcome.code == errc::method_threw);
}

TEST_CASE("a read whose replica goes away is asked elsewhere at once") {
    script s;
    s.settle();
    auto const e = s.read();
    auto const first = s.sent_of<net::client_query>().at(0).first;
    s.sent.clear();
    s.down(first.port);
    REQUIRE(s.sent_of<net::client_query>().size() == 1);
    CHECK(s.sent_of<net::client_query>()[0].first != first);
    CHECK(!e->done);
}

TEST_CASE("a read ends at its deadline as not executed") {
    script s;
    s.settle();
    auto const e = s.read(false, 300ms);
    s.pass(400ms);
    CHECK(e->outcome.code == errc::not_executed);
    s.sent.clear();
    s.pass(5s);
    CHECK(s.sent_of<net::client_query>().empty());
}

TEST_CASE("a question is answered by anybody who is there, and asked again when a connection breaks") {
    script s;
    s.engine.on_named(at(1));
    s.up(1, seen_by(0)); // It serves nobody, and can tell why.
    ended e;
    s.engine.inquire({false, "status", "", {}, s.clock + 10s, [&](call_outcome&& o) { e = {true, std::move(o)}; }});
    s.engine.flush();
    REQUIRE(s.sent_of<net::client_question>().size() == 1);
    s.sent.clear();
    s.down(1);
    s.up(1, seen_by(0));
    REQUIRE(s.sent_of<net::client_question>().size() == 1);
    s.answer(1, s.sent_of<net::client_question>()[0].second.number, good("{}"));
    CHECK(e.outcome.result == "{}");
}

TEST_CASE("a question to one replica waits for that one") {
    script s;
    s.settle();
    ended e;
    s.engine.inquire({false, "status", "", at(9), s.clock + 1s, [&](call_outcome&& o) { e = {true, std::move(o)}; }});
    s.pass(100ms);
    CHECK(s.sent_of<net::client_question>().empty());
    s.engine.on_named(at(9));
    s.up(9, seen_by(1));
    CHECK(s.sent_of<net::client_question>().at(0).first == at(9));
    s.pass(2s);
    CHECK(e.outcome.code == errc::not_executed);
}

TEST_CASE("an order goes to the leader once; a broken connection or a deadline leaves its outcome unknown") {
    script s;
    ended early, broken, late, done;
    auto const order = [&](ended& e) {
        s.engine.inquire({true, "", "{}", {}, s.clock + 1s, [&e](call_outcome&& o) { e = {true, std::move(o)}; }});
        s.engine.flush();
    };
    order(early);
    s.pass(2s);
    CHECK(early.outcome.code == errc::not_executed);
    s.settle();
    order(broken);
    CHECK(s.sent_of<net::client_order>().at(0).first == at(1));
    s.down(1);
    CHECK(broken.outcome.code == errc::outcome_unknown);
    s.up(1, seen_by(1));
    s.pass(20ms);
    s.sent.clear();
    order(late);
    s.pass(2s);
    CHECK(s.sent_of<net::client_order>().size() == 1);
    CHECK(late.outcome.code == errc::outcome_unknown);
    order(done);
    s.answer(1, s.sent_of<net::client_order>().back().second.number, failed(errc::not_supported, "no orders"));
    CHECK(done.outcome.code == errc::not_supported);
}

TEST_CASE("a stop ends everything that waits, and the session") {
    script s;
    s.settle();
    s.open_session();
    auto const c = s.call();
    auto const r = s.read();
    ended q;
    s.engine.inquire({false, "status", "", {}, s.clock + 10s, [&](call_outcome&& o) { q = {true, std::move(o)}; }});
    s.engine.flush();
    s.sent.clear();
    s.engine.stop();
    CHECK(c->outcome.code == errc::outcome_unknown);
    CHECK(r->outcome.code == errc::stopped);
    CHECK(q.outcome.code == errc::stopped);
    auto const closed = s.session_command(command_kind::close_session);
    REQUIRE(closed);
    CHECK(closed->session == session_id{50});
    auto const after = s.call();
    CHECK(after->outcome.code == errc::stopped);
    s.sent.clear();
    s.engine.tick();
    s.engine.flush();
    CHECK(s.sent.empty());
}

} // namespace client_engine_test
