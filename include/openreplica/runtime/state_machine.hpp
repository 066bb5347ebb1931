// What the runtime asks of the replicated state. The object layer implements it; the runtime knows no JSON.
#pragma once

#include <openreplica/types/envelope.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/outcome.hpp>
#include <openreplica/types/unique_function.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace openreplica::inline v0::runtime {

/// What applying one command gave.
struct applied_command {
    session_id session;       ///< whose call it was; for `open_session` the new session
    sequence seq;             ///< which one
    std::uint64_t opener = 0; ///< for `open_session`: the opener's random number; otherwise 0
    bool stored = true;       ///< the session keeps the outcome: every other attempt of the call has the same
    call_outcome outcome;
};

/// A state as text, or the name of the object that could not be written.
struct written_state {
    std::optional<std::string> text;
    std::string obstacle; ///< empty: nothing stood in the way
};

/// A state as it was at one moment. Writing it needs neither the state machine nor the thread that applies; once.
using frozen_state = unique_function<written_state()>;

/// A read of the state as it is here: a const method, or whether an object exists.
struct state_query {
    bool exists = false;  ///< asks for existence; otherwise for a method
    std::string_view name; ///< of the object
    std::string_view type; ///< that it must have; empty: any
    std::string_view body; ///< `["method",arg…]`
};

/// The deterministic state that every replica builds from the same chosen commands.
///
/// @par Thread safety
/// One thread applies (`apply`, `freeze`, `restore`, `digest`, `next_deadline`); `check`, `query`, `catalogue` and the objects' own
/// read access are safe from any thread.
class state_machine {
public:
    virtual ~state_machine() = default;

    /// Applies the command at `at`, stamped `stamp` by its leader. Never throws: what a method throws is an outcome.
    ///
    /// @return nothing when this replica cannot apply the command, because it does not know its type or has no memory
    /// left: it must stop applying at this slot, never skip it. `stop_reason` says what to do.
    virtual std::optional<applied_command> apply(slot at, log_time stamp, envelope const& command) = 0;

    /// Why `apply` gave nothing, for the thread that applies; a zero code when it never did.
    [[nodiscard]] virtual call_outcome const& stop_reason() const = 0;

    /// The whole state after the last applied slot, ready to be written as JSON text elsewhere: the thread that applies
    /// only copies. An object without a JSON form, or one that JSON cannot hold, is an obstacle. Never throws.
    [[nodiscard]] virtual frozen_state freeze() const = 0;

    /// Replaces the whole state. False, and nothing changed, when `text` is no snapshot of this version's types.
    [[nodiscard]] virtual bool restore(std::string_view text) = 0;

    /// Hash chain over everything applied: equal at equal slots on healthy replicas.
    [[nodiscard]] virtual std::uint64_t digest() const = 0;

    /// When the earliest session expires on the log's clock, if there is one.
    [[nodiscard]] virtual std::optional<log_time> next_deadline() const = 0;

    /// Checks a command before it is proposed: a type and a method that this program knows, a well-formed body within
    /// limits. Once in the log, an unknown name would stop every replica. Runs no user code. Zero code when it may go.
    [[nodiscard]] virtual call_outcome check(envelope const& command) const = 0;

    /// The name in `catalogue` that applying a well-formed command needs; empty when it needs none that is not already
    /// part of the state.
    [[nodiscard]] virtual std::string needed_type(envelope const& command) const = 0;

    /// Reads the state. `at` of the outcome is the slot that the state had surely reached: what it shows is of no later one.
    /// Runs a const method of user code, whose exceptions are an outcome.
    [[nodiscard]] virtual call_outcome query(state_query const& q) const = 0;

    /// Fingerprints of the types that this program knows, for the handshake: `name` and its hash, sorted by name.
    struct type_print {
        std::string name;
        std::uint64_t fingerprint = 0;
        bool in_use = false; ///< the state has, or had, objects of it: who does not know it cannot apply the log
        bool operator==(type_print const&) const = default;
    };
    [[nodiscard]] virtual std::vector<type_print> catalogue() const = 0;
};

} // namespace openreplica::inline v0::runtime
