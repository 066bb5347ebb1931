// Messages that several DNS tests use: one of each shape.
#pragma once

#include <openreplica/dns/message.hpp>

#include <string_view>
#include <vector>

namespace dns_test {

namespace dns = openreplica::dns;

inline dns::name name_of(std::string_view text) { return dns::name::parse(text).value(); }

inline dns::message sample_query() {
    dns::message m;
    m.header.id = 0x1234;
    m.header.recursion_desired = true;
    m.questions.push_back(
        {name_of("_openreplica._tcp.bank.example.org"), dns::record_type::srv, dns::record_class::in});
    m.edns = dns::edns{1232, 0, 0, false, {}};
    return m;
}

inline dns::message sample_response() {
    dns::message m = sample_query();
    m.header.response = true;
    m.header.authoritative = true;
    m.header.recursion_available = true;
    auto const service = m.questions.front().qname;
    for (int i = 1; i <= 3; ++i) {
        auto const host = name_of("n" + std::to_string(i) + ".node.bank.example.org");
        m.answers.push_back(dns::make_record(service, 30, dns::srv_data{0, 10, 7000, host}));
        m.additional.push_back(dns::make_record(host, 30, dns::a_data{{127, 0, 0, static_cast<std::uint8_t>(i)}}));
    }
    m.additional.push_back(dns::make_record(name_of("n1.node.bank.example.org"), 30,
                                            dns::aaaa_data{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}));
    m.authority.push_back(dns::make_record(name_of("bank.example.org"), 30, dns::ns_data{name_of("ns.example.org")}));
    return m;
}

/// One record of every type that the other samples lack, an unknown type, EDNS options and an extended response code.
inline dns::message sample_of_everything() {
    dns::message m = sample_query();
    m.header.truncated = m.header.checking_disabled = m.header.authentic_data = true;
    m.answers.push_back(dns::make_record(name_of("www.example.org"), 5, dns::cname_data{name_of("example.org")}));
    m.answers.push_back(dns::make_record(name_of("example.org"), 5, dns::txt_data{{"v=or1", ""}}));
    m.answers.push_back({name_of("example.org"), static_cast<dns::record_type>(65280), dns::record_class::in, 5,
                         dns::raw_data{std::string("\0\1\2", 3)}});
    m.authority.push_back(dns::make_record(
        name_of("example.org"), 30,
        dns::soa_data{name_of("ns.example.org"), name_of("hostmaster.example.org"), 7, 60, 30, 3600, 5}));
    m.additional.push_back({name_of("example.org"), dns::record_type::a, dns::record_class::any, 0, dns::raw_data{}});
    m.edns->options.push_back({10, "12345678"});
    m.edns->options.push_back({3, ""});
    m.edns->dnssec_ok = true;
    m.set_rcode(dns::response_code::badvers);
    return m;
}

inline std::vector<dns::message> all_samples() { return {sample_query(), sample_response(), sample_of_everything()}; }

} // namespace dns_test
