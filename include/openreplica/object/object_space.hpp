// The replicated state: every object, every session, and the digest of all that was applied.
#pragma once

#include <openreplica/object/command_text.hpp>
#include <openreplica/object/context.hpp>
#include <openreplica/object/instance.hpp>
#include <openreplica/object/sessions.hpp>
#include <openreplica/object/type_registry.hpp>
#include <openreplica/runtime/state_machine.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace openreplica::inline v0::object {

/// What a node refuses before it proposes. It influences nothing that was proposed.
struct proposal_limits {
    std::size_t command_bytes = std::size_t{1} << 20; ///< of a command's JSON text
};

/// The deterministic state machine of the group: a directory of live objects and the table of sessions.
///
/// A command of a session runs if and only if the session is open, its number is not acknowledged, and no outcome is
/// stored for it. Every outcome of a command that had its turn is stored, so that a retry gets the same one. What a
/// method throws is an outcome; the object keeps what the method had changed, on every replica alike.
///
/// @par Thread safety
/// As `runtime::state_machine` says. `find`, `list`, `check`, `query`, `catalogue` and `read_context` are safe from any thread.
///
/// @par Errors
/// `apply` gives nothing for a type that this program does not know and when memory runs out in a method;
/// `stop_reason()` tells which. The replica must then apply no further: its state is no longer the group's.
class object_space final : public runtime::state_machine {
    using directory = std::unordered_map<object_id, std::shared_ptr<instance_base>>;

    type_registry const& registry_;
    proposal_limits limits_;
    mutable std::shared_mutex directory_mutex_; // Taken by the applying thread only to change the directory.
    directory objects_;
    std::set<std::string> used_types_; ///< and constructors; a name stays, because the log may still need it
    slot directory_changed_at_; ///< the last slot that made or ended an object
    session_table sessions_;
    log_time clock_;
    slot applied_;
    std::uint64_t digest_ = 0;
    std::shared_ptr<std::atomic<std::size_t>> snapshot_size_ = std::make_shared<std::atomic<std::size_t>>(0);
    call_outcome stop_reason_;
    // For readers on other threads.
    std::atomic<std::uint64_t> read_slot_ = 0;
    std::atomic<std::uint64_t> read_clock_ = 0;

    struct snapshot_access;

public:
    explicit object_space(type_registry const& registry = type_registry::global(), proposal_limits limits = {})
        : registry_(registry), limits_(limits) {}

    std::optional<runtime::applied_command> apply(slot at, log_time stamp, envelope const& command) override {
        // Stamps of different leaders may overlap; the log's clock does not go back.
        clock_ = std::max(clock_, stamp);
        runtime::applied_command done{command.session, command.seq, 0, true, {}};
        try {
            if (!run(at, command, done)) return std::nullopt;
        } catch (std::bad_alloc const&) {
            stop_reason_ = failed(errc::diverged, "out of memory while applying slot " + std::to_string(at.value) +
                                                      "; this replica stops, give it more memory and restart it");
            return std::nullopt;
        }
        applied_ = at;
        extend_digest(at, stamp, command, done.outcome);
        read_clock_.store(clock_.value, std::memory_order_relaxed);
        read_slot_.store(at.value, std::memory_order_release);
        return done;
    }

    [[nodiscard]] runtime::frozen_state freeze() const override;
    /// The same at once; nothing when an object stands in the way.
    [[nodiscard]] std::optional<std::string> snapshot() const { return freeze()().text; }
    [[nodiscard]] bool restore(std::string_view text) override;

    [[nodiscard]] std::uint64_t digest() const override { return digest_; }
    [[nodiscard]] std::optional<log_time> next_deadline() const override { return sessions_.next_deadline(); }
    [[nodiscard]] call_outcome check(envelope const& command) const override;
    [[nodiscard]] std::string needed_type(envelope const& command) const override;
    [[nodiscard]] std::vector<type_print> catalogue() const override {
        auto all = registry_.catalogue();
        std::shared_lock const lock(directory_mutex_);
        for (type_print& t : all) t.in_use = used_types_.contains(t.name);
        return all;
    }
    [[nodiscard]] call_outcome query(runtime::state_query const& q) const override;

    /// The object now in this replica's state, or null. It stays alive as long as the pointer, but a `destroy` or
    /// `reset` takes it out of the state: find it again for every read.
    [[nodiscard]] std::shared_ptr<instance_base> find(object_id id) const {
        std::shared_lock const lock(directory_mutex_);
        auto const at = objects_.find(id);
        return at == objects_.end() ? nullptr : at->second;
    }
    /// Every object now in this replica's state, by name.
    [[nodiscard]] std::vector<std::shared_ptr<instance_base const>> list() const;
    /// The same, as an object of type `T`.
    /// @throws error (`no_such_object`, `type_mismatch`)
    template <class T>
    [[nodiscard]] std::shared_ptr<instance<T> const> find(std::string_view name) const {
        auto found = find(object_id_of(name));
        if (!found || found->name() != name)
            throw error(errc::no_such_object, "\"" + std::string(name) +
                                                  "\" is not in this replica's state; it was "
                                                  "destroyed, or its creation is not applied yet");
        if (found->type().cpp_type != typeid(T))
            throw error(errc::type_mismatch, "\"" + std::string(name) + "\" exists with type " + found->type().name +
                                                 ", not " + type_name<T>());
        return std::static_pointer_cast<instance<T> const>(std::move(found));
    }
    /// The context of a read: the last applied slot and the log's clock then.
    [[nodiscard]] context read_context() const {
        slot const at{read_slot_.load(std::memory_order_acquire)};
        return {at, log_time{read_clock_.load(std::memory_order_relaxed)}, session_id{}};
    }
    /// The last applied slot, for the applying thread.
    [[nodiscard]] slot applied() const { return applied_; }
    [[nodiscard]] std::size_t open_sessions() const { return sessions_.size(); }
    /// For the applying thread.
    [[nodiscard]] session_table const& sessions() const { return sessions_; }
    [[nodiscard]] call_outcome const& stop_reason() const override { return stop_reason_; }

private:
    bool run(slot at, envelope const& command, runtime::applied_command& done);
    bool run_once(slot at, envelope const& command, call_outcome& outcome);
    bool run_object_command(slot at, envelope const& command, call_outcome& outcome);
    bool call(slot at, envelope const& command, call_outcome& outcome);
    bool create(slot at, envelope const& command, call_outcome& outcome);
    bool construct(slot at, envelope const& command, std::string name, std::string_view constructor,
                   argument_list args, call_outcome& outcome);
    void destroy(slot at, envelope const& command, call_outcome& outcome);
    void open_session(slot at, envelope const& command, runtime::applied_command& done);
    [[nodiscard]] call_outcome check_body(envelope const& command) const;
    [[nodiscard]] call_outcome check_call(envelope const& command) const;
    [[nodiscard]] call_outcome check_birth(envelope const& command) const;
    void extend_digest(slot at, log_time stamp, envelope const& command, call_outcome const& outcome);
    bool needs_upgrade(std::string what);
    void put(slot at, object_id id, std::shared_ptr<instance_base> object);
    void note_use(std::string const& constructor);
    [[nodiscard]] call_outcome query_method(instance_base const& object, std::string_view body) const;
};

} // namespace openreplica::inline v0::object

#include <openreplica/object/object_space_apply.hpp>
#include <openreplica/object/object_space_check.hpp>
#include <openreplica/object/object_space_query.hpp>
#include <openreplica/object/object_space_snapshot.hpp>
