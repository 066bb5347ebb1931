#include <openreplica/net/frame_stream.hpp>

#include "client_samples.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

namespace frame_stream_test {

using namespace net_test;
using net::frame_stream;

constexpr std::size_t limit = 4u << 20;

/// What a stream gives for bytes that arrive in pieces of a size; a reason ends the list.
std::vector<std::string> taken(std::string const& bytes, std::size_t piece, std::size_t max_frame = limit) {
    frame_stream s;
    std::vector<std::string> out;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        std::size_t const n = std::min(piece, bytes.size() - at);
        auto const [where, size] = s.room(n);
        REQUIRE(size >= n);
        std::memcpy(where, bytes.data() + at, n);
        s.add(n);
        for (;;) {
            auto next = s.next(max_frame);
            if (auto const* reason = std::get_if<std::string>(&next)) return out.push_back("reason: " + *reason), out;
            auto const* f = std::get_if<frame_stream::frame>(&next);
            if (f == nullptr) break;
            CHECK(f->text().size() == f->header.length);
            out.emplace_back(f->text());
        }
        (void)s.keep_rest(64);
    }
    return out;
}

TEST_CASE("frames come out as they went in, whatever they are cut into on the way") {
    std::string all;
    std::vector<std::string> bodies;
    for (std::string const& frame : sample_client_frames()) {
        all += frame;
        bodies.push_back(body_of(frame));
    }
    for (std::size_t piece : {1u, 7u, 97u, 4096u, 1u << 20}) CHECK(taken(all, piece) == bodies);
}

TEST_CASE("a body stays what it is while the stream goes on") {
    frame_stream s;
    std::string const frame = net::encode(net::client_ping{7});
    std::vector<frame_stream::frame> kept;
    for (int i = 0; i < 50; ++i) {
        auto const [where, size] = s.room(frame.size());
        std::memcpy(where, frame.data(), frame.size());
        s.add(frame.size());
        auto next = s.next(limit);
        REQUIRE(std::holds_alternative<frame_stream::frame>(next));
        kept.push_back(std::get<frame_stream::frame>(next));
        CHECK(s.keep_rest(64).fresh);
    }
    for (auto const& f : kept) CHECK(f.text() == body_of(frame));
    // The log keeps slices of it for long: they keep nothing else.
    for (auto const& f : kept) CHECK(f.bytes->size() == f.header.length);
}

TEST_CASE("the room that a large frame needed is given back") {
    frame_stream s;
    std::string const large = net::encode(net::client_question{1, std::string(100'000, 'w'), {}});
    auto const [where, size] = s.room(large.size());
    std::memcpy(where, large.data(), large.size());
    s.add(large.size());
    REQUIRE(std::holds_alternative<frame_stream::frame>(s.next(limit)));
    (void)s.keep_rest(64);
    CHECK(s.room(64).second < 1000);
}

TEST_CASE("what is no frame ends the stream with a reason, and what came before it counts") {
    std::string const good = net::encode(net::client_ping{7});
    std::string bad = good;
    bad.back() ^= 1;
    CHECK(taken(good + bad, 1000) == std::vector<std::string>{body_of(good), "reason: a message's checksum is wrong"});
    CHECK(taken("HTTP/1.1 200 OK and so on", 1000).at(0).find("something else speaks") != std::string::npos);
    std::string const large = net::encode(net::client_question{1, std::string(100, 'w'), {}});
    CHECK(taken(large, 1000, body_of(large).size()).size() == 1);
    CHECK(taken(large, 1000, body_of(large).size() - 1).at(0).find("exceeds the limit") != std::string::npos);
}

TEST_CASE("an unfinished frame is told by its size, and by whether one came before it") {
    frame_stream s;
    std::string const frame = net::encode(net::client_ping{7});
    auto add = [&](std::string const& bytes) {
        auto const [where, size] = s.room(bytes.size());
        std::memcpy(where, bytes.data(), bytes.size());
        s.add(bytes.size());
        while (std::holds_alternative<frame_stream::frame>(s.next(limit))) {}
        return s.keep_rest(64);
    };
    auto r = add(frame.substr(0, 5));
    CHECK(r.size == 5);
    CHECK(!r.fresh);
    r = add(frame.substr(5) + frame.substr(0, 3));
    CHECK(r.size == 3);
    CHECK(r.fresh);
    r = add(frame.substr(3));
    CHECK(r.size == 0);
    CHECK(r.fresh);
}

} // namespace frame_stream_test
