#include <openreplica/dns/resolver.hpp>

#include "scripted_server.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace dns_test;
using namespace std::chrono_literals;

namespace {

struct bench {
    asio::io_context io;
    scripted_server first{io};
    scripted_server second{io};
    dns::resolver_options options{{first.address(), second.address()}, 100ms, 2, std::mt19937_64{5}};
    std::optional<dns::answer> result;

    dns::answer& run(std::string_view qname = "bank.example.org", dns::record_type type = dns::record_type::a) {
        dns::resolver r(io.get_executor(), options);
        result.reset();
        r.async_resolve(name_of(qname), type, [&](dns::answer a) {
            result = std::move(a);
            io.stop();
        });
        CHECK(!result);
        io.restart();
        io.run_for(20s);
        REQUIRE(result);
        return *result;
    }
};

auto always(dns::response_code code) {
    return [code](dns::message const& q, scripted_server::send const& send) { send(dns::encode(reply_to(q, code))); };
}

auto with_address(std::uint8_t last, std::uint32_t ttl = 30) {
    return [=](dns::message const& q, scripted_server::send const& send) {
        auto m = reply_to(q);
        m.answers.push_back(dns::make_record(q.questions[0].qname, ttl, dns::a_data{{127, 0, 0, last}}));
        send(dns::encode(m));
    };
}

} // namespace

TEST_CASE("a name gives its records and how long they hold") {
    bench b;
    b.first.on_udp = with_address(7);
    auto const& a = b.run();
    CHECK(!a.failure);
    CHECK(a.records.size() == 1);
    CHECK(a.owner == name_of("bank.example.org"));
    CHECK(a.ttl == 30s);
    CHECK(b.second.udp_queries == 0);
}

TEST_CASE("a TTL of zero holds for one second and a long one for five minutes") {
    bench b;
    b.first.on_udp = with_address(7, 0);
    CHECK(b.run().ttl == 1s);
    b.first.on_udp = with_address(7, 86400);
    CHECK(b.run().ttl == 300s);
}

TEST_CASE("every query comes from a port of its own") {
    bench b;
    b.first.on_udp = with_address(7);
    for (int i = 0; i < 20; ++i) CHECK(!b.run().failure);
    CHECK(b.first.udp_ports.size() >= 18); // Drawn from some 28,000: two of twenty are equal once in a hundred runs.
}

TEST_CASE("the next server is asked after a failure of the first") {
    bench b;
    b.second.on_udp = with_address(8);
    SUBCASE("servfail") { b.first.on_udp = always(dns::response_code::servfail); }
    SUBCASE("refused") { b.first.on_udp = always(dns::response_code::refused); }
    SUBCASE("silence") {}
    SUBCASE("broken replies") {
        b.first.on_udp = [](dns::message const& q, auto const& send) { send(dns::encode(reply_to(q)) + "x"); };
    }
    SUBCASE("unreachable") {
        asio::ip::udp::socket unused(b.io, {asio::ip::make_address("127.0.0.1"), 0});
        b.options.servers[0].port = unused.local_endpoint().port();
        unused.close();
    }
    auto const& a = b.run();
    CHECK(!a.failure);
    CHECK(a.records.size() == 1);
}

TEST_CASE("an absent name and an absent type are final: no other server is asked") {
    bench b;
    b.second.on_udp = with_address(8);
    b.first.on_udp = always(dns::response_code::nxdomain);
    CHECK(b.run().failure == dns::lookup_error::nxdomain);
    CHECK(b.result->text.find("bank.example.org: the name does not exist") == 0);
    b.first.on_udp = always(dns::response_code::noerror);
    CHECK(b.run().failure == dns::lookup_error::nodata);
    CHECK(b.second.udp_queries == 0);
}

TEST_CASE("every server is asked as often as the options say, and what one said outweighs the silence of another") {
    bench b;
    CHECK(b.run().failure == dns::lookup_error::timeout);
    CHECK(b.first.udp_queries == 2);
    CHECK(b.second.udp_queries == 2);
    b.first.on_udp = always(dns::response_code::refused);
    CHECK(b.run().failure == dns::lookup_error::refused);
    CHECK(b.result->text.find(to_string(b.first.address())) != std::string::npos);
    b.first.on_udp = {[](auto const&, auto const&) {}};
    b.second.on_udp = always(dns::response_code::servfail);
    CHECK(b.run().failure == dns::lookup_error::servfail);
    CHECK(b.result->text.find(to_string(b.second.address())) != std::string::npos);
}

TEST_CASE("without a server the lookup fails and says so") {
    bench b;
    b.options.servers.clear();
    CHECK(b.run().failure == dns::lookup_error::unreachable);
    CHECK(b.result->text.find("no DNS server is configured") != std::string::npos);
}

TEST_CASE("a server that answers FORMERR to EDNS is asked again without it") {
    bench b;
    b.first.on_udp = [](dns::message const& q, scripted_server::send const& send) {
        if (!q.edns) return with_address(7)(q, send);
        dns::message bare;
        bare.header.id = q.header.id;
        bare.header.response = true;
        bare.set_rcode(dns::response_code::formerr);
        send(dns::encode(bare));
    };
    CHECK(!b.run().failure);
    CHECK(b.first.udp_queries == 2);
    b.options.servers.resize(1);
    b.first.on_udp = always(dns::response_code::formerr);
    CHECK(b.run().failure == dns::lookup_error::servfail); // and no endless alternation
    b.options.servers.push_back(b.second.address());
    bool with_edns = false;
    b.second.on_udp = [&](dns::message const& q, scripted_server::send const& send) {
        with_edns = q.edns.has_value();
        with_address(8)(q, send);
    };
    CHECK(!b.run().failure);
    CHECK(with_edns); // The next server is asked with it again.
}

TEST_CASE("aliases that a server does not follow are asked for, eight at most") {
    bench b;
    auto const chain = [](int length) {
        return [length](dns::message const& q, scripted_server::send const& send) {
            auto const& qname = q.questions[0].qname;
            auto const label = std::string(qname.first_label());
            int const at = label.size() == 1 ? label[0] - '0' : 0;
            if (at == length) return with_address(7)(q, send);
            auto m = reply_to(q);
            m.answers.push_back(
                dns::make_record(qname, 9, dns::cname_data{name_of(std::to_string(at + 1) + ".example.org")}));
            send(dns::encode(m));
        };
    };
    b.first.on_udp = chain(8);
    CHECK(!b.run().failure);
    CHECK(b.result->owner == name_of("8.example.org"));
    CHECK(b.result->ttl == 9s);
    b.options.servers.resize(1);
    b.first.on_udp = chain(9);
    CHECK(b.run().failure == dns::lookup_error::malformed);
    CHECK(b.result->text.find("CNAME") != std::string::npos);
}

TEST_CASE("cancelling, or destroying the resolver, completes every lookup once with cancelled") {
    bench b;
    std::vector<dns::lookup_error> ends;
    auto const note = [&](dns::answer const& a) { ends.push_back(a.failure.value()); };
    {
        dns::resolver r(b.io.get_executor(), b.options);
        r.async_resolve(name_of("a.example.org"), dns::record_type::a, note);
        b.io.poll();
        r.cancel();
        CHECK(ends.empty());
        b.io.restart();
        b.io.poll();
        CHECK(ends.size() == 1);
        for (int i = 0; i < 3; ++i) r.async_resolve(name_of("b.example.org"), dns::record_type::a, note);
        b.io.restart();
        b.io.poll();
    }
    b.io.restart();
    b.io.poll();
    CHECK(ends == std::vector(4, dns::lookup_error::cancelled));
}

TEST_CASE("lookups that are pending when their io_context dies are freed without a call") {
    auto token = std::make_shared<int>(0);
    bool called = false;
    {
        bench b;
        auto r = std::make_unique<dns::resolver>(b.io.get_executor(), b.options);
        // The handler owns the resolver, as an object that looks itself up would.
        auto& ref = *r;
        auto shared = std::shared_ptr<dns::resolver>(std::move(r));
        ref.async_resolve(name_of("a.example.org"), dns::record_type::a,
                          [&called, token, shared](dns::answer const&) { called = true; });
        shared.reset();
        b.io.poll();
    }
    CHECK(!called);
    CHECK(token.use_count() == 1);
}
