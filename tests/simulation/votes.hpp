// Who durably holds what, hence what is chosen, as only an onlooker at all disks can know it.
#pragma once

#include "world.hpp"

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/value.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace simulation {

namespace paxos = openreplica::paxos;
using openreplica::ballot;
using openreplica::cluster_id;
using openreplica::node_id;
using openreplica::slot;

inline std::uint64_t fingerprint(paxos::value const& v) {
    return openreplica::hash64(v.body.view(), v.stamp.value * 4 + static_cast<std::uint64_t>(v.kind));
}
inline std::string at_slot(slot s) { return "slot " + std::to_string(s.value); }

/// One process from its start to its end.
struct life_id {
    int node = -1;
    std::uint64_t life = 0;
    bool operator==(life_id const&) const = default;
};

/// The votes of one group: S1, S2 and S3, S14, S15, and what a ballot needs before it may lead.
class votes {
    using configuration = paxos::configuration;
    using nodes = std::vector<node_id>; ///< a few, no order

    struct chosen_value {
        std::uint64_t value = 0;
        ballot by; ///< empty: not chosen yet
    };
    struct ballot_facts {
        life_id owner;
        nodes promised;                                  ///< whose promise is durable
        std::unordered_map<slot, std::uint64_t> values; ///< what it proposes, by slot
    };
    struct vote {
        std::uint64_t value = 0;
        nodes voters;
    };

    std::vector<configuration> epochs_;               ///< by number, from 1
    std::map<slot, configuration const*> stop_signs_; ///< those that are chosen
    std::map<slot, configuration> offered_;           ///< accepted somewhere, and perhaps never chosen
    std::vector<chosen_value> chosen_;                ///< by slot
    std::map<ballot, ballot_facts> ballots_;
    std::map<slot, std::map<ballot, vote>> open_;

public:
    explicit votes(configuration first) {
        epochs_.reserve(1024); // `stop_signs_` points into it.
        epochs_.push_back(std::move(first));
    }

    /// The voters of the slots that come next.
    [[nodiscard]] configuration const& voters() const { return epochs_.back(); }
    /// Whose voters it may take besides `voters()`: of stop-signs that some node holds and that may still be chosen, and of the
    /// configuration before, as long as nothing is chosen above the stop-sign that ended it. Until then nobody may know that it
    /// did (rule 5).
    [[nodiscard]] std::vector<configuration const*> also_needed() const {
        std::vector<configuration const*> all;
        for (auto const& [s, c] : offered_)
            if (!chosen(s)) all.push_back(&c);
        bool const fresh = !stop_signs_.empty() && chosen_.size() == stop_signs_.rbegin()->first.value + 1;
        if (fresh) all.push_back(&epochs_[epochs_.size() - 2]);
        return all;
    }
    [[nodiscard]] bool has_chosen() const { return !chosen_.empty(); }
    /// The fingerprint of the chosen value, if the slot has one.
    [[nodiscard]] std::optional<std::uint64_t> chosen(slot s) const {
        if (s.value >= chosen_.size() || chosen_[s.value].by.empty()) return std::nullopt;
        return chosen_[s.value].value;
    }
    [[nodiscard]] ballot highest_ballot() const { return ballots_.empty() ? ballot{} : ballots_.rbegin()->first; }
    /// S14: an epoch has one configuration, and nobody knows of one that was not chosen.
    void check_known(configuration const& c) const {
        require(c.number.value >= 1 && c.number.value <= epochs_.size(), "S14", [&] {
            return "a node goes by epoch " + std::to_string(c.number.value) + ", which was not chosen";
        });
        require(epochs_[c.number.value - 1] == c, "S14",
                [&] { return "two nodes know different voters of epoch " + std::to_string(c.number.value); });
    }

    /// S2: a ballot belongs to one life of one node.
    void on_ballot(node_id by, life_id who, ballot const& b) {
        require(b.owner == by, "S2", "a node acts in another one's ballot");
        ballot_facts& facts = ballots_[b];
        if (facts.owner.node < 0) facts.owner = who;
        require(facts.owner == who, "S2", "a ballot is used in two lives of its owner");
    }
    /// S2: one value for one slot of a ballot. S1: no other value than the chosen one from the choosing ballot on.
    void on_value(ballot const& b, slot s, std::uint64_t value) {
        auto const [it, first] = ballots_[b].values.emplace(s, value);
        require(first || it->second == value, "S2", [&] { return "one ballot has two values for " + at_slot(s); });
        bool const later = s.value < chosen_.size() && !chosen_[s.value].by.empty() && b >= chosen_[s.value].by;
        require(!later || chosen_[s.value].value == value, "S1",
                [&] { return "a later ballot has another value for " + at_slot(s) + " than the chosen one"; });
    }
    void on_durable_promise(node_id voter, ballot const& b) { note(ballots_[b].promised, voter); }
    /// S5: nobody leads a ballot that no quorum has durably promised.
    void on_leading(ballot const& b, configuration const& c) {
        require(have(c, ballots_[b].promised), "S5", "a ballot leads that no quorum has durably promised");
    }
    /// S14 and S5: what is proposed in an epoch is proposed behind its stop-sign, to voters that promised.
    void on_proposing(ballot const& b, openreplica::epoch e) {
        require(e.value >= 1 && e.value <= epochs_.size(), "S14", "something is proposed in an epoch that was not chosen");
        require(have(epochs_[e.value - 1], ballots_[b].promised) || e.value < epochs_.size(), "S5",
                "something is proposed in an epoch whose voters have not promised");
    }
    /// S3, and S1 in the inductive form: every durable accept is a vote, whoever hears of it.
    void on_durable_accept(node_id voter, ballot const& promised, paxos::entry const& e, openreplica::epoch of) {
        auto const value = fingerprint(e.what);
        require(e.accepted >= promised || chosen(e.at) == value, "S3",
                [&] { return "a value was accepted below the durable promise in " + at_slot(e.at); });
        on_value(e.accepted, e.at, value);
        if (chosen(e.at)) return;
        if (e.what.kind == paxos::value_kind::configuration)
            offered_[e.at] = *paxos::decode_configuration(e.what.body.view());
        // A vote of another epoch is none (S14).
        configuration const& c = governing(e.at);
        if (of != c.number || !c.has_voter(voter)) return;
        auto& of_slot = open_[e.at];
        vote& v = of_slot[e.accepted];
        v.value = value;
        note(v.voters, voter);
        if (have(c, v.voters)) choose(e, value);
    }
    /// S1: what a node hands to its state machine is what a quorum durably holds.
    void on_delivered(paxos::entry const& e) const {
        auto const value = chosen(e.at);
        require(value.has_value(), "S1", [&] { return at_slot(e.at) + " was delivered, and no quorum holds it durably"; });
        require(*value == fingerprint(e.what), "S1", [&] { return at_slot(e.at) + " was delivered with another value"; });
    }

    /// S14: a snapshot names what governs the slots above it.
    void check_snapshot(paxos::snapshot const& s) const {
        require(s.governing == governing(s.at.next()), "S14",
                [&] { return "the snapshot of " + at_slot(s.at) + " names other voters than those who govern above it"; });
    }

private:
    static void note(nodes& all, node_id one) {
        if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
    }
    [[nodiscard]] static bool have(configuration const& c, nodes const& of) {
        auto const n = std::count_if(of.begin(), of.end(), [&](node_id id) { return c.has_voter(id); });
        return static_cast<std::size_t>(n) >= c.quorum();
    }
    /// S15: whoever loses the vote is known by that for ever, and never has one again.
    static void check_removed(configuration const& was, configuration const& next) {
        for (paxos::member const& m : was.voters)
            require(next.has_voter(m.id) || next.has_removed(m.id), "S15", "a vote ended, and nobody remembers that");
        for (node_id id : was.removed)
            require(next.has_removed(id) && !next.has_voter(id), "S15", "who has lost the vote is not known by it any more");
    }
    [[nodiscard]] configuration const& governing(slot s) const {
        auto const it = stop_signs_.lower_bound(s);
        return it == stop_signs_.begin() ? epochs_.front() : *std::prev(it)->second;
    }
    void choose(paxos::entry const& e, std::uint64_t value) {
        if (chosen_.size() <= e.at.value) chosen_.resize(e.at.value + 1);
        chosen_[e.at.value] = {value, e.accepted};
        for (auto const& [b, other] : open_[e.at])
            require(b < e.accepted || other.value == value, "S1",
                    [&] { return "a later ballot has accepted another value in " + at_slot(e.at) + " than the chosen one"; });
        open_.erase(e.at);
        if (e.what.kind != paxos::value_kind::configuration) return;
        auto const next = *paxos::decode_configuration(e.what.body.view());
        require(next.number.value == epochs_.size() + 1, "S14", "an epoch has two configurations, or one was left out");
        check_removed(epochs_.back(), next);
        require(chosen_.size() == e.at.value + 1, "S14",
                [&] { return "something was chosen above the stop-sign in " + at_slot(e.at) + " before it"; });
        epochs_.push_back(next);
        stop_signs_[e.at] = &epochs_.back();
    }
};

} // namespace simulation
