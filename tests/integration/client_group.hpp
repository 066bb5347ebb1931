// Groups of real nodes, and the options of their clients.
#pragma once

#include <openreplica/openreplica.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace client_test {

using namespace std::chrono_literals;

class tally {
    std::map<std::string, int> calls;

public:
    int add(std::string const& id) { return ++calls[id]; }
    int refuse(std::string const& why) { throw std::runtime_error(why); }
    int size() const { return static_cast<int>(calls.size()); }
    int most() const {
        int n = 0;
        for (auto const& [id, times] : calls) n = std::max(n, times);
        return n;
    }
    int times(std::string const& id) const { return calls.contains(id) ? calls.at(id) : 0; }
    int fail_to_read() const { throw std::runtime_error("nothing to read"); }
    OPENREPLICA_METHODS(tally, add, refuse, size, most, times, fail_to_read)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(tally, calls)
};

struct other {
    int value = 0;
    int get() const { return value; }
    OPENREPLICA_METHODS(other, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(other, value)
};

inline std::uint16_t free_port() {
    asio::io_context io;
    return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

inline std::vector<std::string> free_addresses(int n) {
    std::vector<std::string> all;
    for (int i = 0; i < n; ++i) all.push_back("127.0.0.1:" + std::to_string(free_port()));
    return all;
}

/// Asks again until it holds, or fails after the deadline.
inline bool eventually(std::function<bool()> const& holds, std::chrono::seconds within = 20s) {
    auto const end = std::chrono::steady_clock::now() + within;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

/// n members of one group, all founders.
struct group {
    std::vector<std::string> addresses;
    std::vector<std::optional<openreplica::node>> nodes;

    explicit group(int n, std::function<void(openreplica::node_options&)> const& change = {})
        : addresses(free_addresses(n)), nodes(static_cast<std::size_t>(n)) {
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            openreplica::node_options o;
            o.group = "test";
            o.listen = addresses[i];
            o.seeds = addresses;
            o.founders = n;
            o.logger = [](openreplica::log_level, std::string_view) {};
            if (change) change(o);
            nodes[i].emplace(std::move(o));
        }
    }
    [[nodiscard]] bool ready() {
        for (auto& n : nodes)
            if (n && !n->wait_ready(20s)) return false;
        return true;
    }
    [[nodiscard]] std::size_t leader() {
        std::size_t found = nodes.size();
        (void)eventually([&] {
            for (std::size_t i = 0; i < nodes.size(); ++i)
                if (nodes[i] && nodes[i]->status().role == "leader") found = i;
            return found < nodes.size();
        });
        return found;
    }
};

inline openreplica::client_options to(std::vector<std::string> seeds) {
    openreplica::client_options o;
    o.group = "test";
    o.seeds = std::move(seeds);
    o.logger = [](openreplica::log_level, std::string_view) {};
    return o;
}

} // namespace client_test
