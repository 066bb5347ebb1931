#include <openreplica/dns/resolv_conf.hpp>

#include <doctest/doctest.h>

#include <cstdio>

namespace dns = openreplica::dns;

namespace {

std::string servers(std::string_view text) {
    std::string out;
    for (auto const& s : dns::parse_resolv_conf(text).servers) out += to_string(s) + " ";
    return out;
}

} // namespace

TEST_CASE("nameserver lines of resolv.conf are read as the C library reads them") {
    CHECK(servers("nameserver 192.0.2.1\nnameserver\t192.0.2.2  \r\n") == "192.0.2.1:53 192.0.2.2:53 ");
    CHECK(servers("  nameserver 192.0.2.1 trailing words") == "192.0.2.1:53 ");
    CHECK(servers("nameserver 2001:db8::1\nnameserver fe80::1%1\n") == "[2001:db8::1]:53 [fe80::1%1]:53 ");
    CHECK(servers("#nameserver 192.0.2.1\n; nameserver 192.0.2.2\n#\n\n") == "");
    CHECK(servers("nameserver\nnameserver not-an-address\nnameserver 192.0.2.300\nNAMESERVER 192.0.2.1") == "");
    CHECK(servers("nameserver 192.0.2.1\nnameserver 192.0.2.1\n") == "192.0.2.1:53 ");
    CHECK(servers("nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4") ==
          "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53 ");
    CHECK(servers("") == "");
}

TEST_CASE("timeout and attempts of resolv.conf are read, held within their limits, and the last one wins") {
    auto const read = [](std::string_view text) {
        auto const c = dns::parse_resolv_conf(text);
        return std::pair{c.timeout ? static_cast<int>(c.timeout->count()) : -1, c.attempts.value_or(-1)};
    };
    CHECK(read("options timeout:3 attempts:4 rotate") == std::pair{3, 4});
    CHECK(read("options timeout:3\noptions timeout:2\n") == std::pair{2, -1});
    CHECK(read("options timeout:0 attempts:0") == std::pair{1, 1});
    CHECK(read("options timeout:31 attempts:6") == std::pair{30, 5});
    CHECK(read("options timeout:99999999999999") == std::pair{30, -1});
    CHECK(read("options timeout: attempts:x timeout:3x ndots:5") == std::pair{-1, -1});
    CHECK(read("timeout:3\nsearch example.org\ndomain example.org") == std::pair{-1, -1});
}

TEST_CASE("a missing or empty resolv.conf means the server on this host") {
    auto const conf = dns::read_resolv_conf("/nonexistent/resolv.conf");
    REQUIRE(conf.servers.size() == 1);
    CHECK(to_string(conf.servers[0]) == "127.0.0.1:53");
}

TEST_CASE("a DNS server is written as host, host:port, an IPv6 address or [v6]:port") {
    auto const read = [](std::string_view text) {
        auto const e = dns::parse_dns_server(text);
        return e ? e->host + " " + std::to_string(e->port) : std::string("refused");
    };
    CHECK(read("127.0.0.1") == "127.0.0.1 53");
    CHECK(read("127.0.0.1:5300") == "127.0.0.1 5300");
    CHECK(read("dns.example.org") == "dns.example.org 53");
    CHECK(read("localhost:5300") == "localhost 5300");
    CHECK(read("::1") == "::1 53");
    CHECK(read("[::1]") == "::1 53");
    CHECK(read("[::1]:5300") == "::1 5300");
    for (auto const* bad : {"", ":", ":53", "host:", "host:0", "host:65536", "host:x", "host:53:54", "[::1", "::1]:53",
                            "[]:53", "[::1]:", "[host]:53", "[::1]x", "a b", "a b:53", "host:53 "})
        CHECK_MESSAGE(read(bad) == "refused", bad);
}
