#include <openreplica/dns/exchange.hpp>

#include "scripted_server.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace dns_test;
using namespace std::chrono_literals;

namespace exchange_test {
namespace {

/// One server, one query, one result.
struct bench {
    asio::io_context io;
    std::mt19937_64 random{11};
    scripted_server server{io};
    std::optional<dns::exchange_result> result;
    std::chrono::milliseconds took{0};

    dns::query make() { return dns::make_query(name_of("bank.example.org"), dns::record_type::a, random); }

    dns::exchange_result& run(std::chrono::milliseconds timeout = 100ms) { return run_to(server.address(), timeout); }
    dns::exchange_result& run_to(openreplica::endpoint to, std::chrono::milliseconds timeout = 100ms) {
        auto const began = std::chrono::steady_clock::now();
        std::make_shared<dns::exchange>(io.get_executor(), to, make(), timeout, [&](dns::exchange_result r) {
            took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
            result = std::move(r);
            io.stop();
        })->start();
        CHECK(!result); // Never from inside start().
        io.restart();
        io.run_for(20s);
        REQUIRE(result);
        return *result;
    }
};

dns::message good(dns::message const& q) {
    auto m = reply_to(q);
    m.answers.push_back(dns::make_record(name_of("bank.example.org"), 30, dns::a_data{{127, 0, 0, 9}}));
    return m;
}

/// Sends `bad` first, and after it the good reply: a bad packet must not end the wait.
void check_ignored(std::function<std::string(dns::message const&)> const& bad) {
    bench b;
    b.server.on_udp = [&](dns::message const& q, auto const& send) {
        send(bad(q));
        send(dns::encode(good(q)));
    };
    auto& r = b.run(5s);
    REQUIRE(r.reply);
    CHECK(r.reply->answers.size() == 1);
}

} // namespace

TEST_CASE("the reply to a query arrives") {
    bench b;
    b.server.on_udp = [](dns::message const& q, auto const& send) { send(dns::encode(good(q))); };
    REQUIRE(b.run(5s).reply);
    CHECK(b.result->reply->answers.size() == 1);
}

TEST_CASE("packets that do not fit the query are ignored and the right one after them is taken") {
    SUBCASE("empty") {
        check_ignored([](auto const&) { return std::string(); });
    }
    SUBCASE("cut inside the header") {
        check_ignored([](dns::message const& q) { return dns::encode(good(q)).substr(0, 11); });
    }
    SUBCASE("cut inside a record") {
        check_ignored([](dns::message const& q) {
            auto bytes = dns::encode(good(q));
            return bytes.substr(0, bytes.size() - 1);
        });
    }
    SUBCASE("wrong id") {
        check_ignored([](dns::message q) {
            ++q.header.id;
            return dns::encode(reply_to(q, dns::response_code::nxdomain));
        });
    }
    SUBCASE("wrong question") {
        check_ignored([](dns::message q) {
            q.questions[0].qname = name_of("evil.example.org");
            return dns::encode(reply_to(q));
        });
    }
    SUBCASE("wrong letter case") {
        check_ignored([](dns::message q) {
            q.questions[0].qname = q.questions[0].qname.with_random_case([] { return false; });
            return dns::encode(reply_to(q, dns::response_code::nxdomain));
        });
    }
    SUBCASE("the query itself") {
        check_ignored([](dns::message const& q) { return dns::encode(q); });
    }
    SUBCASE("two OPT records") {
        check_ignored([](dns::message const& q) {
            auto bytes = dns::encode(good(q));
            bytes[11] = 2;
            return bytes + std::string("\0\0\x29\4\xd0\0\0\0\0\0\0", 11);
        });
    }
}

TEST_CASE("ten thousand forged replies with wrong ids change nothing") {
    bench b;
    int forged = 0;
    b.server.on_udp = [&](dns::message const& q, scripted_server::send const& send) {
        // One packet per turn of the loop: a socket's buffer holds a few hundred, and the good reply must not be
        // dropped.
        auto step = std::make_shared<std::function<void()>>();
        *step = [&, q, send, weak = std::weak_ptr(step)] {
            if (forged == 10000) return send(dns::encode(good(q)));
            auto forgery = reply_to(q);
            forgery.header.id = static_cast<std::uint16_t>(q.header.id + 1 + forged++);
            forgery.answers.push_back(dns::make_record(name_of("bank.example.org"), 30, dns::a_data{{6, 6, 6, 6}}));
            send(dns::encode(forgery));
            asio::post(b.io, [s = weak.lock()] { (*s)(); });
        };
        (*step)();
    };
    auto& r = b.run(20s);
    REQUIRE(r.reply);
    CHECK(forged == 10000);
    CHECK(std::get<dns::a_data>(r.reply->answers.at(0).data).address[3] == 9);
}

TEST_CASE("silence ends with a timeout, after the time given and not before") {
    bench b;
    auto& r = b.run(150ms);
    CHECK(r.failure == dns::lookup_error::timeout);
    CHECK(!r.reply);
    CHECK(b.took >= 150ms);
}

TEST_CASE("nothing but broken replies ends with malformed and the reason, once the time is over") {
    bench b;
    b.server.on_udp = [](dns::message const& q, auto const& send) { send(dns::encode(good(q)) + "x"); };
    auto& r = b.run();
    CHECK(r.failure == dns::lookup_error::malformed);
    CHECK(r.detail == "bytes after the last record");
    CHECK(b.took >= 100ms);
}

TEST_CASE("a reply that comes late is not taken for the answer to the next query") {
    bench b;
    std::optional<dns::message> first;
    b.server.on_udp = [&](dns::message const& q, scripted_server::send const& send) {
        if (!first) {
            first = q;
            return;
        }
        send(dns::encode(good(*first))); // to the new port, with the old id and case
        auto m = good(q);
        m.answers.clear();
        send(dns::encode(m));
    };
    CHECK(b.run().failure == dns::lookup_error::timeout);
    b.result.reset();
    REQUIRE(b.run(5s).reply);
    CHECK(b.result->reply->answers.empty());
}

TEST_CASE("a closed port is unreachable at once, without waiting for the timeout") {
    bench b;
    asio::ip::udp::socket unused(b.io, {asio::ip::make_address("127.0.0.1"), 0});
    auto const port = unused.local_endpoint().port();
    unused.close();
    CHECK(b.run_to({"127.0.0.1", port}, 10s).failure == dns::lookup_error::unreachable);
    CHECK(b.took < 5s);
}

TEST_CASE(
    "of a server's addresses each is asked in turn: after a closed port, silence, and an answer that is cut short") {
    bench b;
    b.server.on_udp = [](dns::message const& q, auto const& send) { send(dns::encode(good(q))); };
    auto const port = b.server.address().port;
    auto const at = [](char const* host) { return asio::ip::make_address(host); };
    auto const ask = [&](std::vector<asio::ip::address> addresses) {
        b.result.reset();
        std::make_shared<dns::exchange>(b.io.get_executor(), openreplica::endpoint{"ns.test", port}, b.make(), 150ms,
                                        [&](dns::exchange_result r) {
                                            b.result = std::move(r);
                                            b.io.stop();
                                        })
            ->start_at(std::move(addresses));
        b.io.restart();
        b.io.run_for(20s);
        REQUIRE(b.result);
        return b.result->reply.has_value();
    };
    CHECK(ask({at("127.0.0.2"), at("127.0.0.1")}));
    asio::ip::udp::socket silent(b.io, {at("127.0.0.3"), port});
    CHECK(ask({at("127.0.0.2"), at("127.0.0.3"), at("127.0.0.1")}));
    CHECK(b.server.udp_queries == 2);
    CHECK_FALSE(ask({at("127.0.0.2"), at("127.0.0.3")}));
    CHECK(b.result->failure == dns::lookup_error::timeout);
    CHECK_FALSE(ask({at("127.0.0.3"), at("127.0.0.2")}));
    CHECK(b.result->failure == dns::lookup_error::unreachable);
    b.server.on_udp = [](dns::message const& q, auto const& send) {
        auto m = reply_to(q);
        m.header.truncated = true;
        send(dns::encode(m));
    };
    b.server.on_tcp = [](auto const&) { return std::string("\0\x20", 2); };
    CHECK_FALSE(ask({at("127.0.0.1"), at("127.0.0.2")}));
    CHECK(b.server.tcp_queries == 1);
    CHECK(b.result->failure == dns::lookup_error::unreachable);
}

TEST_CASE("a reply that fits in everything but comes from another port or another address is ignored") {
    bench b;
    asio::ip::udp::socket other_port(b.io, {asio::ip::make_address("127.0.0.1"), 0});
    asio::ip::udp::socket other_address(b.io, {asio::ip::make_address("127.0.0.2"), b.server.address().port});
    b.server.on_udp = [&](dns::message const& q, auto const& send) {
        auto forged = reply_to(q);
        forged.answers.push_back(dns::make_record(name_of("bank.example.org"), 30, dns::a_data{{6, 6, 6, 6}}));
        for (auto* from : {&other_port, &other_address})
            CHECK(from->send_to(asio::buffer(dns::encode(forged)),
                                {asio::ip::make_address("127.0.0.1"), *b.server.udp_ports.begin()}) > 0);
        send(dns::encode(good(q)));
    };
    REQUIRE(b.run(5s).reply);
    CHECK(std::get<dns::a_data>(b.result->reply->answers.at(0).data).address[3] == 9);
}

TEST_CASE(
    "replies in other letter case only end with malformed, and the detail says so instead of blaming a firewall") {
    bench b;
    b.server.on_udp = [](dns::message q, auto const& send) {
        q.questions[0].qname = q.questions[0].qname.with_random_case([] { return false; });
        send(dns::encode(good(q)));
    };
    CHECK(b.run().failure == dns::lookup_error::malformed);
    CHECK(b.result->detail.find("reply in other letter case") != std::string::npos);
}

TEST_CASE("a server may be given by name or by an IPv6 address") {
    bench b;
    b.server.on_udp = [](dns::message const& q, auto const& send) { send(dns::encode(good(q))); };
    CHECK(b.run_to({"localhost", b.server.address().port}, 5s).reply.has_value() == true);
    b.result.reset();
    // A label of 64 bytes is refused on this host, without a packet.
    CHECK(b.run_to({std::string(64, 'a'), 53}, 10s).failure == dns::lookup_error::unreachable);
    asio::error_code no_v6;
    asio::ip::udp::socket probe(b.io);
    probe.open(asio::ip::udp::v6(), no_v6);
    if (!no_v6) probe.bind({asio::ip::make_address("::1"), 0}, no_v6);
    if (no_v6) {
        MESSAGE("skipped: this host has no ::1");
        return;
    }
    scripted_server v6(b.io, "::1");
    v6.on_udp = b.server.on_udp;
    b.result.reset();
    CHECK(b.run_to(v6.address(), 5s).reply.has_value());
}

namespace {

/// A server that cuts every UDP reply.
struct cut_bench : bench {
    cut_bench() {
        server.on_udp = [](dns::message const& q, auto const& send) {
            auto m = reply_to(q);
            m.header.truncated = true;
            send(dns::encode(m));
        };
    }
};

} // namespace

TEST_CASE("a truncated reply is asked for again over TCP") {
    cut_bench b;
    b.server.on_tcp = [](dns::message const& q) {
        auto m = good(q);
        for (int i = 0; i < 400; ++i)
            m.answers.push_back(
                dns::make_record(name_of("bank.example.org"), 30, dns::txt_data{{std::string(100, 'x')}}));
        return scripted_server::framed(dns::encode(m));
    };
    REQUIRE(b.run(5s).reply);
    CHECK(b.result->reply->answers.size() == 401);
    CHECK(b.server.udp_queries == 1);
    CHECK(b.server.tcp_queries == 1);
}

TEST_CASE("truncated without TCP: a refused connection is unreachable and says that the answer is too long for UDP") {
    asio::io_context io;
    scripted_server without(io, "127.0.0.1", false);
    std::optional<dns::exchange_result> result;
    without.on_udp = [](dns::message const& q, auto const& send) {
        auto m = reply_to(q);
        m.header.truncated = true;
        send(dns::encode(m));
    };
    std::mt19937_64 random(1);
    std::make_shared<dns::exchange>(io.get_executor(), without.address(),
                                    dns::make_query(name_of("a.b"), dns::record_type::a, random), 5s,
                                    [&](dns::exchange_result r) {
                                        result = std::move(r);
                                        io.stop();
                                    })
        ->start();
    io.run_for(10s);
    REQUIRE(result);
    CHECK(result->failure == dns::lookup_error::unreachable);
    CHECK(result->detail.find("too long for UDP") != std::string::npos);
}

TEST_CASE("bad answers over TCP end the exchange with the right name") {
    cut_bench b;
    auto const outcome = [&](std::function<std::string(dns::message const&)> f) {
        b.server.on_tcp = std::move(f);
        b.result.reset();
        return b.run(150ms).failure;
    };
    using dns::lookup_error;
    CHECK(outcome([](auto const&) { return std::string(2, '\0'); }) == lookup_error::malformed);
    CHECK(outcome([](auto const&) { return std::string("\0\1x", 3); }) == lookup_error::malformed);
    CHECK(outcome([](auto const&) { return std::string(); }) == lookup_error::malformed); // closed without a byte
    CHECK(outcome([](dns::message const& q) {
              auto bytes = scripted_server::framed(dns::encode(good(q)));
              return bytes.substr(0, bytes.size() - 1);
          }) == lookup_error::malformed);
    CHECK(outcome([](dns::message q) {
              ++q.header.id;
              return scripted_server::framed(dns::encode(good(q)));
          }) == lookup_error::malformed);
    CHECK(outcome([](dns::message const& q) {
              auto m = good(q);
              m.header.truncated = true;
              return scripted_server::framed(dns::encode(m));
          }) == lookup_error::malformed);
    b.server.close_after_tcp = false;
    CHECK(outcome([](auto const&) { return std::string("\xff\xff", 2); }) ==
          lookup_error::timeout); // 65535 bytes that never come
    CHECK(b.result->detail.find("TCP") != std::string::npos);
}

namespace {

/// Cuts every UDP reply, and over TCP sends the whole answer with a pause after every byte.
struct trickling_server {
    asio::io_context& io;
    scripted_server udp{io, "127.0.0.1", false};
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::make_address("127.0.0.1"), udp.address().port}};
    asio::ip::tcp::socket client{io};
    asio::steady_timer pause{io};
    std::string left;
    int sent = 0;

    explicit trickling_server(asio::io_context& context) : io(context) {
        udp.on_udp = [this](dns::message const& q, auto const& send) {
            left = scripted_server::framed(dns::encode(good(q)));
            auto m = reply_to(q);
            m.header.truncated = true;
            send(dns::encode(m));
        };
        acceptor.async_accept(client, [this](asio::error_code e) {
            if (!e) next();
        });
    }
    void next() {
        asio::error_code gone;
        asio::write(client, asio::buffer(left.data(), 1), gone);
        left.erase(0, 1);
        if (gone || left.empty()) return;
        ++sent;
        pause.expires_after(20ms);
        pause.async_wait([this](asio::error_code e) {
            if (!e) next();
        });
    }
};

} // namespace

TEST_CASE("an answer over TCP that comes byte by byte has the same time as any other: progress does not extend it") {
    bench b;
    trickling_server slow(b.io);
    auto& r = b.run_to(slow.udp.address(), 150ms);
    CHECK(r.failure == dns::lookup_error::timeout);
    CHECK(slow.sent > 1);
    CHECK_FALSE(slow.left.empty());
    CHECK(b.took < 2s);
}

TEST_CASE("a cancelled exchange calls nobody, and one whose io_context dies is freed") {
    auto token = std::make_shared<int>(0);
    bool called = false;
    std::weak_ptr<dns::exchange> alive;
    {
        bench b;
        auto const cancelled =
            std::make_shared<dns::exchange>(b.io.get_executor(), b.server.address(), b.make(), 10s,
                                            [&, token](dns::exchange_result const&) { called = true; });
        cancelled->start();
        b.io.poll();
        cancelled->cancel();
        b.io.restart();
        b.io.poll();
        auto const left = std::make_shared<dns::exchange>(b.io.get_executor(), b.server.address(), b.make(), 10s,
                                                          [&, token](dns::exchange_result const&) { called = true; });
        left->start();
        alive = left;
        b.io.restart();
        b.io.poll();
    }
    CHECK(!called);
    CHECK(alive.expired());
    CHECK(token.use_count() == 1);
}

} // namespace exchange_test
