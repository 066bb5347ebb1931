// What clients ask of a node, and who is told what.
#include <openreplica/runtime/guests.hpp>

#include <openreplica/object/command_text.hpp>
#include <openreplica/object/object_space.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace guests_test {

using namespace openreplica;
using namespace std::chrono_literals;
using net::guest_id;

struct bench {
    object::type_registry registry;
    object::object_space space{registry};
    instant clock{1h};
    net::view seen;
    std::vector<std::pair<guest_id, net::client_reply>> told;
    std::vector<guest_id> closed;
    std::vector<std::pair<guest_id, net::client_commands>> proposed;
    std::vector<runtime::pending_read> asked;
    std::vector<std::pair<std::string, runtime::guests::completion>> questions, orders;
    int wakes = 0;
    runtime::guests guests;

    bench() : guests(space, surroundings(), 3) {
        seen.cluster = {0, 7};
        seen.serving = true;
    }
    ~bench() { guests.stop(); }
    runtime::guests::surroundings surroundings() {
        return {.send = [this](guest_id to, net::client_reply const& m) { told.emplace_back(to, m); },
                .close = [this](guest_id g) { closed.push_back(g); },
                .propose = [this](guest_id from, net::client_commands&& m) { proposed.emplace_back(from, std::move(m)); },
                .ask = [this](auto&& r) { std::move(r.begin(), r.end(), std::back_inserter(asked)); },
                .look = [this] { return seen; },
                .wake = [this] { ++wakes; },
                .now = [this] { return clock; },
                .question = [this](std::string what, std::string argument,
                                   auto done) { questions.emplace_back(what + " " + argument, std::move(done)); },
                .order = [this](std::string order, auto done) { orders.emplace_back(std::move(order), std::move(done)); }};
    }
    template <class Message>
    std::vector<std::pair<guest_id, Message>> told_of() {
        std::vector<std::pair<guest_id, Message>> all;
        for (auto const& [to, m] : told)
            if (auto const* one = std::get_if<Message>(&m)) all.emplace_back(to, *one);
        return all;
    }
    static shared_bytes command(command_kind kind, std::uint64_t session, std::uint64_t seq, std::uint64_t object = 1) {
        return shared_bytes(encode(envelope{kind, object_id{object}, session_id{session}, sequence{seq}, {}, {}, "[]"}));
    }
    void says(std::uint64_t guest, net::client_request m) { guests.on_message(guest_id{guest}, std::move(m)); }
    /// A command was applied, and its batch ended.
    bool applied(std::uint64_t at, std::uint64_t session, std::uint64_t seq, call_outcome o = {}, std::uint64_t opener = 0) {
        guests.on_command(slot{at}, log_time{at * 10}, {session_id{session}, sequence{seq}, opener, true, std::move(o)});
        return guests.on_batch_end();
    }
};

TEST_CASE("a ping is answered with what this node sees") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.says(1, net::client_ping{5});
    REQUIRE(b.told_of<net::client_pong>().size() == 1);
    CHECK(b.told_of<net::client_pong>()[0].second.number == 5);
    CHECK(b.told_of<net::client_pong>()[0].second.now == b.seen);
}

TEST_CASE("a session's outcomes go to the connection that its commands came over, and to no other") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.guests.on_up(guest_id{2});
    CHECK(!b.applied(10, 50, 1)); // Nobody's.
    b.says(1, net::client_commands{1, {b.command(command_kind::call, 50, 2)}});
    CHECK(b.proposed.size() == 1);
    CHECK(b.applied(11, 50, 2, {errc{}, "", "7", slot{11}}));
    (void)b.applied(12, 51, 1); // Another session's.
    b.guests.flush();
    REQUIRE(b.told_of<net::client_outcomes>().size() == 1);
    auto const [to, m] = b.told_of<net::client_outcomes>()[0];
    CHECK(to == guest_id{1});
    CHECK(m.session == session_id{50});
    CHECK(m.applied == slot{11});
    CHECK(m.clock == log_time{110});
    REQUIRE(m.list.size() == 1);
    CHECK(m.list[0].seq == sequence{2});
    CHECK(m.list[0].outcome.result == "7");
    b.told.clear();
    b.says(2, net::client_commands{1, {b.command(command_kind::call, 50, 3)}}); // The client has come over another one.
    (void)b.applied(13, 50, 3);
    b.guests.flush();
    CHECK(b.told_of<net::client_outcomes>().at(0).first == guest_id{2});
}

TEST_CASE("outcomes of one session that are applied together travel together; a large one has a message to itself") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.guests.on_up(guest_id{2});
    b.says(1, net::client_commands{1, {b.command(command_kind::call, 50, 1)}});
    b.says(2, net::client_commands{1, {b.command(command_kind::call, 60, 1)}});
    for (std::uint64_t i = 1; i <= 4; ++i) {
        (void)b.applied(2 * i, 50, i);
        (void)b.applied(2 * i + 1, 60, i);
    }
    b.guests.flush();
    REQUIRE(b.told_of<net::client_outcomes>().size() == 2);
    CHECK(b.told_of<net::client_outcomes>()[0].second.list.size() == 4);
    CHECK(b.told_of<net::client_outcomes>()[1].second.applied == slot{9});
    b.told.clear();
    for (std::uint64_t i = 5; i <= 7; ++i) (void)b.applied(20 + i, 50, i, {errc{}, "", std::string(700'000, 'x'), slot{1}});
    b.guests.flush();
    CHECK(b.told_of<net::client_outcomes>().size() == 3);
}

TEST_CASE("a session is opened for the connection that asked, and its outcomes go there") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.says(1, net::client_commands{0, {b.command(command_kind::open_session, 0, 0, 777)}});
    CHECK(!b.applied(9, 8, 0, {}, 776)); // Another process's.
    CHECK(b.applied(10, 10, 0, {}, 777));
    CHECK(b.applied(11, 10, 1));
    b.guests.flush();
    REQUIRE(b.told_of<net::client_opened>().size() == 1);
    CHECK(b.told_of<net::client_opened>()[0].second == net::client_opened{777, session_id{10}, log_time{100}, errc{}, ""});
    CHECK(b.told_of<net::client_outcomes>().size() == 1);
    b.told.clear();
    b.says(1, net::client_commands{0, {b.command(command_kind::open_session, 0, 0, 778)}});
    (void)b.applied(12, 12, 0, failed(errc::overloaded, "too many"), 778);
    (void)b.applied(13, 12, 1);
    b.guests.flush();
    CHECK(b.told_of<net::client_opened>().at(0).second.reason == errc::overloaded);
    CHECK(b.told_of<net::client_outcomes>().empty());
}

TEST_CASE("who has left, or has gone, is told no more") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.says(1, net::client_commands{1, {b.command(command_kind::call, 50, 1)}});
    b.says(1, net::client_leave{session_id{51}}); // Not its session.
    CHECK(b.applied(10, 50, 1));
    b.guests.flush();
    b.says(1, net::client_leave{session_id{50}});
    CHECK(!b.applied(11, 50, 2));
    b.says(1, net::client_commands{1, {b.command(command_kind::call, 50, 3)}});
    b.guests.on_down(guest_id{1});
    CHECK(!b.applied(12, 50, 3));
    b.says(1, net::client_ping{9}); // It came with the end of the connection.
    CHECK(b.guests.count() == 0);
    CHECK(b.told_of<net::client_pong>().empty());
}

TEST_CASE("a client does not move the log's clock, nor sends calls that nobody answers for") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.says(1, net::client_commands{1, {b.command(command_kind::tick, 0, 0)}});
    b.says(1, net::client_commands{0, {b.command(command_kind::call, 50, 1)}});
    b.says(1, net::client_commands{1, {shared_bytes(std::string("no envelope"))}});
    CHECK(b.proposed.empty());
    for (auto kind : {command_kind::open_session, command_kind::keep_alive, command_kind::close_session})
        b.says(1, net::client_commands{0, {b.command(kind, 50, 0)}});
    CHECK(b.proposed.size() == 3);
}

TEST_CASE("refusals go to the client under the number that it gave") {
    bench b;
    b.guests.refuse(guest_id{4}, 17, {0, 2}, failed(errc::overloaded, "full"));
    REQUIRE(b.told_of<net::client_refused>().size() == 1);
    CHECK(b.told_of<net::client_refused>()[0].second == net::client_refused{17, {0, 2}, errc::overloaded, "full"});
}

TEST_CASE("questions, orders and reads of a client are bounded, and each answer makes room") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.guests.on_up(guest_id{2});
    b.says(1, net::client_question{1, "status", ""});
    b.says(1, net::client_order{2, "{}"});
    b.says(1, net::client_query{});
    b.guests.flush();
    CHECK(b.questions.size() == 1);
    CHECK(b.orders.size() == 1);
    CHECK(b.asked.size() == 1);
    b.says(1, net::client_question{4, "status", ""});
    REQUIRE(b.told_of<net::client_answer>().size() == 1);
    CHECK(b.told_of<net::client_answer>()[0].second.number == 4);
    CHECK(b.told_of<net::client_answer>()[0].second.outcome.code == errc::overloaded);
    b.says(2, net::client_question{1, "status", ""}); // Another client has room of its own.
    CHECK(b.questions.size() == 2);
    b.told.clear();
    b.questions[0].second({errc{}, "", "{}", {}});
    CHECK(b.wakes == 1);
    b.guests.flush();
    CHECK(b.told_of<net::client_answer>().at(0).second.number == 1);
    b.says(1, net::client_question{5, "log", "20"});
    CHECK(b.questions.size() == 3);
    CHECK(b.questions[2].first == "log 20");
}

TEST_CASE("an answer to who has gone is dropped") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.says(1, net::client_question{1, "status", ""});
    b.guests.on_down(guest_id{1});
    b.questions[0].second({});
    b.guests.flush();
    CHECK(b.told.empty());
}

TEST_CASE("news of the group goes to every client at once, and only news") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.guests.on_up(guest_id{2});
    b.guests.tick();
    b.guests.tick();
    CHECK(b.told.empty());
    b.seen.applied = slot{99}; // No news.
    b.seen.clock = log_time{99};
    b.guests.tick();
    CHECK(b.told.empty());
    b.seen.leader = node_id{0, 2};
    b.guests.tick();
    b.guests.tick();
    REQUIRE(b.told_of<net::client_pong>().size() == 2);
    CHECK(b.told_of<net::client_pong>()[0].second == net::client_pong{0, b.seen});
    b.told.clear();
    b.seen.current = epoch{2};
    b.guests.tick();
    CHECK(b.told.size() == 2);
}

TEST_CASE("a client that has been silent for long is cut off") {
    bench b;
    b.guests.on_up(guest_id{1});
    b.guests.on_up(guest_id{2});
    b.clock += runtime::guests::patience;
    b.guests.tick();
    CHECK(b.closed.empty());
    b.says(2, net::client_ping{1});
    b.clock += 1us;
    b.guests.tick();
    CHECK(b.closed == std::vector{guest_id{1}});
}

} // namespace guests_test
