#include <openreplica/types/placement.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace placement_test {

using namespace openreplica;
using names = std::vector<std::string>;
using hosts = std::vector<names>;
using indices = std::vector<std::size_t>;

// ---- the rule as it is written, for comparison

/// The dumb twin: sets of names, a fresh look at every host for every choice.
indices plain_place(hosts const& all, std::size_t n, indices const& chosen) {
    indices taken = chosen, out;
    auto const is_taken = [&](std::size_t h) { return std::find(taken.begin(), taken.end(), h) != taken.end(); };
    while (out.size() < n) {
        using rank = std::tuple<bool, std::size_t, long>;
        std::size_t best = all.size();
        rank best_rank;
        for (std::size_t h = 0; h < all.size(); ++h) {
            if (is_taken(h)) continue;
            std::size_t differences = 0;
            long overlap = 0;
            for (std::string const& g : std::set<std::string>(all[h].begin(), all[h].end())) {
                std::set<std::size_t> sharing;
                for (std::size_t t : taken)
                    if (std::count(all[t].begin(), all[t].end(), g) > 0) sharing.insert(t);
                differences += sharing.empty();
                overlap += static_cast<long>(sharing.size());
            }
            rank const r{differences > 0 && overlap == 0, differences, -overlap};
            if (best < all.size() && r <= best_rank) continue;
            best = h;
            best_rank = r;
        }
        if (best == all.size()) break;
        taken.push_back(best);
        out.push_back(best);
    }
    return out;
}

failure_overlap plain_overlap(hosts const& all, indices const& chosen) {
    failure_overlap out;
    std::set<std::string> groups;
    double sum = 0;
    for (std::size_t h : chosen) {
        out.unknown += all[h].empty();
        groups.insert(all[h].begin(), all[h].end());
    }
    for (std::size_t h : chosen)
        for (std::string const& g : all[h]) {
            std::size_t failing = 0;
            for (std::size_t other : chosen) failing += std::count(all[other].begin(), all[other].end(), g) > 0;
            if (failing > out.worst) out.worst = failing, out.worst_group = g;
        }
    for (std::string const& g : groups)
        for (std::size_t h : chosen) sum += std::count(all[h].begin(), all[h].end(), g) > 0;
    if (!groups.empty()) out.expected = sum / static_cast<double>(groups.size());
    return out;
}

/// Hosts with any number of groups, of few or many names, some named twice.
hosts draw_hosts(std::mt19937& random) {
    auto const below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    hosts all(1 + below(14));
    std::size_t const kinds = 1 + below(4), size = 1 + below(6);
    for (names& h : all)
        for (std::size_t k = 0; k < kinds; ++k)
            if (below(6) > 0) h.push_back(std::string(1, static_cast<char>('a' + k)) + ":" + std::to_string(below(size)));
    for (names& h : all) {
        if (!h.empty() && below(8) == 0) h.push_back(h.front());
        std::shuffle(h.begin(), h.end(), random);
    }
    return all;
}

TEST_CASE("the clever placement chooses what the rule says, for thousands of data centres") {
    std::mt19937 random(20120605);
    for (int round = 0; round < 5000; ++round) {
        hosts const all = draw_hosts(random);
        indices order(all.size());
        std::iota(order.begin(), order.end(), 0u);
        std::shuffle(order.begin(), order.end(), random);
        indices const chosen(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(random() % 4 % (all.size() + 1)));
        std::size_t const n = random() % (all.size() + 2);
        auto const got = place(all, n, {}, chosen);
        REQUIRE(got == plain_place(all, n, chosen));
        REQUIRE(got.size() == std::min(n, all.size() - chosen.size()));
    }
}

TEST_CASE("the measured overlap is what counting gives") {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        hosts const all = draw_hosts(random);
        auto const chosen = place(all, 1 + random() % 6);
        auto const got = measure_overlap(all, chosen), plain = plain_overlap(all, chosen);
        REQUIRE(got.expected == doctest::Approx(plain.expected));
        REQUIRE(std::tie(got.worst, got.worst_group, got.unknown) == std::tie(plain.worst, plain.worst_group, plain.unknown));
    }
}

TEST_CASE("a choice goes on where a shorter one ended") {
    std::mt19937 random(11);
    for (int round = 0; round < 500; ++round) {
        hosts const all = draw_hosts(random);
        auto const whole = place(all, all.size());
        for (std::size_t m = 0; m <= whole.size(); ++m) {
            indices const begin(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(m));
            indices const rest(whole.begin() + static_cast<std::ptrdiff_t>(m), whole.end());
            REQUIRE(place(all, m) == begin);
            REQUIRE(place(all, all.size(), {}, begin) == rest);
        }
    }
}

TEST_CASE("neither the spelling of groups nor their order in a host matters") {
    std::mt19937 random(13);
    for (int round = 0; round < 500; ++round) {
        hosts const all = draw_hosts(random);
        hosts renamed = all;
        for (names& h : renamed) {
            for (std::string& g : h) g = "the " + g;
            std::shuffle(h.begin(), h.end(), random);
        }
        REQUIRE(place(all, 5) == place(renamed, 5));
    }
}

// ---- what a user wants

TEST_CASE("the host with the most differences from the union of the others is chosen") {
    hosts const all{{"rack:1", "pdu:1"}, {"rack:1", "pdu:2"}, {"rack:2", "pdu:1"}, {"rack:3", "pdu:3"}};
    CHECK(place(all, 2) == indices{0, 3});
    CHECK(place(all, 3) == indices{0, 3, 1});
    CHECK(place(all, 1, {}, indices{0, 3}) == indices{1});
}

TEST_CASE("a host that shares nothing goes before one with more differences that shares something") {
    hosts const all{{"rack:1", "pdu:1"}, {"rack:1", "pdu:2", "cooling:2", "feed:2"}, {"rack:3"}};
    CHECK(place(all, 1, {}, indices{0}) == indices{2});
}

TEST_CASE("a host without groups is unknown: behind every difference, before those that bring none") {
    hosts const all{{"rack:1", "pdu:1"}, {}, {"rack:1", "pdu:1"}, {"rack:1", "pdu:2"}};
    CHECK(place(all, 4) == indices{0, 3, 1, 2});
}

TEST_CASE("when every group is taken, replicas spread evenly: a single PDU keeps a minority") {
    hosts all;
    for (int h = 0; h < 12; ++h) all.push_back({h < 8 ? "pdu:1" : "pdu:2"});
    auto const chosen = place(all, 5);
    auto const overlap = measure_overlap(all, chosen);
    CHECK(overlap.worst == 3);
    CHECK(measure_overlap(all, place(all, 6)).worst == 3);
}

TEST_CASE("equals are chosen in their order, all that there are") {
    hosts const same(4, names{"rack:1"});
    CHECK(place(same, 3) == indices{0, 1, 2});
    CHECK(place(same, 9) == indices{0, 1, 2, 3});
    CHECK(place(hosts(3), 2) == indices{0, 1});
    CHECK(place(hosts{}, 2).empty());
    CHECK(place(same, 0).empty());
}

TEST_CASE("hosts may be anything that names its groups") {
    struct server {
        std::string name;
        names failure_groups;
    };
    std::vector<server> const all{{"a", {"rack:1"}}, {"b", {"rack:1"}}, {"c", {"rack:2"}}};
    CHECK(place(all, 2, &server::failure_groups) == indices{0, 2});
    CHECK(place(all, 2, [](server const& s) { return names{"first letter " + s.name}; }) == indices{0, 1});
    indices const two{0, 1};
    CHECK(measure_overlap(all, two, &server::failure_groups) == failure_overlap{2, 2, "rack:1", 0});
}

TEST_CASE("an index that names no host is refused") {
    hosts const all{{"rack:1"}};
    CHECK_THROWS_AS((void)place(all, 1, {}, indices{1}), std::out_of_range);
    CHECK_THROWS_AS((void)measure_overlap(all, indices{1}), std::out_of_range);
    CHECK(place(all, 1, {}, indices{0, 0}).empty());
}

TEST_CASE("an overlap tells whether a majority is left") {
    CHECK(failure_overlap{1, 1, "rack:1", 0}.keeps_majority(3));
    CHECK_FALSE(failure_overlap{1, 2, "rack:1", 0}.keeps_majority(3));
    CHECK_FALSE(failure_overlap{1, 2, "rack:1", 0}.keeps_majority(4));
    CHECK(failure_overlap{1, 2, "rack:1", 0}.keeps_majority(5));
    CHECK(measure_overlap(hosts{{}, {}}, indices{0, 1}) == failure_overlap{0, 0, "", 2});
}

// ---- the original's data centre

/// Twelve hosts, two in each of six racks. Each of three PDUs feeds two neighbouring racks, and each of three cooling
/// units cools two racks that stand apart:
///
///              pdu:1               pdu:2               pdu:3
///         rack:1    rack:2    rack:3    rack:4    rack:5    rack:6
///          0  1      2  3      4  5      6  7      8  9     10 11
///        cooling:1 cooling:2 cooling:3 cooling:1 cooling:2 cooling:3
hosts data_centre() {
    hosts all;
    for (std::size_t h = 0; h < 12; ++h)
        all.push_back({"rack:" + std::to_string(1 + h / 2), "pdu:" + std::to_string(1 + h / 4),
                       "cooling:" + std::to_string(1 + h / 2 % 3)});
    return all;
}

struct random_placement {
    double expected = 0;       ///< mean over the draws
    double loses_majority = 0; ///< share of the draws
};

random_placement draw_placements(hosts const& all, std::size_t n, std::uint32_t seeds) {
    random_placement out;
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
        std::mt19937 random(seed);
        indices order(all.size());
        std::iota(order.begin(), order.end(), 0u);
        std::shuffle(order.begin(), order.end(), random);
        order.resize(n);
        auto const overlap = measure_overlap(all, order);
        out.expected += overlap.expected / seeds;
        out.loses_majority += (overlap.keeps_majority(n) ? 0.0 : 1.0) / seeds;
    }
    return out;
}

/// The best of all placements, by trying each.
double best_expected(hosts const& all, std::size_t n) {
    double best = static_cast<double>(n);
    for (unsigned mask = 0; mask < 1u << all.size(); ++mask) {
        indices chosen;
        for (std::size_t h = 0; h < all.size(); ++h)
            if ((mask >> h & 1) != 0) chosen.push_back(h);
        if (chosen.size() == n) best = std::min(best, measure_overlap(all, chosen).expected);
    }
    return best;
}

TEST_CASE("in the data centre of the original, fewer replicas fail together than with random placement") {
    hosts const all = data_centre();
    std::printf("expected number of replicas that fail together, 12 hosts, 6 racks, 3 PDUs, 3 cooling units\n"
                "replicas   greedy   best   random   majority lost by one failure: greedy   random\n");
    for (std::size_t n : {2u, 3u, 4u, 5u, 7u}) {
        auto const greedy = measure_overlap(all, place(all, n));
        auto const random = draw_placements(all, n, 2000);
        double const best = best_expected(all, n);
        std::printf("%8zu   %6.3f   %4.2f   %6.3f   %36s   %5.1f%%\n", n, greedy.expected, best, random.expected,
                    greedy.keeps_majority(n) ? "no" : "yes", 100 * random.loses_majority);
        CHECK(greedy.expected == doctest::Approx(best)); // Nothing is lost by being greedy here.
        CHECK(greedy.expected < random.expected);
        if (n % 2 == 1) CHECK(greedy.keeps_majority(n));
    }
    CHECK(place(all, 3) == indices{0, 4, 8});
}

TEST_CASE("80,000 hosts are placed at once") {
    hosts all;
    for (std::size_t h = 0; h < 80'000; ++h)
        all.push_back({"rack:" + std::to_string(h / 40), "pdu:" + std::to_string(h / 320), "cooling:" + std::to_string(h / 2000)});
    auto const begun = std::chrono::steady_clock::now();
    auto const chosen = place(all, 5);
    std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - begun;
    std::printf("5 of 80,000 hosts: %.1f ms\n", took.count());
    CHECK(measure_overlap(all, chosen) == failure_overlap{1, 1, "rack:0", 0});
}

} // namespace placement_test
