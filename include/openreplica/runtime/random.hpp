// Entropy for ids, jitter and ballots' spread: one draw from the system, then arithmetic.
#pragma once

#include <openreplica/types/hash.hpp>

#include <cstdint>
#include <random>

namespace openreplica::inline v0::runtime {

/// 64 random bits at a time, seeded by the operating system. Not for secrets.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe.
class random_source {
    std::uint64_t state_;

public:
    random_source() {
        std::random_device device;
        state_ = (static_cast<std::uint64_t>(device()) << 32) ^ device();
        state_ = mix64(state_ ^ ((static_cast<std::uint64_t>(device()) << 32) ^ device()));
    }
    [[nodiscard]] std::uint64_t operator()() { return mix64(state_ += 0x9E3779B97F4A7C15u); }
};

} // namespace openreplica::inline v0::runtime
