// What a slot can hold.
#pragma once

#include <openreplica/types/ballot.hpp>
#include <openreplica/types/bytes.hpp>
#include <openreplica/types/ids.hpp>

#include <cstddef>
#include <cstdint>

namespace openreplica::inline v0::paxos {

enum class value_kind : std::uint8_t {
    no_op = 0,         ///< fills a slot; changes nothing
    command = 1,       ///< an encoded `envelope`
    configuration = 2, ///< an encoded `configuration`: the stop-sign that ends an epoch
};

/// A proposed value. The protocol never looks into the body of a command.
struct value {
    value_kind kind = value_kind::no_op;
    log_time stamp;    ///< the proposing leader's log clock; part of the value, so it survives re-proposal
    shared_bytes body; ///< empty for a no-op

    bool operator==(value const&) const = default;
    /// What the value costs in windows and batches: its bytes and a fixed overhead.
    [[nodiscard]] std::size_t weight() const { return body.size() + 32; }
};

/// A value that an acceptor holds, with the ballot under which it accepted it.
struct entry {
    slot at;
    ballot accepted;
    value what;

    bool operator==(entry const&) const = default;
};

} // namespace openreplica::inline v0::paxos
