// Commands of clients on their way to the log, at the leader and through another replica.
#include <openreplica/runtime/engine.hpp>

#include "lone_node.hpp"

#include <doctest/doctest.h>

#include <string>
#include <tuple>
#include <vector>

namespace engine_clients_test {

using namespace engine_test;

struct refusal {
    net::guest_id client;
    std::uint64_t number;
    std::vector<std::uint32_t> which;
    errc code;
};

/// A node that keeps what it tells clients.
template <class Node>
struct with_clients : Node {
    std::vector<refusal> refused;
    using Node::Node;
    void refuse(net::guest_id client, std::uint64_t number, std::vector<std::uint32_t> const& which,
                call_outcome const& why) override {
        refused.push_back({client, number, which, why.code});
    }
    void receive_from_client(std::uint64_t number, std::vector<shared_bytes> all) {
        this->sent.clear();
        this->engine.on_commands(net::guest_id{5}, {number, std::move(all)});
        this->engine.flush();
    }
};

using leader = with_clients<lone_leader>;

TEST_CASE("the leader proposes a client's commands, and refuses those that no replica could apply") {
    leader n;
    n.execute(command_kind::create, "g", R"(["g","gauge"])");
    slot const before = n.engine.applied();
    n.receive_from_client(7, {n.command(command_kind::call, "g", R"(["raise",1])", 50),
                              n.command(command_kind::call, "g", R"(["fly"])", 51),
                              n.command(command_kind::call, "g", R"(["raise",2])", 52)});
    CHECK(n.engine.applied() == before.plus(2));
    REQUIRE(n.refused.size() == 1);
    CHECK(n.refused[0].client == net::guest_id{5});
    CHECK(n.refused[0].number == 7);
    CHECK(n.refused[0].which == std::vector<std::uint32_t>{1});
    CHECK(n.refused[0].code == errc::no_such_method);
}

TEST_CASE("number 0 asks for no answer") {
    leader n;
    n.receive_from_client(0, {n.command(command_kind::call, "g", R"(["fly"])", 51)});
    CHECK(n.refused.empty());
}

TEST_CASE("a replica without a group, and one that knows no leader, refuses and proves it") {
    with_clients<lone_node> stranger(false, {}, {.founders = 3, .has_seeds = true});
    stranger.receive_from_client(7, {stranger.command(command_kind::call, "g", "[]", 1)});
    REQUIRE(stranger.refused.size() == 1);
    CHECK(stranger.refused[0].code == errc::not_executed);
    CHECK(stranger.refused[0].which.empty());
    with_clients<lone_node> voter(false, voter_of_three());
    voter.receive_from_client(8, {voter.command(command_kind::call, "g", "[]", 1)});
    CHECK(voter.refused.empty()); // Somebody may lead in a moment.
    voter.pass(std::chrono::milliseconds(150));
    REQUIRE(voter.refused.size() == 1);
    CHECK(voter.refused[0].number == 8);
}

TEST_CASE("a stopped node refuses") {
    leader n;
    n.engine.stop();
    n.receive_from_client(7, {n.command(command_kind::call, "g", "[]", 1)});
    CHECK(n.refused.at(0).code == errc::not_executed);
}

/// A voter that follows node 2.
struct follower : with_clients<lone_node> {
    std::uint64_t beat = 0;

    follower() : with_clients<lone_node>(false, voter_of_three()) {
        engine.on_peer_up(peer);
        engine.on_peer_up(node_id{0, 3});
        lead();
        REQUIRE(engine.status().leader == peer);
    }
    void lead() {
        receive(paxos::prepare{ballot{1000, 0, peer}, slot{}, epoch{1}});
        receive(paxos::heartbeat{++beat, ballot{1000, 0, peer}, slot{}});
    }
    paxos::forward forwarded() {
        auto all = sent_of<paxos::forward>();
        REQUIRE(all.size() == 1);
        return all[0];
    }
};

TEST_CASE("a follower passes a client's commands on, and passes the leader's refusal back") {
    follower n;
    n.receive_from_client(7, {n.command(command_kind::call, "g", R"(["raise",1])", 1)});
    CHECK(n.refused.empty());
    auto const f = n.forwarded();
    CHECK(f.hops == 0);
    CHECK(f.number != 0);
    n.engine.on_message(node_id{0, 3}, paxos::forward_refused{f.number, {}, static_cast<std::uint8_t>(errc::overloaded), ""});
    CHECK(n.refused.empty()); // It was not asked.
    n.receive(paxos::forward_refused{f.number, {0}, static_cast<std::uint8_t>(errc::method_threw), ""});
    CHECK(n.refused.empty()); // No refusal.
    n.receive(paxos::forward_refused{f.number, {0}, static_cast<std::uint8_t>(errc::overloaded), "full"});
    REQUIRE(n.refused.size() == 1);
    CHECK(n.refused[0].number == 7);
    CHECK(n.refused[0].which == std::vector<std::uint32_t>{0});
    n.receive(paxos::forward_refused{f.number, {}, static_cast<std::uint8_t>(errc::overloaded), "full"});
    n.receive(paxos::forward_refused{f.number, {}, static_cast<std::uint8_t>(errc::overloaded), "full"});
    CHECK(n.refused.size() == 2); // All were refused, and told once.
}

TEST_CASE("a leader that comes back proves nothing about what it was given before") {
    follower n;
    n.receive_from_client(7, {n.command(command_kind::call, "g", R"(["raise",1])", 1)});
    auto const f = n.forwarded();
    n.engine.on_peer_down(n.peer);
    n.engine.on_peer_up(n.peer);
    n.receive(paxos::forward_refused{f.number, {}, static_cast<std::uint8_t>(errc::overloaded), "full"});
    CHECK(n.refused.empty());
}

} // namespace engine_clients_test
