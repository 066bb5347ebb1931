// From bytes that a stranger may have made to a DNS message.
#pragma once

#include <openreplica/dns/message.hpp>

#include <cstring>
#include <string_view>

namespace openreplica::inline v0::dns {

/// A decoded message, or why the bytes are none.
struct decoded {
    std::optional<message> value;
    std::string_view reason; ///< a static text; empty when there is a value

    explicit operator bool() const { return value.has_value(); }
};

namespace detail {

/// Takes big-endian fields and names; never reads outside the input. After a failure every read gives zero.
class message_reader {
    std::string_view in_;
    std::size_t at_ = 0;
    std::string_view reason_;

public:
    explicit message_reader(std::string_view in) : in_(in) {}

    [[nodiscard]] bool ok() const { return reason_.empty(); }
    [[nodiscard]] std::string_view reason() const { return reason_; }
    [[nodiscard]] std::size_t at() const { return at_; }
    [[nodiscard]] std::size_t remaining() const { return in_.size() - at_; }
    void fail(std::string_view why) {
        if (ok()) reason_ = why;
    }

    [[nodiscard]] std::string_view get_raw(std::size_t n) {
        if (!ok()) return {};
        if (remaining() < n) {
            fail("cut short");
            return {};
        }
        at_ += n;
        return in_.substr(at_ - n, n);
    }
    [[nodiscard]] std::uint8_t get8() {
        auto const b = get_raw(1);
        return b.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(b[0]);
    }
    [[nodiscard]] std::uint16_t get16() {
        unsigned const high = get8();
        return static_cast<std::uint16_t>(high << 8 | get8());
    }
    [[nodiscard]] std::uint32_t get32() {
        std::uint32_t const high = get16();
        return high << 16 | get16();
    }

    /// A name that may be compressed.
    ///
    /// A pointer must lead before the place where the current piece of the name began, so places strictly decrease and
    /// no chain of pointers can loop (RFC 9267 lists the parsers that did).
    [[nodiscard]] name get_name() {
        constexpr int max_jumps = 126;
        name_builder built;
        std::size_t const begin = at_;
        std::size_t piece = begin; // where the current run of labels started
        std::size_t at = begin;
        std::size_t after = 0; // where reading goes on once a pointer was followed
        for (int jumps = 0;;) {
            if (!ok() || at >= in_.size()) return failed_name("cut inside a name");
            unsigned const length = static_cast<unsigned char>(in_[at]);
            if (length == 0) {
                at_ = jumps == 0 ? at + 1 : after;
                return built.finish();
            }
            if ((length & 0xc0) == 0xc0) {
                if (in_.size() - at < 2) return failed_name("cut inside a compression pointer");
                std::size_t const target = (length & 0x3fU) << 8 | static_cast<unsigned char>(in_[at + 1]);
                if (target >= piece) return failed_name("a compression pointer that does not point backwards");
                if (jumps == 0) after = at + 2;
                if (++jumps > max_jumps) return failed_name("too many compression pointers in one name");
                piece = at = target;
                continue;
            }
            if ((length & 0xc0) != 0) return failed_name("a reserved label type");
            if (in_.size() - at - 1 < length) return failed_name("cut inside a label");
            if (!built.add(in_.substr(at + 1, length))) return failed_name("a name longer than 255 bytes");
            at += 1 + length;
        }
    }

private:
    name failed_name(std::string_view why) {
        fail(why);
        return {};
    }
};

[[nodiscard]] inline header get_header(message_reader& r) {
    header h;
    h.id = r.get16();
    unsigned const flags = r.get16();
    h.response = (flags & 0x8000) != 0;
    h.opcode = static_cast<operation>(flags >> 11 & 0xf);
    h.authoritative = (flags & 0x0400) != 0;
    h.truncated = (flags & 0x0200) != 0;
    h.recursion_desired = (flags & 0x0100) != 0;
    h.recursion_available = (flags & 0x0080) != 0;
    h.authentic_data = (flags & 0x0020) != 0;
    h.checking_disabled = (flags & 0x0010) != 0;
    h.rcode = static_cast<std::uint8_t>(flags & 0xf);
    return h;
}

[[nodiscard]] inline question get_question(message_reader& r) {
    question q;
    q.qname = r.get_name();
    q.type = static_cast<record_type>(r.get16());
    q.klass = static_cast<record_class>(r.get16());
    return q;
}

template <std::size_t N>
[[nodiscard]] std::array<std::uint8_t, N> get_address(message_reader& r) {
    std::array<std::uint8_t, N> address{};
    for (auto& b : address) b = r.get8();
    return address;
}

[[nodiscard]] inline soa_data get_soa(message_reader& r) {
    soa_data d;
    d.primary = r.get_name();
    d.mailbox = r.get_name();
    for (auto* field : {&d.serial, &d.refresh, &d.retry, &d.expire, &d.minimum}) *field = r.get32();
    return d;
}

[[nodiscard]] inline txt_data get_txt(message_reader& r, std::size_t end) {
    txt_data d;
    while (r.ok() && r.at() < end) d.strings.emplace_back(r.get_raw(r.get8()));
    if (d.strings.empty()) r.fail("a TXT record without a string");
    return d;
}

[[nodiscard]] inline srv_data get_srv(message_reader& r) {
    srv_data d;
    d.priority = r.get16();
    d.weight = r.get16();
    d.port = r.get16();
    d.target = r.get_name();
    return d;
}

/// The data of a record whose `length` bytes are known to be there.
[[nodiscard]] inline record_data get_data(message_reader& r, record const& of, std::size_t length) {
    // Other classes have other formats. The exception is NONE, with which an update names the data it deletes.
    bool const typed = of.klass == record_class::in || (of.klass == record_class::none && length != 0);
    if (!typed) return raw_data{std::string(r.get_raw(length))};
    switch (of.type) {
    case record_type::a:
        return a_data{get_address<4>(r)};
    case record_type::aaaa:
        return aaaa_data{get_address<16>(r)};
    case record_type::ns:
        return ns_data{r.get_name()};
    case record_type::cname:
        return cname_data{r.get_name()};
    case record_type::soa:
        return get_soa(r);
    case record_type::txt:
        return get_txt(r, r.at() + length);
    case record_type::srv:
        return get_srv(r);
    default:
        return raw_data{std::string(r.get_raw(length))};
    }
}

[[nodiscard]] inline edns get_edns(message_reader& r, unsigned udp_size, std::uint32_t ttl, std::size_t length) {
    edns e;
    e.udp_size = static_cast<std::uint16_t>(udp_size);
    e.extended_rcode = static_cast<std::uint8_t>(ttl >> 24);
    e.version = static_cast<std::uint8_t>(ttl >> 16 & 0xff);
    e.dnssec_ok = (ttl & 0x8000) != 0;
    std::size_t const end = r.at() + length;
    while (r.ok() && r.at() < end) {
        edns_option o;
        o.code = r.get16();
        o.bytes = r.get_raw(r.get16());
        e.options.push_back(std::move(o));
    }
    return e;
}

/// Reads one record into `section`, or into `m.edns` when it is an OPT, which only `opt_allowed` sections may hold.
inline void get_record(message_reader& r, message& m, std::vector<record>& section, bool opt_allowed) {
    record rr;
    rr.owner = r.get_name();
    rr.type = static_cast<record_type>(r.get16());
    rr.klass = static_cast<record_class>(r.get16());
    rr.ttl = r.get32();
    std::size_t const length = r.get16();
    if (r.ok() && r.remaining() < length) r.fail("a record that is longer than the message");
    if (!r.ok()) return;
    std::size_t const end = r.at() + length;
    if (rr.type == record_type::opt) {
        if (m.edns || !opt_allowed || !rr.owner.is_root()) return r.fail("a second or misplaced OPT record");
        m.edns = get_edns(r, static_cast<unsigned>(rr.klass), rr.ttl, length);
    } else {
        rr.data = get_data(r, rr, length);
    }
    if (r.ok() && r.at() != end) r.fail("a record whose length is not that of its data");
    if (r.ok() && rr.type != record_type::opt) section.push_back(std::move(rr));
}

} // namespace detail

/// Reads the header alone: what a server needs to answer FORMERR, or to stay silent. Nothing below twelve bytes.
[[nodiscard]] inline std::optional<header> decode_header(std::string_view bytes) {
    if (bytes.size() < 12) return std::nullopt;
    detail::message_reader r(bytes);
    return detail::get_header(r);
}

/// Reads the header and the questions and ignores the rest: servers may cut a truncated answer in the middle of a
/// record.
[[nodiscard]] inline decoded decode_questions(std::string_view bytes) {
    detail::message_reader r(bytes);
    message m;
    m.header = detail::get_header(r);
    unsigned const questions = r.get16();
    (void)r.get_raw(6);
    for (unsigned i = 0; i < questions && r.ok(); ++i) m.questions.push_back(detail::get_question(r));
    if (!r.ok()) return {std::nullopt, r.reason()};
    return {std::move(m), {}};
}

/// Reads a whole message.
///
/// Refused: reads past the end; compression pointers that do not lead strictly backwards, or more than 126 in a name;
/// names above 255 bytes; label types 01 and 10; a record whose length differs from that of its data; a second OPT, or
/// one outside the additional section or below the root; bytes after the last record. Nothing is reserved from a count,
/// so 64 KiB of input cannot ask for more than a few megabytes.
[[nodiscard]] inline decoded decode(std::string_view bytes) {
    detail::message_reader r(bytes);
    message m;
    m.header = detail::get_header(r);
    std::array<unsigned, 4> counts{};
    for (auto& count : counts) count = r.get16();
    for (unsigned i = 0; i < counts[0] && r.ok(); ++i) m.questions.push_back(detail::get_question(r));
    std::array<std::vector<record>*, 3> const sections{&m.answers, &m.authority, &m.additional};
    for (std::size_t s = 0; s < sections.size(); ++s)
        for (unsigned i = 0; i < counts[s + 1] && r.ok(); ++i) detail::get_record(r, m, *sections[s], s == 2);
    if (r.ok() && r.remaining() != 0) r.fail("bytes after the last record");
    if (!r.ok()) return {std::nullopt, r.reason()};
    return {std::move(m), {}};
}

} // namespace openreplica::inline v0::dns
