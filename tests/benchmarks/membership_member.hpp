// The member process of the membership benchmark: orders are lines, and each is answered with one.
#pragma once

#include "member.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace benchmark {

/// One caller that never pauses, and when each of its calls began and ended.
class call_watch {
    mutable std::mutex mutex_;
    std::vector<std::pair<double, double>> calls_us_;
    std::size_t errors_ = 0;
    std::jthread thread_;

public:
    explicit call_watch(shared_counter shared)
        : thread_([this, shared](std::stop_token const& stop) mutable {
              while (!stop.stop_requested()) {
                  double const began_us = now_us();
                  bool done = true;
                  try {
                      shared->add(1);
                  } catch (openreplica::error const&) {
                      done = false;
                  }
                  std::lock_guard const lock(mutex_);
                  if (done)
                      calls_us_.emplace_back(began_us, now_us());
                  else
                      ++errors_;
              }
          }) {}

    /// `LONGEST MEDIAN N ERRORS` of the calls that were under way between the two moments; of the longest, what lies after
    /// the first.
    [[nodiscard]] std::string between(double from_us, double to_us) const {
        std::lock_guard const lock(mutex_);
        double longest = 0;
        std::vector<double> latencies;
        for (auto const& [began, ended] : calls_us_) {
            if (ended < from_us || began > to_us) continue;
            longest = std::max(longest, ended - std::max(began, from_us));
            latencies.push_back(ended - began);
        }
        char text[120];
        std::size_t const n = latencies.size();
        std::snprintf(text, sizeof text, "%.1f %.1f %zu %zu", longest, percentile(latencies, 0.5), n, errors_);
        return text;
    }
    /// The latest call that has ended began after this moment.
    [[nodiscard]] bool is_past(double at_us) const {
        std::lock_guard const lock(mutex_);
        return !calls_us_.empty() && calls_us_.back().first > at_us;
    }
};

/// So many calls a second, in the background, as long as the group takes them.
class paced_load {
    struct state {
        std::mutex mutex;
        row result;
        std::size_t under_way = 0;
    };
    std::shared_ptr<state> state_ = std::make_shared<state>();
    std::jthread thread_;

    static void work(std::stop_token const& stop, std::shared_ptr<state> const& s, shared_counter shared, double per_second) {
        constexpr std::size_t most_under_way = 4096;
        double const start_us = now_us();
        double sent = 0;
        while (!stop.stop_requested()) {
            std::size_t under_way = 0;
            {
                std::lock_guard const lock(s->mutex);
                under_way = s->under_way;
            }
            // What could not be sent in time is sent later: the figure is what the group took.
            double const due = (now_us() - start_us) / 1e6 * per_second - sent;
            bool const waits = under_way >= most_under_way || due < 1;
            std::size_t const n = waits ? 0 : std::min<std::size_t>(static_cast<std::size_t>(due), 256);
            for (std::size_t i = 0; i < n; ++i) {
                {
                    std::lock_guard const lock(s->mutex);
                    ++s->under_way;
                }
                shared.async([s, sent_us = now_us()](std::exception_ptr failure, long) {
                          std::lock_guard const lock(s->mutex);
                          --s->under_way;
                          if (failure)
                              ++s->result.errors;
                          else
                              s->result.latencies_us.push_back(now_us() - sent_us);
                      })->add(1);
            }
            sent += static_cast<double>(n);
            if (n == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1)); // The pace itself.
        }
        std::lock_guard const lock(s->mutex);
        s->result.seconds = (now_us() - start_us) / 1e6;
    }

public:
    paced_load(shared_counter shared, double per_second)
        : thread_([s = state_, shared, per_second](std::stop_token const& stop) { work(stop, s, shared, per_second); }) {
        state_->result.op = "paced_update";
    }
    [[nodiscard]] std::string end() {
        thread_.request_stop();
        thread_.join();
        std::lock_guard const lock(state_->mutex);
        return state_->result.json();
    }
};

class obedient_member {
    std::vector<std::string> seeds_;
    openreplica::node node_;
    shared_counter shared_{node_, "counter"};
    std::vector<std::unique_ptr<openreplica::node>> more_;
    std::unique_ptr<call_watch> watch_;
    std::unique_ptr<paced_load> load_;
    std::map<std::string, std::function<std::string(std::istream&)>> orders_;

public:
    obedient_member(std::string const& listen, std::string const& dir, std::vector<std::string> const& seeds)
        : seeds_(seeds), node_(member_options(listen, dir, seeds)) {
        orders_ = {{"role", [this](std::istream&) { return role(); }},
                   {"status", [this](std::istream&) { return node_.status().to_json().dump(); }},
                   {"leader_changes", [](std::istream&) { return std::to_string(leader_changes); }},
                   {"voters", [this](std::istream& words) { return set_voters(words); }},
                   {"run", [this](std::istream& words) { return run(words); }},
                   {"watch", [this](std::istream&) { return begin_watch(); }},
                   {"past", [this](std::istream& words) { return std::string(watch_->is_past(number(words)) ? "yes" : "no"); }},
                   {"between", [this](std::istream& words) {
                        double const from = number(words);
                        return watch_->between(from, number(words));
                    }},
                   {"more", [this](std::istream& words) { return open_more(number(words)); }},
                   {"load", [this](std::istream& words) {
                        load_ = std::make_unique<paced_load>(shared_, number(words));
                        return std::string("loading");
                    }},
                   {"end_load", [this](std::istream&) { return load_->end(); }},
                   {"spread", [this](std::istream& words) { return spread(node_, static_cast<std::size_t>(number(words))); }},
                   {"size", [this](std::istream& words) { return size(words); }},
                   {"leave", [this](std::istream&) {
                        node_.stop();
                        return std::string("left");
                    }}};
    }
    void obey() {
        for (std::string line, order; std::getline(std::cin, line);) {
            std::istringstream words(line);
            words >> order;
            std::cout << orders_.at(order)(words) << std::endl;
        }
        _exit(0);
    }

private:
    static double number(std::istream& words) {
        double n = 0;
        words >> n;
        return n;
    }
    std::string role() {
        return node_.wait_ready(std::chrono::seconds(60)) ? node_.status().role : std::string("failed");
    }
    std::string set_voters(std::istream& words) {
        try {
            node_.set_voters({std::istream_iterator<std::string>(words), {}});
        } catch (openreplica::error const& e) {
            return e.what();
        }
        return "changed";
    }
    std::string run(std::istream& words) {
        std::string op, style;
        words >> op >> style;
        int const concurrency = static_cast<int>(number(words));
        double const seconds = number(words);
        auto result = style == "async" ? run_async(shared_, op, concurrency, seconds)
                                       : run_blocking(shared_, op, concurrency, seconds);
        return result.json();
    }
    std::string begin_watch() {
        shared_->add(1);
        watch_ = std::make_unique<call_watch>(shared_);
        return "watching";
    }
    std::string open_more(double n) {
        for (int i = 0; i < static_cast<int>(n); ++i)
            more_.push_back(std::make_unique<openreplica::node>(member_options("127.0.0.1:0", "-", seeds_)));
        for (auto& m : more_)
            if (!m->wait_ready(std::chrono::seconds(60))) return "failed";
        return "opened";
    }
    std::string size(std::istream& words) {
        std::string name;
        words >> name;
        openreplica::replicated<ballast> const part{node_, name};
        return std::to_string(part.with({.timeout = std::chrono::minutes(5)})->size());
    }
};

} // namespace benchmark
