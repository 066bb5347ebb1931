// What one node holds between two steps of an exploration, and whole replicas that go on from there.
#pragma once

#include <openreplica/paxos/replica.hpp>
#include <openreplica/types/hash.hpp>

#include "../unit/paxos/script.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace exhaustive {

using namespace openreplica;
using namespace openreplica::paxos;
// The names that the C library has too.
using openreplica::paxos::accept;
using openreplica::paxos::log;

inline constexpr std::size_t nodes = 5;
inline constexpr std::array<node_id, nodes> id_of = {paxos_script::a, paxos_script::b, paxos_script::c, paxos_script::d,
                                                     paxos_script::e};
[[nodiscard]] inline std::size_t index_of(node_id id) { return static_cast<std::size_t>(id.low - 1); }
[[nodiscard]] inline char letter(std::size_t node) { return static_cast<char>('a' + node); }

/// Slot 1 is the base that a leader needs before it may change the voters; the stop-sign goes into slot 2, and slot 3 is the
/// one that two configurations may fight for. Nothing above is looked at: what is sent there counts as lost.
inline constexpr std::size_t slots = 3;

inline constexpr instant noon{std::chrono::hours(1)};

/// One accept carries one value, so that each may be lost alone.
[[nodiscard]] inline replica_options one_value_a_message() {
    replica_options o;
    o.batch_bytes = 1;
    return o;
}

/// Settled ballots have no owner (see `memory::settled`).
[[nodiscard]] inline std::string text_of(ballot const& b) {
    return std::to_string(b.round) + (b.owner.empty() ? "" : std::string(1, letter(index_of(b.owner))));
}

/// A value's name; no two ballots' no-ops have the same one, as each ballot's log clock begins at its round.
[[nodiscard]] inline std::string name(value const& v) {
    return v.kind == value_kind::no_op ? "no-op" + std::to_string(v.stamp.value) : paxos_script::text(v);
}

/// Numbers for things that are equal when their keys are.
template <class Thing>
class numbered {
    std::map<std::string, std::uint32_t> numbers_;
    std::deque<Thing> things_; // A reference to one stays good when others come.

public:
    std::uint32_t number(std::string const& key, Thing thing) {
        auto const [it, added] = numbers_.emplace(key, static_cast<std::uint32_t>(things_.size()));
        if (added) things_.push_back(std::move(thing));
        return it->second;
    }
    [[nodiscard]] Thing const& operator[](std::size_t n) const { return things_[n]; }
    [[nodiscard]] std::size_t size() const { return things_.size(); }
};

/// What a node has on its disk, and what it remembers of the ballot under way.
///
/// Ballots come one after the other (see explorer.hpp): a promise of an earlier one forbids nothing that still comes, and is
/// left out; so is one of this ballot under which nothing was accepted.
struct memory {
    std::vector<entry> entries; ///< from slot 1
    slot chosen;
    ballot promised; ///< empty, or the ballot under way
    slot upto;       ///< accepted under `promised` up to here; 0 if nothing was

    [[nodiscard]] std::string key() const {
        std::string all = std::to_string(chosen.value) + "/" + std::to_string(upto.value) + "/" + text_of(promised);
        for (entry const& e : entries) all += " " + name(e.what) + "@" + text_of(e.accepted);
        return all;
    }
    /// As it goes into the next ballot. Who owned an earlier one is of no interest any more.
    [[nodiscard]] memory settled() const {
        memory m = *this;
        m.promised = {};
        m.upto = {};
        for (entry& e : m.entries) e.accepted.owner = {};
        return m;
    }
    void put(entry const& e) {
        if (e.at.value > slots) return;
        if (e.at.value > entries.size()) entries.resize(e.at.value);
        entries[e.at.value - 1] = e;
    }
    /// Whether slot `s` was accepted under the ballot under way by a message to a follower.
    [[nodiscard]] bool is_fresh(entry const& e) const {
        return upto > slot{} && e.at > chosen && e.at <= upto && e.accepted == promised;
    }
};

/// What a replica finds that starts with this memory. What was accepted in the ballot under way is not in it yet.
[[nodiscard]] inline durable_state past_of(memory const& m) {
    durable_state past;
    past.promised = m.promised;
    past.chosen = m.chosen;
    for (entry const& e : m.entries) past.entries.push_back(m.is_fresh(e) ? entry{e.at, {}, {}} : e);
    return past;
}

/// A whole replica that follows, as it stands with a memory. It is made anew for each step; to know what it accepted in the
/// ballot under way, it accepts that again.
class follower_on_stage {
    replica core_;

public:
    follower_on_stage(std::size_t self, configuration const& first, memory const& m)
        : core_(id_of[self], first, one_value_a_message(), past_of(m), noon) {
        for (node_id id : id_of) core_.add_peer(id);
        for (entry const& e : m.entries)
            if (m.is_fresh(e))
                core_.step(m.promised.owner, accept{m.promised, core_.entries().governing(e.at).number, e.at, {e.what}, {}}, noon);
        (void)core_.take_output(noon);
    }
    [[nodiscard]] std::vector<message> hears(std::size_t from, message const& m) {
        core_.step(id_of[from], m, noon);
        std::vector<message> replies;
        for (outgoing& o : core_.take_output(noon).messages) replies.push_back(std::move(o.what));
        return replies;
    }
    [[nodiscard]] memory remembers(ballot const& under_way) const {
        memory m;
        m.chosen = core_.entries().chosen();
        for (slot s{1}; s <= core_.entries().last() && s.value <= slots; s = s.next()) m.put(core_.entries().entry_at(s));
        slot const held = core_.observe().held;
        if (core_.promised() == under_way && held > m.chosen) {
            m.promised = under_way;
            m.upto = held;
        }
        return m;
    }
    /// Whoever has gone on to a ballot takes nothing of an earlier one: this is why ballots can be looked at one by one.
    void ignores_what_comes_late() {
        memory const before = remembers(core_.promised());
        if (core_.promised().round < 2) return;
        ballot const late{core_.promised().round - 1, 0, id_of[0]};
        for (std::uint64_t s = 1; s <= slots; ++s)
            for (std::uint32_t e = 1; e <= 2; ++e)
                core_.step(id_of[0], accept{late, epoch{e}, slot{s}, {paxos_script::command("late")}, {}}, noon);
        core_.step(id_of[0], prepare{late, {}, epoch{1}}, noon);
        if (remembers(core_.promised()).key() != before.key()) throw std::logic_error("a late message changed a voter");
    }
};

} // namespace exhaustive
