// The part of the log that a node holds in memory.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/value.hpp>
#include <openreplica/types/mutation.hpp>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <utility>

namespace openreplica::inline v0::paxos {

/// Accepted entries, contiguous from `first()` to `last()`; those up to `chosen()` are chosen and never change.
///
/// @par Invariants
/// @li `trimmed() <= chosen() <= last()`.
/// @li No holes: contiguous accepts (rule C) and catch-up in order leave none.
///
/// @par Configurations
/// An entry that holds a configuration ends the one before: it governs the slots above its own, until the next such entry.
class log {
    struct item {
        ballot accepted;
        value what;
    };
    std::deque<item> items_;
    slot trimmed_;
    slot chosen_;
    std::uint64_t weight_ = 0; ///< of all items
    configuration base_;                        ///< governs `first()`
    std::map<slot, configuration> stop_signs_;  ///< the entries that hold configurations

    [[nodiscard]] std::size_t index_of(slot s) const {
        assert(holds(s));
        return static_cast<std::size_t>(s.since(first()));
    }
    void forget_stop_signs(configuration base, slot upto) {
        base_ = std::move(base);
        stop_signs_.erase(stop_signs_.begin(), stop_signs_.upper_bound(upto));
    }
    void pop_front() {
        weight_ -= items_.front().what.weight();
        items_.pop_front();
        trimmed_ = trimmed_.next();
    }

public:
    log() = default;
    /// @param first the configuration that the group was founded with
    explicit log(configuration first) : base_(std::move(first)) {}

    /// Everything up to here is gone; a snapshot holds it.
    [[nodiscard]] slot trimmed() const { return trimmed_; }
    [[nodiscard]] slot first() const { return trimmed_.next(); }
    [[nodiscard]] slot last() const { return trimmed_.plus(items_.size()); }
    [[nodiscard]] slot chosen() const { return chosen_; }
    [[nodiscard]] bool holds(slot s) const { return s > trimmed_ && s <= last(); }
    [[nodiscard]] ballot const& ballot_at(slot s) const { return items_[index_of(s)].accepted; }
    [[nodiscard]] value const& value_at(slot s) const { return items_[index_of(s)].what; }
    [[nodiscard]] entry entry_at(slot s) const { return {s, ballot_at(s), value_at(s)}; }
    /// The configuration of the slot `s`, which is above `trimmed()`, as the entries below it say.
    [[nodiscard]] configuration const& governing(slot s) const {
        auto const it = stop_signs_.lower_bound(s);
        return it == stop_signs_.begin() ? base_ : std::prev(it)->second;
    }
    /// The configuration of the first slot that is not chosen here.
    [[nodiscard]] configuration const& governing() const {
        return governing(OPENREPLICA_MUTANT(accepted_stop_sign_governs) ? last().next() : chosen_.next());
    }
    /// The slot of the entry that made `governing()`; a slot up to `trimmed()` when that entry is gone.
    [[nodiscard]] slot governs_since() const {
        auto const it = stop_signs_.upper_bound(chosen_);
        return it == stop_signs_.begin() ? trimmed_ : std::prev(it)->first;
    }
    /// The first stop-sign that is held and not known to be chosen; null if there is none.
    [[nodiscard]] std::pair<slot const, configuration> const* open_stop_sign() const {
        auto const it = stop_signs_.upper_bound(chosen_);
        return it == stop_signs_.end() ? nullptr : &*it;
    }

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
        stop_signs_.erase(s);
        if (v.kind == value_kind::configuration)
            if (auto c = decode_configuration(v.body.view())) stop_signs_.emplace(s, *std::move(c));
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
        slot const from = OPENREPLICA_MUTANT(trim_forgets_stop_sign) ? first() : s.next();
        if (s > trimmed_) forget_stop_signs(governing(from), s);
        while (trimmed_ < s) pop_front();
    }

    /// A snapshot holds everything up to `s`, which is above `chosen()`, and says what governs the next slot. What was
    /// accepted above it is kept.
    void install(slot s, configuration governing) {
        forget_stop_signs(std::move(governing), s);
        while (trimmed_ < s && !items_.empty()) pop_front();
        trimmed_ = s;
        chosen_ = s;
    }
};

} // namespace openreplica::inline v0::paxos
