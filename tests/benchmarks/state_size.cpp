// Latency of one caller against the size of the replicated state, across snapshots: median and maximum.
//
//   state_size                       1 KB to 100 MB, three diskless members (about two minutes)
//   state_size --data-dir DIR        with data directories below DIR
//   state_size --seconds 0.2         a smoke test
//
// A snapshot is due every 2,000 entries, so that every row crosses several. No figure is checked.
#include "group.hpp"
#include "member.hpp"

#include <cstdlib>

int main(int argc, char** argv) {
    using namespace benchmark;
    if (argc > 4 && std::string(argv[1]) == "--member")
        return member_main(argv[2], argv[3], std::vector<std::string>(argv + 4, argv + argc));
    double seconds = 10;
    std::string data_dir;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string(argv[i]) == "--seconds") seconds = std::atof(argv[i + 1]);
        if (std::string(argv[i]) == "--data-dir") data_dir = argv[i + 1];
    }
    signal(SIGPIPE, SIG_IGN);
    setenv("BENCHMARK_SNAPSHOT_EVERY", "2000", 1);
    std::size_t const largest = seconds < 1 ? 1'000'000 : 100'000'000;
    for (std::size_t bytes = 1000; bytes <= largest; bytes *= 10) {
        scratch const dir(data_dir);
        group g(argv[0], 3, dir.path());
        std::size_t const leader = g.leader();
        (void)g.ask(leader, "fill " + std::to_string(bytes));
        core_meter const meter(g.pids());
        std::string line = g.ask(leader, "run update blocking 1 " + std::to_string(seconds));
        auto const place = line.find("\"op\":\"");
        if (place != std::string::npos) line.insert(place + 6, std::to_string(bytes) + "_bytes_");
        print(line + ",\"log_start\":" + g.ask(leader, "log_start"), meter);
    }
}
