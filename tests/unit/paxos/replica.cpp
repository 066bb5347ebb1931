// One node's part, rule by rule: what it may do, what it must not do, and in which order.
#include <openreplica/paxos/replica.hpp>

#include "script_replica.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace paxos_script::replica_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, c};
inline epoch const first_epoch{1};

inline accept proposal(ballot const& n, std::uint64_t first, std::vector<value> values, std::uint64_t chosen = 0) {
    return {n, first_epoch, slot{first}, std::move(values), slot{chosen}};
}
inline promise report(std::uint64_t chosen, std::vector<entry> entries) {
    return {{}, slot{chosen}, first_epoch, 0, true, std::move(entries)};
}
inline heartbeat_reply follows(ballot const& n) { return {0, n, false, false, {}, {}}; }

// ---- rule 1

TEST_CASE("rule 1: a leader that finds a stop-sign proposes up to it and nothing above, not even its no-op") {
    actor x(a);
    auto const out = x.leads(report(0, {at(1, n2, command("x")), at(2, n2, stop_sign(group_of({a, b, d}, 2))), at(3, n2, command("z"))}));
    CHECK(sent<accept>(out) == lines("to b,c: accept 3a 1.. [x K2(abd)] chosen=0"));
    CHECK(x.core.entries().last() == slot{2});
}

TEST_CASE("rule 1: no command is given a slot above a stop-sign, not even a chosen one, before its voters have promised") {
    actor x(a);
    (void)x.leads(report(0, {at(1, n2, stop_sign(group_of({a, b, d, e}, 2)))}));
    CHECK(told(x.proposes({"y"})) == "");
    CHECK(x.taken == 0);
    CHECK_FALSE(x.core.has_room(std::vector{shared_bytes("y")}));
    (void)x.act([&] { x.core.add_peer(d); });
    (void)x.acked(b, 1);
    CHECK(applied(x.acked(d, 1)) == "[1:K2(abde)@3a]");
    CHECK(sent<accept>(x.proposes({"y"})) == "");
    CHECK(x.taken == 0);
    CHECK_FALSE(x.core.is_established());
}

// ---- rule 2

TEST_CASE("rule 2: the chosen index of a later ballot chooses nothing accepted earlier; it is fetched, then applied") {
    actor x(a);
    (void)x.hears(b, proposal(n2, 1, {command("old")}));
    (void)x.hears(c, prepare{n3, {}, first_epoch});
    CHECK(told(x.hears(c, chosen_index{n3, slot{1}})) == "");
    CHECK(applied(x.hears(c, heartbeat{1, n3, slot{1}})) == "[]");
    CHECK(sent<learn>(x.waits(60ms)) == lines("to b: learn 1.."));
    CHECK(applied(x.hears(b, learned{n3, slot{1}, {command("new")}, slot{1}, slot{1}})) == "[1:new@3c]");
}

TEST_CASE("rule 2: an accept and the chosen index on it choose what was accepted in that ballot") {
    actor x(a);
    (void)x.hears(b, proposal(n2, 1, {command("old")}));
    CHECK(applied(x.hears(c, proposal(n3, 1, {command("new"), command("y")}, 1))) == "[1:new@3c]");
    CHECK(applied(x.hears(c, heartbeat{1, n3, slot{2}})) == "[2:y@3c]");
}

TEST_CASE("rule 2: a chosen index or an accept from anybody but the ballot's owner is ignored") {
    actor x(a);
    (void)x.hears(b, proposal(n2, 1, {command("x")}));
    CHECK(told(x.hears(c, chosen_index{n2, slot{1}})) == "");
    CHECK(told(x.hears(c, proposal(n2, 2, {command("y")}))) == "");
    CHECK(applied(x.hears(b, chosen_index{n2, slot{1}})) == "[1:x@2b]");
}

// ---- rule 3

TEST_CASE("R01, R07, rule 3: a candidate asks, and counts itself, only when its own promise is durable") {
    actor x(a);
    x.around = {{b, {}}, {c, {}}};
    auto const out = x.campaigns();
    CHECK(text(out.append.front()) == "promise 1a");
    CHECK(sent<prepare>(out) == lines("to b,c: prepare 1a chosen=0 epoch=1 after #1"));
    (void)x.hears(b, promise{n1, {}, first_epoch, 0, true, {}});
    CHECK_FALSE(x.core.is_leader());
    (void)x.persists();
    CHECK(x.core.is_leader());
}

TEST_CASE("rule 3: nothing is proposed at or below the highest chosen index of the quorum; it is fetched first") {
    actor x(a);
    x.around = {{b, {}}, {c, {}}};
    (void)x.campaigns();
    (void)x.persists();
    auto const out = x.hears(b, promise{n1, slot{2}, first_epoch, 0, true, {at(3, n1, command("z"))}});
    CHECK(told(out) == lines("to b: learn 1.."));
    CHECK_FALSE(x.core.is_leader());
    auto const caught_up = x.hears(b, learned{n1, slot{1}, {command("x"), command("y")}, slot{2}, slot{1}});
    CHECK(x.core.is_leader());
    CHECK(applied(caught_up) == "[1:x@1a 2:y@1a]");
    CHECK(sent<accept>(caught_up) == lines("to b,c: accept 1a 3.. [z -] chosen=2"));
}

TEST_CASE("R07, rule 3: a candidate that cannot catch up within an election timeout drops its ballot") {
    actor x(a);
    x.around = {{b, {}}, {c, {}}};
    (void)x.campaigns();
    (void)x.persists();
    (void)x.hears(b, promise{n1, slot{2}, first_epoch, 0, true, {}});
    (void)x.waits(440ms);
    CHECK(x.core.promised() == n1);
    CHECK(x.core.observe().campaigning);
    (void)x.waits(20ms);
    // It ran for n1 no longer; the next ballot is a new one, with new promises.
    CHECK(sent<prepare>(x.campaigns()).find("prepare 2a") != std::string::npos);
    (void)x.persists();
    (void)x.hears(c, promise{n1, {}, first_epoch, 0, true, {}});
    CHECK_FALSE(x.core.is_leader());
}

TEST_CASE("rule 3: a promise of another epoch is one for all slots too; what made the epoch is fetched before it counts") {
    actor x(a);
    x.around = {{b, {}}, {c, {}}};
    (void)x.campaigns();
    (void)x.persists();
    CHECK(sent<learn>(x.hears(b, promise{n1, slot{1}, epoch{2}, 0, true, {}})) == lines("to b: learn 1.."));
    CHECK_FALSE(x.core.is_leader());
    // Its new voters are those that must have promised.
    configuration const k = group_of({a, c, d}, 2);
    (void)x.hears(b, learned{ballot{0, 1, b}, slot{1}, {stop_sign(k)}, slot{1}, slot{1}});
    CHECK_FALSE(x.core.is_leader());
    (void)x.hears(c, promise{n1, slot{1}, epoch{2}, 0, true, {}});
    CHECK(x.core.is_leader());
}

TEST_CASE("rule 3: a new leader proposes again what its quorum reported, stamps kept, then its own no-op") {
    actor x(a);
    auto const out = x.leads(report(0, {at(1, n2, command("x", 900)), at(2, n2, command("y", 1000))}));
    CHECK(sent<accept>(out) == lines("to b,c: accept 3a 1.. [x y -] chosen=0"));
    CHECK(x.core.entries().value_at(slot{2}).stamp == log_time{1000});
    CHECK(x.core.entries().value_at(slot{3}).stamp >= log_time{1000});
}

// ---- rule 4

TEST_CASE("rule 4: an accept behind a hole is answered with where the hole begins, and what is chosen is fetched") {
    actor x(a);
    CHECK(told(x.hears(b, proposal(n2, 4, {command("u")}, 3))) ==
          lines("write promise 2b", "to b: accepted 2b upto=0 gap after #1", "to b: learn 1.."));
    CHECK(told(x.hears(b, learned{n2, slot{1}, {command("x"), command("y"), command("z")}, slot{3}, slot{1}})) ==
          lines("write 1:x@2b", "write 2:y@2b", "write 3:z@2b", "to b: accepted 2b upto=3 gap after #4", "apply 1:x@2b",
                "apply 2:y@2b", "apply 3:z@2b"));
    CHECK(told(x.hears(b, proposal(n2, 4, {command("u")}, 3))) ==
          lines("write 4:u@2b", "to b: accepted 2b upto=4 after #5"));
}

TEST_CASE("R29, rule 4: a snapshot raises the promise to the ballot behind it, and the next slot can be accepted") {
    actor x(a);
    (void)x.hears(b, prepare{n2, {}, first_epoch});
    auto const out = x.act([&] { CHECK(x.core.install({slot{5000}, n3, log_time{77}, group_of({a, b, c}), {}}, x.now)); });
    CHECK(told(out) == lines("write promise 3c", "write chosen 5000@3c", "to c: accepted 3c upto=5000 gap after #3"));
    CHECK(x.core.last_stamp() == log_time{77});
    CHECK(told(x.hears(b, proposal(n2, 5001, {command("?")}))) == lines("to b: reject 2b promised=3c"));
    CHECK(told(x.hears(c, proposal(n3, 5001, {command("x")}))) ==
          lines("write 5001:x@3c", "to c: accepted 3c upto=5001 after #4"));
}

TEST_CASE("R17, R31: a snapshot that is not newer than the log changes nothing") {
    actor x(a);
    (void)x.hears(b, proposal(n2, 1, {command("x")}, 1));
    CHECK(told(x.act([&] { CHECK_FALSE(x.core.install({slot{1}, n3, {}, {}, {}}, x.now)); })) == "");
    CHECK(x.core.promised() == n2);
    CHECK(x.core.governing() == group_of({a, b, c}));
    CHECK(x.core.entries().holds(slot{1}));
}

TEST_CASE("rule 4: entries learned from behind a higher ballot end a campaign and a leadership below it") {
    learned const news{n3, slot{1}, {command("x")}, slot{1}, slot{1}};
    actor candidate_of(a), leader_of(a);
    candidate_of.around = {{b, {}}, {c, {}}};
    (void)candidate_of.campaigns();
    (void)leader_of.leads();
    for (actor* x : {&candidate_of, &leader_of}) {
        CHECK(applied(x->hears(b, news)) == "[1:x@3c]");
        CHECK_FALSE(x->core.is_leader());
        CHECK_FALSE(x->core.observe().campaigning);
        CHECK(x->core.promised() == n3);
    }
}

// ---- rule 5, as far as the configuration cannot change yet

TEST_CASE("rule 5: nothing takes a vote away by itself: silent, suspected and removed voters count in every quorum") {
    actor x(a);
    (void)x.leads();
    x.act([&] {
        x.core.suspect(b, x.now);
        x.core.suspect(c, x.now);
        x.core.remove_peer(b);
        x.core.remove_peer(c);
    });
    x.around.clear();
    (void)x.proposes({"x"});
    CHECK(applied(x.persists()) == "[]");
    CHECK(x.core.governing() == group_of({a, b, c}));
    CHECK(applied(x.acked(b, 2)) == "[1:-@1a 2:x@1a]");
}

TEST_CASE("rule 5: a learner gets every entry and has no vote in any decision") {
    actor x(a);
    x.act([&] { x.core.add_peer(d); });
    (void)x.leads();
    CHECK(applied(x.acked(d, 1)) == "[]");
    CHECK(sent<accept>(x.proposes({"x"})) == lines("to b,c,d: accept 1a 2.. [x] chosen=0"));
    CHECK(applied(x.acked(b, 2)) == "[1:-@1a]");
    CHECK(applied(x.acked(d, 2)) == "[]");
    CHECK(applied(x.persists()) == "[2:x@1a]");
}

// ---- rule 6

TEST_CASE("rule 6: a leader answers no read before the no-op of its ballot is chosen, and then at that slot or above") {
    actor x(a);
    (void)x.leads(report(0, {at(1, n2, command("x"))}));
    (void)x.hears(b, read_request{5});
    ballot const mine = x.core.promised();
    CHECK(sent<read_reply>(x.answers(b, follows(mine))) == "");
    CHECK(sent<read_reply>(x.acked(b, 1)) == "");
    CHECK(sent<read_reply>(x.acked(b, 2)) == lines("to b: read_reply 5 index=2"));
}

TEST_CASE("rule 6: an answer to a heartbeat that left before the read arrived confirms nothing") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    heartbeat_reply early = follows(n1);
    (void)x.waits(50ms);
    auto const out = x.hears(b, read_request{5});
    REQUIRE(sent<heartbeat>(out).find("leading=1a") != std::string::npos);
    early.number = std::get<heartbeat>(out.messages.back().what).number - 1;
    CHECK(sent<read_reply>(x.hears(c, early)) == "");
    CHECK(sent<read_reply>(x.answers(c, follows(n1))) == lines("to b: read_reply 5 index=1"));
}

TEST_CASE("rule 6: an answer of a voter that promised another ballot confirms nothing") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    (void)x.hears(b, read_request{5});
    CHECK(sent<read_reply>(x.answers(c, follows({}))) == "");
    CHECK(sent<read_reply>(x.answers(c, follows(n3))) == "");
    CHECK_FALSE(x.core.observe().leading_ballot == n1);
}

TEST_CASE("rule 6: the leader's own reads wait for the same proof") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    std::uint64_t number = 0;
    auto const out = x.act([&] { number = x.core.read(); });
    CHECK(out.reads.empty());
    auto const confirmed = x.answers(b, follows(n1));
    REQUIRE(confirmed.reads.size() == 1);
    CHECK(confirmed.reads[0].number == number);
    CHECK(confirmed.reads[0].index == slot{1});
}

TEST_CASE("rule 6: a read at a follower is asked of the leader and served at the index of its answer") {
    actor x(a);
    (void)x.hears(b, heartbeat{1, n2, {}});
    std::uint64_t number = 0;
    auto const out = x.act([&] { number = x.core.read(); });
    std::string const n = std::to_string(number);
    CHECK(sent<read_request>(out) == lines("to b: read " + n));
    CHECK(told(x.hears(b, read_reply{number + 1, slot{9}})) == "");
    CHECK(told(x.hears(b, read_reply{number, slot{7}})) == lines("serve " + n + " at 7"));
    CHECK(told(x.hears(b, read_reply{number, slot{7}})) == "");
}

TEST_CASE("a read of a peer that cannot reach the leader joins the ones that wait here") {
    actor x(a);
    (void)x.hears(b, heartbeat{1, n2, {}});
    auto const out = x.hears(c, read_request{5});
    REQUIRE(out.messages.size() == 1);
    auto const asked = std::get<read_request>(out.messages[0].what);
    auto const answer = x.hears(b, read_reply{asked.number, slot{7}});
    CHECK(sent<read_reply>(answer) == lines("to c: read_reply 5 index=7"));
}

// ---- rule 7

TEST_CASE("rule 7: a leader whose oldest accept stays open for two election timeouts yields, links up or not") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    (void)x.proposes({"x"});
    (void)x.waits(890ms);
    CHECK(x.core.is_leader());
    CHECK(x.core.is_happy(x.now));
    (void)x.waits(30ms);
    CHECK_FALSE(x.core.is_leader());
    // It leaves the next ballot to somebody else for a while.
    (void)x.waits(800ms);
    CHECK_FALSE(x.core.observe().campaigning);
    (void)x.waits(400ms);
    CHECK(x.core.observe().campaigning);
}

TEST_CASE("rule 7: progress keeps a leader, however much is under way") {
    actor x(a);
    (void)x.leads();
    for (std::uint64_t upto = 2; upto < 8; ++upto) {
        (void)x.proposes({"x"});
        (void)x.persists();
        (void)x.waits(400ms);
        (void)x.acked(b, upto);
    }
    CHECK(x.core.is_leader());
}

TEST_CASE("rule 7: a voter that lags by more than the window lets the others run for two rounds, and then runs") {
    replica_options narrow;
    narrow.window_entries = 10;
    actor lagging(a, group_of({a, b, c}), narrow), near(a, group_of({a, b, c}), narrow);
    lagging.around = {{b, {0, {}, false, false, slot{11}, {}}}, {c, {}}};
    near.around = {{b, {0, {}, false, false, slot{10}, {}}}, {c, {}}};
    (void)near.waits(100ms);
    CHECK(near.core.observe().campaigning);
    (void)lagging.waits(890ms);
    CHECK_FALSE(lagging.core.observe().campaigning);
    lagging.around.at(b).chosen = slot{10};
    (void)lagging.waits(10ms);
    // A quorum without the one that is ahead will do.
    lagging.around.erase(b);
    (void)lagging.waits(400ms);
    CHECK(lagging.core.observe().campaigning);
}

TEST_CASE("a leader that no quorum follows steps down after an election timeout") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    x.around.clear();
    (void)x.waits(400ms);
    CHECK(x.core.is_leader());
    (void)x.waits(100ms);
    CHECK_FALSE(x.core.is_leader());
    (void)x.proposes({"x"});
    CHECK(x.taken == 0);
}

TEST_CASE("a leader that voters answer without following its ballot steps down too") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    x.around = {{b, follows({})}, {c, follows({})}};
    (void)x.waits(500ms);
    CHECK_FALSE(x.core.is_leader());
}

// ---- when to run

TEST_CASE("a node runs only when it is unhappy, reaches a quorum, and no voter it reaches is happy") {
    actor alone(a), content(a), outsider(d);
    alone.around = {};
    (void)alone.waits(3s);
    CHECK_FALSE(alone.core.observe().campaigning);
    content.around = {{b, {0, {}, false, true, {}, {}}}, {c, {}}};
    (void)content.waits(3s);
    CHECK_FALSE(content.core.observe().campaigning);
    outsider.around = {{a, {}}, {b, {}}, {c, {}}};
    (void)outsider.waits(3s);
    CHECK_FALSE(outsider.core.observe().campaigning);
    content.around = {{b, {}}, {c, {}}};
    (void)content.waits(100ms);
    CHECK(content.core.observe().campaigning);
}

TEST_CASE("a follower whose leader goes silent runs above its ballot") {
    actor x(c);
    (void)x.hears(b, proposal(n2, 1, {command("x")}));
    x.around = {{a, follows(n2)}, {b, {0, n2, true, true, {}, {}}}};
    (void)x.waits(2s);
    CHECK(x.core.is_happy(x.now));
    CHECK(x.core.leader_id(x.now) == b);
    x.around.erase(b);
    CHECK(sent<prepare>(x.campaigns()) == lines("to a,b: prepare 3c chosen=0 epoch=1 after #3"));
}

TEST_CASE("a rejected candidate gives way, and a rejected leader that nobody replaced takes a higher ballot") {
    actor candidate_of(a), leader_of(a);
    candidate_of.around = {{b, {}}, {c, {}}};
    (void)candidate_of.campaigns();
    (void)candidate_of.hears(b, reject{n1, n3});
    CHECK_FALSE(candidate_of.core.observe().campaigning);
    (void)leader_of.leads();
    auto const out = leader_of.hears(b, reject{n1, n3});
    CHECK(sent<prepare>(out) == lines("to b,c: prepare 4a chosen=0 epoch=1 after #3"));
    CHECK_FALSE(leader_of.core.is_leader());
}

TEST_CASE("an accept of a higher ballot ends a leadership before anything is written under it") {
    actor x(a);
    (void)x.leads();
    CHECK(told(x.hears(b, proposal(n2, 1, {command("x")}))) ==
          lines("write promise 2b", "write 1:x@2b", "to b: accepted 2b upto=1 after #4"));
    CHECK_FALSE(x.core.is_leader());
    CHECK(x.core.leader_id(x.now) == b);
}

TEST_CASE("R08: a leader that promises a higher ballot leads no more, and its late acknowledgements count for nothing") {
    actor x(a);
    (void)x.leads();
    (void)x.hears(b, prepare{n2, {}, first_epoch});
    CHECK_FALSE(x.core.is_leader());
    CHECK(told(x.hears(b, accepted{n1, slot{1}})) == "");
    CHECK(x.core.entries().chosen() == slot{0});
}

// ---- phase 2

TEST_CASE("R05: the leader sends in parallel with its disk and counts its own vote only after its own sync") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    CHECK(told(x.proposes({"x"})) == lines("write 2:x@1a", "to b,c: accept 1a 2.. [x] chosen=1"));
    CHECK(applied(x.acked(b, 2)) == "[]");
    auto const out = x.persists();
    CHECK(applied(out) == "[2:x@1a]");
    CHECK(sent<chosen_index>(out) == lines("to b,c: chosen 1a upto=2"));
}

TEST_CASE("a majority without the leader chooses, also while the leader's disk hangs") {
    actor x(a);
    (void)x.leads();
    (void)x.proposes({"x"});
    (void)x.acked(b, 2);
    CHECK(applied(x.acked(c, 2)) == "[2:x@1a]");
}

TEST_CASE("R08: an acknowledgement of an earlier ballot, or above what was sent, counts for nothing") {
    actor x(a);
    (void)x.leads(report(0, {at(1, n2, command("x"))}));
    CHECK(told(x.hears(b, accepted{n1, slot{2}})) == "");
    CHECK(told(x.hears(b, accepted{x.core.promised(), slot{3}})) == "");
    CHECK(x.core.entries().chosen() == slot{0});
}

TEST_CASE("R06: a late report of the disk gives no vote to what was written over since") {
    actor x(a);
    (void)x.leads();
    (void)x.proposes({"x"}); // Slot 2, at position 3.
    (void)x.hears(b, proposal(n2, 1, {no_op(), command("u")}));
    x.around = {{b, follows(n2)}, {c, {}}};
    (void)x.campaigns();
    (void)x.persists();
    (void)x.hears(b, promise{x.core.promised(), {}, first_epoch, 0, true, {}});
    REQUIRE(x.core.is_leader()); // Slot 2 again, under another ballot and at another position.
    (void)x.act([&] { x.core.persisted(lsn{3}, x.now); });
    CHECK(applied(x.acked(b, 3)) == "[]");
    CHECK(applied(x.persists()) == "[1:-@3a 2:u@3a 3:-@3a]");
}

TEST_CASE("R13: an acknowledgement that comes late takes nothing back from a later one") {
    actor x(a);
    (void)x.leads();
    (void)x.proposes({"x", "y"});
    (void)x.acked(b, 3);
    (void)x.acked(b, 1);
    CHECK(applied(x.persists()) == "[2:x@1a 3:y@1a]");
    CHECK(told(x.acked(b, 1)) == "");
    CHECK(x.core.entries().chosen() == slot{3});
}

TEST_CASE("past the window callers are refused at once, and there is room again when entries are chosen") {
    replica_options narrow;
    narrow.window_entries = 3;
    actor x(a, group_of({a, b, c}), narrow);
    (void)x.leads();
    (void)x.proposes({"x", "y", "z"});
    CHECK(x.taken == 2);
    (void)x.proposes({"z"});
    CHECK(x.taken == 0);
    (void)x.persists();
    (void)x.acked(b, 2);
    (void)x.proposes({"z", "u", "v"});
    CHECK(x.taken == 2);
}

TEST_CASE("the window is bounded in bytes too, and lets one value pass it") {
    replica_options narrow;
    narrow.window_bytes = 100;
    actor x(a, group_of({a, b, c}), narrow);
    (void)x.leads();
    (void)x.proposes({std::string(1000, 'x'), "y"});
    CHECK(x.taken == 1);
    (void)x.persists();
    (void)x.acked(b, 2);
    (void)x.proposes({"y", "z", "u", "v"});
    CHECK(x.taken == 4);
    CHECK_FALSE(x.core.has_room(std::vector{shared_bytes("w")}));
}

TEST_CASE("an accept that was lost is sent again after a heartbeat shows that it is missing") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(b, 1);
    (void)x.acked(c, 1);
    (void)x.proposes({"x"});
    x.around = {{b, {0, n1, false, false, slot{1}, slot{2}}}, {c, {0, n1, false, false, slot{1}, slot{1}}}};
    CHECK(sent<accept>(x.waits(60ms)) == lines("to c: accept 1a 2.. [x] chosen=1"));
}

TEST_CASE("a gap is closed by sending again from its beginning") {
    actor x(a);
    (void)x.leads();
    (void)x.acked(c, 1);
    (void)x.proposes({"x"});
    (void)x.proposes({"y"});
    x.now += 1s;
    CHECK(sent<accept>(x.hears(c, accepted{n1, slot{1}, true})) == lines("to c: accept 1a 2.. [x y] chosen=1"));
    CHECK(sent<accept>(x.hears(c, accepted{n1, slot{1}, true})) == "");
}

TEST_CASE("R13: a complaint that comes late takes nothing back from what its sender has acknowledged since") {
    actor x(a);
    (void)x.leads();
    (void)x.proposes({"x", "y"});
    (void)x.persists();
    (void)x.acked(b, 3);
    (void)x.acked(c, 3);
    REQUIRE(x.core.observe().chosen == slot{3});
    x.core.trim(slot{2});
    x.now += 1s;
    (void)x.hears(c, accepted{n1, slot{1}, true}); // Nobody can send that again any more, and nobody needs it.
    CHECK(sent<accept>(x.proposes({"z"})) == lines("to b,c: accept 1a 4.. [z] chosen=3"));
}

TEST_CASE("R07, R38: after a restart a node keeps promise and entries, applies what was chosen, and uses no ballot twice") {
    durable_state past;
    past.promised = ballot{5, 0, a};
    past.entries = {at(1, n1, command("x")), at(2, past.promised, command("y"))};
    past.chosen = slot{1};
    actor x(a, group_of({a, b, c}), {}, past);
    x.around = {{b, {}}, {c, {}}};
    auto const out = x.campaigns();
    CHECK(applied(out) == "[1:x@1a]");
    CHECK(sent<prepare>(out) == lines("to b,c: prepare 6a chosen=1 epoch=1 after #1"));
    CHECK(told(x.hears(b, proposal(ballot{5, 0, a}, 3, {command("?")}))) == "");
}

} // namespace paxos_script::replica_test
