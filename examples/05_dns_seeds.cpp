// Three nodes that know a DNS name and nothing else: they find one another, found a group, and share an object.
//
//   05_dns_seeds NAME DNS-SERVER PORT PORT PORT
//
// tools/05_dns_seeds.sh starts a DNS server that answers for the name, and this program. The three nodes would be three
// processes on three machines in earnest; examples/demo.sh does that, and kills one.
#include <openreplica/openreplica.hpp>

#include <chrono>
#include <iostream>
#include <set>
#include <string>
#include <vector>

struct guest_book {
    std::set<std::string> guests;

    std::size_t sign(std::string const& name) {
        guests.insert(name);
        return guests.size();
    }
    std::set<std::string> read() const { return guests; }

    OPENREPLICA_METHODS(guest_book, sign, read)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(guest_book, guests)
};

int main(int argc, char** argv) {
    if (argc != 6) {
        std::cerr << "usage: 05_dns_seeds NAME DNS-SERVER PORT PORT PORT\n";
        return 2;
    }
    std::vector<openreplica::node> nodes;
    for (int i = 3; i < 6; ++i)
        nodes.emplace_back(openreplica::node_options{.group = "guests",
                                                     .listen = std::string("127.0.0.1:") + argv[i],
                                                     .seeds = {std::string("srv:") + argv[1]},
                                                     .founders = 3,
                                                     .dns_server = argv[2]});
    for (openreplica::node& n : nodes) {
        if (!n.wait_ready(std::chrono::seconds(20))) {
            std::cerr << "not ready: " << n.status().problem << '\n';
            return 1;
        }
        openreplica::replicated<guest_book> book{n, "book"};
        std::cout << to_string(n.endpoint()) << " is a " << n.status().role << " and signs as guest "
                  << book->sign(to_string(n.endpoint())) << '\n';
    }
    auto const guests = openreplica::replicated<guest_book>{nodes.front(), "book"}->read();
    std::cout << guests.size() << " guests met under one name\n";
    return guests.size() == 3 ? 0 : 1;
}
