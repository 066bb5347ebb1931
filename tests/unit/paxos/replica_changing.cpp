// Other voters by a stop-sign, and another leader on request.
#include <openreplica/paxos/replica.hpp>

#include "script_replica.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace paxos_script::replica_changing_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b};
inline configuration const abc = group_of({a, b, c});

inline std::string text(change_answer const& x) {
    constexpr char const* names[] = {"proposed", "unchanged", "asking", "not leading", "under way",
                                     "unfit size", "removed", "unknown", "not caught up", "no majority"};
    return names[static_cast<std::size_t>(x.verdict)] + (x.who.empty() ? std::string() : " " + paxos_script::text(x.who));
}

/// a leads a, b and c in ballot 1; its no-op is chosen. d and e are standbys that have everything.
struct stage : actor {
    explicit stage(configuration first = abc) : actor(a, std::move(first)) {
        (void)leads();
        for (node_id id : {d, e}) (void)act([&] { core.add_peer(id); });
        for (node_id id : {b, c, d, e}) {
            heartbeat_reply follows{};
            follows.promised = core.promised();
            around[id] = follows;
        }
        (void)waits(60ms);
        for (node_id id : {b, c, d, e}) (void)acked(id, 1);
        REQUIRE(core.is_established());
    }
    std::string changes(std::vector<node_id> const& to) {
        std::vector<member> voters;
        for (node_id id : to) voters.push_back(member_of(id));
        change_answer did;
        last = act([&] { did = core.change_voters(voters, now); });
        return text(did);
    }
    /// A standby promises the leader's ballot and reports nothing that is not chosen.
    void promises(node_id id) {
        (void)hears(id, promise{core.promised(), core.entries().chosen(), core.governing().number, 0, true, {}});
    }
    /// Everybody has promised; the stop-sign is in slot 2.
    void proposes_change(std::vector<node_id> const& to) {
        (void)changes(to);
        for (node_id id : {b, c, d, e}) promises(id);
        REQUIRE(changes(to) == "proposed");
        append(last, persists());
    }
    output last;
};

// ---- rule 5: before a stop-sign is proposed

TEST_CASE("rule 5: a voter to come is asked for its promise first, and the stop-sign waits for it") {
    stage x;
    CHECK(x.changes({a, b, d}) == "asking");
    CHECK(sent<prepare>(x.last) == lines("to d: prepare 1a chosen=1 epoch=1 after #2"));
    CHECK(x.changes({a, b, d}) == "asking");
    x.promises(d);
    CHECK(x.changes({a, b, d}) == "proposed");
    CHECK(sent<accept>(x.last) == lines("to b,c,d,e: accept 1a 2.. [K2(abd)] chosen=1"));
    CHECK(x.core.is_changing());
}

TEST_CASE("rule 5: nobody becomes a voter who lags, is not there, or had a vote once") {
    stage x;
    CHECK(x.changes({a, b, node_id{0, 9}}).starts_with("unknown"));
    std::vector<std::string> const many(replica_options{}.window_entries, "x");
    (void)x.proposes(many);
    (void)x.persists();
    (void)x.acked(b, 1 + many.size());
    (void)x.proposes({"y", "z"});
    CHECK(x.changes({a, b, d}) == "not caught up d");
    (void)x.waits(60ms);
    x.around.erase(e);
    (void)x.waits(200ms);
    CHECK(x.changes({a, b, e}) == "unknown e");

    configuration without_d = abc;
    without_d.removed = {d};
    stage y(without_d);
    CHECK(y.changes({a, b, d}) == "removed d");
}

TEST_CASE("rule 5: without a majority of both configurations that answers, nothing is proposed") {
    stage x;
    x.promises(d);
    x.promises(e);
    x.around.erase(b);
    x.around.erase(c);
    (void)x.waits(200ms);
    CHECK(x.changes({a, b, c, d, e}) == "no majority");
    CHECK(x.changes({a, d, e}) == "no majority");
    CHECK_FALSE(x.core.is_changing());
}

TEST_CASE("what cannot be a configuration is refused, and the present one is no change") {
    stage x;
    CHECK(x.changes({}) == "unfit size");
    CHECK(x.changes({c, b, a}) == "unchanged");
    actor idle(b);
    CHECK(text(idle.core.change_voters({member_of(b)}, idle.now)) == "not leading");
    x.proposes_change({a, b, d});
    CHECK(x.changes({a, b, e}) == "under way");
}

// ---- while it passes

TEST_CASE("a stop-sign is announced when a majority of both configurations holds it") {
    stage x;
    x.proposes_change({a, d, e});
    CHECK(applied(x.acked(b, 2)) == "[]"); // a and b: the old majority alone.
    auto const out = x.acked(d, 2);
    CHECK(applied(out) == "[2:K2(ade)@1a]");
    CHECK(x.core.governing() == succeeding(abc, {member_of(a), member_of(d), member_of(e)}));
    CHECK(sent<accept>(out) == lines("to b,c,d,e: accept 1a 3.. [-] chosen=2"));
}

TEST_CASE("R50: above a stop-sign only the new voters count") {
    stage x;
    x.proposes_change({a, d, e});
    (void)x.acked(b, 2);
    (void)x.acked(d, 2);
    (void)x.persists();
    (void)x.acked(b, 3);
    CHECK(applied(x.acked(c, 3)) == "[]");
    CHECK(applied(x.acked(e, 3)) == "[3:-@1a]");
    CHECK_FALSE(x.core.is_changing());
}

TEST_CASE("rule 1: while a stop-sign is open nothing is given a slot above it") {
    stage x;
    x.proposes_change({a, b, d});
    CHECK(x.core.is_paused());
    CHECK(told(x.proposes({"y"})) == "");
    CHECK(x.taken == 0);
    (void)x.acked(b, 2);
    CHECK_FALSE(x.core.is_paused());
    (void)x.proposes({"y"});
    CHECK(x.taken == 1);
}

TEST_CASE("rule 5: reads need a majority of both configurations until the no-op above the stop-sign is chosen") {
    stage x;
    x.proposes_change({a, d, e});
    (void)x.acked(b, 2);
    (void)x.acked(d, 2);
    (void)x.persists();
    x.around.clear();
    (void)x.act([&] { (void)x.core.read(); });
    heartbeat_reply follows{};
    follows.promised = x.core.promised();
    CHECK(x.answers(d, follows).reads.empty()); // The new majority: a and d.
    (void)x.acked(d, 3);                        // The no-op is chosen: the old one is of no more use.
    CHECK_FALSE(x.core.is_changing());
    CHECK_FALSE(x.waits(10ms).reads.size() > 1);
}

TEST_CASE("rule 1: a new leader that completes another's stop-sign proposes above it only what the new voters report") {
    actor x(a);
    // b has accepted K in ballot 2, and above it something of an old leader that believed in the old voters.
    value const ade = stop_sign(succeeding(abc, {member_of(a), member_of(d), member_of(e)}));
    (void)x.leads(promise{{}, {}, epoch{1}, 0, true, {at(1, n2, ade), at(2, n2, command("old"))}});
    for (node_id id : {d, e}) (void)x.act([&] { x.core.add_peer(id); });
    (void)x.acked(b, 1);
    auto out = x.acked(d, 1);
    CHECK(applied(out) == "[1:K2(ade)@3a]");
    CHECK(sent<accept>(out) == "");
    // It asks them; what d reports above is what may have been chosen there.
    CHECK(sent<prepare>(x.waits(60ms)).starts_with(lines("to d: prepare 3a chosen=1 epoch=2 after #2",
                                                         "to e: prepare 3a chosen=1 epoch=2 after #2")));
    value const k = stop_sign(x.core.governing());
    out = x.hears(d, promise{x.core.promised(), {}, epoch{1}, 0, true, {at(1, x.core.promised(), k), at(2, n2, command("new"))}});
    CHECK(sent<accept>(out) == lines("to b,c,d,e: accept 3a 2.. [new -] chosen=1"));
}

TEST_CASE("rule 1: what its new voters know to be chosen above the stop-sign is fetched before anything is proposed there") {
    actor x(a);
    value const ade = stop_sign(succeeding(abc, {member_of(a), member_of(d), member_of(e)}));
    (void)x.leads(promise{{}, {}, epoch{1}, 0, true, {at(1, n2, ade)}});
    for (node_id id : {d, e}) (void)x.act([&] { x.core.add_peer(id); });
    (void)x.acked(b, 1);
    (void)x.acked(d, 4); // It knows slots up to 4 to be chosen.
    CHECK(x.core.entries().chosen() == slot{1});
    auto out = x.hears(d, promise{x.core.promised(), slot{4}, epoch{2}, 0, true, {}});
    CHECK(sent<learn>(out) == lines("to d: learn 2.."));
    CHECK(sent<accept>(out) == "");
    out = x.hears(d, learned{n2, slot{2}, {no_op(), command("y"), command("z")}, slot{4}, slot{1}});
    CHECK(x.core.entries().chosen() == slot{4});
    CHECK(sent<accept>(out).ends_with("[- y z -] chosen=4\n"));
}

// ---- who follows

TEST_CASE("rule 4: an accept above a stop-sign must be of the epoch that the stop-sign brings") {
    actor x(c);
    (void)x.hears(a, accept{n1, epoch{1}, slot{1}, {stop_sign(succeeding(abc, {member_of(a), member_of(c)}))}, {}});
    CHECK(told(x.hears(a, accept{n1, epoch{1}, slot{2}, {command("?")}, {}})) == lines("to a: accepted 1a upto=1 gap after #2"));
    CHECK(told(x.hears(a, accept{n1, epoch{2}, slot{2}, {command("y")}, {}})) ==
          lines("write 2:y@1a", "to a: accepted 1a upto=2 after #3"));
}

TEST_CASE("R42: a configuration that is not known to be chosen governs nothing, and is proposed again") {
    actor x(c);
    (void)x.hears(a, accept{n1, epoch{1}, slot{1}, {stop_sign(succeeding(abc, {member_of(a), member_of(c)}))}, {}});
    CHECK(x.core.governing() == abc);
    x.around = {{b, {}}};
    (void)x.campaigns();
    (void)x.persists();
    auto const out = x.hears(b, promise{x.core.promised(), {}, epoch{1}, 0, true, {}});
    CHECK(sent<accept>(out) == lines("to a,b: accept 2c 1.. [K2(ac)] chosen=0"));
}

TEST_CASE("R47, R48: a removed leader finishes, hands over and knows that its id is of no more use") {
    stage x;
    x.proposes_change({b, d, e});
    (void)x.acked(b, 2);
    CHECK(applied(x.acked(d, 2)) == "[2:K2(bde)@1a]");
    CHECK(x.core.is_leader());
    CHECK_FALSE(x.core.is_retired());
    (void)x.acked(b, 3);
    auto const out = x.acked(d, 3);
    CHECK(applied(out) == "[3:-@1a]");
    CHECK(sent<hand_over>(out).ends_with(": hand_over 1a\n"));
    CHECK_FALSE(x.core.is_leader());
    CHECK(x.core.is_retired());
}

TEST_CASE("R48: a removed follower learns it from the log, and is needed until the no-op above is chosen") {
    actor x(c);
    (void)x.hears(a, accept{n1, epoch{1}, slot{1}, {stop_sign(succeeding(abc, {member_of(a), member_of(b)}))}, slot{1}});
    CHECK(x.core.governing().has_removed(c));
    CHECK_FALSE(x.core.is_voter());
    CHECK_FALSE(x.core.is_retired());
    (void)x.hears(a, accept{n1, epoch{2}, slot{2}, {no_op()}, slot{2}});
    CHECK(x.core.is_retired());
}

TEST_CASE("a node that lost its vote while it was away gets no promise, and disturbs nobody") {
    actor x(b);
    (void)x.hears(a, accept{n1, epoch{1}, slot{1}, {stop_sign(succeeding(abc, {member_of(a), member_of(b)}))}, slot{1}});
    CHECK(told(x.hears(c, prepare{ballot{9, 0, c}, {}, epoch{1}})) == "");
    CHECK(x.core.promised() == n1);
}

TEST_CASE("R30, R31: a snapshot brings the configuration that governs behind it") {
    actor x(d);
    configuration const next = succeeding(abc, {member_of(b), member_of(c), member_of(d)});
    (void)x.act([&] { CHECK(x.core.install({slot{50}, n1, {}, next, {}}, x.now)); });
    CHECK(x.core.governing() == next);
    CHECK(x.core.is_voter());
}

TEST_CASE("R34: whoever was removed while it fetched a snapshot learns it from that one") {
    actor x(c);
    configuration const next = succeeding(abc, {member_of(a), member_of(b)});
    (void)x.act([&] { CHECK(x.core.install({slot{50}, n1, {}, next, {}}, x.now)); });
    CHECK_FALSE(x.core.is_voter());
    x.around = {{a, {}}, {b, {}}};
    (void)x.waits(5s);
    CHECK_FALSE(x.core.observe().campaigning);
    CHECK_FALSE(x.core.is_retired()); // Not before the no-op above the stop-sign is chosen.
    (void)x.hears(a, accept{n1, epoch{2}, slot{51}, {no_op()}, slot{51}});
    CHECK(x.core.is_retired());
}

TEST_CASE("R41: after a restart the configuration comes from the log and the snapshot") {
    durable_state past;
    past.base = {slot{5}, n1, {}, succeeding(abc, {member_of(a), member_of(b)}), {}};
    configuration const third = succeeding(past.base.governing, {member_of(a), member_of(b), member_of(d)});
    past.entries = {at(6, n1, command("x")), at(7, n1, stop_sign(third)), at(8, n1, no_op())};
    past.chosen = slot{8};
    past.chosen_under = n1;
    actor x(d, abc, {}, past);
    CHECK(x.core.governing() == third);
    CHECK(x.core.entries().governing(slot{7}).number == epoch{2});
}

TEST_CASE("R45: a voter to come that restarts keeps what it promised, and accepts the stop-sign that names it") {
    durable_state past;
    past.promised = n2;
    past.entries = {at(1, n1, no_op())};
    past.chosen = slot{1};
    past.chosen_under = n1;
    actor x(d, abc, {}, past);
    CHECK(applied(x.waits(10ms)) == "[1:-@1a]");
    value const abd = stop_sign(succeeding(abc, {member_of(a), member_of(b), member_of(d)}));
    CHECK(told(x.hears(a, accept{n1, epoch{1}, slot{2}, {abd}, {}})) == lines("to a: reject 1a promised=2b"));
    CHECK(told(x.hears(b, accept{n2, epoch{1}, slot{2}, {abd}, slot{1}})) ==
          lines("write 2:K2(abd)@2b", "to b: accepted 2b upto=2 after #1"));
    CHECK_FALSE(x.core.is_voter());
    (void)x.hears(b, chosen_index{n2, slot{2}});
    CHECK(x.core.is_voter());
}

TEST_CASE("R46: a stop-sign that lost its slot to a later ballot has ended nothing") {
    actor x(c);
    (void)x.hears(a, accept{n1, epoch{1}, slot{1}, {stop_sign(succeeding(abc, {member_of(a), member_of(b)}))}, {}});
    (void)x.hears(b, accept{n2, epoch{1}, slot{1}, {command("x")}, {}});
    CHECK(told(x.hears(b, accept{n2, epoch{1}, slot{2}, {command("y")}, {}})) ==
          lines("write 2:y@2b", "to b: accepted 2b upto=2 after #5"));
    CHECK(applied(x.hears(b, chosen_index{n2, slot{2}})) == "[1:x@2b 2:y@2b]");
    CHECK(x.core.governing() == abc);
    CHECK(x.core.is_voter());
}

TEST_CASE("R49: a standby never campaigns, neither when all are unhappy nor when it is asked to") {
    actor x(d);
    x.around = {{a, {}}, {b, {}}, {c, {}}};
    (void)x.waits(5s);
    CHECK(x.core.promised().empty());
    (void)x.hears(a, accept{n1, epoch{1}, slot{1}, {no_op()}, {}});
    CHECK(told(x.hears(a, hand_over{n1})) == "");
    CHECK_FALSE(x.core.observe().campaigning);
}

TEST_CASE("R51: a leader that was cut off while the others changed the voters chooses nothing, reads nothing, and learns it") {
    stage x;
    x.around.clear();
    (void)x.proposes({"lost"});
    (void)x.persists();
    (void)x.act([&] { (void)x.core.read(); });
    auto const alone = x.waits(500ms);
    CHECK(alone.reads.empty());
    CHECK(applied(alone) == "[]");
    CHECK_FALSE(x.core.is_leader());
    // Nobody who took part in the change takes what it sent meanwhile.
    actor other(c);
    (void)other.hears(b, prepare{n2, {}, epoch{1}});
    CHECK(sent<reject>(other.hears(a, accept{n1, epoch{1}, slot{2}, {command("lost")}, {}})) == lines("to a: reject 1a promised=2b"));
    // It finds itself without a vote, and what it had accepted alone is gone.
    value const bde = stop_sign(succeeding(abc, {member_of(b), member_of(d), member_of(e)}));
    auto const out = x.hears(b, learned{n2, slot{2}, {no_op(), bde, no_op()}, slot{4}, slot{1}});
    CHECK(applied(out) == "[2:-@2b 3:K2(bde)@2b 4:-@2b]");
    CHECK(x.core.is_retired());
    CHECK_FALSE(x.core.is_voter());
}

// ---- another leader

TEST_CASE("a leader asks a voter to take over, and that one campaigns although it is happy") {
    stage x;
    change_answer did;
    auto const out = x.act([&] { did = x.core.transfer_to(c, x.now); });
    CHECK(text(did) == "proposed c");
    CHECK(sent<hand_over>(out) == lines("to c: hand_over 1a"));

    actor heir(c);
    (void)heir.hears(a, accept{n1, epoch{1}, slot{1}, {no_op()}, {}});
    CHECK(told(heir.hears(b, hand_over{n1})) == ""); // Only the leader itself may ask.
    (void)heir.hears(a, hand_over{n1});
    CHECK(heir.core.observe().campaigning);
}

TEST_CASE("leadership goes to a voter that answers and has the log, or not at all") {
    stage x;
    change_answer did;
    (void)x.act([&] { did = x.core.transfer_to(d, x.now); });
    CHECK(text(did) == "unknown d"); // A standby.
    x.around.erase(c);
    (void)x.waits(200ms);
    (void)x.act([&] { did = x.core.transfer_to(c, x.now); });
    CHECK(text(did) == "unknown c");
    CHECK(x.core.best_heir(x.now) == b);
}

// ---- who is silent

TEST_CASE("a voter is silent to the majority when they say so, not when one node alone does not hear it") {
    stage x(group_of({a, b, c}));
    x.around.erase(c);
    (void)x.waits(600ms);
    CHECK(x.core.silent_for(c, x.now) >= 500ms);
    CHECK_FALSE(x.core.is_silent_to_majority(c, x.now));
    heartbeat_reply hears_not{};
    hears_not.promised = x.core.promised();
    hears_not.current = epoch{1};
    hears_not.silent = 4; // The third voter.
    x.around[b] = hears_not;
    (void)x.waits(60ms);
    CHECK(x.core.is_silent_to_majority(c, x.now));
    CHECK_FALSE(x.core.is_silent_to_majority(b, x.now));
}

} // namespace paxos_script::replica_changing_test
