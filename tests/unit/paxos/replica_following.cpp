// What every node does, leading or not: it starts again, beats, and tells how its disk does.
#include <openreplica/paxos/replica.hpp>

#include "script_replica.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

namespace paxos_script::replica_following_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, c};
inline epoch const first_epoch{1};

inline std::string hints(output const& out) {
    std::string all;
    for (record const& r : out.append)
        if (std::holds_alternative<chosen_record>(r)) all += lines(text(r));
    return all;
}

// ---- starting again

TEST_CASE("R29: a node that starts again promises nothing below what it holds, whatever its last promise was") {
    durable_state entries;
    entries.promised = n1;
    entries.entries = {at(1, n3, command("x")), at(2, n2, command("y"))};
    CHECK(actor(a, group_of({a, b, c}), {}, entries).core.promised() == n3);
    durable_state based;
    based.promised = n1;
    based.base.at = slot{7};
    based.base.behind = n3;
    actor x(a, group_of({a, b, c}), {}, based);
    CHECK(told(x.hears(b, prepare{n2, {}, first_epoch})) == lines("to b: reject 2b promised=3c"));
}

TEST_CASE("R15: a hint of what is chosen is believed when its entry is still here under that ballot or a higher one") {
    durable_state past;
    past.promised = n3;
    past.entries = {at(1, n1, command("x")), at(2, n2, command("y"))};
    past.chosen = slot{2};
    auto const chosen_with = [&](ballot const& under, std::uint64_t upto) {
        past.chosen_under = under;
        past.chosen = slot{upto};
        return actor(a, group_of({a, b, c}), {}, past).core.entries().chosen();
    };
    CHECK(chosen_with(n2, 2) == slot{2});
    CHECK(chosen_with(n1, 2) == slot{2});
    CHECK(chosen_with(n3, 2) == slot{0}); // The entry that it names is gone: what is here proves nothing.
    CHECK(chosen_with(n1, 3) == slot{0});
    CHECK(chosen_with(n1, 1) == slot{1});
}

TEST_CASE("the chosen index is written at most once for a heartbeat, and only when it has moved") {
    actor x(a);
    (void)x.hears(b, accept{n2, first_epoch, slot{1}, {command("x"), command("y"), command("z")}, slot{1}});
    (void)x.hears(b, chosen_index{n2, slot{2}});
    CHECK(hints(x.waits(50ms)) == lines("chosen 2@2b"));
    CHECK(hints(x.waits(200ms)) == "");
    CHECK(hints(x.hears(b, chosen_index{n2, slot{3}})) == "");
    CHECK(hints(x.waits(200ms)) == lines("chosen 3@2b"));
}

TEST_CASE("an answer to a heartbeat of an earlier life has a number that this life has not used") {
    replica_options second_life;
    second_life.incarnation = std::uint64_t{1} << 40;
    actor x(a, group_of({a, b, c}), second_life);
    auto const out = x.waits(50ms);
    REQUIRE_FALSE(out.messages.empty());
    CHECK(std::get<heartbeat>(out.messages.front().what).number > second_life.incarnation >> 2);
}

TEST_CASE("R38: a node alone applies what it knows to be chosen when it starts, and the rest of its log once it leads") {
    durable_state past;
    past.promised = n1;
    past.entries = {at(1, n1, command("x")), at(2, n1, command("y")), at(3, n1, command("z"))};
    past.chosen = slot{1};
    past.chosen_under = n1;
    actor x(a, group_of({a}), {}, past);
    CHECK(applied(x.campaigns()) == "[1:x@1a]");
    CHECK(applied(x.persists()) == "[]");
    REQUIRE(x.core.is_leader());
    CHECK(applied(x.persists()) == "[2:y@2a 3:z@2a 4:-@2a]");
}

// ---- giving up

TEST_CASE("R03: whoever gives up a ballot keeps its promise, and takes nothing below it afterwards") {
    actor leader_of(a), candidate_of(a);
    (void)leader_of.leads(promise{{}, {}, first_epoch, 0, true, {at(1, n2, command("x"))}});
    leader_of.around.clear();
    candidate_of.around = {{b, {0, n2, false, false, {}, {}}}};
    (void)candidate_of.campaigns();
    (void)candidate_of.persists();
    for (actor* x : {&leader_of, &candidate_of}) {
        for (int i = 0; i < 100 && (x->core.is_leader() || x->core.observe().campaigning); ++i) (void)x->waits(10ms);
        REQUIRE_FALSE(x->core.is_leader());
        REQUIRE_FALSE(x->core.observe().campaigning);
        CHECK(told(x->hears(b, prepare{n2, {}, first_epoch})) == lines("to b: reject 2b promised=3a"));
        CHECK(told(x->hears(b, accept{n2, first_epoch, slot{1}, {command("?")}, {}})) ==
              lines("to b: reject 2b promised=3a"));
    }
}

// ---- whom calls go to

TEST_CASE("calls go around a leader that does not answer, through a voter that sees it, and to it when there is none") {
    actor x(a);
    heartbeat_reply leads, sees;
    leads.promised = sees.promised = n2;
    leads.leading = leads.happy = sees.happy = true;
    (void)x.hears(b, heartbeat{1, n2, {}});
    x.around = {{b, leads}, {c, sees}};
    (void)x.waits(1s);
    CHECK(x.core.route(x.now) == b);
    x.around.erase(b); // Its connection stays open, and leads nowhere.
    (void)x.waits(1s);
    CHECK_FALSE(x.core.observe().campaigning);
    CHECK(x.core.route(x.now) == c);
    x.around.clear();
    (void)x.waits(1s);
    CHECK(x.core.route(x.now) == b);
}

// ---- the disk

TEST_CASE("every answer to a heartbeat tells how the disk does") {
    actor x(a);
    for (disk_state s : {disk_state::slow, disk_state::full, disk_state::failed, disk_state::ok}) {
        x.act([&] { x.core.set_disk(s, x.now); });
        auto const out = x.hears(b, heartbeat{1, {}, {}});
        REQUIRE(out.messages.size() == 1);
        CHECK(std::get<heartbeat_reply>(out.messages[0].what).disk == s);
    }
}

TEST_CASE("R28: heartbeats and their answers wait for no disk") {
    actor x(a);
    (void)x.hears(b, accept{n2, first_epoch, slot{1}, {command("x")}, {}}); // From here on the disk hangs.
    auto out = x.hears(b, heartbeat{1, n2, {}});
    append(out, x.waits(200ms));
    std::size_t own = 0, answers = 0;
    for (outgoing const& m : out.messages) {
        own += std::holds_alternative<heartbeat>(m.what);
        answers += std::holds_alternative<heartbeat_reply>(m.what);
        CHECK(m.after == lsn{});
    }
    CHECK(own > 0);
    CHECK(answers == 1);
}

TEST_CASE("a node with a slow or failed disk does not run, and runs when it is well again") {
    for (disk_state s : {disk_state::slow, disk_state::failed}) {
        actor x(a);
        x.around = {{b, {}}, {c, {}}};
        x.act([&] { x.core.set_disk(s, x.now); });
        (void)x.waits(3s);
        CHECK_FALSE(x.core.observe().campaigning);
        x.act([&] { x.core.set_disk(disk_state::ok, x.now); });
        (void)x.campaigns();
    }
}

TEST_CASE("a leader whose disk is slow, full or failed hands over at once") {
    for (disk_state s : {disk_state::slow, disk_state::failed, disk_state::full}) {
        actor x(a);
        (void)x.leads();
        x.act([&] { x.core.set_disk(s, x.now); });
        CHECK_FALSE(x.core.is_leader());
    }
}

TEST_CASE("R27: a slow or full disk is no reason to hand over when the others' are no better; a failed one is") {
    for (disk_state s : {disk_state::slow, disk_state::failed, disk_state::full}) {
        actor x(a);
        (void)x.leads();
        x.around.at(b).disk = x.around.at(c).disk = disk_state::full;
        (void)x.waits(100ms);
        x.act([&] { x.core.set_disk(s, x.now); });
        CHECK(x.core.is_leader() == (s != disk_state::failed));
    }
}

TEST_CASE("R27: a leader knows when so many disks are full that nothing new can be chosen") {
    actor x(a);
    (void)x.leads();
    CHECK_FALSE(x.core.quorum_full(x.now));
    x.around.at(b).disk = disk_state::full;
    (void)x.waits(100ms);
    CHECK_FALSE(x.core.quorum_full(x.now));
    x.act([&] { x.core.set_disk(disk_state::full, x.now); });
    CHECK(x.core.quorum_full(x.now));
    x.act([&] { x.core.set_disk(disk_state::ok, x.now); });
    CHECK_FALSE(x.core.quorum_full(x.now));
}

} // namespace paxos_script::replica_following_test
