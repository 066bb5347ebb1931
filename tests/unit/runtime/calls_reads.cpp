// Reads among the calls, creations that nobody waits for, and the session's window.
#include <openreplica/runtime/calls.hpp>

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace calls_reads_test {

using namespace openreplica;
using namespace std::chrono_literals;
using runtime::object_birth;

struct desk {
    instant now{1h};
    runtime::calls table;
    std::map<std::uint64_t, std::vector<call_outcome>> outcomes;
    std::uint64_t next_ticket = 1;

    explicit desk(std::size_t limit = 16) : table(limit) { table.session_opened(session_id{100}, now); }

    static std::shared_ptr<object_birth> object(bool here) {
        auto birth = std::make_shared<object_birth>();
        birth->id = object_id{7};
        birth->body = R"(["h","box"])";
        birth->created = here;
        return birth;
    }
    auto keeper(std::uint64_t t) {
        return [this, t](call_outcome&& o) { outcomes[t].push_back(std::move(o)); };
    }
    std::uint64_t submit(std::shared_ptr<object_birth> birth) {
        std::uint64_t const t = next_ticket++;
        table.submit(runtime::call_ticket{t}, {command_kind::call, std::move(birth), "[\"m\"]", {}}, keeper(t), now,
                     now + 10s);
        return t;
    }
    std::uint64_t read(std::shared_ptr<object_birth> birth) {
        std::uint64_t const t = next_ticket++;
        table.read(runtime::call_ticket{t}, std::move(birth), keeper(t), now, now + 10s);
        return t;
    }
    void decide(std::uint64_t number, call_outcome outcome = {}, bool stored = true) {
        if (auto f = table.complete(session_id{100}, sequence{number}, std::move(outcome), now, stored))
            f->done(std::move(f->outcome));
    }
    void grant(std::uint64_t t) {
        if (auto f = table.end_read(runtime::call_ticket{t}, {})) f->done(std::move(f->outcome));
    }
    static constexpr errc none{-1};
    errc code(std::uint64_t ticket) {
        for (runtime::finished_call& f : table.take_finished()) f.done(std::move(f.outcome));
        CHECK(outcomes[ticket].size() <= 1);
        return outcomes[ticket].empty() ? none : outcomes[ticket][0].code;
    }
};

TEST_CASE("a read of an object that is here asks at once, one of another when the object was made") {
    desk d;
    auto const a = d.read(desk::object(true));
    auto const b = d.read(nullptr);
    CHECK(d.table.take_reads().size() == 2);
    auto const c = d.read(desk::object(false));
    CHECK(d.table.take_reads().empty());
    CHECK(d.table.take_outbox(d.now).numbers.size() == 1);
    CHECK_FALSE(d.table.has_work());
    d.decide(1);
    CHECK(d.table.has_work());
    auto const due = d.table.take_reads();
    REQUIRE(due.size() == 1);
    CHECK(due[0].ticket == runtime::call_ticket{c});
    for (auto t : {a, b, c}) {
        CHECK(d.code(t) == desk::none);
        d.grant(t);
        d.grant(t);
        CHECK(d.code(t) == errc{});
    }
    CHECK(d.table.pending_count() == 0);
}

TEST_CASE("a read fails as the creation of its object fails") {
    desk d;
    auto const r = d.read(desk::object(false));
    (void)d.table.take_outbox(d.now);
    d.decide(1, failed(errc::type_mismatch, "another type"));
    CHECK(d.code(r) == errc::type_mismatch);
    CHECK(d.table.take_reads().empty());
}

TEST_CASE("reads count against the limit, and end at their deadline, by cancelling and by stopping") {
    desk d(2);
    auto const late = d.read(desk::object(true));
    auto const given_up = d.read(desk::object(false));
    CHECK(d.code(d.read(desk::object(true))) == errc::overloaded);
    CHECK(d.code(d.submit(desk::object(true))) == errc::overloaded);
    CHECK(d.table.cancel(runtime::call_ticket{given_up}));
    CHECK(d.code(given_up) == errc::cancelled);
    d.now += 10s;
    d.table.expire(d.now);
    CHECK(d.code(late) == errc::not_executed);
    auto const cancelled = d.read(desk::object(true));
    CHECK(d.table.cancel(runtime::call_ticket{cancelled}));
    CHECK(d.code(cancelled) == errc::cancelled);
    auto const last = d.read(desk::object(true));
    d.table.stop();
    CHECK(d.code(last) == errc::stopped);
    d.grant(last);
    CHECK(d.code(d.read(desk::object(true))) == errc::stopped);
    CHECK(d.table.pending_count() == 0);
}

TEST_CASE("a creation is sent no longer than somebody waits for it") {
    desk d;
    auto const birth = desk::object(false);
    auto const a = d.submit(birth);
    auto const b = d.read(birth);
    CHECK(d.table.take_outbox(d.now).numbers.size() == 1);
    CHECK(d.table.cancel(runtime::call_ticket{a}));
    d.table.resend(d.now);
    CHECK(d.table.take_outbox(d.now).numbers.size() == 1); // The read still waits.
    d.now += 10s;
    d.table.expire(d.now);
    CHECK(d.code(b) == errc::not_executed);
    CHECK(d.table.pending_count() == 0);
    d.table.resend(d.now);
    CHECK(d.table.take_outbox(d.now).numbers.empty());
    (void)d.submit(birth); // Whoever comes next makes the object anew.
    CHECK(d.table.take_outbox(d.now).numbers == std::vector<sequence>{sequence{2}});
}

TEST_CASE("a creation that comes too late for its session ends no call: what waited goes under the next one") {
    desk d;
    auto const a = d.submit(desk::object(false));
    (void)d.table.take_outbox(d.now);
    d.decide(1, failed(errc::session_expired, "gone"));
    CHECK(d.code(a) == desk::none);
    d.table.session_lost();
    d.table.session_opened(session_id{200}, d.now);
    CHECK(d.table.take_outbox(d.now).numbers.size() == 1);
    CHECK(d.code(a) == desk::none);
}

TEST_CASE("no call is numbered beyond the session's window, and what was held back goes when the oldest has ended") {
    desk d(session_window + 10);
    auto const birth = desk::object(true);
    auto const oldest = d.submit(birth);
    for (std::uint64_t n = 2; n <= session_window; ++n) {
        (void)d.submit(birth);
        if (n % 500 == 0) (void)d.table.take_outbox(d.now);
    }
    while (!d.table.take_outbox(d.now).numbers.empty()) {}
    for (std::uint64_t n = 2; n <= session_window; ++n) d.decide(n);
    auto const held = d.submit(birth);
    CHECK(d.table.take_outbox(d.now).numbers.empty());
    CHECK_FALSE(d.table.has_work());
    CHECK(d.code(held) == desk::none);
    d.decide(1);
    CHECK(d.code(oldest) == errc{});
    CHECK(d.table.has_work());
    CHECK(d.table.take_outbox(d.now).numbers == std::vector<sequence>{sequence{session_window + 1}});
    d.decide(session_window + 1);
    CHECK(d.code(held) == errc{});
}

TEST_CASE("rule 10: a refusal that the session did not store proves nothing about other attempts") {
    desk d;
    auto const once = d.submit(desk::object(true));
    auto const twice = d.submit(desk::object(true));
    (void)d.table.take_outbox(d.now);
    d.decide(1, failed(errc::overloaded, "full"), false);
    CHECK(d.code(once) == errc::overloaded);
    d.table.resend(d.now);
    (void)d.table.take_outbox(d.now);
    d.decide(2, failed(errc::overloaded, "full"), false);
    CHECK(d.code(twice) == errc::outcome_unknown);
}

TEST_CASE("what a client reads travels with the read, through the wait for its object too") {
    desk d;
    auto const what = std::make_shared<runtime::remote_read const>(runtime::remote_read{false, true, 5ms, "h", "box", "[]"});
    d.table.read(runtime::call_ticket{1}, nullptr, d.keeper(1), d.now, d.now + 10s, what);
    auto asked = d.table.take_reads();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].remote == what);
    d.table.read(runtime::call_ticket{2}, desk::object(false), d.keeper(2), d.now, d.now + 10s, what);
    CHECK(d.table.take_reads().empty());
    (void)d.table.take_outbox(d.now);
    d.decide(1); // The object was made.
    asked = d.table.take_reads();
    REQUIRE(asked.size() == 1);
    CHECK(asked[0].remote == what);
}

TEST_CASE("whether a session is needed shows in what waits, and the log's clock goes on by itself") {
    runtime::calls table(16);
    instant const now{1h};
    CHECK(!table.has_waiting());
    table.read(runtime::call_ticket{1}, nullptr, [](call_outcome&&) {}, now, now + 10s);
    CHECK(!table.has_waiting()); // A read of what is there needs none.
    table.submit(runtime::call_ticket{2}, {command_kind::call, desk::object(true), "[]", {}}, [](call_outcome&&) {}, now,
                 now + 10s);
    CHECK(table.has_waiting());
    table.session_opened(session_id{9}, now);
    CHECK(!table.has_waiting());
    table.clock(log_time{500}, now);
    CHECK(table.clock_at(now) == log_time{500});
    CHECK(table.clock_at(now + 3s) == log_time{3'000'500});
}

} // namespace calls_reads_test
