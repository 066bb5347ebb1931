// The candidate's merge and the leader's counting, without the replica around them.
#include <openreplica/paxos/proposer.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace paxos_script::proposer_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, c}, n9{9, 0, a};
inline configuration const three = group_of({a, b, c});
inline configuration const five = group_of({a, b, c, d, e});

inline promise promised(std::uint64_t chosen, std::vector<entry> entries) {
    return {n9, slot{chosen}, epoch{1}, 0, true, std::move(entries)};
}
inline promise part(std::uint32_t chunk, bool last, std::vector<entry> entries, std::uint64_t chosen = 0) {
    return {n9, slot{chosen}, epoch{1}, chunk, last, std::move(entries)};
}
inline candidate campaigning() {
    candidate x;
    x.number = n9;
    return x;
}

// ---- phase 1

TEST_CASE("a majority of the voters with itself makes a quorum, once its own promise is durable") {
    candidate x = campaigning();
    CHECK_FALSE(x.has_quorum(three, a, true));
    x.on_promise(b, promised(0, {}));
    CHECK_FALSE(x.has_quorum(three, a, false));
    CHECK(x.has_quorum(three, a, true));
    CHECK_FALSE(x.has_quorum(five, a, true));
    x.on_promise(c, promised(0, {}));
    CHECK(x.has_quorum(five, a, true));
}

TEST_CASE("a promise of a node without a vote counts for nothing") {
    candidate x = campaigning();
    x.on_promise(d, promised(7, {at(8, n3, command("?"))}));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(x.highest_chosen(three).second == std::nullopt);
    CHECK(text(x.merge(three, log{})) == "[]");
}

TEST_CASE("the same promise twice is one vote") {
    candidate x = campaigning();
    x.on_promise(b, promised(0, {}));
    x.on_promise(b, promised(0, {}));
    CHECK_FALSE(x.has_quorum(five, a, true));
}

TEST_CASE("a promise whose entries leave a hole is not taken, and a merge stays as long as what was reported") {
    candidate x = campaigning();
    x.on_promise(b, promised(0, {at(1, n1, command("x")), at(std::uint64_t{1} << 61, n1, command("far"))}));
    x.on_promise(c, promised(0, {at(1, n1, command("x")), at(1, n1, command("x"))}));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(x.merge(three, log{}).empty());
    x.on_promise(b, promised(0, {at(1, n1, command("x")), at(2, n1, command("y"))}));
    CHECK(x.has_quorum(three, a, true));
    CHECK(x.merge(three, log{}).size() == 2);
}

TEST_CASE("rule 3: a promise counts only when its last chunk is there") {
    candidate x = campaigning();
    x.on_promise(b, part(0, false, {at(1, n1, command("x"))}));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(text(x.merge(three, log{})) == "[]");
    x.on_promise(b, part(1, true, {at(2, n1, command("y"))}));
    CHECK(x.has_quorum(three, a, true));
    CHECK(text(x.merge(three, log{})) == "[x y]");
}

TEST_CASE("rule 3: a lost chunk leaves the promise incomplete until all of it is sent again") {
    candidate x = campaigning();
    x.on_promise(b, part(0, false, {at(1, n1, command("x"))}));
    CHECK_FALSE(x.on_promise(b, part(2, true, {at(3, n1, command("z"))})));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(x.reported(b) == slot{1}); // It is asked to go on from there.
    CHECK_FALSE(x.on_promise(b, part(0, false, {at(1, n1, command("x"))})));
    x.on_promise(b, part(1, false, {at(2, n1, command("y"))}));
    x.on_promise(b, part(2, true, {at(3, n1, command("z"))}));
    CHECK(text(x.merge(three, log{})) == "[x y z]");
}

TEST_CASE("rule 3: chunks of two answers go together, and what was chosen between them is fetched before proposing") {
    candidate x = campaigning();
    x.on_promise(b, part(0, false, {at(1, n1, command("x")), at(2, n1, command("y"))}));
    x.on_promise(b, part(0, false, {at(7, n1, command("?"))}, 5)); // Slot 6 is missing.
    CHECK(x.reported(b) == slot{2});
    x.on_promise(b, part(0, true, {at(6, n1, command("z"))}, 5));
    CHECK(x.has_quorum(three, a, true));
    CHECK(x.highest_chosen(three) == std::pair(slot{5}, std::optional(b)));
}

TEST_CASE("a complete promise is not undone by a late copy of its first chunk") {
    candidate x = campaigning();
    x.on_promise(b, part(0, false, {at(1, n1, command("x"))}));
    x.on_promise(b, part(1, true, {at(2, n1, command("y"))}));
    x.on_promise(b, part(0, false, {at(1, n1, command("x"))}));
    CHECK(x.has_quorum(three, a, true));
    CHECK(text(x.merge(three, log{})) == "[x y]");
}

TEST_CASE("rule 3: the highest chosen index and who reported it come from complete promises of voters") {
    candidate x = campaigning();
    x.on_promise(b, promised(4, {}));
    x.on_promise(c, promised(7, {}));
    x.on_promise(d, part(0, false, {}, 9));
    CHECK(x.highest_chosen(five) == std::pair(slot{7}, std::optional(c)));
}

TEST_CASE("the merge takes the value of the highest ballot for each slot, from the own log too") {
    candidate x = campaigning();
    log own;
    own.put(slot{1}, n2, command("own1"));
    own.put(slot{2}, n1, command("own2"));
    x.on_promise(b, promised(0, {at(1, n1, command("b1")), at(2, n2, command("b2")), at(3, n1, command("b3"))}));
    x.on_promise(c, promised(0, {at(1, n1, command("c1")), at(2, n1, command("c2")), at(3, n3, command("c3")),
                                 at(4, n1, command("c4"))}));
    CHECK(text(x.merge(five, own)) == "[own1 b2 c3 c4]");
}

TEST_CASE("rule 3: the merge begins above the candidate's chosen index, whatever slower voters report") {
    candidate x = campaigning();
    log own;
    own.put(slot{1}, n1, command("x"));
    own.put(slot{2}, n1, command("y"));
    own.choose(slot{2});
    x.on_promise(b, promised(0, {at(1, n2, command("x")), at(2, n2, command("y")), at(3, n2, command("z"))}));
    CHECK(text(x.merge(three, own)) == "[z]");
}

TEST_CASE("re-proposed values keep their stamp") {
    candidate x = campaigning();
    x.on_promise(b, promised(0, {at(1, n1, command("x", 77))}));
    auto const values = x.merge(three, log{});
    REQUIRE(values.size() == 1);
    CHECK(values[0].stamp == log_time{77});
}

TEST_CASE("rule 1: the merge stops at the first configuration entry, and what the old quorum put above it waits") {
    // A has x@0 and y@1 in 1a; the stop-sign landed at B in 2b; a third candidate merges both.
    candidate x = campaigning();
    log own;
    own.put(slot{1}, n1, command("x"));
    own.put(slot{2}, n1, command("y"));
    own.put(slot{3}, n1, command("z"));
    x.on_promise(b, promised(0, {at(1, n1, command("x")), at(2, n2, stop_sign())}));
    CHECK(text(x.merge(three, own)) == "[x K]");
}

TEST_CASE("rule 1: of two configuration entries the first one stops the merge") {
    candidate x = campaigning();
    x.on_promise(b, promised(0, {at(1, n1, stop_sign("K1")), at(2, n1, stop_sign("K2"))}));
    CHECK(text(x.merge(three, log{})) == "[K1]");
}

TEST_CASE("rule 1: a configuration entry that lost its slot to a higher ballot stops nothing") {
    candidate x = campaigning();
    log own;
    own.put(slot{1}, n1, stop_sign());
    x.on_promise(b, promised(0, {at(1, n2, command("x")), at(2, n2, command("y"))}));
    CHECK(text(x.merge(three, own)) == "[x y]");
}

// ---- phase 2

inline leader leading(slot own, std::vector<std::pair<node_id, slot>> acked) {
    leader l;
    l.number = n9;
    l.own_acked = own;
    for (auto const& [id, s] : acked) l.peers[id].acked = s;
    return l;
}

TEST_CASE("a slot is chosen when a majority of the voters holds it") {
    CHECK(leading(slot{5}, {{b, slot{3}}, {c, slot{2}}}).tally(three, a) == slot{3});
    CHECK(leading(slot{1}, {{b, slot{3}}, {c, slot{2}}}).tally(three, a) == slot{2});
    CHECK(leading(slot{9}, {{b, slot{8}}}).tally(three, a) == slot{8});
    CHECK(leading(slot{9}, {}).tally(three, a) == slot{0});
    CHECK(leading(slot{9}, {{b, slot{8}}, {c, slot{7}}}).tally(five, a) == slot{7});
    CHECK(leading(slot{9}, {{b, slot{8}}}).tally(five, a) == slot{0});
    CHECK(leading(slot{9}, {}).tally(group_of({a}), a) == slot{9});
}

TEST_CASE("of an even number of voters half is no majority") {
    CHECK(leading(slot{9}, {{b, slot{8}}}).tally(group_of({a, b, c, d}), a) == slot{0});
    CHECK(leading(slot{9}, {{b, slot{8}}, {d, slot{5}}}).tally(group_of({a, b, c, d}), a) == slot{5});
    CHECK(leading(slot{9}, {}).tally(group_of({a, b}), a) == slot{0});
}

TEST_CASE("a learner's acknowledgement and a leader outside the voters are no votes") {
    CHECK(leading(slot{9}, {{d, slot{9}}, {e, slot{9}}}).tally(three, a) == slot{0});
    CHECK(leading(slot{9}, {{b, slot{4}}}).tally(group_of({b, c, d}), a) == slot{0});
}

TEST_CASE("the leader's own vote follows its disk, batch by batch") {
    leader l = leading(slot{0}, {});
    l.own_writes = {{lsn{10}, slot{1}}, {lsn{12}, slot{3}}, {lsn{20}, slot{4}}};
    l.own_durable(lsn{9});
    CHECK(l.own_acked == slot{0});
    l.own_durable(lsn{12});
    CHECK(l.own_acked == slot{3});
    l.own_durable(lsn{19});
    CHECK(l.own_acked == slot{3});
    l.own_durable(lsn{25});
    CHECK(l.own_acked == slot{4});
}

TEST_CASE("rule 6: a heartbeat is confirmed by a majority of the voters, the leader among them") {
    leader l = leading(slot{}, {});
    CHECK(l.confirmed(three, a, 8) == 0);
    l.peers[d].answered = 8;
    CHECK(l.confirmed(three, a, 8) == 0);
    l.peers[b].answered = 6;
    CHECK(l.confirmed(three, a, 8) == 6);
    CHECK(l.confirmed(five, a, 8) == 6);
    CHECK(l.confirmed(group_of({a, b, c, e}), a, 8) == 0);
    CHECK(l.confirmed(group_of({a}), a, 8) == 8);
}

TEST_CASE("the log clock goes on from the last stamp by the time this leader has led, and never back") {
    leader l = leading(slot{}, {});
    l.since = instant{5s};
    l.clock_base = log_time{1000};
    CHECK(l.clock(instant{5s}) == log_time{1000});
    CHECK(l.clock(instant{5s} + 7us) == log_time{1007});
    CHECK(l.clock(instant{4s}) == log_time{1000});
}

} // namespace paxos_script::proposer_test
