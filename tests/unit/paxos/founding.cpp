// Rule 8: how a group begins, and how it does not.
#include <openreplica/paxos/founding.hpp>

#include "founding_network.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace paxos_script::founding_test {

inline instant const start{1h};
inline cluster_id const c7{0, 7}, c8{0, 8};
inline first_configuration const offer7{c7, group_of({a, b, c})};

inline founding_options founders(std::uint32_t n) {
    founding_options o;
    o.founders = n;
    return o;
}
inline durable_state recovered(first_configuration const& group, bool chosen = false) {
    durable_state s;
    s.group = group;
    s.group_chosen = chosen;
    return s;
}
inline discover says(node_id who, std::uint32_t n, std::vector<node_id> heard = {}, cluster_id bound = {}) {
    discover m{member_of(who), n, {}, bound};
    for (node_id id : heard) m.heard.push_back(member_of(id));
    return m;
}

/// One founding object; the script plays the disk and everybody else.
struct founder {
    founding core;
    instant now = start;

    founder(node_id self, founding_options o, durable_state const& past = {}) : core(member_of(self), o, past, start) {}
    std::string hears(node_id from, founding_message const& m) {
        core.step(member_of(from), m, now);
        return told(core.take_output());
    }
    std::string ticks(duration passed = 200ms, cluster_id fresh = c7) {
        now += passed;
        core.tick(now, 0, fresh);
        return told(core.take_output());
    }
};

inline bool is_acceptance(std::size_t, std::size_t, founding_message const& m) {
    return std::holds_alternative<first_accepted>(m);
}

inline bool is_news(std::size_t, std::size_t, founding_message const& m) {
    return std::holds_alternative<first_chosen>(m);
}

// ---- offering

TEST_CASE("rule 8: a lone founder without seeds stands alone, once its own acceptance is durable") {
    founder x(a, founders(1));
    CHECK(x.ticks() == lines("write accepted 7"));
    CHECK(x.ticks() == "");
    CHECK(x.core.group() == nullptr);
    x.core.persisted();
    CHECK(x.ticks() == lines("write chosen 7"));
    REQUIRE(x.core.group() != nullptr);
    CHECK(*x.core.group() == first_configuration{c7, group_of({a})});
    CHECK(x.core.explain() == "");
}

TEST_CASE("rule 8: a lone founder with seeds first asks whether there is a group, and joins one that answers") {
    founding_options o = founders(1);
    o.has_seeds = true;
    founder alone(a, o), late(a, o);
    alone.core.met_self(alone.now);
    late.core.met_self(late.now);
    CHECK(alone.ticks(1900ms) == "");
    CHECK(alone.ticks(300ms) == lines("write accepted 7"));
    (void)late.ticks(1900ms);
    CHECK(late.hears(b, welcome{c8, group_of({b}), true}) == "");
    CHECK(late.ticks(300ms) == "");
    REQUIRE(late.core.joined() != nullptr);
    CHECK(late.core.joined()->cluster == c8);
}

TEST_CASE("R39, rule 8: a lone founder whose seeds do not lead back to it never founds: silence proves nothing") {
    founding_options o = founders(1);
    o.has_seeds = true;
    founder x(a, o);
    for (int i = 0; i < 100; ++i) CHECK(x.ticks(1s) == "");
    CHECK(x.core.explain().find("no seed has led back to it") != std::string::npos);
    x.core.met_self(x.now);
    CHECK(x.ticks(1900ms) == "");
    CHECK(x.ticks(300ms) == lines("write accepted 7"));
}

TEST_CASE(
    "rule 8: a lone founder that was led to itself still waits for every other seed, and tells which are silent") {
    founding_options o = founders(1);
    o.has_seeds = true;
    founder x(a, o);
    x.core.met_self(x.now);
    x.core.seeds_silent({"b:1", "srv:bank.test"});
    for (int i = 0; i < 100; ++i) CHECK(x.ticks(1s) == "");
    CHECK(x.core.explain() ==
          "this node would found a group alone, but these seeds are silent and may belong to one: b:1 "
          "srv:bank.test; start them, or take them out of the seeds or DNS");
    x.core.seeds_silent({"b:1"});
    CHECK(x.ticks(1s) == "");
    CHECK(x.hears(b, says(b, 1, {a}, c8)) == ""); // It answers, and has accepted a configuration of its own.
    x.core.seeds_silent({});
    CHECK(x.ticks() == "");
    x.core.seeds_silent({"b:1"});
    CHECK(x.ticks(2s) == "");
    x.core.seeds_silent({});
    CHECK(x.ticks() == lines("write accepted 7"));
}

TEST_CASE("rule 8: a node without founders only joins, however long nobody answers and whomever it meets") {
    founder x(a, founders(0));
    for (int i = 0; i < 100; ++i) {
        (void)x.hears(b, says(b, 0, {a}));
        CHECK(x.ticks() == "");
    }
    CHECK(x.core.explain() == "looking for a group to join: no seed has answered for one yet");
    CHECK(x.hears(b, propose_first{{c7, group_of({a, b})}}) == "");
}

TEST_CASE("rule 8: the smallest id offers when n empty nodes see one another, and not before") {
    founder x(a, founders(3));
    CHECK(x.ticks() == "");
    CHECK(x.core.explain() == "founding: 1 of 3 founders have met; check that the others run, and the seeds");
    (void)x.hears(b, says(b, 3, {a, c}));
    CHECK(x.ticks() == "");
    (void)x.hears(c, says(c, 3, {a}));
    CHECK(x.core.explain() == "founding: 3 of 3 founders have met; check that the others run, and the seeds");
    CHECK(x.ticks() == "");
    (void)x.hears(c, says(c, 3, {a, b}));
    CHECK(x.ticks() == lines("write accepted 7", "to b: propose durable", "to c: propose durable"));
    CHECK(x.core.explain() == "a first configuration is accepted here and waits for all its members to accept it");
}

TEST_CASE("rule 8: whoever is not the smallest waits for the offer") {
    founder x(b, founders(2));
    (void)x.hears(a, says(a, 2, {b}));
    CHECK(x.ticks() == "");
    CHECK(x.hears(a, propose_first{{c7, group_of({a, b})}}) == lines("write accepted 7", "to a: accepted durable"));
    CHECK(x.hears(a, propose_first{{c7, group_of({a, b})}}) == lines("to a: accepted durable"));
}

TEST_CASE("R40, rule 8: a silent, a bound and a differently configured node is no founder") {
    founder silent(a, founders(2)), bound(a, founders(2)), different(a, founders(2));
    (void)silent.hears(b, says(b, 2, {a}));
    CHECK(silent.ticks(1s) == "");
    (void)bound.hears(b, says(b, 2, {a}, c8));
    CHECK(bound.ticks() == "");
    CHECK(bound.core.explain() ==
          "a group may exist already: b:1 has accepted a first configuration; this node waits to join it");
    (void)different.hears(b, says(b, 3, {a}));
    CHECK(different.ticks() == "");
}

TEST_CASE("rule 8: the group exists when all have accepted, not when a majority has") {
    founder x(a, founders(3));
    (void)x.hears(b, says(b, 3, {a, c}));
    (void)x.hears(c, says(c, 3, {a, b}));
    (void)x.ticks();
    x.core.persisted();
    CHECK(x.hears(b, first_accepted{c7}) == "");
    CHECK(x.hears(b, first_accepted{c7}) == "");
    CHECK(x.hears(d, first_accepted{c7}) == "");
    CHECK(x.hears(c, first_accepted{c8}) == "");
    CHECK(x.core.group() == nullptr);
    CHECK(x.hears(c, first_accepted{c7}) == lines("write chosen 7", "to b: chosen", "to c: chosen"));
    CHECK(x.core.group() != nullptr);
}

TEST_CASE("rule 8: the proposer's own acceptance is durable before the group exists") {
    founder x(a, founders(2));
    (void)x.hears(b, says(b, 2, {a}));
    (void)x.ticks();
    CHECK(x.hears(b, first_accepted{c7}) == "");
    CHECK(x.core.group() == nullptr);
    x.core.persisted();
    CHECK(x.ticks() == lines("write chosen 7", "to b: chosen"));
}

TEST_CASE("rule 8: retries back off at random, between one and two intervals") {
    for (std::uint64_t const jitter : {0u, 999u}) {
        founding x(member_of(a), founders(0), {}, start);
        duration const interval = jitter == 0 ? 100ms : 199'900us;
        x.tick(start, jitter, c7);
        CHECK(x.take_output().messages.size() == 1);
        x.tick(start + interval - 1us, jitter, c7);
        CHECK(x.take_output().messages.empty());
        x.tick(start + interval, jitter, c7);
        CHECK(x.take_output().messages.size() == 1);
    }
}

TEST_CASE("rule 8: whoever hears of another first configuration makes no offer beside it") {
    founder x(a, founders(2));
    (void)x.hears(b, says(b, 2, {a}));
    (void)x.hears(d, says(d, 2, {a}, c8));
    CHECK(x.ticks() == "");
    CHECK(x.core.bound() == nullptr);
    (void)x.ticks(900ms);
    (void)x.hears(b, says(b, 2, {a}));
    CHECK(x.ticks(500ms) == lines("write accepted 7", "to b: propose durable"));
}

TEST_CASE("rule 8: a node that is bound to a refused cluster neither stops a founding nor takes part in it") {
    durable_state past;
    past.abandoned = {c8};
    founder x(a, founders(2), past);
    CHECK(x.hears(b, says(b, 2, {a}, c8)) == lines("to b: abandoned durable"));
    (void)x.hears(c, says(c, 2, {a}));
    CHECK(x.ticks() == lines("write accepted 7", "to c: propose durable"));
    REQUIRE(x.core.bound() != nullptr);
    CHECK(x.core.bound()->members == group_of({a, c}));
}

TEST_CASE("rule 8: a node that came back to its address under another id counts once") {
    founder x(a, founders(3));
    node_id const reborn{0, 9};
    (void)x.hears(b, says(b, 3, {a}));
    discover again = says(reborn, 3, {a});
    again.self.address = member_of(b).address;
    (void)x.hears(reborn, again);
    CHECK(x.core.explain().find("2 of 3 founders") != std::string::npos);
}

// ---- accepting

TEST_CASE("rule 8: a stranger's offer is ignored: not its first member, not for this node, another size, no cluster") {
    founder x(b, founders(3));
    CHECK(x.hears(c, propose_first{offer7}) == "");
    CHECK(x.hears(a, propose_first{{c7, group_of({a, c, d})}}) == "");
    CHECK(x.hears(a, propose_first{{c7, group_of({a, b})}}) == "");
    CHECK(x.hears(a, propose_first{{c7, group_of({a, b, c, d})}}) == "");
    CHECK(x.hears(a, propose_first{{{}, group_of({a, b, c})}}) == "");
    CHECK(x.core.bound() == nullptr);
    CHECK(x.hears(a, propose_first{offer7}) == lines("write accepted 7", "to a: accepted durable"));
}

TEST_CASE("rule 8: a member accepts one offer, and no other while that may live") {
    founder x(c, founders(3));
    (void)x.hears(a, propose_first{offer7});
    CHECK(x.hears(b, propose_first{{c8, group_of({b, c, d})}}) == "");
    CHECK(x.core.bound()->cluster == c7);
}

TEST_CASE("rule 8: whoever hears of another first configuration accepts none") {
    founder x(c, founders(3));
    (void)x.hears(d, says(d, 3, {c}, c8));
    CHECK(x.hears(a, propose_first{offer7}) == "");
    x.now += 2s;
    CHECK(x.hears(a, propose_first{offer7}) == lines("write accepted 7", "to a: accepted durable"));
}

TEST_CASE("R43, rule 8: a joiner takes a welcome only of an established cluster") {
    founder x(d, founders(3));
    (void)x.hears(a, welcome{c7, group_of({a, b, c}), false});
    CHECK(x.core.joined() == nullptr);
    (void)x.hears(a, welcome{c7, group_of({a, b, c}), true});
    CHECK(x.core.joined() != nullptr);
    CHECK(x.hears(a, propose_first{{c8, group_of({a, b, d})}}) == "");
}

TEST_CASE("rule 8: a member learns that its group exists from any news of it") {
    founder told_so(b, founders(3), recovered(offer7)), welcomed(b, founders(3), recovered(offer7));
    CHECK(told_so.hears(a, first_chosen{{c8, offer7.members}}) == "");
    CHECK(told_so.hears(a, first_chosen{offer7}) == lines("write chosen 7"));
    CHECK(welcomed.hears(c, welcome{c7, offer7.members, false}) == lines("write chosen 7"));
    CHECK(welcomed.core.group()->members == offer7.members);
}

// ---- giving up

TEST_CASE("rule 8: whoever still hopes, or knows the group, does not refuse it") {
    founder hoping(b, founders(3), recovered(offer7)), knowing(b, founders(3), recovered(offer7, true));
    CHECK(hoping.hears(c, abandon_first{c7}) == "");
    knowing.now += 10s;
    CHECK(knowing.hears(c, abandon_first{c7}) == lines("to c: chosen"));
}

TEST_CASE("rule 8: who never accepted an offer refuses it durably, and then for ever") {
    founder x(b, founders(3));
    CHECK(x.hears(c, abandon_first{c7}) == lines("write abandoned 7", "to c: abandoned durable"));
    CHECK(x.hears(c, abandon_first{c7}) == lines("to c: abandoned durable"));
    CHECK(x.hears(a, propose_first{offer7}) == lines("to a: abandoned durable"));
    CHECK(x.core.bound() == nullptr);
    durable_state past;
    past.abandoned = {c7};
    founder again(b, founders(3), past);
    CHECK(again.hears(a, propose_first{offer7}) == lines("to a: abandoned durable"));
    CHECK(again.hears(a, says(a, 3, {b}, c7)) == lines("to a: abandoned durable"));
}

TEST_CASE("rule 8: an offer without hope is given up by a majority, and not by one alone") {
    founder x(b, founders(3), recovered(offer7));
    (void)x.ticks(4900ms);
    CHECK(x.ticks() == lines("to a: abandon", "to c: abandon"));
    CHECK(x.core.bound() != nullptr);
    CHECK(x.hears(d, first_abandoned{c7}) == "");
    CHECK(x.hears(c, first_abandoned{c8}) == "");
    CHECK(x.hears(c, first_abandoned{c7}) == lines("write abandoned 7", "write ended 7"));
    CHECK(x.core.bound() == nullptr);
    CHECK(x.core.has_abandoned(c7));
}

TEST_CASE("rule 8: of four members two that refuse leave no quorum") {
    founder x(b, founders(4), recovered({c7, group_of({a, b, c, d})}));
    (void)x.ticks(6s);
    CHECK(x.hears(c, first_abandoned{c7}) == lines("write abandoned 7", "write ended 7"));
}

TEST_CASE("rule 8: a proposer that was refused, or has refused, does not complete its offer any more") {
    founder refused(a, founders(3), recovered(offer7));
    CHECK(refused.ticks() == lines("to b: propose durable", "to c: propose durable"));
    (void)refused.hears(b, first_accepted{c7});
    CHECK(refused.hears(b, first_abandoned{c7}) == "");
    CHECK(refused.hears(c, first_accepted{c7}) == "");
    durable_state past = recovered(offer7);
    past.abandoned = {c7};
    founder refusing(a, founders(3), past);
    (void)refusing.hears(b, first_accepted{c7});
    CHECK(refusing.hears(c, first_accepted{c7}) == "");
    CHECK(refusing.hears(c, first_chosen{offer7}) == "");
    CHECK(refusing.core.group() == nullptr);
}

TEST_CASE("rule 8: a member of a group that a majority has refused takes a new id, unless the group is established") {
    founder x(a, founders(3), recovered(offer7, true)), lives(a, founders(3), recovered(offer7, true));
    CHECK(x.hears(b, first_abandoned{c7}) == "");
    CHECK(x.hears(c, first_abandoned{c7}) == lines("new identity"));
    lives.core.established();
    (void)lives.hears(b, first_abandoned{c7});
    CHECK(lives.hears(c, first_abandoned{c7}) == "");
}

TEST_CASE("rule 8: whoever refused a cluster that lives, or waits in vain beside another, joins under a fresh id") {
    durable_state past;
    past.abandoned = {c7};
    founder refused(b, founders(3), past), hoping(b, founders(3), recovered(offer7));
    CHECK(refused.hears(a, welcome{c7, offer7.members, true}) == lines("to a: abandoned durable", "new identity"));
    CHECK(hoping.hears(d, welcome{c8, group_of({d}), true}) == "");
    hoping.now += 6s;
    CHECK(hoping.hears(d, welcome{c8, group_of({d}), true}) == lines("new identity"));
}

TEST_CASE("the founding text names the members that are silent") {
    founder x(a, founders(3), recovered(offer7));
    (void)x.hears(b, says(b, 3, {a}, c7));
    CHECK(x.core.explain() == "a first configuration is accepted here, but these of its members are silent: c:1; "
                              "start them, or if they are gone for good, wipe and restart this node");
    (void)x.ticks(2s);
    CHECK(x.core.explain().find("silent: b:1 c:1;") != std::string::npos);
}

// ---- networks

TEST_CASE("rule 8: three empty nodes that see one another found one group of three, on disk before in memory") {
    founding_network net(3, founders(3));
    REQUIRE(net.run_until(3s, [&] { return net.united(); }));
    for (founding_node const& n : net.nodes) {
        CHECK(n.disk.group_chosen);
        CHECK(n.disk.group.members == group_of({a, b, c}));
        CHECK(n.identities == 1);
    }
}

TEST_CASE("R39, rule 8: two of three never found, nor do three of which two cannot reach each other") {
    founding_network two(2, founders(3)), cut(3, founders(3));
    cut.lose = [](std::size_t from, std::size_t to, founding_message const&) { return from + to == 3; };
    two.run(60s);
    cut.run(60s);
    for (founding_network const* net : {&two, &cut})
        for (founding_node const& n : net->nodes) CHECK(n.core->bound() == nullptr);
    cut.heal();
    CHECK(cut.run_until(5s, [&] { return cut.united(); }));
}

TEST_CASE("rule 8: of more than n empty nodes the n smallest found, and the others join the established group") {
    founding_network net(5, founders(3));
    REQUIRE(net.run_until(5s, [&] { return net.united(); }));
    for (std::size_t i = 0; i < 5; ++i) CHECK(net.is_member(i) == (i < 3));
    CHECK(net.nodes[4].core->joined() != nullptr);
}

TEST_CASE("rule 8: a latecomer joins, and one that was told to found alone does so too while it has seeds") {
    founding_network net(5, founders(3));
    net.nodes[4].options.founders = 1;
    net.nodes[4].options.has_seeds = true;
    net.crash(3);
    net.crash(4);
    REQUIRE(net.run_until(3s, [&] { return net.united(); }));
    net.start(3);
    net.start(4);
    net.run(5s);
    CHECK(net.united());
    CHECK(net.nodes[3].core->joined() != nullptr);
    CHECK(net.nodes[4].core->joined() != nullptr);
}

TEST_CASE("rule 8: an acceptance that did not reach the disk was never told") {
    founding_network net(3, founders(3));
    net.nodes[2].slow_disk = true;
    net.run(3s);
    REQUIRE(net.nodes[2].core->bound() != nullptr);
    CHECK_FALSE(net.is_member(0));
    net.crash(2);
    net.nodes[2].slow_disk = false;
    net.start(2);
    CHECK(net.nodes[2].core->bound() == nullptr);
    CHECK(net.run_until(5s, [&] { return net.united(); }));
    CHECK(net.existing.size() == 1);
}

TEST_CASE("rule 8: founders that all restart after accepting complete the same offer") {
    founding_network net(3, founders(3));
    net.lose = is_acceptance;
    net.run(2s);
    cluster_id const offered = net.nodes[0].disk.group.cluster;
    REQUIRE_FALSE(offered.empty());
    for (std::size_t i = 0; i < 3; ++i) {
        net.crash(i);
        net.start(i);
    }
    net.heal();
    REQUIRE(net.run_until(5s, [&] { return net.united(); }));
    CHECK(net.existing.contains(offered));
}

TEST_CASE("rule 8: a founder that vanished is replaced by another empty node, and finds the group when it comes back") {
    for (std::size_t const gone : {std::size_t{0}, std::size_t{2}}) {
        founding_network net(4, founders(3));
        net.crash(3);
        // The acceptances are lost until one of the founders dies.
        net.lose = is_acceptance;
        net.run(2s);
        net.crash(gone);
        net.heal();
        net.start(3);
        REQUIRE(net.run_until(30s, [&] { return net.united(); }));
        CHECK(net.is_member(3));
        net.start(gone);
        CHECK(net.run_until(30s, [&] { return net.united(); }));
        CHECK(net.nodes[gone].core->joined() != nullptr);
    }
}

TEST_CASE("rule 8: a founder that is wiped in the middle comes back as another empty node, and a group is founded") {
    founding_network net(3, founders(3));
    net.lose = is_acceptance;
    net.run(2s);
    net.wipe(1);
    net.heal();
    CHECK(net.run_until(60s, [&] { return net.united(); }));
    CHECK(net.is_member(1));
}

TEST_CASE("rule 8: when the others refused a group that one already believed in, that one begins again as a new node") {
    founding_network net(3, founders(3));
    net.lose = is_news;
    REQUIRE(net.run_until(3s, [&] { return net.is_member(0); }));
    net.isolate({0});
    net.run(10s);
    CHECK(net.is_member(0));
    CHECK(net.existing.empty());
    CHECK(net.nodes[1].core->bound() == nullptr);
    CHECK(net.nodes[2].core->bound() == nullptr);
    net.heal();
    CHECK(net.run_until(30s, [&] { return net.united(); }));
    CHECK(net.nodes[0].identities == 2);
}

TEST_CASE("rule 8: a member that refused while the others went on joins them under a fresh id") {
    founding_network net(3, founders(3));
    net.lose = is_news;
    REQUIRE(net.run_until(3s, [&] { return net.is_member(0); }));
    cluster_id const founded = net.nodes[0].core->group()->cluster;
    // The second asks the third to give up; the answer and the third's own request are lost.
    net.lose = [](std::size_t from, std::size_t to, founding_message const& m) {
        bool const request_of_third = from == 2 && std::holds_alternative<abandon_first>(m);
        return from == 0 || to == 0 || request_of_third || std::holds_alternative<first_abandoned>(m);
    };
    REQUIRE(net.run_until(20s, [&] { return net.nodes[2].core->has_abandoned(founded); }));
    CHECK(net.nodes[2].core->bound() != nullptr);
    net.isolate({2});
    REQUIRE(net.run_until(5s, [&] { return net.existing.contains(founded); }));
    net.heal();
    CHECK(net.run_until(10s, [&] { return net.united(); }));
    CHECK(net.nodes[0].identities == 1);
    CHECK(net.nodes[1].identities == 1);
    CHECK(net.nodes[2].identities == 2);
}

TEST_CASE("rule 8: lossy links, restarts and slow disks end in one group, and never in two") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        INFO("seed " << seed);
        founding_network net(4, founders(3));
        std::uint64_t dice = seed << 32;
        auto const chance = [&](std::uint64_t percent) { return mix64(++dice) % 100 < percent; };
        net.lose = [&](std::size_t, std::size_t, founding_message const& m) {
            return chance(std::holds_alternative<discover>(m) ? 30 : 60);
        };
        for (int round = 0; round < 200; ++round) {
            net.run(100ms);
            auto const i = static_cast<std::size_t>(mix64(++dice) % 4);
            net.nodes[i].slow_disk = chance(30);
            if (net.nodes[i].core && chance(15))
                net.crash(i);
            else if (!net.nodes[i].core)
                net.start(i);
            CHECK(net.existing.size() <= 1);
        }
        net.heal();
        for (std::size_t i = 0; i < 4; ++i) {
            net.nodes[i].slow_disk = false;
            if (!net.nodes[i].core) net.start(i);
        }
        CHECK(net.run_until(60s, [&] { return net.united(); }));
    }
}

} // namespace paxos_script::founding_test
