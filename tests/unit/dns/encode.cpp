#include <openreplica/dns/encode.hpp>

#include "sample_messages.hpp"

#include <openreplica/dns/decode.hpp>

#include <doctest/doctest.h>

using namespace dns_test;

TEST_CASE("a query has the bytes that RFC 1035 and RFC 6891 draw") {
    dns::message m;
    m.header.id = 0xbeef;
    m.header.recursion_desired = true;
    m.questions.push_back({name_of("bank.test"), dns::record_type::srv, dns::record_class::in});
    m.edns = dns::edns{1232, 0, 0, false, {}};
    CHECK(dns::encode(m) == std::string("\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
                                        "\4bank\4test\0\x00\x21\x00\x01"
                                        "\0\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00",
                                        12 + 15 + 11));
}

TEST_CASE("owner names are compressed, the target of an SRV record is not") {
    dns::message m;
    m.header.response = true;
    m.questions.push_back({name_of("x.bank.test"), dns::record_type::srv, dns::record_class::in});
    m.answers.push_back(dns::make_record(name_of("X.BANK.test"), 1, dns::srv_data{1, 2, 3, name_of("n.bank.test")}));
    m.answers.push_back(dns::make_record(name_of("y.bank.test"), 1, dns::a_data{{127, 0, 0, 1}}));
    std::string const bytes = dns::encode(m);
    CHECK(bytes.substr(29) == std::string("\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x01\x00\x13"
                                          "\x00\x01\x00\x02\x00\x03\1n\4bank\4test\0"
                                          "\1y\xc0\x0e\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x7f\x00\x00\x01",
                                          12 + 6 + 13 + 18));
}

TEST_CASE("every sample comes back from its own bytes") {
    for (auto const& m : all_samples()) {
        auto const back = dns::decode(dns::encode(m));
        REQUIRE_MESSAGE(back, back.reason);
        CHECK(*back.value == m);
    }
}

TEST_CASE("a message above the limit keeps its question and EDNS, loses its records and says so") {
    auto m = sample_response();
    std::size_t const whole = dns::encode(m).size();
    CHECK(*dns::decode(dns::encode(m, whole)).value == m);
    auto const cut = dns::decode(dns::encode(m, whole - 1)).value.value();
    CHECK(cut.header.truncated);
    CHECK(cut.questions == m.questions);
    CHECK(cut.answers.empty());
    CHECK(cut.authority.empty());
    CHECK(cut.additional.empty());
    CHECK(cut.edns == m.edns);
    CHECK_THROWS_AS((void)dns::encode(m, 20), std::length_error);
}

TEST_CASE("a message never exceeds 65535 bytes, and names past the reach of a pointer are written out") {
    auto m = sample_response();
    m.additional.clear();
    for (int i = 0; i < 900; ++i)
        m.answers.push_back(
            dns::make_record(name_of("h" + std::to_string(i) + ".long-and-new-" + std::to_string(i) + ".org"), 1,
                             dns::srv_data{1, 1, 1, name_of("target.example.org")}));
    std::string const bytes = dns::encode(m);
    CHECK(bytes.size() > 0x4000);
    CHECK(*dns::decode(bytes).value == m);
    for (int i = 0; i < 2000; ++i) m.answers.push_back(m.answers.back());
    CHECK(dns::decode(dns::encode(m)).value->header.truncated);
    m.answers.resize(70000);
    CHECK(dns::decode(dns::encode(m)).value->header.truncated);
}

TEST_CASE("data that has no wire form is refused with a sentence") {
    dns::message m;
    m.answers.push_back(dns::make_record({}, 1, dns::txt_data{{std::string(255, 'x')}}));
    CHECK(*dns::decode(dns::encode(m)).value == m);
    m.answers.front().data = dns::txt_data{{std::string(256, 'x')}};
    CHECK_THROWS_WITH_AS((void)dns::encode(m), "a string of a TXT record is longer than 255 bytes; cut it in two",
                         std::length_error);
    m.answers.front() = {
        {}, static_cast<dns::record_type>(999), dns::record_class::in, 1, dns::raw_data{std::string(65536, 'x')}};
    CHECK_THROWS_AS((void)dns::encode(m), std::length_error);
}
