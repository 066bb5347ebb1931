// One member of the demonstration: calls a shared tally again and again, and tells what it sees.
//
//   demo_member --seed srv:NAME [--seed HOST:PORT…] --dns HOST:PORT --listen HOST:PORT --calls N --progress FILE
//               [--founders N] [--voters N --replace-after MS] [--group FAILURE-GROUP…] [--launch COMMAND]
//
// Each acknowledged call is a line "ack ID" in FILE. On SIGTERM it prints what the tally holds and leaves. COMMAND is run
// when a silent voter cannot be replaced, with --avoid and a failure group of those that remain, for each.
#include <openreplica/openreplica.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
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

/// The words after each option.
class options {
    std::map<std::string, std::vector<std::string>> given_;

public:
    options(int argc, char** argv) {
        for (int i = 1; i + 1 < argc; i += 2) given_[argv[i]].emplace_back(argv[i + 1]);
    }
    std::vector<std::string> all(std::string const& name) const {
        auto const it = given_.find(name);
        return it == given_.end() ? std::vector<std::string>{} : it->second;
    }
    std::string one(std::string const& name, std::string otherwise = {}) const {
        auto const it = given_.find(name);
        return it == given_.end() ? std::move(otherwise) : it->second.back();
    }
    int number(std::string const& name, std::string const& otherwise) const { return std::stoi(one(name, otherwise)); }
};

/// Aside: the node must not wait for a shell.
void launch(std::string command, std::vector<std::string> const& failure_groups) {
    for (std::string const& g : failure_groups) command += " --avoid " + g;
    std::thread([command] {
        if (std::system(command.c_str()) != 0) std::cerr << "demo_member: this failed: " << command << std::endl;
    }).detach();
}

openreplica::node_options read_options(options const& given) {
    openreplica::node_options o{.group = "demo",
                                .listen = given.one("--listen"),
                                .seeds = given.all("--seed"),
                                .founders = given.number("--founders", "3"),
                                .voters = given.number("--voters", "0"),
                                .replace_after = std::chrono::milliseconds(given.number("--replace-after", "10000")),
                                .failure_groups = given.all("--group"),
                                .dns_server = given.one("--dns")};
    if (std::string const command = given.one("--launch"); !command.empty())
        o.on_replacement_needed = [command](auto const&, auto const& groups) { launch(command, groups); };
    return o;
}

} // namespace

int main(int argc, char** argv) {
    options const option(argc, argv);
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, nullptr); // Before any thread starts: only sigwait() below takes it.
    try {
        openreplica::node node{read_options(option)};
        openreplica::replicated<tally> shared{node, "tally"};
        std::jthread caller(make_calls, shared, option.one("--listen"), option.number("--calls", "0"), option.one("--progress"));
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
