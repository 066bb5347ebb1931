// Real processes with a network each: partitions of every shape, pauses, and replacement under load. Whatever is cut, a
// majority whose members reach one another goes on; after it is healed everybody holds the same, every acknowledged call
// is there exactly once, and none that was said to have had no effect had one.
//
// Needs a network of the test's own (root, or user namespaces) and `ip`; says so and passes where there is none.
#define DOCTEST_CONFIG_IMPLEMENT
#include "private_networks.hpp"
#include "process_group.hpp"

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace processes;

namespace {

constexpr std::size_t size = 5;
networks::network network;
std::string no_network; ///< why there is none

/// How long a majority may need to go on: an election, and calls that went to the old leader.
constexpr auto resumes_within = 4s;
/// How long a healed network may need until connections that were cut carry messages again.
constexpr auto heals_within = 4s;

[[nodiscard]] bool is_skipped() {
    if (no_network.empty()) return false;
    std::cout << "skipped: partitions, because " << no_network << std::endl;
    MESSAGE("skipped: " << no_network);
    return true;
}

/// Where the members listen, on a network that is whole.
std::vector<std::string> addresses() {
    REQUIRE(network.heal());
    std::vector<std::string> all;
    for (std::size_t i = 0; i < size; ++i) all.push_back(networks::network::address(i) + ":7000");
    return all;
}

/// A group on a whole network, with a leader, and calls from everywhere.
class networked_group {
public:
    processes::group members;
    std::size_t leader;

    explicit networked_group(settings s) : members(addresses(), s, &network) {
        REQUIRE(members.goes_on(members.running(), 0, 20s));
        leader = members.leader();
    }
    /// The member that is n after the leader.
    [[nodiscard]] std::size_t after(std::size_t n) const { return (leader + n) % size; }
    [[nodiscard]] std::vector<std::size_t> all() const { return members.running(); }
};

std::string text(std::optional<double> ms) { return ms ? std::to_string(static_cast<int>(*ms)) + " ms" : "never"; }

/// Cuts, demands that these members go on, keeps it cut for a while, heals, and checks everything.
void survive(std::string const& name, networked_group& g, networks::lost_ways const& lost,
             std::vector<std::size_t> const& going_on, std::optional<std::size_t> leads = {}) {
    REQUIRE(network.lose(lost));
    auto const cut_us = now_us();
    auto const resumed = g.members.goes_on(going_on, cut_us, resumes_within);
    CHECK_MESSAGE(resumed, name << ": not all that should go on did");
    g.members.listen_until(cut_us + 3'000'000); // Calls with a short deadline have their outcomes, and TCP has slowed down.
    auto const steady = g.members.goes_on(going_on, now_us(), resumes_within);
    CHECK_MESSAGE(steady, name << ": it went on and stopped again");
    if (leads) CHECK(g.members.latest(*leads, "role") == "leader");
    auto const healed_us = now_us();
    REQUIRE(network.heal());
    auto const healed = g.members.goes_on(g.all(), healed_us, heals_within);
    CHECK_MESSAGE(healed, name << ": not all went on after it was healed");
    g.members.settle();
    g.members.check_honest(name + ": goes on after " + text(resumed) + ", all after healing " + text(healed));
}

} // namespace

TEST_CASE("the leader is isolated: the others go on") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    auto const others = g.members.running_but({g.leader});
    survive("isolated leader", g, networks::between({g.leader}, others), others);
}

TEST_CASE("two halves, the leader in the smaller one: the larger one goes on") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    std::vector<std::size_t> const larger = g.members.running_but({g.leader, g.after(1)});
    survive("halves", g, networks::between({g.leader, g.after(1)}, larger), larger);
}

TEST_CASE("a ring: everybody reaches two others, and everybody goes on") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    std::vector<std::pair<std::size_t, std::size_t>> neighbours;
    for (std::size_t i = 0; i < size; ++i) neighbours.emplace_back(i, (i + 1) % size);
    survive("ring", g, networks::all_but(size, neighbours), g.all());
}

TEST_CASE("a bridge: two sides that only one member reaches, and everybody goes on") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    survive("bridge", g, networks::between({g.leader, g.after(1)}, {g.after(3), g.after(4)}), g.all());
}

TEST_CASE("a star: only its centre reaches a majority, so that it leads, and everybody goes on") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    std::size_t const centre = g.after(2);
    std::vector<std::pair<std::size_t, std::size_t>> rays;
    for (std::size_t i = 0; i < size; ++i)
        if (i != centre) rays.emplace_back(centre, i);
    survive("star", g, networks::all_but(size, rays), g.all(), centre);
}

TEST_CASE("one way: nobody hears the leader, which hears everybody") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    networks::lost_ways lost;
    for (std::size_t n = 1; n < size; ++n) lost.insert({g.leader, g.after(n)});
    survive("mute leader", g, lost, g.members.running_but({g.leader}));
}

TEST_CASE("one way: the leader hears nobody, and everybody hears it") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    networks::lost_ways lost;
    for (std::size_t n = 1; n < size; ++n) lost.insert({g.after(n), g.leader});
    survive("deaf leader", g, lost, g.members.running_but({g.leader}));
}

TEST_CASE("one way: one member does not hear the leader, and goes on through the others") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    survive("one that does not hear the leader", g, {{g.leader, g.after(1)}}, g.all());
}

TEST_CASE("after a long cut everybody is soon back, and no connection is left over") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    std::vector<std::size_t> before;
    for (std::size_t i : g.all()) before.push_back(g.members.descriptors(i));
    auto const others = g.members.running_but({g.leader});
    for (int cut = 0; cut < 2; ++cut) {
        REQUIRE(network.lose(networks::between({g.leader}, others)));
        g.members.listen_until(now_us() + 3'500'000); // Past the time after which an end that says nothing counts as gone.
        REQUIRE(network.heal());
        CHECK(g.members.goes_on(g.all(), now_us(), heals_within));
    }
    REQUIRE(network.lose(networks::between({g.leader}, others)));
    g.members.listen_until(now_us() + 7'000'000); // TCP alone would try again six seconds after it is healed.
    auto const healed_us = now_us();
    REQUIRE(network.heal());
    auto const healed = g.members.goes_on(g.all(), healed_us, heals_within);
    CHECK_MESSAGE(healed, "not all went on after it was healed");
    CHECK(g.members.wait([&] {
        for (std::size_t i : g.all())
            if (g.members.descriptors(i) > before[i]) return false;
        return true;
    }, 20s));
    g.members.settle();
    g.members.check_honest("long cuts: all after healing " + text(healed));
}

TEST_CASE("the leader pauses for ten seconds, and then another member: the others go on, and it comes back") {
    if (is_skipped()) return;
    networked_group g({.founders = size});
    std::string report = "pauses of 10 s";
    for (std::size_t victim : {g.leader, g.after(1)}) {
        auto const others = g.members.running_but({victim});
        auto const stopped_us = now_us();
        g.members.signal(victim, SIGSTOP);
        auto const resumed = g.members.goes_on(others, stopped_us, resumes_within);
        CHECK_MESSAGE(resumed, "the others did not go on");
        g.members.listen_until(stopped_us + 10'000'000);
        auto const back_us = now_us();
        g.members.signal(victim, SIGCONT);
        auto const healed = g.members.goes_on(g.all(), back_us, heals_within);
        CHECK_MESSAGE(healed, "not all went on after the pause");
        report += "; others after " + text(resumed) + ", all again after " + text(healed);
    }
    g.members.settle();
    g.members.check_honest(report);
}

TEST_CASE("a voter that is cut off is replaced under load, and comes back as a standby under a fresh id") {
    if (is_skipped()) return;
    networked_group g({.founders = 3, .voters = 3, .replace_after_ms = 1000});
    std::size_t const victim = (g.leader + 1) % 3;
    auto const others = g.members.running_but({victim});
    std::string const old_id = g.members.latest(victim, "id");
    auto const cut_us = now_us();
    REQUIRE(network.lose(networks::between({victim}, others)));
    CHECK(g.members.wait([&] {
        return std::all_of(others.begin(), others.end(), [&](std::size_t i) {
            return g.members.latest(i, "voters").find(g.members.address(victim)) == std::string::npos;
        });
    }, 5s));
    auto const replaced_ms = (now_us() - cut_us) / 1000;
    CHECK(g.members.goes_on(others, now_us(), resumes_within));
    double gap = 0;
    for (std::size_t i : others) gap = std::max(gap, g.members.longest_gap_ms(i, cut_us));
    auto const healed_us = now_us();
    REQUIRE(network.heal());
    CHECK(g.members.wait([&] {
        return g.members.latest(victim, "id") != old_id && g.members.latest(victim, "role") == "standby";
    }, heals_within));
    auto const healed = g.members.goes_on(g.all(), healed_us, heals_within);
    CHECK_MESSAGE(healed, "not all went on after it was healed");
    CHECK(g.members.latest(others.front(), "voters").find(g.members.address(victim)) == std::string::npos);
    g.members.settle();
    g.members.check_honest("replacement: after " + std::to_string(replaced_ms) + " ms, longest gap of the others " + text(gap) +
                           ", all after healing " + text(healed));
}

TEST_CASE("all members are made voters while one of them is cut off, and it votes when it is back") {
    if (is_skipped()) return;
    networked_group g({.founders = 3});
    std::size_t const victim = (g.leader + 1) % 3, asker = (g.leader + 2) % 3;
    auto const others = g.members.running_but({victim});
    REQUIRE(network.lose(networks::between({victim}, others)));
    auto const cut_us = now_us();
    std::string wish = "voters";
    for (std::size_t i = 0; i < size; ++i) wish += " " + g.members.address(i);
    g.members.order(asker, wish);
    REQUIRE(g.members.wait([&] { return g.members.has_said(asker, "changed"); }, 12s));
    CHECK(g.members.latest(asker, "changed") == "");
    CHECK(g.members.goes_on(others, cut_us, resumes_within));
    auto const healed_us = now_us();
    REQUIRE(network.heal());
    auto const healed = g.members.goes_on(g.all(), healed_us, heals_within);
    CHECK_MESSAGE(healed, "not all went on after it was healed");
    CHECK(g.members.wait([&] {
        return g.members.latest(victim, "voters") == g.members.latest(asker, "voters");
    }, heals_within));
    CHECK(g.members.latest(victim, "role") != "standby");
    g.members.settle();
    g.members.check_honest("all made voters with one cut off: all after healing " + text(healed));
}

int main(int argc, char** argv) {
    if (!is_member(argc, argv)) no_network = network.build(size);
    return process_main(argc, argv);
}
