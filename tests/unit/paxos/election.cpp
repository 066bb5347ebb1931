// Evidence: who answered what, and what follows from it.
#include <openreplica/paxos/election.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>

namespace paxos_script::election_test {

inline ballot const n1{1, 0, b}, n2{2, 0, c}, n3{3, 0, d};
inline instant const start{1h};
inline duration const limit = 300ms;
inline configuration const five = group_of({a, b, c, d, e});

inline heartbeat_reply says(std::uint64_t number, ballot const& promised = {}) {
    return {number, promised, false, false, {}, {}};
}
inline heartbeat_reply happy(std::uint64_t number, ballot const& promised = {}) {
    return {number, promised, false, true, {}, {}};
}
inline heartbeat_reply leads(std::uint64_t number, ballot const& promised) {
    return {number, promised, true, true, {}, {}};
}

inline heartbeat_reply has_chosen(std::uint64_t upto) { return {1, {}, false, false, slot{upto}, {}}; }

TEST_CASE("a node reaches itself, and nobody who has not answered") {
    election const x(a);
    CHECK(x.reaches(a, start, limit));
    CHECK_FALSE(x.reaches(b, start, limit));
    // The clock's epoch is no answer either.
    CHECK_FALSE(x.reaches(b, instant{}, limit));
}

TEST_CASE("an answer counts until the limit and not at it") {
    election x(a);
    x.on_reply(b, says(1), start);
    CHECK(x.reaches(b, start + 299ms, limit));
    CHECK_FALSE(x.reaches(b, start + 300ms, limit));
}

TEST_CASE("a quorum is reached with itself and one less than the quorum of answers, of voters only") {
    election x(a);
    node_id const learner_only{0, 9};
    x.on_reply(b, says(1), start);
    x.on_reply(learner_only, says(1), start);
    CHECK_FALSE(x.reaches_quorum(five, start, limit));
    x.on_reply(c, says(1), start);
    CHECK(x.reaches_quorum(five, start, limit));
}

TEST_CASE("a node that is no voter does not count itself into a quorum") {
    election x(a);
    x.on_reply(b, says(1), start);
    CHECK_FALSE(x.reaches_quorum(group_of({b, c, d}), start, limit));
    CHECK_FALSE(x.reaches_quorum(group_of({b, c}), start, limit));
}

TEST_CASE("an older answer that arrives late does not undo what a newer one said") {
    election x(a);
    x.on_reply(b, leads(5, n1), start);
    x.on_reply(b, says(4), start + 10ms);
    CHECK(x.leader(start + 10ms, limit) == b);
    // It does not renew the evidence either.
    CHECK_FALSE(x.reaches(b, start + 305ms, limit));
}

TEST_CASE("a closed connection discounts what was said over it, and the next answer is believed whatever its number") {
    election x(a);
    x.on_reply(b, leads(50, n1), start);
    x.suspect(b);
    CHECK_FALSE(x.reaches(b, start, limit));
    CHECK(x.leader(start, limit) == std::nullopt);
    x.on_reply(b, says(7), start + 1ms);
    CHECK(x.reaches(b, start + 1ms, limit));
    CHECK(x.leader(start + 1ms, limit) == std::nullopt);
}

TEST_CASE("a ballot is followed by a quorum when it and the node's own vote make one") {
    election x(a);
    x.on_reply(b, says(1, n1), start);
    CHECK_FALSE(x.quorum_follows(five, n1, start, limit));
    x.on_reply(c, says(1, n2), start);
    CHECK_FALSE(x.quorum_follows(five, n1, start, limit));
    x.on_reply(d, says(1, n1), start);
    CHECK(x.quorum_follows(five, n1, start, limit));
    CHECK_FALSE(x.quorum_follows(five, n1, start + limit, limit));
    CHECK_FALSE(x.quorum_follows(five, n2, start, limit));
}

TEST_CASE("of several that say they lead, the highest ballot is the leader") {
    election x(a);
    x.on_reply(c, leads(1, n2), start);
    x.on_reply(b, leads(1, n1), start);
    x.on_reply(d, happy(1, n3), start);
    CHECK(x.leader(start, limit) == c);
    x.on_reply(b, leads(2, {4, 0, b}), start);
    CHECK(x.leader(start, limit) == b);
    CHECK(x.leader(start + limit, limit) == std::nullopt);
}

TEST_CASE("a happy voter is another one, reached now, and a voter") {
    election x(a);
    x.on_reply(a, happy(1), start);
    x.on_reply(b, says(1), start);
    x.on_reply(node_id{0, 9}, happy(1), start);
    CHECK(x.happy_voter(five, start, limit) == std::nullopt);
    x.on_reply(e, happy(1), start);
    CHECK(x.happy_voter(five, start, limit) == e);
    CHECK(x.happy_voter(five, start + limit, limit) == std::nullopt);
}

TEST_CASE("the highest ballot seen never goes back, wherever it was seen") {
    election x(a);
    x.note(n2);
    x.note(n1);
    CHECK(x.highest() == n2);
    x.on_reply(b, says(1, n3), start);
    x.on_reply(c, says(1, n1), start);
    CHECK(x.highest() == n3);
    x.forget(b);
    CHECK(x.highest() == n3);
}

TEST_CASE("rule 7: the highest chosen index counts voters that are reached now") {
    election x(a);
    x.on_reply(b, has_chosen(7), start);
    x.on_reply(node_id{0, 9}, has_chosen(99), start + 200ms);
    x.on_reply(c, has_chosen(5), start + 200ms);
    CHECK(x.highest_chosen(five, start + 200ms, limit) == slot{7});
    CHECK(x.highest_chosen(five, start + 400ms, limit) == slot{5});
    CHECK(x.highest_chosen(five, start + 500ms, limit) == slot{0});
}

TEST_CASE("the time in which this node did not run says nothing about the others") {
    election x(a);
    x.on_reply(b, says(1), start);
    CHECK_FALSE(x.reaches(b, start + 10s, limit));
    x.excuse(10s);
    CHECK(x.reaches(b, start + 10s, limit));
    CHECK_FALSE(x.reaches(b, start + 10s + limit, limit));
}

TEST_CASE("a forgotten peer is as one that never answered") {
    election x(a);
    x.on_reply(b, leads(9, n1), start);
    x.forget(b);
    CHECK_FALSE(x.reaches(b, start, limit));
    x.on_reply(b, says(1), start);
    CHECK(x.reaches(b, start, limit));
}

} // namespace paxos_script::election_test
