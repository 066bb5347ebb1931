// The thread that runs user code: methods of objects and completions.
#pragma once

#include <openreplica/runtime/applier.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace openreplica::inline v0::runtime {

/// Works through batches in order, away from the strand: a slow method delays other methods, never a heartbeat.
///
/// What came of the batches is merged into one report that the strand takes when it likes; it is woken only for news
/// that cannot wait for its next tick.
///
/// @par Thread safety
/// Safe from any thread, except that `stop` is called once.
class apply_thread {
public:
    /// @param clock the node's steady clock
    /// @param wake posts to the strand; called on the apply thread
    apply_thread(state_machine& machine, calls& pending, std::function<instant()> clock, std::function<void()> wake)
        : applier_(machine, pending), clock_(std::move(clock)), wake_(std::move(wake)), thread_([this] { run(); }) {}

    apply_thread(apply_thread const&) = delete;
    apply_thread& operator=(apply_thread const&) = delete;
    ~apply_thread() { stop(); }

    void post(apply_batch&& work) {
        bool idle = false;
        {
            std::lock_guard const lock(mutex_);
            idle = queue_.empty() && !busy_;
            queue_.push_back(std::move(work));
        }
        if (idle) ready_.notify_one();
    }

    /// What was applied since the last call, if anything was.
    [[nodiscard]] std::optional<apply_report> take_report() {
        std::lock_guard const lock(mutex_);
        return std::exchange(report_, std::nullopt);
    }

    [[nodiscard]] bool is_this_thread() const { return std::this_thread::get_id() == id_.load(std::memory_order_relaxed); }

    /// Finishes what is queued and ends the thread. Called on the apply thread itself (a completion destroys the node),
    /// it lets the thread end by itself.
    void stop() {
        {
            std::lock_guard const lock(mutex_);
            stopping_ = true;
        }
        ready_.notify_one();
        if (!thread_.joinable()) return;
        if (is_this_thread())
            thread_.detach();
        else
            thread_.join();
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        for (;;) {
            ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) return;
            apply_batch work = std::move(queue_.front());
            queue_.pop_front();
            busy_ = true;
            lock.unlock();
            apply_report report = applier_.run(std::move(work), clock_());
            lock.lock();
            busy_ = false;
            if (merge(std::move(report))) {
                lock.unlock();
                wake_();
                lock.lock();
            }
        }
    }

    /// True when the strand should look at once.
    bool merge(apply_report&& r) {
        bool const news = !r.opened.empty() || r.session_gone || r.snapshot || r.installed || !r.problem.empty();
        if (report_) {
            r.opened.insert(r.opened.begin(), report_->opened.begin(), report_->opened.end());
            r.session_gone = r.session_gone || report_->session_gone;
            if (!r.snapshot) r.snapshot = std::move(report_->snapshot);
            if (!r.installed) r.installed = std::move(report_->installed);
        }
        report_ = std::move(r);
        return news;
    }

    applier applier_;
    std::function<instant()> clock_;
    std::function<void()> wake_;
    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<apply_batch> queue_;
    std::optional<apply_report> report_;
    bool busy_ = false;
    bool stopping_ = false;
    std::atomic<std::thread::id> id_;
    std::thread thread_; // Last: it uses everything above.
};

} // namespace openreplica::inline v0::runtime
