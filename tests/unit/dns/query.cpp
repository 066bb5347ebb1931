#include <openreplica/dns/query.hpp>

#include "sample_messages.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace dns_test;
using verdict = dns::reply_verdict;

namespace {

dns::message echo_of(dns::query const& q) {
    dns::message m;
    m.header.id = q.id;
    m.header.response = m.header.recursion_available = true;
    m.questions.push_back(q.asked);
    return m;
}

verdict::kind judged(dns::query const& q, dns::message const& m) { return dns::judge_reply(q, dns::encode(m)).is; }

dns::query a_query() {
    std::mt19937_64 random(7);
    return dns::make_query(name_of("bank.example.org"), dns::record_type::a, random);
}

dns::record alias(std::string_view from, std::string_view to, std::uint32_t ttl = 30) {
    return dns::make_record(name_of(from), ttl, dns::cname_data{name_of(to)});
}
dns::record address(std::string_view of, std::uint8_t last, std::uint32_t ttl = 30) {
    return dns::make_record(name_of(of), ttl, dns::a_data{{127, 0, 0, last}});
}
dns::record soa(std::uint32_t ttl, std::uint32_t minimum) {
    return dns::make_record(name_of("example.org"), ttl, dns::soa_data{{}, {}, 1, 1, 1, 1, minimum});
}

dns::reading read(dns::message const& m, int aliases = 0) {
    return dns::read_reply(m, name_of("bank.example.org"), dns::record_type::a, aliases);
}

} // namespace

TEST_CASE("a query asks for recursion, offers 1232 bytes, and differs from the next in id and letter case") {
    std::mt19937_64 random(7);
    std::set<std::uint16_t> ids;
    std::set<std::string> cases;
    for (int i = 0; i < 100; ++i) {
        auto const q = dns::make_query(name_of("bank.example.org"), dns::record_type::srv, random);
        auto const m = dns::decode(q.bytes).value.value();
        CHECK(m.header.recursion_desired);
        CHECK(!m.header.response);
        CHECK(m.edns->udp_size == 1232);
        CHECK(m.questions.size() == 1);
        CHECK(m.questions[0].qname.identical(q.asked.qname));
        CHECK(m.questions[0].qname == name_of("bank.example.org"));
        CHECK(m.header.id == q.id);
        ids.insert(q.id);
        cases.insert(q.asked.qname.to_string());
    }
    CHECK(ids.size() > 95);
    CHECK(cases.size() > 90);
    CHECK(!dns::decode(dns::make_query(name_of("a"), dns::record_type::a, random, false).bytes).value->edns);
}

TEST_CASE("a reply is accepted only with the id, the question and the letter case of the query") {
    auto const q = a_query();
    auto m = echo_of(q);
    CHECK(judged(q, m) == verdict::accepted);
    m.header.id = static_cast<std::uint16_t>(q.id + 1);
    CHECK(judged(q, m) == verdict::foreign);
    m = echo_of(q);
    m.header.response = false;
    CHECK(judged(q, m) == verdict::foreign);
    m = echo_of(q);
    m.header.opcode = dns::operation::notify;
    CHECK(judged(q, m) == verdict::foreign);
    m = echo_of(q);
    m.questions[0].qname = name_of("bank.example.com");
    CHECK(judged(q, m) == verdict::foreign);
    m = echo_of(q);
    m.questions[0].type = dns::record_type::aaaa;
    CHECK(judged(q, m) == verdict::foreign);
    m = echo_of(q);
    m.questions[0].klass = dns::record_class::chaos;
    CHECK(judged(q, m) == verdict::foreign);
    m = echo_of(q);
    m.questions[0].qname = name_of("bank.example.org");
    REQUIRE(!q.asked.qname.identical(m.questions[0].qname));
    auto const recased = dns::judge_reply(q, dns::encode(m));
    CHECK(recased.is == verdict::broken); // A resolver that loses the case is told from a silent one.
    CHECK(recased.reason.starts_with("reply in other letter case"));
    m = echo_of(q);
    m.questions.push_back(m.questions[0]);
    CHECK(judged(q, m) == verdict::foreign);
    m.questions.clear();
    CHECK(judged(q, m) == verdict::foreign);
    CHECK(dns::judge_reply(q, "").is == verdict::foreign);
    CHECK(dns::judge_reply(q, dns::encode(echo_of(q)).substr(0, 11)).is == verdict::foreign);
}

TEST_CASE("a reply with the right id that is no message is broken, and a truncated one may be cut anywhere after its "
          "question") {
    auto const q = a_query();
    auto m = echo_of(q);
    m.answers.push_back(address("bank.example.org", 1));
    auto bytes = dns::encode(m);
    CHECK(dns::judge_reply(q, bytes.substr(0, bytes.size() - 1)).is == verdict::broken);
    CHECK(dns::judge_reply(q, bytes.substr(0, bytes.size() - 1)).reason == "a record that is longer than the message");
    CHECK(dns::judge_reply(q, bytes.substr(0, 20)).is == verdict::broken);
    bytes[2] = static_cast<char>(bytes[2] | 2);
    for (std::size_t cut = 0; cut < 16; ++cut)
        CHECK(dns::judge_reply(q, bytes.substr(0, bytes.size() - cut)).is == verdict::truncated);
}

TEST_CASE("a server that does not understand EDNS is asked without it, once") {
    std::mt19937_64 random(7);
    auto const with = a_query();
    auto const without = dns::make_query(name_of("bank.example.org"), dns::record_type::a, random, false);
    for (auto code : {dns::response_code::formerr, dns::response_code::notimp}) {
        auto m = echo_of(with);
        m.set_rcode(code);
        CHECK(judged(with, m) == verdict::no_edns);
        m.questions.clear();
        CHECK(judged(with, m) == verdict::no_edns);
        m = echo_of(without);
        m.set_rcode(code);
        CHECK(judged(without, m) == verdict::accepted);
        CHECK(read(m).failure == dns::lookup_error::servfail);
    }
    auto m = echo_of(with);
    m.edns = dns::edns{};
    m.set_rcode(dns::response_code::badvers);
    CHECK(judged(with, m) == verdict::no_edns);
}

TEST_CASE("records of the name and type asked for are found, each once, and nothing else is taken") {
    auto m = echo_of(a_query());
    m.answers = {address("bank.example.org", 1, 60), address("BANK.example.org", 1), address("bank.example.org", 2, 20),
                 address("other.example.org", 3),
                 dns::make_record(name_of("bank.example.org"), 30, dns::txt_data{{"x"}})};
    m.additional = {address("bank.example.org", 4)};
    auto const r = read(m);
    CHECK(r.is == dns::reading::found);
    CHECK(r.records.size() == 2);
    CHECK(r.ttl == 20);
    m.answers[0].ttl = 0x80000000;
    CHECK(read(m).ttl == 0);
}

TEST_CASE("an absent name, an absent type and the failures of a server are told apart") {
    auto m = echo_of(a_query());
    auto const outcome = [&](dns::response_code code) {
        m.set_rcode(code);
        auto const r = read(m);
        return std::pair{r.is, r.failure};
    };
    using dns::lookup_error;
    using dns::reading;
    using code = dns::response_code;
    CHECK(outcome(code::nxdomain) == std::pair{reading::negative, lookup_error::nxdomain});
    CHECK(outcome(code::noerror) == std::pair{reading::negative, lookup_error::nodata});
    CHECK(outcome(code::servfail) == std::pair{reading::failed, lookup_error::servfail});
    CHECK(outcome(code::refused) == std::pair{reading::failed, lookup_error::refused});
    CHECK(outcome(code::notauth) == std::pair{reading::failed, lookup_error::refused});
    CHECK(outcome(code::yxdomain) == std::pair{reading::failed, lookup_error::servfail});
}

TEST_CASE("a negative answer is kept for the lesser of the SOA's TTL and its minimum") {
    auto m = echo_of(a_query());
    m.authority = {soa(30, 5)};
    CHECK(read(m).ttl == 5);
    m.authority = {soa(3, 5)};
    CHECK(read(m).ttl == 3);
    m.authority.clear();
    CHECK(read(m).ttl == 0);
}

TEST_CASE("aliases inside an answer are followed to their end, in any order of records") {
    auto m = echo_of(a_query());
    m.answers = {address("c.example.org", 1), alias("b.example.org", "c.example.org", 7),
                 alias("bank.example.org", "b.example.org")};
    auto const r = read(m);
    CHECK(r.is == dns::reading::found);
    CHECK(r.owner == name_of("c.example.org"));
    CHECK(r.aliases == 2);
    CHECK(r.ttl == 7);
}

TEST_CASE("an alias whose end is missing is asked for, unless the server says that there is nothing") {
    auto m = echo_of(a_query());
    m.answers = {alias("bank.example.org", "n.example.com")};
    CHECK(read(m).is == dns::reading::follow);
    CHECK(read(m).owner == name_of("n.example.com"));
    m.authority = {soa(30, 5)};
    CHECK(read(m).is == dns::reading::negative);
    CHECK(read(m).failure == dns::lookup_error::nodata);
    m.set_rcode(dns::response_code::nxdomain);
    CHECK(read(m).failure == dns::lookup_error::nxdomain);
}

TEST_CASE("eight aliases are followed, nine and loops are malformed") {
    auto m = echo_of(a_query());
    std::string from = "bank.example.org";
    for (int i = 0; i < 8; ++i) {
        std::string const to = "a" + std::to_string(i) + ".example.org";
        m.answers.push_back(alias(from, to));
        from = to;
    }
    m.answers.push_back(address(from, 1));
    CHECK(read(m).is == dns::reading::found);
    CHECK(read(m, 1).is == dns::reading::failed);
    CHECK(read(m, 1).failure == dns::lookup_error::malformed);
    m.answers = {alias("bank.example.org", "b.example.org"), alias("b.example.org", "bank.example.org")};
    CHECK(read(m).failure == dns::lookup_error::malformed);
    m.answers = {alias("bank.example.org", "bank.example.org")};
    CHECK(read(m).failure == dns::lookup_error::malformed);
}

TEST_CASE("a server that only refers to others is no resolver") {
    auto m = echo_of(a_query());
    m.header.recursion_available = false;
    m.authority = {dns::make_record(name_of("org"), 30, dns::ns_data{name_of("ns.org")})};
    CHECK(read(m).is == dns::reading::failed);
    CHECK(read(m).failure == dns::lookup_error::refused);
    m.header.authoritative = true;
    CHECK(read(m).failure == dns::lookup_error::nodata);
}
