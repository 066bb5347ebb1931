// Ballots: who may propose.
#pragma once

#include <openreplica/types/ids.hpp>

#include <compare>
#include <cstdint>

namespace openreplica::inline v0 {

/// A ballot has one owner, and one ballot covers the whole log.
///
/// Ballots are totally ordered: by round, then by priority, then by the owner's id. The default one is below all
/// others and belongs to nobody.
struct ballot {
    std::uint64_t round = 0;
    std::uint32_t priority = 0;
    node_id owner;

    constexpr auto operator<=>(ballot const&) const = default;
    [[nodiscard]] constexpr bool empty() const { return round == 0; }
};

} // namespace openreplica::inline v0
