// A durable storage in memory that takes its time, and forgets in a crash what it had not written.
#pragma once

#include "oracle.hpp"

#include <openreplica/storage/storage.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <variant>
#include <vector>

namespace simulation {

using openreplica::lsn;

class disk final : public openreplica::storage::storage {
    using item = std::variant<paxos::record, paxos::snapshot>;
    struct pending {
        std::vector<item> items;
        lsn last;
    };
    struct held_entry {
        ballot under;
        std::uint64_t value = 0;
    };
    world& world_;
    oracle& oracle_;
    bool at_once_; ///< diskless: durable means in memory, by declaration
    std::deque<pending> unsynced_;
    sim_time last_sync_ = 0;
    std::uint64_t life_ = 0; ///< reports of an earlier life are not delivered

    // What is durable.
    paxos::durable_state state_;
    std::map<slot, paxos::entry> entries_;
    slot durable_upto_;
    std::map<slot, held_entry> before_promise_; ///< what was held when the promise was written

public:
    std::function<void(lsn)> report; ///< to the engine of the current life
    node_id owner{};
    life_id writer{}; ///< the process that writes now
    cluster_id cluster{};

    disk(world& w, oracle& o, bool at_once) : world_(w), oracle_(o), at_once_(at_once) {}

    void append(std::span<paxos::record const> records, lsn last) override {
        // What a leader has written of its own is on its way.
        for (auto const& r : records)
            if (auto const* a = std::get_if<paxos::accept_record>(&r)) oracle_.on_sent(a->what.what.body.view(), writer);
        write({records.begin(), records.end()}, last);
    }
    void keep(paxos::snapshot const& s, lsn last) override { write({s}, last); }

    /// The process dies. Of what was not reported some may have reached the disk, in order.
    void crash() {
        ++life_;
        std::vector<item> lost;
        for (pending& p : unsynced_)
            for (item& i : p.items) lost.push_back(std::move(i));
        unsynced_.clear();
        lost.resize(world_.rng.below(lost.size() + 1));
        for (item& i : lost) keep_item(i);
    }
    /// Another machine, or one that keeps nothing: everything is gone. What was being written is written by nobody.
    void wipe() {
        ++life_;
        if (!unsynced_.empty())
            world_.after(0, [this, last = unsynced_.back().last, life = life_] {
                if (report && life == life_) report(last);
            });
        unsynced_.clear();
        state_ = {};
        entries_.clear();
        durable_upto_ = {};
        before_promise_.clear();
    }
    [[nodiscard]] paxos::durable_state recover() override {
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

private:
    void write(std::vector<item> items, lsn last) {
        if (at_once_) {
            for (item& i : items) keep_item(i);
            if (report) report(last);
            return;
        }
        unsynced_.push_back({std::move(items), last});
        sim_time const range = world_.healed ? 300 : world_.config.disk_delay;
        last_sync_ = std::max(last_sync_, world_.now + static_cast<sim_time>(world_.rng.below(static_cast<std::uint64_t>(range))));
        if (!world_.healed && world_.config.has(fault::slow_disk)) world_.fire(fault::slow_disk);
        world_.at(last_sync_, [this, life = life_] {
            if (life == life_) sync();
        });
    }
    void sync() {
        pending p = std::move(unsynced_.front());
        unsynced_.pop_front();
        for (item& i : p.items) keep_item(i);
        if (report) report(p.last);
    }
    void keep_item(item& i) {
        std::visit([this](auto& body) { take(body); }, i);
    }
    void take(paxos::record& r) {
        std::visit([this](auto& body) { take(body); }, r);
    }
    void take(paxos::snapshot& s) {
        if (s.at <= state_.base.at) return;
        entries_.erase(entries_.begin(), entries_.upper_bound(s.at));
        state_.base = s;
        extend();
    }
    void take(paxos::promise_record const& p) {
        require(p.promised >= state_.promised, "S3", "a promise on disk was overwritten by a lower one");
        state_.promised = p.promised;
        if (votes* const g = oracle_.group(cluster)) g->on_durable_promise(owner, p.promised);
        before_promise_.clear();
        for (auto const& [s, e] : entries_)
            before_promise_.emplace_hint(before_promise_.end(), s, held_entry{e.accepted, fingerprint(e.what)});
    }
    void take(paxos::accept_record& a) {
        oracle_.on_durable_accept(cluster, owner, state_.promised, a.what);
        state_.promised = std::max(state_.promised, a.what.accepted);
        if (a.what.at <= state_.base.at) return;
        require(a.what.at <= durable_upto_.next(), "S9", "the durable log has a hole");
        slot const at = a.what.at;
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
        if (f.what == step::accepted) {
            state_.group = f.first;
            state_.group_chosen = false;
        }
        if (f.what == step::chosen) state_.group_chosen = true;
        if (f.what == step::abandoned) state_.abandoned.push_back(f.first.cluster);
        if (f.what == step::ended) state_.group = {};
    }
    void extend() {
        durable_upto_ = std::max(durable_upto_, state_.base.at);
        while (entries_.contains(durable_upto_.next())) durable_upto_ = durable_upto_.next();
    }
};

} // namespace simulation
