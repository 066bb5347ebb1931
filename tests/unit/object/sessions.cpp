// The session table by itself: what is stored, what is dropped, and when a session ends.
#include <openreplica/object/sessions.hpp>

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace openreplica;
using object::session;
using object::session_table;

namespace {

call_outcome result(std::string text) { return {errc{}, {}, std::move(text), slot{1}}; }

} // namespace

TEST_CASE("outcomes are found until they are acknowledged") {
    session s;
    s.store(sequence{3}, result("three"));
    s.store(sequence{1}, result("one"));
    CHECK(s.find(sequence{1})->result == "one");
    CHECK(s.find(sequence{2}) == nullptr);
    CHECK(s.find(sequence{3})->result == "three");
    CHECK(s.bytes() == 8);
    s.acknowledge(sequence{3});
    CHECK(s.find(sequence{1}) == nullptr);
    CHECK(s.find(sequence{3})->result == "three");
    CHECK(s.bytes() == 5);
    s.acknowledge(sequence{2}); // Acknowledgements arrive late too; nothing comes back.
    CHECK(s.acked_below() == sequence{3});
    s.acknowledge(sequence{1'000'000'000'000});
    CHECK(s.bytes() == 0);
    CHECK(s.find(sequence{3}) == nullptr);
}

TEST_CASE("numbers are held within the window, at its limit and not one past it") {
    session s;
    s.acknowledge(sequence{10});
    CHECK_FALSE(s.holds(sequence{9}));
    CHECK(s.holds(sequence{10}));
    CHECK(s.holds(sequence{10 + object::session_window - 1}));
    CHECK_FALSE(s.holds(sequence{10 + object::session_window}));
    s.store(sequence{10 + object::session_window - 1}, result("far"));
    s.store(sequence{10}, result("near"));
    CHECK(s.find(sequence{10})->result == "near");
    CHECK(s.find(sequence{10 + object::session_window - 1})->result == "far");
}

TEST_CASE("the ring behaves as a map does, over a long random history") {
    std::mt19937_64 random(7);
    session s;
    std::map<std::uint64_t, std::string> model;
    std::uint64_t low = 1;
    for (int step = 0; step < 20'000; ++step) {
        std::uint64_t const n = low + random() % 300;
        if (model.contains(n)) {
            REQUIRE(s.find(sequence{n}) != nullptr);
            CHECK(s.find(sequence{n})->result == model[n]);
        } else {
            CHECK(s.find(sequence{n}) == nullptr);
            model[n] = std::string(random() % 5, 'x');
            s.store(sequence{n}, result(model[n]));
        }
        if (random() % 4 == 0) {
            low += random() % 40;
            model.erase(model.begin(), model.lower_bound(low));
            s.acknowledge(sequence{low});
        }
        if (step % 1000 != 0) continue;
        std::map<std::uint64_t, std::string> seen;
        s.for_each([&](sequence seq, call_outcome const& o) { seen[seq.value] = o.result; });
        CHECK(seen == model);
        std::size_t bytes = 0;
        for (auto const& [k, v] : model) bytes += v.size();
        CHECK(s.bytes() == bytes);
    }
}

TEST_CASE("a session ends at its deadline and not before") {
    session_table table;
    REQUIRE(table.open(slot{5}, log_time{100}, log_time{1000}));
    REQUIRE(table.open(slot{6}, log_time{200}, log_time{1000}));
    CHECK(table.next_deadline() == log_time{1100});
    CHECK(table.expire(log_time{1099}).empty());
    CHECK(table.expire(log_time{1100}) == std::vector{session_id{5}});
    CHECK(table.find(session_id{5}) == nullptr);
    CHECK(table.find(session_id{6}) != nullptr);
    CHECK(table.next_deadline() == log_time{1200});
}

TEST_CASE("activity moves the deadline, and the next tick finds the true one") {
    session_table table;
    REQUIRE(table.open(slot{5}, log_time{100}, log_time{1000}));
    table.find(session_id{5})->last_activity = log_time{900};
    CHECK(table.next_deadline() <= log_time{1900}); // Early is allowed, late is not.
    CHECK(table.expire(log_time{1100}).empty());
    CHECK(table.next_deadline() == log_time{1900});
    CHECK(table.close(session_id{5}));
    CHECK_FALSE(table.close(session_id{5}));
    CHECK_FALSE(table.next_deadline().has_value());
}

TEST_CASE("sessions that end together end in the order of their ids") {
    session_table table;
    for (std::uint64_t id : {9u, 3u, 7u, 1u}) REQUIRE(table.open(slot{id}, log_time{0}, log_time{10}));
    CHECK_FALSE(table.open(slot{3}, log_time{0}, log_time{10}));
    CHECK(table.expire(log_time{10}) == std::vector{session_id{1}, session_id{3}, session_id{7}, session_id{9}});
}

TEST_CASE("the number of open sessions is limited at exactly the limit") {
    session_table table;
    for (std::uint64_t i = 1; i <= object::max_sessions; ++i) REQUIRE(table.open(slot{i}, log_time{0}, log_time{10}));
    CHECK_FALSE(table.open(slot{object::max_sessions + 1}, log_time{0}, log_time{10}));
    REQUIRE(table.close(session_id{4}));
    CHECK(table.open(slot{object::max_sessions + 1}, log_time{0}, log_time{10}));
}
