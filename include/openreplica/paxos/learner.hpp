// Learns what is chosen, in order, and fetches what it missed.
#pragma once

#include <openreplica/paxos/acceptor.hpp>
#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/output.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/mutation.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace openreplica::inline v0::paxos {

/// Follows the chosen index and hands chosen entries to the state machine, in slot order and without gaps.
///
/// @par Rule 2
/// A chosen index carried in ballot b chooses a slot here only if the entry was accepted here under b. Any other slot
/// is fetched as a chosen entry first.
class learner {
    log& log_;
    acceptor& acceptor_;
    slot known_;                     ///< the highest chosen index that anybody told of
    std::optional<node_id> asked_;   ///< a request for entries is on its way to this peer
    instant asked_at_;
    instant behind_since_;
    std::size_t reply_bytes_;

public:
    /// One reply to `learn` carries values up to this weight.
    static constexpr std::size_t reply_bytes = 512 * 1024;

    learner(log& l, acceptor& a, std::size_t limit = reply_bytes) : log_(l), acceptor_(a), reply_bytes_(limit) {}

    [[nodiscard]] slot known() const { return std::max(known_, log_.chosen()); }
    [[nodiscard]] bool is_behind() const { return known_ > log_.chosen(); }

    /// Takes a chosen index that ballot `b` vouches for.
    void on_chosen(ballot const& b, slot chosen, instant now, effects& fx) {
        note(chosen, now);
        bool const same = b == acceptor_.promised() || OPENREPLICA_MUTANT(chosen_from_other_ballot);
        slot const reach = OPENREPLICA_MUTANT(chosen_from_other_ballot) ? log_.last() : acceptor_.held();
        if (same) choose(std::min(chosen, reach), now, fx);
    }

    /// Takes a chosen index without a vote behind it: a reason to fetch, nothing more.
    void note(slot chosen, instant now) {
        if (!is_behind() && chosen > log_.chosen()) behind_since_ = now;
        known_ = std::max(known_, chosen);
    }

    /// Everything up to `s` is chosen by this node's own ballot.
    void choose(slot s, instant now, effects& fx) {
        if (s <= log_.chosen()) return;
        slot const from = log_.chosen().next();
        log_.choose(s);
        for (slot k = from; k <= s; k = k.next()) fx.deliver(log_.entry_at(k));
        if (is_behind()) behind_since_ = now;
    }

    /// Serves a peer that fell behind. Any peer does this for any other.
    void on_learn(node_id from, learn const& m, effects& fx) const {
        learned reply{{}, m.from, {}, log_.chosen(), log_.first()};
        std::size_t bytes = 0;
        for (slot s = m.from; log_.holds(s) && s <= log_.chosen() && bytes < reply_bytes_; s = s.next()) {
            reply.behind = std::max(reply.behind, log_.ballot_at(s));
            reply.values.push_back(log_.value_at(s));
            bytes += reply.values.back().weight();
        }
        fx.send(from, std::move(reply));
    }

    /// Takes chosen entries from a peer. True when the chosen index moved.
    bool on_learned(node_id from, learned const& m, instant now, effects& fx) {
        note(m.chosen, now);
        if (asked_ == from) asked_.reset();
        bool const asks = is_behind() && !OPENREPLICA_MUTANT(snapshot_not_asked_for);
        if (m.values.empty() && m.log_start > log_.chosen().next() && asks) fx.ask_snapshot(from);
        if (m.values.empty() || m.first > log_.chosen().next()) return false;
        if (!OPENREPLICA_MUTANT(learned_without_promise))
            acceptor_.promise_to(m.behind, fx); // Rule R: before anything that stands on it.
        slot const before = log_.chosen();
        slot s = m.first;
        for (value const& v : m.values) {
            if (s > log_.chosen()) {
                // An entry of a higher ballot is the chosen value already: every later ballot re-proposed it.
                if (!log_.holds(s) || log_.ballot_at(s) < m.behind) {
                    log_.put(s, m.behind, v);
                    fx.write(accept_record{{s, m.behind, v}});
                }
                log_.choose(s);
                fx.deliver(log_.entry_at(s));
            }
            s = s.next();
        }
        behind_since_ = now;
        return log_.chosen() > before;
    }

    /// Asks `peer` for the next missing entries unless a request is on its way.
    void fetch(node_id peer, instant now, effects& fx) {
        if (asked_) return;
        asked_ = peer;
        asked_at_ = now;
        fx.send(peer, learn{log_.chosen().next()});
    }

    /// True when entries have been missing for `patience` and no request younger than that is on its way.
    [[nodiscard]] bool should_fetch(instant now, duration patience) {
        if (asked_ && now - asked_at_ >= patience) asked_.reset(); // The peer, or its answer, is lost.
        return is_behind() && !asked_ && now - behind_since_ >= patience;
    }

    /// A snapshot replaced everything up to `s`.
    void installed(slot s, instant now) {
        asked_.reset();
        known_ = std::max(known_, s);
        behind_since_ = now;
    }
};

} // namespace openreplica::inline v0::paxos
