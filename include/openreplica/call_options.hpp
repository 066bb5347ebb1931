// What a single call may set.
#pragma once

#include <chrono>

namespace openreplica::inline v0 {

/// Options of one call, for `handle.with(options)->method(…)`.
struct call_options {
    std::chrono::nanoseconds timeout{}; ///< until the call has its outcome; 0: the node's `call_timeout`
};

} // namespace openreplica::inline v0
