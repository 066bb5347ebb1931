// What the voters report of one ballot, and what follows from it.
#include <openreplica/paxos/reports.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace paxos_script::reports_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, c}, n9{9, 0, a};
inline configuration const three = group_of({a, b, c});
inline configuration const five = group_of({a, b, c, d, e});

inline promise promised(std::uint64_t chosen, std::vector<entry> entries) {
    return {n9, slot{chosen}, epoch{1}, 0, true, std::move(entries)};
}
inline promise part(std::uint32_t chunk, bool last, std::vector<entry> entries, std::uint64_t chosen = 0) {
    return {n9, slot{chosen}, epoch{1}, chunk, last, std::move(entries)};
}

TEST_CASE("a majority of the voters with itself makes a quorum, once its own promise is durable") {
    reports x;
    CHECK_FALSE(x.has_quorum(three, a, true));
    x.take(b, promised(0, {}));
    CHECK_FALSE(x.has_quorum(three, a, false));
    CHECK(x.has_quorum(three, a, true));
    CHECK_FALSE(x.has_quorum(five, a, true));
    x.take(c, promised(0, {}));
    CHECK(x.has_quorum(five, a, true));
}

TEST_CASE("a promise of a node without a vote counts for nothing") {
    reports x;
    x.take(d, promised(7, {at(8, n3, command("?"))}));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(x.highest_chosen(three).second == std::nullopt);
    CHECK(text(x.merge(three, log{})) == "[]");
}

TEST_CASE("the same promise twice is one vote") {
    reports x;
    x.take(b, promised(0, {}));
    x.take(b, promised(0, {}));
    CHECK_FALSE(x.has_quorum(five, a, true));
}

TEST_CASE("a promise whose entries leave a hole is not taken, and a merge stays as long as what was reported") {
    reports x;
    x.take(b, promised(0, {at(1, n1, command("x")), at(std::uint64_t{1} << 61, n1, command("far"))}));
    x.take(c, promised(0, {at(1, n1, command("x")), at(1, n1, command("x"))}));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(x.merge(three, log{}).empty());
    x.take(b, promised(0, {at(1, n1, command("x")), at(2, n1, command("y"))}));
    CHECK(x.has_quorum(three, a, true));
    CHECK(x.merge(three, log{}).size() == 2);
}

TEST_CASE("rule 3: a promise counts only when its last chunk is there") {
    reports x;
    x.take(b, part(0, false, {at(1, n1, command("x"))}));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(text(x.merge(three, log{})) == "[]");
    x.take(b, part(1, true, {at(2, n1, command("y"))}));
    CHECK(x.has_quorum(three, a, true));
    CHECK(text(x.merge(three, log{})) == "[x y]");
}

TEST_CASE("rule 3: a lost chunk leaves the promise incomplete until all of it is sent again") {
    reports x;
    x.take(b, part(0, false, {at(1, n1, command("x"))}));
    CHECK_FALSE(x.take(b, part(2, true, {at(3, n1, command("z"))})));
    CHECK_FALSE(x.has_quorum(three, a, true));
    CHECK(x.reach(b) == slot{1}); // It is asked to go on from there.
    CHECK_FALSE(x.take(b, part(0, false, {at(1, n1, command("x"))})));
    x.take(b, part(1, false, {at(2, n1, command("y"))}));
    x.take(b, part(2, true, {at(3, n1, command("z"))}));
    CHECK(text(x.merge(three, log{})) == "[x y z]");
}

TEST_CASE("rule 3: chunks of two answers go together, and what was chosen between them is fetched before proposing") {
    reports x;
    x.take(b, part(0, false, {at(1, n1, command("x")), at(2, n1, command("y"))}));
    x.take(b, part(0, false, {at(7, n1, command("?"))}, 5)); // Slot 6 is missing.
    CHECK(x.reach(b) == slot{2});
    x.take(b, part(0, true, {at(6, n1, command("z"))}, 5));
    CHECK(x.has_quorum(three, a, true));
    CHECK(x.highest_chosen(three) == std::pair(slot{5}, std::optional(b)));
}

TEST_CASE("a complete promise is not undone by a late copy of its first chunk") {
    reports x;
    x.take(b, part(0, false, {at(1, n1, command("x"))}));
    x.take(b, part(1, true, {at(2, n1, command("y"))}));
    x.take(b, part(0, false, {at(1, n1, command("x"))}));
    CHECK(x.has_quorum(three, a, true));
    CHECK(text(x.merge(three, log{})) == "[x y]");
}

TEST_CASE("rule 3: the highest chosen index and who reported it come from complete promises of voters") {
    reports x;
    x.take(b, promised(4, {}));
    x.take(c, promised(7, {}));
    x.take(d, part(0, false, {}, 9));
    CHECK(x.highest_chosen(five) == std::pair(slot{7}, std::optional(c)));
}

TEST_CASE("the merge takes the value of the highest ballot for each slot, from the own log too") {
    reports x;
    log own;
    own.put(slot{1}, n2, command("own1"));
    own.put(slot{2}, n1, command("own2"));
    x.take(b, promised(0, {at(1, n1, command("b1")), at(2, n2, command("b2")), at(3, n1, command("b3"))}));
    x.take(c, promised(0, {at(1, n1, command("c1")), at(2, n1, command("c2")), at(3, n3, command("c3")),
                                 at(4, n1, command("c4"))}));
    CHECK(text(x.merge(five, own)) == "[own1 b2 c3 c4]");
}

TEST_CASE("rule 3: the merge begins above the candidate's chosen index, whatever slower voters report") {
    reports x;
    log own;
    own.put(slot{1}, n1, command("x"));
    own.put(slot{2}, n1, command("y"));
    own.choose(slot{2});
    x.take(b, promised(0, {at(1, n2, command("x")), at(2, n2, command("y")), at(3, n2, command("z"))}));
    CHECK(text(x.merge(three, own)) == "[z]");
}

TEST_CASE("re-proposed values keep their stamp") {
    reports x;
    x.take(b, promised(0, {at(1, n1, command("x", 77))}));
    auto const values = x.merge(three, log{});
    REQUIRE(values.size() == 1);
    CHECK(values[0].stamp == log_time{77});
}

TEST_CASE("rule 1: the merge stops at the first configuration entry, and what the old quorum put above it waits") {
    // A has x@0 and y@1 in 1a; the stop-sign landed at B in 2b; a third candidate merges both.
    reports x;
    log own;
    own.put(slot{1}, n1, command("x"));
    own.put(slot{2}, n1, command("y"));
    own.put(slot{3}, n1, command("z"));
    x.take(b, promised(0, {at(1, n1, command("x")), at(2, n2, stop_sign(group_of({a, b, d}, 2)))}));
    CHECK(text(x.merge(three, own)) == "[x K2(abd)]");
}

TEST_CASE("rule 1: of two configuration entries the first one stops the merge") {
    reports x;
    x.take(b, promised(0, {at(1, n1, stop_sign(group_of({a, b}, 2))), at(2, n1, stop_sign(group_of({a, c}, 3)))}));
    CHECK(text(x.merge(three, log{})) == "[K2(ab)]");
}

TEST_CASE("rule 1: a configuration entry that lost its slot to a higher ballot stops nothing") {
    reports x;
    log own;
    own.put(slot{1}, n1, stop_sign(group_of({a, b, d}, 2)));
    x.take(b, promised(0, {at(1, n2, command("x")), at(2, n2, command("y"))}));
    CHECK(text(x.merge(three, own)) == "[x y]");
}

} // namespace paxos_script::reports_test
