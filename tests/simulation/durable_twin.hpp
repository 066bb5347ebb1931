// What a node's storage must still know after a crash, kept in plain containers.
#pragma once

#include "oracle.hpp"

#include <openreplica/paxos/record.hpp>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace simulation {

/// Follows every record that was reported as durable, judges it, and compares it with what recovery finds.
class durable_twin {
public:
    struct held_entry {
        ballot under;
        std::uint64_t value = 0;
    };

private:
    oracle& oracle_;
    paxos::durable_state state_;
    std::map<slot, paxos::entry> entries_;
    std::map<slot, openreplica::epoch> stop_signs_; ///< among them
    slot durable_upto_;
    std::map<slot, held_entry> before_promise_; ///< what was held when the promise was written
    bool is_new_ = true;

public:
    node_id owner{};
    cluster_id cluster{};

    explicit durable_twin(oracle& o) : oracle_(o) {}

    [[nodiscard]] bool is_new() const { return is_new_; }
    void wipe() {
        state_ = {};
        entries_.clear();
        stop_signs_.clear();
        durable_upto_ = {};
        before_promise_.clear();
        is_new_ = true;
    }
    [[nodiscard]] paxos::durable_state state() const {
        paxos::durable_state s = state_;
        for (slot k = s.base.at.next(); entries_.contains(k); k = k.next()) s.entries.push_back(entries_.at(k));
        return s;
    }

    [[nodiscard]] ballot promised() const { return state_.promised; }
    /// The highest slot up to which everything is durable here.
    [[nodiscard]] slot durable_upto() const { return durable_upto_; }
    [[nodiscard]] slot base() const { return state_.base.at; }
    [[nodiscard]] paxos::entry const* find(slot s) const {
        auto const it = entries_.find(s);
        return it == entries_.end() ? nullptr : &it->second;
    }
    /// What was accepted before the latest promise.
    [[nodiscard]] std::map<slot, held_entry> const& before_promise() const { return before_promise_; }

    void take(paxos::record&& r) {
        is_new_ = false;
        std::visit([this](auto& body) { take(body); }, r);
    }
    void take(paxos::snapshot const& s) {
        if (s.at <= state_.base.at) return;
        entries_.erase(entries_.begin(), entries_.upper_bound(s.at));
        state_.base = s;
        extend();
    }

    /// S16: nothing that was durable is missing in what recovery found. What had not been reported may be there too: it
    /// is durable from now on. A snapshot that decayed may be replaced by an older one and the log.
    void compare(paxos::durable_state const& found, bool damaged) {
        require(found.promised >= state_.promised, "S16", "a durable promise is gone after a restart");
        slot const reach = found.entries.empty() ? found.base.at : found.entries.back().at;
        require(found.base.at >= state_.base.at || (damaged && reach >= state_.base.at), "S16",
                "a snapshot is gone after a restart");
        if (found.base.at < state_.base.at) state_.base = found.base;
        require(state_.group.cluster.empty() || found.group.cluster == state_.group.cluster || !state_.group_chosen, "S16",
                "a node has forgotten its group");
        std::map<slot, paxos::entry const*> there;
        for (paxos::entry const& e : found.entries) there.emplace(e.at, &e);
        for (auto const& [s, e] : entries_) {
            if (s <= found.base.at) continue;
            auto const it = there.find(s);
            require(it != there.end(), "S16", [&, s = s] { return "the durable entry of " + at_slot(s) + " is gone"; });
            require(it->second->accepted > e.accepted || *it->second == e, "S16",
                    [&, s = s] { return "another entry is in " + at_slot(s) + " than was durable"; });
        }
        take(found.base);
        std::vector<paxos::entry> more;
        for (paxos::entry const& e : found.entries)
            if (auto const* const held = find(e.at); held == nullptr || *held != e) more.push_back(e);
        // They were accepted in the order of their ballots, and before the latest promise.
        std::stable_sort(more.begin(), more.end(), [](auto const& a, auto const& b) { return a.accepted < b.accepted; });
        for (paxos::entry& e : more) {
            paxos::accept_record r{std::move(e)};
            take(r);
        }
        if (found.promised > state_.promised) take(paxos::promise_record{found.promised});
        state_.group = found.group;
        state_.group_chosen = found.group_chosen;
        state_.abandoned = found.abandoned;
        state_.chosen = found.chosen;
        state_.chosen_under = found.chosen_under;
    }

private:
    void take(paxos::promise_record const& p) {
        require(p.promised >= state_.promised, "S3", "a promise on disk was overwritten by a lower one");
        state_.promised = p.promised;
        if (votes* const g = oracle_.group(cluster)) g->on_durable_promise(owner, p.promised);
        before_promise_.clear();
        for (auto const& [s, e] : entries_)
            before_promise_.emplace_hint(before_promise_.end(), s, held_entry{e.accepted, fingerprint(e.what)});
    }
    void take(paxos::accept_record& a) {
        oracle_.on_durable_accept(cluster, owner, state_.promised, a.what, epoch_of(a.what.at));
        state_.promised = std::max(state_.promised, a.what.accepted);
        if (a.what.at <= state_.base.at) return;
        require(a.what.at <= durable_upto_.next(), "S9", "the durable log has a hole");
        slot const at = a.what.at;
        note_stop_sign(a.what);
        entries_[at] = std::move(a.what);
        extend();
    }
    void take(paxos::chosen_record const& c) {
        if (c.chosen <= state_.chosen) return;
        state_.chosen = c.chosen;
        state_.chosen_under = c.under;
    }
    void take(paxos::founding_record const& f) {
        using step = paxos::founding_record::step;
        if (f.what == step::accepted || f.what == step::chosen) {
            state_.group = f.first;
            state_.group_chosen = f.what == step::chosen;
        }
        if (f.what == step::abandoned) state_.abandoned.push_back(f.first.cluster);
        if (f.what == step::ended) state_.group = {};
    }
    /// The epoch that governs a slot, as the entries below it say.
    [[nodiscard]] openreplica::epoch epoch_of(slot s) const {
        for (auto it = stop_signs_.lower_bound(s); it != stop_signs_.begin();) {
            --it;
            if (it->first <= state_.base.at) break;
            return it->second;
        }
        return state_.base.at > slot{} ? state_.base.governing.number : state_.group.members.number;
    }
    void note_stop_sign(paxos::entry const& e) {
        stop_signs_.erase(e.at);
        if (e.what.kind == paxos::value_kind::configuration)
            stop_signs_[e.at] = paxos::decode_configuration(e.what.body.view())->number;
    }
    void extend() {
        durable_upto_ = std::max(durable_upto_, state_.base.at);
        while (entries_.contains(durable_upto_.next())) durable_upto_ = durable_upto_.next();
    }
};

} // namespace simulation
