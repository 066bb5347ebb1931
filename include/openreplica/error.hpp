// What can go wrong, by name.
#pragma once

#include <exception>
#include <string>
#include <system_error>

namespace openreplica::inline v0 {

/// Why a call, or a node, failed.
///
/// The numbers are stored in the log with outcomes and travel between versions: new codes are appended, none changes.
enum class errc : int {
    // The call had no effect.
    not_executed = 1,   ///< provably not run: no group was reachable, or its deadline had passed when it was ordered
    bad_arguments = 2,  ///< an argument does not fit the declared type
    overloaded = 3,     ///< a bounded queue or window is full; nothing was sent
    no_such_object = 4, ///< the object does not exist (it was destroyed)
    type_mismatch = 5,  ///< an object of this name exists with another type
    needs_upgrade = 6,  ///< a type or method that a member of the group does not know
    too_large = 7,      ///< the command exceeds a limit of the node
    no_such_method = 8, ///< the object's type has no method of this name
    would_deadlock = 9, ///< a blocking call on a thread that the node needs to make progress
    stopped = 10,       ///< the node was stopped, or its handle was moved from
    cancelled = 11,     ///< cancelled before it was sent
    change_refused = 12, ///< the group's voters, or its leader, were left as they are; the text says what stands in the way
    // The call ran.
    method_threw = 20, ///< the method threw; the text is the exception's
    bad_result = 21,   ///< the method ran, but its result cannot be encoded
    // Nobody can tell.
    outcome_unknown = 30, ///< sent, but neither its result nor the proof of its absence arrived in time
    // The session or the node.
    session_expired = 40, ///< the session ended before the call was ordered
    storage_failed = 41,  ///< the disk failed; this node no longer votes
    storage_full = 42,    ///< no room to accept updates; resumes by itself
    diverged = 43,        ///< this replica's state differs from the majority's
    // Configuration.
    bad_option = 60,    ///< a node option is wrong; the text names it
    address_in_use = 61, ///< the listen address is taken
    refused = 62,       ///< the group refused this node; the text says why
    not_supported = 63, ///< an option that this version does not implement
    malformed = 64,     ///< bytes of a peer or a file that are no message
};

/// The category of `errc`: name "openreplica".
[[nodiscard]] inline std::error_category const& error_category() noexcept {
    struct category final : std::error_category {
        char const* name() const noexcept override { return "openreplica"; }
        std::string message(int value) const override {
            switch (static_cast<errc>(value)) {
            case errc::not_executed: return "the call was not executed";
            case errc::bad_arguments: return "an argument does not fit the declared type";
            case errc::overloaded: return "a bounded queue is full; nothing was sent, try again later";
            case errc::no_such_object: return "the object does not exist";
            case errc::type_mismatch: return "an object of this name exists with another type";
            case errc::needs_upgrade: return "a member of the group does not know this type or method";
            case errc::too_large: return "the command exceeds a limit of the node";
            case errc::no_such_method: return "the object's type has no such method";
            case errc::would_deadlock: return "a blocking call on a thread that the node needs";
            case errc::stopped: return "the node has stopped";
            case errc::cancelled: return "the operation was cancelled";
            case errc::change_refused: return "the group's voters or leader cannot be changed so";
            case errc::method_threw: return "the method threw";
            case errc::bad_result: return "the result cannot be encoded";
            case errc::outcome_unknown: return "the call was sent, but its outcome is unknown";
            case errc::session_expired: return "the session has expired";
            case errc::storage_failed: return "the storage failed";
            case errc::storage_full: return "the storage is full";
            case errc::diverged: return "this replica's state differs from the majority's";
            case errc::bad_option: return "an option is wrong";
            case errc::address_in_use: return "the listen address is in use";
            case errc::refused: return "the group refused this node";
            case errc::not_supported: return "not supported by this version";
            case errc::malformed: return "malformed bytes";
            }
            return "unknown error";
        }
    };
    static category const instance;
    return instance;
}

[[nodiscard]] inline std::error_code make_error_code(errc e) noexcept {
    return {static_cast<int>(e), error_category()};
}

/// What blocking calls throw: a code and a sentence that says what happened, to what, and what to do about it.
class error : public std::system_error {
public:
    error(errc code, std::string const& sentence) : std::system_error(make_error_code(code), sentence) {}
};

/// The code of an exception that a call completed with; empty for a null pointer.
///
/// An exception that is no `std::system_error` counts as `errc::method_threw`.
[[nodiscard]] inline std::error_code code_of(std::exception_ptr const& e) noexcept {
    if (!e) return {};
    try {
        std::rethrow_exception(e);
    } catch (std::system_error const& s) {
        return s.code();
    } catch (...) {
        return make_error_code(errc::method_threw);
    }
}

} // namespace openreplica::inline v0

template <>
struct std::is_error_code_enum<openreplica::errc> : std::true_type {};
