// Why a name gave no addresses, by name.
#pragma once

#include <string>
#include <string_view>

namespace openreplica::inline v0::dns {

/// Why a lookup failed. None of them is a reason to found a group, nor to forget a peer that is known.
enum class lookup_error {
    nxdomain,    ///< the server says that the name does not exist
    nodata,      ///< the name exists, but not with records of the type asked for
    servfail,    ///< the server tried and failed
    refused,     ///< the server does not serve us or this name
    timeout,     ///< no acceptable answer in time
    unreachable, ///< the server's address refuses, or there is no route to it
    malformed,   ///< the answer, or the name asked for, breaks the rules of DNS
    no_address,  ///< service records were found, but none of their hosts has an address
    not_offered, ///< the records say that the service is decidedly not offered (target ".")
    cancelled,   ///< `cancel()` was called, or the resolver was destroyed
};

/// What the failure means and what to do about it, as one sentence without a final dot.
[[nodiscard]] constexpr std::string_view describe(lookup_error e) {
    switch (e) {
    case lookup_error::nxdomain:
        return "the name does not exist; check its spelling, and that the zone with the SRV records is published";
    case lookup_error::nodata:
        return "the name exists but has no record of this type; add the record, or correct the name";
    case lookup_error::servfail:
        return "the DNS server failed to answer; look at its log, and whether the zone's own servers are up";
    case lookup_error::refused:
        return "the DNS server refused the question; it must serve this zone, or resolve names for this host";
    case lookup_error::timeout:
        return "no valid answer came in time; check the DNS server's address and whether a firewall drops UDP and TCP";
    case lookup_error::unreachable:
        return "the DNS server cannot be reached; check its address and port, and that it runs";
    case lookup_error::malformed:
        return "the answer breaks the rules of DNS; check the record, and whether a middlebox rewrites answers";
    case lookup_error::no_address:
        return "service records were found but no address for their hosts; add A or AAAA records, and if the addresses "
               "are private, check that the DNS server's rebinding filter (private-address, stop-dns-rebind) lets them "
               "through";
    case lookup_error::not_offered:
        return "the domain declares that the service is not offered (SRV target \".\"); publish SRV records that name "
               "the members";
    case lookup_error::cancelled:
        return "the lookup was cancelled";
    }
    return "unknown failure";
}

/// The enumerator's name, for logs and metrics.
[[nodiscard]] constexpr std::string_view to_string(lookup_error e) {
    constexpr std::string_view names[] = {"nxdomain",    "nodata",    "servfail",   "refused",     "timeout",
                                          "unreachable", "malformed", "no_address", "not_offered", "cancelled"};
    return names[static_cast<int>(e)];
}

/// `what`, the sentence of `e`, and `detail` in brackets when there is one.
[[nodiscard]] inline std::string explain(std::string_view what, lookup_error e, std::string_view detail = {}) {
    std::string text = std::string(what) + ": " + std::string(describe(e));
    if (!detail.empty()) text.append(" (").append(detail).append(")");
    return text;
}

} // namespace openreplica::inline v0::dns
