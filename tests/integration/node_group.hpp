// Groups of real nodes in one process, and the object that tells whether anything was lost or executed twice.
#pragma once

#include <openreplica/openreplica.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace node_group {

using namespace std::chrono_literals;

/// Counts the calls by their names.
class tally {
    std::map<std::string, int> calls;

public:
    int add(std::string const& id) { return ++calls[id]; }
    int size() const { return static_cast<int>(calls.size()); }
    int most() const {
        int n = 0;
        for (auto const& [id, times] : calls) n = std::max(n, times);
        return n;
    }
    std::map<std::string, int> all() const { return calls; }
    OPENREPLICA_METHODS(tally, add, size, most, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(tally, calls)
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

inline openreplica::node_options member(std::string const& group, std::string const& listen, std::vector<std::string> seeds,
                                        int founders) {
    openreplica::node_options o;
    o.group = group;
    o.listen = listen;
    o.seeds = std::move(seeds);
    o.founders = founders;
    o.logger = [](openreplica::log_level, std::string_view) {};
    return o;
}

/// n members of one group, all founders.
struct group {
    std::vector<std::string> addresses;
    std::vector<std::optional<openreplica::node>> nodes;

    explicit group(int n, std::function<void(openreplica::node_options&)> const& change = {})
        : addresses(free_addresses(n)), nodes(static_cast<std::size_t>(n)) {
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            auto o = member("test", addresses[i], addresses, n);
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

} // namespace node_group
