// A group that is switched off and on again: with a data_dir each, its nodes find what they had.
//
// Give it a directory to keep, and look into that afterwards: openreplica-log DIRECTORY/0
#include <openreplica/openreplica.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

class ledger {
    std::map<std::string, int> accounts;

public:
    int pay_in(std::string const& who, int amount) { return accounts[who] += amount; }
    std::map<std::string, int> all() const { return accounts; }

    OPENREPLICA_METHODS(ledger, pay_in, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ledger, accounts)
};

// A restarted member is found at the address that the group knows: here, free ports that stay the same.
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

std::vector<openreplica::node> open_all(std::vector<std::string> const& addresses, std::filesystem::path const& home) {
    std::vector<openreplica::node> nodes;
    for (std::size_t i = 0; i < 3; ++i)
        nodes.emplace_back(openreplica::node_options{.group = "restart example",
                                                     .listen = addresses[i],
                                                     .seeds = addresses,
                                                     .founders = 3,
                                                     .data_dir = (home / std::to_string(i)).string(),
                                                     .snapshot_every = 16}); // soon, for an example
    return nodes;
}

int main(int argc, char** argv) {
    std::string name = (std::filesystem::temp_directory_path() / "restart-XXXXXX").string();
    std::filesystem::path const home = argc > 1 ? argv[1] : mkdtemp(name.data());
    auto const addresses = free_addresses();
    int total = 0;
    for (int life = 1; life <= 3; ++life) {
        auto nodes = open_all(addresses, home);
        openreplica::replicated<ledger> money{nodes[0], "money"};
        std::cout << "life " << life << " of node " << nodes[0].status().id.substr(0, 8) << " begins with "
                  << nlohmann::json(money->all()) << '\n';
        for (int i = 0; i < 10; ++i) money->pay_in(i % 2 == 0 ? "ada" : "bob", i);
        total = money->all()["ada"] + money->all()["bob"];
    } // All three stop. A crash or a power cut here would end the same way.
    std::cout << "three lives paid in " << total << '\n';
    if (argc == 1) std::filesystem::remove_all(home);
    return total == 3 * 45 ? 0 : 1;
}
