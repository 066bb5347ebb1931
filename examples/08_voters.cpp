// A group that keeps itself whole: it grows from its founder to three voters, replaces one that dies, and is moved by hand.
//
// The nodes share a process here; in earnest each is one of its own.
#include <openreplica/openreplica.hpp>

#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

class counter {
    int value = 0;

public:
    int add(int n) { return value += n; }
    int get() const { return value; }

    OPENREPLICA_METHODS(counter, add, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(counter, value)
};

using namespace std::chrono_literals;

std::unique_ptr<openreplica::node> open_node(std::vector<std::string> seeds, std::string rack) {
    return std::make_unique<openreplica::node>(openreplica::node_options{
        .group = "voters", .seeds = std::move(seeds), .voters = 3, .replace_after = 500ms, .failure_groups = {std::move(rack)}});
}

/// A group changes in its own time; nobody waits for ever.
bool soon(std::function<bool()> const& holds) {
    for (auto const end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
        if (holds()) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}

void show(char const* what, openreplica::node const& n) {
    std::cout << what << ": epoch " << n.status().epoch << ", " << n.status().voters.size() << " voters\n";
}

int main() {
    auto founder = open_node({}, "rack:1");
    std::vector<std::string> const seeds{to_string(founder->endpoint())};
    openreplica::replicated<counter> hits{*founder, "hits"};
    hits->add(1);
    show("founded", *founder);

    // Two standbys appear: the group grows to the three voters that its options ask for.
    auto second = open_node(seeds, "rack:2"), third = open_node(seeds, "rack:3");
    if (!soon([&] { return founder->status().voters.size() == 3; })) return 1;
    show("grown by itself", *founder);

    // One dies while a standby is there: it takes over. The rack of whoever died is free again.
    auto spare = open_node(seeds, "rack:3");
    if (!spare->wait_ready(30s)) return 1;
    std::string const dead = to_string(third->endpoint());
    third.reset();
    auto const replaced = [&] {
        for (auto const& v : spare->status().voters)
            if (v.endpoint == dead) return false;
        return spare->status().voters.size() == 3;
    };
    if (!soon(replaced)) return 1;
    show("healed by itself", *spare);

    // By hand: another leader, and the founder's vote for a fresh standby. Calls go on all the time.
    auto fresh = open_node({to_string(second->endpoint())}, "rack:1");
    if (!fresh->wait_ready(30s)) return 1;
    second->transfer_leadership(to_string(second->endpoint()));
    second->replace_voter(to_string(founder->endpoint()), to_string(fresh->endpoint()));
    hits->add(1);
    std::cout << "the founder is a standby now and counts on: " << hits->get() << '\n';
    return hits->get() == 2 ? 0 : 1;
}
