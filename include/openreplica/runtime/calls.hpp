// The calls of this process that have no outcome yet: exactly-once, retried, each with one honest end.
#pragma once

#include <openreplica/runtime/gateway.hpp>
#include <openreplica/types/bytes.hpp>
#include <openreplica/types/envelope.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/mutation.hpp>
#include <openreplica/types/outcome.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// A completion and what it completes with.
struct finished_call {
    gateway::completion done;
    call_outcome outcome;
};

/// The codes with which somebody may say that it proposed nothing.
[[nodiscard]] constexpr bool is_refusal(errc code) {
    return (code >= errc::not_executed && code <= errc::no_such_method) || code == errc::malformed ||
           code == errc::storage_full;
}

/// The pending calls of one process under its one session.
///
/// A call waits until there is a session and its object exists; then it gets a sequence number, and from then on it may
/// be sent any number of times: the session table of the replicated state runs it once and repeats its outcome. A call
/// that was sent is never sent again under another session.
///
/// @par Honest outcomes (rule 10)
/// A code that says "no effect" is given only when every attempt was refused or none was made. A call that was sent and
/// has neither a result nor that proof at its deadline ends with `outcome_unknown`.
///
/// Linearizable reads are calls too: they wait for their object, count against the limit and end at their deadline. What
/// differs is where they go: `take_reads` hands them to whoever asks the group for a read point.
///
/// @par Thread safety
/// Safe from any thread. Completions are not run here: `take_finished` hands them out, and `complete` and `end_read` give
/// back the one to run.
class calls {
public:
    explicit calls(std::size_t max_pending) : max_pending_(max_pending) {}

    /// Commands to send now, with the numbers to report about them.
    struct batch {
        std::vector<sequence> numbers;
        std::vector<shared_bytes> commands;
    };

    /// Takes a call. A request to `create` completes when the object of its birth exists, and shares one command with
    /// every call that waits for the same.
    void submit(call_ticket ticket, command_request request, gateway::completion done, instant now, instant deadline) {
        std::lock_guard const lock(mutex_);
        take_in({std::move(request), std::move(done), ticket, deadline}, now);
    }

    /// Takes a read. With a birth that is not known to have happened the object is made first, so that the read finds
    /// what its handle promises.
    void read(call_ticket ticket, std::shared_ptr<object_birth> birth, gateway::completion done, instant now,
              instant deadline, std::shared_ptr<remote_read const> remote = {}) {
        std::lock_guard const lock(mutex_);
        pending c{{command_kind::create, std::move(birth), {}, {}}, std::move(done), ticket, deadline};
        c.reads = true;
        c.remote = std::move(remote);
        take_in(std::move(c), now);
    }

    /// A read that may ask for its read point.
    struct read_to_ask {
        call_ticket ticket;
        instant deadline;
        std::shared_ptr<remote_read const> remote; ///< as it was given
    };
    [[nodiscard]] std::vector<read_to_ask> take_reads() {
        std::lock_guard const lock(mutex_);
        return std::exchange(reads_to_ask_, {});
    }
    /// The read has its outcome. The completion to run, if it is still wanted.
    [[nodiscard]] std::optional<finished_call> end_read(call_ticket ticket, call_outcome&& outcome) {
        std::lock_guard const lock(mutex_);
        auto const at = reads_.find(ticket);
        if (at == reads_.end()) return std::nullopt;
        finished_call f{std::move(at->second.done), std::move(outcome)};
        reads_.erase(at);
        return f;
    }

    /// Ends a call that was never taken in.
    void reject(gateway::completion done, call_outcome why) {
        std::lock_guard const lock(mutex_);
        finished_.push_back({std::move(done), std::move(why)});
    }

    /// The object is known to have been created or adopted.
    [[nodiscard]] bool is_created(object_birth const& birth) const {
        std::lock_guard const lock(mutex_);
        return birth.created;
    }

    /// One batch to the leader holds at most this many commands and, once it holds one, this many bytes.
    static constexpr std::size_t batch_commands = 512;
    static constexpr std::size_t batch_bytes = 1u << 20;

    /// Takes the commands whose turn it is to be sent, and counts the attempt.
    [[nodiscard]] batch take_outbox(instant now) {
        std::lock_guard const lock(mutex_);
        admit_held(now);
        batch b;
        std::size_t bytes = 0;
        while (!outbox_.empty() && b.numbers.size() < batch_commands && bytes < batch_bytes) {
            sequence const n = outbox_.front();
            outbox_.pop_front();
            pending* c = find(n);
            if (c == nullptr || !c->queued) continue;
            c->queued = false;
            ++c->attempts;
            c->sent_at = now;
            b.numbers.push_back(n);
            b.commands.push_back(c->encoded);
            bytes += c->encoded.size();
        }
        return b;
    }

    /// The commands were not taken: they were not proposed because of this attempt. `not_executed` (nobody leads there)
    /// is tried again; any other code ends the calls whose every attempt was refused.
    ///
    /// @param sent_at counts as the time of the attempt, so that `resend` takes it up early or late
    void refused(std::vector<sequence> const& numbers, call_outcome const& why, instant sent_at) {
        std::lock_guard const lock(mutex_);
        for (sequence n : numbers) {
            pending* c = find(n);
            if (c == nullptr) continue;
            ++c->refusals;
            c->sent_at = sent_at;
            if (why.code != errc::not_executed && c->refusals == c->attempts) end(n, why);
        }
    }

    /// Queues again every call that was sent before `before` and has no outcome.
    void resend(instant before) {
        std::lock_guard const lock(mutex_);
        for (std::size_t i = 0; i < open_.size(); ++i)
            if (auto& c = open_[i]; c && !c->queued && c->sent_at <= before) {
                c->queued = true;
                outbox_.push_back(first_.plus(i));
            }
    }

    /// The log decided a call of this session. The completion to run, if it is still wanted.
    ///
    /// @param stored the session keeps this outcome, so that every other attempt has the same
    [[nodiscard]] std::optional<finished_call> complete(session_id session, sequence n, call_outcome&& outcome, instant now,
                                                        bool stored = true) {
        std::lock_guard const lock(mutex_);
        if (session != session_) return std::nullopt;
        pending* c = find(n);
        if (c == nullptr) return std::nullopt;
        bool const gone = outcome.code == errc::session_expired;
        if ((gone || !stored) && c->attempts > c->refusals + 1)
            outcome = failed(errc::outcome_unknown, gone ? "the session expired while the call was being retried"
                                                         : "one attempt was refused, but another may have been executed");
        pending taken = take(n);
        if (taken.internal) {
            if (gone)
                taken.request.birth->creating = false; // What waits for the object goes under the next session.
            else
                born(taken.request.birth, outcome, now);
            return std::nullopt;
        }
        return finished_call{std::move(taken.done), std::move(outcome)};
    }

    /// A session was opened for this process; what waited for it may go.
    void session_opened(session_id id, instant now) {
        std::lock_guard const lock(mutex_);
        session_ = id;
        next_ = first_ = sequence{1};
        admit_waiting(now);
    }

    /// The session is gone. What was sent under it ends; what was not goes under the next one.
    void session_lost() {
        std::lock_guard const lock(mutex_);
        session_ = session_id{};
        for (auto& c : open_)
            if (c) {
                if (c->attempts == c->refusals || OPENREPLICA_MUTANT(retry_under_new_session))
                    waiting_.push_back(renewed(std::move(*c)));
                else if (c->internal)
                    c->request.birth->creating = false;
                else
                    finish(std::move(*c), failed(errc::outcome_unknown, "the session expired before the call's outcome "
                                                                        "was known; it may have been executed"));
            }
        open_.clear();
        outbox_.clear();
        open_count_ = 0;
    }
    [[nodiscard]] session_id session() const {
        std::lock_guard const lock(mutex_);
        return session_;
    }

    /// The log clock as the last applied entry showed it.
    void clock(log_time stamp, instant now) {
        std::lock_guard const lock(mutex_);
        if (stamp < stamp_) return;
        stamp_ = stamp;
        stamp_at_ = now;
    }

    /// What the log's clock shows now, as far as anybody here can tell.
    [[nodiscard]] log_time clock_at(instant now) const {
        std::lock_guard const lock(mutex_);
        return log_deadline(now, now);
    }

    /// Ends the calls whose deadline has come.
    void expire(instant now) {
        std::lock_guard const lock(mutex_);
        if (now < earliest_) return;
        earliest_ = instant::max();
        std::vector<sequence> due;
        for (std::size_t i = 0; i < open_.size(); ++i) {
            if (!open_[i]) continue;
            if (open_[i]->deadline <= now)
                due.push_back(first_.plus(i));
            else
                earliest_ = std::min(earliest_, open_[i]->deadline);
        }
        for (sequence n : due) end(n, give_up(*find(n), "its deadline passed"));
        expire_reads(now);
        auto const late = std::stable_partition(waiting_.begin(), waiting_.end(),
                                                [&](pending const& c) { return c.deadline > now; });
        bool const some_waited = late != waiting_.end();
        for (auto it = late; it != waiting_.end(); ++it)
            finish(std::move(*it), failed(errc::not_executed, "no leader could be reached before the call's deadline; "
                                                              "nothing was sent"));
        waiting_.erase(late, waiting_.end());
        for (pending const& c : waiting_) earliest_ = std::min(earliest_, c.deadline);
        if (some_waited) drop_unwanted_creations();
    }

    /// The caller gave up. True when the call was found here.
    bool cancel(call_ticket ticket) {
        std::lock_guard const lock(mutex_);
        for (auto it = waiting_.begin(); it != waiting_.end(); ++it)
            if (it->ticket == ticket) {
                finish(std::move(*it), failed(errc::cancelled, "cancelled before anything was sent"));
                waiting_.erase(it);
                drop_unwanted_creations();
                return true;
            }
        if (auto const it = reads_.find(ticket); it != reads_.end()) {
            finished_.push_back({std::move(it->second.done), failed(errc::cancelled, "the read was cancelled")});
            reads_.erase(it);
            return true;
        }
        for (std::size_t i = 0; i < open_.size(); ++i)
            if (open_[i] && open_[i]->ticket == ticket) {
                bool const unsent = open_[i]->attempts == open_[i]->refusals;
                end(first_.plus(i), unsent ? failed(errc::cancelled, "cancelled before anything was sent")
                                           : give_up(*open_[i], "it was cancelled"));
                return true;
            }
        return false;
    }

    /// Ends every call: the node stops.
    void stop() {
        std::lock_guard const lock(mutex_);
        stopped_ = true;
        for (pending& c : waiting_)
            finish(std::move(c), failed(errc::stopped, "the node was stopped before the call was sent"));
        waiting_.clear();
        for (auto& c : open_)
            if (c && !c->internal) {
                bool const unsent = c->attempts == c->refusals;
                auto outcome = unsent ? failed(errc::stopped, "the node was stopped before the call was sent")
                                      : give_up(*c, "the node was stopped");
                finish(std::move(*c), std::move(outcome));
            }
        for (auto& [ticket, r] : reads_)
            finished_.push_back({std::move(r.done), failed(errc::stopped, "the node was stopped before the read was made")});
        reads_.clear();
        reads_to_ask_.clear();
        open_.clear();
        outbox_.clear();
        open_count_ = 0;
    }

    /// Completions that must run, in the order in which they became due.
    [[nodiscard]] std::vector<finished_call> take_finished() {
        std::lock_guard const lock(mutex_);
        return std::exchange(finished_, {});
    }
    [[nodiscard]] std::size_t pending_count() const {
        std::lock_guard const lock(mutex_);
        return waiting_.size() + open_count_ + reads_.size();
    }
    /// A call without an outcome, for a person to look at.
    struct picture {
        session_id session;
        sequence number; ///< 0: it has none yet
        command_kind kind;
        object_id object;
        std::string body;
        unsigned attempts;
    };
    [[nodiscard]] std::vector<picture> list() const {
        std::lock_guard const lock(mutex_);
        std::vector<picture> all;
        auto const add = [&](pending const& c, sequence n) {
            all.push_back({session_, n, c.request.kind, c.request.birth ? c.request.birth->id : object_id{}, c.request.body,
                           c.attempts});
        };
        for (std::size_t i = 0; i < open_.size(); ++i)
            if (open_[i]) add(*open_[i], first_.plus(i));
        for (pending const& c : waiting_) add(c, sequence{});
        return all;
    }

    /// Some call waits for a session, for its object, or for room in the session.
    [[nodiscard]] bool has_waiting() const {
        std::lock_guard const lock(mutex_);
        return !waiting_.empty();
    }
    /// Something can be sent or asked now.
    [[nodiscard]] bool has_work() const {
        std::lock_guard const lock(mutex_);
        return !outbox_.empty() || !reads_to_ask_.empty() || (held_ > 0 && has_room());
    }

private:
    struct pending {
        command_request request;
        gateway::completion done;
        call_ticket ticket;
        instant deadline;
        bool internal = false;   ///< the `create` command that others wait for
        bool reads = false;      ///< a read that waits for its object
        bool queued = false;     ///< in the outbox
        unsigned attempts = 0;   ///< how often it was sent
        unsigned refusals = 0;   ///< how many attempts were refused for certain
        instant sent_at{};
        shared_bytes encoded{};
        std::shared_ptr<remote_read const> remote{};
    };

    static call_outcome give_up(pending const& c, std::string const& why) {
        bool const unsent = c.attempts == c.refusals;
        if (unsent || OPENREPLICA_MUTANT(failure_means_not_executed))
            return failed(errc::not_executed, "the call was not executed: no leader took it and " + why);
        return failed(errc::outcome_unknown, "the call was sent, and " + why + " before its outcome was known; it may "
                                             "have been executed");
    }

    struct waiting_read {
        gateway::completion done;
        instant deadline;
    };

    void take_in(pending c, instant now) {
        if (stopped_)
            return finish(std::move(c), failed(errc::stopped, "the node was stopped before the call was sent"));
        if (waiting_.size() + open_count_ + reads_.size() >= max_pending_)
            return finish(std::move(c), failed(errc::overloaded, "too many calls are pending on this node "
                                                                 "(limits.max_pending_calls); wait for some to finish"));
        earliest_ = std::min(earliest_, c.deadline);
        if (c.reads && (!c.request.birth || c.request.birth->created)) return finish(std::move(c), {});
        admit(std::move(c), now);
    }

    void expire_reads(instant now) {
        for (auto it = reads_.begin(); it != reads_.end();) {
            auto& [done, deadline] = it->second;
            bool const due = deadline <= now;
            if (due)
                finished_.push_back({std::move(done), failed(errc::not_executed, "the read was not made before its deadline: "
                                                                                 "no leader confirmed a read point, or this "
                                                                                 "replica lags")});
            else
                earliest_ = std::min(earliest_, deadline);
            it = due ? reads_.erase(it) : std::next(it);
        }
    }

    /// A creation that nobody waits for any more would be sent for ever where it cannot be executed.
    void drop_unwanted_creations() {
        std::vector<sequence> unwanted;
        for (std::size_t i = 0; i < open_.size(); ++i) {
            if (!open_[i] || !open_[i]->internal) continue;
            auto const& birth = open_[i]->request.birth;
            if (std::none_of(waiting_.begin(), waiting_.end(), [&](auto const& c) { return c.request.birth == birth; }))
                unwanted.push_back(first_.plus(i));
        }
        for (sequence n : unwanted) take(n).request.birth->creating = false;
    }

    static pending renewed(pending c) {
        c.attempts = c.refusals = 0;
        c.queued = false;
        return c;
    }

    /// Sends the call on its way, or lets it wait for a session or for its object.
    void admit(pending c, instant now) {
        auto const birth = c.request.birth;
        bool const create = c.request.kind == command_kind::create && !c.internal;
        bool const needs_object = birth && !birth->created && (create || c.request.kind == command_kind::call);
        if (session_ == session_id{}) {
            waiting_.push_back(std::move(c));
        } else if ((!create || needs_object) && !has_room()) {
            // The session's results are kept within a window of numbers: past it an outcome could not be stored, and
            // a retry could run a second time.
            ++held_;
            waiting_.push_back(std::move(c));
        } else if (needs_object) {
            waiting_.push_back(std::move(c));
            if (!std::exchange(birth->creating, true)) {
                pending creation{{command_kind::create, birth, birth->body, {}}, {}, {}, instant::max()};
                creation.internal = true;
                enqueue(std::move(creation), now);
            }
        } else if (create) {
            finish(std::move(c), call_outcome{});
        } else {
            enqueue(std::move(c), now);
        }
    }

    [[nodiscard]] bool has_room() const { return next_.since(first_) < session_window; }

    void admit_held(instant now) {
        if (held_ > 0 && has_room() && session_ != session_id{}) admit_waiting(now);
    }

    void admit_waiting(instant now) {
        held_ = 0;
        auto all = std::exchange(waiting_, {});
        for (pending& c : all) admit(std::move(c), now);
    }

    void enqueue(pending c, instant now) {
        sequence const n = std::exchange(next_, next_.next());
        envelope e;
        e.kind = c.request.kind;
        e.object = c.request.birth ? c.request.birth->id : object_id{};
        e.session = session_;
        e.seq = n;
        e.acked_below = first_;
        if (c.deadline != instant::max()) e.deadline = log_deadline(c.deadline, now);
        e.body = c.request.body;
        c.encoded = shared_bytes(encode(e));
        c.queued = true;
        open_.emplace_back(std::move(c));
        ++open_count_;
        outbox_.push_back(n);
    }

    [[nodiscard]] log_time log_deadline(instant deadline, instant now) const {
        auto const passed = std::max<duration::rep>((now - stamp_at_).count(), 0);
        auto const left = std::max<duration::rep>((deadline - now).count(), 0);
        return stamp_.plus(static_cast<std::uint64_t>(passed + left));
    }

    [[nodiscard]] pending* find(sequence n) {
        if (n < first_ || n.since(first_) >= open_.size()) return nullptr;
        auto& c = open_[static_cast<std::size_t>(n.since(first_))];
        return c ? &*c : nullptr;
    }

    pending take(sequence n) {
        auto& place = open_[static_cast<std::size_t>(n.since(first_))];
        pending c = std::move(*place);
        place.reset();
        --open_count_;
        while (!open_.empty() && !open_.front()) {
            open_.pop_front();
            first_ = first_.next();
        }
        return c;
    }

    void end(sequence n, call_outcome outcome) {
        pending c = take(n);
        if (c.internal)
            unborn(c.request.birth, outcome);
        else
            finish(std::move(c), std::move(outcome));
    }

    void finish(pending c, call_outcome outcome) {
        if (!c.reads || !outcome.ok()) return finished_.push_back({std::move(c.done), std::move(outcome)});
        // Its object is there.
        reads_.emplace(c.ticket, waiting_read{std::move(c.done), c.deadline});
        reads_to_ask_.push_back({c.ticket, c.deadline, std::move(c.remote)});
    }

    /// A `create` command was decided: what waited for the object goes on, or fails as the creation failed.
    void born(std::shared_ptr<object_birth> const& birth, call_outcome const& outcome, instant now) {
        if (!outcome.ok()) return unborn(birth, outcome);
        birth->creating = false;
        birth->created = true;
        admit_waiting(now);
    }

    /// There is no object: what waited for it was never sent, and ends for the same reason.
    void unborn(std::shared_ptr<object_birth> const& birth, call_outcome const& why) {
        birth->creating = false;
        auto all = std::exchange(waiting_, {});
        for (pending& c : all) {
            bool const waited = c.request.birth == birth && c.request.kind != command_kind::destroy &&
                                c.request.kind != command_kind::reset;
            if (waited)
                finish(std::move(c), why);
            else
                waiting_.push_back(std::move(c));
        }
    }

    mutable std::mutex mutex_;
    std::size_t max_pending_;
    bool stopped_ = false;
    session_id session_;
    sequence next_{1};
    sequence first_{1};                       ///< number of `open_.front()`: everything below has its outcome
    std::deque<std::optional<pending>> open_; ///< numbered calls, by number
    std::size_t open_count_ = 0;
    std::deque<pending> waiting_; ///< calls without a number: no session yet, no object, or no room in the session
    std::size_t held_ = 0;        ///< how many of them wait for room at least
    std::unordered_map<call_ticket, waiting_read> reads_; ///< reads whose object is there
    std::vector<read_to_ask> reads_to_ask_;               ///< those that nobody was told of yet
    std::deque<sequence> outbox_;
    std::vector<finished_call> finished_;
    instant earliest_ = instant::max(); ///< no deadline is earlier
    log_time stamp_;
    instant stamp_at_{};
};

} // namespace openreplica::inline v0::runtime
