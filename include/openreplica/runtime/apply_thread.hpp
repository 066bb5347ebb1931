// The thread that runs user code: methods of objects and completions.
#pragma once

#include <openreplica/runtime/applier.hpp>
#include <openreplica/runtime/waiter.hpp>

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
/// A caller that blocks lends its thread: it is woken in the worker's place, works, and finds its own outcome without a
/// second wake-up. One thread works at any time.
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
        std::lock_guard const lock(mutex_);
        bool const idle = queue_.empty() && !is_busy();
        queue_.push_back(std::move(work));
        if (idle) call_somebody();
    }

    /// Blocks until `w` is finished. One of those who wait at a time works in this thread's place.
    void wait(waiter& w) {
        {
            std::lock_guard const lock(mutex_);
            if (helper_ == nullptr && !stopping_) helper_ = &w;
        }
        while (!w.sleep()) {
            std::unique_lock lock(mutex_);
            while (!is_busy() && !queue_.empty() && !w.is_finished()) run_one(lock);
            if (stopping_) ready_.notify_one(); // The thread waits for the last work to end.
        }
        std::lock_guard const lock(mutex_);
        if (helper_ != &w) return;
        helper_ = nullptr;
        // What it was asked to do, and did not, is for the next one.
        if (!is_busy() && (!queue_.empty() || stopping_)) call_somebody();
    }

    /// What was applied since the last call, if anything was.
    [[nodiscard]] std::optional<apply_report> take_report() {
        std::lock_guard const lock(mutex_);
        return std::exchange(report_, std::nullopt);
    }

    /// True while this thread runs methods or completions.
    [[nodiscard]] bool is_this_thread() const { return std::this_thread::get_id() == worker_.load(std::memory_order_relaxed); }

    /// Finishes what is queued and ends the thread. Called by a completion (it destroys the node), it lets the thread end
    /// by itself.
    void stop() {
        bool const from_within = is_this_thread();
        {
            std::unique_lock lock(mutex_);
            stopping_ = true;
            // Callers that wait have been told the end of their calls by what is queued; they no longer help.
            helper_ = nullptr;
        }
        ready_.notify_one();
        if (!thread_.joinable()) return;
        if (from_within)
            thread_.detach();
        else
            thread_.join();
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            ready_.wait(lock, [this] { return !is_busy() && (stopping_ || !queue_.empty()); });
            if (queue_.empty()) return;
            run_one(lock);
        }
    }

    [[nodiscard]] bool is_busy() const { return worker_.load(std::memory_order_relaxed) != std::thread::id(); }

    void call_somebody() {
        if (helper_ != nullptr)
            helper_->ask();
        else
            ready_.notify_one();
    }

    /// Works through the first batch, without the lock.
    void run_one(std::unique_lock<std::mutex>& lock) {
        apply_batch work = std::move(queue_.front());
        queue_.pop_front();
        worker_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        lock.unlock();
        apply_report report = applier_.run(std::move(work), clock_());
        lock.lock();
        worker_.store(std::thread::id(), std::memory_order_relaxed);
        if (merge(std::move(report))) {
            lock.unlock();
            wake_();
            lock.lock();
        }
    }

    /// True when the strand should look at once.
    bool merge(apply_report&& r) {
        bool const news = !r.opened.empty() || r.session_gone || r.snapshot || r.install_ended || !r.problem.empty();
        if (report_) {
            r.opened.insert(r.opened.begin(), report_->opened.begin(), report_->opened.end());
            r.session_gone = r.session_gone || report_->session_gone;
            r.install_ended = r.install_ended || report_->install_ended;
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
    bool stopping_ = false;
    waiter* helper_ = nullptr;            ///< the blocked caller that works first
    std::atomic<std::thread::id> worker_; ///< who runs methods just now; nobody: no id
    std::thread thread_; // Last: it uses everything above.
};

} // namespace openreplica::inline v0::runtime
