#include <openreplica/dns/lookup_error.hpp>

#include <doctest/doctest.h>

#include <set>

namespace dns = openreplica::dns;

TEST_CASE("every failure has a name and a sentence of its own") {
    std::set<std::string_view> names;
    std::set<std::string_view> sentences;
    int count = 0;
    for (auto e = dns::lookup_error::nxdomain; e <= dns::lookup_error::cancelled;
         e = static_cast<dns::lookup_error>(++count)) {
        names.insert(to_string(e));
        sentences.insert(describe(e));
    }
    CHECK(count == 10);
    CHECK(names.size() == 10);
    CHECK(sentences.size() == 10);
    CHECK(!sentences.contains("unknown failure"));
    CHECK(to_string(dns::lookup_error::no_address) == "no_address");
}

TEST_CASE("an explanation names what failed, why, and the detail when there is one") {
    CHECK(dns::explain("bank.test", dns::lookup_error::cancelled) == "bank.test: the lookup was cancelled");
    CHECK(dns::explain("bank.test", dns::lookup_error::cancelled, "x") == "bank.test: the lookup was cancelled (x)");
}
