// How long a campaign may take, and what a long report costs.
#include <openreplica/paxos/replica.hpp>

#include "script_replica.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace paxos_script::replica_leading_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b};
inline epoch const first_epoch{1};

struct campaigner : actor {
    campaigner() : actor(a) {
        around = {{b, {}}, {c, {}}};
        (void)campaigns();
    }
};

TEST_CASE("rule 3: a campaign's time begins when its own promise is durable") {
    campaigner x;
    ballot const mine = x.core.promised();
    (void)x.waits(2s);
    CHECK(x.core.promised() == mine);
    CHECK(x.core.observe().campaigning);
    (void)x.persists();
    (void)x.waits(440ms);
    CHECK(x.core.promised() == mine);
    (void)x.waits(30ms);
    CHECK(x.core.promised() != mine);
}

TEST_CASE("rule 3: a campaign waits for the disks of a quorum that has promised it, but not for ever") {
    campaigner x;
    ballot const mine = x.core.promised();
    (void)x.persists();
    x.around.at(b).promised = mine;
    (void)x.waits(2s);
    CHECK(x.core.observe().campaigning);
    (void)x.waits(3s);
    CHECK(x.core.promised() != mine);
}

TEST_CASE("rule 3: each part of a long report gives the campaign more time, and the rest is asked for from there") {
    campaigner x;
    ballot const mine = x.core.promised();
    (void)x.persists();
    for (std::uint64_t s = 1; s < 6; ++s) {
        (void)x.hears(b, promise{mine, {}, first_epoch, 0, false, {at(s, n1, command("x"))}});
        auto const asked = sent<prepare>(x.waits(400ms));
        CHECK(asked.find("to b: prepare 1a chosen=0 epoch=1 after=" + std::to_string(s)) != std::string::npos);
        CHECK(asked.find("to c: prepare 1a chosen=0 epoch=1 after #") != std::string::npos);
    }
    (void)x.hears(b, promise{mine, {}, first_epoch, 0, true, {at(6, n1, command("y"))}});
    CHECK(x.core.is_leader());
    CHECK(x.core.entries().last() == slot{7});
}

TEST_CASE("rule 3: the last chunk of an answer that is not the whole report asks for the next at once") {
    campaigner x;
    (void)x.persists();
    promise part{x.core.promised(), {}, first_epoch, acceptor::promise_chunks - 1, false, {at(1, n1, command("x"))}};
    CHECK(sent<prepare>(x.hears(b, part)) == lines("to b: prepare 1a chosen=0 epoch=1 after=1 after #1"));
}

TEST_CASE("a voter that has promised a campaign leaves it its time, as long as it asks") {
    actor x(c);
    x.around = {{a, {}}, {b, {0, n2, false, false, {}, {}}}};
    for (int i = 0; i < 20; ++i) {
        (void)x.hears(b, prepare{n2, {}, first_epoch});
        (void)x.waits(200ms);
        CHECK_FALSE(x.core.observe().campaigning);
    }
    (void)x.campaigns();
}

TEST_CASE("a peer that holds an entry and does not acknowledge it is sent the last one again after some heartbeats") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    (void)x.acked(c, 1);
    (void)x.proposes({"x"});
    (void)x.persists();
    heartbeat_reply holds{};
    holds.promised = x.core.promised();
    holds.held = slot{2};
    x.around = {{b, holds}, {c, holds}};
    CHECK(sent<accept>(x.waits(120ms)) == "");
    CHECK(sent<accept>(x.waits(200ms)).ends_with("accept 1a 2.. [x] chosen=1\n"));
}

TEST_CASE("R33: a peer whose next entries are trimmed is sent none, and goes on behind the snapshot that it takes") {
    actor x(a);
    (void)x.leads();
    (void)x.proposes({"x", "y"});
    (void)x.persists();
    (void)x.acked(b, 3);
    REQUIRE(x.core.entries().chosen() == slot{3});
    (void)x.act([&] {
        x.core.trim(slot{3});
        x.core.add_peer(d); // It has never acknowledged anything.
    });
    CHECK(sent<accept>(x.hears(d, accepted{n1, slot{}, true})) == "");
    CHECK(sent<accept>(x.proposes({"z"})).find("d:") == std::string::npos);
    CHECK(sent<learned>(x.hears(d, learn{slot{1}})) == lines("to d: learned 1.. [] behind=none chosen=3 start=4"));
    CHECK(sent<accept>(x.hears(d, accepted{n1, slot{3}, true})) == lines("to d: accept 1a 4.. [z] chosen=3"));
}

} // namespace paxos_script::replica_leading_test
