#include <openreplica/runtime/engine_group.hpp>

#include "lone_node.hpp"

#include <cstdint>
#include <string>

namespace engine_group_test {

using namespace engine_test;

/// A lone leader, and the session of a stranger that nobody keeps alive.
struct with_stranger : lone_leader {
    explicit with_stranger(std::string const& timeout_us) {
        receive(paxos::forward{7, 0, {shared_bytes(encode(
                                         envelope{command_kind::open_session, object_id{77}, {}, {}, {}, {}, timeout_us}))}});
        REQUIRE(space.open_sessions() == 2);
    }
    [[nodiscard]] std::uint64_t chosen() const { return engine.core()->entries().chosen().value; }
};

TEST_CASE("rule 13: nothing expires before the leader has led for one session timeout") {
    with_stranger l("[1000000]"); // Led for three seconds by now, of ten.
    l.pass(5s);
    CHECK(l.space.open_sessions() == 2);
    l.pass(4s);
    CHECK(l.space.open_sessions() == 1);
}

TEST_CASE("rule 13: the leader proposes a tick when the earliest deadline is due, and none before") {
    with_stranger l("[60000000]");
    l.pass(30s);
    auto const before = l.chosen();
    l.pass(2s);
    CHECK(l.chosen() <= before + 1); // Nothing but this node's own keep-alive.
    CHECK(l.space.open_sessions() == 2);
    l.pass(30s);
    CHECK(l.space.open_sessions() == 1);
}

TEST_CASE("rule 13: a session that is used does not expire") {
    lone_leader l; // Its own session, which it keeps alive.
    l.pass(60s);
    CHECK(l.space.open_sessions() == 1);
    CHECK(l.engine.is_ready());
}

TEST_CASE("rule 15: a replica that cannot apply an entry stops there, keeps its vote, and says why") {
    lone_node l(true, voter_of_three());
    l.engine.on_peer_up(l.peer);
    ballot const b{1, 0, l.peer};
    l.receive(paxos::prepare{b, slot{}, epoch{1}});
    l.disk_catches_up();
    paxos::value opens, unknown;
    opens.kind = unknown.kind = paxos::value_kind::command;
    opens.body = shared_bytes(encode(envelope{command_kind::open_session, object_id{77}, {}, {}, {}, {}, "[10000000]"}));
    unknown.body = shared_bytes(encode(envelope{command_kind::create, object::object_id_of("x"), session_id{1}, sequence{1},
                                                sequence{1}, {}, R"(["x","stranger"])"}));
    l.receive(paxos::accept{b, epoch{1}, slot{1}, {opens, unknown, paxos::value{}}, slot{}});
    l.disk_catches_up();
    l.receive(paxos::chosen_index{b, slot{3}});
    auto const s = l.engine.status();
    CHECK(s.chosen == slot{3});
    CHECK(s.applied == slot{1});
    CHECK(s.problem.find("stranger") != std::string::npos);
    l.receive(paxos::accept{b, epoch{1}, slot{4}, {paxos::value{}}, slot{3}});
    l.disk_catches_up();
    auto const acks = l.sent_of<paxos::accepted>();
    REQUIRE_FALSE(acks.empty());
    CHECK(acks.back().upto == slot{4});
}

TEST_CASE("R45: a node that joins an existing group remembers it: after a restart it belongs to the same one") {
    lone_node l(true, {}, {.founders = 0, .has_seeds = true});
    auto const group = voter_of_three().group;
    paxos::member const host{node_id{0, 2}, {"there", 2}};
    l.engine.on_message(host, paxos::founding_message(paxos::welcome{group.cluster, group.members, true, group.members}));
    l.engine.flush();
    REQUIRE(l.engine.status().cluster == group.cluster);
    auto const written = l.disk.written;
    REQUIRE(written.size() == 1);
    auto const* r = std::get_if<paxos::founding_record>(&written.front());
    REQUIRE(r != nullptr);
    CHECK(r->what == paxos::founding_record::step::chosen);
    CHECK(r->first == group);
}

} // namespace engine_group_test
