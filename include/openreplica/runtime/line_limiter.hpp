// Which of many like log lines a person should see.
#pragma once

#include <openreplica/types/instant.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace openreplica::inline v0::runtime {

/// Lets through the first line, every line with another reason than the one before, and otherwise one a minute.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe.
class line_limiter {
public:
    static constexpr duration interval = std::chrono::minutes(1);

    [[nodiscard]] bool lets_through(std::string_view reason, instant now) {
        if (told_at_ && reason == reason_ && now - *told_at_ < interval) return false;
        reason_ = reason;
        told_at_ = now;
        return true;
    }

private:
    std::string reason_;
    std::optional<instant> told_at_;
};

} // namespace openreplica::inline v0::runtime
