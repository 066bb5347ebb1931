// The shipping objects and sessions, watched at every command.
#pragma once

#include "oracle.hpp"

#include <openreplica/object/command_text.hpp>
#include <openreplica/object/macros.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/runtime/state_machine.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace simulation {

namespace runtime = openreplica::runtime;

/// What the callers share: the order and the number of what was appended show everything.
class append_list {
    std::vector<std::string> items;

public:
    int append(std::string const& id) {
        items.push_back(id);
        return static_cast<int>(items.size());
    }
    /// What a method changed before it threw stays changed.
    void append_and_throw(std::string const& id) {
        items.push_back(id);
        throw std::runtime_error("thrown on purpose");
    }
    std::vector<std::string> const& all() const { return items; }
    OPENREPLICA_METHODS(append_list, append, append_and_throw, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(append_list, items)
};

/// One replica's state machine. It must be given the commands of the chosen log, all of them, in order, and each must do
/// what it does in the twin; now and then, and after every restore, the whole state is compared.
class checked_machine final : public runtime::state_machine {
    static constexpr std::uint64_t compare_every = 128;

    openreplica::object::object_space space_;
    oracle& oracle_;
    life_id where_;
    slot last_;

public:
    checked_machine(oracle& o, life_id where) : oracle_(o), where_(where) {}

    std::optional<runtime::applied_command> apply(slot at, openreplica::log_time stamp,
                                                  openreplica::envelope const& command) override {
        require(at == oracle_.next_command(last_), "S7", [&] {
            return at_slot(at) + " was applied after " + at_slot(last_) + ", which is not the next command";
        });
        auto done = space_.apply(at, stamp, command);
        require(done.has_value(), "S7", [&] { return at_slot(at) + " cannot be applied: " + space_.stop_reason().text; });
        last_ = at;
        oracle_.on_executed(at, *done, where_);
        if (at.value % compare_every == 0) (void)snapshot();
        return done;
    }
    /// It is written later, while others are applied, and must be the state of this moment all the same.
    runtime::frozen_state freeze() const override {
        return [state = space_.freeze(), at = last_, &o = oracle_]() mutable {
            runtime::written_state w = state();
            if (w.text && at > slot{}) o.on_state(at, *w.text);
            return w;
        };
    }
    std::optional<std::string> snapshot() const { return freeze()().text; }
    bool restore(std::string_view text) override {
        if (!space_.restore(text)) return false;
        require(space_.applied() >= last_, "S18", "a snapshot took the state back");
        last_ = space_.applied();
        auto const now = space_.snapshot();
        require(now == text, "S8", [&] { return "the state after a snapshot of " + at_slot(last_) + " is not what it holds"; });
        oracle_.on_state(last_, *now);
        return true;
    }
    std::uint64_t digest() const override { return space_.digest(); }
    std::optional<openreplica::log_time> next_deadline() const override { return space_.next_deadline(); }
    call_outcome check(openreplica::envelope const& command) const override { return space_.check(command); }
    std::string needed_type(openreplica::envelope const& command) const override { return space_.needed_type(command); }
    std::vector<type_print> catalogue() const override { return space_.catalogue(); }
    call_outcome query(runtime::state_query const& q) const override { return space_.query(q); }
    call_outcome const& stop_reason() const override { return space_.stop_reason(); }

    /// The last command that was applied here.
    [[nodiscard]] slot last() const { return last_; }
    template <class F>
    void with_list(F f) const {
        auto const found = space_.find<append_list>("list");
        found->read([&](append_list const& l) { f(l.all()); });
    }
};

} // namespace simulation
