// The thread that runs user code: methods of objects and completions.
#pragma once

#include <openreplica/runtime/applier.hpp>
#include <openreplica/runtime/waiter.hpp>

#include <algorithm>
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
/// second wake-up. Who is inside a method cannot leave it at its deadline, so a caller lends its thread only while its
/// deadline is far: a second away, and a hundred times as far as the slowest recent batch took. One thread works at any
/// time.
///
/// What came of the batches is merged into one report that the strand takes when it likes; it is woken only for news
/// that cannot wait for its next tick.
///
/// @par Thread safety
/// Safe from any thread; `stop` by one at a time.
class apply_thread {
public:
    /// @param clock the node's steady clock
    /// @param wake posts to the strand; called on the apply thread
    /// @param observer may be null
    apply_thread(state_machine& machine, calls& pending, std::function<instant()> clock, std::function<void()> wake,
                 apply_observer* observer = nullptr)
        : applier_(machine, pending, observer), clock_(std::move(clock)), wake_(std::move(wake)), thread_([this] { run(); }) {}

    apply_thread(apply_thread const&) = delete;
    apply_thread& operator=(apply_thread const&) = delete;
    ~apply_thread() { stop(); }

    void post(apply_batch&& work) {
        std::lock_guard const lock(mutex_);
        bool const idle = queue_.empty() && !is_busy();
        queue_.push_back(std::move(work));
        if (idle) call_somebody();
    }

    /// Blocks until `w` is finished or `deadline` has come; says whether `w` is finished. One of those who wait at a time
    /// works in this thread's place.
    [[nodiscard]] bool wait(waiter& w, instant deadline) {
        {
            std::lock_guard const lock(mutex_);
            if (helper_ == nullptr && !stopping_ && has_time(deadline)) {
                helper_ = &w;
                helper_deadline_ = deadline;
            }
        }
        auto woken = waiter::cause::asked;
        while ((woken = w.sleep(deadline - clock_())) == waiter::cause::asked) {
            std::unique_lock lock(mutex_);
            while (!is_busy() && !queue_.empty() && !w.is_finished() && has_time(deadline)) run_one(lock);
            if (!has_time(deadline)) retire(w);
            if (stopping_) ready_.notify_one(); // The thread waits for the last work to end.
        }
        std::lock_guard const lock(mutex_);
        retire(w);
        return woken == waiter::cause::finished;
    }

    /// What was applied since the last call, if anything was.
    [[nodiscard]] std::optional<apply_report> take_report() {
        std::lock_guard const lock(mutex_);
        return std::exchange(report_, std::nullopt);
    }

    /// True while this thread runs methods or completions.
    [[nodiscard]] bool is_this_thread() const { return std::this_thread::get_id() == worker_.load(std::memory_order_relaxed); }

    /// Finishes what is queued and ends the thread; may be called again. Called by a method, it lets the thread end behind
    /// it, and a later call waits for that.
    void stop() {
        {
            std::unique_lock lock(mutex_);
            stopping_ = true;
            // Callers that wait have been told the end of their calls by what is queued; they no longer help.
            helper_ = nullptr;
        }
        ready_.notify_one();
        if (thread_.joinable() && !is_this_thread()) thread_.join();
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

    /// Whether who must leave at `deadline` may run methods of unknown length.
    [[nodiscard]] bool has_time(instant deadline) const {
        duration const left = deadline - clock_();
        return left >= std::chrono::seconds(1) && left / 100 >= slowest_;
    }

    /// Whoever was asked to help, and did not, leaves the work to the next one.
    void retire(waiter const& w) {
        if (helper_ != &w) return;
        helper_ = nullptr;
        if (!is_busy() && (!queue_.empty() || stopping_)) call_somebody();
    }

    void call_somebody() {
        if (helper_ != nullptr && has_time(helper_deadline_))
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
        instant const begun = clock_();
        apply_report report = applier_.run(std::move(work), begun);
        duration const took = clock_() - begun;
        lock.lock();
        slowest_ = std::max(took, slowest_ - slowest_ / 16);
        worker_.store(std::thread::id(), std::memory_order_relaxed);
        if (merge(std::move(report))) {
            lock.unlock();
            wake_();
            lock.lock();
        }
    }

    /// True when the strand should look at once.
    bool merge(apply_report&& r) {
        bool const news = !r.opened.empty() || r.session_gone || r.calls_can_go || r.snapshot_tried || r.install_ended ||
                          !r.problem.empty();
        if (report_) {
            r.opened.insert(r.opened.begin(), report_->opened.begin(), report_->opened.end());
            r.session_used = r.session_used || report_->session_used;
            r.session_gone = r.session_gone || report_->session_gone;
            r.snapshot_tried = r.snapshot_tried || report_->snapshot_tried;
            r.install_ended = r.install_ended || report_->install_ended;
            if (!r.snapshot) r.snapshot = std::move(report_->snapshot);
            r.freeze_pause = std::max(r.freeze_pause, report_->freeze_pause);
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
    instant helper_deadline_{};
    duration slowest_{};                  ///< what the slowest batch took; it fades as quicker ones follow
    std::atomic<std::thread::id> worker_; ///< who runs methods just now; nobody: no id
    std::thread thread_; // Last: it uses everything above.
};

} // namespace openreplica::inline v0::runtime
