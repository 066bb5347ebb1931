// From SRV records to the order in which to try their hosts (RFC 2782); pure.
#pragma once

#include <openreplica/dns/lookup_error.hpp>
#include <openreplica/dns/message.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace openreplica::inline v0::dns {

/// The most targets that one answer may bring in.
inline constexpr std::size_t max_targets = 64;
/// The most addresses that one target may bring in; the first ones count.
inline constexpr std::size_t max_addresses_per_target = 8;
inline constexpr std::chrono::seconds min_ttl{1};
inline constexpr std::chrono::seconds max_ttl{300};

/// A TTL held within 1–300 s, so that neither a zero makes a busy loop nor a large one hides a change for hours.
[[nodiscard]] constexpr std::chrono::seconds clamp_ttl(std::uint32_t seconds) {
    return std::clamp(std::chrono::seconds(seconds), min_ttl, max_ttl);
}

/// The name to ask for when a seed says `srv:NAME`: `_openreplica._tcp.NAME`, or NAME itself when it begins with `_`.
///
/// The text may carry the `srv:` prefix. Nothing when it is no domain name.
[[nodiscard]] inline std::optional<name> srv_query_name(std::string_view seed) {
    if (seed.starts_with("srv:")) seed.remove_prefix(4);
    auto given = name::parse(seed);
    if (!given || given->is_root()) return std::nullopt;
    if (given->first_label().front() == '_') return given;
    auto const with_protocol = given->child("_tcp");
    return with_protocol ? with_protocol->child("_openreplica") : std::nullopt;
}

/// The domain that an SRV name serves: the name without its leading labels that begin with `_`.
[[nodiscard]] inline name served_domain(name srv_name) {
    while (!srv_name.is_root() && srv_name.first_label().front() == '_') srv_name = srv_name.parent();
    return srv_name;
}

/// Where the hosts of a service must lie: for `bank.example.org` that is `example.org`, for a domain of one or two
/// labels it is the domain itself (the rule of the MongoDB specification).
[[nodiscard]] inline name trusted_domain(name const& srv_name) {
    name const domain = served_domain(srv_name);
    return domain.label_count() >= 3 ? domain.parent() : domain;
}

/// True when `target` lies in the trusted domain of the service.
[[nodiscard]] inline bool in_same_domain(name const& srv_name, name const& target) {
    return target.is_within(trusted_domain(srv_name));
}

namespace detail {

/// A uniform number in [0, last].
template <class Entropy>
[[nodiscard]] std::uint64_t uniform(Entropy& entropy, std::uint64_t last) {
    // 64 bits over a range of at most 2^32: the bias is below 2^-32.
    return entropy() % (last + 1);
}

/// True for text like 10.0.0.1: an SRV target must be a host name, and such a "name" would be taken for an address.
[[nodiscard]] inline bool looks_like_address(name const& n) {
    if (n.is_root()) return false;
    name last = n;
    while (last.label_count() > 1) last = last.parent();
    // No top-level domain is a number, and everything that reads as an IPv4 address ends in one.
    std::string label = last.key().substr(1, last.first_label().size());
    bool const hex = label.starts_with("0x");
    if (hex) label.erase(0, 2);
    return label.find_first_not_of(hex ? "0123456789abcdef" : "0123456789") == std::string::npos;
}

} // namespace detail

/// Puts records into the order in which a client tries them: by priority, and within one by a weighted shuffle.
///
/// RFC 2782: records of weight 0 stand first, a number between 0 and the sum of weights is drawn, and the first record
/// whose running sum reaches it is next; then the same with the rest. Equal records come in random order.
///
/// @param entropy a callable that gives 64 random bits.
template <class Entropy>
[[nodiscard]] std::vector<srv_data> order_targets(std::vector<srv_data> in, Entropy&& entropy) {
    for (std::size_t i = in.size(); i > 1; --i) std::swap(in[i - 1], in[detail::uniform(entropy, i - 1)]);
    std::stable_sort(in.begin(), in.end(), [](srv_data const& a, srv_data const& b) {
        return std::pair(a.priority, a.weight != 0) < std::pair(b.priority, b.weight != 0);
    });
    for (auto next = in.begin(); next != in.end(); ++next) {
        auto const group_end =
            std::find_if(next, in.end(), [&](srv_data const& r) { return r.priority != next->priority; });
        auto const total = std::accumulate(next, group_end, std::uint64_t{0},
                                           [](std::uint64_t sum, srv_data const& r) { return sum + r.weight; });
        std::uint64_t const drawn = detail::uniform(entropy, total);
        std::uint64_t running = 0;
        auto chosen = next;
        while ((running += chosen->weight) < drawn) ++chosen;
        std::rotate(next, chosen, chosen + 1); // The rest keeps its order: zero weights stay in front.
    }
    return in;
}

/// The targets that may be used, or why there is none.
struct target_selection {
    std::vector<srv_data> targets;
    std::optional<lookup_error> failure;
    std::string reason; ///< with `failure`: what was wrong with a record
};

/// Drops what must not be used: port 0, the target ".", a target that is an address, duplicates, and, when asked,
/// targets outside the service's domain. At least one target ".", and nothing usable, means that the service is not
/// offered.
[[nodiscard]] inline target_selection usable_targets(std::vector<record> const& records, name const& srv_name,
                                                     bool require_same_domain) {
    target_selection out;
    bool declined = false;
    for (auto const& rr : records) {
        auto const* const srv = std::get_if<srv_data>(&rr.data);
        if (srv == nullptr) continue;
        auto const same = [&](srv_data const& s) { return s.port == srv->port && s.target == srv->target; };
        if (srv->target.is_root()) {
            declined = true;
        } else if (srv->port == 0) {
            out.reason = "the port of every SRV record is 0";
        } else if (detail::looks_like_address(srv->target)) {
            out.reason = "an SRV target must be a host name with an A or AAAA record, not an IP address";
        } else if (require_same_domain && !in_same_domain(srv_name, srv->target)) {
            out.reason = "the SRV target " + srv->target.to_string() +
                         " lies outside the domain of the service; name a host in " +
                         trusted_domain(srv_name).to_string() + " there";
        } else if (std::none_of(out.targets.begin(), out.targets.end(), same)) {
            out.targets.push_back(*srv);
        }
    }
    if (!out.targets.empty()) out.reason = {};
    if (out.targets.empty()) out.failure = declined ? lookup_error::not_offered : lookup_error::malformed;
    return out;
}

} // namespace openreplica::inline v0::dns
