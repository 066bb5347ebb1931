// What callers notice while the group's members change: planned replacements, kills, many standbys, a large join, churn.
//
//   membership                      everything (about ten minutes; 12 GB of memory for the large join)
//   membership --replace            a voter, the leader and all members are replaced on purpose
//   membership --kill               members are killed one at a time, with standbys present, and come back as standbys
//   membership --standbys 45        five voters and so many standbys, and calls
//   membership --join-gib           a standby fetches a state of 1 GiB under 20,000 calls a second
//   membership --churn 300          so many standbys join and leave, every other one killed
//   membership --times 21           how often each change is made
//   membership --bytes 100000000    another state; --rate 5000: another load
//   membership --seconds 0.1        a smoke test: little of everything
//
// One JSON line each. A gap is the longest call of one blocking caller that does nothing else, on a member that survives,
// around the change; beside it, for replacements, the longest in as long a time without a change, the median call and the
// round trip of the same run. No figure is checked: machines differ.
#include "group.hpp"
#include "membership_member.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace benchmark;
namespace fs = std::filesystem;

struct settings {
    char const* program = nullptr;
    std::set<std::string> modes{};
    int times = 21;
    int standbys = 45;
    int churn = 300;
    double seconds = 5;
    std::string bytes = "1073741824";
    double rate = 20000;
};

using numbers = std::vector<std::size_t>;

numbers running(group const& g) {
    numbers all;
    for (std::size_t i = 0; i < g.size(); ++i)
        if (g.is_running(i)) all.push_back(i);
    return all;
}

nlohmann::json status(group& g, std::size_t member) { return nlohmann::json::parse(g.ask(member, "status")); }

/// Who votes, by what `of` knows; `others` gets the rest.
numbers voters_of(group& g, std::size_t of, numbers& others) {
    auto const s = status(g, of);
    std::set<std::string> addresses;
    for (auto const& v : s["voters"]) addresses.insert(v["endpoint"].get<std::string>());
    numbers voters;
    others.clear();
    for (std::size_t i : running(g)) (addresses.contains(g.address(i)) ? voters : others).push_back(i);
    return voters;
}

/// What a watching member saw.
struct sight {
    double longest_us = 0, median_us = 0;
    std::size_t calls = 0, errors = 0;
};
sight look(group& g, std::size_t member, double from_us, double to_us) {
    sight s;
    // A call that was under way at the end has to come back before it can be counted.
    while (g.ask(member, "past " + std::to_string(to_us)) != "yes") std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::istringstream(g.ask(member, "between " + std::to_string(from_us) + " " + std::to_string(to_us))) >> s.longest_us >>
        s.median_us >> s.calls >> s.errors;
    return s;
}

std::string field(std::string const& name, double value) {
    char text[100];
    std::snprintf(text, sizeof text, ",\"%s\":%.1f", name.c_str(), value);
    return text;
}

// ---- planned replacements

/// Everybody who has no vote is ready to be given one.
void wait_for_standbys(group& g, numbers const& standbys) {
    for (std::size_t i : standbys)
        for (nlohmann::json s = status(g, i); s["role"] != "standby" || !s["ready"]; s = status(g, i))
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

struct replacement {
    numbers voters;       ///< those to come
    std::size_t survivor; ///< who watches
};
replacement plan(std::string const& what, numbers const& voters, numbers const& standbys, std::size_t leader) {
    if (what == "all") return {standbys, standbys.front()};
    numbers next = voters;
    auto const leads = std::find(next.begin(), next.end(), leader);
    auto const goes = what == "leader" ? leads : leads == next.begin() ? next.begin() + 1 : next.begin();
    *goes = standbys.front();
    for (std::size_t i : next)
        if (i != leader && i != standbys.front()) return {next, i};
    return {next, next.front()};
}

void measure_replacements(settings const& s, std::string const& what) {
    group g(s.program, 3, "");
    for (int i = 0; i < 3; ++i) g.join();
    (void)g.leader();
    for (std::size_t i = 0; i < g.size(); ++i) (void)g.ask(i, "watch");
    row gaps{"replace_" + what, 1, 0, {}, 0};
    std::vector<double> quiet, medians;
    core_meter const meter(g.pids());
    for (int i = 0; i < s.times; ++i) {
        std::size_t const leader = g.leader();
        numbers standbys;
        numbers const voters = voters_of(g, leader, standbys);
        wait_for_standbys(g, standbys);
        auto const p = plan(what, voters, standbys, leader);
        std::string order = "voters";
        for (std::size_t v : p.voters) order += " " + g.address(v);
        double const from_us = now_us();
        // The last of those to come asks, and does not watch.
        if (std::string const did = g.ask(p.voters.back() == p.survivor ? p.voters.front() : p.voters.back(), order); did != "changed") {
            std::fprintf(stderr, "the voters were not changed: %s\n", did.c_str());
            ++gaps.errors;
            continue;
        }
        double const took_us = now_us() - from_us + 20'000; // The callers that the old leader had hear of the new one.
        auto const seen = look(g, p.survivor, from_us, from_us + took_us);
        gaps.latencies_us.push_back(seen.longest_us);
        gaps.seconds += took_us / 1e6;
        double const calm_us = now_us();
        auto const calm = look(g, p.survivor, calm_us, calm_us + took_us);
        quiet.push_back(calm.longest_us);
        medians.push_back(calm.median_us);
    }
    row trips = round_trip(std::min(s.seconds, 1.0));
    double const commit_us = percentile(medians, 0.5), trip_us = percentile(trips.latencies_us, 0.5);
    print(gaps.json() + field("longest_without_change_us", percentile(quiet, 0.5)) + field("median_call_us", commit_us) +
              field("round_trip_us", trip_us) + field("two_calls_and_a_round_trip_us", 2 * commit_us + trip_us),
          meter);
}

// ---- kills

void measure_kills(settings const& s) {
    setenv("BENCHMARK_VOTERS", "3", 1);
    setenv("BENCHMARK_REPLACE_AFTER_MS", "1000", 1);
    group g(s.program, 3, "");
    for (int i = 0; i < 2; ++i) g.join();
    (void)g.leader();
    for (std::size_t i = 0; i < g.size(); ++i) (void)g.ask(i, "watch");
    std::vector<row> rows{{"kill_leader", 1, 0, {}, 0}, {"kill_voter", 1, 0, {}, 0}, {"kill_standby", 1, 0, {}, 0}};
    core_meter const meter(g.pids());
    for (int i = 0; i < 3 * s.times; ++i) {
        std::size_t const leader = g.leader();
        numbers standbys;
        numbers const voters = voters_of(g, leader, standbys);
        std::size_t const victim = i % 3 == 0 ? leader : i % 3 == 1 ? (voters[0] == leader ? voters[1] : voters[0]) : standbys[0];
        double const killed_us = now_us();
        g.end(victim, SIGKILL);
        // Until others vote: who was killed has no part in the group.
        std::size_t const witness = running(g).front();
        for (numbers left; voters_of(g, witness, left).size() < 3;) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        double const healed_us = std::max(now_us(), killed_us + 1'000'000);
        double longest_us = 0;
        for (std::size_t m : running(g)) longest_us = std::max(longest_us, look(g, m, killed_us, healed_us).longest_us);
        row& r = rows[static_cast<std::size_t>(i % 3)];
        r.latencies_us.push_back(longest_us);
        r.seconds += (healed_us - killed_us) / 1e6;
        g.restart(victim);
        (void)g.ask(victim, "role");
        (void)g.ask(victim, "watch");
    }
    for (row& r : rows) print(r.json(), meter);
    unsetenv("BENCHMARK_VOTERS");
    unsetenv("BENCHMARK_REPLACE_AFTER_MS");
}

// ---- many standbys

int changes(group& g, numbers const& members) {
    int n = 0;
    for (std::size_t i : members) n += std::stoi(g.ask(i, "leader_changes"));
    return n;
}

void measure_standbys(settings const& s) {
    group g(s.program, 5, "");
    numbers const voters = running(g);
    (void)g.leader();
    // Several in a process: a machine has room for so many nodes, but not for so many processes.
    constexpr int in_a_process = 5;
    for (int left = s.standbys; left > 0; left -= in_a_process) {
        g.join();
        (void)g.ask(g.size() - 1, "role");
        if (int const more = std::min(left, in_a_process) - 1; more > 0) (void)g.ask(g.size() - 1, "more " + std::to_string(more));
    }
    std::size_t const leader = g.leader();
    int const before = changes(g, voters);
    for (auto const& [where, at] : {std::pair("voter", (leader + 1) % 5), std::pair("standby", g.size() - 1)}) {
        core_meter const meter(g.pids());
        std::string line = g.ask(at, "run update async 64 " + std::to_string(s.seconds));
        auto const place = line.find("\"op\":\"");
        if (place != std::string::npos) line.insert(place + 6, std::to_string(s.standbys) + "_standbys_calls_at_a_" + where + "_");
        print(line + ",\"leader_changes\":" + std::to_string(changes(g, voters) - before), meter);
    }
    core_meter const idle(g.pids());
    std::this_thread::sleep_for(std::chrono::duration<double>(s.seconds)); // What the group costs when nobody calls.
    print("\"op\":\"" + std::to_string(s.standbys) + "_standbys_idle\",\"leader_changes\":" +
              std::to_string(changes(g, voters) - before), idle);
}

// ---- a large join

void measure_join(settings const& s) {
    group g(s.program, 2, "");
    std::size_t const leader = g.leader(), follower = 1 - leader, joiner = 2;
    std::string const last = g.ask(leader, "spread " + s.bytes);
    std::string const its_size = g.ask(leader, "size " + last);
    // The log no longer holds the state: whoever comes needs a snapshot.
    for (std::size_t i : {leader, follower})
        while (status(g, i)["log_start"].get<std::uint64_t>() <= 2) (void)g.ask(leader, "run update async 256 0.2");
    (void)g.ask(follower, "load " + std::to_string(s.rate));
    (void)g.ask(leader, "watch");
    int const before = changes(g, {0, 1});
    core_meter const meter(g.pids());
    double const start_us = now_us();
    g.join();
    std::string const size = g.ask(joiner, "size " + last);
    double const end_us = now_us();
    auto const seen = look(g, leader, start_us, end_us);
    std::string const load = g.ask(follower, "end_load");
    row r{"join_of_" + s.bytes + "_bytes_under_" + std::to_string(static_cast<int>(s.rate)) + "_calls_per_s", 1,
          (end_us - start_us) / 1e6, {end_us - start_us}, size == its_size ? 0u : 1u};
    print(r.json() + field("longest_call_us", seen.longest_us) + ",\"leader_changes\":" +
              std::to_string(changes(g, {0, 1}) - before) + ",\"load\":{" + load + "}", meter);
}

// ---- churn

/// What the kernel knows that a process holds.
struct footprint {
    double rss_mib = 0;
    std::size_t descriptors = 0;
};
footprint footprint_of(int pid) {
    footprint f;
    std::string const proc = "/proc/" + std::to_string(pid);
    double pages = 0;
    std::ifstream(proc + "/statm") >> pages >> pages;
    f.rss_mib = pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
    f.descriptors = static_cast<std::size_t>(std::distance(fs::directory_iterator(proc + "/fd"), fs::directory_iterator()));
    return f;
}

void join_and_leave(group& g, int n) {
    for (int i = 0; i < n; ++i) {
        g.join();
        std::size_t const guest = g.size() - 1;
        (void)g.ask(guest, "role");
        if (i % 2 == 0) (void)g.ask(guest, "leave");
        g.end(guest, SIGKILL);
    }
}

void measure_churn(settings const& s) {
    group g(s.program, 3, "");
    std::size_t const leader = g.leader();
    (void)g.ask(leader, "run update async 64 " + std::to_string(std::min(s.seconds, 2.0)));
    footprint const empty = footprint_of(g.pid(leader));
    join_and_leave(g, std::min(10, s.churn)); // Allocators have taken what they take.
    auto const before = status(g, leader);
    footprint const warm = footprint_of(g.pid(leader));
    (void)g.ask((leader + 1) % 3, "watch");
    int const changed = changes(g, {0, 1, 2});
    core_meter const meter(g.pids());
    double const start_us = now_us();
    join_and_leave(g, s.churn);
    double const end_us = now_us();
    auto const seen = look(g, (leader + 1) % 3, start_us, end_us);
    footprint const busy = footprint_of(g.pid(leader));
    // Whoever is gone is looked for for half a minute.
    double const patience_us = s.seconds < 1 ? 0 : 60e6;
    footprint rest = busy;
    while (rest.descriptors > empty.descriptors && now_us() < end_us + patience_us) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        rest = footprint_of(g.pid(leader));
    }
    auto const after = status(g, leader);
    row r{"churn_of_" + std::to_string(s.churn) + "_standbys", 1, (end_us - start_us) / 1e6, {seen.longest_us}, seen.errors};
    print(r.json() + ",\"leader_changes\":" + std::to_string(changes(g, {0, 1, 2}) - changed) +
              field("rss_mib_before", warm.rss_mib) + field("rss_mib_after", rest.rss_mib) +
              field("descriptors_before", static_cast<double>(empty.descriptors)) +
              field("descriptors_after", static_cast<double>(rest.descriptors)) +
              field("log_bytes_before", before["log_memory_bytes"].get<double>()) +
              field("log_bytes_after", after["log_memory_bytes"].get<double>()) +
              ",\"same_voters\":" + (before["voters"] == after["voters"] && before["epoch"] == after["epoch"] ? "true" : "false"),
          meter);
}

settings read_settings(int argc, char** argv) {
    settings s;
    s.program = argv[0];
    for (int i = 1; i < argc; ++i) {
        std::string const word = argv[i];
        bool const has_value = i + 1 < argc && argv[i + 1][0] != '-';
        double const value = has_value ? std::atof(argv[i + 1]) : 0;
        for (std::string const mode : {"replace", "kill", "standbys", "join-gib", "churn"})
            if (word == "--" + mode) s.modes.insert(mode);
        if (!has_value) continue;
        if (word == "--standbys") s.standbys = static_cast<int>(value);
        if (word == "--churn") s.churn = static_cast<int>(value);
        if (word == "--times") s.times = static_cast<int>(value);
        if (word == "--bytes") s.bytes = argv[i + 1];
        if (word == "--rate") s.rate = value;
        if (word == "--seconds") s.seconds = value;
    }
    if (s.seconds < 1) {
        s.times = 1;
        s.standbys = 3;
        s.churn = 2;
        s.bytes = "2000000";
        s.rate = 1000;
    }
    return s;
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 4 && std::string(argv[1]) == "--member") {
        obedient_member(argv[2], argv[3], std::vector<std::string>(argv + 4, argv + argc)).obey();
        return 0;
    }
    settings const s = read_settings(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    auto const wanted = [&](char const* mode) { return s.modes.empty() || s.modes.contains(mode); };
    if (wanted("replace"))
        for (std::string const what : {"voter", "leader", "all"}) measure_replacements(s, what);
    if (wanted("kill")) measure_kills(s);
    if (wanted("standbys")) measure_standbys(s);
    if (wanted("join-gib")) measure_join(s);
    if (wanted("churn")) measure_churn(s);
}
