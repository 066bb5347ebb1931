// How long a member takes to be back: with a long log, and with a large state.
//
//   recovery --data-dir DIR          a log and a state of 1 GiB (about three minutes; 24 GB of memory, 2 GB of disk)
//   recovery --bytes 100000000 …     another size
//   recovery --members 2 …           fewer that have the state: 16 GB will do
//   recovery --seconds 0.1           a smoke test: little of both, below the system's directory for temporary files
//
// `restart`: a member alone, killed, whose log holds everything: from the start of its process to its first answer.
// `join`: a member that begins with nothing fetches the state of diskless ones, which go on working; beside it the
// longest that a caller waited meanwhile, and how often a member saw another leader. No figure is checked.
#include "group.hpp"
#include "member.hpp"

#include <cstdlib>
#include <filesystem>

namespace {

using namespace benchmark;

void measure_restart(char const* program, std::string const& data_dir, std::string const& bytes) {
    setenv("BENCHMARK_SNAPSHOT_EVERY", "1000000000", 1); // No snapshot shortens the log.
    setenv("BENCHMARK_SNAPSHOT_BYTES", "1000000000000", 1);
    scratch const dir(data_dir);
    group g(program, 1, dir.path());
    (void)g.leader();
    (void)g.ask(0, "write_log " + bytes);
    std::string const log_bytes = g.ask(0, "log_bytes");
    g.end(0, SIGKILL);
    double const start_us = now_us();
    g.restart(0);
    core_meter const meter(g.pids());
    (void)g.ask(0, "size ballast");
    row r{"restart_with_a_log_of_" + bytes, 1, (now_us() - start_us) / 1e6, {now_us() - start_us}, 0};
    print(r.json() + ",\"log_bytes\":" + log_bytes, meter);
}

void measure_join(char const* program, int members, std::string const& bytes) {
    unsetenv("BENCHMARK_SNAPSHOT_EVERY");
    unsetenv("BENCHMARK_SNAPSHOT_BYTES");
    group g(program, members, "");
    std::size_t const leader = g.leader();
    std::string const last = g.ask(leader, "spread " + bytes);
    std::string const its_size = g.ask(leader, "size " + last);
    // The log no longer holds the state: whoever comes needs a snapshot.
    for (std::size_t i = 0; i < g.size(); ++i)
        while (std::stoll(g.ask(i, "log_start")) <= 2) (void)g.ask(leader, "run update async 256 0.2");
    std::size_t const follower = (leader + 1) % g.size(), joiner = g.size();
    int before = 0, after = 0;
    for (std::size_t i = 0; i < joiner; ++i) before += std::stoi(g.ask(i, "leader_changes"));
    (void)g.ask(follower, "watch");
    core_meter const meter(g.pids());
    double const start_us = now_us();
    g.join();
    std::string const size = g.ask(joiner, "size " + last);
    row r{"join_with_a_state_of_" + bytes, 1, (now_us() - start_us) / 1e6, {now_us() - start_us}, size == its_size ? 0u : 1u};
    std::string const gap = g.ask(follower, "gap " + std::to_string(start_us));
    for (std::size_t i = 0; i < joiner; ++i) after += std::stoi(g.ask(i, "leader_changes"));
    print(r.json() + ",\"longest_call_us\":" + gap + ",\"leader_changes\":" + std::to_string(after - before), meter);
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 4 && std::string(argv[1]) == "--member")
        return member_main(argv[2], argv[3], std::vector<std::string>(argv + 4, argv + argc));
    std::string data_dir = std::filesystem::temp_directory_path(), bytes = "1073741824";
    int members = 3;
    for (int i = 1; i + 1 < argc; i += 2) {
        std::string const word = argv[i];
        if (word == "--data-dir") data_dir = argv[i + 1];
        if (word == "--bytes") bytes = argv[i + 1];
        if (word == "--members") members = std::atoi(argv[i + 1]);
        if (word == "--seconds" && std::atof(argv[i + 1]) < 1) bytes = "2000000";
    }
    signal(SIGPIPE, SIG_IGN);
    measure_restart(argv[0], data_dir, bytes);
    measure_join(argv[0], members, bytes);
}
