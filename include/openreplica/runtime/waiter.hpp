// A caller that blocks, and may lend a hand meanwhile.
#pragma once

#include <openreplica/types/instant.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace openreplica::inline v0::runtime {

/// One blocked caller, on its own stack: it sleeps until its call has its outcome, until it is asked to help, or until its
/// deadline.
///
/// @par Thread safety
/// Safe from any thread. `finish` is the last touch: the waiter may be gone right after it.
class waiter {
    std::mutex mutex_;
    std::condition_variable changed_;
    bool finished_ = false;
    bool asked_ = false;

public:
    /// The call has its outcome; what it is was written before.
    void finish() {
        std::lock_guard const lock(mutex_); // Notified under the lock, so that the waiter cannot leave before.
        finished_ = true;
        changed_.notify_one();
    }
    /// There is work that this thread could do.
    void ask() {
        std::lock_guard const lock(mutex_);
        asked_ = true;
        changed_.notify_one();
    }
    /// What ended a sleep.
    enum class cause : std::uint8_t { finished, asked, late };

    /// Sleeps until the call has its outcome, the waiter is asked to help, or `patience` has passed.
    [[nodiscard]] cause sleep(duration patience) {
        std::unique_lock lock(mutex_);
        // Bounded, because the largest durations would overflow the clock.
        bool const called = changed_.wait_for(lock, std::min<duration>(patience, std::chrono::hours(24 * 365)),
                                              [this] { return finished_ || asked_; });
        asked_ = false;
        return finished_ ? cause::finished : called ? cause::asked : cause::late;
    }
    /// Sleeps until the call has its outcome.
    void sleep() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return finished_; });
    }
    [[nodiscard]] bool is_finished() {
        std::lock_guard const lock(mutex_);
        return finished_;
    }
};

} // namespace openreplica::inline v0::runtime
