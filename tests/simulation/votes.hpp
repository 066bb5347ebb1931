// Who durably holds what, hence what is chosen, as only an onlooker at all disks can know it.
#pragma once

#include "world.hpp"

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/value.hpp>

#include <algorithm>
#include <bit>
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

/// The votes of one group: S1, S2 and S3, and what a ballot needs before it may lead.
class votes {
    using mask = std::uint32_t;
    struct chosen_value {
        std::uint64_t value = 0;
        ballot by; ///< empty: not chosen yet
    };
    struct ballot_facts {
        life_id owner;
        mask promised = 0;                               ///< voters whose promise is durable
        std::unordered_map<slot, std::uint64_t> values; ///< what it proposes, by slot
    };
    struct vote {
        std::uint64_t value = 0;
        mask voters = 0;
    };

    paxos::configuration voters_;
    std::vector<chosen_value> chosen_; ///< by slot
    std::map<ballot, ballot_facts> ballots_;
    std::map<slot, std::map<ballot, vote>> open_;

public:
    explicit votes(paxos::configuration voters) : voters_(std::move(voters)) {}

    [[nodiscard]] paxos::configuration const& voters() const { return voters_; }
    [[nodiscard]] bool has_chosen() const { return !chosen_.empty(); }
    /// The fingerprint of the chosen value, if the slot has one.
    [[nodiscard]] std::optional<std::uint64_t> chosen(slot s) const {
        if (s.value >= chosen_.size() || chosen_[s.value].by.empty()) return std::nullopt;
        return chosen_[s.value].value;
    }
    [[nodiscard]] ballot highest_ballot() const { return ballots_.empty() ? ballot{} : ballots_.rbegin()->first; }

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
    void on_durable_promise(node_id voter, ballot const& b) { ballots_[b].promised |= bit(voter); }
    /// S5: nobody leads a ballot that no quorum has durably promised.
    void on_leading(ballot const& b) {
        require(static_cast<std::size_t>(std::popcount(ballots_[b].promised)) >= voters_.quorum(), "S5",
                "a ballot leads that no quorum has durably promised");
    }
    /// S3, and S1 in the inductive form: every durable accept is a vote, whoever hears of it.
    void on_durable_accept(node_id voter, ballot const& promised, paxos::entry const& e) {
        auto const value = fingerprint(e.what);
        require(e.accepted >= promised || chosen(e.at) == value, "S3",
                [&] { return "a value was accepted below the durable promise in " + at_slot(e.at); });
        on_value(e.accepted, e.at, value);
        if (chosen(e.at) || bit(voter) == 0) return;
        auto& of_slot = open_[e.at];
        vote& v = of_slot[e.accepted];
        v.value = value;
        v.voters |= bit(voter);
        if (static_cast<std::size_t>(std::popcount(v.voters)) < voters_.quorum()) return;
        if (chosen_.size() <= e.at.value) chosen_.resize(e.at.value + 1);
        chosen_[e.at.value] = {value, e.accepted};
        for (auto const& [b, other] : of_slot)
            require(b < e.accepted || other.value == value, "S1",
                    [&] { return "a later ballot has accepted another value in " + at_slot(e.at) + " than the chosen one"; });
        open_.erase(e.at);
    }
    /// S1: what a node hands to its state machine is what a quorum durably holds.
    void on_delivered(paxos::entry const& e) const {
        auto const value = chosen(e.at);
        require(value.has_value(), "S1", [&] { return at_slot(e.at) + " was delivered, and no quorum holds it durably"; });
        require(*value == fingerprint(e.what), "S1", [&] { return at_slot(e.at) + " was delivered with another value"; });
    }

private:
    [[nodiscard]] mask bit(node_id voter) const {
        for (std::size_t i = 0; i < voters_.voters.size(); ++i)
            if (voters_.voters[i].id == voter) return mask{1} << i;
        return 0;
    }
};

} // namespace simulation
