#include <openreplica/dns/entropy.hpp>

#include <doctest/doctest.h>

#include <set>

namespace dns = openreplica::dns;

TEST_CASE("the system's entropy does not repeat itself") {
    auto const entropy = dns::system_entropy();
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(entropy());
    CHECK(seen.size() == 1000);
}

TEST_CASE("single bits come from the lowest upwards, and the source is asked once for 64 of them") {
    int asked = 0;
    auto source = [&]() -> std::uint64_t { return ++asked == 1 ? 0b1011 : ~std::uint64_t{0}; };
    dns::random_bits bits(source);
    CHECK(bits());
    CHECK(bits());
    CHECK(!bits());
    CHECK(bits());
    for (int i = 4; i < 64; ++i) CHECK(!bits());
    CHECK(asked == 1);
    CHECK(bits());
    CHECK(asked == 2);
}
