// One member of the demonstration: calls a shared tally again and again, and tells what it sees.
//
//   demo_member --seed srv:NAME --dns HOST:PORT --listen HOST:PORT --calls N --progress FILE
//
// Each acknowledged call is a line "ack ID" in FILE. On SIGTERM it prints what the tally holds and leaves.
#include <openreplica/openreplica.hpp>

#include <atomic>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

class tally {
    std::map<std::string, int> calls;

public:
    void add(std::string const& id) { ++calls[id]; }
    std::vector<std::string> ids() const {
        std::vector<std::string> all;
        for (auto const& [id, times] : calls) all.push_back(id);
        return all;
    }
    int total() const {
        int sum = 0;
        for (auto const& [id, times] : calls) sum += times;
        return sum;
    }
    int duplicates() const { return total() - static_cast<int>(calls.size()); }

    OPENREPLICA_METHODS(tally, add, ids, total, duplicates)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(tally, calls)
};

namespace {

std::atomic<bool> leaving = false;

void make_calls(openreplica::replicated<tally> shared, std::string const& self, int count, std::string const& file) {
    std::ofstream progress(file);
    for (int i = 0; i < count && !leaving; ++i) {
        std::string const id = self + "/" + std::to_string(i);
        try {
            shared->add(id);
            progress << "ack " << id << std::endl; // Flushed at once: the process may be killed.
        } catch (openreplica::error const& e) {
            std::cout << "call " << id << ": " << e.what() << std::endl;
        }
    }
}

void tell_leader(openreplica::node const& node) {
    std::string known;
    while (!leaving) {
        auto const now = node.status().leader;
        if (now != known && !now.empty()) std::cout << "leader " << now << std::endl;
        known = now;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

} // namespace

int main(int argc, char** argv) {
    std::map<std::string, std::string> option;
    for (int i = 1; i + 1 < argc; i += 2) option[argv[i]] = argv[i + 1];
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, nullptr); // Before any thread starts: only sigwait() below takes it.
    try {
        openreplica::node node{{.group = "demo",
                                .listen = option["--listen"],
                                .seeds = {option["--seed"]},
                                .founders = 3,
                                .dns_server = option["--dns"]}};
        openreplica::replicated<tally> shared{node, "tally"};
        std::jthread caller(make_calls, shared, option["--listen"], std::stoi(option["--calls"]), option["--progress"]);
        std::jthread teller([&] { tell_leader(node); });

        int signal = 0;
        sigwait(&term, &signal);
        leaving = true;
        caller.join();
        for (std::string const& id : shared->ids()) std::cout << "has " << id << '\n';
        std::cout << "total " << shared->total() << "\nduplicates " << shared->duplicates() << std::endl;
    } catch (std::exception const& e) {
        std::cerr << "demo_member: " << e.what() << '\n';
        return 1;
    }
}
