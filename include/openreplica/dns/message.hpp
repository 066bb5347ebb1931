// What a DNS message says: header, questions and records as values (RFC 1035, 2782, 3596, 6891).
#pragma once

#include <openreplica/dns/name.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace openreplica::inline v0::dns {

/// The type of a record or question. Every 16-bit value is legal; those without a name travel as raw bytes.
enum class record_type : std::uint16_t {
    a = 1,
    ns = 2,
    cname = 5,
    soa = 6,
    txt = 16,
    aaaa = 28,
    srv = 33,
    opt = 41,
    tsig = 250,
    axfr = 252,
    any = 255
};

/// The class of a record or question; `none` and `any` have a meaning in RFC 2136 updates.
enum class record_class : std::uint16_t { in = 1, chaos = 3, none = 254, any = 255 };

/// What kind of request a message is.
enum class operation : std::uint8_t { query = 0, status = 2, notify = 4, update = 5 };

/// The server's verdict: four bits of the header and, with EDNS, eight more.
enum class response_code : std::uint16_t {
    noerror = 0,
    formerr = 1,
    servfail = 2,
    nxdomain = 3,
    notimp = 4,
    refused = 5,
    yxdomain = 6,
    yxrrset = 7,
    nxrrset = 8,
    notauth = 9,
    notzone = 10,
    badvers = 16
};

/// The first twelve bytes of a message, without the four counts.
struct header {
    std::uint16_t id = 0;
    bool response = false;
    operation opcode = operation::query;
    bool authoritative = false;
    bool truncated = false;
    bool recursion_desired = false;
    bool recursion_available = false;
    bool authentic_data = false;
    bool checking_disabled = false;
    std::uint8_t rcode = 0; ///< the low four bits; `message::rcode()` has all twelve

    bool operator==(header const&) const = default;
};

struct question {
    name qname;
    record_type type = record_type::a;
    record_class klass = record_class::in;

    bool operator==(question const&) const = default;
};

struct a_data {
    std::array<std::uint8_t, 4> address{};
    bool operator==(a_data const&) const = default;
};
struct aaaa_data {
    std::array<std::uint8_t, 16> address{};
    bool operator==(aaaa_data const&) const = default;
};
struct ns_data {
    name host;
    bool operator==(ns_data const&) const = default;
};
struct cname_data {
    name target;
    bool operator==(cname_data const&) const = default;
};
/// The zone's start of authority; times in seconds, `minimum` is how long a negative answer may be kept (RFC 2308).
struct soa_data {
    name primary;
    name mailbox;
    std::uint32_t serial = 0;
    std::uint32_t refresh = 0;
    std::uint32_t retry = 0;
    std::uint32_t expire = 0;
    std::uint32_t minimum = 0;
    bool operator==(soa_data const&) const = default;
};
/// Strings of at most 255 bytes each; at least one is on the wire (RFC 1035 3.3.14).
struct txt_data {
    std::vector<std::string> strings;
    bool operator==(txt_data const&) const = default;
};
struct srv_data {
    std::uint16_t priority = 0;
    std::uint16_t weight = 0;
    std::uint16_t port = 0;
    name target;
    bool operator==(srv_data const&) const = default;
};
/// The data of any other type, as it travelled (RFC 3597); also the empty data of an RFC 2136 prerequisite.
struct raw_data {
    std::string bytes;
    bool operator==(raw_data const&) const = default;
};

using record_data = std::variant<raw_data, a_data, aaaa_data, ns_data, cname_data, soa_data, txt_data, srv_data>;

/// One resource record. `ttl` is in seconds. OPT is never one: it is `message::edns`.
struct record {
    name owner;
    record_type type = record_type::a;
    record_class klass = record_class::in;
    std::uint32_t ttl = 0;
    record_data data;

    bool operator==(record const&) const = default;
};

namespace detail {

template <class Data>
struct type_of;
template <>
struct type_of<a_data> {
    static constexpr auto value = record_type::a;
};
template <>
struct type_of<aaaa_data> {
    static constexpr auto value = record_type::aaaa;
};
template <>
struct type_of<ns_data> {
    static constexpr auto value = record_type::ns;
};
template <>
struct type_of<cname_data> {
    static constexpr auto value = record_type::cname;
};
template <>
struct type_of<soa_data> {
    static constexpr auto value = record_type::soa;
};
template <>
struct type_of<txt_data> {
    static constexpr auto value = record_type::txt;
};
template <>
struct type_of<srv_data> {
    static constexpr auto value = record_type::srv;
};

} // namespace detail

/// A record of class IN whose type follows from its data.
template <class Data>
[[nodiscard]] record make_record(name owner, std::uint32_t ttl, Data data) {
    return {std::move(owner), detail::type_of<Data>::value, record_class::in, ttl, std::move(data)};
}

struct edns_option {
    std::uint16_t code = 0;
    std::string bytes;
    bool operator==(edns_option const&) const = default;
};

/// The OPT record (RFC 6891): what the sender can take, and the high bits of the response code.
struct edns {
    std::uint16_t udp_size = 1232;
    std::uint8_t extended_rcode = 0;
    std::uint8_t version = 0;
    bool dnssec_ok = false;
    std::vector<edns_option> options;

    bool operator==(edns const&) const = default;
};

/// A whole message, query or response. The counts of the wire are the sizes of the vectors.
struct message {
    dns::header header;
    std::vector<question> questions;
    std::vector<record> answers;
    std::vector<record> authority;
    std::vector<record> additional;
    std::optional<dns::edns> edns;

    bool operator==(message const&) const = default;

    /// All twelve bits of the verdict.
    [[nodiscard]] response_code rcode() const {
        return static_cast<response_code>((edns ? edns->extended_rcode << 4 : 0) | header.rcode);
    }
    /// Sets the verdict; codes above 15 need `edns` to be present, their high bits are lost without it.
    void set_rcode(response_code code) {
        auto const bits = static_cast<unsigned>(code);
        header.rcode = static_cast<std::uint8_t>(bits & 0xf);
        if (edns) edns->extended_rcode = static_cast<std::uint8_t>(bits >> 4 & 0xff);
    }
};

} // namespace openreplica::inline v0::dns
