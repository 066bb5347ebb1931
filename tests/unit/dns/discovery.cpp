#include <openreplica/dns/discovery.hpp>

#include "scripted_server.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

using namespace dns_test;
using namespace std::chrono_literals;

namespace {

/// Records by type and lower-case name.
using zone = std::multimap<std::pair<dns::record_type, std::string>, dns::record>;

void add(zone& z, dns::record r) { z.emplace(std::pair{r.type, r.owner.key()}, std::move(r)); }

void add_service(zone& z, std::string_view target, std::uint16_t port = 7000, std::uint16_t priority = 0) {
    add(z, dns::make_record(name_of("_openreplica._tcp.bank.test"), 30,
                            dns::srv_data{priority, 10, port, name_of(target)}));
}
void add_v4(zone& z, std::string_view host, std::uint8_t last, std::uint32_t ttl = 30) {
    add(z, dns::make_record(name_of(host), ttl, dns::a_data{{127, 0, 0, last}}));
}
void add_v6(zone& z, std::string_view host, std::uint8_t last) {
    dns::aaaa_data d;
    d.address[15] = last;
    add(z, dns::make_record(name_of(host), 30, d));
}

struct bench {
    asio::io_context io;
    scripted_server server{io};
    zone names;
    std::vector<dns::record> additional; // sent with every SRV answer
    std::set<std::string> failing;       // hosts for which the server answers SERVFAIL
    std::map<dns::record_type, int> asked;
    dns::discovery_options options;
    std::optional<dns::lookup_result> result;

    bench() {
        options.dns_server = to_string(server.address());
        options.timeout = 200ms;
        options.attempts = 1;
        options.entropy = std::mt19937_64{3};
        server.on_udp = [this](dns::message const& q, auto const& send) {
            send(dns::encode(reply(q), dns::udp_payload_size));
        };
        server.on_tcp = [this](dns::message const& q) { return scripted_server::framed(dns::encode(reply(q))); };
    }

    dns::message reply(dns::message const& q) {
        auto const& asked_for = q.questions.at(0);
        ++asked[asked_for.type];
        auto m = reply_to(q);
        if (failing.contains(asked_for.qname.key())) m.set_rcode(dns::response_code::servfail);
        auto const [from, to] = names.equal_range({asked_for.type, asked_for.qname.key()});
        for (auto i = from; i != to; ++i) m.answers.push_back(i->second);
        if (asked_for.type == dns::record_type::srv) m.additional = additional;
        bool const exists =
            std::any_of(names.begin(), names.end(), [&](auto const& e) { return e.second.owner == asked_for.qname; });
        if (!exists && m.header.rcode == 0) m.set_rcode(dns::response_code::nxdomain);
        return m;
    }

    dns::lookup_result& run(std::string_view seed = "srv:bank.test") {
        dns::discovery d(io.get_executor(), options);
        result.reset();
        d.async_lookup_seeds(seed, [&](dns::lookup_result r) {
            result = std::move(r);
            io.stop();
        });
        CHECK(!result);
        io.restart();
        io.run_for(20s);
        REQUIRE(result);
        CHECK(result->endpoints.empty() == result->failure.has_value());
        return *result;
    }
    std::string addresses() const {
        std::string out;
        for (auto const& e : result->endpoints) out += to_string(e.address) + " ";
        return out;
    }
};

} // namespace

TEST_CASE("a seed gives the addresses of its targets in the order of their priorities") {
    bench b;
    add_service(b.names, "n2.bank.test", 7002, 20);
    add_service(b.names, "n1.bank.test", 7001, 10);
    add_v4(b.names, "n1.bank.test", 1, 12);
    add_v4(b.names, "n2.bank.test", 2);
    auto const& r = b.run();
    CHECK(b.addresses() == "127.0.0.1:7001 127.0.0.2:7002 ");
    CHECK(r.endpoints[0] == dns::service_endpoint{{"127.0.0.1", 7001}, "n1.bank.test", 10, 10});
    CHECK(r.ttl == 12s);
    CHECK(r.text.empty());
    CHECK(b.asked[dns::record_type::a] == 2);
}

TEST_CASE("hosts with only IPv4, only IPv6 or both are found") {
    bench b;
    add_service(b.names, "n1.bank.test", 7000, 1);
    add_service(b.names, "n2.bank.test", 7000, 2);
    add_service(b.names, "n3.bank.test", 7000, 3);
    add_v4(b.names, "n1.bank.test", 1);
    add_v6(b.names, "n2.bank.test", 2);
    add_v4(b.names, "n3.bank.test", 3);
    add_v6(b.names, "n3.bank.test", 3);
    b.run();
    CHECK(b.addresses() == "127.0.0.1:7000 [::2]:7000 127.0.0.3:7000 [::3]:7000 ");
}

TEST_CASE("additional addresses are used for targets of the answer and for nothing else") {
    bench b;
    add_service(b.names, "n1.bank.test", 7000, 1);
    add_service(b.names, "n2.bank.test", 7000, 2);
    add_v4(b.names, "n1.bank.test", 66); // what a query would give: it must not be asked
    add_v4(b.names, "n2.bank.test", 2);
    b.additional = {dns::make_record(name_of("N1.bank.test"), 30, dns::a_data{{127, 0, 0, 1}}),
                    dns::make_record(name_of("evil.bank.test"), 30, dns::a_data{{127, 0, 0, 99}})};
    b.run();
    CHECK(b.addresses() == "127.0.0.1:7000 127.0.0.2:7000 ");
    CHECK(b.asked[dns::record_type::a] == 1);
}

TEST_CASE("service records without any address fail with the hint at rebinding filters") {
    bench b;
    add_service(b.names, "n1.bank.test");
    add_service(b.names, "n2.bank.test");
    auto const& r = b.run();
    CHECK(r.failure == dns::lookup_error::no_address);
    CHECK(r.text.find("rebinding") != std::string::npos);
    CHECK(r.text.find("n1.bank.test") != std::string::npos);
}

TEST_CASE("a target without an address is left out and named while another one has an address") {
    bench b;
    add_service(b.names, "n1.bank.test");
    add_service(b.names, "gone.bank.test");
    add_v4(b.names, "n1.bank.test", 1);
    auto const& r = b.run();
    CHECK(b.addresses() == "127.0.0.1:7000 ");
    CHECK(r.text.find("gone.bank.test") != std::string::npos);
}

TEST_CASE("a failing address query is no absence of addresses: it may pass, and keeps its name") {
    bench b;
    add_service(b.names, "n1.bank.test");
    b.failing.insert(name_of("n1.bank.test").key());
    CHECK(b.run().failure == dns::lookup_error::servfail);
    CHECK(b.result->ttl == 1s);
}

TEST_CASE("the failures of the SRV query keep their names") {
    bench b;
    CHECK(b.run().failure == dns::lookup_error::nxdomain);
    add(b.names, dns::make_record(name_of("_openreplica._tcp.bank.test"), 30, dns::txt_data{{"x"}}));
    CHECK(b.run().failure == dns::lookup_error::nodata);
    b.failing.insert(name_of("_openreplica._tcp.bank.test").key());
    CHECK(b.run().failure == dns::lookup_error::servfail);
    b.server.on_udp = [](auto const&, auto const&) {};
    CHECK(b.run().failure == dns::lookup_error::timeout);
    add_service(b.names, ".");
    bench c;
    add_service(c.names, ".");
    CHECK(c.run().failure == dns::lookup_error::not_offered);
}

TEST_CASE("a target outside the domain is refused by default and taken when the option is off") {
    bench b;
    add_service(b.names, "n1.other.test");
    add_v4(b.names, "n1.other.test", 1);
    CHECK(b.run().failure == dns::lookup_error::malformed);
    CHECK(b.result->text.find("n1.other.test lies outside the domain of the service; name a host in bank.test there") !=
          std::string::npos);
    b.options.require_same_domain = false;
    b.run();
    CHECK(b.addresses() == "127.0.0.1:7000 ");
}

TEST_CASE("long lists come over TCP, and sixty-four targets are used: of sixty-five, the first by priority") {
    for (int count : {64, 65}) {
        bench b;
        for (int i = 1; i <= count; ++i) {
            auto const host = "n" + std::to_string(i) + ".bank.test";
            add_service(b.names, host, 7000, static_cast<std::uint16_t>(i));
            add_v4(b.names, host, static_cast<std::uint8_t>(i));
        }
        CHECK(b.run().endpoints.size() == dns::max_targets);
        CHECK(b.result->endpoints.back().target == "n64.bank.test");
        CHECK(b.server.tcp_queries == 1);
    }
}

TEST_CASE("eight addresses of a target are used and a ninth is not, whether they come with the answer or by a query") {
    for (bool with_answer : {false, true})
        for (int count : {7, 8, 9}) {
            bench b;
            add_service(b.names, "n1.bank.test");
            for (std::uint8_t i = 1; i <= count; ++i) {
                if (with_answer)
                    b.additional.push_back(dns::make_record(name_of("n1.bank.test"), 30, dns::a_data{{127, 0, 0, i}}));
                else
                    add_v4(b.names, "n1.bank.test", i);
            }
            CHECK(b.run().endpoints.size() == std::min(static_cast<std::size_t>(count), dns::max_addresses_per_target));
            CHECK(b.asked[dns::record_type::a] == (with_answer ? 0 : 1));
        }
}

TEST_CASE("two targets with one address give one endpoint") {
    bench b;
    add_service(b.names, "n1.bank.test");
    add_service(b.names, "n2.bank.test");
    add_v4(b.names, "n1.bank.test", 1);
    add_v4(b.names, "n2.bank.test", 1);
    CHECK(b.run().endpoints.size() == 1);
}

TEST_CASE("a seed that is no domain name is malformed and the text shows how to write one") {
    bench b;
    CHECK(b.run("srv:").failure == dns::lookup_error::malformed);
    CHECK(b.run("srv:a..b").text.find("srv:bank.example.org") != std::string::npos);
    CHECK(b.asked.empty());
}

TEST_CASE("a DNS server that cannot be read is refused when the discovery is made") {
    asio::io_context io;
    dns::discovery_options options;
    options.dns_server = "host:port";
    CHECK_THROWS_AS(dns::discovery(io.get_executor(), options), openreplica::error);
}

TEST_CASE("without a DNS server of its own, addresses come from the system and its hosts file") {
    // The class is taken apart, because resolv.conf belongs to the host: SRV from the script, addresses from the
    // system.
    bench b;
    add_service(b.names, "localhost");
    dns::resolver_options servers{{b.server.address()}, 200ms, 1, std::mt19937_64{3}};
    b.options.require_same_domain = false;
    auto const lookup =
        std::make_shared<dns::detail::seeds_lookup>(b.io.get_executor(), servers, b.options, true,
                                                    name_of("_openreplica._tcp.bank.test"), [&](dns::lookup_result r) {
                                                        b.result = std::move(r);
                                                        b.io.stop();
                                                    });
    lookup->start();
    b.io.run_for(20s);
    REQUIRE(b.result);
    INFO(b.result->text);
    REQUIRE(!b.result->endpoints.empty());
    CHECK((b.result->endpoints[0].address.host == "127.0.0.1" || b.result->endpoints[0].address.host == "::1"));
    CHECK(b.asked[dns::record_type::a] == 0);
}

TEST_CASE("cancelling completes a lookup once, in its first query and among those for addresses") {
    for (int answered : {0, 1}) {
        bench b;
        add_service(b.names, "n1.bank.test");
        int replies = 0;
        int queries = 0;
        b.server.on_udp = [&](dns::message const& q, auto const& send) {
            ++queries;
            if (replies++ < answered) send(dns::encode(b.reply(q)));
        };
        b.options.timeout = 20s;
        std::vector<dns::lookup_result> ends;
        {
            dns::discovery d(b.io.get_executor(), b.options);
            d.async_lookup_seeds("srv:bank.test", [&](dns::lookup_result r) { ends.push_back(std::move(r)); });
            // One query for the service, then two for the addresses of its target.
            while (queries < 1 + 2 * answered) b.io.run_one_for(10s);
            CHECK(ends.empty());
        }
        b.io.restart();
        b.io.poll();
        REQUIRE(ends.size() == 1);
        CHECK(ends[0].failure == dns::lookup_error::cancelled);
    }
}
