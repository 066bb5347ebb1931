// What a method may know about its call. Everything in it comes from the log.
#pragma once

#include <openreplica/types/hash.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/json_codec.hpp>

#include <chrono>
#include <cstdint>

namespace openreplica::inline v0 {

/// Marks time points of the log's clock: the time that leaders have led, in microseconds. It has no `now()`; ask the
/// context. It is no calendar time.
struct log_clock {
    using rep = std::int64_t;
    using period = std::micro;
    using duration = std::chrono::duration<rep, period>;
    using time_point = std::chrono::time_point<log_clock>;
    static constexpr bool is_steady = true;
};

/// The optional first parameter of a method: who calls, where in the log, and when.
///
/// It is the same on every replica, so a method that takes time and randomness only from here stays deterministic. A
/// const method gets `context const&`: its read point, without randomness.
///
/// @par Thread safety
/// One call's own; a method does not keep it.
class context {
    v0::slot slot_;
    session_id caller_;
    log_time now_;
    std::uint16_t step_ = 0;
    std::uint64_t drawn_ = 0;

public:
    context(v0::slot at, log_time now, session_id caller, std::uint16_t step = 0)
        : slot_(at), caller_(caller), now_(now), step_(step) {}

    /// The session of the caller; 0 for a read, which belongs to no session.
    [[nodiscard]] session_id caller() const { return caller_; }
    /// Where in the log the call runs; for a read, the last slot that was applied before it.
    [[nodiscard]] v0::slot slot() const { return slot_; }
    /// A fencing token: strictly increasing over all calls of all objects.
    [[nodiscard]] std::uint64_t fence() const { return (slot_.value << 16) | step_; }
    /// The log's clock, which never goes back.
    [[nodiscard]] log_clock::time_point now() const {
        return log_clock::time_point(log_clock::duration(static_cast<std::int64_t>(now_.value)));
    }
    /// 64 bits that are the same on every replica, and no secret: the next ones of a sequence seeded by the slot.
    [[nodiscard]] std::uint64_t random() { return mix64(mix64(fence() + 0x9E3779B97F4A7C15u) + ++drawn_); }
    /// The version of the replicated behaviour that the group runs; methods may branch on it.
    [[nodiscard]] static constexpr std::uint32_t version() { return 1; }
    /// True in the re-run of a call that had waited. This version has no waiting calls.
    [[nodiscard]] static constexpr bool resumed() { return false; }
};

/// A moment of the log's clock as an argument, a result or a member of an object: microseconds.
template <>
struct codec<log_clock::time_point> {
    static void write(std::string& out, log_clock::time_point v) {
        write_json_integer(out, v.time_since_epoch().count());
    }
    static log_clock::time_point read(json_reader& r) {
        return log_clock::time_point(log_clock::duration(r.read_integer<std::int64_t>()));
    }
    static std::string name() { return "log_time"; }
};
template <class Json>
requires requires { typename Json::number_unsigned_t; }
void to_json(Json& j, log_clock::time_point const& v) { j = v.time_since_epoch().count(); }
template <class Json>
requires requires { typename Json::number_unsigned_t; }
void from_json(Json const& j, log_clock::time_point& v) {
    v = log_clock::time_point(log_clock::duration(j.template get<std::int64_t>()));
}

} // namespace openreplica::inline v0
