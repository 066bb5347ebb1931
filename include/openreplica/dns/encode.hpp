// From a DNS message to bytes.
#pragma once

#include <openreplica/dns/message.hpp>

#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace openreplica::inline v0::dns {

/// The longest message: the length before a message on TCP has 16 bits.
inline constexpr std::size_t max_message_size = 65535;
/// The UDP payload that is offered and used: it fits one unfragmented IPv6 packet of any sane path (RFC 9715).
inline constexpr std::uint16_t udp_payload_size = 1232;

namespace detail {

/// Appends big-endian fields; owner names are compressed against earlier owner names.
class message_writer {
    std::string out_;
    std::map<std::string, std::uint16_t> suffixes_;

public:
    void put8(unsigned v) { out_.push_back(static_cast<char>(v & 0xff)); }
    void put16(unsigned v) {
        put8(v >> 8);
        put8(v);
    }
    void put32(std::uint32_t v) {
        put16(v >> 16);
        put16(v & 0xffff);
    }
    void put_raw(std::string_view bytes) { out_.append(bytes); }
    /// A name inside record data: never compressed, as RFC 2782 and RFC 3597 ask.
    void put_plain(name const& n) { out_.append(n.wire()); }
    void put_owner(name const& n) {
        for (name rest = n; !rest.is_root(); rest = rest.parent()) {
            std::string key = rest.key();
            if (auto const known = suffixes_.find(key); known != suffixes_.end()) {
                put16(0xc000U | known->second);
                return;
            }
            // A pointer has 14 bits: later names are written out.
            if (out_.size() < 0x4000) suffixes_.emplace(std::move(key), static_cast<std::uint16_t>(out_.size()));
            put8(static_cast<unsigned>(rest.first_label().size()));
            put_raw(rest.first_label());
        }
        put8(0);
    }
    [[nodiscard]] std::size_t size() const { return out_.size(); }
    void patch16(std::size_t at, std::size_t v) {
        if (v > 0xffff) throw std::length_error("the data of a DNS record is longer than 65535 bytes");
        out_[at] = static_cast<char>(v >> 8 & 0xff);
        out_[at + 1] = static_cast<char>(v & 0xff);
    }
    [[nodiscard]] std::string take() { return std::move(out_); }
};

inline void put_header(message_writer& w, header const& h) {
    w.put16(h.id);
    unsigned flags = (static_cast<unsigned>(h.opcode) & 0xf) << 11 | (h.rcode & 0xfU);
    flags |= (h.response ? 0x8000U : 0U) | (h.authoritative ? 0x0400U : 0U) | (h.truncated ? 0x0200U : 0U);
    flags |= (h.recursion_desired ? 0x0100U : 0U) | (h.recursion_available ? 0x0080U : 0U);
    flags |= (h.authentic_data ? 0x0020U : 0U) | (h.checking_disabled ? 0x0010U : 0U);
    w.put16(flags);
}

inline void put_data(message_writer& w, raw_data const& d) { w.put_raw(d.bytes); }
inline void put_data(message_writer& w, a_data const& d) {
    for (auto b : d.address) w.put8(b);
}
inline void put_data(message_writer& w, aaaa_data const& d) {
    for (auto b : d.address) w.put8(b);
}
inline void put_data(message_writer& w, ns_data const& d) { w.put_plain(d.host); }
inline void put_data(message_writer& w, cname_data const& d) { w.put_plain(d.target); }
inline void put_data(message_writer& w, soa_data const& d) {
    w.put_plain(d.primary);
    w.put_plain(d.mailbox);
    for (auto v : {d.serial, d.refresh, d.retry, d.expire, d.minimum}) w.put32(v);
}
inline void put_data(message_writer& w, txt_data const& d) {
    if (d.strings.empty()) w.put8(0); // An empty TXT does not exist: one empty string stands for it.
    for (auto const& s : d.strings) {
        if (s.size() > 255) throw std::length_error("a string of a TXT record is longer than 255 bytes; cut it in two");
        w.put8(static_cast<unsigned>(s.size()));
        w.put_raw(s);
    }
}
inline void put_data(message_writer& w, srv_data const& d) {
    w.put16(d.priority);
    w.put16(d.weight);
    w.put16(d.port);
    w.put_plain(d.target);
}

inline void put_record(message_writer& w, record const& r) {
    w.put_owner(r.owner);
    w.put16(static_cast<unsigned>(r.type));
    w.put16(static_cast<unsigned>(r.klass));
    w.put32(r.ttl);
    std::size_t const length_at = w.size();
    w.put16(0);
    std::visit([&](auto const& d) { put_data(w, d); }, r.data);
    w.patch16(length_at, w.size() - length_at - 2);
}

inline void put_edns(message_writer& w, edns const& e) {
    w.put8(0);
    w.put16(static_cast<unsigned>(record_type::opt));
    w.put16(e.udp_size);
    w.put8(e.extended_rcode);
    w.put8(e.version);
    w.put16(e.dnssec_ok ? 0x8000U : 0U);
    std::size_t const length_at = w.size();
    w.put16(0);
    for (auto const& o : e.options) {
        if (o.bytes.size() > 0xffff) throw std::length_error("an EDNS option is longer than 65535 bytes");
        w.put16(o.code);
        w.put16(static_cast<unsigned>(o.bytes.size()));
        w.put_raw(o.bytes);
    }
    w.patch16(length_at, w.size() - length_at - 2);
}

/// The message, or nothing once it has grown past `limit`.
[[nodiscard]] inline std::optional<std::string> encode_within(message const& m, std::size_t limit) {
    auto const extra = m.additional.size() + (m.edns ? 1U : 0U);
    // Every question and record takes at least five bytes, so a count that does not fit 16 bits cannot fit the limit.
    for (std::size_t count : {m.questions.size(), m.answers.size(), m.authority.size(), extra})
        if (count > 0xffff) return std::nullopt;
    message_writer w;
    put_header(w, m.header);
    for (std::size_t count : {m.questions.size(), m.answers.size(), m.authority.size(), extra})
        w.put16(static_cast<unsigned>(count));
    for (auto const& q : m.questions) {
        w.put_owner(q.qname);
        w.put16(static_cast<unsigned>(q.type));
        w.put16(static_cast<unsigned>(q.klass));
    }
    for (auto const* section : {&m.answers, &m.authority, &m.additional})
        for (auto const& r : *section) {
            put_record(w, r);
            if (w.size() > limit) return std::nullopt;
        }
    if (m.edns) put_edns(w, *m.edns);
    if (w.size() > limit) return std::nullopt;
    return w.take();
}

} // namespace detail

/// The bytes of a message, at most `limit` of them.
///
/// A message that does not fit loses all its records, keeps its question and EDNS, and gets the TC bit, so that the
/// asker turns to TCP. OPT comes last. Owner names are compressed, names in record data are not.
///
/// @throws std::length_error when a TXT string, the data of a record or an EDNS option cannot be expressed, or when
/// even the question does not fit.
[[nodiscard]] inline std::string encode(message const& m, std::size_t limit = max_message_size) {
    if (limit > max_message_size) limit = max_message_size;
    if (auto whole = detail::encode_within(m, limit)) return std::move(*whole);
    message cut{m.header, m.questions, {}, {}, {}, m.edns};
    cut.header.truncated = true;
    if (auto rest = detail::encode_within(cut, limit)) return std::move(*rest);
    throw std::length_error("a DNS message without records does not fit " + std::to_string(limit) + " bytes");
}

} // namespace openreplica::inline v0::dns
