// What must hold after every transition, whatever the input was.
#pragma once

#include <openreplica/paxos/replica.hpp>

#include <optional>
#include <string>

namespace openreplica::inline v0::paxos {

/// Compares a replica before and after one step. Nothing, or the sentence that was violated.
///
/// Tests and the simulator call it after every step of every node.
[[nodiscard]] inline std::optional<std::string> violated(observation const& before, observation const& after) {
    if (after.promised < before.promised) return "S3: the promised ballot went back";
    if (after.chosen < before.chosen) return "S9: the chosen index went back";
    if (after.trimmed < before.trimmed) return "S9: the start of the log went back";
    if (after.trimmed > after.chosen) return "S9: an entry was forgotten before it was chosen";
    if (after.chosen > after.last) return "S9: a slot is chosen that the log does not hold";
    if (after.held > after.last) return "S9: more is acknowledged than the log holds";
    if (after.held < after.chosen) return "S9: a chosen slot is not acknowledged";
    if (after.leading && after.leading_ballot != after.promised) return "S2: leads a ballot that it has not promised";
    if (after.leading && after.campaigning) return "S2: leads and campaigns at once";
    if (before.leading && after.leading && before.leading_ballot == after.leading_ballot &&
        before.first_proposed != after.first_proposed)
        return "S2: a ballot's first slot moved";
    return std::nullopt;
}

} // namespace openreplica::inline v0::paxos
