// What must hold whatever happens: the history of calls and the chosen log, checked against one another.
#pragma once

#include "world.hpp"

#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/value.hpp>
#include <openreplica/types/envelope.hpp>
#include <openreplica/types/hash.hpp>
#include <openreplica/types/outcome.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace simulation {

using openreplica::call_outcome;
using openreplica::errc;

/// One call of a simulated caller.
struct operation {
    std::string id; ///< what an append appends; empty for a read
    sim_time invoked = 0;
    sim_time deadline = 0;
    std::optional<sim_time> ended;
    call_outcome outcome;
    openreplica::slot known;       ///< the highest slot of any call that had ended when this one began
    std::size_t acked_before = 0;  ///< how many appends had been acknowledged then
    std::vector<std::string> seen; ///< what a read saw
};

class oracle {
    std::map<openreplica::slot, std::uint64_t> values_;
    std::map<openreplica::slot, std::uint64_t> digests_;
    std::map<std::pair<openreplica::ballot, openreplica::slot>, std::uint64_t> proposed_;
    std::set<std::string, std::less<>> bodies_; ///< of every command that a caller submitted
    openreplica::slot highest_ended_;
    std::vector<std::string> acked_; ///< appends, in the order of their acknowledgements

public:
    std::vector<operation> operations;
    std::size_t acknowledged = 0;
    std::size_t unknown = 0; ///< calls that ended with `outcome_unknown`

    /// S1: every node hands the same value of a slot to its state machine.
    void on_chosen(openreplica::paxos::entry const& e) {
        auto const hash = fingerprint(e.what);
        auto const [it, first] = values_.emplace(e.at, hash);
        require(first || it->second == hash, "S1", "slot " + std::to_string(e.at.value) + " holds two values");
        if (first) check_origin(e);
    }
    /// S2: a ballot has one owner and proposes one value for a slot, also across its owner's crashes.
    void on_proposed(openreplica::node_id by, openreplica::paxos::accept const& m) {
        require(m.number.owner == by, "S2", "a node proposes in another one's ballot");
        openreplica::slot s = m.first;
        for (auto const& v : m.values) {
            auto const hash = fingerprint(v);
            auto const [it, first] = proposed_.emplace(std::pair(m.number, s), hash);
            require(first || it->second == hash, "S2", "one ballot has two values for slot " + std::to_string(s.value));
            s = s.next();
        }
    }
    /// S8: equal slots, equal state.
    void on_applied(openreplica::slot at, std::uint64_t digest) {
        if (at == openreplica::slot{}) return;
        auto const [it, first] = digests_.emplace(at, digest);
        require(first || it->second == digest, "S8", "two replicas differ after slot " + std::to_string(at.value));
    }

    std::size_t begin(std::string id, sim_time now, sim_time deadline) {
        operation o;
        if (!id.empty()) bodies_.insert(append_body(id));
        o.id = std::move(id);
        o.invoked = now;
        o.deadline = deadline;
        o.known = highest_ended_;
        o.acked_before = acked_.size();
        operations.push_back(std::move(o));
        return operations.size() - 1;
    }

    void end(std::size_t index, call_outcome outcome, std::vector<std::string> seen, sim_time now) {
        operation& o = operations[index];
        require(!o.ended, "S12", "call " + name(index) + " ended twice");
        o.ended = now;
        o.outcome = std::move(outcome);
        if (o.outcome.code == errc::outcome_unknown) ++unknown;
        if (!o.outcome.ok()) return;
        ++acknowledged;
        // S13, by witness: the slots order the calls, so the order of time must agree with them.
        if (o.id.empty()) {
            require(o.outcome.at >= o.known, "S13", "read " + name(index) + " was served at slot " +
                                                        std::to_string(o.outcome.at.value) + ", behind slot " +
                                                        std::to_string(o.known.value) + " that it had to see");
            std::set<std::string> const have(seen.begin(), seen.end());
            for (std::size_t i = 0; i < o.acked_before; ++i)
                require(have.contains(acked_[i]), "S13", "read " + name(index) + " misses " + acked_[i] +
                                                             ", acknowledged before it began");
        } else {
            require(o.outcome.at > o.known, "S13", "append " + name(index) + " was executed at slot " +
                                                       std::to_string(o.outcome.at.value) + ", before a call that had ended");
            acked_.push_back(o.id);
        }
        highest_ended_ = std::max(highest_ended_, o.outcome.at);
    }

    /// After everything has come to rest: S10, S11, S12 against the list that the group holds.
    void check_final(std::vector<std::string> const& list) const {
        std::map<std::string, int> count;
        for (auto const& id : list) ++count[id];
        for (auto const& [id, n] : count)
            require(n == 1, "S11", id + " was executed " + std::to_string(n) + " times");
        for (auto const& id : acked_) require(count.contains(id), "S10", id + " was acknowledged and is lost");
        for (std::size_t i = 0; i < operations.size(); ++i) {
            operation const& o = operations[i];
            if (!o.ended || o.id.empty() || o.outcome.ok()) continue;
            bool const no_effect = o.outcome.code != errc::outcome_unknown && o.outcome.code != errc::method_threw;
            require(!no_effect || !count.contains(o.id), "S12",
                    "append " + o.id + " ended with \"" + o.outcome.text + "\", and was executed");
        }
    }
    /// S12: no call outlives its deadline by more than what a tick takes. Calls of a crashed node end with it.
    void check_open(std::size_t index, sim_time now) const {
        operation const& o = operations[index];
        require(o.ended || now < o.deadline + second, "S12", "call " + name(index) + " has no outcome after its deadline");
    }
    [[nodiscard]] static std::string append_body(std::string const& id) { return "[\"append\",\"" + id + "\"]"; }
    [[nodiscard]] std::string name(std::size_t index) const {
        operation const& o = operations[index];
        return o.id.empty() ? "#" + std::to_string(index) : o.id;
    }

private:
    static std::uint64_t fingerprint(openreplica::paxos::value const& v) {
        return openreplica::hash64(v.body.view(), static_cast<std::uint64_t>(v.kind) + v.stamp.value);
    }
    /// S6: what is chosen was submitted, or is the library's own.
    void check_origin(openreplica::paxos::entry const& e) const {
        using openreplica::command_kind;
        std::string const where = "slot " + std::to_string(e.at.value);
        require(e.what.kind != openreplica::paxos::value_kind::configuration, "S6", where + " holds a configuration");
        if (e.what.kind == openreplica::paxos::value_kind::no_op) return;
        auto const command = openreplica::decode_envelope(e.what.body.view());
        require(command.has_value(), "S6", where + " holds a command that cannot be read");
        require(command->kind != command_kind::destroy && command->kind != command_kind::reset, "S6",
                where + " holds a command of a kind that nobody sent");
        require(command->kind != command_kind::call || bodies_.contains(command->body), "S6",
                where + " holds a call that nobody made: " + std::string(command->body));
    }
};

} // namespace simulation
