// Every call ends once, and what its end says is true.
#include <openreplica/runtime/calls.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace calls_test {

using namespace openreplica;
using namespace std::chrono_literals;
using runtime::object_birth;

/// A table of calls with a clock that stands still, and the outcomes that it gave.
struct desk {
    instant now{1h};
    runtime::calls table;
    std::uint64_t next_ticket = 1;
    std::map<std::uint64_t, std::vector<call_outcome>> outcomes;

    explicit desk(std::size_t limit = 16) : table(limit) {}

    /// An object that exists already, so that a call needs no creation.
    static std::shared_ptr<object_birth> here(std::uint64_t id = 7) {
        auto birth = std::make_shared<object_birth>();
        birth->id = object_id{id};
        birth->created = true;
        return birth;
    }
    static std::shared_ptr<object_birth> not_here(std::uint64_t id = 7) {
        auto birth = here(id);
        birth->created = false;
        birth->body = R"(["h","box"])";
        return birth;
    }
    void open(std::uint64_t session = 100) { table.session_opened(session_id{session}, now); }

    std::uint64_t submit(std::shared_ptr<object_birth> birth, std::string body = R"(["add",1])",
                         command_kind kind = command_kind::call, duration patience = 10s) {
        std::uint64_t const t = next_ticket++;
        outcomes[t];
        table.submit(runtime::call_ticket{t}, {kind, std::move(birth), std::move(body), {}},
                     [this, t](call_outcome&& o) { outcomes[t].push_back(std::move(o)); }, now, now + patience);
        return t;
    }
    /// What is sent now, decoded; the bytes stay in `sent`.
    std::vector<envelope> send() {
        last = table.take_outbox(now);
        std::vector<envelope> all;
        for (shared_bytes const& c : last.commands) all.push_back(*decode_envelope(c.view()));
        return all;
    }
    /// The log's outcome of a number.
    void decide(std::uint64_t number, call_outcome outcome = {}, std::uint64_t session = 100) {
        if (auto f = table.complete(session_id{session}, sequence{number}, std::move(outcome), now))
            f->done(std::move(f->outcome));
    }
    void refuse(errc code) { table.refused(last.numbers, failed(code, "refused"), now); }
    void run() {
        for (runtime::finished_call& f : table.take_finished()) f.done(std::move(f.outcome));
    }
    /// The one outcome of a call; `none` while it has none, and a failed check when it has two.
    static constexpr errc none{-1};
    errc code(std::uint64_t ticket) {
        run();
        CHECK(outcomes[ticket].size() <= 1);
        return outcomes[ticket].empty() ? none : outcomes[ticket][0].code;
    }
    runtime::calls::batch last;
};

constexpr errc ran{};
call_outcome result(std::string text) {
    call_outcome o;
    o.result = std::move(text);
    return o;
}

TEST_CASE("a call waits for a session, is sent under it with the next number, and ends with what the log decided") {
    desk d;
    auto const a = d.submit(desk::here());
    auto const b = d.submit(desk::here(8), R"(["get"])");
    CHECK(d.send().empty());
    CHECK(d.table.pending_count() == 2);
    d.open(100);
    CHECK(d.table.session() == session_id{100});
    auto const sent = d.send();
    REQUIRE(sent.size() == 2);
    CHECK(sent[0].kind == command_kind::call);
    CHECK(sent[0].object == object_id{7});
    CHECK(sent[0].session == session_id{100});
    CHECK(sent[0].seq == sequence{1});
    CHECK(sent[0].acked_below == sequence{1});
    CHECK(sent[0].body == R"(["add",1])");
    CHECK(sent[1].object == object_id{8});
    CHECK(sent[1].seq == sequence{2});
    CHECK(d.send().empty());
    d.decide(2, result("5"));
    CHECK(d.code(a) == desk::none);
    CHECK(d.code(b) == ran);
    CHECK(d.outcomes[b].at(0).result == "5");
    d.decide(1);
    CHECK(d.code(a) == ran);
    CHECK(d.table.pending_count() == 0);
}

TEST_CASE("an outcome of another session or of an ended call is nobody's") {
    desk d;
    d.open(100);
    auto const a = d.submit(desk::here());
    d.send();
    d.decide(1, {}, 99);
    d.decide(0);
    d.decide(2);
    CHECK(d.code(a) == desk::none);
    d.decide(1);
    d.decide(1);
    CHECK(d.code(a) == ran);
}

TEST_CASE("acked_below rises only over calls that have ended without a gap") {
    desk d;
    d.open();
    for (int i = 0; i < 4; ++i) d.submit(desk::here());
    d.send();
    d.decide(2);
    d.decide(3);
    d.submit(desk::here());
    CHECK(d.send().at(0).acked_below == sequence{1});
    d.decide(1);
    d.submit(desk::here());
    CHECK(d.send().at(0).acked_below == sequence{4});
}

TEST_CASE("overloaded comes at the limit, counts waiting and sent calls, and not before") {
    desk d{3};
    auto const a = d.submit(desk::here());
    d.open();
    d.send();
    auto const b = d.submit(desk::not_here());
    CHECK(d.table.pending_count() == 3); // The second one brings its object's creation.
    auto const c = d.submit(desk::here());
    CHECK(d.code(c) == errc::overloaded);
    CHECK(d.outcomes[c].at(0).text.find("limits.max_pending_calls") != std::string::npos);
    d.decide(1);
    auto const e = d.submit(desk::here());
    CHECK(d.code(e) == desk::none);
    CHECK(d.code(a) == ran);
    CHECK(d.code(b) == desk::none);
}

TEST_CASE("a batch holds at most so many commands and ends with the one that reaches its bytes") {
    desk d{4096};
    d.open();
    for (std::size_t i = 0; i < runtime::calls::batch_commands + 1; ++i) d.submit(desk::here());
    CHECK(d.send().size() == runtime::calls::batch_commands);
    CHECK(d.send().size() == 1);
    std::string const half(runtime::calls::batch_bytes / 2, 'x');
    for (int i = 0; i < 3; ++i) d.submit(desk::here(), half);
    CHECK(d.send().size() == 2);
    CHECK(d.send().size() == 1);
}

TEST_CASE("an object is created once, ahead of all calls that wait for it") {
    desk d;
    auto const birth = desk::not_here();
    auto const a = d.submit(birth);
    d.open();
    auto const b = d.submit(birth);
    auto const wish = d.submit(birth, "", command_kind::create);
    auto const free = d.submit(desk::here(9));
    auto const sent = d.send();
    REQUIRE(sent.size() == 2);
    CHECK(sent[0].kind == command_kind::create);
    CHECK(sent[0].body == birth->body);
    CHECK(sent[0].deadline == log_time{});
    CHECK(sent[1].object == object_id{9});
    CHECK_FALSE(d.table.is_created(*birth));
    d.decide(1, result("true"));
    CHECK(d.table.is_created(*birth));
    CHECK(d.code(wish) == ran);
    auto const then = d.send();
    REQUIRE(then.size() == 2);
    CHECK(then[0].seq == sequence{3});
    CHECK(then[1].seq == sequence{4});
    d.decide(3, result("1"));
    d.decide(4, result("2"));
    CHECK(d.outcomes[a].at(0).result == "1");
    CHECK(d.outcomes[b].at(0).result == "2");
    CHECK(d.code(free) == desk::none);
    CHECK(d.code(d.submit(birth, "", command_kind::create)) == ran); // It is there already: nothing is sent.
    CHECK(d.send().empty());
}

TEST_CASE("a creation that fails ends the calls that waited for it with its reason, and no other") {
    desk d;
    d.open();
    auto const birth = desk::not_here(), other = desk::not_here(8);
    auto const a = d.submit(birth), b = d.submit(birth), c = d.submit(other);
    REQUIRE(d.send().size() == 2);
    d.decide(1, failed(errc::type_mismatch, "another type"));
    CHECK(d.code(a) == errc::type_mismatch);
    CHECK(d.code(b) == errc::type_mismatch);
    CHECK(d.code(c) == desk::none);
    CHECK_FALSE(d.table.is_created(*birth));
    auto const again = d.submit(birth); // A later call tries again.
    auto const sent = d.send();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].kind == command_kind::create);
    d.decide(3, result("false"));
    d.send();
    d.decide(4);
    CHECK(d.code(again) == ran);
}

TEST_CASE("destroy and reset create nothing") {
    desk d;
    d.open();
    auto const birth = desk::not_here();
    auto const a = d.submit(birth, "[]", command_kind::destroy);
    auto const b = d.submit(birth, birth->body, command_kind::reset);
    auto const sent = d.send();
    REQUIRE(sent.size() == 2);
    CHECK(sent[0].kind == command_kind::destroy);
    CHECK(sent[1].kind == command_kind::reset);
    d.decide(1);
    d.decide(2);
    CHECK(d.code(a) == ran);
    CHECK(d.code(b) == ran);
}

TEST_CASE("a creation that is refused for certain ends what waited for it") {
    desk d;
    d.open();
    auto const birth = desk::not_here();
    auto const a = d.submit(birth);
    d.send();
    d.refuse(errc::needs_upgrade);
    CHECK(d.code(a) == errc::needs_upgrade);
    auto const b = d.submit(birth);
    REQUIRE(d.send().size() == 1);
    CHECK(d.code(b) == desk::none);
}

TEST_CASE("rule 10: a refusal ends a call only when every attempt was refused") {
    desk d;
    d.open();
    auto const a = d.submit(desk::here());
    d.send();
    d.table.resend(d.now);
    d.send(); // Two attempts are under way.
    d.refuse(errc::overloaded);
    CHECK(d.code(a) == desk::none);
    d.refuse(errc::overloaded);
    CHECK(d.code(a) == errc::overloaded);
}

TEST_CASE("rule 10: 'nobody leads there' is no end; the call goes on until its deadline, then it was not executed") {
    desk d;
    d.open();
    auto const a = d.submit(desk::here());
    for (int i = 0; i < 3; ++i) {
        REQUIRE(d.send().size() == 1);
        d.refuse(errc::not_executed);
        CHECK(d.code(a) == desk::none);
        d.table.resend(d.now);
    }
    d.now += 10s;
    d.table.expire(d.now);
    CHECK(d.code(a) == errc::not_executed);
}

TEST_CASE("rule 10: at its deadline a call that may have run is outcome_unknown, another is not_executed") {
    desk d;
    auto const waiting = d.submit(desk::here(), "[]", command_kind::call, 5s);
    d.now += 5s - 1us;
    d.table.expire(d.now);
    CHECK(d.code(waiting) == desk::none);
    d.now += 1us;
    d.table.expire(d.now);
    CHECK(d.code(waiting) == errc::not_executed);
    d.open();
    auto const sent = d.submit(desk::here());
    d.send();
    auto const unsent = d.submit(desk::here());
    auto const unborn = d.submit(desk::not_here());
    auto const later = d.submit(desk::here(), "[]", command_kind::call, 11s);
    d.now += 10s;
    d.table.expire(d.now);
    CHECK(d.code(sent) == errc::outcome_unknown);
    CHECK(d.code(unsent) == errc::not_executed);
    CHECK(d.code(unborn) == errc::not_executed);
    CHECK(d.code(later) == desk::none);
    d.decide(1); // Too late: the caller was told.
    CHECK(d.code(sent) == errc::outcome_unknown);
    d.now += 1s;
    d.table.expire(d.now);
    CHECK(d.code(later) == errc::not_executed);
}

TEST_CASE("a refused attempt and one under way make outcome_unknown at the deadline") {
    desk d;
    d.open();
    auto const a = d.submit(desk::here());
    d.send();
    d.refuse(errc::not_executed);
    d.table.resend(d.now);
    d.send();
    d.now += 10s;
    d.table.expire(d.now);
    CHECK(d.code(a) == errc::outcome_unknown);
}

TEST_CASE("the command carries its deadline on the log's clock: what is left of it, from the last stamp on") {
    desk d;
    d.open();
    d.table.clock(log_time{1'000'000}, d.now);
    d.table.clock(log_time{500'000}, d.now + 1s); // Clocks do not go back.
    d.now += 2s;
    d.submit(desk::here(), "[]", command_kind::call, 3s);
    CHECK(d.send().at(0).deadline == log_time{6'000'000});
}

TEST_CASE("resend takes up what was sent early enough, with the same bytes, and never twice into one outbox") {
    desk d;
    d.open();
    d.submit(desk::here());
    d.send();
    auto const first = d.last.commands.at(0);
    d.now += 1s;
    d.submit(desk::here());
    d.send();
    d.table.resend(d.now - 1us);
    d.table.resend(d.now - 1us);
    REQUIRE(d.send().size() == 1);
    CHECK(d.last.numbers.at(0) == sequence{1});
    CHECK(d.last.commands.at(0) == first);
    d.decide(1);
    d.table.resend(d.now);
    REQUIRE(d.send().size() == 1);
    CHECK(d.last.numbers.at(0) == sequence{2});
}

TEST_CASE("a call that ends while it is queued is not sent") {
    desk d;
    d.open();
    auto const a = d.submit(desk::here());
    d.send();
    d.table.resend(d.now);
    d.decide(1);
    CHECK(d.send().empty());
    CHECK(d.code(a) == ran);
}

TEST_CASE("rule 9: with its session, what was sent is outcome_unknown; what was not goes under the next one") {
    desk d;
    d.open(100);
    auto const sent = d.submit(desk::here());
    d.send();
    auto const refused = d.submit(desk::here(), R"(["b"])");
    d.send();
    d.refuse(errc::not_executed);
    auto const unsent = d.submit(desk::here(), R"(["c"])");
    d.table.session_lost();
    CHECK(d.table.session() == session_id{});
    CHECK(d.code(sent) == errc::outcome_unknown);
    CHECK(d.code(refused) == desk::none);
    CHECK(d.code(unsent) == desk::none);
    CHECK(d.send().empty());
    d.table.resend(d.now);
    CHECK(d.send().empty());
    d.open(200);
    auto const again = d.send();
    REQUIRE(again.size() == 2);
    CHECK(again[0].session == session_id{200});
    CHECK(again[0].seq == sequence{1});
    CHECK(again[0].acked_below == sequence{1});
    CHECK(again[0].body == R"(["b"])");
    CHECK(again[1].body == R"(["c"])");
    d.decide(1, {}, 100); // A late outcome of the old session.
    CHECK(d.code(refused) == desk::none);
    d.decide(1, {}, 200);
    CHECK(d.code(refused) == ran);
}

TEST_CASE("a creation that was under way with the session is made again under the next one") {
    desk d;
    d.open(100);
    auto const birth = desk::not_here();
    auto const a = d.submit(birth);
    SUBCASE("sent") { REQUIRE(d.send().size() == 1); }
    SUBCASE("not sent") {}
    d.table.session_lost();
    CHECK(d.code(a) == desk::none);
    d.open(200);
    auto const sent = d.send();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].kind == command_kind::create);
    d.decide(1, result("false"), 200);
    REQUIRE(d.send().size() == 1);
    d.decide(2, {}, 200);
    CHECK(d.code(a) == ran);
}

TEST_CASE("rule 10: a call that waits for its object was never sent, whatever becomes of the creation's session") {
    desk d;
    d.open();
    auto const call = d.submit(desk::not_here());
    for (int attempt = 0; attempt < 2; ++attempt) {
        REQUIRE(d.send().size() == 1);
        d.table.resend(d.now);
    }
    d.decide(1, failed(errc::session_expired, "gone"));
    CHECK(d.code(call) == desk::none);
    d.table.session_lost();
    CHECK(d.code(call) == desk::none);
    d.open(200);
    auto const again = d.send();
    REQUIRE(again.size() == 1);
    CHECK(again[0].kind == command_kind::create);
    d.decide(1, {}, 200);
    CHECK(d.send().size() == 1);
}

TEST_CASE("a call that the log refuses with its session is that, unless another attempt may have run") {
    desk d;
    d.open();
    auto const once = d.submit(desk::here());
    d.send();
    auto const twice = d.submit(desk::here());
    d.send();
    d.table.resend(d.now);
    d.send();
    d.refuse(errc::not_executed); // Of both: only the second one's first attempt is still open.
    d.decide(1, failed(errc::session_expired, "gone"));
    d.decide(2, failed(errc::session_expired, "gone"));
    CHECK(d.code(once) == errc::session_expired);
    CHECK(d.code(twice) == errc::session_expired);
    auto const retried = d.submit(desk::here());
    d.send();
    d.table.resend(d.now);
    d.send();
    d.decide(3, failed(errc::session_expired, "gone"));
    CHECK(d.code(retried) == errc::outcome_unknown);
}

TEST_CASE("cancelling gives cancelled when nothing was sent, and outcome_unknown when something was") {
    desk d;
    auto const waiting = d.submit(desk::here());
    CHECK(d.table.cancel(runtime::call_ticket{waiting}));
    CHECK(d.code(waiting) == errc::cancelled);
    d.open();
    auto const unborn = d.submit(desk::not_here());
    auto const unsent = d.submit(desk::here());
    CHECK(d.table.cancel(runtime::call_ticket{unborn}));
    CHECK(d.table.cancel(runtime::call_ticket{unsent}));
    CHECK(d.code(unborn) == errc::cancelled);
    CHECK(d.code(unsent) == errc::cancelled);
    auto const refused = d.submit(desk::here());
    d.send();
    d.refuse(errc::not_executed);
    CHECK(d.table.cancel(runtime::call_ticket{refused}));
    CHECK(d.code(refused) == errc::cancelled);
    auto const sent = d.submit(desk::here());
    d.send();
    CHECK(d.table.cancel(runtime::call_ticket{sent}));
    CHECK(d.code(sent) == errc::outcome_unknown);
    CHECK_FALSE(d.table.cancel(runtime::call_ticket{sent}));
    CHECK_FALSE(d.table.cancel(runtime::call_ticket{9999}));
}

TEST_CASE("a stopped table ends everything at once, and whatever comes later") {
    desk d;
    d.open();
    auto const sent = d.submit(desk::here());
    auto const done = d.submit(desk::here());
    auto const refused = d.submit(desk::here());
    d.send();
    d.table.refused({sequence{3}}, failed(errc::not_executed, "nobody leads there"), d.now);
    d.decide(2);
    auto const unsent = d.submit(desk::here());
    auto const unborn = d.submit(desk::not_here());
    d.table.stop();
    CHECK(d.code(done) == ran);
    CHECK(d.code(sent) == errc::outcome_unknown);
    CHECK(d.code(refused) == errc::stopped);
    CHECK(d.code(unsent) == errc::stopped);
    CHECK(d.code(unborn) == errc::stopped);
    auto const late = d.submit(desk::here());
    CHECK(d.code(late) == errc::stopped);
    CHECK(d.table.pending_count() == 0);
    CHECK(d.send().empty());
    d.decide(1);
    CHECK(d.code(sent) == errc::outcome_unknown);
}

TEST_CASE("completions come in the order in which the calls ended, each once") {
    desk d;
    std::vector<std::uint64_t> order;
    for (std::uint64_t t : {1u, 2u, 3u})
        d.table.submit(runtime::call_ticket{t}, {command_kind::call, desk::here(), "[]", {}},
                       [&order, t](call_outcome&&) { order.push_back(t); }, d.now, d.now + 1s);
    d.table.reject([&order](call_outcome&&) { order.push_back(4); }, failed(errc::too_large, "x"));
    CHECK(d.table.cancel(runtime::call_ticket{3}));
    CHECK(d.table.cancel(runtime::call_ticket{1}));
    d.table.stop();
    d.run();
    d.run();
    CHECK(order == std::vector<std::uint64_t>{4, 3, 1, 2});
}

} // namespace calls_test
