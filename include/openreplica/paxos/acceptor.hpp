// The durable voter.
#pragma once

#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/output.hpp>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <span>
#include <utility>

namespace openreplica::inline v0::paxos {

/// The durable voter of one peer: it promises ballots and accepts values, and does nothing else.
///
/// An acceptor never reads a clock, sends a message or touches a disk: each step writes what must happen into
/// `effects`, so any interleaving can be replayed from a list of steps.
///
/// @par Invariants
/// @li `promised()` never decreases, not even across a restart.
/// @li For every held slot, the entry's ballot is at most `promised()`.
/// @li `held()` only covers slots that were accepted under `promised()` or are chosen (rule C: accepts are contiguous
///     per ballot).
///
/// @par Source
/// Lamport, "Paxos Made Simple", section 2.2; contiguous accepts after Stoppable Paxos.
class acceptor {
    log& log_;
    ballot promised_;
    slot upto_; ///< highest slot accepted under `promised_`; 0 if none
    std::size_t chunk_bytes_;

public:
    /// A chunk of a promise is closed when its values weigh this much.
    static constexpr std::size_t promise_chunk_bytes = 256 * 1024;
    /// One answer has at most this many chunks, so that it fits a link's queue; the candidate asks for the rest.
    static constexpr std::uint32_t promise_chunks = 16;

    acceptor(log& l, ballot promised, std::size_t chunk_bytes = promise_chunk_bytes)
        : log_(l), promised_(promised), chunk_bytes_(chunk_bytes) {}

    [[nodiscard]] ballot const& promised() const { return promised_; }
    /// How far the log is held under the promised ballot, counting chosen slots: what a cumulative ack may claim.
    [[nodiscard]] slot held() const { return std::max(upto_, log_.chosen()); }

    /// Rule R and phase 1: raises the promise. Lower and equal ballots change nothing.
    void promise_to(ballot const& b, effects& fx) {
        if (b <= promised_ && !OPENREPLICA_MUTANT(promise_goes_back)) return;
        promised_ = b;
        upto_ = slot{};
        fx.write(promise_record{b});
    }

    /// Answers a phase 1 request. Duplicates and reordering are harmless.
    ///
    /// The equal ballot is granted too: a ballot has one owner, so this is its retransmission.
    void on_prepare(node_id from, prepare const& m, effects& fx) {
        if (m.number < promised_ && !OPENREPLICA_MUTANT(promise_goes_back)) {
            fx.send(from, reject{m.number, promised_});
            return;
        }
        promise_to(m.number, fx);
        send_promise(from, m.after, fx);
    }

    /// Takes a phase 2 request and acknowledges how far the ballot is held. True when the accept could be used.
    ///
    /// Rule C: the accept must continue what is held under its ballot, or the chosen prefix, and be of the epoch that governs
    /// its slots as these show. Any other waits for catch-up.
    bool on_accept(node_id from, accept const& m, effects& fx) {
        if (m.number < promised_ && !OPENREPLICA_MUTANT(accept_below_promise)) {
            fx.send(from, reject{m.number, promised_});
            return false;
        }
        if (m.number > promised_) promise_to(m.number, fx);
        bool const hole = m.first > held().next();
        if (hole && OPENREPLICA_MUTANT(rule_c_off)) put_apart(m, fx);
        if ((hole && !OPENREPLICA_MUTANT(ack_over_hole)) || (!hole && !is_of_its_epoch(m) && !OPENREPLICA_MUTANT(epoch_ignored))) {
            fx.send_durable(from, accepted{m.number, held(), true});
            return false;
        }
        if (hole) bridge_hole(m.first);
        take(m.number, m.first, m.values, fx);
        fx.send_durable(from, accepted{m.number, held(), false});
        return true;
    }

    /// Accepts the values of this node's own ballot; the position of the last record is when its vote may count.
    lsn accept_own(ballot const& b, slot first, std::span<value const> values, effects& fx) {
        assert(b == promised_ && first <= held().next());
        take(b, first, values, fx);
        return fx.last();
    }

private:
    /// Whether the epoch that the accept names governs what is new in it. It has no hole before it.
    [[nodiscard]] bool is_of_its_epoch(accept const& m) const {
        slot const fresh = std::max(m.first, log_.chosen().next());
        return fresh >= m.first.plus(m.values.size()) || m.current == log_.governing(fresh).number;
    }

    void take(ballot const& b, slot first, std::span<value const> values, effects& fx) {
        slot s = first;
        for (value const& v : values) {
            // What is chosen, or already held under this ballot, is the same value again.
            if (s > held()) {
                log_.put(s, b, v);
                fx.write(accept_record{{s, b, v}});
                upto_ = s;
            }
            s = s.next();
        }
    }

    /// Only mutants get here: what fills the hole before `first` has no ballot, which is nothing to a merge.
    void fill_hole(slot first) {
        while (log_.last().next() < first) log_.put(log_.last().next(), ballot{}, value{});
    }
    /// Only a mutant gets here: it pretends that the hole before `first` holds what it should.
    void bridge_hole(slot first) {
        fill_hole(first);
        upto_ = std::max(upto_, first.prev());
    }
    /// Only a mutant gets here: it votes for the values, and owns up to the hole before them.
    void put_apart(accept const& m, effects& fx) {
        fill_hole(m.first);
        slot s = m.first;
        for (value const& v : m.values) {
            log_.put(s, m.number, v);
            fx.write(accept_record{{s, m.number, v}});
            s = s.next();
        }
    }

    void send_promise(node_id to, slot after, effects& fx) {
        promise p{promised_, log_.chosen(), log_.governing().number, 0, false, {}};
        std::size_t bytes = 0;
        for (slot s = std::max(after, log_.chosen()).next(); s <= log_.last(); s = s.next()) {
            if (OPENREPLICA_MUTANT(promise_reports_nothing)) break;
            p.entries.push_back(log_.entry_at(s));
            bytes += log_.value_at(s).weight();
            if (bytes < chunk_bytes_ || s == log_.last()) continue;
            fx.send_durable(to, p);
            if (p.chunk + 1 == promise_chunks) return;
            p.entries.clear();
            ++p.chunk;
            bytes = 0;
        }
        p.last = true;
        fx.send_durable(to, std::move(p));
    }
};

} // namespace openreplica::inline v0::paxos
