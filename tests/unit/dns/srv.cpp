#include <openreplica/dns/srv.hpp>

#include "sample_messages.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>

using namespace dns_test;

namespace {

dns::srv_data host(char letter, std::uint16_t priority, std::uint16_t weight) {
    return {priority, weight, 7000, name_of(std::string(1, letter))};
}

std::string letters(std::vector<dns::srv_data> const& v) {
    std::string s;
    for (auto const& r : v) s += r.target.first_label();
    return s;
}

/// RFC 2782 once more, word by word and with another shape: the dumb twin of `order_targets` for one priority.
std::string by_the_letter(std::vector<dns::srv_data> left, std::mt19937_64& random) {
    std::string out;
    while (!left.empty()) {
        std::shuffle(left.begin(), left.end(), random);
        std::vector<dns::srv_data> arranged;
        for (auto const& r : left)
            if (r.weight == 0) arranged.push_back(r);
        for (auto const& r : left)
            if (r.weight != 0) arranged.push_back(r);
        unsigned sum = 0;
        for (auto const& r : arranged) sum += r.weight;
        unsigned const number = std::uniform_int_distribution<unsigned>(0, sum)(random);
        std::size_t chosen = 0;
        for (unsigned running = arranged[0].weight; running < number; running += arranged[chosen].weight) ++chosen;
        out += arranged[chosen].target.first_label();
        std::erase_if(left, [&](auto const& r) { return r.target == arranged[chosen].target; });
    }
    return out;
}

dns::record srv_record(std::uint16_t port, std::string_view target) {
    return dns::make_record(name_of("_openreplica._tcp.bank.example.org"), 30,
                            dns::srv_data{0, 0, port, name_of(target)});
}

dns::target_selection select(std::vector<dns::record> const& records, bool same_domain = true) {
    return dns::usable_targets(records, name_of("_openreplica._tcp.bank.example.org"), same_domain);
}

} // namespace

TEST_CASE("a seed becomes the name to ask for") {
    CHECK(dns::srv_query_name("srv:bank.example.org")->to_string() == "_openreplica._tcp.bank.example.org");
    CHECK(dns::srv_query_name("bank.example.org.")->to_string() == "_openreplica._tcp.bank.example.org");
    CHECK(dns::srv_query_name("srv:_bank._tcp.example.org")->to_string() == "_bank._tcp.example.org");
    for (auto const* bad : {"", "srv:", "srv:.", "a..b", "srv:."}) CHECK_MESSAGE(!dns::srv_query_name(bad), bad);
    CHECK(!dns::srv_query_name(std::string(64, 'a')));
    std::string longest;
    for (int i = 0; i < 120; ++i) longest += "a.";
    CHECK(!dns::srv_query_name(longest)); // Too long once the service is put in front.
}

TEST_CASE("a lower priority always comes first, whatever the weights") {
    std::mt19937_64 random(1);
    for (int i = 0; i < 1000; ++i) {
        auto const order = letters(
            dns::order_targets({host('c', 20, 65535), host('a', 1, 0), host('d', 20, 0), host('b', 10, 1)}, random));
        CHECK(order.substr(0, 2) == "ab");
    }
}

TEST_CASE("weights give the first place in proportion, and a zero weight gives almost none") {
    std::mt19937_64 random(2);
    std::map<char, int> first;
    constexpr int rounds = 44000;
    for (int i = 0; i < rounds; ++i)
        ++first[letters(
            dns::order_targets({host('x', 0, 6), host('z', 0, 0), host('y', 0, 3), host('w', 0, 1)}, random))[0]];
    // A number in 0..10 is drawn: z needs the 0, w one number, y three, x six.
    for (auto [letter, numbers] : {std::pair{'z', 1}, {'w', 1}, {'y', 3}, {'x', 6}})
        CHECK(std::abs(first[letter] - rounds * numbers / 11) < 600);
}

TEST_CASE("whole orders come as often as RFC 2782 by the letter gives them") {
    std::vector<dns::srv_data> const hosts{host('a', 0, 0), host('b', 0, 5), host('c', 0, 2), host('d', 0, 0)};
    std::mt19937_64 random(3);
    std::map<std::string, std::pair<int, int>> seen;
    constexpr int rounds = 40000;
    for (int i = 0; i < rounds; ++i) {
        ++seen[letters(dns::order_targets(hosts, random))].first;
        ++seen[by_the_letter(hosts, random)].second;
    }
    CHECK(seen.size() == 24);
    for (auto const& [order, counts] : seen) {
        INFO(order, " ", counts.first, " ", counts.second);
        CHECK(std::abs(counts.first - counts.second) < 5 * std::sqrt(counts.first + counts.second + 1) + 5);
    }
}

TEST_CASE("hosts of weight zero only come in every order equally often") {
    std::mt19937_64 random(4);
    std::map<std::string, int> seen;
    for (int i = 0; i < 6000; ++i)
        ++seen[letters(dns::order_targets({host('a', 0, 0), host('b', 0, 0), host('c', 0, 0)}, random))];
    CHECK(seen.size() == 6);
    for (auto const& [order, count] : seen) CHECK_MESSAGE(std::abs(count - 1000) < 150, order);
}

TEST_CASE("ordering keeps every record, also the largest weights and none at all") {
    std::mt19937_64 random(5);
    CHECK(dns::order_targets({}, random).empty());
    std::vector<dns::srv_data> many;
    for (char c = 'a'; c <= 'z'; ++c) many.push_back(host(c, static_cast<std::uint16_t>(c % 3), 65535));
    auto order = letters(dns::order_targets(many, random));
    std::sort(order.begin(), order.end());
    CHECK(order == "abcdefghijklmnopqrstuvwxyz");
}

TEST_CASE("a target that must not be used is dropped, and the failure tells why when nothing is left") {
    CHECK(select({srv_record(7000, "n1.bank.example.org"), srv_record(0, "n2.bank.example.org")}).targets.size() == 1);
    CHECK(select({srv_record(7000, "n1.bank.example.org"), srv_record(7000, "N1.bank.example.org")}).targets.size() ==
          1);
    CHECK(select({srv_record(7000, "n1.bank.example.org"), srv_record(7001, "n1.bank.example.org")}).targets.size() ==
          2);
    CHECK(select({srv_record(7000, ".")}).failure == dns::lookup_error::not_offered);
    CHECK(select({srv_record(7000, "."), srv_record(7000, "n1.bank.example.org")}).targets.size() == 1);
    auto const none = select({srv_record(0, "n1.bank.example.org")});
    CHECK(none.failure == dns::lookup_error::malformed);
    CHECK(none.reason.find("port") != std::string_view::npos);
    for (auto const* literal : {"10.0.0.1", "127.1", "2130706433", "0x7f.0x1", "0X7F000001"}) {
        auto const refused = select({srv_record(7000, literal)}, false);
        CHECK_MESSAGE(refused.failure == dns::lookup_error::malformed, literal);
        CHECK(refused.reason.find("IP address") != std::string_view::npos);
    }
    CHECK(!select({srv_record(7000, "3f2a9c"), srv_record(7000, "10.node1")}, false).failure);
}

TEST_CASE("a target outside the parent domain of the service is refused when that is asked for") {
    auto const outside = std::vector{srv_record(7000, "n1.evil.com")};
    CHECK(select(outside).failure == dns::lookup_error::malformed);
    CHECK(select(outside).reason ==
          "the SRV target n1.evil.com lies outside the domain of the service; name a host in example.org there");
    CHECK(select(outside, false).targets.size() == 1);
    CHECK(!select({srv_record(7000, "db1.EXAMPLE.org")}).failure);
    auto const two = name_of("_openreplica._tcp.bank.test");
    CHECK(dns::in_same_domain(two, name_of("n1.bank.test")));
    CHECK(!dns::in_same_domain(two, name_of("n1.other.test")));
    CHECK(!dns::in_same_domain(two, name_of("n1.notbank.test")));
}

TEST_CASE("a TTL is held between 1 and 300 seconds") {
    CHECK(dns::clamp_ttl(0).count() == 1);
    CHECK(dns::clamp_ttl(1).count() == 1);
    CHECK(dns::clamp_ttl(30).count() == 30);
    CHECK(dns::clamp_ttl(300).count() == 300);
    CHECK(dns::clamp_ttl(301).count() == 300);
    CHECK(dns::clamp_ttl(0xffffffff).count() == 300);
}
