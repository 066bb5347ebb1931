// What must hold whatever happens: the history of calls, the chosen log and every replica's state, checked against one
// another as they come.
#pragma once

#include "twin.hpp"

#include <openreplica/object/object_space.hpp>
#include <openreplica/types/outcome.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace simulation {

using openreplica::call_outcome;

/// One call of a simulated caller.
struct operation {
    std::string id{}; ///< what an append appends; empty for a read
    life_id caller{};
    sim_time invoked = 0;
    sim_time deadline = 0;
    std::optional<sim_time> ended{};
    call_outcome outcome{};
    slot known{};                         ///< the highest slot of any call that had ended when this one began
    bool sent = false;                    ///< its command left the caller's engine
    std::optional<sim_time> answered{};   ///< when the caller's own replica knew how it ended
    slot executed{};                      ///< where it had its effect
};

class oracle {
    world& world_;
    std::map<cluster_id, votes> groups_;
    std::vector<paxos::entry> log_;           ///< every chosen entry, in order
    std::vector<slot> commands_;              ///< the slots that hold commands
    twin twin_;
    std::unordered_map<std::uint64_t, std::size_t> by_body_; ///< hash of an append's body → operation
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> numbered_; ///< (session, number) → hash of the body
    std::map<std::uint64_t, life_id> session_owner_;
    std::map<slot, std::uint64_t> states_;    ///< hash of the canonical state after a slot
    std::map<slot, std::uint64_t> digests_;
    slot highest_ended_;
    std::vector<std::size_t> acked_;

public:
    std::vector<operation> operations;
    std::size_t acknowledged = 0;
    std::size_t unknown = 0; ///< calls that ended with `outcome_unknown`

    explicit oracle(world& w) : world_(w) {}

    // ---- groups and votes

    /// A node belongs to a group from now on.
    void on_joined(cluster_id cluster, paxos::configuration const& voters) {
        groups_.try_emplace(cluster, voters).first->second.check_known(voters);
    }
    [[nodiscard]] votes* group(cluster_id cluster) {
        auto const it = groups_.find(cluster);
        return it == groups_.end() ? nullptr : &it->second;
    }
    /// The group that has chosen something: there is at most one.
    [[nodiscard]] votes* living_group() {
        votes* found = nullptr;
        for (auto& [id, v] : groups_)
            if (v.has_chosen()) found = &v;
        return found;
    }
    /// @param of the epoch that governs the entry's slot, as the voter's own log says
    void on_durable_accept(cluster_id cluster, node_id voter, ballot const& promised, paxos::entry const& e, openreplica::epoch of) {
        votes* const g = group(cluster);
        require(g != nullptr, "S14", "a value was accepted by a node without a group");
        g->on_durable_accept(voter, promised, e, of);
        for (auto const& [id, other] : groups_)
            require(id == cluster || !other.has_chosen() || !g->has_chosen(), "S1", "two groups have chosen entries");
    }

    // ---- the log

    /// A node hands an entry to its state machine.
    void on_delivered(cluster_id cluster, paxos::entry const& e) {
        group(cluster)->on_delivered(e);
        if (e.at.value <= log_.size()) return;
        require(e.at.value == log_.size() + 1, "S7", [&] { return at_slot(e.at) + " was delivered before those below it"; });
        log_.push_back(e);
        if (e.what.kind == paxos::value_kind::command) commands_.push_back(e.at);
        check_origin(e);
    }
    /// The first slot above `s` that holds a command.
    [[nodiscard]] slot next_command(slot s) const {
        auto const it = std::upper_bound(commands_.begin(), commands_.end(), s);
        return it == commands_.end() ? slot{~std::uint64_t{0}} : *it;
    }
    [[nodiscard]] twin const& plain() const { return twin_; }

    // ---- replicas

    /// S7, S8, S11: a replica has applied the command of a slot, and its twin has done the same.
    void on_executed(slot at, openreplica::runtime::applied_command const& done, life_id where) {
        while (twin_.at() < at) advance();
        twin::deed const& d = twin_.deed_at(at);
        bool const same = done.outcome.code == d.code && done.outcome.result == d.result;
        require(same || !d.repeated, "S11", [&] { return at_slot(at) + " repeats a command, and it was executed again"; });
        require(same || d.code != errc::not_executed, "S12",
                [&] { return at_slot(at) + " holds a command whose deadline had passed, and it was executed"; });
        require(same, "S8", [&] {
            return at_slot(at) + " gave \"" + done.outcome.result + done.outcome.text + "\", its twin gave \"" + d.result + "\"";
        });
        if (operation* const op = operation_of(log_[at.value - 1]); op != nullptr && op->caller == where) {
            bool const definite = d.code != errc::session_expired && d.code != errc::outcome_unknown;
            if (definite && !op->answered) op->answered = world_.now;
        }
    }
    /// S8: the canonical state after `at`, the same on every replica and as the twin has it.
    void on_state(slot at, std::string const& text) {
        auto const [it, first] = states_.emplace(at, openreplica::hash64(text));
        require(first || it->second == openreplica::hash64(text), "S8",
                [&] { return "two replicas have different states after " + at_slot(at); });
        if (!first || twin_.at() != at) return;
        auto const what = twin_.difference(text);
        require(what.empty(), what.starts_with("session") ? "S11" : "S8",
                [&] { return what + " differs from what the log says, after " + at_slot(at); });
    }
    void on_digest(slot at, std::uint64_t digest) {
        if (at == slot{}) return;
        auto const [it, first] = digests_.emplace(at, digest);
        require(first || it->second == digest, "S8", [&] { return "two replicas differ after " + at_slot(at); });
    }

    // ---- calls

    std::size_t begin(std::string id, std::string const& body, life_id caller, sim_time deadline) {
        if (!id.empty()) by_body_.emplace(openreplica::hash64(body), operations.size());
        operation o;
        o.id = std::move(id);
        o.caller = caller;
        o.invoked = world_.now;
        o.deadline = deadline;
        o.known = highest_ended_;
        operations.push_back(std::move(o));
        return operations.size() - 1;
    }
    /// A command has left the engine of the process that made it.
    void on_sent(std::string_view command, life_id by) {
        auto const e = openreplica::decode_envelope(command);
        if (!e || e->kind != openreplica::command_kind::call) return;
        auto const it = by_body_.find(openreplica::hash64(e->body));
        if (it != by_body_.end() && operations[it->second].caller == by) operations[it->second].sent = true;
    }
    /// An update has its outcome: S10, S12 and, by witness, S13: the slots order the calls, so the order of time must agree.
    void end_append(std::size_t index, call_outcome outcome) {
        operation& o = end(index, std::move(outcome));
        if (o.outcome.code == errc::outcome_unknown) {
            ++unknown;
            require(o.sent, "S12", [&] { return name(index) + " has an unknown outcome, and was never sent"; });
            require(!o.answered || *o.answered + second / 5 > world_.now, "S12",
                    [&] { return name(index) + " has an unknown outcome, and its own replica knew how it ended"; });
        }
        require(o.outcome.code != errc::overloaded || world_.config.may_be_narrow() || world_.window_full_at >= o.invoked, "S12",
                [&] { return name(index) + " was refused for lack of room, and there was room"; });
        bool const ran = o.outcome.ok() || o.outcome.code == errc::method_threw;
        require(ran || o.outcome.code == errc::outcome_unknown || o.executed == slot{}, "S12",
                [&] { return name(index) + " ended with \"" + o.outcome.text + "\", and was executed"; });
        if (!ran) return;
        ++acknowledged;
        require(o.executed != slot{}, "S10", [&] { return name(index) + " was acknowledged, and the log does not hold it"; });
        if (o.outcome.ok()) {
            require(o.outcome.at == o.executed && o.outcome.result == twin_.deed_at(o.executed).result, "S13",
                    [&] { return name(index) + " returned \"" + o.outcome.result + "\", which is not what it did"; });
        }
        require(o.executed > o.known, "S13", [&] {
            return name(index) + " was executed at " + at_slot(o.executed) + ", before a call that had ended";
        });
        acked_.push_back(index);
        highest_ended_ = std::max(highest_ended_, o.executed);
    }
    /// A read has its outcome; on success `list` is what it saw at a replica that had applied `applied`.
    void end_read(std::size_t index, call_outcome outcome, std::vector<std::string> const* list, slot applied) {
        operation& o = end(index, std::move(outcome));
        require(o.outcome.code != errc::outcome_unknown, "S12", [&] { return name(index) + " is a read: it has no effect"; });
        if (!o.outcome.ok()) return;
        ++acknowledged;
        require(o.outcome.at >= o.known, "S13", [&] {
            return name(index) + " was served at " + at_slot(o.outcome.at) + ", behind " + at_slot(o.known) + " that it had to see";
        });
        require(twin_.length_at(std::min(applied, twin_.at())) >= twin_.length_at(std::min(o.outcome.at, twin_.at())), "S13",
                [&] { return name(index) + " was served before its read point was applied"; });
        require(twin_.held(applied, *list), "S13", [&] { return name(index) + " saw what the list never was"; });
        highest_ended_ = std::max(highest_ended_, o.outcome.at);
    }
    /// S12: no call outlives its deadline by more than what a tick takes. Calls of a crashed node end with it.
    void check_open(std::size_t index) const {
        operation const& o = operations[index];
        require(o.ended || world_.now < o.deadline + second, "S12",
                [&] { return name(index) + " has no outcome after its deadline"; });
    }
    /// S10 and S11 at the end: what was acknowledged is there, and everything is there once.
    void check_final() const {
        std::set<std::string_view> seen;
        for (std::string const& id : twin_.items())
            require(seen.insert(id).second, "S11", [&] { return id + " was executed twice"; });
        for (std::size_t const i : acked_)
            require(seen.contains(operations[i].id), "S10", [&] { return name(i) + " was acknowledged and is lost"; });
    }
    [[nodiscard]] std::string name(std::size_t index) const {
        operation const& o = operations[index];
        return o.id.empty() ? "read #" + std::to_string(index) : "append " + o.id;
    }

private:
    operation& end(std::size_t index, call_outcome outcome) {
        operation& o = operations[index];
        require(!o.ended, "S12", [&] { return name(index) + " ended twice"; });
        o.ended = world_.now;
        o.outcome = std::move(outcome);
        return o;
    }
    operation* operation_of(paxos::entry const& e) {
        auto const command = openreplica::decode_envelope(e.what.body.view());
        if (!command || command->kind != openreplica::command_kind::call) return nullptr;
        auto const it = by_body_.find(openreplica::hash64(command->body));
        return it == by_body_.end() ? nullptr : &operations[it->second];
    }
    void advance() {
        twin_.apply(log_[twin_.at().value]);
        twin::deed const& d = twin_.deed_at(twin_.at());
        if (d.appended.empty()) return;
        operation* const op = operation_of(log_[twin_.at().value - 1]);
        require(op->executed == slot{}, "S11", [&] { return op->id + " was executed twice"; });
        op->executed = twin_.at();
        bool const denied = op->ended && !op->outcome.ok() && op->outcome.code != errc::outcome_unknown &&
                            op->outcome.code != errc::method_threw;
        require(!denied, "S12", [&] { return "append " + op->id + " ended with \"" + op->outcome.text + "\", and was executed"; });
    }
    /// S6: what is chosen is the library's own, or a call that somebody made, under the session and number of its maker.
    void check_origin(paxos::entry const& e) {
        using openreplica::command_kind;
        if (e.what.kind != paxos::value_kind::command) return; // Configurations are the business of `votes`.
        auto const c = openreplica::decode_envelope(e.what.body.view());
        require(c.has_value(), "S6", [&] { return at_slot(e.at) + " holds a command that cannot be read"; });
        require(c->kind != command_kind::destroy && c->kind != command_kind::reset, "S6",
                [&] { return at_slot(e.at) + " holds a command of a kind that nobody sent"; });
        if (c->kind != command_kind::call && c->kind != command_kind::create) return;
        auto const body = openreplica::hash64(c->body);
        auto const [it, first] = numbered_.emplace(std::pair(c->session.value, c->seq.value), body);
        require(first || it->second == body, "S6", [&] { return at_slot(e.at) + " gives a call's number to another call"; });
        if (c->kind == command_kind::create) return;
        operation const* const op = operation_of(e);
        require(op != nullptr, "S6", [&] { return at_slot(e.at) + " holds a call that nobody made: " + std::string(c->body); });
        auto const owner = session_owner_.emplace(c->session.value, op->caller).first;
        require(owner->second == op->caller, "S6", [&] { return at_slot(e.at) + " holds a call under somebody else's session"; });
    }
};

} // namespace simulation
