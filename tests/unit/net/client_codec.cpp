#include <openreplica/net/client_codec.hpp>

#include "client_samples.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace client_codec_test {

using namespace net_test;

/// The frame that a body decodes to, whichever direction it is of; empty: refused. The buffer has exactly the body's size,
/// so that the address sanitizer sees a read past its end.
std::string decoded(std::uint8_t type, std::string_view body) {
    auto const buffer = std::make_shared<std::string const>(body);
    if (auto const m = net::decode_client_request(type, buffer, 0, body.size())) return net::encode(*m);
    if (auto const m = net::decode_client_reply(type, buffer, 0, body.size())) return net::encode(*m);
    return {};
}

bool refused_or_exact(std::uint8_t type, std::string const& body) {
    std::string const again = decoded(type, body);
    return again.empty() || (type_of(again) == type && body_of(again) == body);
}

TEST_CASE("the samples hold every kind of message of clients") {
    std::set<std::size_t> requests, replies;
    for (auto const& m : sample_client_requests()) requests.insert(m.index());
    for (auto const& m : sample_client_replies()) replies.insert(m.index());
    CHECK(requests.size() == std::variant_size_v<net::client_request>);
    CHECK(replies.size() == std::variant_size_v<net::client_reply>);
}

TEST_CASE("what a client says, and what it is told, comes back as it went") {
    for (auto const& m : sample_client_requests()) {
        std::string const frame = net::encode(m);
        auto const back = net::decode_client_request(type_of(frame), std::make_shared<std::string const>(body_of(frame)), 0,
                                                     body_of(frame).size());
        REQUIRE_MESSAGE(back, m.index());
        CHECK_MESSAGE(*back == m, m.index());
    }
    for (auto const& m : sample_client_replies()) {
        std::string const frame = net::encode(m);
        auto const back = net::decode_client_reply(type_of(frame), std::make_shared<std::string const>(body_of(frame)), 0,
                                                   body_of(frame).size());
        REQUIRE_MESSAGE(back, m.index());
        CHECK_MESSAGE(*back == m, m.index());
    }
}

TEST_CASE("the type numbers of clients' messages are what they are, and no peer's") {
    for (auto const& m : sample_client_requests()) CHECK(type_of(net::encode(m)) == 96 + m.index());
    for (auto const& m : sample_client_replies()) CHECK(type_of(net::encode(m)) == 112 + m.index());
    for (std::string const& frame : sample_client_frames()) {
        auto const header = net::read_header(frame, frame.size());
        REQUIRE(std::holds_alternative<net::frame_header>(header));
        CHECK(!decode_body(type_of(frame), body_of(frame)));
    }
    for (std::string const& frame : sample_frames()) CHECK(decoded(type_of(frame), body_of(frame)).empty());
}

TEST_CASE("a client's message cut at any byte is refused, and so is one with a byte behind it") {
    for (std::string const& frame : sample_client_frames()) {
        std::string const body = body_of(frame);
        for (std::size_t size = 0; size < body.size(); size += size > 1500 && body.size() - size > 1500 ? 499 : 1)
            if (!decoded(type_of(frame), std::string_view(body).substr(0, size)).empty())
                FAIL_CHECK("type ", int{type_of(frame)}, " cut at ", size);
        CHECK(decoded(type_of(frame), body + '\0').empty());
    }
}

TEST_CASE("a client's message with any one byte changed is refused or means exactly what its bytes say") {
    for (std::string const& frame : sample_client_frames()) {
        std::string const body = body_of(frame);
        for (std::size_t at = 0; at < body.size(); at += at > 600 && body.size() - at > 600 ? 211 : 1)
            for (unsigned v : {0x00u, 0x01u, 0x02u, 0x03u, 0x1fu, 0x20u, 0x3fu, 0x40u, 0x80u, 0xffu}) {
                std::string changed = body;
                changed[at] = static_cast<char>(v);
                if (!refused_or_exact(type_of(frame), changed))
                    FAIL_CHECK("type ", int{type_of(frame)}, ", byte ", at, " set to ", v);
            }
    }
    for (std::string const& frame : sample_client_frames())
        for (unsigned type = 96; type < 128; ++type)
            CHECK(refused_or_exact(static_cast<std::uint8_t>(type), body_of(frame)));
}

TEST_CASE("more members than a group can have are refused, and so is a slot that could overflow") {
    net::view v = largest_view();
    v.members.push_back(member_of(1000));
    std::string const frame = net::encode(net::client_pong{1, v});
    CHECK(decoded(type_of(frame), body_of(frame)).empty());
    net::client_query q;
    q.floor = slot{last_position + 1};
    std::string const far = net::encode(q);
    CHECK(decoded(type_of(far), body_of(far)).empty());
}

TEST_CASE("a count that promises more than the bytes hold is refused before memory is taken for it") {
    std::string body = body_of(net::encode(net::client_commands{}));
    body.replace(8, 4, "\xff\xff\xff\xff");
    CHECK(decoded(97, body).empty());
    body = body_of(net::encode(net::client_outcomes{}));
    body.replace(24, 4, "\xff\xff\xff\xff");
    CHECK(decoded(115, body).empty());
}

} // namespace client_codec_test
