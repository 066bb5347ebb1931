// The engine's members that move work: calls, reads, storage order, snapshots. Included by engine.hpp.
#pragma once

#include <openreplica/runtime/engine.hpp>

namespace openreplica::inline v0::runtime {

inline void engine::flush() {
    if (!founding_) return; // Before `start`: what came early is taken up then.
    apply_batch work;
    do {
        step_founding();
        if (replica_) {
            send_calls();
            take_parked();
            if (!orders_.empty()) carry_out_orders(env_.now());
            take_core_output(work);
        }
        release_held();
        // A storage without a delay has reported already; what that permits belongs to this flush.
    } while (durable_ > told_ && (tell_durable(), true));
    if (install_ && !installing_) {
        work.install = std::exchange(install_, std::nullopt);
        installing_ = true;
    }
    if (replica_) serve_reads(work);
    if (!work.empty()) env_.apply(std::move(work));
    // Nothing of this depends on what is applied: no slow method delays it.
    for (finished_call& f : std::exchange(finished_, {})) f.done(std::move(f.outcome));
    for (finished_call& f : calls_.take_finished()) f.done(std::move(f.outcome));
}

// ---- calls

inline void engine::send_calls() {
    instant const now = env_.now();
    if (stopped_ || replica_->is_paused()) return;
    if (!replica_->route(now)) {
        if (health_ == storage::health::failed)
            calls_.refused(calls_.take_outbox(now).numbers,
                           failed(errc::storage_failed, "this node's storage failed and nobody else leads; status() says "
                                                        "what happened"), now);
        return;
    }
    for (;;) {
        if (!replica_->is_leader() && forwards_.size() >= 1024) forwards_.erase(forwards_.begin());
        calls::batch b = calls_.take_outbox(now);
        if (b.numbers.empty()) return;
        if (replica_->is_leader()) {
            propose_own(std::move(b));
        } else {
            std::uint64_t const number = next_forward_++;
            node_id const to = *replica_->route(now);
            forwards_.emplace(number, sent_forward{to, std::move(b.numbers)});
            env_.send(std::span(&to, 1), paxos::message(paxos::forward{number, 0, std::move(b.commands)}));
        }
    }
}

inline void engine::propose_own(calls::batch&& b) {
    instant const now = env_.now();
    std::vector<sequence> numbers;
    std::vector<shared_bytes> commands;
    call_outcome const full = check_room();
    for (std::size_t i = 0; i < b.numbers.size(); ++i) {
        if (call_outcome why = full.ok() ? check(b.commands[i], false) : full; !why.ok()) {
            calls_.refused({b.numbers[i]}, why, now);
            continue;
        }
        numbers.push_back(b.numbers[i]);
        commands.push_back(std::move(b.commands[i]));
    }
    std::size_t const taken = replica_->propose(commands, now);
    if (taken == numbers.size()) return;
    numbers.erase(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(taken));
    calls_.refused(numbers, failed(errc::overloaded, "the leader's window is full; nothing was executed, try again later"),
                   now);
}

/// Whether every voter could apply a command. This process's own calls name what its handles have: only what they create
/// can be unknown to others.
inline call_outcome engine::check(shared_bytes const& command, bool of_a_peer) const {
    auto const e = decode_envelope(command.view());
    if (!e) return failed(errc::malformed, "the command is no envelope of a version that the leader knows");
    bool const births = e->kind == command_kind::create || e->kind == command_kind::reset;
    return of_a_peer || births ? env_.check(*e, replica_->governing()) : call_outcome{};
}

/// Nothing new begins when the disks that must hold it are full. Sessions are kept alive all the same.
inline call_outcome engine::check_room() const {
    if (health_ != storage::health::full && !replica_->quorum_full(env_.now())) return {};
    return failed(errc::storage_full, "the leader's disk, or a majority's, is full: nothing was executed; make room, and the "
                                      "group goes on by itself");
}

/// A command of the engine's own: best effort, repeated by whoever wants its effect.
inline void engine::send_command(std::string encoded) {
    instant const now = env_.now();
    shared_bytes const command(std::move(encoded));
    if (replica_->is_leader()) {
        (void)replica_->propose(std::span(&command, 1), now);
    } else if (auto const to = replica_->route(now)) {
        env_.send(std::span(&*to, 1), paxos::message(paxos::forward{0, 0, {command}}));
    }
}

/// False when a copy of this forward came before. The first one decides, whatever it was told: a second one must neither
/// be refused when the first was taken or relayed, nor be taken when the first was refused, which its sender took as the
/// proof that nothing is executed.
inline bool engine::is_first_copy(node_id from, std::uint64_t number) {
    if (number == 0 || OPENREPLICA_MUTANT(forward_taken_twice)) return true; // Nobody counts on an answer.
    if (!seen_.emplace(from, number).second) return false;
    seen_order_.emplace_back(from, number);
    if (seen_order_.size() > 4096) {
        seen_.erase(seen_order_.front());
        seen_order_.pop_front();
    }
    return true;
}

inline void engine::on(node_id from, paxos::forward& m) {
    if (!is_first_copy(from, m.number)) return;
    instant const now = env_.now();
    if (parked_.empty() && parked_commands_.empty()) parked_since_ = now;
    if (!must_wait(now) || parked_.size() >= options_.protocol.window_entries) return take_forward(from, m);
    parked_.emplace_back(from, std::move(m));
}

/// The voters change, or the leader does: in a moment somebody can take what comes. Who knows of no leader for two heartbeats
/// has nobody to wait for.
inline bool engine::must_wait(instant now) const {
    bool const hopes = !replica_->leader_id(now) && now - parked_since_ < 2 * options_.protocol.heartbeat;
    return replica_->is_paused() || hopes;
}

/// What had to wait, once it is clear who takes it.
inline void engine::take_parked() {
    if ((parked_.empty() && parked_commands_.empty()) || must_wait(env_.now())) return;
    for (auto& [from, m] : std::exchange(parked_, {})) take_forward(from, m);
    for (auto& [client, m] : std::exchange(parked_commands_, {})) take_commands(client, std::move(m));
}

inline void engine::take_forward(node_id from, paxos::forward& m) {
    instant const now = env_.now();
    auto refuse = [&](call_outcome const& why, std::vector<std::uint32_t> which) {
        if (m.number != 0)
            env_.send(std::span(&from, 1),
                      paxos::message(paxos::forward_refused{m.number, std::move(which), static_cast<std::uint8_t>(why.code),
                                                            why.text}));
    };
    if (replica_->is_leader()) {
        if (call_outcome const full = check_room(); !full.ok() && m.number != 0) return refuse(full, {});
        if (!replica_->has_room(m.commands))
            return refuse(failed(errc::overloaded, "the leader's window is full; nothing was executed, try again later"), {});
        std::vector<shared_bytes> good;
        for (std::uint32_t i = 0; i < m.commands.size(); ++i) {
            if (call_outcome const why = check(m.commands[i], true); !why.ok())
                refuse(why, {i});
            else
                good.push_back(std::move(m.commands[i]));
        }
        (void)replica_->propose(good, now);
        return;
    }
    auto const to = replica_->route(now);
    if (m.hops > 0 || !to || *to == from) return refuse(failed(errc::not_executed, {}), {});
    // The sender cannot reach the leader, this node can.
    env_.send(std::span(&*to, 1), paxos::message(paxos::forward{0, 1, std::move(m.commands)}));
}

/// Only who was given a forward can refuse it, each command once: a refusal is the proof that an attempt had no effect.
inline void engine::on(node_id from, paxos::forward_refused const& m) {
    if (pass_on_refusal(from, m)) return;
    auto const it = forwards_.find(m.number);
    auto const code = static_cast<errc>(m.reason);
    if (it == forwards_.end() || it->second.to != from || !is_refusal(code)) return;
    instant const now = env_.now();
    // Nobody leads there: look again in a heartbeat.
    instant const sent_at = code == errc::not_executed ? now - options_.retry + options_.protocol.heartbeat : now;
    std::vector<sequence> refused;
    for (std::uint32_t i : m.which)
        if (i < it->second.numbers.size()) refused.push_back(std::exchange(it->second.numbers[i], sequence{}));
    if (m.which.empty()) refused = std::move(it->second.numbers);
    std::erase(refused, sequence{}); // Refused before.
    calls_.refused(refused, failed(code, m.text), sent_at);
    if (m.which.empty()) forwards_.erase(it);
}

// ---- the core's output

inline void engine::take_core_output(apply_batch& work) {
    paxos::output out = replica_->take_output(env_.now());
    if (!out.append.empty()) {
        written_ = written_.plus(out.append.size());
        store_.append(out.append, written_);
    }
    for (paxos::outgoing& m : out.messages) {
        if (m.after == lsn{})
            env_.send(m.to, m.what);
        else
            held_.push_back({std::move(m.to), std::move(m.what), core_base_.plus(m.after.value)});
    }
    for (paxos::entry const& e : out.chosen) bytes_since_snapshot_ += e.what.weight();
    work.entries.insert(work.entries.end(), std::make_move_iterator(out.chosen.begin()),
                        std::make_move_iterator(out.chosen.end()));
    place_reads(out.reads);
    for (node_id peer : out.snapshot_from)
        if (!installing_) send_requests(peer, snapshots_.begin(env_.now(), options_.retry));
    // Also when nothing was chosen just now: much may have been while the last snapshot was being written and kept.
    if (!snapshotting_ && is_snapshot_due()) {
        snapshotting_ = work.take_snapshot = true;
        bytes_since_snapshot_ = 0;
    }
}

inline bool engine::is_snapshot_due() const {
    slot const last = std::max(snapshot_tried_, snapshots_.newest() ? snapshots_.newest()->at : slot{});
    slot const chosen = replica_->entries().chosen();
    return chosen > last && (chosen.since(last) >= options_.snapshot_every || bytes_since_snapshot_ >= options_.snapshot_bytes);
}

inline void engine::release_held() {
    while (!held_.empty() && held_.front().after <= durable_) {
        env_.send(held_.front().to, held_.front().what);
        held_.pop_front();
    }
}

inline void engine::keep_snapshot(checked_snapshot s, bool fetched) {
    if (keeping_ && !keeping_->fetched) snapshotting_ = false; // Its report, if it comes, is for nobody.
    keeping_ = kept_snapshot{std::move(s), fetched};
    store_.keep(keeping_->of.what);
}

/// A snapshot counts once it is on disk: the log is trimmed behind this node's own, and what stands on a fetched one is
/// acknowledged.
inline void engine::on_kept(slot at, bool whole) {
    if (!keeping_ || keeping_->of.what.at != at) return;
    instant const now = env_.now();
    auto const [checked, fetched] = *std::exchange(keeping_, std::nullopt);
    paxos::snapshot const& s = checked.what;
    (fetched ? installing_ : snapshotting_) = false;
    // The storage says why; the next interval tries again.
    if ((!whole && !OPENREPLICA_MUTANT(unkept_snapshot_counts)) || !replica_) return;
    snapshots_.keep(checked, now);
    if (fetched) bytes_since_snapshot_ = 0;
    if (replica_->install(s, now))
        calls_.resend(now); // It may hold outcomes whose entries never came by; a retry brings them.
    if (!fetched) trim_log(s.at, now);
}

/// Forgets what the snapshot at `at` holds, except what the slowest live peer needs, what those that fetch an older
/// snapshot will need when they have it, and a rest for those that come back soon: a few snapshots' worth at most.
inline void engine::trim_log(slot at, instant now) {
    constexpr std::uint64_t most = 4; // snapshots
    auto const behind = [at](std::uint64_t entries) { return slot{at.value - std::min(at.value, entries)}; };
    slot upto = behind(options_.keep_entries);
    for (auto const& needed : {snapshots_.oldest_fetched(now), replica_->slowest_peer(now, options_.session_timeout)})
        if (needed) upto = std::min(upto, *needed);
    slot const by_bytes = std::min(at, replica_->entries().reach_of(most * options_.snapshot_bytes));
    replica_->trim(std::max({upto, behind(options_.keep_entries + most * options_.snapshot_every), by_bytes}));
}

inline void engine::on_durable(lsn upto) { durable_ = std::max(durable_, upto); }

inline void engine::tell_durable() {
    told_ = durable_;
    if (founding_ && durable_ >= written_) founding_->persisted();
    if (replica_ && durable_ > core_base_) replica_->persisted(lsn{durable_.since(core_base_)}, env_.now());
}

// ---- reads

inline void engine::add_reads(std::vector<pending_read>&& reads) {
    if (stopped_ || !replica_) {
        if (stopped_)
            for (pending_read& r : reads)
                finished_.push_back({std::move(r.done), failed(errc::stopped, "the node was stopped")});
        else
            asked_.push_back({0, std::move(reads)}); // Gets its number when there is a group to ask.
        return;
    }
    std::uint64_t const number = replica_->read();
    if (!asked_.empty() && asked_.back().number == number)
        std::move(reads.begin(), reads.end(), std::back_inserter(asked_.back().reads));
    else
        asked_.push_back({number, std::move(reads)});
}

inline void engine::place_reads(std::vector<paxos::read_point> const& points) {
    for (read_group& g : asked_)
        if (g.number == 0) g.number = replica_->read();
    for (paxos::read_point const& p : points)
        while (!asked_.empty() && asked_.front().number <= p.number) {
            placed_.push_back({p.index, std::move(asked_.front().reads)});
            asked_.pop_front();
        }
}

inline void engine::serve_reads(apply_batch& work) {
    // Everything chosen so far is in this batch or an earlier one, so the read runs after it.
    while (!placed_.empty() && placed_.front().index <= replica_->entries().chosen() && !installing_) {
        for (pending_read& r : placed_.front().reads) {
            call_outcome outcome;
            if (!report_.problem.empty()) outcome = failed(errc::needs_upgrade, report_.problem);
            outcome.at = placed_.front().index;
            work.finished.push_back({std::move(r.done), std::move(outcome)});
        }
        placed_.pop_front();
    }
}

inline void engine::expire_reads(instant now) {
    auto sweep = [&](std::vector<pending_read>& reads) {
        std::erase_if(reads, [&](pending_read& r) {
            if (r.deadline > now) return false;
            finished_.push_back({std::move(r.done), failed(errc::not_executed, "no read point could be confirmed before "
                                                                               "the deadline: no leader was reachable")});
            return true;
        });
    };
    for (read_group& g : asked_) sweep(g.reads);
    for (placed_reads& p : placed_) sweep(p.reads);
}

inline bool engine::cancel_read(call_ticket ticket) {
    auto drop = [&](std::vector<pending_read>& reads) {
        auto const it = std::find_if(reads.begin(), reads.end(), [&](auto const& r) { return r.ticket == ticket; });
        if (it == reads.end()) return false;
        finished_.push_back({std::move(it->done), failed(errc::cancelled, "the read was cancelled")});
        reads.erase(it);
        return true;
    };
    return std::any_of(asked_.begin(), asked_.end(), [&](read_group& g) { return drop(g.reads); }) ||
           std::any_of(placed_.begin(), placed_.end(), [&](placed_reads& p) { return drop(p.reads); });
}

// ---- what was applied

inline void engine::on_applied(apply_report&& report) {
    instant const now = env_.now();
    for (auto const& [opener, session] : report.opened)
        if (opener == opener_ && calls_.session() == session_id{}) {
            calls_.session_opened(session, now);
            session_used_ = now;
            ready_ = true;
        }
    if (report.session_used) session_used_ = now;
    if (report.session_gone && calls_.session() != session_id{}) {
        calls_.session_lost();
        forwards_.clear(); // Their numbers are another session's now.
        opener_ = env_.random() | 1;
        opened_at_ = {};
        env_.log(log_level::warning, "this node's session expired: it was cut off for longer than session_timeout; "
                                     "calls that were under way end with outcome_unknown");
    }
    if (report.snapshot_tried) {
        snapshotting_ = report.snapshot.has_value(); // Until it is written, and the storage has it.
        snapshot_tried_ = report.applied;
        freeze_pause_ = std::max(freeze_pause_, report.freeze_pause);
        if (report.snapshot) env_.write(std::move(*report.snapshot));
    }
    if (report.install_ended) { // Reports of earlier batches may come while it is on its way.
        bool const recovered = std::exchange(install_is_recovered_, false);
        if (report.installed && replica_ && !recovered)
            keep_snapshot(std::move(*report.installed), true); // Takes the place of an older one that is being kept.
        else
            installing_ = false;
    }
    if (!report.problem.empty() && report_.problem.empty()) env_.log(log_level::error, report.problem);
    report.snapshot.reset();
    report_ = std::move(report);
}

inline void engine::on_written(written_snapshot&& s) {
    snapshotting_ = s.what && replica_ && !keeping_ && !stopped_;
    if (!s.obstacle.empty() && s.obstacle != log_kept_by_)
        env_.log(log_level::warning, "there is no snapshot, and the log is kept: \"" + s.obstacle +
                                         "\" cannot be written as JSON");
    log_kept_by_ = std::move(s.obstacle);
    if (!snapshotting_) return;
    slot const next = s.what->what.at.next();
    // Otherwise a newer one was installed meanwhile, or this node began anew under another id.
    snapshotting_ = next > replica_->entries().trimmed() && next <= replica_->entries().chosen().next();
    if (!snapshotting_) return;
    s.what->what.governing = OPENREPLICA_MUTANT(configuration_not_in_snapshot)  ? first_
                             : OPENREPLICA_MUTANT(snapshot_names_latest_voters) ? replica_->governing()
                                                                                : replica_->entries().governing(next);
    keep_snapshot(std::move(*s.what), false);
}

// ---- snapshots of others

inline void engine::on(node_id from, paxos::snapshot_request const& m) {
    if (auto chunk = snapshots_.serve(m, env_.now())) env_.send(std::span(&from, 1), paxos::message(std::move(*chunk)));
}

inline void engine::on(node_id from, paxos::snapshot_chunk const& m) {
    if (installing_ || install_) return;
    send_requests(from, snapshots_.take(m, env_.now()));
    auto s = snapshots_.complete();
    if (s && (s->head.at > replica_->entries().chosen() || OPENREPLICA_MUTANT(older_snapshot_restored))) install_ = std::move(s);
}

inline void engine::send_requests(node_id to, std::vector<paxos::snapshot_request> const& requests) {
    for (paxos::snapshot_request const& m : requests) env_.send(std::span(&to, 1), paxos::message(m));
}

} // namespace openreplica::inline v0::runtime
