// The member process of the benchmark: it takes orders on its standard input and answers each with one line.
#pragma once

#include "measure.hpp"

#include <openreplica/openreplica.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace benchmark {

class counter {
    long value = 0;

public:
    long add(long n) { return value += n; }
    long get() const { return value; }

    OPENREPLICA_METHODS(counter, add, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(counter, value)
};

using shared_counter = openreplica::replicated<counter>;

/// A state of any size, for what snapshots cost, and commands of any size, for what a log costs.
class ballast {
    std::string bytes;

public:
    void fill(std::size_t n) { bytes.assign(n, 'x'); }
    void pass(std::string_view) {}
    std::size_t size() const { return bytes.size(); }

    OPENREPLICA_METHODS(ballast, fill, pass, size)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ballast, bytes)
};

/// Keeps `concurrency` asynchronous calls under way for `seconds`.
inline row run_async(shared_counter shared, std::string const& op, int concurrency, double seconds) {
    struct state {
        std::mutex mutex;
        std::condition_variable idle;
        row result;
        int under_way = 0;
        double end_us = 0;
        std::function<void()> next;
    };
    auto s = std::make_shared<state>();
    s->result.op = op + "_async";
    s->result.concurrency = concurrency;
    s->result.latencies_us.reserve(1u << 20);
    double const start_us = now_us();
    s->end_us = start_us + seconds * 1e6;
    bool const read = op == "read";
    s->next = [s, shared, read]() mutable {
        auto on_done = [s, sent_us = now_us()](std::exception_ptr failure, long) {
            double const at_us = now_us();
            std::unique_lock lock(s->mutex);
            if (failure)
                ++s->result.errors;
            else
                s->result.latencies_us.push_back(at_us - sent_us);
            if (at_us < s->end_us) {
                lock.unlock();
                return s->next();
            }
            if (--s->under_way == 0) s->idle.notify_all();
        };
        if (read)
            shared.async(std::move(on_done))->get();
        else
            shared.async(std::move(on_done))->add(1);
    };
    {
        std::lock_guard const lock(s->mutex);
        s->under_way = concurrency;
    }
    for (int i = 0; i < concurrency; ++i) s->next();
    std::unique_lock lock(s->mutex);
    s->idle.wait(lock, [&] { return s->under_way == 0; });
    s->result.seconds = (now_us() - start_us) / 1e6;
    lock.unlock();
    s->next = nullptr;
    return std::move(s->result);
}

/// `concurrency` threads that each wait for their call.
inline row run_blocking(shared_counter shared, std::string const& op, int concurrency, double seconds) {
    row result{op + "_blocking", concurrency, 0, {}, 0};
    std::mutex mutex;
    double const start_us = now_us();
    double const end_us = start_us + seconds * 1e6;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < concurrency; ++t)
            threads.emplace_back([&] {
                std::vector<double> mine;
                std::size_t errors = 0;
                for (double at_us = now_us(); at_us < end_us;) {
                    double const sent_us = at_us;
                    try {
                        op == "read" ? shared->get() : shared->add(1);
                        at_us = now_us();
                        mine.push_back(at_us - sent_us);
                    } catch (openreplica::error const&) {
                        ++errors;
                        at_us = now_us();
                    }
                }
                std::lock_guard const lock(mutex);
                result.latencies_us.insert(result.latencies_us.end(), mine.begin(), mine.end());
                result.errors += errors;
            });
    }
    result.seconds = (now_us() - start_us) / 1e6;
    return result;
}

/// Calls until told to stop, and remembers when each acknowledged call began and ended.
class gap_watch {
    std::atomic<bool> stop_ = false;
    std::vector<std::pair<double, double>> calls_us_;
    std::thread thread_;

public:
    explicit gap_watch(shared_counter shared)
        : thread_([this, shared]() mutable {
              while (!stop_) {
                  double const began_us = now_us();
                  try {
                      shared->add(1);
                      calls_us_.emplace_back(began_us, now_us());
                  } catch (openreplica::error const&) {
                  }
              }
          }) {}
    /// How long after `kill_us` the first call came back that was under way or begun by then and ended after it.
    double first_after(double kill_us) {
        stop_ = true;
        thread_.join();
        double longest = 0;
        for (auto const& [began, ended] : calls_us_)
            if (ended > kill_us) longest = std::max(longest, ended - std::max(began, kill_us));
        return longest;
    }
};

/// Commands of 1000 bytes, `bytes` in all.
inline void write_log(openreplica::node& node, std::uint64_t bytes) {
    constexpr std::size_t each = 1000, at_once = 256;
    openreplica::replicated<ballast> shared{node, "ballast"};
    std::string const text(each, 'x');
    std::vector<std::future<void>> calls(at_once);
    for (std::uint64_t i = 0; i < bytes / each; ++i) {
        auto& call = calls[i % at_once];
        if (call.valid()) call.get();
        call = shared.async()->pass(text);
    }
    for (auto& call : calls)
        if (call.valid()) call.get();
}

/// Fills objects of 16 MiB, or one that is smaller. The name of the last.
inline std::string spread(openreplica::node& node, std::size_t bytes) {
    constexpr std::size_t each = 16u << 20;
    std::string name;
    for (std::size_t from = 0; from < bytes; from += each) {
        name = "part-" + std::to_string(from / each);
        openreplica::replicated<ballast> const part{node, name};
        part.with({.timeout = std::chrono::minutes(1)})->fill(std::min(each, bytes - from));
    }
    return name;
}

/// How often this member saw another leader, or none: its log says so.
inline std::atomic<int> leader_changes = 0;

inline openreplica::node_options member_options(std::string const& listen, std::string const& dir,
                                                std::vector<std::string> const& seeds) {
    openreplica::node_options options{.group = "benchmark", .listen = listen, .seeds = seeds,
                                      .founders = static_cast<int>(seeds.size()), .data_dir = dir == "-" ? "" : dir};
    bool const founds = std::find(seeds.begin(), seeds.end(), listen) != seeds.end();
    if (!founds) options.founders = 0;
    if (char const* entries = std::getenv("BENCHMARK_SNAPSHOT_EVERY")) options.snapshot_every = std::stoull(entries);
    if (char const* bytes = std::getenv("BENCHMARK_SNAPSHOT_BYTES")) options.snapshot_bytes = std::stoull(bytes);
    if (char const* voters = std::getenv("BENCHMARK_VOTERS")) options.voters = std::stoi(voters);
    if (char const* ms = std::getenv("BENCHMARK_REPLACE_AFTER_MS")) options.replace_after = std::chrono::milliseconds(std::stoi(ms));
    options.logger = [](openreplica::log_level level, std::string_view text) {
        if (text.ends_with(" leads") || text == "no leader is known") ++leader_changes;
        if (level >= openreplica::log_level::warning) std::cerr << text << std::endl;
    };
    return options;
}

/// @param dir the data directory; "-": diskless
inline int member_main(std::string const& listen, std::string const& dir, std::vector<std::string> const& seeds) {
    openreplica::node node{member_options(listen, dir, seeds)};
    shared_counter shared{node, "counter"};
    std::unique_ptr<gap_watch> watch;
    std::string order;
    while (std::cin >> order) {
        if (order == "role") {
            std::cout << (node.wait_ready(std::chrono::seconds(20)) ? node.status().role : "failed") << std::endl;
        } else if (order == "run") {
            std::string op, style;
            int concurrency = 0;
            double seconds = 0;
            std::cin >> op >> style >> concurrency >> seconds;
            auto result = style == "async" ? run_async(shared, op, concurrency, seconds)
                                           : run_blocking(shared, op, concurrency, seconds);
            std::cout << result.json() << std::endl;
        } else if (order == "fill") {
            std::size_t bytes = 0;
            std::cin >> bytes;
            openreplica::replicated<ballast>{node, "ballast"}.with({.timeout = std::chrono::minutes(1)})->fill(bytes);
            std::cout << "filled" << std::endl;
        } else if (order == "write_log") {
            std::uint64_t bytes = 0;
            std::cin >> bytes;
            write_log(node, bytes);
            std::cout << "written" << std::endl;
        } else if (order == "spread") {
            std::size_t bytes = 0;
            std::cin >> bytes;
            std::cout << spread(node, bytes) << std::endl;
        } else if (order == "size") {
            std::string name;
            std::cin >> name;
            openreplica::replicated<ballast> const part{node, name};
            std::cout << part.with({.timeout = std::chrono::minutes(5)})->size() << std::endl;
        } else if (order == "leader_changes") {
            std::cout << leader_changes << std::endl;
        } else if (order == "log_bytes") {
            std::cout << node.status().disk.log_bytes << std::endl;
        } else if (order == "log_start") {
            std::cout << node.status().log_start << std::endl;
        } else if (order == "watch") {
            shared->add(1);
            watch = std::make_unique<gap_watch>(shared);
            std::cout << "watching" << std::endl;
        } else if (order == "gap") {
            double kill_us = 0;
            std::cin >> kill_us;
            std::cout << watch->first_after(kill_us) << std::endl;
        }
    }
    return 0;
}

} // namespace benchmark
