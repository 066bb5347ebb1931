// Where a process listens: a host and a port, as written by a person.
#pragma once

#include <charconv>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace openreplica::inline v0 {

/// A host (IPv4 address, IPv6 address or name) and a TCP port.
struct endpoint {
    std::string host;
    std::uint16_t port = 0;

    auto operator<=>(endpoint const&) const = default;
    [[nodiscard]] bool empty() const { return host.empty(); }
};

/// `host:port`, with brackets around an IPv6 address.
[[nodiscard]] inline std::string to_string(endpoint const& e) {
    bool const v6 = e.host.find(':') != std::string::npos;
    return (v6 ? "[" + e.host + "]" : e.host) + ":" + std::to_string(e.port);
}

/// Reads `host:port` or `[v6]:port`. Nothing when the text is neither: empty host, no port, a port above 65535.
[[nodiscard]] inline std::optional<endpoint> parse_endpoint(std::string_view text) {
    std::size_t const colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    std::string_view host = text.substr(0, colon);
    std::string_view const port = text.substr(colon + 1);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos)
        return std::nullopt; // An IPv6 address without brackets: where the port begins is a guess.
    endpoint e{std::string(host), 0};
    auto const [end, failure] = std::from_chars(port.data(), port.data() + port.size(), e.port);
    if (host.empty() || port.empty() || failure != std::errc{} || end != port.data() + port.size()) return std::nullopt;
    return e;
}

} // namespace openreplica::inline v0
