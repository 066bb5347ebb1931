// The clients that are connected to this node.
#pragma once

#include <openreplica/net/client_message.hpp>
#include <openreplica/runtime/applier.hpp>
#include <openreplica/runtime/guest_reads.hpp>
#include <openreplica/runtime/state_machine.hpp>
#include <openreplica/types/envelope.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/unique_function.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::runtime {

/// Takes what clients ask of this node, and tells them what came of it.
///
/// A client takes no part in the protocol. Its commands go to the log like a peer's; when one is applied here, its outcome
/// goes to the connection that the session's commands came over. An outcome that is lost on the way is in the session
/// table: the client sends the command again and gets it.
///
/// Nothing queues without limit: a client has at most `max_requests` questions and reads without an answer here, and one
/// that does not take its answers is cut off by the listener. A client that has been silent for `patience` is cut off too.
///
/// @par Thread safety
/// One strand, except where said.
class guests final : public apply_observer {
public:
    using completion = unique_function<void(call_outcome&&)>;
    struct surroundings {
        std::function<void(net::guest_id, net::client_reply const&)> send;
        std::function<void(net::guest_id)> close;
        std::function<void(net::guest_id, net::client_commands&&)> propose;
        std::function<void(std::vector<pending_read>&&)> ask; ///< for read points
        std::function<net::view()> look;                      ///< at the group, as this node sees it
        std::function<void()> wake;                           ///< called on any thread: there is something to deliver
        std::function<instant()> now;                         ///< called on any thread
        /// Answers a person's question, on any thread, with JSON text.
        std::function<void(std::string what, std::string argument, completion)> question;
        /// Carries out an operator's order, and says on any thread what came of it.
        std::function<void(std::string order, completion)> order;
    };
    static constexpr duration patience = std::chrono::seconds(30);
    static constexpr std::size_t largest_answer = 3u << 20; ///< to a question or an order: a frame must hold it

    guests(state_machine const& machine, surroundings around, std::size_t max_requests)
        : around_(std::move(around)), max_requests_(max_requests),
          reads_(machine, {around_.ask, around_.wake, around_.now}) {}

    void on_up(net::guest_id who) {
        if (guests_.empty()) seen_ = around_.look();
        guests_[who].heard_at = around_.now();
    }
    void on_down(net::guest_id who) {
        guests_.erase(who);
        std::lock_guard const lock(mutex_);
        std::erase_if(sessions_, [&](auto const& s) { return s.second == who; });
        std::erase_if(openers_, [&](auto const& o) { return o.second == who; });
        count_listeners();
    }
    void on_message(net::guest_id from, net::client_request&& m) {
        auto const it = guests_.find(from);
        if (it == guests_.end()) return;
        it->second.heard_at = around_.now();
        std::visit([&](auto& body) { on(from, it->second, body); }, m);
    }

    /// Commands of a client were not proposed because of this attempt.
    void refuse(net::guest_id client, std::uint64_t number, std::vector<std::uint32_t> const& which,
                call_outcome const& why) {
        around_.send(client, net::client_refused{number, which, why.code, why.text});
    }

    /// Sends what has come to be known since the last call, and has reads made.
    void flush() {
        std::vector<letter> outcomes;
        std::vector<guest_reads::answer> answers = reads_.take_answers();
        {
            std::lock_guard const lock(mutex_);
            outcomes.swap(outbox_);
            place_of_.clear();
            std::move(answers_.begin(), answers_.end(), std::back_inserter(answers));
            answers_.clear();
        }
        for (letter& l : outcomes) around_.send(l.to, l.what);
        for (auto& a : answers) answer(a.to, std::move(a.what));
        reads_.flush();
    }

    void tick() {
        if (guests_.empty()) return;
        net::view now = around_.look();
        bool const news = now.cluster != seen_.cluster || now.current != seen_.current || now.members != seen_.members ||
                          now.leader != seen_.leader || now.serving != seen_.serving;
        seen_ = std::move(now);
        std::vector<net::guest_id> silent;
        for (auto const& [who, g] : guests_)
            if (g.heard_at + patience < around_.now()) silent.push_back(who);
        for (net::guest_id who : silent) around_.close(who);
        if (!news) return;
        std::vector<net::guest_id> all; // Who does not take the news is closed, and is in the map no more.
        for (auto const& [who, g] : guests_) all.push_back(who);
        for (net::guest_id who : all) around_.send(who, net::client_pong{0, seen_});
    }

    [[nodiscard]] std::size_t count() const { return guests_.size(); }

    /// Waits for a read that is being made. From then on nothing runs here.
    void stop() { reads_.stop(); }

    // apply_observer: where entries are applied

    void on_command(slot at, log_time stamp, applied_command const& did) override {
        if (!anyone_listens_.load(std::memory_order_relaxed)) return;
        std::lock_guard const lock(mutex_);
        if (did.opener != 0) {
            auto const opener = openers_.find(did.opener);
            if (opener == openers_.end()) return;
            net::guest_id const to = opener->second;
            openers_.erase(opener);
            if (did.outcome.ok()) sessions_[did.session] = to;
            outbox_.emplace_back(to, net::client_opened{did.opener, did.session, stamp, did.outcome.code, did.outcome.text});
        } else if (auto const session = sessions_.find(did.session); session != sessions_.end()) {
            post(session->second, at, stamp, did);
        }
    }
    [[nodiscard]] bool on_batch_end() override {
        reads_.run_ready();
        if (!anyone_listens_.load(std::memory_order_relaxed)) return false;
        std::lock_guard const lock(mutex_);
        return !outbox_.empty();
    }

private:
    struct guest {
        instant heard_at{};
        std::size_t waiting = 0; ///< questions and reads without an answer
    };
    struct letter {
        net::guest_id to;
        net::client_reply what;
        std::size_t bytes = 0;

        template <class Message>
        letter(net::guest_id g, Message&& m) : to(g), what(std::forward<Message>(m)) {}
    };
    /// A message with outcomes is closed at this size.
    static constexpr std::size_t outcomes_bytes = 1u << 20;

    void on(net::guest_id from, guest&, net::client_ping const& m) {
        around_.send(from, net::client_pong{m.number, around_.look()});
    }

    /// From now on the outcomes of the commands' session go to this connection, and to no other.
    void on(net::guest_id from, guest&, net::client_commands& m) {
        {
            std::lock_guard const lock(mutex_);
            for (shared_bytes const& c : m.commands) {
                auto const e = decode_envelope(c.view());
                bool const keeps_session = e && (e->kind == command_kind::open_session || e->kind == command_kind::keep_alive ||
                                                 e->kind == command_kind::close_session);
                if (!e || !is_for_clients(e->kind) || (m.number == 0 && !keeps_session)) return; // No client of ours sends it.
                if (e->kind == command_kind::open_session)
                    openers_[e->object.value] = from;
                else
                    sessions_[e->session] = from;
            }
            count_listeners();
        }
        around_.propose(from, std::move(m));
    }
    void on(net::guest_id from, guest&, net::client_leave const& m) {
        std::lock_guard const lock(mutex_);
        if (auto const it = sessions_.find(m.session); it != sessions_.end() && it->second == from) sessions_.erase(it);
        count_listeners();
    }

    void on(net::guest_id from, guest& g, net::client_query& m) {
        if (!admit(from, g, m.number)) return;
        reads_.add(from, std::move(m), !seen_.cluster.empty());
    }
    void on(net::guest_id from, guest& g, net::client_question& m) {
        if (admit(from, g, m.number)) around_.question(std::move(m.what), std::move(m.argument), answers_to(from, m.number));
    }
    void on(net::guest_id from, guest& g, net::client_order& m) {
        if (admit(from, g, m.number)) around_.order(std::move(m.text), answers_to(from, m.number));
    }

    [[nodiscard]] bool admit(net::guest_id from, guest& g, std::uint64_t number) {
        if (g.waiting < max_requests_) return ++g.waiting, true;
        around_.send(from, net::client_answer{number,
                                              failed(errc::overloaded, "too many reads of this client wait at the replica "
                                                                       "(limits.max_client_requests); nothing was done"),
                                              0});
        return false;
    }

    [[nodiscard]] completion answers_to(net::guest_id to, std::uint64_t number) {
        return [this, to, number](call_outcome&& o) {
            if (o.result.size() > largest_answer)
                o = failed(errc::too_large, "the answer has " + std::to_string(o.result.size()) + " bytes, more than " +
                                                std::to_string(largest_answer) + "; ask for less");
            {
                std::lock_guard const lock(mutex_);
                answers_.push_back({to, {number, std::move(o), 0}});
            }
            around_.wake();
        };
    }

    void answer(net::guest_id to, net::client_answer&& what) {
        auto const it = guests_.find(to);
        if (it == guests_.end()) return;
        --it->second.waiting;
        around_.send(to, std::move(what));
    }

    /// Adds an outcome to the message that its session gets next.
    void post(net::guest_id to, slot at, log_time stamp, applied_command const& did) {
        std::size_t const bytes = did.outcome.text.size() + did.outcome.result.size() + 32;
        auto const known = place_of_.find(did.session);
        bool const fits = known != place_of_.end() && outbox_[known->second].to == to &&
                          outbox_[known->second].bytes + bytes <= outcomes_bytes;
        if (!fits) {
            place_of_[did.session] = outbox_.size();
            outbox_.emplace_back(to, net::client_outcomes{did.session, {}, {}, {}});
        }
        letter& l = outbox_[place_of_[did.session]];
        l.bytes += bytes;
        auto& message = std::get<net::client_outcomes>(l.what);
        message.applied = at;
        message.clock = stamp;
        message.list.push_back({did.seq, did.stored, did.outcome});
    }

    void count_listeners() { anyone_listens_ = !sessions_.empty() || !openers_.empty(); }

    surroundings around_;
    std::size_t max_requests_;
    std::map<net::guest_id, guest> guests_;
    net::view seen_; ///< as clients were told
    guest_reads reads_;

    std::atomic<bool> anyone_listens_{false};
    std::mutex mutex_; // For the rest.
    std::unordered_map<session_id, net::guest_id> sessions_; ///< who is told the outcomes
    std::unordered_map<std::uint64_t, net::guest_id> openers_;
    std::vector<letter> outbox_;
    std::unordered_map<session_id, std::size_t> place_of_; ///< of a session's last message in it
    std::vector<guest_reads::answer> answers_;
};

} // namespace openreplica::inline v0::runtime
