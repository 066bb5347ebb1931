// The names that travel between processes and into the log.
#pragma once

#include <openreplica/types/strong.hpp>

#include <array>
#include <cstdint>
#include <string>

namespace openreplica::inline v0 {

/// A position in the replicated log. The first entry has slot 1; slot 0 means "nothing yet".
using slot = strong<struct slot_tag>;
/// The number of a configuration: the first one has epoch 1; 0 means "no configuration known".
using epoch = strong<struct epoch_tag, std::uint32_t>;
/// A session is named by the slot of its opening entry, so that a late copy of that entry cannot revive it.
using session_id = strong<struct session_tag>;
/// The number of a call within its session, from 1.
using sequence = strong<struct sequence_tag>;
/// A replicated object is named by a 64-bit hash of its name.
using object_id = strong<struct object_tag>;
/// A position in a node's own write-ahead log; 0 means "nothing".
using lsn = strong<struct lsn_tag>;
/// Log time in microseconds: elapsed leader time, agreed through the entries' stamps.
using log_time = strong<struct log_time_tag>;

/// 128 random bits.
template <class Tag>
struct unique_id {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    constexpr auto operator<=>(unique_id const&) const = default;
    [[nodiscard]] constexpr bool empty() const { return high == 0 && low == 0; }
};

/// A node is named by a number born with its data directory (diskless: with its process) and never reused.
using node_id = unique_id<struct node_tag>;
/// A group is named by a number born when it was founded. It tells two groups of one name apart.
using cluster_id = unique_id<struct cluster_tag>;

/// 32 hexadecimal digits.
template <class Tag>
[[nodiscard]] inline std::string to_string(unique_id<Tag> const& id) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text(32, '0');
    for (std::size_t i = 0; i < 16; ++i) {
        text[15 - i] = digits[(id.high >> (4 * i)) & 15];
        text[31 - i] = digits[(id.low >> (4 * i)) & 15];
    }
    return text;
}

/// The first eight hexadecimal digits: enough for a person to tell nodes apart in a log line.
template <class Tag>
[[nodiscard]] inline std::string short_name(unique_id<Tag> const& id) {
    return to_string(id).substr(0, 8);
}

} // namespace openreplica::inline v0

template <class Tag>
struct std::hash<openreplica::unique_id<Tag>> {
    // The bits are random, so any half of them is a hash; tests use small ids, so both halves count.
    std::size_t operator()(openreplica::unique_id<Tag> const& id) const noexcept {
        return static_cast<std::size_t>(id.high * 0x9E3779B97F4A7C15u ^ id.low);
    }
};
