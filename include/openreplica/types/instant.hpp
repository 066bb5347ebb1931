// Local time as the pure layers see it: a number that somebody else read from a clock.
#pragma once

#include <chrono>

namespace openreplica::inline v0 {

/// Marks time points of a node's own steady clock. It has no `now()`: who needs the time is told it.
struct local_clock {
    using rep = std::int64_t;
    using period = std::micro;
    using duration = std::chrono::duration<rep, period>;
    using time_point = std::chrono::time_point<local_clock>;
    static constexpr bool is_steady = true;
};

/// A moment on one node's steady clock. Moments of different nodes do not compare.
using instant = local_clock::time_point;
/// Microseconds.
using duration = local_clock::duration;

} // namespace openreplica::inline v0
