// Applies chosen entries and runs completions: everything that runs user code.
#pragma once

#include <openreplica/paxos/record.hpp>
#include <openreplica/runtime/calls.hpp>
#include <openreplica/runtime/snapshot_transfer.hpp>
#include <openreplica/runtime/state_machine.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// Work for the thread that runs user code, in this order: install, entries, snapshot, completions of reads. A read's
/// outcome carries its read point in `at`.
struct apply_batch {
    std::optional<snapshot_parts> install;
    std::vector<paxos::entry> entries;
    bool take_snapshot = false;
    std::vector<finished_call> finished;

    [[nodiscard]] bool empty() const {
        return !install && entries.empty() && !take_snapshot && finished.empty();
    }
};

/// A snapshot that has yet to be written as text.
struct frozen_snapshot {
    paxos::snapshot head; ///< everything but the state
    frozen_state state;
};

/// A snapshot that is text, or the name of the object that could not be written.
struct written_snapshot {
    std::optional<checked_snapshot> what;
    std::string obstacle; ///< empty: nothing stood in the way
};
/// Takes as long as the state is large.
[[nodiscard]] inline written_snapshot write_out(frozen_snapshot&& s) {
    written_state written = s.state();
    if (!written.text) return {std::nullopt, std::move(written.obstacle)};
    s.head.state = shared_bytes(std::move(*written.text));
    return {with_checksum(std::move(s.head)), {}};
}

/// What came of it.
struct apply_report {
    slot applied;
    log_time stamp;
    std::uint64_t digest = 0;
    std::optional<log_time> next_deadline;
    std::vector<std::pair<std::uint64_t, session_id>> opened; ///< opener's number, session
    bool session_used = false;          ///< a command of this process's session was applied
    bool session_gone = false;          ///< a command of this process's session was refused as expired
    bool calls_can_go = false;          ///< calls of this process, or outcomes of its clients, wait for the strand only
    bool snapshot_tried = false;        ///< the batch asked for a snapshot and had its turn
    std::optional<frozen_snapshot> snapshot;
    duration freeze_pause{};            ///< how long nothing was applied because of it
    bool install_ended = false;                ///< the batch that brought a snapshot has had its turn
    std::optional<checked_snapshot> installed; ///< that snapshot, if the state holds it now
    std::string problem;                ///< this replica has stopped applying: what happened and what to do
};

/// Who wants to know what every command gave. Called where entries are applied; it must be quick.
class apply_observer {
public:
    virtual ~apply_observer() = default;
    virtual void on_command(slot at, log_time stamp, applied_command const& did) = 0;
    /// A batch has ended. True when the strand should look at once.
    [[nodiscard]] virtual bool on_batch_end() = 0;
};

/// Drives the state machine, on one thread at a time.
class applier {
public:
    /// @param observer may be null
    applier(state_machine& machine, calls& pending, apply_observer* observer = nullptr)
        : machine_(machine), calls_(pending), observer_(observer) {}

    /// Works through a batch and completes this process's calls on the way.
    [[nodiscard]] apply_report run(apply_batch&& work, instant now) {
        apply_report report;
        if (work.install) install(std::move(*work.install), report);
        if (OPENREPLICA_MUTANT(apply_out_of_order)) std::reverse(work.entries.begin(), work.entries.end());
        for (paxos::entry const& e : work.entries) apply(e, now, report);
        if (!work.entries.empty()) calls_.clock(stamp_, now);
        if (work.take_snapshot) take_snapshot(report);
        for (finished_call& f : work.finished) {
            if (f.outcome.ok() && (!problem_.empty() || applied_ < f.outcome.at))
                f.outcome = failed(problem_code_, "this replica does not hold the read point: " + problem_);
            f.done(std::move(f.outcome));
        }
        // What waited for an object that could not be made.
        for (finished_call& f : calls_.take_finished()) f.done(std::move(f.outcome));
        report.calls_can_go = calls_.has_work();
        if (observer_ != nullptr && observer_->on_batch_end()) report.calls_can_go = true;
        report.applied = applied_;
        report.stamp = stamp_;
        report.digest = machine_.digest();
        report.next_deadline = machine_.next_deadline();
        report.problem = problem_;
        return report;
    }

private:
    void apply(paxos::entry const& e, instant now, apply_report& report) {
        bool const in_order = e.at <= applied_.next() || OPENREPLICA_MUTANT(apply_out_of_order);
        if (in_order && e.at <= applied_ && !OPENREPLICA_MUTANT(apply_out_of_order)) return; // A snapshot held it.
        if (!in_order && problem_.empty())
            problem_ = "slot " + std::to_string(e.at.value) + " came after slot " + std::to_string(applied_.value) +
                       ": a defect of OpenReplica; this replica has stopped applying, restart it and report this";
        if (!problem_.empty()) return;
        behind_ = std::max(behind_, e.accepted);
        if (e.what.kind == paxos::value_kind::command && !run_command(e, now, report)) return;
        applied_ = e.at;
        stamp_ = std::max(stamp_, e.what.stamp);
    }

    bool run_command(paxos::entry const& e, instant now, apply_report& report) {
        auto const command = decode_envelope(e.what.body.view());
        std::optional<applied_command> did;
        if (command) did = machine_.apply(e.at, std::max(stamp_, e.what.stamp), *command);
        if (!did) {
            if (command) problem_code_ = machine_.stop_reason().code;
            problem_ = command ? machine_.stop_reason().text
                               : "slot " + std::to_string(e.at.value) + " holds a command of a format that this program "
                                 "does not know; it has stopped applying and must be replaced by a newer version";
            return false;
        }
        if (observer_ != nullptr) observer_->on_command(e.at, std::max(stamp_, e.what.stamp), *did);
        if (did->opener != 0 && did->outcome.ok()) report.opened.emplace_back(did->opener, did->session);
        if (did->session == calls_.session())
            (did->outcome.code == errc::session_expired ? report.session_gone : report.session_used) = true;
        if (auto done = calls_.complete(did->session, did->seq, std::move(did->outcome), now, did->stored))
            done->done(std::move(done->outcome));
        return true;
    }

    /// A replica with a problem may have stopped within a slot: its state is nobody's.
    void take_snapshot(apply_report& report) {
        report.snapshot_tried = true;
        if (!problem_.empty()) return;
        auto const begun = std::chrono::steady_clock::now();
        slot const at = OPENREPLICA_MUTANT(snapshot_ahead_of_state) ? applied_.next()
                        : OPENREPLICA_MUTANT(snapshot_behind_state) ? applied_.prev()
                                                                    : applied_;
        ballot const behind = OPENREPLICA_MUTANT(snapshot_names_no_ballot) ? ballot{} : behind_;
        report.snapshot = frozen_snapshot{{at, behind, stamp_, {}, {}}, machine_.freeze()};
        report.freeze_pause = std::chrono::duration_cast<duration>(std::chrono::steady_clock::now() - begun);
    }

    void install(snapshot_parts&& parts, apply_report& report) {
        report.install_ended = true;
        std::string const which = "the snapshot of slot " + std::to_string(parts.head.at.value);
        try {
            checked_snapshot s = std::move(parts).join();
            // Perhaps it was taken before, and could not be kept: then it is offered again.
            bool const held = s.what.at <= applied_ && !OPENREPLICA_MUTANT(older_snapshot_restored);
            if (held || restore(s.what, which)) report.installed = std::move(s);
        } catch (std::bad_alloc const&) {
            problem_ = "out of memory while taking up " + which + "; give this replica more memory and restart it";
        }
    }

    [[nodiscard]] bool restore(paxos::snapshot const& s, std::string const& which) {
        if (!machine_.restore(s.state.view())) {
            problem_ = which + " cannot be read by this program; it must be replaced by a version that knows the group's "
                               "types";
            return false;
        }
        applied_ = s.at;
        stamp_ = s.stamp;
        if (!OPENREPLICA_MUTANT(restored_forgets_ballot)) behind_ = s.behind;
        problem_.clear();
        return true;
    }

    state_machine& machine_;
    calls& calls_;
    apply_observer* observer_;
    slot applied_;
    log_time stamp_;
    ballot behind_; ///< the highest ballot of an applied entry
    std::string problem_;
    errc problem_code_ = errc::needs_upgrade;
};

} // namespace openreplica::inline v0::runtime
