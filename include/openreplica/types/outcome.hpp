// How a call ended.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/types/ids.hpp>

#include <string>

namespace openreplica::inline v0 {

/// The one outcome of a call: a result, or a code and a sentence.
struct call_outcome {
    errc code{};        ///< zero: the call returned
    std::string text;   ///< for a failure: what happened and what to do
    std::string result; ///< for a success: the result as JSON text; empty for `void`
    slot at;            ///< where in the log the call was executed, or the read point of a read; 0 if nowhere

    [[nodiscard]] bool ok() const { return code == errc{}; }
    bool operator==(call_outcome const&) const = default;
};

[[nodiscard]] inline call_outcome failed(errc code, std::string text) {
    return call_outcome{code, std::move(text), {}, {}};
}

} // namespace openreplica::inline v0
