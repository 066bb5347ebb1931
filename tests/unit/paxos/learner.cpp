// What is chosen, in order, and how a node fetches what it missed.
#include <openreplica/paxos/learner.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace paxos_script::learner_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, c};
inline instant const start{1h};

/// A learner with the voter beside it. `accepts` puts entries there as the owner of a ballot would.
struct follower_of {
    log entries{group_of({a, b, c})};
    effects fx;
    acceptor voter{entries, {}};
    learner self{entries, voter};
    instant now = start;

    void accepts(ballot const& n, std::uint64_t first, std::vector<value> values) {
        voter.on_accept(n.owner, {n, epoch{1}, slot{first}, std::move(values), {}}, fx);
        (void)fx.take();
    }
    std::string hears_chosen(ballot const& n, std::uint64_t upto) {
        self.on_chosen(n, slot{upto}, now, fx);
        return told(fx);
    }
    std::string learns(ballot const& behind, std::uint64_t first, std::vector<value> values, std::uint64_t chosen) {
        self.on_learned(b, {behind, slot{first}, std::move(values), slot{chosen}, slot{1}}, now, fx);
        return told(fx);
    }
    std::string asked(std::uint64_t from) {
        self.on_learn(c, {slot{from}}, fx);
        return told(fx);
    }
    std::string fetches(node_id peer) {
        self.fetch(peer, now, fx);
        return told(fx);
    }
};

TEST_CASE("R13: a chosen index applies the entries of its own ballot in slot order, once") {
    follower_of f;
    f.accepts(n1, 1, {command("x"), command("y"), command("z")});
    CHECK(f.hears_chosen(n1, 2) == lines("apply 1:x@1a", "apply 2:y@1a"));
    CHECK(f.hears_chosen(n1, 2) == "");
    CHECK(f.hears_chosen(n1, 1) == "");
    CHECK(f.hears_chosen(n1, 3) == lines("apply 3:z@1a"));
}

TEST_CASE("rule 2: a chosen index chooses nothing that was accepted under an earlier ballot") {
    follower_of f;
    f.accepts(n1, 1, {command("x"), command("y")});
    f.voter.promise_to(n2, f.fx);
    (void)f.fx.take();
    CHECK(f.hears_chosen(n2, 2) == "");
    CHECK(f.entries.chosen() == slot{0});
    CHECK(f.self.known() == slot{2});
    CHECK(f.self.is_behind());
}

TEST_CASE("rule 2: where one entry was accepted again and the next was not, only the first is chosen") {
    follower_of f;
    f.accepts(n1, 1, {command("x"), command("wrong")});
    f.accepts(n2, 1, {command("x")});
    CHECK(f.hears_chosen(n2, 2) == lines("apply 1:x@2b"));
    f.accepts(n2, 2, {command("right")});
    CHECK(f.hears_chosen(n2, 2) == lines("apply 2:right@2b"));
}

TEST_CASE("rule 2: a chosen index of a ballot that is not the promised one only says what is missing") {
    follower_of f;
    f.accepts(n2, 1, {command("x")});
    CHECK(f.hears_chosen(n1, 1) == "");
    CHECK(f.hears_chosen(n3, 1) == "");
    CHECK(f.entries.chosen() == slot{0});
    CHECK(f.self.known() == slot{1});
}

TEST_CASE("a chosen index above what is held chooses what is held and remembers the rest") {
    follower_of f;
    f.accepts(n1, 1, {command("x")});
    CHECK(f.hears_chosen(n1, 5) == lines("apply 1:x@1a"));
    CHECK(f.self.known() == slot{5});
    CHECK(f.self.is_behind());
}

TEST_CASE("rule 4: learned entries raise the promise to the ballot behind them before they are taken") {
    follower_of f;
    f.accepts(n1, 1, {command("x")});
    CHECK(f.learns(n2, 1, {command("x"), command("y")}, 2) ==
          lines("write promise 2b", "write 1:x@2b", "write 2:y@2b", "apply 1:x@2b", "apply 2:y@2b"));
    CHECK(f.voter.promised() == n2);
}

TEST_CASE("learned entries replace what a lower ballot left there") {
    follower_of f;
    f.accepts(n1, 1, {command("old"), command("old")});
    (void)f.learns(n2, 1, {command("x")}, 1);
    CHECK(text(f.entries.entry_at(slot{1})) == "1:x@2b");
    CHECK(text(f.entries.entry_at(slot{2})) == "2:old@1a");
}

TEST_CASE("a learned entry that a higher ballot proposed again here keeps that ballot: a promise must report it") {
    follower_of f;
    f.accepts(n3, 1, {command("x")});
    CHECK(f.learns(n1, 1, {command("x")}, 1) == lines("apply 1:x@3c"));
    CHECK(f.voter.promised() == n3);
}

TEST_CASE("learned entries that overlap what is chosen are applied from the first new one on") {
    follower_of f;
    (void)f.learns(n1, 1, {command("x"), command("y")}, 2);
    CHECK(f.learns(n1, 1, {command("x"), command("y"), command("z")}, 3) == lines("write 3:z@1a", "apply 3:z@1a"));
    CHECK(f.learns(n1, 1, {command("x")}, 3) == "");
}

TEST_CASE("R14: learned entries behind a gap are not taken") {
    follower_of f;
    CHECK(f.learns(n1, 2, {command("y")}, 2) == "");
    CHECK(f.voter.promised().empty());
    CHECK(f.self.is_behind());
}

TEST_CASE("any node answers with its chosen entries, the highest ballot behind them, and nothing unchosen") {
    follower_of f;
    f.accepts(n1, 1, {command("x"), command("y")});
    (void)f.hears_chosen(n1, 2);
    f.accepts(n2, 3, {command("z"), command("u")});
    (void)f.hears_chosen(n2, 3);
    CHECK(f.asked(1) == lines("to c: learned 1.. [x y z] behind=2b chosen=3 start=1"));
    CHECK(f.asked(2) == lines("to c: learned 2.. [y z] behind=2b chosen=3 start=1"));
    CHECK(f.asked(4) == lines("to c: learned 4.. [] behind=none chosen=3 start=1"));
}

TEST_CASE("one answer is bounded in bytes, and holds at least one value") {
    follower_of f;
    std::string const half(learner::reply_bytes / 2, 'x'), huge(learner::reply_bytes * 2, 'x');
    f.accepts(n1, 1, {command(half), command(half), command("z"), command(huge), command("u")});
    (void)f.hears_chosen(n1, 5);
    CHECK(f.asked(1) == lines("to c: learned 1.. [big big] behind=1a chosen=5 start=1"));
    CHECK(f.asked(4) == lines("to c: learned 4.. [big] behind=1a chosen=5 start=1"));
}

TEST_CASE("R33: whoever asks for trimmed entries is told where the log starts, and asks for a snapshot") {
    follower_of sender, asker;
    sender.accepts(n1, 1, {command("x"), command("y")});
    (void)sender.hears_chosen(n1, 2);
    sender.entries.trim(slot{2});
    CHECK(sender.asked(1) == lines("to c: learned 1.. [] behind=none chosen=2 start=3"));

    asker.self.on_learned(b, {{}, slot{1}, {}, slot{2}, slot{3}}, start, asker.fx);
    CHECK(told(asker.fx) == lines("snapshot from b"));
}

TEST_CASE("an empty answer from a peer that has nothing newer asks for nothing") {
    follower_of f;
    f.self.on_learned(b, {{}, slot{1}, {}, slot{0}, slot{1}}, start, f.fx);
    CHECK(told(f.fx) == "");
    f.self.on_learned(b, {{}, slot{1}, {}, slot{0}, slot{9}}, start, f.fx);
    CHECK(told(f.fx) == "");
}

TEST_CASE("one request is on its way at a time, and the answer makes room for the next") {
    follower_of f;
    CHECK(f.fetches(b) == lines("to b: learn 1.."));
    CHECK(f.fetches(c) == "");
    (void)f.learns(n1, 1, {command("x")}, 2);
    CHECK(f.fetches(c) == lines("to c: learn 2.."));
}

TEST_CASE("a node that stays behind fetches after its patience, and again when an answer is lost") {
    follower_of f;
    CHECK_FALSE(f.self.should_fetch(start, 50ms));
    f.self.note(slot{1}, start);
    CHECK_FALSE(f.self.should_fetch(start + 49ms, 50ms));
    CHECK(f.self.should_fetch(start + 50ms, 50ms));
    f.now = start + 50ms;
    (void)f.fetches(b);
    CHECK_FALSE(f.self.should_fetch(start + 99ms, 50ms));
    CHECK(f.self.should_fetch(start + 100ms, 50ms));
    f.now = start + 100ms;
    CHECK(f.fetches(c) == lines("to c: learn 1.."));
}

TEST_CASE("entries that arrive renew the patience: catching up is no reason to ask somebody else") {
    follower_of f;
    f.self.note(slot{9}, start);
    f.now = start + 40ms;
    (void)f.learns(n1, 1, {command("x")}, 9);
    CHECK_FALSE(f.self.should_fetch(start + 60ms, 50ms));
    CHECK(f.self.should_fetch(start + 90ms, 50ms));
}

TEST_CASE("a snapshot ends the request that led to it") {
    follower_of f;
    f.self.note(slot{9}, start);
    (void)f.fetches(b);
    f.entries.install(slot{8}, group_of({a, b, c}));
    f.self.installed(slot{8}, start);
    CHECK(f.self.is_behind());
    CHECK(f.fetches(c) == lines("to c: learn 9.."));
}

} // namespace paxos_script::learner_test
