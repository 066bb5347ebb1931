// Any bytes, read as a resolv.conf and as the text of a DNS server: nothing crashes, and what comes out keeps its
// bounds.
//
// clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/resolv_conf.cpp -o resolv_conf
// ./resolv_conf -max_total_time=60 -max_len=4096 -timeout=1 -rss_limit_mb=256 tests/fuzz/corpus/resolv_conf
#include <openreplica/dns/resolv_conf.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace dns = openreplica::dns;
using namespace std::chrono_literals;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    // A buffer of exactly this size, so that the address sanitizer sees a read past its end.
    std::vector<char> const exact(data, data + size);
    std::string_view const text(exact.data(), exact.size());
    auto const conf = dns::parse_resolv_conf(text);
    require(conf.servers.size() <= 3);
    for (auto const& server : conf.servers) {
        require(server.port == dns::dns_port);
        require(dns::parse_dns_server(server.host) == server);
    }
    require(!conf.timeout || (*conf.timeout >= 1s && *conf.timeout <= 30s));
    require(!conf.attempts || (*conf.attempts >= 1 && *conf.attempts <= 5));
    if (auto const server = dns::parse_dns_server(text)) {
        require(server->port != 0 && !server->host.empty());
        require(dns::parse_dns_server(to_string(*server)) == server);
    }
    return 0;
}
