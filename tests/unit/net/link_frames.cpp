// A link over which the other side answers.
#include <openreplica/config.hpp>

#include <openreplica/net/link.hpp>

#include "loopback.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <vector>

namespace link_frames_test {

using namespace net_test;

struct bench {
    asio::io_context io;
    raw_server at{io};
    std::vector<std::string> frames;
    int batches = 0, ups = 0;
    std::vector<std::error_code> downs;
    std::function<void()> after_frame = [] {};
    std::shared_ptr<net::link> l;

    explicit bench(std::size_t max_frame = 1u << 20) {
        net::link_options o;
        o.connect_timeout = o.handshake_timeout = patience;
        o.first_retry = o.last_retry = o.refused_retry = 2ms;
        o.max_frame = max_frame;
        net::link::events e;
        e.up = [this](net::hello_reply const&) { ++ups; };
        e.refused = [](net::hello_reply const&) {};
        e.down = [this](std::error_code why, bool) { downs.push_back(why); };
        e.frame = [this](net::frame_stream::frame const& f) {
            frames.emplace_back(f.text());
            after_frame();
            return net::decode_client_reply(f.header.type, f.bytes, f.body, f.header.length).has_value();
        };
        e.batch_end = [this] { ++batches; };
        at.on_accept = [](raw_peer& p) {
            p.say(net::encode(net::hello_reply{net::refusal::none, "", member_of(1), some_cluster, 1}));
            p.listen();
        };
        l = net::link::make(io.get_executor(), at.address(), client_hello(), o, std::move(e));
        l->start();
        REQUIRE(run_until(io, [&] { return ups == 1; }));
    }
    ~bench() { l->stop(); }
    raw_peer& server() { return *at.peers.back(); }
};

TEST_CASE("what the other side says arrives in order, whatever it is cut into") {
    bench b;
    std::string all;
    std::vector<std::string> bodies;
    for (auto const& m : sample_client_replies()) {
        all += net::encode(m);
        bodies.push_back(body_of(net::encode(m)));
    }
    for (std::size_t at = 0; at < all.size(); at += 331) b.server().say(all.substr(at, 331));
    CHECK(run_until(b.io, [&] { return b.frames == bodies; }));
    CHECK(b.batches > 0);
    b.l->send(std::make_shared<std::string const>("still both ways"), net::priority::normal);
    CHECK(run_until(b.io, [&] { return b.server().heard.ends_with("still both ways"); }));
    CHECK(b.downs.empty());
}

TEST_CASE("a malformed or a too large answer ends the connection, which is made again") {
    bench b(1000);
    SUBCASE("another kind of message") { b.server().say(heartbeat_frame(1)); }
    SUBCASE("garbage") { b.server().say(std::string(100, 'x')); }
    SUBCASE("one byte past the limit") {
        net::client_answer a;
        a.outcome.result = std::string(1001 - body_of(net::encode(net::client_reply(a))).size(), 'x');
        b.server().say(net::encode(net::client_reply(a)));
    }
    REQUIRE(run_until(b.io, [&] { return b.ups == 2; }));
    CHECK(b.downs.at(0) == std::make_error_code(std::errc::protocol_error));
    net::client_answer a;
    a.outcome.result = std::string(1000 - body_of(net::encode(net::client_reply(a))).size(), 'x');
    b.frames.clear();
    b.server().say(net::encode(net::client_reply(a)));
    CHECK(run_until(b.io, [&] { return b.frames.size() == 1; }));
}

TEST_CASE("a link may be stopped from inside the event of a frame") {
    bench b;
    b.after_frame = [&] { b.l->stop(); };
    b.server().say(net::encode(net::client_reply(net::client_pong{})) + net::encode(net::client_reply(net::client_pong{})));
    CHECK(run_until(b.io, [&] { return b.server().closed; }));
    CHECK(b.frames.size() == 1);
    CHECK(b.batches == 0);
}

} // namespace link_frames_test
