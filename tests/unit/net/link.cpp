#include <openreplica/config.hpp>

#include <openreplica/net/link.hpp>

#include "loopback.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>

namespace link_test {

using namespace net_test;

/// A link and everything it reported.
struct linked {
    asio::io_context& io;
    net::link_options options{};
    net::hello mine = some_hello(2);
    std::vector<net::hello_reply> ups{};
    std::vector<net::hello_reply> refusals{};
    std::vector<std::pair<std::error_code, bool>> downs{};
    std::function<void()> after_event = [] {};
    std::shared_ptr<net::link> l{};

    explicit linked(asio::io_context& context) : io(context) {
        // Short pauses, and waits that only a failing test sees the end of.
        options.connect_timeout = options.handshake_timeout = patience;
        options.first_retry = options.last_retry = options.refused_retry = 2ms;
    }
    ~linked() {
        if (l) l->stop();
    }
    void start(endpoint const& where) {
        net::link::events e;
        e.up = [this](net::hello_reply const& r) { ups.push_back(r), after_event(); };
        e.refused = [this](net::hello_reply const& r) { refusals.push_back(r), after_event(); };
        e.down = [this](std::error_code why, bool was_up) { downs.emplace_back(why, was_up), after_event(); };
        l = net::link::make(io.get_executor(), where, mine, options, std::move(e));
        l->start();
    }
    [[nodiscard]] bool wait_up(std::size_t times = 1) {
        return run_until(io, [&] { return ups.size() >= times; });
    }
    void send(std::string frame, net::priority p = net::priority::normal) {
        l->send(std::make_shared<std::string const>(std::move(frame)), p);
    }
    [[nodiscard]] std::size_t events() const { return ups.size() + refusals.size() + downs.size(); }
};

/// A link to a real listener.
struct bench {
    asio::io_context io;
    listening at{io};
    linked from{io};

    void start() {
        at.start();
        from.start(at.address());
    }
};

/// A link to a server that answers every hello with the given bytes.
struct scripted_bench {
    asio::io_context io;
    raw_server at{io};
    linked from{io};

    explicit scripted_bench(std::string answer) {
        at.on_accept = [answer](raw_peer& p) {
            p.say(answer);
            p.listen();
        };
    }
    void check_down(std::error_code expected) {
        from.start(at.address());
        // Twice: it is reported every time, and tried again.
        REQUIRE(run_until(io, [&] { return from.downs.size() >= 2; }));
        CHECK_MESSAGE(from.downs[0].first == expected, from.downs[0].first.message());
        CHECK(!from.downs[0].second);
        CHECK(from.ups.empty());
        CHECK(from.refusals.empty());
        CHECK(!from.l->is_up());
    }
};

std::string welcome_frame() {
    return net::encode(net::hello_reply{net::refusal::none, "", member_of(1), some_cluster, 1});
}
std::error_code broken_protocol() { return std::make_error_code(std::errc::protocol_error); }

TEST_CASE("a link says hello, hears the answer, and its frames arrive in order") {
    bench b;
    b.start();
    CHECK(!b.from.l->is_up());
    REQUIRE(b.from.wait_up());
    CHECK(b.from.l->is_up());
    CHECK(b.from.ups[0] == net::hello_reply{net::refusal::none, "", member_of(1), {}, 1});
    CHECK(b.at.accepted.at(0) == b.from.mine);
    for (std::uint64_t i = 1; i <= 1000; ++i) b.from.send(heartbeat_frame(i));
    REQUIRE(run_until(b.io, [&] { return b.at.messages.size() == 1000; }));
    auto const numbers = b.at.heartbeats();
    for (std::size_t i = 0; i < 1000; ++i) CHECK(numbers[i] == i + 1);
    CHECK(b.from.l->dropped() == 0);
    CHECK(b.from.events() == 1);
    CHECK(b.at.malformed.empty());
}

TEST_CASE("a connection uses the version that both sides agreed on") {
    bench b;
    b.at.mine.newest = 7;
    b.from.mine.newest = 5;
    b.start();
    CHECK(b.from.l->protocol() == 0);
    REQUIRE(b.from.wait_up());
    CHECK(b.from.l->protocol() == 5);
    b.from.l->stop();
    CHECK(b.from.l->protocol() == 0);
}

TEST_CASE("an answer with a version that this side does not speak ends the connection") {
    for (std::uint16_t version : {std::uint16_t{0}, std::uint16_t{2}})
        scripted_bench(net::encode(net::hello_reply{net::refusal::none, "", member_of(1), some_cluster, version}))
            .check_down(broken_protocol());
}

TEST_CASE("large and small frames that gather while another is written arrive whole") {
    bench b;
    b.start();
    REQUIRE(b.from.wait_up());
    std::string sent;
    for (std::size_t i = 0; i < 30; ++i)
        for (auto const& frame : {forward_frame(100 + i * 30'000), heartbeat_frame(i)}) {
            sent += frame;
            b.from.send(frame);
            b.io.restart();
            b.io.poll_one();
        }
    REQUIRE(run_until(b.io, [&] { return b.at.messages.size() == 60; }));
    std::string arrived;
    for (auto const& [who, m] : b.at.messages) arrived += encode_any(m);
    CHECK(arrived == sent);
}

TEST_CASE("a host may be given by its name") {
    bench b;
    b.at.start();
    b.from.start({"localhost", b.at.address().port});
    CHECK(b.from.wait_up());
}

TEST_CASE("frames before the connection is up are lost and counted") {
    bench b;
    b.start();
    b.from.send(heartbeat_frame(1));
    b.from.send(heartbeat_frame(2), net::priority::droppable);
    CHECK(b.from.l->dropped() == 2);
    REQUIRE(b.from.wait_up());
    b.from.send(heartbeat_frame(3));
    CHECK(run_until(b.io, [&] { return b.at.heartbeats() == std::vector<std::uint64_t>{3}; }));
    CHECK(b.from.l->dropped() == 2);
}

TEST_CASE("a refused link reports the reason, tries again, and is up when the reason is gone") {
    bench b;
    b.at.mine.group = "shop";
    b.start();
    REQUIRE(run_until(b.io, [&] { return b.from.refusals.size() == 3; }));
    CHECK(b.from.refusals[0].reason == net::refusal::wrong_group);
    CHECK(b.from.refusals[0].text.find("\"shop\"") != std::string::npos);
    CHECK(b.from.refusals[0].self == member_of(1));
    CHECK(!b.from.l->is_up());
    CHECK(b.from.downs.empty());
    b.at.mine.group = "bank";
    REQUIRE(b.from.wait_up());
    CHECK(b.from.downs.empty());
}

TEST_CASE("a link whose listener went comes back when it is there again on the same port") {
    bench b;
    b.start();
    REQUIRE(b.from.wait_up());
    auto const where = b.at.address();
    b.at.l->stop();
    REQUIRE(run_until(b.io, [&] { return b.from.downs.size() >= 3; }));
    CHECK(b.from.downs[0].second);
    // What follows are attempts that never got up.
    CHECK(!b.from.downs[1].second);
    CHECK(b.from.downs[1].first == asio::error::connection_refused);
    CHECK(!b.from.l->is_up());
    b.at.start(where);
    REQUIRE(b.from.wait_up(2));
    b.from.send(heartbeat_frame(7));
    CHECK(run_until(b.io, [&] { return b.at.heartbeats() == std::vector<std::uint64_t>{7}; }));
}

TEST_CASE("frames that wait when the connection breaks are lost, and do not come out of the next one") {
    scripted_bench b(welcome_frame());
    b.at.on_accept = [](raw_peer& p) { p.say(welcome_frame()); }; // and never listens
    b.from.start(b.at.address());
    REQUIRE(b.from.wait_up());
    for (int i = 0; i < 100; ++i) b.from.send(forward_frame(100'000));
    b.at.peers[0]->close();
    REQUIRE(run_until(b.io, [&] { return b.from.downs.size() == 1; }));
    CHECK(b.from.downs[0].second);
    REQUIRE(b.from.wait_up(2));
    b.from.send(heartbeat_frame(7));
    auto const& peer = b.at.peers.at(1);
    peer->listen();
    auto const expected = net::encode(b.from.mine) + heartbeat_frame(7);
    CHECK(run_until(b.io, [&] { return peer->heard.size() >= expected.size(); }));
    CHECK(peer->heard == expected);
}

TEST_CASE("an answer that is none ends the attempt, and another is made") {
    std::string frame = welcome_frame();
    SUBCASE("garbage") { scripted_bench(std::string(100, 'x')).check_down(broken_protocol()); }
    SUBCASE("a frame of another type") {
        net::finish_frame(frame, net::hello_type);
        scripted_bench(frame).check_down(broken_protocol());
    }
    SUBCASE("a damaged header") {
        frame[9] ^= 1;
        scripted_bench(frame).check_down(broken_protocol());
    }
    SUBCASE("a damaged body") {
        frame.back() ^= 1;
        scripted_bench(frame).check_down(broken_protocol());
    }
    SUBCASE("a body that is no answer") {
        frame.pop_back();
        net::finish_frame(frame, net::hello_reply_type);
        scripted_bench(frame).check_down(broken_protocol());
    }
    SUBCASE("no body") {
        frame = net::begin_frame(0);
        net::finish_frame(frame, net::hello_reply_type);
        scripted_bench(frame).check_down(broken_protocol());
    }
    SUBCASE("a body longer than any answer") {
        frame += std::string(net::max_handshake_frame, 'x');
        net::finish_frame(frame, net::hello_reply_type);
        scripted_bench(frame).check_down(broken_protocol());
    }
}

TEST_CASE("a server that closes instead of answering ends the attempt, and another is made") {
    scripted_bench b("");
    b.at.on_accept = [](raw_peer& p) {
        asio::error_code ignored;
        p.socket().shutdown(tcp::socket::shutdown_send, ignored);
        p.listen();
    };
    b.check_down(asio::error::eof);
}

TEST_CASE("a port where nobody listens is tried again and again") {
    asio::io_context io;
    linked from(io);
    {
        raw_server gone(io);
        from.start(gone.address());
    }
    REQUIRE(run_until(io, [&] { return from.downs.size() >= 5; }));
    for (auto const& [why, was_up] : from.downs) CHECK(!was_up);
    CHECK(from.downs.back().first == asio::error::connection_refused);
}

TEST_CASE("a server that says nothing, or half of an answer, is given up after the handshake's time") {
    scripted_bench b("");
    SUBCASE("nothing") {}
    SUBCASE("half of a header") {
        b.at.on_accept = [](raw_peer& p) { p.say(welcome_frame().substr(0, 10)), p.listen(); };
    }
    SUBCASE("half of a body") {
        b.at.on_accept = [](raw_peer& p) { p.say(welcome_frame().substr(0, 30)), p.listen(); };
    }
    b.from.options.handshake_timeout = 30ms;
    auto const began = std::chrono::steady_clock::now();
    b.check_down(std::make_error_code(std::errc::timed_out));
    CHECK(std::chrono::steady_clock::now() - began >= 60ms);
}

TEST_CASE("a host that does not answer the connection is given up after the connection's time") {
    asio::io_context io;
    // A queue that is full answers no further connection on Linux. Elsewhere the handshake's time ends the wait.
    tcp::acceptor full(io, tcp::v4());
    full.bind({asio::ip::make_address("127.0.0.1"), 0});
    full.listen(0);
    std::vector<tcp::socket> fillers;
    for (int i = 0; i < 4; ++i) {
        fillers.emplace_back(io);
        fillers.back().async_connect(full.local_endpoint(), [](asio::error_code) {});
    }
    linked from(io);
    from.options.connect_timeout = 30ms;
#if !defined(__linux__)
    from.options.handshake_timeout = 30ms;
#endif
    from.start({"127.0.0.1", full.local_endpoint().port()});
    REQUIRE(run_until(io, [&] { return from.downs.size() >= 2; }));
    CHECK(from.downs[0].first == std::make_error_code(std::errc::timed_out));
    CHECK(!from.downs[0].second);
}

TEST_CASE("a server that says anything after its answer, or closes, ends the connection") {
    scripted_bench b(welcome_frame());
    b.from.start(b.at.address());
    REQUIRE(b.from.wait_up());
    CHECK(b.from.ups[0].cluster == some_cluster);
    std::error_code expected;
    SUBCASE("a byte") {
        b.at.peers[0]->say("x");
        expected = broken_protocol();
    }
    SUBCASE("it closes") {
        b.at.peers[0]->socket().shutdown(tcp::socket::shutdown_send);
        expected = asio::error::eof;
    }
    REQUIRE(run_until(b.io, [&] { return b.from.downs.size() == 1; }));
    CHECK(b.from.downs[0].first == expected);
    CHECK(b.from.downs[0].second);
    CHECK(b.from.wait_up(2));
}

/// How many frames of this priority find room before the first is lost; nothing is written meanwhile.
std::size_t room_for(linked& from, std::size_t frame_size, net::priority p) {
    auto const before = from.l->dropped();
    std::size_t taken = 0;
    for (;; ++taken) {
        from.send(std::string(frame_size, 'x'), p);
        if (from.l->dropped() != before) return taken;
    }
}

TEST_CASE("frames up to the queue's limit are taken and one more is lost and counted") {
    scripted_bench b(welcome_frame());
    b.from.options.queue_bytes = 100'000;
    b.from.start(b.at.address());
    REQUIRE(b.from.wait_up());
    SUBCASE("normal frames have all of it") {
        CHECK(room_for(b.from, 1000, net::priority::normal) == 100);
        CHECK(b.from.l->dropped() == 1);
        CHECK(room_for(b.from, 1, net::priority::normal) == 0);
        CHECK(b.from.l->dropped() == 2);
    }
    SUBCASE("droppable ones have half of it") {
        CHECK(room_for(b.from, 1000, net::priority::droppable) == 50);
        CHECK(room_for(b.from, 1000, net::priority::normal) == 50);
        CHECK(b.from.l->dropped() == 2);
    }
    SUBCASE("one frame may be as large as the queue, and not larger") {
        CHECK(room_for(b.from, 100'001, net::priority::normal) == 0);
        CHECK(room_for(b.from, 100'000, net::priority::normal) == 1);
    }
    auto const& peer = *b.at.peers[0];
    auto const hello_size = net::encode(b.from.mine).size();
    // What was taken arrives, and then there is room again.
    REQUIRE(run_until(b.io, [&] { return peer.heard.size() == hello_size + 100'000; }));
    run_a_while(b.io, 3);
    CHECK(room_for(b.from, 1000, net::priority::normal) == 100);
    CHECK(b.from.downs.empty());
}

TEST_CASE("a queue that was full when the connection broke is empty on the next one") {
    scripted_bench b(welcome_frame());
    b.from.options.queue_bytes = 100'000;
    b.from.start(b.at.address());
    REQUIRE(b.from.wait_up());
    CHECK(room_for(b.from, 1000, net::priority::normal) == 100);
    b.at.peers[0]->close();
    REQUIRE(b.from.wait_up(2));
    CHECK(room_for(b.from, 1000, net::priority::normal) == 100);
}

TEST_CASE("after stop a link reports nothing, holds nothing, and leaves nothing to wait for") {
    bench b;
    b.at.start();
    auto const where = b.at.address();
    SUBCASE("while it connects") { b.from.start(where); }
    SUBCASE("while it looks up a name") { b.from.start({"localhost", where.port}); }
    SUBCASE("while it is up and writes") {
        b.from.start(where);
        REQUIRE(b.from.wait_up());
        for (int i = 0; i < 100; ++i) b.from.send(forward_frame(100'000));
    }
    SUBCASE("while it pauses after a refusal") {
        b.at.mine.group = "shop";
        b.from.start(where);
        REQUIRE(run_until(b.io, [&] { return b.from.refusals.size() == 1; }));
    }
    SUBCASE("while it pauses after a failure") {
        b.at.l->stop();
        b.from.start(where);
        REQUIRE(run_until(b.io, [&] { return b.from.downs.size() == 1; }));
    }
    auto const before = b.from.events();
    b.from.l->stop();
    CHECK(!b.from.l->is_up());
    auto const dropped = b.from.l->dropped();
    b.from.send(heartbeat_frame(1));
    CHECK(b.from.l->dropped() == dropped + 1);
    std::weak_ptr<net::link> const watch = b.from.l;
    b.from.l.reset();
    if (b.at.l) b.at.l->stop();
    CHECK(run_dry(b.io));
    CHECK(b.from.events() == before);
    CHECK(watch.expired());
}

TEST_CASE("a link may be stopped from inside any of its events, and that event is the last") {
    bench b;
    b.at.start();
    auto const where = b.at.address();
    SUBCASE("up") {}
    SUBCASE("refused") { b.at.mine.group = "shop"; }
    SUBCASE("down") { b.at.l->stop(); }
    b.from.after_event = [&] { b.from.l->stop(); };
    b.from.start(where);
    REQUIRE(run_until(b.io, [&] { return b.from.events() == 1; }));
    run_a_while(b.io, 20);
    b.at.l->stop();
    CHECK(run_dry(b.io));
    CHECK(b.from.events() == 1);
    CHECK(!b.from.l->is_up());
}

TEST_CASE("events come from the executor, never from inside a member") {
    bench b;
    b.start();
    CHECK(b.from.events() == 0);
    REQUIRE(b.from.wait_up());
    b.at.l->stop();
    b.from.send(heartbeat_frame(1));
    CHECK(b.from.events() == 1);
    CHECK(run_until(b.io, [&] { return b.from.downs.size() == 1; }));
}

} // namespace link_test
