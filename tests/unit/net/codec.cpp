#include <openreplica/net/codec.hpp>

#include "sample_messages.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <string>

namespace codec_test {

using namespace net_test;
using namespace std::string_literals;
using namespace std::string_view_literals;

/// Decodes what a change left of a body: refused, or it means exactly what its bytes say.
bool refused_or_exact(std::uint8_t type, std::string const& body) {
    auto const m = decode_body(type, body);
    if (!m) return true;
    std::string const again = encode_any(*m);
    return type_of(again) == type && body_of(again) == body;
}

/// Overwrites a part of a body.
void write_at(std::string& body, std::size_t at, std::string_view bytes) { body.replace(at, bytes.size(), bytes); }

template <class Message>
std::string body_of_message(Message const& m) {
    using paxos::founding_message;
    if constexpr (std::is_constructible_v<paxos::message, Message>)
        return body_of(net::encode(paxos::message(m)));
    else
        return body_of(net::encode(founding_message(m)));
}

template <class Message>
constexpr std::uint8_t type_number() {
    if constexpr (std::is_constructible_v<paxos::message, Message>)
        return static_cast<std::uint8_t>(1 + paxos::message(Message{}).index());
    else
        return static_cast<std::uint8_t>(64 + paxos::founding_message(Message{}).index());
}

template <class Message>
bool taken(Message const& m) {
    return decode_body(type_number<Message>(), body_of_message(m)).has_value();
}

TEST_CASE("the samples hold every kind of message") {
    std::set<std::size_t> log, founding;
    for (auto const& m : sample_messages()) log.insert(m.index());
    for (auto const& m : sample_founding_messages()) founding.insert(m.index());
    CHECK(log.size() == std::variant_size_v<paxos::message>);
    CHECK(founding.size() == std::variant_size_v<paxos::founding_message>);
}

TEST_CASE("a message of the group comes back as it went, the empty, the ordinary and the largest") {
    for (auto const& m : sample_messages()) {
        std::string const frame = net::encode(m);
        auto const back = decode_body(type_of(frame), body_of(frame));
        REQUIRE_MESSAGE(back, paxos::name_of(m));
        REQUIRE(std::holds_alternative<paxos::message>(*back));
        CHECK_MESSAGE(std::get<paxos::message>(*back) == m, paxos::name_of(m));
        CHECK(net::encode(std::get<paxos::message>(*back)) == frame);
    }
}

TEST_CASE("a founding message comes back as it went, the empty, the ordinary and the largest") {
    for (auto const& m : sample_founding_messages()) {
        std::string const frame = net::encode(m);
        auto const back = decode_body(type_of(frame), body_of(frame));
        REQUIRE_MESSAGE(back, m.index());
        REQUIRE(std::holds_alternative<paxos::founding_message>(*back));
        CHECK_MESSAGE(std::get<paxos::founding_message>(*back) == m, m.index());
        CHECK(net::encode(std::get<paxos::founding_message>(*back)) == frame);
    }
}

TEST_CASE("an encoded message is a whole frame whose header fits its body") {
    for (std::string const& frame : sample_frames()) {
        auto const h = net::read_header(frame, frame.size());
        REQUIRE(std::holds_alternative<net::frame_header>(h));
        CHECK(std::get<net::frame_header>(h).length == frame.size() - net::frame_header_size);
        CHECK(std::get<net::frame_header>(h).body_checksum == crc32c(body_of(frame)));
    }
}

TEST_CASE("the type numbers of version 1 are what they are") {
    CHECK(type_number<paxos::prepare>() == 1);
    CHECK(type_number<paxos::promise>() == 2);
    CHECK(type_number<paxos::reject>() == 3);
    CHECK(type_number<paxos::accept>() == 4);
    CHECK(type_number<paxos::accepted>() == 5);
    CHECK(type_number<paxos::chosen_index>() == 6);
    CHECK(type_number<paxos::learn>() == 7);
    CHECK(type_number<paxos::learned>() == 8);
    CHECK(type_number<paxos::heartbeat>() == 9);
    CHECK(type_number<paxos::heartbeat_reply>() == 10);
    CHECK(type_number<paxos::read_request>() == 11);
    CHECK(type_number<paxos::read_reply>() == 12);
    CHECK(type_number<paxos::forward>() == 13);
    CHECK(type_number<paxos::forward_refused>() == 14);
    CHECK(type_number<paxos::snapshot_request>() == 15);
    CHECK(type_number<paxos::snapshot_chunk>() == 16);
    CHECK(type_number<paxos::discover>() == 64);
    CHECK(type_number<paxos::welcome>() == 70);
    for (auto const& m : sample_messages()) CHECK(type_of(net::encode(m)) == 1 + m.index());
    for (auto const& m : sample_founding_messages()) CHECK(type_of(net::encode(m)) == 64 + m.index());
}

TEST_CASE("the fields of a message lie in the order of their declaration") {
    paxos::accept const m{{1, 2, {3, 4}},
                          epoch{5},
                          slot{6},
                          {{paxos::value_kind::command, log_time{7}, shared_bytes(std::string("body"))}},
                          slot{8}};
    CHECK(body_of_message(m) == "\1\0\0\0\0\0\0\0\2\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0" // number
                                "\5\0\0\0"                                                 // current
                                "\6\0\0\0\0\0\0\0"                                         // first
                                "\1\0\0\0"                                                 // one value
                                "\1\7\0\0\0\0\0\0\0\4\0\0\0body"                           // kind, stamp, body
                                "\x08\0\0\0\0\0\0\0"sv);                                   // chosen
    CHECK(body_of_message(paxos::heartbeat_reply{1, {}, true, false, slot{2}, slot{3}}) ==
          "\1\0\0\0\0\0\0\0"s + std::string(28, '\0') + "\1" + std::string(1, '\0') + "\2\0\0\0\0\0\0\0"s +
              "\3\0\0\0\0\0\0\0\0"s + std::string(8, '\0'));
}

TEST_CASE("a type number that no message has is refused, whatever the body holds") {
    for (unsigned type = 0; type < 256; ++type) {
        bool const known = (type >= 1 && type <= 21) || (type >= 64 && type <= 70);
        bool any = false;
        for (std::string const& frame : sample_frames())
            any = any || decode_body(static_cast<std::uint8_t>(type), body_of(frame)).has_value();
        CHECK_MESSAGE(any == known, type);
        if (!known) CHECK(!decode_body(static_cast<std::uint8_t>(type), ""));
    }
}

TEST_CASE("a body under another message's type is refused or means exactly what its bytes say") {
    for (std::string const& frame : sample_frames())
        for (unsigned type = 0; type < 256; ++type)
            CHECK(refused_or_exact(static_cast<std::uint8_t>(type), body_of(frame)));
}

TEST_CASE("a body cut at any byte is refused, and so is one with a byte behind it") {
    for (std::string const& frame : sample_frames()) {
        std::string const body = body_of(frame);
        // The middle of the largest bodies is one string; its cuts are all alike.
        for (std::size_t size = 0; size<body.size(); size += size> 2000 && body.size() - size > 2000 ? 499 : 1)
            if (decode_body(type_of(frame), std::string_view(body).substr(0, size)))
                FAIL_CHECK("type ", int{type_of(frame)}, " cut at ", size);
        CHECK(!decode_body(type_of(frame), body + '\0'));
    }
}

TEST_CASE("a body with any one byte changed is refused or means exactly what its bytes say") {
    for (std::string const& frame : sample_frames()) {
        std::string const body = body_of(frame);
        for (std::size_t at = 0; at<body.size(); at += at> 600 && body.size() - at > 600 ? 211 : 1)
            for (unsigned v : {0x00u, 0x01u, 0x02u, 0x03u, 0x1fu, 0x20u, 0x3fu, 0x40u, 0x80u, 0xffu}) {
                std::string changed = body;
                changed[at] = static_cast<char>(v);
                if (!refused_or_exact(type_of(frame), changed))
                    FAIL_CHECK("type ", int{type_of(frame)}, ", byte ", at, " set to ", v);
            }
    }
}

TEST_CASE("a count that promises more than the bytes hold is refused before memory is taken for it") {
    // Reserving for such a count would ask for a hundred gigabytes and throw.
    constexpr auto many = "\xff\xff\xff\xff"sv;
    std::string body = body_of_message(paxos::promise{});
    write_at(body, body.size() - 4, many);
    CHECK(!decode_body(2, body));
    body = body_of_message(paxos::accept{});
    write_at(body, 28 + 4 + 8, many);
    CHECK(!decode_body(4, body));
    body = body_of_message(paxos::learned{});
    write_at(body, 28 + 8, many);
    CHECK(!decode_body(8, body));
    body = body_of_message(paxos::forward{});
    write_at(body, 9, many);
    CHECK(!decode_body(13, body));
    body = body_of_message(paxos::discover{});
    write_at(body, 22 + 4, many);
    CHECK(!decode_body(64, body));
    body = body_of_message(paxos::snapshot_chunk{});
    write_at(body, body.size() - 4, many); // a length of bytes
    CHECK(!decode_body(16, body));
}

TEST_CASE("a count that is off by one is refused") {
    for (unsigned claimed : {0u, 1u, 2u, 4u, 5u}) {
        std::string body = body_of_message(paxos::accept{some_ballot, epoch{2}, slot{6}, some_values(), slot{5}});
        body[28 + 4 + 8] = static_cast<char>(claimed);
        CHECK(!decode_body(4, body));
    }
}

TEST_CASE("the last round and the last slot are taken and the ones after them are not") {
    slot const beyond{last_position + 1};
    ballot const late{last_position + 1, 0, {0, 1}};
    CHECK(taken(paxos::prepare{last_ballot, last_slot, {}}));
    CHECK(!taken(paxos::prepare{late, {}, {}}));
    CHECK(!taken(paxos::prepare{{}, beyond, {}}));
    CHECK(!taken(paxos::prepare{{}, slot{largest}, {}}));
    CHECK(!taken(paxos::prepare{{}, {}, {}, beyond}));
    CHECK(!taken(paxos::promise{late, {}, {}, 0, true, {}}));
    CHECK(!taken(paxos::promise{{}, {}, {}, 0, true, {{beyond, {}, {}}}}));
    CHECK(!taken(paxos::promise{{}, {}, {}, 0, true, {{{}, late, {}}}}));
    CHECK(!taken(paxos::reject{{}, late}));
    CHECK(!taken(paxos::accept{{}, {}, beyond, {}, {}}));
    CHECK(!taken(paxos::accept{{}, {}, {}, {}, beyond}));
    CHECK(!taken(paxos::accepted{{}, beyond, false}));
    CHECK(!taken(paxos::chosen_index{{}, beyond}));
    CHECK(!taken(paxos::learn{beyond}));
    CHECK(!taken(paxos::learned{{}, {}, {}, {}, beyond}));
    CHECK(!taken(paxos::heartbeat{0, late, {}}));
    CHECK(!taken(paxos::heartbeat_reply{0, {}, false, false, {}, beyond}));
    CHECK(!taken(paxos::read_reply{0, beyond}));
    CHECK(!taken(paxos::snapshot_request{beyond, 0}));
    CHECK(!taken(paxos::snapshot_chunk{beyond, {}, {}, {}, 0, 0, 0, {}}));
    CHECK(!taken(paxos::snapshot_chunk{{}, late, {}, {}, 0, 0, 0, {}}));
}

TEST_CASE("a state of a disk that this version does not know is refused") {
    for (unsigned state = 0; state < 256; ++state) {
        std::string body = body_of_message(paxos::heartbeat_reply{});
        body[body.size() - 9] = static_cast<char>(state); // Before the epoch and the silent voters.
        CHECK(decode_body(10, body).has_value() == (state <= 3));
    }
}

TEST_CASE("a kind of value that this version does not know is refused") {
    for (unsigned kind = 0; kind < 256; ++kind) {
        std::string body = body_of_message(paxos::accept{{}, {}, {}, std::vector<paxos::value>(1), {}});
        body[28 + 4 + 8 + 4] = static_cast<char>(kind);
        CHECK(decode_body(4, body).has_value() == (kind <= 1)); // No configuration is empty.
    }
}

TEST_CASE("as many voters as a configuration may have are taken, and one more is not") {
    auto c = largest_configuration();
    CHECK(taken(paxos::welcome{some_cluster, c, true}));
    c.voters.push_back(member_of(paxos::max_voters + 1));
    CHECK(!taken(paxos::welcome{some_cluster, c, true}));
    CHECK(!taken(paxos::propose_first{{some_cluster, c}}));
    CHECK(!taken(paxos::first_chosen{{some_cluster, c}}));
    CHECK(!taken(paxos::snapshot_chunk{{}, {}, {}, c, 0, 0, 0, {}}));
}

TEST_CASE("voters out of order or twice are refused") {
    CHECK(taken(paxos::welcome{some_cluster, {epoch{1}, {member_of(1), member_of(2)}}, true}));
    CHECK(!taken(paxos::welcome{some_cluster, {epoch{1}, {member_of(2), member_of(1)}}, true}));
    CHECK(!taken(paxos::welcome{some_cluster, {epoch{1}, {member_of(1), member_of(1, "other")}}, true}));
}

TEST_CASE("a host name as long as DNS allows is taken and a longer one is not") {
    auto const at = [](std::size_t size) { return member_of(1, std::string(size, 'h')); };
    CHECK(taken(paxos::welcome{some_cluster, {epoch{1}, {at(255)}}, true}));
    CHECK(!taken(paxos::welcome{some_cluster, {epoch{1}, {at(256)}}, true}));
    CHECK(taken(paxos::discover{at(255), 0, {at(255)}, {}}));
    CHECK(!taken(paxos::discover{at(256), 0, {}, {}}));
    CHECK(!taken(paxos::discover{at(1), 0, {at(256)}, {}}));
}

TEST_CASE("the bytes of a message are slices of the buffer it came in, and keep it alive") {
    std::string const frame = net::encode(paxos::message(paxos::forward{1, 0, {shared_bytes(std::string("command"))}}));
    auto buffer = std::make_shared<std::string const>("before" + frame + "behind");
    std::weak_ptr<std::string const> const watch = buffer;
    char const* const begin = buffer->data();
    auto m = net::decode(13, buffer, 6 + net::frame_header_size, frame.size() - net::frame_header_size);
    buffer.reset();
    REQUIRE(m);
    auto const& f = std::get<paxos::forward>(std::get<paxos::message>(*m));
    REQUIRE(f.commands.size() == 1);
    CHECK(f.commands[0].view() == "command");
    CHECK(f.commands[0].view().data() == begin + 6 + frame.size() - 7);
    CHECK(!watch.expired());
    m.reset();
    CHECK(watch.expired());
}

TEST_CASE("a message is read from its own bytes, not from what lies around them in the buffer") {
    std::string const body = body_of_message(paxos::learn{slot{5}});
    auto const buffer = std::make_shared<std::string const>(body + body);
    CHECK(net::decode(7, buffer, 0, 8).has_value());
    CHECK(net::decode(7, buffer, 8, 8).has_value());
    CHECK(!net::decode(7, buffer, 8, 7));
    CHECK(!net::decode(7, buffer, 0, 16));
}

} // namespace codec_test
