// A durable storage in memory that takes its time, and forgets in a crash what it had not reported.
#pragma once

#include "world.hpp"

#include <openreplica/storage/storage.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <variant>
#include <vector>

namespace simulation {

namespace paxos = openreplica::paxos;
using openreplica::lsn;
using openreplica::slot;

class disk final : public openreplica::storage::storage {
    using item = std::variant<paxos::record, paxos::snapshot>;
    struct pending {
        std::vector<item> items;
        lsn last;
    };
    world& world_;
    std::deque<pending> unsynced_;
    sim_time last_sync_ = 0;
    std::uint64_t life_ = 0; ///< reports of an earlier life are not delivered

    // What is durable.
    paxos::durable_state state_;
    std::map<slot, paxos::entry> entries_;
    std::map<slot, openreplica::ballot> before_promise_; ///< what was held when the promise was written

public:
    std::function<void(lsn)> report; ///< to the engine of the current life

    explicit disk(world& w) : world_(w) {}

    void append(std::span<paxos::record const> records, lsn last) override {
        write({records.begin(), records.end()}, last);
    }
    void keep(paxos::snapshot const& s, lsn last) override { write({s}, last); }

    /// The process dies: what was not reported is gone.
    void crash() {
        ++life_;
        unsynced_.clear();
    }
    [[nodiscard]] paxos::durable_state recover() override {
        paxos::durable_state s = state_;
        for (slot k = s.base.at.next(); entries_.contains(k); k = k.next()) s.entries.push_back(entries_.at(k));
        return s;
    }

    [[nodiscard]] openreplica::ballot promised() const { return state_.promised; }
    /// The highest slot up to which everything is durable here.
    [[nodiscard]] slot durable_upto() const {
        slot s = state_.base.at;
        while (entries_.contains(s.next())) s = s.next();
        return s;
    }
    /// The slots, with their ballots, that were accepted before the latest promise.
    [[nodiscard]] std::map<slot, openreplica::ballot> const& before_promise() const { return before_promise_; }
    /// Another machine, or one that keeps nothing: everything is gone.
    void wipe() {
        crash();
        state_ = {};
        entries_.clear();
        before_promise_.clear();
    }

private:
    void write(std::vector<item> items, lsn last) {
        unsynced_.push_back({std::move(items), last});
        sim_time const range = world_.healed ? 300 : world_.config.disk_delay;
        last_sync_ = std::max(last_sync_, world_.now + static_cast<sim_time>(world_.rng.below(static_cast<std::uint64_t>(range))));
        if (!world_.healed && world_.config.has(fault::slow_disk)) world_.fire(fault::slow_disk);
        world_.at(last_sync_, [this, life = life_] {
            if (life == life_) sync_one();
        });
    }
    void sync_one() {
        pending p = std::move(unsynced_.front());
        unsynced_.pop_front();
        for (item& i : p.items) std::visit([this](auto& body) { keep_item(body); }, i);
        if (report) report(p.last);
    }
    void keep_item(paxos::snapshot& s) {
        if (s.at <= state_.base.at) return;
        state_.base = s;
        std::erase_if(entries_, [&](auto const& e) { return e.first <= s.at; });
    }
    void keep_item(paxos::record& r) {
        if (auto* p = std::get_if<paxos::promise_record>(&r)) {
            require(p->promised >= state_.promised, "S3", "a promise on disk was overwritten by a lower one");
            state_.promised = p->promised;
            before_promise_.clear();
            for (auto const& [s, e] : entries_) before_promise_.emplace_hint(before_promise_.end(), s, e.accepted);
        } else if (auto* a = std::get_if<paxos::accept_record>(&r)) {
            state_.promised = std::max(state_.promised, a->what.accepted);
            if (a->what.at > state_.base.at) entries_[a->what.at] = a->what;
        } else if (auto* f = std::get_if<paxos::founding_record>(&r)) {
            if (f->what == paxos::founding_record::step::abandoned) {
                state_.abandoned.push_back(f->first.cluster);
                if (state_.group.cluster == f->first.cluster) state_.group = {};
            } else {
                state_.group = f->first;
                state_.group_chosen = f->what == paxos::founding_record::step::chosen;
            }
        }
    }
};

} // namespace simulation
