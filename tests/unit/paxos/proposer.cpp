// The leader's counting, without the replica around it.
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

TEST_CASE("R05: the leader's own vote follows its disk, batch by batch") {
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
