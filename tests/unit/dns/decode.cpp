#include <openreplica/dns/decode.hpp>

#include "sample_messages.hpp"

#include <openreplica/dns/encode.hpp>

#include <doctest/doctest.h>

using namespace dns_test;

namespace {

std::string bytes_of(std::initializer_list<unsigned> values) {
    std::string s;
    for (auto v : values) s.push_back(static_cast<char>(v));
    return s;
}

/// A header with the given counts, then `body`.
std::string packet(unsigned questions, unsigned answers, unsigned additional, std::string const& body) {
    return bytes_of({0x12, 0x34, 0x81, 0x80, questions >> 8, questions & 0xff, answers >> 8, answers & 0xff, 0, 0,
                     additional >> 8, additional & 0xff}) +
           body;
}

std::string question_at(std::string const& wire_name) { return wire_name + bytes_of({0, 1, 0, 1}); }

/// A record of the root with the given type and data.
std::string record_of(unsigned type, std::string const& data, std::size_t claimed) {
    return bytes_of({0, type >> 8, type & 0xff, 0, 1, 0, 0, 0, 9, static_cast<unsigned>(claimed >> 8),
                     static_cast<unsigned>(claimed & 0xff)}) +
           data;
}

std::string label(std::size_t size) { return static_cast<char>(size) + std::string(size, 'a'); }

} // namespace

TEST_CASE("an answer as other servers write it is read: names in data may be compressed") {
    // www.bank.test is an alias of bank.test, 127.0.0.1, with pointers everywhere.
    auto const bytes = packet(1, 2, 0,
                              question_at(std::string("\3www\4bank\4test\0", 15)) +
                                  bytes_of({0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 16}) +
                                  bytes_of({0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1}));
    auto const m = dns::decode(bytes);
    REQUIRE_MESSAGE(m, m.reason);
    REQUIRE(m.value->answers.size() == 2);
    CHECK(m.value->header.id == 0x1234);
    CHECK(m.value->header.response);
    CHECK(m.value->header.recursion_available);
    CHECK(std::get<dns::cname_data>(m.value->answers[0].data).target == name_of("bank.test"));
    CHECK(m.value->answers[1].owner == name_of("bank.test"));
    CHECK(std::get<dns::a_data>(m.value->answers[1].data).address == std::array<std::uint8_t, 4>{127, 0, 0, 1});
}

TEST_CASE("a packet cut at any byte is refused") {
    for (auto const& m : all_samples()) {
        std::string const whole = dns::encode(m);
        for (std::size_t size = 0; size < whole.size(); ++size) {
            // A fresh buffer of exactly this size, so that the address sanitizer sees a read of one byte too many.
            std::string const cut(whole.data(), size);
            CHECK(!dns::decode(cut));
            CHECK(dns::decode_header(cut).has_value() == (size >= 12));
        }
    }
}

TEST_CASE("a packet with any one byte set to any value is refused, or means the same after a round trip") {
    for (auto const& m : all_samples()) {
        std::string const whole = dns::encode(m);
        std::size_t read = 0;
        for (std::size_t at = 0; at < whole.size(); ++at)
            for (unsigned v = 0; v < 256; ++v) {
                std::string changed = whole;
                changed[at] = static_cast<char>(v);
                (void)dns::decode_questions(changed);
                auto const first = dns::decode(changed);
                if (!first) continue;
                ++read;
                auto const second = dns::decode(dns::encode(*first.value));
                if (!second || *second.value != *first.value) FAIL("byte " << at << " set to " << v);
            }
        CHECK(read > whole.size()); // Most changes only change a value, so the round trip was really tried.
    }
}

TEST_CASE("compression pointers lead strictly backwards") {
    auto const why = [](std::string const& body) { return dns::decode(packet(1, 0, 0, body)).reason; };
    constexpr std::string_view not_backwards = "a compression pointer that does not point backwards";
    CHECK(why(question_at(bytes_of({0xc0, 12}))) == not_backwards);            // to itself
    CHECK(why(question_at(bytes_of({1, 'a', 0xc0, 12}))) == not_backwards);    // to the name's own start
    CHECK(why(question_at(bytes_of({2, 0, 'b', 0xc0, 13}))) == not_backwards); // into its own label: there is a root
    CHECK(why(question_at(bytes_of({0xc0, 14})) + label(3) + bytes_of({0})) == not_backwards); // forwards
    CHECK(why(question_at(bytes_of({0xff, 0xff}))) == not_backwards);                          // past the end
    CHECK(why(bytes_of({0xc0})) == "cut inside a compression pointer");
    CHECK(why(question_at(bytes_of({0xc0, 4}))).empty()); // the header is backwards: here a root, legal
}

TEST_CASE("loops of two to eight pointers are refused") {
    for (unsigned n = 2; n <= 8; ++n) {
        // The data of an unknown record holds n pointers in a ring; the question asks for the first.
        std::string ring;
        unsigned const begin = 12 + 11;
        for (unsigned i = 0; i < n; ++i) ring += bytes_of({0xc0, begin + 2 * ((i + 1) % n)});
        auto const bytes = packet(0, 2, 0,
                                  record_of(999, ring, ring.size()) + bytes_of({0xc0, begin}) +
                                      bytes_of({0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4}));
        auto const m = dns::decode(bytes);
        CHECK(!m);
        CHECK(m.reason == "a compression pointer that does not point backwards");
    }
}

TEST_CASE("126 pointers in one name are followed and 127 are not") {
    // A ladder of pointers, each to the one before it; the first leads to the root in the header.
    for (unsigned pointers : {126U, 127U}) {
        std::string ladder = bytes_of({0xc0, 4});
        unsigned const begin = 12 + 11;
        for (unsigned i = 1; i + 1 < pointers; ++i) {
            unsigned const to = begin + 2 * (i - 1);
            ladder += bytes_of({0xc0 | to >> 8, to & 0xff});
        }
        unsigned const last = begin + static_cast<unsigned>(ladder.size()) - 2;
        auto const bytes = packet(0, 2, 0,
                                  record_of(999, ladder, ladder.size()) + bytes_of({0xc0 | last >> 8, last & 0xff}) +
                                      bytes_of({0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4}));
        CHECK(bool(dns::decode(bytes)) == (pointers == 126));
    }
}

TEST_CASE("a name of 255 bytes is read and one of 256 is not, also when a pointer makes it long") {
    std::string const three = label(63) + label(63) + label(63);
    CHECK(dns::decode(packet(1, 0, 0, question_at(three + label(61) + '\0'))));
    CHECK(!dns::decode(packet(1, 0, 0, question_at(three + label(62) + '\0'))));
    std::string const first = question_at(three + '\0');
    CHECK(dns::decode(packet(2, 0, 0, first + question_at(label(61) + bytes_of({0xc0, 12})))));
    CHECK(!dns::decode(packet(2, 0, 0, first + question_at(label(62) + bytes_of({0xc0, 12})))));
}

TEST_CASE("label types 01 and 10 are refused, so a label of 64 bytes cannot be written") {
    CHECK(dns::decode(packet(1, 0, 0, question_at(label(63) + '\0'))));
    for (unsigned first : {0x40U, 0x41U, 0x7fU, 0x80U, 0xbfU}) {
        auto const m = dns::decode(packet(1, 0, 0, question_at(bytes_of({first}) + std::string(191, 'a') + '\0')));
        CHECK(!m);
        CHECK(m.reason == "a reserved label type");
    }
}

TEST_CASE("the length of a record is exactly that of its data") {
    std::string const address = bytes_of({1, 2, 3, 4});
    CHECK(dns::decode(packet(0, 1, 0, record_of(1, address, 4))));
    CHECK(!dns::decode(packet(0, 1, 0, record_of(1, address, 3))));
    CHECK(!dns::decode(packet(0, 1, 0, record_of(1, address, 5))));
    CHECK(dns::decode(packet(0, 1, 0, record_of(1, address + 'x', 5))).reason ==
          "a record whose length is not that of its data");
    CHECK(!dns::decode(packet(0, 1, 0, record_of(1, address, 65535))));
    CHECK(!dns::decode(packet(0, 1, 0, record_of(28, address, 4))));
    CHECK(!dns::decode(packet(0, 1, 0, record_of(16, bytes_of({4, 'a', 'b'}), 3)))); // TXT string past its record
    CHECK(!dns::decode(packet(0, 1, 0, record_of(16, "", 0))));
    CHECK(!dns::decode(packet(0, 1, 0, record_of(33, bytes_of({0, 0, 0, 0, 0, 1}), 6)))); // SRV without a target
}

TEST_CASE("counts that promise more than the packet holds are refused without an allocation of their size") {
    CHECK(!dns::decode(packet(65535, 0, 0, question_at(bytes_of({0})))));
    CHECK(!dns::decode(packet(0, 65535, 0, record_of(1, bytes_of({1, 2, 3, 4}), 4))));
    CHECK(!dns::decode(packet(0, 0, 65535, "")));
}

TEST_CASE("one OPT record is EDNS; a second, or one with an owner or in another section, is refused") {
    std::string const opt = bytes_of({0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0});
    auto const one = dns::decode(packet(0, 0, 1, opt));
    REQUIRE(one);
    CHECK(one.value->edns->udp_size == 1232);
    CHECK(one.value->additional.empty());
    CHECK(!dns::decode(packet(0, 0, 2, opt + opt)));
    CHECK(!dns::decode(packet(0, 1, 0, opt)));
    CHECK(!dns::decode(packet(0, 0, 1, bytes_of({1, 'a'}) + opt)));
    for (unsigned size : {0U, 65535U})
        CHECK(dns::decode(packet(0, 0, 1, bytes_of({0, 0, 41, size >> 8, size & 0xff, 0, 0, 0, 0, 0, 0})))
                  .value->edns->udp_size == size);
    CHECK(!dns::decode(packet(0, 0, 1, bytes_of({0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 3, 0, 1, 0})))); // half an option
    CHECK(!dns::decode(
        packet(0, 0, 1, bytes_of({0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 1})))); // option past the record
}

TEST_CASE("bytes after the last record are refused") {
    auto const m = dns::decode(dns::encode(sample_response()) + '\0');
    CHECK(!m);
    CHECK(m.reason == "bytes after the last record");
}

TEST_CASE("the questions of a packet that is cut in a record can still be read") {
    auto bytes = dns::encode(sample_response());
    bytes.resize(bytes.size() - 5);
    CHECK(!dns::decode(bytes));
    auto const start = dns::decode_questions(bytes);
    REQUIRE(start);
    CHECK(start.value->questions == sample_query().questions);
    CHECK(!dns::decode_questions(bytes.substr(0, 20)));
}

TEST_CASE("records of an update keep their meaning: class ANY is empty, class NONE holds the data to delete") {
    dns::message m;
    m.header.opcode = dns::operation::update;
    m.questions.push_back({name_of("bank.test"), dns::record_type::soa, dns::record_class::in});
    m.answers.push_back({name_of("bank.test"), dns::record_type::txt, dns::record_class::any, 0, dns::raw_data{}});
    m.answers.push_back({name_of("bank.test"), dns::record_type::txt, dns::record_class::none, 0, dns::raw_data{}});
    m.authority.push_back(
        {name_of("bank.test"), dns::record_type::txt, dns::record_class::none, 0, dns::txt_data{{"epoch=7"}}});
    auto const back = dns::decode(dns::encode(m));
    REQUIRE_MESSAGE(back, back.reason);
    CHECK(*back.value == m);
}
