// Reads that clients have made here.
#pragma once

#include <openreplica/net/client_message.hpp>
#include <openreplica/runtime/background.hpp>
#include <openreplica/runtime/engine.hpp>
#include <openreplica/runtime/state_machine.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/outcome.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// Runs const methods for clients, on a thread of its own: neither the strand nor the applying of entries waits for them.
///
/// A read is linearizable or local. A local one runs at once if this replica's state is recent enough for it: it must hold
/// the slot that the client has seen, and, with a bound on its age, must have been the group's within that time. This
/// replica knows the latter from the last read point that was confirmed: the state was the group's when that was asked
/// for. Otherwise the read waits for a read point of its own, which satisfies both bounds and renews what is known; so
/// however many reads with a bound of a second arrive, the leader is asked once a second.
///
/// @par Thread safety
/// One strand, except where said.
class guest_reads {
public:
    struct answer {
        net::guest_id to;
        net::client_answer what;
    };
    struct surroundings {
        std::function<void(std::vector<pending_read>&&)> ask; ///< for read points; their completions run on any thread
        std::function<void()> wake;                           ///< there is something to take; called on any thread
        std::function<instant()> now;                         ///< called on any thread
    };

    guest_reads(state_machine const& machine, surroundings around) : machine_(machine), around_(std::move(around)) {}

    /// Takes a read in; `flush` sends it on its way. `may_run` is false while this replica has nothing to show.
    void add(net::guest_id from, net::client_query&& q, bool may_run) {
        auto const patience = std::chrono::microseconds(std::min<std::uint64_t>(q.timeout_us, longest_us));
        auto r = std::make_shared<read>(read{from, std::move(q), around_.now() + patience, {}});
        (r->what.local && may_run ? to_run_ : to_ask_).push_back(std::move(r));
    }

    /// What arrived together leaves together.
    void flush() {
        {
            std::lock_guard const lock(mutex_);
            std::move(not_fresh_.begin(), not_fresh_.end(), std::back_inserter(to_ask_));
            not_fresh_.clear();
        }
        if (!to_run_.empty()) run_all(std::exchange(to_run_, {}));
        if (to_ask_.empty()) return;
        std::vector<pending_read> points;
        for (auto& r : std::exchange(to_ask_, {})) {
            r->asked_at = around_.now();
            points.push_back({[this, r](call_outcome&& o) { on_point(r, std::move(o)); }, call_ticket{}, r->deadline});
        }
        around_.ask(std::move(points));
    }

    /// Answers since the last call.
    [[nodiscard]] std::vector<answer> take_answers() {
        std::lock_guard const lock(mutex_);
        return std::exchange(answers_, {});
    }

    /// Begins to run the reads whose point was reached: called where entries are applied, after a batch.
    void run_ready() {
        reads ready;
        {
            std::lock_guard const lock(mutex_);
            ready.swap(ready_);
        }
        if (!ready.empty()) run_all(std::move(ready));
    }

    /// Waits for the read that is being made; the others are dropped.
    void stop() { thread_.stop(); }

private:
    struct read {
        net::guest_id from;
        net::client_query what;
        instant deadline;
        instant asked_at; ///< for its read point
    };
    using reads = std::vector<std::shared_ptr<read>>;
    static constexpr std::uint64_t longest_us = 365ull * 24 * 3600 * 1'000'000;
    static constexpr std::uint64_t unknown_us = std::numeric_limits<std::uint64_t>::max();

    /// On the strand when there is no read point, where entries are applied when the state holds it.
    void on_point(std::shared_ptr<read> const& r, call_outcome&& o) {
        std::lock_guard const lock(mutex_);
        if (!o.ok()) return answers_.push_back({r->from, {r->what.number, std::move(o), unknown_us}});
        auto const asked = r->asked_at.time_since_epoch().count();
        if (asked > fresh_.load(std::memory_order_relaxed)) fresh_.store(asked, std::memory_order_relaxed);
        r->what.local = false; // It has its point.
        ready_.push_back(r);
    }

    void run_all(reads&& all) {
        thread_.post([this, all = std::move(all)] {
            for (auto const& r : all) run(r);
            around_.wake();
        });
    }

    void run(std::shared_ptr<read> const& r) {
        net::client_query const& q = r->what;
        instant const now = around_.now();
        if (r->deadline <= now)
            return finish(*r, failed(errc::not_executed, "the read's deadline passed before it was made"), unknown_us);
        std::uint64_t const age = staleness(now);
        bool const too_old = q.local && q.max_staleness_us > 0 && age > q.max_staleness_us;
        call_outcome o;
        if (!too_old)
            o = machine_.query({q.kind == net::query_kind::exists, q.name, q.type, q.body.view()});
        if (too_old || (q.local && o.at < q.floor)) {
            std::lock_guard const lock(mutex_);
            return not_fresh_.push_back(r);
        }
        finish(*r, std::move(o), age);
    }

    void finish(read const& r, call_outcome&& o, std::uint64_t age) {
        std::lock_guard const lock(mutex_);
        answers_.push_back({r.from, {r.what.number, std::move(o), age}});
    }

    [[nodiscard]] std::uint64_t staleness(instant now) const {
        auto const fresh = fresh_.load(std::memory_order_relaxed);
        if (fresh == never) return unknown_us;
        return static_cast<std::uint64_t>(std::max<instant::rep>(now.time_since_epoch().count() - fresh, 0));
    }

    static constexpr instant::rep never = std::numeric_limits<instant::rep>::min();

    state_machine const& machine_;
    surroundings around_;
    reads to_run_;
    reads to_ask_;
    std::atomic<instant::rep> fresh_{never}; ///< when the state was the group's
    std::mutex mutex_;
    reads ready_;     ///< their point is reached
    reads not_fresh_; ///< the state was not recent enough for them
    std::vector<answer> answers_;
    background thread_;
};

} // namespace openreplica::inline v0::runtime
