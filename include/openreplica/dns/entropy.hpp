// Random bits that a stranger cannot guess.
#pragma once

#include <cstdint>
#include <functional>
#include <random>

namespace openreplica::inline v0::dns {

/// A source of 64 random bits. Query ids, letter case and the order of equal targets come from it.
using entropy_source = std::function<std::uint64_t()>;

/// Draws from the operating system's generator, which is fit for secrets.
///
/// Tests pass a seeded one instead.
[[nodiscard]] inline entropy_source system_entropy() {
    return [] {
        std::random_device device;
        std::uint64_t const high = device();
        return high << 32 | device();
    };
}

/// Hands out single bits of a source and asks it for more every 64 bits.
template <class Entropy>
class random_bits {
    Entropy& entropy_;
    std::uint64_t pool_ = 0;
    int left_ = 0;

public:
    explicit random_bits(Entropy& entropy) : entropy_(entropy) {}
    [[nodiscard]] bool operator()() {
        if (left_ == 0) {
            pool_ = entropy_();
            left_ = 64;
        }
        --left_;
        bool const bit = (pool_ & 1) != 0;
        pool_ >>= 1;
        return bit;
    }
};

} // namespace openreplica::inline v0::dns
