#include <openreplica/dns/message.hpp>

#include <doctest/doctest.h>

namespace dns = openreplica::dns;

TEST_CASE("the response code is four bits without EDNS and twelve with it") {
    dns::message m;
    m.set_rcode(dns::response_code::nxdomain);
    CHECK(m.rcode() == dns::response_code::nxdomain);
    m.set_rcode(dns::response_code::badvers);
    CHECK(m.rcode() == dns::response_code::noerror);
    m.edns = dns::edns{};
    m.set_rcode(dns::response_code::badvers);
    CHECK(m.rcode() == dns::response_code::badvers);
    CHECK(m.header.rcode == 0);
    CHECK(m.edns->extended_rcode == 1);
}

TEST_CASE("a record's type follows from its data") {
    CHECK(dns::make_record({}, 1, dns::srv_data{}).type == dns::record_type::srv);
    CHECK(dns::make_record({}, 1, dns::aaaa_data{}).type == dns::record_type::aaaa);
    CHECK(dns::make_record({}, 1, dns::txt_data{}).klass == dns::record_class::in);
}
