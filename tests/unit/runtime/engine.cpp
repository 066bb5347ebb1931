#include <openreplica/runtime/engine.hpp>

#include "lone_node.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

TEST_CASE("a forward's unknown names are refused one by one; the rest of it is executed, and nobody stops") {
    using namespace engine_test;
    lone_leader l;
    paxos::forward f{7, 0, {}};
    f.commands.push_back(l.command(command_kind::create, "g", R"(["g","gauge"])", 1));
    f.commands.push_back(l.command(command_kind::call, "g", R"(["lower",1])", 2));
    f.commands.push_back(l.command(command_kind::call, "g", R"(["raise",5])", 3));
    f.commands.push_back(l.command(command_kind::create, "h", R"(["h","stranger"])", 4));
    f.commands.push_back(shared_bytes(std::string("no envelope")));
    l.receive(f);
    auto const refused = l.sent_of<paxos::forward_refused>();
    REQUIRE(refused.size() == 3);
    CHECK(refused[0].which == std::vector<std::uint32_t>{1});
    CHECK(static_cast<errc>(refused[0].reason) == errc::no_such_method);
    CHECK(refused[1].which == std::vector<std::uint32_t>{3});
    CHECK(static_cast<errc>(refused[1].reason) == errc::needs_upgrade);
    CHECK(refused[2].which == std::vector<std::uint32_t>{4});
    CHECK(static_cast<errc>(refused[2].reason) == errc::malformed);
    CHECK(l.space.snapshot()->find("5") != std::string::npos);
    CHECK(l.engine.status().problem.empty());
}

TEST_CASE("another copy of a forward that was taken is not answered, least of all with a refusal") {
    using namespace engine_test;
    lone_leader l;
    paxos::forward f{8, 0, {l.command(command_kind::create, "g", R"(["g","gauge"])", 1)}};
    l.receive(f);
    auto const chosen = l.engine.core()->entries().chosen();
    l.receive(f);
    CHECK(l.engine.core()->entries().chosen() == chosen);
    CHECK(l.sent_of<paxos::forward_refused>().empty());
}

TEST_CASE("what a voter's program does not know is not proposed, and the call and its companions say so") {
    using namespace engine_test;
    lone_leader l;
    l.unknown_to_a_voter = {"gauge"};
    auto const birth = std::make_shared<runtime::object_birth>();
    birth->id = object::object_id_of("g");
    birth->body = R"(["g","gauge"])";
    std::vector<call_outcome> ended;
    for (std::uint64_t i = 0; i < 2; ++i)
        l.calls.submit(runtime::call_ticket{i + 1}, {command_kind::call, birth, R"(["raise",1])", {}},
                       [&](call_outcome&& o) { ended.push_back(std::move(o)); }, l.clock, l.clock + 10s);
    l.engine.flush();
    l.pass(50ms);
    REQUIRE(ended.size() == 2);
    for (call_outcome const& o : ended) {
        CHECK(o.code == errc::needs_upgrade);
        CHECK(o.text.find("a voter does not know gauge") != std::string::npos);
    }
    // The voter was upgraded: the next call through the same handle makes the object.
    l.unknown_to_a_voter.clear();
    l.calls.submit(runtime::call_ticket{9}, {command_kind::call, birth, R"(["raise",1])", {}},
                   [&](call_outcome&& o) { ended.push_back(std::move(o)); }, l.clock, l.clock + 10s);
    l.pass(50ms);
    REQUIRE(ended.size() == 3);
    CHECK(ended[2].result == "1");
}

TEST_CASE("R15: what an installed snapshot holds is acknowledged once the snapshot is durable, and not before") {
    using namespace engine_test;
    lone_node donor(false);
    std::string const state = *donor.space.snapshot();
    lone_node l(true, voter_of_three());
    l.engine.on_peer_up(l.peer);
    ballot const b{1, 0, l.peer};
    l.receive(paxos::prepare{b, slot{}, epoch{1}});
    l.disk_catches_up(); // The promise is durable: nothing but the snapshot is left to wait for.
    // The log's start is gone at the peer: the node asks for a snapshot, and gets it in one chunk.
    l.receive(paxos::heartbeat{1, b, slot{100}});
    l.receive(paxos::learned{b, slot{1}, {}, slot{100}, slot{101}});
    REQUIRE(l.sent_of<paxos::snapshot_request>().size() == 1);
    auto const s = snapshot_at(slot{100}, state);
    l.receive(paxos::snapshot_chunk{s.at, s.behind, s.stamp, s.governing, 0, state.size(), crc32c(state), s.state});
    REQUIRE(l.engine.applied() == slot{100});
    CHECK(l.sent_of<paxos::accepted>().empty());
    l.disk_catches_up();
    auto const acks = l.sent_of<paxos::accepted>();
    REQUIRE_FALSE(acks.empty());
    CHECK(acks.back().upto == slot{100});
}

TEST_CASE("after a restart a node offers the snapshot that it recovered: perhaps nobody else has one") {
    using namespace engine_test;
    lone_node donor(false);
    paxos::durable_state past = voter_of_three();
    past.base = snapshot_at(slot{100}, *donor.space.snapshot());
    lone_node l(true, std::move(past));
    CHECK(l.engine.applied() == slot{100});
    l.receive(paxos::snapshot_request{});
    auto const chunks = l.sent_of<paxos::snapshot_chunk>();
    REQUIRE(chunks.size() == 1);
    CHECK(chunks[0].at == slot{100});
    CHECK(chunks[0].data.size() == chunks[0].total);
}

TEST_CASE("a forward that was refused or relayed is decided: another copy is neither taken nor refused") {
    using namespace engine_test;
    lone_node l(true, voter_of_three());
    l.engine.on_peer_up(l.peer);
    paxos::forward f{9, 0, {l.command(command_kind::create, "g", R"(["g","gauge"])", 1)}};
    l.receive(f); // Nobody leads, and after two heartbeats nobody does yet.
    CHECK(l.sent_of<paxos::forward_refused>().empty());
    l.pass(150ms);
    CHECK(l.sent_of<paxos::forward_refused>().size() == 1);
    node_id const leader{0, 3};
    ballot const b{1, 0, leader};
    l.engine.on_peer_up(leader);
    l.engine.on_message(leader, paxos::heartbeat{1, b, slot{}});
    l.receive(f);
    CHECK(l.sent_of<paxos::forward>().empty());
    CHECK(l.sent_of<paxos::forward_refused>().empty());

    paxos::forward next{10, 0, {l.command(command_kind::create, "h", R"(["h","gauge"])", 2)}};
    l.receive(next);
    REQUIRE(l.sent_of<paxos::forward>().size() == 1);
    l.engine.on_peer_down(leader); // The relayed copy may be executed all the same.
    l.receive(next);
    CHECK(l.sent_of<paxos::forward_refused>().empty());
}

TEST_CASE("a snapshot is taken over by the core although the report of earlier work comes while it is on its way") {
    using namespace engine_test;
    lone_node donor(false);
    std::string const state = *donor.space.snapshot();
    lone_node l(true, voter_of_three());
    l.engine.on_peer_up(l.peer);
    l.user_code_is_slow = true;
    ballot const b{1, 0, l.peer};
    l.receive(paxos::heartbeat{1, b, slot{100}});
    l.receive(paxos::learned{b, slot{1}, {paxos::value{}}, slot{100}, slot{1}});
    REQUIRE(l.to_apply.size() == 1);
    l.receive(paxos::learned{b, slot{2}, {}, slot{100}, slot{101}});
    auto const s = snapshot_at(slot{100}, state);
    l.receive(paxos::snapshot_chunk{s.at, s.behind, s.stamp, s.governing, 0, state.size(), crc32c(state), s.state});
    REQUIRE(l.to_apply.size() == 2);
    l.run_one();
    CHECK(l.engine.core()->entries().chosen() == slot{1});
    l.run_one();
    CHECK(l.engine.core()->entries().chosen() == slot{1}); // It counts once it is on disk.
    l.disk_catches_up();
    CHECK(l.engine.core()->entries().chosen() == slot{100});
}

TEST_CASE("R16: a snapshot that was taken up and could not be kept is kept when it is offered again") {
    using namespace engine_test;
    lone_node donor(false);
    std::string const state = *donor.space.snapshot();
    lone_node l(true, voter_of_three());
    l.engine.on_peer_up(l.peer);
    ballot const b{1, 0, l.peer};
    auto const offer = [&] {
        l.receive(paxos::heartbeat{1, b, slot{100}});
        l.receive(paxos::learned{b, slot{1}, {}, slot{100}, slot{101}});
        auto const s = snapshot_at(slot{100}, state);
        l.receive(paxos::snapshot_chunk{s.at, s.behind, s.stamp, s.governing, 0, state.size(), crc32c(state), s.state});
    };
    offer();
    REQUIRE(l.disk.keeping == slot{100});
    l.disk.keeping.reset();
    l.engine.on_kept(slot{100}, false); // No room.
    l.engine.flush();
    CHECK(l.engine.applied() == slot{100});
    CHECK(l.engine.core()->entries().chosen() == slot{});
    l.pass(2s);
    offer();
    REQUIRE(l.disk.keeping == slot{100});
    l.disk_catches_up();
    CHECK(l.engine.core()->entries().chosen() == slot{100});
}

TEST_CASE("R32: a fetched snapshot takes the place of an own one that is being kept, whose late report counts for nothing") {
    using namespace engine_test;
    lone_node donor(false);
    std::string const state = *donor.space.snapshot();
    lone_node l(true, voter_of_three(), {.snapshot_every = 4, .keep_entries = 0});
    l.engine.on_peer_up(l.peer);
    ballot const b{1, 0, l.peer};
    l.receive(paxos::learned{b, slot{1}, std::vector<paxos::value>(5), slot{100}, slot{1}});
    REQUIRE(l.disk.keeping == slot{5});
    l.receive(paxos::learned{b, slot{6}, {}, slot{100}, slot{101}});
    auto const s = snapshot_at(slot{100}, state);
    l.receive(paxos::snapshot_chunk{s.at, s.behind, s.stamp, s.governing, 0, state.size(), crc32c(state), s.state});
    REQUIRE(l.disk.keeping == slot{100});
    l.engine.on_kept(slot{5}, true);
    l.engine.flush();
    CHECK(l.engine.core()->entries().chosen() == slot{5});
    CHECK(l.engine.status().log_start == slot{1});
    l.disk_catches_up();
    CHECK(l.engine.core()->entries().chosen() == slot{100});
    // And the next one of its own is taken again.
    l.receive(paxos::learned{b, slot{101}, std::vector<paxos::value>(5), slot{105}, slot{101}});
    CHECK(l.disk.keeping == slot{105});
}

namespace engine_test {

/// A snapshot takes long to be written: it stays frozen until the test goes on.
struct slow_writer : lone_node {
    std::optional<runtime::frozen_snapshot> frozen;

    slow_writer() : lone_node(true, voter_of_three(), {.snapshot_every = 4}) {}
    void write(runtime::frozen_snapshot&& s) override { frozen = std::move(s); }
};

} // namespace engine_test

TEST_CASE("R34: a snapshot that is written while a voter is removed names the voters that governed behind its slot") {
    using namespace engine_test;
    slow_writer l;
    l.engine.on_peer_up(l.peer);
    ballot const b{1, 0, l.peer};
    l.receive(paxos::learned{b, slot{1}, std::vector<paxos::value>(5), slot{5}, slot{1}});
    REQUIRE(l.frozen);
    paxos::configuration const first = l.engine.core()->governing();
    paxos::configuration const next = paxos::succeeding(first, {first.voters[0], first.voters[1]});
    paxos::value const stop_sign{paxos::value_kind::configuration, {}, paxos::body_of(next)};
    l.receive(paxos::learned{b, slot{6}, {stop_sign, paxos::value{}}, slot{7}, slot{1}});
    REQUIRE(l.engine.core()->governing() == next);
    l.engine.on_written(runtime::write_out(*std::exchange(l.frozen, std::nullopt)));
    REQUIRE(l.disk.keeping == slot{5});
    l.disk_catches_up();
    l.receive(paxos::snapshot_request{});
    REQUIRE(l.sent_of<paxos::snapshot_chunk>().size() == 1);
    CHECK(l.sent_of<paxos::snapshot_chunk>()[0].at == slot{5});
    CHECK(l.sent_of<paxos::snapshot_chunk>()[0].governing == first);
}

TEST_CASE("a snapshot that came due while another was kept is taken then, without another entry: the log does not stay") {
    using namespace engine_test;
    slow_writer l;
    l.engine.on_peer_up(l.peer);
    ballot const b{1, 0, l.peer};
    l.receive(paxos::learned{b, slot{1}, std::vector<paxos::value>(5), slot{5}, slot{1}});
    REQUIRE(l.frozen);
    l.receive(paxos::learned{b, slot{6}, std::vector<paxos::value>(20), slot{25}, slot{1}});
    CHECK(l.frozen->head.at == slot{5});
    l.engine.on_written(runtime::write_out(*std::exchange(l.frozen, std::nullopt)));
    l.disk_catches_up();
    l.pass(20ms);
    REQUIRE(l.frozen);
    CHECK(l.frozen->head.at == slot{25});
}

TEST_CASE("R27: a full disk refuses updates, its own and forwarded ones, and takes them again when there is room") {
    using namespace engine_test;
    lone_on_disk l;
    CHECK(l.raise().ok());
    l.disk.health = paxos::disk_state::full;
    l.pass(20ms);
    CHECK(l.raise().code == errc::storage_full);
    l.engine.on_peer_up(l.peer);
    l.receive(paxos::forward{77, 0, {l.command(command_kind::call, "g", R"(["raise",1])", 5)}});
    auto const refused = l.sent_of<paxos::forward_refused>();
    REQUIRE(refused.size() == 1);
    CHECK(static_cast<errc>(refused[0].reason) == errc::storage_full);
    l.disk.health = paxos::disk_state::ok;
    l.pass(20ms);
    CHECK(l.raise().result == "2");
}

TEST_CASE("R23: a node alone answers no call before its disk has it") {
    using namespace engine_test;
    lone_on_disk l;
    REQUIRE(l.raise().ok());
    std::optional<call_outcome> ended;
    l.calls.submit(
        runtime::call_ticket{99}, {command_kind::call, l.birth, R"(["raise",1])", {}},
        [&ended](call_outcome&& o) { ended = std::move(o); }, l.clock, l.clock + 10s);
    l.pass(2s);
    CHECK_FALSE(ended.has_value());
    l.disk_catches_up();
    REQUIRE(ended.has_value());
    CHECK(ended->result == "2");
}

TEST_CASE("a lone node whose disk failed says so to every new call, and stays alive") {
    using namespace engine_test;
    lone_on_disk l;
    l.disk.health = paxos::disk_state::failed;
    l.pass(50ms);
    CHECK_FALSE(l.engine.status().leading);
    CHECK(l.raise().code == errc::storage_failed);
}

namespace engine_test {

/// A follower of three with a session and one call on its way to the leader, `node 0:3`.
struct follower_with_a_call : lone_node {
    node_id leader{0, 3};
    std::vector<call_outcome> ended;
    std::uint64_t forward = 0;

    follower_with_a_call() : lone_node(true, voter_of_three()) {
        engine.on_peer_up(peer);
        engine.on_peer_up(leader);
        calls.session_opened(session_id{1}, clock);
        auto const birth = std::make_shared<runtime::object_birth>();
        birth->id = object::object_id_of("g");
        birth->created = true;
        calls.submit(runtime::call_ticket{1}, {command_kind::call, birth, R"(["raise",1])", {}},
                     [this](call_outcome&& o) { ended.push_back(std::move(o)); }, clock, clock + 10s);
        sent.clear();
        engine.on_message(leader, paxos::heartbeat{1, ballot{1, 0, leader}, slot{}});
        engine.flush();
        REQUIRE(sent_of<paxos::forward>().size() == 1);
        forward = sent_of<paxos::forward>()[0].number;
    }
    void is_refused_by(node_id from, errc code, std::vector<std::uint32_t> which = {}) {
        engine.on_message(from, paxos::forward_refused{forward, std::move(which), static_cast<std::uint8_t>(code), "no"});
        engine.flush();
    }
};

} // namespace engine_test

TEST_CASE("a refusal ends a call only with a code without effect, and only from whom the call was sent to") {
    using namespace engine_test;
    follower_with_a_call f;
    f.is_refused_by(f.leader, errc{});
    f.is_refused_by(f.leader, errc::method_threw);
    f.is_refused_by(f.leader, errc::outcome_unknown);
    f.is_refused_by(f.leader, static_cast<errc>(255));
    f.is_refused_by(f.peer, errc::overloaded);
    CHECK(f.ended.empty());
    f.is_refused_by(f.leader, errc::overloaded);
    REQUIRE(f.ended.size() == 1);
    CHECK(f.ended[0].code == errc::overloaded);
}

TEST_CASE("the same attempt refused twice is one refusal: the other attempt may have been taken") {
    using namespace engine_test;
    follower_with_a_call f;
    f.calls.resend(f.clock);
    f.engine.flush(); // A second attempt, in a forward of its own.
    f.is_refused_by(f.leader, errc::overloaded, {0, 0});
    f.is_refused_by(f.leader, errc::overloaded, {0});
    f.is_refused_by(f.leader, errc::overloaded);
    CHECK(f.ended.empty());
}

TEST_CASE("a late refusal of the last session's forward does not touch the next one's calls") {
    using namespace engine_test;
    follower_with_a_call f;
    runtime::apply_report gone;
    gone.session_gone = true;
    f.engine.on_applied(std::move(gone));
    f.calls.session_opened(session_id{2}, f.clock);
    auto const birth = std::make_shared<runtime::object_birth>();
    birth->created = true;
    bool ended = false;
    f.calls.submit(runtime::call_ticket{2}, {command_kind::call, birth, "[]", {}}, [&](call_outcome&&) { ended = true; },
                   f.clock, f.clock + 10s);
    f.engine.flush();
    f.is_refused_by(f.leader, errc::overloaded);
    CHECK_FALSE(ended);
}

TEST_CASE("a forwarded command above the limit is refused as too_large, and its companions are executed") {
    using namespace engine_test;
    lone_leader l;
    paxos::forward f{7, 0, {}};
    f.commands.push_back(l.command(command_kind::create, "g", R"(["g","gauge"])", 1));
    f.commands.push_back(l.command(command_kind::call, "g", "[\"raise\"," + std::string(1u << 20, '1') + "]", 2));
    f.commands.push_back(l.command(command_kind::call, "g", R"(["raise",5])", 3));
    l.receive(f);
    auto const refused = l.sent_of<paxos::forward_refused>();
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].which == std::vector<std::uint32_t>{1});
    CHECK(static_cast<errc>(refused[0].reason) == errc::too_large);
    CHECK(l.space.snapshot()->find("5") != std::string::npos);
}

TEST_CASE("a session whose every command is refused is kept alive all the same") {
    using namespace engine_test;
    lone_leader l;
    auto const birth = std::make_shared<runtime::object_birth>();
    birth->id = object::object_id_of("g");
    birth->body = R"(["g","gauge"])";
    l.unknown_to_a_voter = {"gauge"};
    auto const session = l.calls.session();
    auto const before = l.engine.core()->entries().chosen();
    for (int i = 0; i < 100; ++i) { // For longer than a session without use lives.
        l.calls.submit(runtime::call_ticket{1}, {command_kind::call, birth, R"(["raise",1])", {}}, [](call_outcome&&) {},
                       l.clock, l.clock + 10s);
        l.pass(150ms);
    }
    CHECK(l.engine.core()->entries().chosen() > before);
    CHECK(l.calls.session() == session);
}

TEST_CASE("a snapshot that gave nothing is tried again, and status says which object stands in its way") {
    using namespace engine_test;
    lone_leader l(4);
    l.registry.add<shapeless>();
    l.execute(command_kind::create, "s", R"(["s","shapeless"])");
    auto const work = [&] {
        for (int i = 0; i < 10; ++i) l.execute(command_kind::call, "s", R"(["touch"])");
    };
    work();
    CHECK(l.engine.status().log_kept_by == "s");
    CHECK(l.engine.status().log_start == slot{1});
    l.execute(command_kind::destroy, "s", "[]");
    work();
    CHECK(l.engine.status().log_kept_by == "");
    CHECK(l.engine.status().log_start > slot{1});
}

TEST_CASE("a snapshot is taken after so many entries, or after so many bytes of them") {
    using namespace engine_test;
    struct { std::uint64_t every, bytes; } const both[] = {{20, 1u << 20}, {100000, 2000}};
    for (auto const& [every, bytes] : both) {
        lone_leader l(every, bytes);
        l.execute(command_kind::create, "g", R"(["g","gauge"])");
        l.execute_raises(2);
        CHECK(l.engine.status().log_start == slot{1});
        l.execute_raises(40, std::string(100, ' '));
        l.receive(paxos::snapshot_request{});
        CHECK(l.sent_of<paxos::snapshot_chunk>().size() == 1);
    }
}

TEST_CASE("the log stays for the slowest live peer, up to a few snapshots' worth, and not for one that is silent") {
    using namespace engine_test;
    lone_leader l(20);
    auto const start = [&] { return l.engine.status().log_start; };
    auto const hear_of = [&](slot chosen) {
        l.pass(100ms);
        l.receive(paxos::heartbeat_reply{l.sent_of<paxos::heartbeat>().back().number, {}, false, false, chosen, {}});
    };
    l.execute(command_kind::create, "g", R"(["g","gauge"])");
    hear_of(slot{5});
    l.execute_raises(30);
    CHECK(start() == slot{6});
    hear_of(slot{12});
    l.execute_raises(30);
    CHECK(start() == slot{13});
    l.execute_raises(100);
    CHECK(start() > slot{13}); // It is too slow: a snapshot is what it needs.
    hear_of(slot{150});
    l.pass(11s);
    l.execute_raises(30);
    CHECK(start() > slot{151});
}

TEST_CASE("the log that stays for a slow peer is bounded in bytes, too") {
    using namespace engine_test;
    lone_leader l(100000, 2000);
    l.execute(command_kind::create, "g", R"(["g","gauge"])");
    l.pass(100ms);
    l.receive(paxos::heartbeat_reply{l.sent_of<paxos::heartbeat>().back().number, {}, false, false, slot{2}, {}});
    l.execute_raises(200, std::string(100, ' '));
    CHECK(l.engine.status().log_start > slot{3});
    CHECK(l.engine.status().log_weight <= 5 * 2000 + 500); // Four snapshots' worth, and what came since the last.
    CHECK(l.engine.status().log_weight >= 3 * 2000);
}

TEST_CASE("a node that has much to take up opens no session before it is near the end: it would expire meanwhile") {
    using namespace engine_test;
    for (auto const& [chosen, opens] : {std::pair(slot{100}, true), {slot{1000000}, false}}) {
        lone_node l(false, voter_of_three());
        l.engine.on_peer_up(l.peer);
        l.receive(paxos::heartbeat{1, ballot{1, 0, l.peer}, chosen});
        l.pass(2s);
        CHECK(l.sent_of<paxos::forward>().empty() != opens);
    }
    // One that fetches a snapshot does not either, until it stands still.
    lone_node l(false, voter_of_three());
    l.engine.on_peer_up(l.peer);
    l.receive(paxos::heartbeat{1, ballot{1, 0, l.peer}, slot{100}});
    l.receive(paxos::learned{ballot{1, 0, l.peer}, slot{1}, {}, slot{100}, slot{101}});
    REQUIRE(l.sent_of<paxos::snapshot_request>().size() == 1);
    l.pass(2s);
    CHECK(l.sent_of<paxos::forward>().empty());
    l.pass(5s);
    CHECK_FALSE(l.sent_of<paxos::forward>().empty());
}
