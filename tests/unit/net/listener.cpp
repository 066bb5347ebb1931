#include <openreplica/config.hpp>

#include <openreplica/net/listener.hpp>

#include "loopback.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <string_view>

namespace listener_test {

using namespace net_test;
using namespace std::string_view_literals;

/// A listener that runs, and peers that come to it.
struct bench {
    asio::io_context io;
    listening at{io};

    std::shared_ptr<raw_peer> stranger() { return raw_peer::connect(io, at.address()); }
    /// A peer whose hello was accepted.
    std::shared_ptr<raw_peer> friendly(std::uint64_t id = 2, std::uint64_t high = 0) {
        auto p = stranger();
        auto const before = at.accepted.size();
        net::hello h = some_hello(id);
        h.self.id.high = high;
        p->say(net::encode(h));
        REQUIRE(run_until(io, [&] { return at.accepted.size() == before + 1 && !p->heard.empty(); }));
        return p;
    }
    void check_closed(raw_peer const& p) {
        CHECK(run_until(io, [&] { return p.closed; }));
    }
    /// The peer is closed because of what it said, it is said once why, and nobody else suffers.
    void check_malformed(std::shared_ptr<raw_peer> p, std::string_view words) {
        auto const other = friendly(9);
        check_closed(*p);
        REQUIRE(at.malformed.size() == 1);
        CAPTURE(at.malformed[0]);
        CHECK(at.malformed[0].find(words) != std::string::npos);
        CHECK(at.l->malformed_count() == 1);
        CHECK(at.l->connections() == 1);
        other->say(heartbeat_frame(99));
        CHECK(run_until(io, [&] { return !at.heartbeats().empty() && at.heartbeats().back() == 99; }));
        CHECK(at.malformed.size() == 1);
    }
};

std::vector<std::uint64_t> first_numbers(std::size_t n) {
    std::vector<std::uint64_t> v(n);
    std::iota(v.begin(), v.end(), 1);
    return v;
}

TEST_CASE("a peer that says hello gets the answer, and its messages arrive in order under its name") {
    bench b;
    b.at.start();
    auto const p = b.friendly(2);
    CHECK(b.at.accepted[0] == some_hello(2));
    CHECK(p->heard == net::encode(net::hello_reply{net::refusal::none, "", member_of(1), {}, 1}));
    for (std::uint64_t i = 1; i <= 500; ++i) p->say(heartbeat_frame(i));
    REQUIRE(run_until(b.io, [&] { return b.at.messages.size() == 500; }));
    CHECK(b.at.heartbeats() == first_numbers(500));
    for (auto const& [from, m] : b.at.messages) CHECK(from == member_of(2));
    CHECK(b.at.malformed.empty());
    CHECK(b.at.l->connections() == 1);
}

TEST_CASE("every sample message arrives as it left, whatever it is cut into on the way") {
    bench b;
    b.at.start();
    auto const p = b.friendly();
    std::string all;
    for (auto const& f : sample_frames()) all += f;
    asio::error_code ignored;
    p->socket().set_option(tcp::no_delay(true), ignored);
    for (std::size_t at = 0; at < all.size(); at += 97) p->say(all.substr(at, 97));
    REQUIRE(run_until(b.io, [&] { return b.at.messages.size() == sample_frames().size(); }));
    std::string back;
    for (auto const& [from, m] : b.at.messages) back += encode_any(m);
    CHECK(back == all);
}

TEST_CASE("a frame that comes byte by byte arrives like any other") {
    bench b;
    b.at.start();
    auto const p = b.stranger();
    for (char c : net::encode(some_hello(2)) + heartbeat_frame(1)) {
        p->say(std::string(1, c));
        b.io.restart();
        b.io.poll();
    }
    CHECK(run_until(b.io, [&] { return b.at.heartbeats() == first_numbers(1); }));
    CHECK(b.at.malformed.empty());
}

TEST_CASE("messages that follow the hello without waiting for its answer arrive") {
    bench b;
    b.at.start();
    auto const p = b.stranger();
    std::string all = net::encode(some_hello(2));
    for (std::uint64_t i = 1; i <= 300; ++i) all += heartbeat_frame(i);
    p->say(all);
    CHECK(run_until(b.io, [&] { return b.at.heartbeats() == first_numbers(300); }));
}

TEST_CASE("the end of a batch is told after its messages, and never without one") {
    bench b;
    b.at.start();
    auto const p = b.friendly();
    b.at.batches = 0;
    p->say(heartbeat_frame(1) + heartbeat_frame(2) + heartbeat_frame(3));
    REQUIRE(run_until(b.io, [&] { return b.at.batches > 0; }));
    CHECK(b.at.messages.size() == 3);
    CHECK(b.at.batches == 1);
    p->say(heartbeat_frame(4).substr(0, 30));
    run_a_while(b.io);
    CHECK(b.at.batches == 1);
}

TEST_CASE("garbage from a stranger closes that connection only and is reported once") {
    bench b;
    b.at.start();
    auto const p = b.stranger();
    SUBCASE("another protocol") {
        p->say("GET / HTTP/1.1\r\nHost: bank.example.org\r\n\r\n");
        b.check_malformed(p, "something else speaks to this port");
    }
    SUBCASE("a lot of it") {
        p->say(std::string(1 << 20, '\xff'));
        b.check_malformed(p, "something else speaks to this port");
    }
    SUBCASE("a message without a hello") {
        p->say(heartbeat_frame(1));
        b.check_malformed(p, "the first message is no hello");
        CHECK(b.at.heartbeats().size() == 1);
    }
    SUBCASE("a hello that is malformed") {
        std::string f = net::begin_frame(0) + "hello";
        net::finish_frame(f, net::hello_type);
        p->say(f);
        b.check_malformed(p, "the first message is no hello");
    }
    SUBCASE("a hello with a damaged body") {
        std::string f = net::encode(some_hello(2));
        f.back() ^= 1;
        p->say(f);
        b.check_malformed(p, "a message's checksum is wrong");
    }
    SUBCASE("a hello with a damaged header") {
        std::string f = net::encode(some_hello(2));
        f[5] ^= 1;
        p->say(f);
        b.check_malformed(p, "a header's checksum is wrong");
    }
}

TEST_CASE("what is malformed after the hello closes that connection only, and the sender is named") {
    bench b;
    b.at.start();
    auto const p = b.friendly(2, 0xabcd'ef01'2345'6789);
    std::string f = heartbeat_frame(1);
    SUBCASE("a body with a wrong checksum") {
        f.back() ^= 1;
        p->say(f + heartbeat_frame(2));
        b.check_malformed(p, "a message's checksum is wrong, from node abcdef01; the connection was closed");
    }
    SUBCASE("a body that is cut short, with a checksum that fits") {
        f.pop_back();
        net::finish_frame(f, 9);
        p->say(f);
        b.check_malformed(p, "a message of type 9 is malformed");
    }
    SUBCASE("an unknown type") {
        net::finish_frame(f, 200);
        p->say(f);
        b.check_malformed(p, "a message of type 200 is malformed");
    }
    SUBCASE("a second hello") {
        p->say(net::encode(some_hello(2)));
        b.check_malformed(p, "a message of type 128 is malformed");
    }
    SUBCASE("garbage between the frames") {
        p->say(std::string(40, 'x'));
        b.check_malformed(p, "something else speaks to this port");
    }
    CHECK(b.at.heartbeats() == std::vector<std::uint64_t>{99});
}

TEST_CASE("messages before a malformed one in the same read are delivered") {
    bench b;
    b.at.start();
    auto const p = b.friendly();
    p->say(heartbeat_frame(1) + heartbeat_frame(2) + std::string(40, 'x'));
    b.check_closed(*p);
    CHECK(b.at.heartbeats() == first_numbers(2));
}

TEST_CASE("a message of exactly the limit arrives, and one byte more closes the connection") {
    bench b;
    b.at.options.max_frame = 100'000;
    b.at.start();
    auto const p = b.friendly();
    p->say(forward_frame(100'000));
    REQUIRE(run_until(b.io, [&] { return b.at.messages.size() == 1; }));
    CHECK(encode_any(b.at.messages[0].second) == forward_frame(100'000));
    p->say(forward_frame(100'001));
    b.check_malformed(p, "a message of 100001 bytes exceeds the limit of 100000");
}

TEST_CASE("a stranger may send a hello's worth of bytes and no more, however large messages may be") {
    bench b;
    b.at.start();
    auto hello_of = [](std::size_t body_size) {
        net::hello h = some_hello(2);
        auto const fixed = body_of(net::encode(h)).size() - h.group.size();
        h.group = std::string(body_size - fixed, 'g');
        return net::encode(h);
    };
    auto const p = b.stranger();
    b.at.mine.group = std::string(net::max_handshake_frame, 'g');
    p->say(hello_of(net::max_handshake_frame));
    REQUIRE(run_until(b.io, [&] { return b.at.judged.size() == 1; }));
    CHECK(b.at.malformed.empty());
    b.check_closed(*p); // the group is another one
    b.at.mine = some_hello(1);
    auto const q = b.stranger();
    q->say(hello_of(net::max_handshake_frame + 1).substr(0, net::frame_header_size));
    b.check_malformed(q, "a message of 65537 bytes exceeds the limit of 65536");
}

TEST_CASE("a refused hello is answered with the reason and then the connection is closed, without an alarm") {
    bench b;
    b.at.start();
    auto const p = b.stranger();
    net::hello h = some_hello(2);
    h.group = "shop";
    p->say(net::encode(h));
    b.check_closed(*p);
    auto const reply = net::decode_hello_reply(p->heard.substr(net::frame_header_size));
    REQUIRE(reply);
    CHECK(reply->reason == net::refusal::wrong_group);
    CHECK(reply->text.find("\"bank\"") != std::string::npos);
    CHECK(b.at.accepted.empty());
    CHECK(b.at.malformed.empty());
    CHECK(b.at.batches == 0);
    CHECK(b.at.l->connections() == 0);
}

TEST_CASE("a stranger that says nothing, or goes on slowly, is closed when the time for its hello is over") {
    bench b;
    b.at.options.hello_timeout = 40ms;
    b.at.start();
    auto const began = std::chrono::steady_clock::now();
    auto const p = b.stranger();
    SUBCASE("nothing") {}
    SUBCASE("a part of a hello") { p->say(net::encode(some_hello(2)).substr(0, 50)); }
    SUBCASE("a byte now and then") {
        std::string const frame = net::encode(some_hello(2));
        for (std::size_t i = 0; i < 60 && !p->closed; ++i) {
            p->say(frame.substr(i, 1));
            run_a_while(b.io, 10);
        }
        CHECK(p->closed); // A byte buys no more time.
    }
    b.check_closed(*p);
    CHECK(std::chrono::steady_clock::now() - began >= 40ms);
    REQUIRE(b.at.malformed.size() == 1);
    CHECK(b.at.malformed[0] == "a connection did not complete its handshake in time");
    CHECK(b.at.judged.empty());
    CHECK(b.at.l->connections() == 0);
}

TEST_CASE("a message that is begun and not completed in time closes its connection; a silent peer stays") {
    bench b;
    b.at.options.frame_timeout = 100ms;
    b.at.start();
    auto const quiet = b.friendly(2);
    auto const slow = b.friendly(3);
    // The time for a message ends with the message, also when that came in two parts.
    quiet->say(heartbeat_frame(1).substr(0, 30));
    run_a_while(b.io, 3);
    quiet->say(heartbeat_frame(1).substr(30));
    REQUIRE(run_until(b.io, [&] { return b.at.heartbeats().size() == 1; }));
    SUBCASE("a part of a header") { slow->say(heartbeat_frame(2).substr(0, 5)); }
    SUBCASE("a part of a body") { slow->say(heartbeat_frame(2).substr(0, 40)); }
    SUBCASE("a part behind a whole message") { slow->say(heartbeat_frame(2) + heartbeat_frame(3).substr(0, 40)); }
    SUBCASE("a byte now and then") {
        std::string const frame = heartbeat_frame(2);
        for (std::size_t i = 0; i < 60 && !slow->closed; ++i) {
            slow->say(frame.substr(i, 1));
            run_a_while(b.io, 10);
        }
        CHECK(slow->closed); // A byte buys no more time.
    }
    b.check_closed(*slow);
    REQUIRE(b.at.malformed.size() == 1);
    CHECK(b.at.malformed[0] == "a message was not completed in time");
    quiet->say(heartbeat_frame(9));
    CHECK(run_until(b.io, [&] { return b.at.heartbeats().back() == 9; }));
    CHECK(!quiet->closed);
}

TEST_CASE("a peer that completes a message in time may take as long for the next one") {
    bench b;
    b.at.options.frame_timeout = 400ms;
    b.at.start();
    auto const p = b.friendly();
    // In halves across the frames: the connection is never without a message that has begun.
    std::string all;
    for (std::uint64_t i = 1; i <= 9; ++i) all += heartbeat_frame(i);
    std::size_t const size = all.size() / 9;
    for (std::size_t i = 0; i < 9; ++i) {
        p->say(all.substr(i == 0 ? 0 : i * size - size / 2, i == 0 ? size / 2 : size));
        run_a_while(b.io, 60);
    }
    p->say(all.substr(9 * size - size / 2));
    CHECK(run_until(b.io, [&] { return b.at.heartbeats() == first_numbers(9); }));
    CHECK(b.at.malformed.empty());
}

TEST_CASE("as many connections as the limit are taken, and one more is closed and reported") {
    bench b;
    b.at.options.max_connections = 3;
    b.at.start();
    std::vector<std::shared_ptr<raw_peer>> peers;
    for (std::uint64_t id = 2; id <= 4; ++id) peers.push_back(b.friendly(id));
    auto const fourth = b.stranger();
    b.check_closed(*fourth);
    REQUIRE(b.at.malformed.size() == 1);
    CHECK(b.at.malformed[0].find("too many (limits.max_connections)") != std::string::npos);
    CHECK(b.at.l->connections() == 3);
    peers[0]->close();
    REQUIRE(run_until(b.io, [&] { return b.at.l->connections() == 2; }));
    auto const fifth = b.friendly(5);
    CHECK(b.at.l->connections() == 3);
    CHECK(b.at.malformed.size() == 1);
}

TEST_CASE("as many strangers as the limit are waited for, and one more is closed, but friends do not count") {
    bench b;
    b.at.options.max_strangers = 2;
    b.at.start();
    auto const f = b.friendly(2), g = b.friendly(3), h = b.friendly(4);
    auto const first = b.stranger();
    auto const second = b.stranger();
    REQUIRE(run_until(b.io, [&] { return b.at.l->connections() == 5; }));
    auto const third = b.stranger();
    b.check_closed(*third);
    CHECK(b.at.malformed.size() == 1);
    CHECK(!first->closed);
    CHECK(!second->closed);
    first->say(net::encode(some_hello(5)));
    REQUIRE(run_until(b.io, [&] { return b.at.accepted.size() == 4; }));
    auto const fourth = b.friendly(6);
    CHECK(b.at.malformed.size() == 1);
}

TEST_CASE("a refused peer that does not take its answer is closed all the same") {
    bench b;
    b.at.options.hello_timeout = 300ms;
    // An answer that names this group fits no socket's buffer, so that writing it waits for the reader.
    b.at.mine.group = std::string(32u << 20, 'g');
    b.at.start();
    tcp::socket s(b.io);
    s.connect({asio::ip::make_address("127.0.0.1"), b.at.address().port});
    auto const p = std::make_shared<raw_peer>(std::move(s));
    p->say(net::encode(some_hello(2))); // and never listens
    REQUIRE(run_until(b.io, [&] { return b.at.judged.size() == 1; }));
    CHECK(run_until(b.io, [&] { return b.at.l->connections() == 0; }));
    CHECK(b.at.accepted.empty());
}

TEST_CASE("after stop no event is delivered, from wherever stop was called") {
    bench b;
    std::size_t stop_after = 0;
    // With everything below sent in one piece the events are: judge, accepted, three messages, end of batch, malformed.
    SUBCASE("judge") { stop_after = 1; }
    SUBCASE("accepted") { stop_after = 2; }
    SUBCASE("the first message") { stop_after = 3; }
    SUBCASE("the last message") { stop_after = 5; }
    SUBCASE("the end of the batch") { stop_after = 6; }
    SUBCASE("malformed") { stop_after = 7; }
    b.at.after_event = [&] {
        if (b.at.events() == stop_after) b.at.l->stop();
    };
    b.at.start();
    auto const p = b.stranger();
    p->say(net::encode(some_hello(2)) + heartbeat_frame(1) + heartbeat_frame(2) + heartbeat_frame(3));
    REQUIRE(run_until(b.io, [&] { return b.at.events() >= std::min<std::size_t>(stop_after, 6); }));
    p->say(std::string(40, 'x'));
    b.check_closed(*p);
    CHECK(b.at.events() == stop_after);
    CHECK(b.at.l->connections() == 0);
    CHECK_MESSAGE(run_dry(b.io), "something still waits");
}

TEST_CASE("stop closes every connection, gives the port back and leaves nothing to wait for") {
    bench b;
    b.at.start();
    auto const f = b.friendly(2);
    auto const s = b.stranger();
    REQUIRE(run_until(b.io, [&] { return b.at.l->connections() == 2; }));
    auto const where = b.at.address();
    auto const before = b.at.events();
    SUBCASE("once") { b.at.l->stop(); }
    SUBCASE("twice") {
        b.at.l->stop();
        b.at.l->stop();
    }
    SUBCASE("by its destructor") { b.at.l.reset(); }
    f->say(heartbeat_frame(1));
    CHECK(run_dry(b.io));
    CHECK(f->closed);
    CHECK(s->closed);
    CHECK(b.at.events() == before);
    listening again(b.io);
    again.start(where);
    CHECK(again.address() == where);
}

TEST_CASE("a listener that never began to accept can be stopped") {
    asio::io_context io;
    listening at(io);
    net::listener l(io.get_executor(), {"127.0.0.1", 0}, {}, {});
    CHECK(l.local_endpoint().port != 0);
    l.stop();
    CHECK(run_dry(io));
}

TEST_CASE("a place where nobody can listen is refused with what is wrong and what to do") {
    bench b;
    b.at.start();
    auto const fails = [&](endpoint const& where, errc code, std::string const& words) {
        CAPTURE(to_string(where));
        try {
            net::listener l(b.io.get_executor(), where, {}, {});
            FAIL_CHECK("it listens");
        } catch (error const& e) {
            CHECK(e.code() == make_error_code(code));
            CHECK_MESSAGE(std::string(e.what()).find(words) != std::string::npos, e.what());
        }
    };
    fails(b.at.address(), errc::address_in_use, "cannot listen on " + to_string(b.at.address()));
    fails({"203.0.113.7", 0}, errc::address_in_use, "not this machine's"); // an address of the documentation's net
    fails({"bank.example.org", 0}, errc::bad_option, "\"bank.example.org\" is not an IP address");
    fails({"", 0}, errc::bad_option, "write for example 127.0.0.1");
}

TEST_CASE("port 0 gives a free port, and localhost is the loopback address") {
    asio::io_context io;
    listening at(io);
    at.start({"localhost", 0});
    CHECK(at.address().host == "localhost");
    CHECK(at.address().port != 0);
    auto const p = raw_peer::connect(io, at.address());
    p->say(net::encode(some_hello(2)));
    CHECK(run_until(io, [&] { return at.accepted.size() == 1; }));
}

} // namespace listener_test
