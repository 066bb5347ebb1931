// Calls per second and latency of member processes on loopback, beside the machine's limits in the same run.
//
//   calls                        all rows of three diskless members, one JSON line each (about three minutes)
//   calls --data-dir DIR         the same with data directories below DIR: every commit synced on all members
//   calls --members 5            another number of members
//   calls --seconds 0.2 --failovers 1    a smoke test
//
// The coordinator starts the member processes, finds out who leads, and gives orders over pipes. No figure is checked:
// machines differ. Quote medians of several runs, as ratios to the limits of the same run.
#include "group.hpp"
#include "member.hpp"

#include <cstdlib>

namespace {

using namespace benchmark;

struct settings {
    char const* program = nullptr;
    double seconds = 3;
    int failovers = 11;
    int members = 3;
    std::string data_dir{}; ///< empty: diskless
};

void measure_calls(group& g, double seconds) {
    std::size_t const leader = g.leader();
    std::size_t const follower = (leader + 1) % g.size();
    auto const run = [&](std::size_t at, std::string const& where, std::string const& op, std::string const& style, int n) {
        core_meter const meter(g.pids());
        std::string line = g.ask(at, "run " + op + " " + style + " " + std::to_string(n) + " " + std::to_string(seconds));
        auto const place = line.find("\"op\":\"");
        if (place != std::string::npos) line.insert(place + 6, where + "_");
        print(line, meter);
    };
    (void)g.ask(leader, "run update async 64 0.5"); // Warms up: allocators, connections, the object's creation.
    for (std::string const op : {"update", "read"})
        for (int n : {1, 64, 256})
            for (std::string const style : {"async", "blocking"}) {
                run(leader, "leader", op, style, n);
                run(follower, "follower", op, style, n);
            }
}

/// The time from a signal to the leader until the first call that was under way or made afterwards came back.
void measure_failover(settings const& s, int number, std::string const& name) {
    row r{name, 1, 0, {}, 0};
    core_meter const meter({});
    for (int i = 0; i < s.failovers; ++i) {
        scratch const dir(s.data_dir);
        group g(s.program, 3, dir.path());
        std::size_t const leader = g.leader();
        std::size_t const follower = (leader + 1) % g.size();
        // A leader of some age: whoever has just promised another its vote gives it the time of an election.
        (void)g.ask(follower, "run update blocking 1 1");
        g.ask(follower, "watch");
        (void)g.ask((leader + 2) % 3, "role"); // Any exchange: the watch has calls under way by now.
        double const kill_us = now_us();
        g.signal(leader, number);
        // The third member proves, by a call of its own, that the group goes on.
        (void)g.ask((leader + 2) % 3, "run update blocking 1 0.2");
        r.latencies_us.push_back(std::stod(g.ask(follower, "gap " + std::to_string(kill_us))));
        r.seconds += r.latencies_us.back() / 1e6;
        if (number == SIGSTOP) g.signal(leader, SIGCONT);
    }
    print(r.json(), meter);
}

void print_limits(settings const& s) {
    double const seconds = std::min(s.seconds, 2.0);
    {
        core_meter const meter({});
        print(round_trip(seconds).json(), meter);
    }
    if (s.data_dir.empty()) return;
    // One small record, and what 256 callers gather: about 170 bytes each.
    for (auto const& [op, bytes] : {std::pair("disk_append", std::size_t{512}), std::pair("disk_group_of_256", std::size_t{43520})}) {
        core_meter const meter({});
        print(disk_append(s.data_dir, op, bytes, seconds).json(), meter);
    }
}

settings read_settings(int argc, char** argv) {
    settings s;
    s.program = argv[0];
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string const word = argv[i];
        if (word == "--seconds") s.seconds = std::atof(argv[i + 1]);
        if (word == "--failovers") s.failovers = std::atoi(argv[i + 1]);
        if (word == "--members") s.members = std::atoi(argv[i + 1]);
        if (word == "--data-dir") s.data_dir = argv[i + 1];
    }
    return s;
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 4 && std::string(argv[1]) == "--member")
        return member_main(argv[2], argv[3], std::vector<std::string>(argv + 4, argv + argc));
    settings const s = read_settings(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    print_limits(s);
    {
        scratch const dir(s.data_dir);
        group g(s.program, s.members, dir.path());
        measure_calls(g, s.seconds);
    }
    print_limits(s);
    if (s.failovers == 0) return 0;
    measure_failover(s, SIGKILL, "next_commit_after_kill");
    measure_failover(s, SIGSTOP, "next_commit_after_stop");
}
