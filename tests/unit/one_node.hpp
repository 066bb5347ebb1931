// What tests of a single real node share: its options, what a call throws, and a method that waits.
#pragma once

#include <openreplica/openreplica.hpp>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace one_node {

/// A group of one that keeps its log lines to itself.
inline openreplica::node_options alone() {
    openreplica::node_options o;
    o.group = "t";
    o.logger = [](openreplica::log_level, std::string_view) {};
    return o;
}

/// The code that `f` throws, and its sentence; zero when it throws nothing.
template <class F>
openreplica::errc thrown_by(F&& f, std::string* sentence = nullptr) {
    try {
        std::forward<F>(f)();
        return {};
    } catch (openreplica::error const& e) {
        if (sentence != nullptr) *sentence = e.what();
        return static_cast<openreplica::errc>(e.code().value());
    }
}

/// Holds whoever passes until it is opened; for twenty seconds at most, so that a failed test ends.
class gate {
    std::mutex mutex_;
    std::condition_variable changed_;
    bool entered_ = false;
    bool open_ = false;

public:
    void pass() {
        std::unique_lock lock(mutex_);
        entered_ = true;
        changed_.notify_all();
        changed_.wait_for(lock, std::chrono::seconds(20), [this] { return open_; });
    }
    bool wait_entered() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return entered_; });
    }
    void open() {
        std::lock_guard const lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
};

} // namespace one_node
