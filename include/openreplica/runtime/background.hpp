// One thread for work that may take long and that nobody waits for.
#pragma once

#include <openreplica/types/unique_function.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace openreplica::inline v0::runtime {

/// Runs what it is given, one after the other, on a thread that begins with the first of it.
///
/// @par Thread safety
/// Safe from any thread. `stop` may be called again.
class background {
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<unique_function<void()>> queue_;
    bool stopping_ = false;
    std::thread thread_;

public:
    background() = default;
    background(background const&) = delete;
    background& operator=(background const&) = delete;
    ~background() { stop(); }

    /// After `stop` the work is dropped.
    void post(unique_function<void()> work) {
        std::lock_guard const lock(mutex_);
        if (stopping_) return;
        queue_.push_back(std::move(work));
        if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
        wake_.notify_one();
    }

    /// Waits for what is being done; what has not begun is dropped.
    void stop() {
        {
            std::lock_guard const lock(mutex_);
            stopping_ = true;
            wake_.notify_one();
        }
        if (thread_.joinable()) thread_.join();
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (stopping_) return;
            auto work = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            work();
            work = {};
            lock.lock();
        }
    }
};

} // namespace openreplica::inline v0::runtime
