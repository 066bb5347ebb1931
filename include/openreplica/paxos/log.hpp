// The part of the log that a node holds in memory.
#pragma once

#include <openreplica/paxos/value.hpp>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace openreplica::inline v0::paxos {

/// Accepted entries, contiguous from `first()` to `last()`; those up to `chosen()` are chosen and never change.
///
/// @par Invariants
/// @li `trimmed() <= chosen() <= last()`.
/// @li No holes: contiguous accepts (rule C) and catch-up in order leave none.
class log {
    struct item {
        ballot accepted;
        value what;
    };
    std::deque<item> items_;
    slot trimmed_;
    slot chosen_;
    std::uint64_t weight_ = 0; ///< of all items

    [[nodiscard]] std::size_t index_of(slot s) const {
        assert(holds(s));
        return static_cast<std::size_t>(s.since(first()));
    }
    void pop_front() {
        weight_ -= items_.front().what.weight();
        items_.pop_front();
        trimmed_ = trimmed_.next();
    }

public:
    /// Everything up to here is gone; a snapshot holds it.
    [[nodiscard]] slot trimmed() const { return trimmed_; }
    [[nodiscard]] slot first() const { return trimmed_.next(); }
    [[nodiscard]] slot last() const { return trimmed_.plus(items_.size()); }
    [[nodiscard]] slot chosen() const { return chosen_; }
    [[nodiscard]] bool holds(slot s) const { return s > trimmed_ && s <= last(); }
    [[nodiscard]] ballot const& ballot_at(slot s) const { return items_[index_of(s)].accepted; }
    [[nodiscard]] value const& value_at(slot s) const { return items_[index_of(s)].what; }
    [[nodiscard]] entry entry_at(slot s) const { return {s, ballot_at(s), value_at(s)}; }
    /// What its values weigh.
    [[nodiscard]] std::uint64_t weight() const { return weight_; }
    /// What is above this slot weighs at most so much.
    [[nodiscard]] slot reach_of(std::uint64_t bytes) const {
        std::uint64_t left = weight_;
        slot s = trimmed_;
        for (auto it = items_.begin(); left > bytes; ++it, s = s.next()) left -= it->what.weight();
        return s;
    }

    /// Stores an entry at `s`, which is above `chosen()` and at most one past `last()`.
    void put(slot s, ballot b, value v) {
        assert(s > chosen_ && s <= last().next());
        if (s == last().next())
            items_.emplace_back();
        else
            weight_ -= value_at(s).weight();
        weight_ += v.weight();
        items_[index_of(s)] = {b, std::move(v)};
    }

    /// Everything up to `s`, which is held, is chosen.
    void choose(slot s) {
        assert(s >= chosen_ && s <= last());
        chosen_ = s;
    }

    /// Forgets the chosen entries up to `s`.
    void trim(slot s) {
        assert(s <= chosen_);
        while (trimmed_ < s) pop_front();
    }

    /// A snapshot holds everything up to `s`, which is above `chosen()`. What was accepted above it is kept.
    void install(slot s) {
        while (trimmed_ < s && !items_.empty()) pop_front();
        trimmed_ = s;
        chosen_ = s;
    }
};

} // namespace openreplica::inline v0::paxos
