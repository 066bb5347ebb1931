#include <openreplica/paxos/replica.hpp>

#include "random_cluster.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

// More seeds, or one of them again: OPENREPLICA_CLUSTER_SEEDS=first:count
TEST_CASE("a group of replicas under random faults never contradicts itself, and recovers when the faults end") {
    std::uint64_t first = 1, count = 16;
    if (char const* range = std::getenv("OPENREPLICA_CLUSTER_SEEDS")) {
        std::string const text(range);
        first = std::stoull(text);
        if (auto const colon = text.find(':'); colon != std::string::npos) count = std::stoull(text.substr(colon + 1));
        else count = 1;
    }
    random_cluster::coverage total;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        auto const broken = random_cluster::run(seed, total);
        INFO("replay with OPENREPLICA_CLUSTER_SEEDS=" << seed);
        CHECK_MESSAGE(!broken, broken.value_or(""));
    }
    MESSAGE(count << " seeds: " << total.steps << " steps, " << total.chosen << " slots chosen, " << total.reads
                  << " reads, " << total.leaders << " leaders, " << total.crashes << " crashes, " << total.installs
                  << " snapshots installed, " << total.big_promises << " promises in chunks");
    if (count < 16) return;
    CHECK(total.chosen > 100 * count);
    CHECK(total.reads > 100 * count);
    CHECK(total.crashes > count);
    CHECK(total.installs > 0);
}
