// The client engine's members that move work: sessions, commands, reads, inquiries. Included by client_engine.hpp.
#pragma once

#include <openreplica/runtime/client_engine.hpp>

namespace openreplica::inline v0::runtime {

inline void client_engine::flush() {
    instant const now = env_.now();
    if (!stopped_) {
        keep_session(now);
        send_commands(now);
        take_reads();
        send_reads(now);
        send_inquiries();
    }
    for (finished_call& f : std::exchange(finished_, {})) f.done(std::move(f.outcome));
    for (finished_call& f : calls_.take_finished()) f.done(std::move(f.outcome));
}

// ---- the session

inline void client_engine::keep_session(instant now) {
    if (!route_) return;
    if (calls_.session() == session_id{}) {
        bool const needed = session_wanted_ || calls_.has_waiting();
        if (!needed || now - opened_at_ < options_.retry) return;
        opened_at_ = now;
        send_session_command(command_kind::open_session, object_id{opener_}, {},
                             "[" + std::to_string(options_.session_timeout.count()) + "]");
    } else if (now - session_used_ >= options_.session_timeout / 3 &&
               now - kept_alive_at_ >= std::min(options_.retry, options_.session_timeout / 3)) {
        kept_alive_at_ = now;
        send_session_command(command_kind::keep_alive, {}, calls_.session(), "[]");
    }
}

/// Best effort, repeated until its effect shows.
inline void client_engine::send_session_command(command_kind kind, object_id object, session_id session, std::string body) {
    std::vector<shared_bytes> one{shared_bytes(encode(envelope{kind, object, session, {}, {}, {}, body}))};
    env_.send(*route_, net::client_commands{0, std::move(one)});
}

inline void client_engine::on(endpoint const&, net::client_opened& m) {
    if (m.opener != opener_ || calls_.session() != session_id{}) return;
    if (m.reason != errc{}) return env_.log(log_level::warning, "the group opened no session for this client: " + m.text);
    instant const now = env_.now();
    calls_.clock(m.clock, now); // Deadlines are numbered by it.
    calls_.session_opened(m.session, now);
    session_used_ = now;
}

inline void client_engine::lose_session() {
    calls_.session_lost();
    sent_.clear(); // Their numbers are another session's now.
    opener_ = env_.random() | 1;
    opened_at_ = {};
    env_.log(log_level::warning, "this client's session expired: it was cut off for longer than session_timeout; calls that "
                                 "were under way end with outcome_unknown");
}

inline void client_engine::stop() {
    if (std::exchange(stopped_, true)) return;
    // The group need not wait for the session to expire.
    if (route_ && calls_.session() != session_id{})
        send_session_command(command_kind::close_session, {}, calls_.session(), "[]");
    calls_.stop();
    for (auto& [number, i] : inquiries_)
        finished_.push_back({std::move(i.what.done), failed(errc::stopped, "the client was stopped")});
    inquiries_.clear();
    reads_.clear();
    flush();
}

// ---- commands

inline void client_engine::send_commands(instant now) {
    if (!route_) return;
    for (;;) {
        if (sent_.size() >= 1024) sent_.erase(sent_.begin());
        calls::batch b = calls_.take_outbox(now);
        if (b.numbers.empty()) return;
        std::uint64_t const number = next_number_++;
        sent_.emplace(number, sent_commands{*route_, std::move(b.numbers)});
        env_.send(*route_, net::client_commands{number, std::move(b.commands)});
    }
}

/// Only who was given commands can refuse them, each once: a refusal is the proof that an attempt had no effect.
inline void client_engine::on(endpoint const& from, net::client_refused& m) {
    auto const it = sent_.find(m.number);
    if (it == sent_.end() || it->second.to != from || !is_refusal(m.reason)) return;
    instant const now = env_.now();
    // Nobody leads there: look again before long.
    instant const sent_at = m.reason == errc::not_executed ? now - options_.retry * 9 / 10 : now;
    std::vector<sequence> refused;
    for (std::uint32_t i : m.which)
        if (i < it->second.numbers.size()) refused.push_back(std::exchange(it->second.numbers[i], sequence{}));
    if (m.which.empty()) refused = std::move(it->second.numbers);
    std::erase(refused, sequence{}); // Refused before.
    calls_.refused(refused, failed(m.reason, std::move(m.text)), sent_at);
    if (m.which.empty()) sent_.erase(it);
}

inline void client_engine::on(endpoint const&, net::client_outcomes& m) {
    if (m.session != calls_.session()) return;
    instant const now = env_.now();
    calls_.clock(m.clock, now);
    seen_ = std::max(seen_, m.applied);
    session_used_ = now;
    bool gone = false;
    for (net::command_outcome& o : m.list) {
        gone = gone || o.outcome.code == errc::session_expired;
        if (auto f = calls_.complete(m.session, o.seq, std::move(o.outcome), now, o.stored))
            finished_.push_back(std::move(*f));
    }
    if (gone) lose_session();
}

// ---- reads

inline void client_engine::take_reads() {
    for (auto& r : calls_.take_reads()) reads_.emplace(next_number_++, open_read{r.ticket, r.deadline, std::move(r.remote)});
}

inline net::client_query client_engine::make_query(std::uint64_t number, open_read const& r, instant now) const {
    net::client_query q;
    q.number = number;
    q.timeout_us = static_cast<std::uint64_t>(std::max<duration::rep>((r.deadline - now).count(), 0));
    if (!r.what) { // A read point and nothing else.
        q.kind = net::query_kind::exists;
        return q;
    }
    q.kind = r.what->exists ? net::query_kind::exists : net::query_kind::call;
    q.local = r.what->local;
    q.floor = seen_;
    auto const bound = std::chrono::floor<duration>(r.what->max_staleness);
    q.max_staleness_us = static_cast<std::uint64_t>((r.what->max_staleness.count() > 0 ? std::max(bound, duration(1))
                                                                                       : options_.max_staleness).count());
    q.name = r.what->name;
    q.type = r.what->type;
    q.body = shared_bytes(r.what->body);
    return q;
}

inline void client_engine::send_reads(instant now) {
    for (auto& [number, r] : reads_) {
        if (r.to || r.not_before > now) continue;
        auto const to = choose_reader(r.not_to);
        if (!to) return;
        r.to = to;
        r.sent_at = now;
        ++r.tries;
        ++replicas_.at(*to).waiting;
        env_.send(*to, make_query(number, r, now));
    }
}

/// It is to be sent again, to another replica if there is one.
inline void client_engine::release(open_read& r) {
    if (!r.to) return;
    if (auto const it = replicas_.find(*r.to); it != replicas_.end() && it->second.waiting > 0) --it->second.waiting;
    r.not_to = std::exchange(r.to, std::nullopt);
}

inline void client_engine::watch_reads(instant now) {
    for (auto it = reads_.begin(); it != reads_.end();) {
        open_read& r = it->second;
        // Its outcome was given when the calls expired.
        bool const over = r.deadline <= now;
        bool const late = r.to && now - r.sent_at >= options_.retry * (1u << std::min(r.tries, 6u)) / 2;
        if (over || late || (r.to && !is_usable(*r.to, now))) release(r);
        it = over ? reads_.erase(it) : std::next(it);
    }
}

/// Whether another replica may do better.
[[nodiscard]] constexpr bool is_of_one_replica(errc code) {
    return code == errc::not_executed || code == errc::stopped || code == errc::needs_upgrade || code == errc::diverged ||
           code == errc::storage_failed;
}

inline void client_engine::on(endpoint const& from, net::client_answer& m) {
    if (auto const it = inquiries_.find(m.number); it != inquiries_.end()) {
        finished_.push_back({std::move(it->second.what.done), std::move(m.outcome)});
        inquiries_.erase(it);
        return;
    }
    auto const it = reads_.find(m.number);
    if (it == reads_.end()) return;
    open_read& r = it->second;
    ++replicas_.at(from).reads;
    if (is_of_one_replica(m.outcome.code)) {
        if (r.to != from) return; // It was asked elsewhere meanwhile.
        r.not_before = env_.now() + options_.retry / 10;
        return release(r);
    }
    release(r);
    seen_ = std::max(seen_, m.outcome.at); // Before anybody knows.
    if (auto f = calls_.end_read(r.ticket, std::move(m.outcome))) finished_.push_back(std::move(*f));
    reads_.erase(it);
}

// ---- inquiries

inline void client_engine::inquire(client_inquiry&& i) {
    if (stopped_) {
        finished_.push_back({std::move(i.done), failed(errc::stopped, "the client was stopped")});
        return;
    }
    inquiries_.emplace(next_number_++, open_inquiry{std::move(i)});
}

/// An order goes where commands go. A question is answered by anybody who is there, whether it serves or not.
inline void client_engine::send_inquiries() {
    for (auto& [number, i] : inquiries_) {
        if (i.to) continue;
        std::optional<endpoint> to = i.what.of ? i.what.of : i.what.is_order ? route_ : nearest(std::nullopt);
        if (!to && !i.what.is_order)
            for (auto const& [where, r] : replicas_)
                if (r.up && r.seen && !to) to = where;
        auto const it = to ? replicas_.find(*to) : replicas_.end();
        if (it == replicas_.end() || !it->second.up) continue;
        i.to = to;
        if (i.what.is_order)
            env_.send(*to, net::client_order{number, i.what.text});
        else
            env_.send(*to, net::client_question{number, i.what.what, i.what.text});
    }
}

inline void client_engine::watch_inquiries(instant now) {
    for (auto it = inquiries_.begin(); it != inquiries_.end();) {
        open_inquiry& i = it->second;
        bool const over = i.what.deadline <= now;
        if (over) {
            bool const unknown = i.to && i.what.is_order;
            finished_.push_back({std::move(i.what.done),
                                 unknown ? failed(errc::outcome_unknown, "the order was sent, and its outcome did not arrive "
                                                                         "in time; it may have been carried out")
                                         : failed(errc::not_executed, "no answer came in time: " +
                                                                          (i.to ? to_string(*i.to) + " was asked"
                                                                                : status().problem))});
        }
        it = over ? inquiries_.erase(it) : std::next(it);
    }
}

} // namespace openreplica::inline v0::runtime
