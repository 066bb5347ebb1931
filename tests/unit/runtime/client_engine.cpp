// A client's picture of its group: whom it knows, whom it asks, and whom it gives up.
#include <openreplica/runtime/client_engine.hpp>

#include "client_script.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

namespace client_engine_test {

TEST_CASE("who was given one address learns of the others from it, and dials them") {
    script s;
    s.engine.on_named(at(1));
    CHECK(s.dialled == std::set{at(1)});
    s.up(1, seen_by(1));
    CHECK(s.dialled == std::set{at(1), at(2), at(3)});
    CHECK(s.cluster == cluster_id{0, 7});
    CHECK(s.engine.is_served());
}

TEST_CASE("a replica that sees no leader is not asked, and what is wrong is told") {
    script s;
    CHECK(s.engine.status().problem.find("seeds") != std::string::npos);
    s.engine.on_named(at(1));
    CHECK(s.engine.status().problem.find("nobody answers") != std::string::npos);
    s.engine.on_refused(at(1), "this node belongs to group \"x\"");
    CHECK(s.engine.status().problem.find("group \"x\"") != std::string::npos);
    s.up(1, seen_by(0));
    CHECK(!s.engine.is_served());
    CHECK(s.engine.status().problem.find("healthy leader") != std::string::npos);
    auto const e = s.read();
    CHECK(s.sent_of<net::client_query>().empty());
    s.news(1, seen_by(1));
    CHECK(s.engine.is_served());
    CHECK(s.engine.status().problem.empty());
    CHECK(s.sent_of<net::client_query>().size() == 1);
    CHECK(!e->done);
}

TEST_CASE("while nobody serves, the seeds are looked at again; a known address is never given up for that") {
    script s;
    s.settle();
    s.looked_again = 0;
    s.pass(100ms);
    CHECK(s.looked_again == 0);
    s.engine.on_omitted(at(1)); // DNS names nobody any more.
    for (std::uint16_t port : std::vector<std::uint16_t>{1, 2, 3}) s.down(port);
    s.pass(60s);
    CHECK(s.looked_again > 0);
    CHECK(s.dialled == std::set{at(1), at(2), at(3)});
    s.engine.on_named(at(9)); // DNS has somebody new.
    CHECK(s.dialled.contains(at(9)));
}

TEST_CASE("every member is replaced, one after another, and the client goes along") {
    script s;
    s.settle();
    s.open_session();
    s.engine.on_omitted(at(1));
    auto v = seen_by(1);
    for (std::uint16_t gone = 1; gone <= 3; ++gone) {
        std::uint16_t const fresh = static_cast<std::uint16_t>(gone + 10);
        v.current = v.current.next();
        v.members.erase(v.members.begin());
        v.members.push_back({node(fresh), at(fresh)});
        v.promised.round += 1;
        v.leader = v.members.front().id;
        for (auto const& m : v.members)
            if (m.address != at(fresh)) s.news(m.address.port, v);
        CHECK(s.dialled.contains(at(fresh)));
        s.up(fresh, v);
        s.down(gone);
        s.pass(50ms);
        CHECK(!s.dialled.contains(at(gone)));
        s.sent.clear();
        auto const e = s.call();
        REQUIRE(!s.batches().empty());
        auto const to = s.batches().back().first;
        CHECK(to == v.members.front().address);
        s.outcome(to.port, gone, good("1"));
        CHECK(e->done);
        CHECK(e->outcome.ok());
    }
    CHECK(s.dialled == std::set{at(11), at(12), at(13)});
    CHECK(s.engine.status().current == epoch{4});
}

TEST_CASE("an older view takes nothing back, and a member that only it names is not dialled") {
    script s;
    s.settle();
    auto newer = seen_by(1);
    newer.current = epoch{5};
    s.news(1, newer);
    auto older = seen_by(1);
    older.current = epoch{3};
    older.members = {{node(9), at(9)}};
    s.news(2, older);
    CHECK(s.engine.status().current == epoch{5});
    CHECK(!s.dialled.contains(at(9)));
}

TEST_CASE("who left the group is let go only when somebody else serves") {
    script s;
    s.settle();
    s.engine.on_omitted(at(1));
    auto v = seen_by(2);
    v.current = epoch{2};
    v.members.erase(v.members.begin());
    for (std::uint16_t port : std::vector<std::uint16_t>{2, 3}) s.down(port);
    s.news(1, v);
    s.pass(5s);
    CHECK(s.dialled.contains(at(1)));
    s.up(2, v);
    s.pass(50ms);
    CHECK(!s.dialled.contains(at(1)));
}

TEST_CASE("a seed's address stays although the group does not name it") {
    script s;
    s.settle();
    s.engine.on_named(at(4)); // A standby, perhaps.
    s.up(4, seen_by(1));
    s.pass(10s);
    CHECK(s.dialled.contains(at(4)));
}

TEST_CASE("another cluster of the same name is no way to this one") {
    script s;
    s.settle();
    for (std::uint16_t port : std::vector<std::uint16_t>{1, 2, 3}) s.down(port);
    auto other = seen_by(4);
    other.cluster = {0, 8};
    other.current = epoch{9};
    s.engine.on_named(at(4));
    s.up(4, other);
    CHECK(!s.engine.is_served());
    CHECK(s.engine.status().current == epoch{1});
}

TEST_CASE("no more addresses are dialled than the limit, and it is said once") {
    script s;
    for (std::uint16_t port = 1; port <= 70; ++port) s.engine.on_named(at(port));
    CHECK(s.dialled.size() == 64);
    CHECK(std::ranges::count_if(s.lines, [](auto const& l) { return l.find("64 addresses") != std::string::npos; }) == 1);
}

TEST_CASE("commands go to the leader; of two that are told of, to the one with the higher ballot") {
    script s;
    s.settle();
    s.open_session();
    (void)s.call();
    CHECK(s.batches().back().first == at(1));
    s.news(2, seen_by(2, 5)); // The others have not heard of it yet.
    CHECK(s.batches().back().first == at(2)); // What had no outcome was sent again.
    s.sent.clear();
    s.news(3, seen_by(1, 1));
    (void)s.call();
    CHECK(s.batches().back().first == at(2));
}

TEST_CASE("when the leader's connection breaks, another replica passes commands on, and the old one is told to stop") {
    script s;
    s.settle();
    s.open_session();
    auto const e = s.call();
    REQUIRE(s.batches().size() == 1);
    s.sent.clear();
    s.down(1);
    s.pass(20ms);
    REQUIRE(s.batches().size() == 1);
    auto const second = s.batches()[0].first;
    CHECK(second != at(1));
    s.up(1, seen_by(1));
    s.pass(20ms);
    CHECK(s.sent_of<net::client_leave>().size() == 1);
    CHECK(s.sent_of<net::client_leave>()[0].first == second);
    s.outcome(second.port, 1, good("7"));
    CHECK(e->outcome.result == "7");
}

TEST_CASE("a replica that answers no ping is avoided, and dialled again when it stays silent") {
    script s({.heartbeat = 100ms});
    s.settle();
    s.open_session();
    s.deaf.insert(at(1));
    auto const e = s.call();
    CHECK(s.batches().back().first == at(1));
    s.sent.clear();
    s.pass(450ms);
    REQUIRE(!s.batches().empty());
    CHECK(s.batches().back().first != at(1));
    s.dialled.erase(at(1));
    s.pass(2s);
    CHECK(s.dialled.contains(at(1))); // Perhaps the connection was half open.
    CHECK(!e->done);
}

TEST_CASE("reads are spread over replicas that are about as near, and kept from those that are far") {
    script s;
    s.trips = {{at(1), 1ms}, {at(2), 1ms}, {at(3), 40ms}};
    s.settle();
    s.pass(3s);
    std::map<endpoint, int> asked;
    for (int i = 0; i < 60; ++i) {
        s.sent.clear();
        auto const e = s.read(true);
        REQUIRE(s.sent_of<net::client_query>().size() == 1);
        auto const [to, q] = s.sent_of<net::client_query>()[0];
        ++asked[to];
        s.answer(to.port, q.number, good("1", 100));
        CHECK(e->done);
    }
    CHECK(asked[at(1)] > 15);
    CHECK(asked[at(2)] > 15);
    CHECK(asked[at(3)] == 0);
    s.down(1);
    s.down(2);
    s.sent.clear();
    (void)s.read(true);
    CHECK(s.sent_of<net::client_query>().at(0).first == at(3)); // Far is better than nobody.
}

TEST_CASE("a replica that was busy for a moment is still near; one that stays slow is far before long") {
    script s({.heartbeat = 100ms});
    s.settle();
    s.pass(2s);
    auto const trip_of = [&](std::uint16_t port) {
        for (auto const& r : s.engine.status().replicas)
            if (r.where == at(port)) return r.round_trip;
        return duration{};
    };
    s.trips[at(2)] = 9ms;
    s.pass(110ms);
    CHECK(trip_of(2) == 2ms); // An eighth of the way.
    s.trips[at(2)] = 1ms;
    s.pass(110ms);
    CHECK(trip_of(2) == 1ms);
    s.trips[at(2)] = 9ms;
    s.pass(3s);
    CHECK(trip_of(2) > 8ms);
}

TEST_CASE("of equally near replicas the one with fewer reads to answer is asked") {
    script s;
    s.settle();
    std::map<endpoint, int> asked;
    for (int i = 0; i < 30; ++i) (void)s.read(true);
    for (auto const& [to, q] : s.sent_of<net::client_query>()) ++asked[to];
    CHECK(asked[at(1)] == 10);
    CHECK(asked[at(2)] == 10);
    CHECK(asked[at(3)] == 10);
}

} // namespace client_engine_test
