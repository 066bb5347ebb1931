// A process that uses the group's objects without being a member: it finds the group, follows it, and outlives its leader.
//
// Members and client share a process here; in earnest each is one of its own.
#include <openreplica/openreplica.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

class tickets {
    int sold = 0;

public:
    int sell(int n) { return sold += n; }
    int count() const { return sold; }

    OPENREPLICA_METHODS(tickets, sell, count)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(tickets, sold)
};

std::vector<std::string> free_addresses() {
    asio::io_context io;
    std::vector<std::string> addresses;
    std::vector<asio::ip::tcp::acceptor> taken;
    for (int i = 0; i < 3; ++i) {
        taken.emplace_back(io, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0});
        addresses.push_back("127.0.0.1:" + std::to_string(taken.back().local_endpoint().port()));
    }
    return addresses;
}

int main() {
    using namespace std::chrono_literals;
    auto const addresses = free_addresses();
    std::vector<std::optional<openreplica::node>> members(3);
    for (std::size_t i = 0; i < 3; ++i)
        members[i].emplace(openreplica::node_options{
            .group = "box office", .listen = addresses[i], .seeds = addresses, .founders = 3});

    // One address, or one DNS name, is enough: the members tell of one another.
    openreplica::client client{{.group = "box office", .seeds = {addresses[0]}}};
    openreplica::replicated<tickets> show{client, "tonight"};
    for (int i = 0; i < 10; ++i) show->sell(1);
    std::cout << show->count() << " sold, of which a replica near by knows "
              << show.with({.max_staleness = 100ms}).local()->count() << '\n';

    std::string const leader = client.status().leader;
    for (auto& member : members)
        if (to_string(member->endpoint()) == leader) {
            member.reset();
            break;
        }
    for (int i = 0; i < 10; ++i) show->sell(1); // Each is executed once, whoever leads.
    int const sold = show->count();
    std::cout << sold << " sold, and " << (client.status().leader == leader ? "nobody else" : "another member") << " leads\n";
    return sold == 20 ? 0 : 1;
}
