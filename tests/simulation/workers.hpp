// Runs seeds in processes of their own: a crash of one is a failure of its seed and no more.
#pragma once

#include "mutants.hpp"
#include "run.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace simulation {

/// What a worker reports of one seed.
struct line {
    bool done = false;
    bool counts = false;
    char invariant[16] = {};
    std::uint64_t acknowledged = 0;
    std::uint64_t unknown = 0;
    std::uint64_t epochs = 0;
    std::uint8_t fired[fault_count] = {};
};

inline void report_failure(std::uint64_t seed, result const& r, std::string const& config) {
    std::string out = "\nseed " + std::to_string(seed) + " violates " + r.invariant + ": " + r.sentence + "\n  " + config + "\n";
    for (auto const& l : r.last_lines) out += "    " + l + "\n";
    out += "replay: tests/run.sh --replay " + std::to_string(seed) + "\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
}

inline line play(std::uint64_t seed, bool quiet) {
    run first(seed);
    result r = first();
    // S20: one seed in a hundred runs twice and must leave the same trace.
    if (r.invariant.empty() && seed % 100 == 0 && run(seed)().trace_hash != r.trace_hash) {
        r.invariant = "S20";
        r.sentence = "the second run left another trace than the first";
    }
    line l;
    std::strncpy(l.invariant, r.invariant.c_str(), sizeof l.invariant - 1);
    l.counts = r.counts();
    l.acknowledged = r.acknowledged;
    l.unknown = r.unknown;
    l.epochs = r.epochs;
    for (std::size_t i = 0; i < fault_count; ++i) l.fired[i] = r.fired[i] > 0;
    if (!r.invariant.empty() && !quiet) report_failure(seed, r, first.config());
    l.done = true;
    return l;
}

/// Lines in memory that the workers share with their parent.
class shared_lines {
    struct shared {
        std::atomic<std::uint64_t> next; ///< index of the seed to take next
        std::atomic<bool> enough;
        std::uint64_t current[64]; ///< what each worker is at
        line lines[1];
    };
    std::size_t bytes_;
    shared* memory_;

public:
    explicit shared_lines(std::size_t count) : bytes_(sizeof(shared) + count * sizeof(line)) {
        void* const at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) std::exit(1);
        memory_ = static_cast<shared*>(at);
    }
    ~shared_lines() { munmap(memory_, bytes_); }
    shared_lines(shared_lines const&) = delete;
    shared_lines& operator=(shared_lines const&) = delete;
    shared* operator->() { return memory_; }
};

struct totals {
    std::uint64_t seeds = 0, counted = 0, failed = 0, acknowledged = 0, unknown = 0, epochs = 0;
    std::uint64_t fired[fault_count] = {};
    std::uint64_t killed_at = 0; ///< the lowest seed that noticed the mutant
    std::string killed_by;

    void add(std::uint64_t seed, line const& l, named_mutant const* broken) {
        if (!l.done) return;
        ++seeds;
        acknowledged += l.acknowledged;
        unknown += l.unknown;
        epochs += l.epochs;
        for (std::size_t i = 0; i < fault_count; ++i) fired[i] += l.fired[i];
        if (l.invariant[0] == 0) {
            counted += l.counts ? 1 : 0;
        } else if (broken == nullptr) {
            ++failed;
        } else if (broken->expects(l.invariant) && killed_by.empty()) {
            killed_by = l.invariant;
            killed_at = seed;
        }
    }
};

/// One worker's life: it takes seeds until there are none, or until its mutant is noticed by a seed that passes without it.
inline void work(shared_lines& all, std::size_t me, std::vector<std::uint64_t> const& seeds, named_mutant const* broken) {
    while (!all->enough) {
        std::uint64_t const i = all->next++;
        if (i >= seeds.size()) break;
        if (i > 0 && i % 1000 == 0) // For whoever waits for a long run.
            std::fprintf(stderr, "%llu of %zu seeds\n", static_cast<unsigned long long>(i), seeds.size());
        all->current[me] = seeds[i];
        openreplica::active_mutant = broken != nullptr ? broken->which : mutant::none;
        line l = play(seeds[i], broken != nullptr);
        if (broken != nullptr && broken->expects(l.invariant)) {
            openreplica::active_mutant = mutant::none;
            if (play(seeds[i], true).invariant[0] == 0)
                all->enough = true;
            else
                l.invariant[0] = 0;
        }
        all->lines[i] = l;
    }
}

inline totals run_seeds(std::vector<std::uint64_t> const& seeds, int jobs, named_mutant const* broken = nullptr) {
    shared_lines all(seeds.size());
    std::vector<pid_t> workers(static_cast<std::size_t>(jobs), 0);
    totals t;
    auto hire = [&](std::size_t j) {
        workers[j] = fork();
        if (workers[j] != 0) return;
        if (broken != nullptr) (void)!freopen("/dev/null", "w", stderr); // What a broken rule trips over is no news.
        work(all, j, seeds, broken);
        _exit(0);
    };
    for (std::size_t j = 0; j < workers.size(); ++j) hire(j);
    for (std::size_t running = workers.size(); running > 0;) {
        int status = 0;
        pid_t const ended = waitpid(-1, &status, 0);
        auto const j = static_cast<std::size_t>(std::find(workers.begin(), workers.end(), ended) - workers.begin());
        if (j == workers.size()) continue;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            --running;
            continue;
        }
        if (broken == nullptr) {
            ++t.failed;
            auto const seed = static_cast<unsigned long long>(all->current[j]);
            std::printf("\nseed %llu crashes\nreplay: tests/run.sh --replay %llu\n", seed, seed);
            std::fflush(stdout);
        }
        hire(j);
    }
    for (std::size_t i = 0; i < seeds.size(); ++i) t.add(seeds[i], all->lines[i], broken);
    return t;
}

} // namespace simulation
