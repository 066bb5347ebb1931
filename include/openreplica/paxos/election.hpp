// Who should lead: ballot leader election by evidence of happiness.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/types/instant.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace openreplica::inline v0::paxos {

/// What each peer answered last, and what follows from it.
///
/// A node runs for leader only if it is itself unhappy, no voter that it reaches is happy, and it reaches a quorum. A
/// leader is happy while a quorum follows its ballot; anyone else is happy while its leader answers and says it leads.
/// Only answers count as evidence: hearing a peer does not prove that the peer hears us.
///
/// @par Source
/// Ng et al., "Omni-Paxos: Breaking the Barriers of Partial Connectivity", EuroSys 2023, section 5.
class election {
public:
    struct view {
        instant answered{};   ///< when the last answer arrived; the epoch of the clock when none did
        bool fresh = false;   ///< an answer arrived and was not discounted since
        heartbeat_reply said; ///< the last answer
    };

    explicit election(node_id self) : self_(self) {}

    void on_reply(node_id from, heartbeat_reply const& m, instant now) {
        view& v = peers_[from];
        // An older answer that arrives late must not undo what a newer one said.
        if (v.fresh && m.number < v.said.number) return;
        v = {now, true, m};
        highest_ = std::max(highest_, m.promised);
    }

    /// A ballot was seen somewhere; a new one must lie above it.
    void note(ballot const& b) { highest_ = std::max(highest_, b); }
    [[nodiscard]] ballot const& highest() const { return highest_; }

    /// A closed connection: its last answer no longer counts as evidence of health. It proves nothing else.
    void suspect(node_id peer) {
        if (auto it = peers_.find(peer); it != peers_.end()) it->second.fresh = false;
    }
    void forget(node_id peer) { peers_.erase(peer); }

    /// This node did not run for a while: silence in that time says nothing about the others.
    void excuse(duration pause) {
        for (auto& [id, v] : peers_) v.answered += pause;
    }

    /// How long ago the peer answered last.
    [[nodiscard]] duration silent_for(node_id peer, instant now) const {
        if (peer == self_) return {};
        auto const it = peers_.find(peer);
        return it == peers_.end() ? now - instant{} : now - it->second.answered;
    }
    /// Bit i: the voter with index i has been silent for `limit`.
    [[nodiscard]] std::uint32_t silent_voters(configuration const& c, instant now, duration limit) const {
        std::uint32_t silent = 0;
        for (std::size_t i = 0; i < c.voters.size(); ++i)
            if (silent_for(c.voters[i].id, now) >= limit) silent |= std::uint32_t{1} << i;
        return silent;
    }
    /// How many voters, this node counted, have not heard the one with index `which` for a while.
    [[nodiscard]] std::size_t report_silent(configuration const& c, std::size_t which, instant now, duration limit) const {
        std::size_t n = silent_for(c.voters[which].id, now) >= limit && c.has_voter(self_) ? 1 : 0;
        for (member const& m : c.voters)
            if (view const* v = seen(m.id, now, limit))
                n += v->said.current == c.number && ((v->said.silent >> which) & 1) != 0 ? 1 : 0;
        return n;
    }

    [[nodiscard]] bool reaches(node_id peer, instant now, duration limit) const {
        if (peer == self_) return true;
        auto const it = peers_.find(peer);
        return it != peers_.end() && it->second.fresh && now - it->second.answered < limit;
    }
    [[nodiscard]] view const* seen(node_id peer, instant now, duration limit) const {
        return peer != self_ && reaches(peer, now, limit) ? &peers_.at(peer) : nullptr;
    }
    [[nodiscard]] bool reaches_quorum(configuration const& c, instant now, duration limit) const {
        auto const n = std::count_if(c.voters.begin(), c.voters.end(),
                                     [&](member const& m) { return reaches(m.id, now, limit); });
        return static_cast<std::size_t>(n) >= c.quorum();
    }
    /// A quorum, this node included, answered that it follows `b`.
    [[nodiscard]] bool quorum_follows(configuration const& c, ballot const& b, instant now, duration limit) const {
        std::size_t n = 0;
        for (member const& m : c.voters) {
            view const* v = seen(m.id, now, limit);
            if (m.id == self_ || (v != nullptr && v->said.promised == b)) ++n;
        }
        return n >= c.quorum();
    }
    /// The peer that says it leads, with the highest ballot if several do.
    [[nodiscard]] std::optional<node_id> leader(instant now, duration limit) const {
        std::optional<node_id> best;
        ballot best_ballot;
        for (auto const& [id, v] : peers_)
            if (seen(id, now, limit) != nullptr && v.said.leading && v.said.promised > best_ballot) {
                best = id;
                best_ballot = v.said.promised;
            }
        return best;
    }
    /// Some other voter that this node reaches sees a healthy leader.
    [[nodiscard]] std::optional<node_id> happy_voter(configuration const& c, instant now, duration limit) const {
        for (member const& m : c.voters)
            if (view const* v = seen(m.id, now, limit); v != nullptr && v->said.happy) return m.id;
        return std::nullopt;
    }
    /// How many voters, this node not counted, said lately that their disk is in state `s`.
    [[nodiscard]] std::size_t with_disk(configuration const& c, disk_state s, instant now, duration limit) const {
        return static_cast<std::size_t>(std::count_if(c.voters.begin(), c.voters.end(), [&](member const& m) {
            view const* v = seen(m.id, now, limit);
            return v != nullptr && v->said.disk == s;
        }));
    }
    /// The highest chosen index among the voters that this node reaches.
    [[nodiscard]] slot highest_chosen(configuration const& c, instant now, duration limit) const {
        slot s;
        for (member const& m : c.voters)
            if (view const* v = seen(m.id, now, limit)) s = std::max(s, v->said.chosen);
        return s;
    }

    /// The lowest chosen index that a peer named lately. A broken connection takes nothing from it.
    [[nodiscard]] std::optional<slot> lowest_chosen(instant now, duration limit) const {
        std::optional<slot> s;
        for (auto const& [id, v] : peers_)
            if (now - v.answered < limit) s = std::min(s.value_or(v.said.chosen), v.said.chosen);
        return s;
    }

private:
    node_id self_;
    std::map<node_id, view> peers_; // Ordered: iteration must not depend on addresses or hashes.
    ballot highest_;
};

} // namespace openreplica::inline v0::paxos
