// Which DNS servers this host uses, and the text form of a server that the user names.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/types/endpoint.hpp>

#include <asio/ip/address.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace openreplica::inline v0::dns {

/// The port of DNS.
inline constexpr std::uint16_t dns_port = 53;

/// What a resolv.conf says. Fields without an entry stay empty.
struct resolv_conf {
    std::vector<endpoint> servers; ///< at most three, in the file's order
    std::optional<std::chrono::seconds> timeout;
    std::optional<int> attempts;
};

namespace detail {

[[nodiscard]] inline std::vector<std::string_view> words(std::string_view line) {
    constexpr std::string_view blank = " \t\r";
    std::vector<std::string_view> out;
    for (std::size_t at = line.find_first_not_of(blank); at != std::string_view::npos;) {
        std::size_t const end = std::min(line.find_first_of(blank, at), line.size());
        out.push_back(line.substr(at, end - at));
        at = line.find_first_not_of(blank, end);
    }
    return out;
}

/// The number after `prefix`, held between `low` and `high`; nothing when the text is something else.
[[nodiscard]] inline std::optional<int> numbered(std::string_view word, std::string_view prefix, int low, int high) {
    if (!word.starts_with(prefix)) return std::nullopt;
    word.remove_prefix(prefix.size());
    int value = 0;
    auto const [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure == std::errc::result_out_of_range && end == word.data() + word.size()) return high;
    if (failure != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return std::clamp(value, low, high);
}

[[nodiscard]] inline bool is_address(std::string const& text) {
    asio::error_code failure;
    (void)asio::ip::make_address(text, failure);
    return !failure;
}

} // namespace detail

/// Reads `nameserver`, `options timeout:` and `options attempts:`; every other line is ignored, as the C library does.
///
/// A server that is no IP address is skipped, also a fourth. Timeout is held within 1–30 s, attempts within 1–5. A
/// later option wins over an earlier one.
[[nodiscard]] inline resolv_conf parse_resolv_conf(std::string_view text) {
    constexpr std::size_t max_servers = 3;
    resolv_conf conf;
    while (!text.empty()) {
        std::size_t const end = std::min(text.find('\n'), text.size());
        auto const line = detail::words(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.size() < 2) continue; // Comments start with # or ;, which are no keywords.
        if (line[0] == "nameserver") {
            endpoint server{std::string(line[1]), dns_port};
            bool const known = std::find(conf.servers.begin(), conf.servers.end(), server) != conf.servers.end();
            if (conf.servers.size() < max_servers && !known && detail::is_address(server.host))
                conf.servers.push_back(std::move(server));
        } else if (line[0] == "options") {
            for (auto const word : line) {
                if (auto const s = detail::numbered(word, "timeout:", 1, 30)) conf.timeout = std::chrono::seconds(*s);
                if (auto const n = detail::numbered(word, "attempts:", 1, 5)) conf.attempts = *n;
            }
        }
    }
    return conf;
}

/// Reads the file at `path`. A missing file, or one without a server, means the server on this host: 127.0.0.1:53.
[[nodiscard]] inline resolv_conf read_resolv_conf(std::string const& path = "/etc/resolv.conf") {
    std::ifstream file(path, std::ios::binary);
    std::string const text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    resolv_conf conf = parse_resolv_conf(text);
    if (conf.servers.empty()) conf.servers.push_back({"127.0.0.1", dns_port});
    return conf;
}

/// Reads a DNS server as a person writes it: `host`, `host:port`, an IPv6 address, or `[v6]:port`. The port is 53
/// unless given. Nothing when the text is none of these or the port is 0.
[[nodiscard]] inline std::optional<endpoint> parse_dns_server(std::string_view text) {
    std::string const whole(text);
    if (detail::is_address(whole)) return endpoint{whole, dns_port};
    if (text.find_first_of(" \t\r\n") != std::string_view::npos) return std::nullopt;
    bool const bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
    bool const bare = !bracketed && text.find(':') == std::string_view::npos;
    auto server = bracketed || bare ? parse_endpoint(whole + ":53") : parse_endpoint(text);
    if (!server || server->port == 0) return std::nullopt;
    bool const v6 = server->host.find(':') != std::string::npos;
    if ((v6 || text.front() == '[') && !detail::is_address(server->host)) return std::nullopt;
    return server;
}

} // namespace openreplica::inline v0::dns
