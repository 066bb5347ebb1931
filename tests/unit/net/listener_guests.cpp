// The listener's clients: they are answered over the connection that they made, and take nobody's place.
#include <openreplica/config.hpp>

#include <openreplica/net/listener.hpp>

#include "loopback.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace listener_guests_test {

using namespace net_test;

struct bench {
    asio::io_context io;
    listening at{io};

    bench() {
        at.options.max_guests = 8;
        at.options.max_connections = 4;
    }
    std::shared_ptr<raw_peer> said_hello(net::hello const& h) {
        auto p = raw_peer::connect(io, at.address());
        p->say(net::encode(h));
        REQUIRE(run_until(io, [&] { return p->heard.size() >= net::frame_header_size + 30; }));
        return p;
    }
    std::shared_ptr<raw_peer> client(std::uint64_t id = 2) {
        auto const before = at.guests.size();
        auto p = said_hello(client_hello(id));
        REQUIRE(run_until(io, [&] { return at.guests.size() == before + 1; }));
        p->heard.clear();
        return p;
    }
    void tell(net::guest_id to, net::client_reply const& m) {
        at.l->send(to, std::make_shared<std::string const>(net::encode(m)));
    }
};

TEST_CASE("a client is a guest and no peer: what it says comes under its name, and it is answered") {
    bench b;
    b.at.start();
    auto const p = b.client();
    CHECK(b.at.accepted.empty());
    p->say(net::encode(net::client_request(net::client_ping{7})));
    REQUIRE(run_until(b.io, [&] { return b.at.requests.size() == 1; }));
    CHECK(b.at.requests[0].first == b.at.guests[0]);
    CHECK(b.at.requests[0].second == net::client_request(net::client_ping{7}));
    std::string expected;
    for (auto const& m : sample_client_replies()) {
        b.tell(b.at.guests[0], m);
        expected += net::encode(m);
    }
    CHECK(run_until(b.io, [&] { return p->heard == expected; }));
    CHECK(b.at.malformed.empty());
}

TEST_CASE("a client that speaks as a peer is closed, and so is a peer that speaks as a client") {
    bench b;
    b.at.start();
    auto const c = b.client();
    c->say(heartbeat_frame(1));
    CHECK(run_until(b.io, [&] { return c->closed && b.at.guests.empty(); }));
    auto const p = b.said_hello(some_hello(3));
    p->say(net::encode(net::client_request(net::client_ping{7})));
    CHECK(run_until(b.io, [&] { return p->closed; }));
    REQUIRE(b.at.malformed.size() == 2);
    CHECK(b.at.malformed[0].find("from client") != std::string::npos);
    CHECK(b.at.malformed[1].find("from node") != std::string::npos);
    CHECK(b.at.messages.empty());
    CHECK(b.at.requests.empty());
}

TEST_CASE("clients take no peer's place, and peers no client's; one past the limit is told so") {
    bench b;
    b.at.options.max_guests = 2;
    b.at.options.max_connections = 2;
    b.at.start();
    auto const c1 = b.client(2), c2 = b.client(3);
    auto const c3 = b.said_hello(client_hello(4));
    CHECK(run_until(b.io, [&] { return c3->closed; }));
    CHECK(c3->heard.find("limits.max_clients") != std::string::npos);
    CHECK(b.at.guests.size() == 2);
    auto const p1 = b.said_hello(some_hello(5)), p2 = b.said_hello(some_hello(6));
    CHECK(run_until(b.io, [&] { return b.at.accepted.size() == 2; }));
    CHECK(!p1->closed);
    CHECK(!c1->closed);
    c1->close();
    CHECK(run_until(b.io, [&] { return b.at.guests.size() == 1; }));
    auto const p3 = b.said_hello(some_hello(7));
    CHECK(run_until(b.io, [&] { return p3->closed; }));
    CHECK(p3->heard.find("limits.max_connections") != std::string::npos);
    auto const c4 = b.client(8);
    CHECK(b.at.guests.size() == 2);
}

TEST_CASE("a client that does not take what it is told is cut off at the limit, and nobody else") {
    bench b;
    b.at.options.guest_queue_bytes = 100'000;
    b.at.start();
    auto const other = b.client(3);
    // It says hello and reads nothing more.
    tcp::socket deaf(b.io);
    deaf.connect({asio::ip::make_address("127.0.0.1"), b.at.address().port});
    asio::write(deaf, asio::buffer(net::encode(client_hello(9))));
    REQUIRE(run_until(b.io, [&] { return b.at.guests.size() == 2; }));
    net::guest_id const guest = b.at.guests[1];
    net::client_answer large;
    large.outcome.result = std::string(50'000, 'x');
    int told = 0;
    for (; b.at.guests.size() == 2 && told < 10'000; ++told) {
        b.tell(guest, large);
        b.io.restart();
        b.io.poll();
    }
    REQUIRE(b.at.guests.size() == 1);
    CHECK(told > 2); // The limit is of what waits, not of what is said.
    REQUIRE(b.at.malformed.size() == 1);
    CHECK(b.at.malformed[0].find("limits.client_queue_bytes") != std::string::npos);
    b.tell(guest, large); // It has gone: nothing happens.
    b.tell(b.at.guests[0], net::client_pong{});
    CHECK(run_until(b.io, [&] { return !other->heard.empty(); }));
}

TEST_CASE("one message may be larger than the limit of what waits") {
    bench b;
    b.at.options.guest_queue_bytes = 1000;
    b.at.start();
    auto const p = b.client();
    net::client_answer large;
    large.outcome.result = std::string(500'000, 'x');
    b.tell(b.at.guests[0], large);
    CHECK(run_until(b.io, [&] { return p->heard == net::encode(net::client_reply(large)); }));
}

TEST_CASE("guests can be closed, one or all, and nothing is told of them after stop") {
    bench b;
    b.at.start();
    auto const c1 = b.client(2), c2 = b.client(3), c3 = b.client(4);
    b.at.l->close(b.at.guests[0]);
    CHECK(run_until(b.io, [&] { return c1->closed && b.at.guests.size() == 2; }));
    b.at.l->close_guests();
    CHECK(run_until(b.io, [&] { return c2->closed && c3->closed && b.at.guests.empty(); }));
    auto const c4 = b.client(5);
    auto const events = b.at.guests.size();
    b.at.l->stop();
    CHECK(run_until(b.io, [&] { return c4->closed; }));
    CHECK(b.at.guests.size() == events);
}

} // namespace listener_guests_test
