// Every way in which a few ballots can treat a stop-sign and the slot above it: no slot may hold two values.
//
// What runs is the shipping core, whole: each follower and each ballot's leader is a `paxos::replica` (acceptor, learner,
// reports, proposer, log). Followers are made anew from what they hold for each step, leaders from what they were told; what
// a replica does in one situation is looked up when the situation comes again. Only their surroundings are enumerated: who
// campaigns when, which message reaches whom and in which order (also out of order: an accept above one that is lost), what
// is on the leader's disk, who learns from whom what is chosen, and when the next ballot begins. Loss is a message that
// never arrives. Every voter that a message reached is asked again with messages of an earlier ballot, and must not change.
//
// Left out:
// - Time. Whoever may vote may campaign at any moment; heartbeats, reads and the order of elections are the simulator's.
// - Ballots run one after the other. That loses nothing: what a voter does, it does in the order of ballots, and a leader
//   depends on its voters' earlier ballots alone, so that every run can be put into that order.
// - A follower's disk: a message and its sync are one step, and what a crash takes was never received. The leader's own
//   disk is enumerated apart from its messages. Standbys vote in the configuration that brings them, as they must.
// - Snapshots, and slots above the third. A second change of the voters is the simulator's.
// - The stop-sign has one first proposer. In one slot there cannot be two: it proposes when a no-op of its own ballot is
//   chosen right below, and no other ballot's can be.
//
// The program holds mutants, which is why it is one of its own: unit tests test what ships.
#ifndef OPENREPLICA_MUTATION_TESTING
#define OPENREPLICA_MUTATION_TESTING
#endif
#include "explorer.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

namespace {

using namespace exhaustive;
using exhaustive::accept, exhaustive::log; // The C library has these names too.
using paxos_script::a, paxos_script::b, paxos_script::c, paxos_script::d, paxos_script::e;
using paxos_script::command, paxos_script::group_of, paxos_script::member_of, paxos_script::stop_sign;

std::vector<member> members(std::initializer_list<node_id> ids) {
    std::vector<member> all;
    for (node_id id : ids) all.push_back(member_of(id));
    return all;
}
std::vector<member> const ade = members({a, d, e}), abd = members({a, b, d});

std::string name_of(std::vector<member> const& voters, beginning from) {
    std::string all = from == beginning::calm ? "calm, to " : "torn, to ";
    for (member const& m : voters) all += paxos_script::text(m.id);
    return all;
}
std::string figures(finding const& f) {
    return std::to_string(f.worlds) + " states, " + std::to_string(f.transitions) + " transitions, " +
           std::to_string(f.memories) + " memories of a node, " + std::to_string(f.lives) + " leaders, " +
           std::to_string(f.seconds).substr(0, 5) + " s";
}

/// A mutant is on as long as this lives.
struct broken {
    explicit broken(mutant m) { active_mutant = m; }
    ~broken() { active_mutant = mutant::none; }
    broken(broken const&) = delete;
};

void expect_none(exploration plan) {
    INFO(name_of(plan.next, plan.from));
    finding const f = explorer(plan).run();
    std::string const how = std::string(plan.reduced ? "" : ", nothing left out") + (plan.forgets ? ", with restarts" : "");
    MESSAGE(name_of(plan.next, plan.from) << ", " << plan.ballots << " more ballots" << how << ": " << figures(f));
    CHECK_MESSAGE(!f.violation, f.violation.value_or("") << "\n" << f.trace);
    CHECK(f.complete);
    CHECK(f.worlds > 100);
}

/// Looks with more and more ballots for two values in one slot, and prints the shortest way there.
void expect_found(mutant m, std::string const& of, exploration plan) {
    INFO(of << ", " << name_of(plan.next, plan.from));
    broken const rule(m);
    for (plan.ballots = 0; plan.ballots <= 2; ++plan.ballots) {
        if (!explorer(plan).run().violation) continue;
        plan.reduced = false; // Names stay as they are, which a reader likes, and it must be seen without reductions too.
        finding const f = explorer(plan).run();
        CHECK(f.violation.has_value());
        MESSAGE(of << ", " << name_of(plan.next, plan.from) << ": found with " << plan.ballots << " more ballots in " << f.depth
                   << " steps (" << figures(f) << ")\n  " << f.violation.value_or("") << "\n" << f.trace);
        return;
    }
    FAIL_CHECK("not found");
}

// A longer run than the suite's: OPENREPLICA_BALLOTS=2, a minute; 3 takes hours.
std::uint64_t ballots_after(beginning from) {
    char const* n = std::getenv("OPENREPLICA_BALLOTS");
    return n != nullptr ? std::stoull(n) : from == beginning::calm ? 2 : 1;
}

} // namespace

TEST_CASE("no slot holds two values, whatever becomes of a stop-sign") {
    for (auto const& next : {ade, abd})
        for (auto const from : {beginning::calm, beginning::torn}) {
            exploration plan;
            plan.next = next;
            plan.from = from;
            plan.ballots = ballots_after(from);
            expect_none(plan);
        }
}

TEST_CASE("no slot holds two values when nothing is left out as being alike, and when nodes forget what is chosen") {
    for (auto const& next : {ade, abd}) {
        exploration plan;
        plan.next = next;
        plan.ballots = 1;
        plan.reduced = false;
        expect_none(plan);
        plan.reduced = true;
        plan.forgets = true;
        expect_none(plan);
    }
}

TEST_CASE("without rule C two values are found in one slot") {
    for (auto const& next : {ade, abd}) expect_found(mutant::rule_c_off, "rule_c_off", {.next = next});
}

TEST_CASE("acknowledging over a hole is found") {
    for (auto const& next : {ade, abd}) expect_found(mutant::ack_over_hole, "ack_over_hole", {.next = next});
}

TEST_CASE("rule 1: proposing above a stop-sign what the old voters accepted there is found") {
    // Such values are there only if a ballot before the stop-sign's left them.
    expect_found(mutant::merge_past_stop_sign, "merge_past_stop_sign", {.next = ade, .from = beginning::torn});
}

TEST_CASE("rule 1: proposing above a stop-sign before its voters have promised is found") {
    for (auto const& next : {ade, abd})
        expect_found(mutant::activates_without_promises, "activates_without_promises", {.next = next});
}

TEST_CASE("rule 1: giving out slots above a stop-sign under the voters that it ends is found") {
    for (auto const& next : {ade, abd}) expect_found(mutant::proposes_past_stop_sign, "proposes_past_stop_sign", {.next = next});
}

TEST_CASE("counting those whom a stop-sign removed is found") {
    for (auto const& next : {ade, abd}) expect_found(mutant::old_voters_counted, "old_voters_counted", {.next = next});
}

TEST_CASE("an acceptor that does not look at the epoch cannot be found here, as rule C already says what it says") {
    // With rule C an acceptor holds the same ballot's value below, or knows what was chosen there, and the ballot's owner
    // gave the epoch by that same value. Rule 4 demands both because a later change may loosen one of them.
    broken const rule(mutant::epoch_ignored);
    for (auto const& next : {ade, abd})
        for (auto const from : {beginning::calm, beginning::torn}) expect_none({.next = next, .from = from, .ballots = 1});
}

// ---- the shortest counterexample that rule C has, by hand

namespace {

/// One shipping acceptor with its log.
struct voter {
    log entries{group_of({a, b, c})};
    effects fx;
    acceptor core{entries, ballot{}};

    promise promises(ballot const& n) {
        core.on_prepare(n.owner, prepare{n, {}, epoch{1}}, fx);
        for (outgoing& m : fx.take().messages)
            if (auto* p = std::get_if<promise>(&m.what)) return std::move(*p);
        FAIL("no promise");
        return {};
    }
    /// Whether it holds the value then.
    bool accepts(ballot const& n, std::uint32_t of, std::uint64_t s, value const& v) {
        (void)core.on_accept(n.owner, accept{n, epoch{of}, slot{s}, {v}, {}}, fx);
        return entries.holds(slot{s}) && entries.ballot_at(slot{s}) == n && entries.value_at(slot{s}) == v;
    }
};

/// What the script ends with: the values that a majority of somebody's voters has accepted in slot 2.
std::vector<std::string> values_in_slot_2() {
    voter A, B, C, D, E;
    value const k = stop_sign(succeeding(group_of({a, b, c}), ade));
    std::vector<std::string> chosen;
    // L1 proposes the stop-sign, which reaches A alone.
    ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, a}, n4{4, 0, d};
    (void)A.promises(n1);
    (void)B.promises(n1);
    REQUIRE(A.accepts(n1, 1, 1, k));
    // L2 hears of nothing at B and C, and proposes x and y, of which x is lost.
    reports two;
    two.take(c, C.promises(n2));
    (void)B.promises(n2);
    REQUIRE(two.merge(group_of({a, b, c}), B.entries).empty());
    bool const at_b = B.accepts(n2, 1, 2, command("y")), at_c = C.accepts(n2, 1, 2, command("y"));
    if (at_b && at_c) chosen.emplace_back("y");
    // L3 finds the stop-sign at A, and has it chosen by A and B.
    reports three;
    three.take(b, B.promises(n3));
    (void)A.promises(n3);
    auto const again = three.merge(group_of({a, b, c}), A.entries);
    REQUIRE(paxos_script::text(again) == "[K2(ade)]");
    REQUIRE(A.accepts(n3, 1, 1, again[0]));
    REQUIRE(B.accepts(n3, 1, 1, again[0]));
    // L4 knows that, asks a majority of the new voters, which have nothing to report, and has z chosen.
    D.entries.put(slot{1}, n3, k);
    D.entries.choose(slot{1});
    reports four;
    four.take(e, E.promises(n4));
    (void)D.promises(n4);
    REQUIRE(four.has_quorum(D.entries.governing(), d, true));
    REQUIRE(four.merge(D.entries.governing(), D.entries).empty());
    REQUIRE(E.accepts(n4, 1, 1, k));
    if (D.accepts(n4, 2, 2, command("z")) && E.accepts(n4, 2, 2, command("z"))) chosen.emplace_back("z");
    return chosen;
}

} // namespace

TEST_CASE("rule C: what would make two values of one slot is refused where its ballot's value below is missing") {
    CHECK(values_in_slot_2() == std::vector<std::string>{"z"});
    broken const rule(mutant::rule_c_off);
    CHECK(values_in_slot_2() == std::vector<std::string>{"y", "z"});
}
