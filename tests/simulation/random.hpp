// All randomness of a simulation: one seed, the same numbers on every compiler.
#pragma once

#include <openreplica/types/hash.hpp>

#include <cstdint>

namespace simulation {

class random {
    std::uint64_t state_;

public:
    explicit random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t bits() { return openreplica::mix64(state_ += 0x9E3779B97F4A7C15u); }
    /// 0 … n - 1.
    std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : bits() % n; }
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low + 1)));
    }
    /// True in `per_mille` of a thousand cases.
    bool chance(std::uint64_t per_mille) { return below(1000) < per_mille; }
};

} // namespace simulation
