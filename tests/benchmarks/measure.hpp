// Clocks, percentiles and processor use for the benchmarks, and the line that they print.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

namespace benchmark {

inline double now_us() {
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double percentile(std::vector<double>& v, double p) {
    if (v.empty()) return 0;
    auto const k = std::min(v.size() - 1, static_cast<std::size_t>(p * static_cast<double>(v.size())));
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(k), v.end());
    return v[k];
}

/// Processor seconds of a process, user and system, all threads; 0 when it is gone.
inline double process_seconds(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    auto const paren = text.rfind(')');
    if (paren == std::string::npos) return 0;
    std::istringstream rest(text.substr(paren + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) rest >> skipped;
    double user = 0, system = 0;
    rest >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// Busy and stolen core seconds of the whole machine since it started.
inline void machine_seconds(double& busy, double& stolen) {
    std::ifstream file("/proc/stat");
    std::string name;
    double user = 0, nice = 0, system = 0, idle = 0, io = 0, hard = 0, soft = 0, steal = 0;
    file >> name >> user >> nice >> system >> idle >> io >> hard >> soft >> steal;
    auto const hz = static_cast<double>(sysconf(_SC_CLK_TCK));
    busy = (user + nice + system + hard + soft) / hz;
    stolen = steal / hz;
}

/// Measures what the group's processes and the machine use from construction on.
class core_meter {
    std::vector<int> pids_;
    double start_us_ = now_us(), group_ = 0, busy_ = 0, stolen_ = 0;

    [[nodiscard]] double group_seconds() const {
        double sum = 0;
        for (int pid : pids_) sum += process_seconds(pid);
        return sum;
    }

public:
    explicit core_meter(std::vector<int> pids) : pids_(std::move(pids)) {
        group_ = group_seconds();
        machine_seconds(busy_, stolen_);
    }
    /// `"group_cores":…,"client_cores":0,…`: the caller sits inside the group, so it has no cores of its own.
    [[nodiscard]] std::string json() const {
        double busy = 0, stolen = 0;
        machine_seconds(busy, stolen);
        double const seconds = (now_us() - start_us_) / 1e6;
        char text[200];
        std::snprintf(text, sizeof text,
                      "\"group_cores\":%.2f,\"client_cores\":0.00,\"machine_busy_cores\":%.2f,\"steal_cores\":%.2f",
                      (group_seconds() - group_) / seconds, (busy - busy_) / seconds, (stolen - stolen_) / seconds);
        return text;
    }
};

/// One row: how many operations of a kind ended in how long, and their latencies in microseconds.
struct row {
    std::string op;
    int concurrency = 1;
    double seconds = 0;
    std::vector<double> latencies_us;
    std::size_t errors = 0;

    [[nodiscard]] std::string json() {
        std::size_t const n = latencies_us.size();
        double const worst = n == 0 ? 0 : *std::max_element(latencies_us.begin(), latencies_us.end());
        double const p50 = percentile(latencies_us, 0.5), p99 = percentile(latencies_us, 0.99);
        char text[400];
        std::snprintf(text, sizeof text,
                      "\"system\":\"openreplica\",\"op\":\"%s\",\"concurrency\":%d,\"ops_per_s\":%.1f,\"p50_us\":%.1f,"
                      "\"p99_us\":%.1f,\"max_us\":%.1f,\"n\":%zu,\"errors\":%zu",
                      op.c_str(), concurrency, seconds > 0 ? static_cast<double>(n) / seconds : 0, p50, p99, worst, n,
                      errors);
        return text;
    }
};

} // namespace benchmark
