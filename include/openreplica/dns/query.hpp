// One question and the judgement of what comes back; no sockets.
#pragma once

#include <openreplica/dns/decode.hpp>
#include <openreplica/dns/encode.hpp>
#include <openreplica/dns/entropy.hpp>
#include <openreplica/dns/lookup_error.hpp>

#include <algorithm>
#include <utility>

namespace openreplica::inline v0::dns {

/// A question as it is sent: its id and the case of its letters are what a forger has to guess.
struct query {
    std::uint16_t id = 0;
    question asked;
    bool with_edns = true;
    std::string bytes;
};

/// Builds a recursive query with a random id and random letter case, and EDNS unless the server cannot take it.
template <class Entropy>
[[nodiscard]] query make_query(name const& qname, record_type type, Entropy& entropy, bool with_edns = true) {
    message m;
    m.header.id = static_cast<std::uint16_t>(entropy() >> 16);
    m.header.recursion_desired = true;
    m.questions.push_back({qname.with_random_case(random_bits<Entropy>(entropy)), type, record_class::in});
    if (with_edns) m.edns = edns{udp_payload_size, 0, 0, false, {}};
    std::string bytes = encode(m);
    return {m.header.id, m.questions.front(), with_edns, std::move(bytes)};
}

/// What a received packet is to a query.
struct reply_verdict {
    enum kind {
        foreign,   ///< not an answer to this query: a forgery, a late answer to another one; wait for a better packet
        broken,    ///< carries the right id but is no message, or asks in other letter case: wait, but remember why
        truncated, ///< the answer, cut to fit UDP: ask again over TCP
        accepted,  ///< the answer
        no_edns,   ///< the server does not understand EDNS: ask again without
    } is = foreign;
    message reply;             ///< set when accepted
    std::string_view reason{}; ///< set when broken
};

namespace detail {

/// The reply repeats the question; its letter case is another matter.
[[nodiscard]] inline bool echoes(message const& reply, query const& q) {
    return reply.questions.size() == 1 && reply.questions.front().qname == q.asked.qname &&
           reply.questions.front().type == q.asked.type && reply.questions.front().klass == q.asked.klass;
}

} // namespace detail

/// Judges a packet that came from the server's address: id, direction, question and its letter case must be the
/// query's.
[[nodiscard]] inline reply_verdict judge_reply(query const& q, std::string_view bytes) {
    auto const h = decode_header(bytes);
    if (!h || h->id != q.id) return {};
    if (!h->response || h->opcode != operation::query) return {};
    bool const complains = h->rcode == static_cast<std::uint8_t>(response_code::formerr) ||
                           h->rcode == static_cast<std::uint8_t>(response_code::notimp);
    auto const start = decode_questions(bytes);
    if (!start) return {reply_verdict::broken, {}, start.reason};
    // Servers that cannot read a query may answer with the bare header. All that such a packet can cause is one more
    // query without EDNS, which is judged as strictly as any other.
    bool const bare = start.value->questions.empty() && complains;
    if (!bare && !detail::echoes(*start.value, q)) return {};
    if (!bare && !start.value->questions.front().qname.identical(q.asked.qname))
        return {
            reply_verdict::broken, {}, "reply in other letter case: a DNS server or middlebox changes the question"};
    if (complains && q.with_edns) return {reply_verdict::no_edns, {}, {}};
    if (h->truncated) return {reply_verdict::truncated, {}, {}};
    auto whole = decode(bytes);
    if (!whole) return {reply_verdict::broken, {}, whole.reason};
    if (whole.value->rcode() == response_code::badvers && q.with_edns) return {reply_verdict::no_edns, {}, {}};
    return {reply_verdict::accepted, std::move(*whole.value), {}};
}

/// What an accepted reply says about a name.
struct reading {
    enum kind { found, negative, follow, failed } is = failed;
    std::vector<record> records; ///< found: distinct, all of the type asked for, all of `owner`
    name owner;                  ///< the end of the alias chain; follow: the name to ask for next
    int aliases = 0;             ///< aliases passed so far, those of earlier replies included
    std::uint32_t ttl = 0;       ///< seconds; the least of the chain and the records, or of the negative answer
    lookup_error failure{};      ///< negative or failed
    std::string_view reason{};   ///< failed: what exactly is wrong; may be empty
};

/// The longest chain of aliases that is followed.
inline constexpr int max_aliases = 8;

namespace detail {

[[nodiscard]] inline reading failed_reading(lookup_error e, std::string_view reason = {}) {
    reading r;
    r.failure = e;
    r.reason = reason;
    return r;
}

[[nodiscard]] inline record const* find_alias(message const& reply, name const& owner) {
    for (auto const& rr : reply.answers)
        if (rr.type == record_type::cname && rr.klass == record_class::in && rr.owner == owner) return &rr;
    return nullptr;
}

/// The records of one owner and type in a section, each once.
[[nodiscard]] inline std::vector<record> select(std::vector<record> const& section, name const& owner,
                                                record_type type) {
    std::vector<record> out;
    for (auto const& rr : section) {
        if (rr.type != type || rr.klass != record_class::in || rr.owner != owner) continue;
        auto const same = [&](record const& seen) { return seen.data == rr.data; };
        if (std::none_of(out.begin(), out.end(), same)) out.push_back(rr);
    }
    return out;
}

/// RFC 2181 section 8: a TTL with the top bit set counts as zero.
[[nodiscard]] inline std::uint32_t sane_ttl(std::uint32_t ttl) { return ttl > 0x7fffffff ? 0 : ttl; }

[[nodiscard]] inline soa_data const* authority_soa(message const& reply, std::uint32_t& ttl) {
    for (auto const& rr : reply.authority)
        if (auto const* soa = std::get_if<soa_data>(&rr.data)) {
            ttl = std::min(sane_ttl(rr.ttl), sane_ttl(soa->minimum)); // RFC 2308 section 5
            return soa;
        }
    return nullptr;
}

/// No answer, but other servers to ask: what a server does that does not resolve for others.
[[nodiscard]] inline bool is_referral(message const& reply) {
    if (reply.header.authoritative || reply.header.recursion_available) return false;
    return std::any_of(reply.authority.begin(), reply.authority.end(),
                       [](record const& rr) { return rr.type == record_type::ns; });
}

} // namespace detail

/// Reads an accepted reply: follows the aliases it holds and tells an absent name, an absent type and a failure apart.
///
/// @param aliases how many aliases led to `qname` already; the chain ends with `malformed` after eight.
[[nodiscard]] inline reading read_reply(message const& reply, name const& qname, record_type type, int aliases = 0) {
    auto const code = reply.rcode();
    if (code == response_code::refused || code == response_code::notauth)
        return detail::failed_reading(lookup_error::refused);
    if (code != response_code::noerror && code != response_code::nxdomain)
        return detail::failed_reading(lookup_error::servfail, code == response_code::servfail  ? "SERVFAIL"
                                                              : code == response_code::formerr ? "FORMERR"
                                                              : code == response_code::notimp
                                                                  ? "NOTIMP"
                                                                  : "unusual response code");
    reading r;
    r.owner = qname;
    r.aliases = aliases;
    r.ttl = 0x7fffffff;
    for (;;) {
        r.records = detail::select(reply.answers, r.owner, type);
        if (!r.records.empty()) break;
        record const* const alias = detail::find_alias(reply, r.owner);
        if (alias == nullptr) break;
        if (++r.aliases > max_aliases)
            return detail::failed_reading(lookup_error::malformed,
                                          "more than 8 aliases (CNAME) in a row, or a loop of them");
        auto const* const data = std::get_if<cname_data>(&alias->data);
        if (data == nullptr) return detail::failed_reading(lookup_error::malformed, "an alias without a target");
        r.ttl = std::min(r.ttl, detail::sane_ttl(alias->ttl));
        r.owner = data->target;
    }
    if (!r.records.empty()) {
        for (auto const& rr : r.records) r.ttl = std::min(r.ttl, detail::sane_ttl(rr.ttl));
        r.is = reading::found;
        return r;
    }
    std::uint32_t negative_ttl = 0;
    bool const has_soa = detail::authority_soa(reply, negative_ttl) != nullptr;
    // A server that does not resolve for others gives the first alias only.
    bool const moved = r.owner != qname;
    if (code == response_code::noerror && moved && !has_soa) {
        r.is = reading::follow;
        return r;
    }
    if (code == response_code::noerror && !has_soa && detail::is_referral(reply))
        return detail::failed_reading(lookup_error::refused,
                                      "it only refers to other servers: it does not resolve names");
    r.is = reading::negative;
    r.failure = code == response_code::nxdomain ? lookup_error::nxdomain : lookup_error::nodata;
    r.ttl = std::min(r.ttl, negative_ttl);
    return r;
}

} // namespace openreplica::inline v0::dns
