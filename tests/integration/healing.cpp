// Real processes come and go while others call: the group keeps its size, and nothing of those who left stays behind.
#define DOCTEST_CONFIG_IMPLEMENT
#include "process_group.hpp"

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

using namespace processes;

namespace {

std::size_t count_words(std::string const& text) {
    std::istringstream words(text);
    return static_cast<std::size_t>(std::distance(std::istream_iterator<std::string>(words), {}));
}

/// Every running member says that these vote: n of them, and not the one at `without`.
bool agree(group const& g, std::size_t n, std::string const& without) {
    auto const all = g.running();
    return std::all_of(all.begin(), all.end(), [&](std::size_t i) {
        std::string const voters = g.latest(i, "voters");
        return count_words(voters) == n && voters.find(without) == std::string::npos;
    });
}

/// A new address for everybody who comes: an address that comes back would hide what is kept of it.
std::string fresh_address() { return node_group::free_addresses(1).front(); }

} // namespace

TEST_CASE("five voters lose three one after another while there are standbys, and are five again") {
    group g(node_group::free_addresses(8), {.founders = 5, .voters = 5, .replace_after_ms = 600});
    REQUIRE(g.goes_on(g.running(), 0, 20s));
    std::string report = "five voters lost three:";
    for (int loss = 0; loss < 3; ++loss) {
        // The leader first, then whoever leads after it, then a voter that does not.
        std::size_t victim = g.leader();
        if (loss == 2)
            for (std::size_t i : g.running())
                if (g.latest(i, "role") == "voter") victim = i;
        auto const killed_us = now_us();
        g.end(victim);
        auto const others = g.running();
        CHECK(g.wait([&] { return agree(g, 5, g.address(victim)); }, 10s));
        report += " replaced after " + std::to_string((now_us() - killed_us) / 1000) + " ms";
        CHECK(g.goes_on(others, now_us(), 5s));
        double gap = 0;
        for (std::size_t i : others) gap = std::max(gap, g.longest_gap_ms(i, killed_us));
        report += " (longest gap " + std::to_string(static_cast<int>(gap)) + " ms)";
    }
    auto const left = g.running();
    CHECK(std::count_if(left.begin(), left.end(), [&](std::size_t i) { return g.latest(i, "role") != "standby"; }) == 5);
    g.settle();
    g.check_honest(report);
}

TEST_CASE("standbys come and go, some of them killed: the leader stays, and keeps nothing of them") {
    group g(node_group::free_addresses(5), {.founders = 3});
    REQUIRE(g.goes_on(g.running(), 0, 20s));
    std::size_t const leader = g.leader();
    std::size_t const before = g.descriptors(leader);
    auto const began_us = now_us();
    constexpr int rounds = 12;
    for (int round = 0; round < rounds; ++round) {
        g.leave(3);
        g.end(4);
        for (std::size_t i : {3u, 4u}) {
            g.move(i, fresh_address());
            g.start(i);
        }
        REQUIRE(g.goes_on({3, 4}, 0, 20s));
    }
    CHECK(g.latest(leader, "role") == "leader");
    CHECK(g.leader() == leader);
    CHECK(count_words(g.latest(leader, "voters")) == 3);
    CHECK(g.wait([&] { return g.descriptors(leader) <= before; }, 20s));
    double gap = 0;
    for (std::size_t i : {0u, 1u, 2u}) gap = std::max(gap, g.longest_gap_ms(i, began_us));
    g.settle();
    g.check_honest(std::to_string(2 * rounds) + " standbys came and went, longest gap of the voters " +
                   std::to_string(static_cast<int>(gap)) + " ms");
}

int main(int argc, char** argv) { return process_main(argc, argv); }
