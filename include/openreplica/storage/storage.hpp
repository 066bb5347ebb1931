// What keeps a node's promises and accepted values: memory, or a directory on a disk.
#pragma once

#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/ids.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace openreplica::inline v0::storage {

/// How a storage is. `slow`: a write has been under way for longer than an election should take. `full`: no room for
/// another segment; what is under way still fits, nothing new should begin. `failed`: a write failed, and nothing more
/// becomes durable until the process starts again.
using health = paxos::disk_state;

/// A picture of a storage, for `status()`.
struct storage_status {
    std::string directory;                ///< empty: diskless
    health state = health::ok;
    std::string problem;                  ///< what is wrong and what to do; empty when nothing is
    std::uint64_t log_bytes = 0;          ///< what the segments of the log take at most
    std::chrono::microseconds last_sync{};    ///< how long the latest group took to write and sync
    std::chrono::microseconds slowest_sync{}; ///< of all groups since the start
    slot snapshot;                        ///< the newest one on disk
};

/// One ordered stream of records, and snapshots beside it.
///
/// @par Order
/// Records become durable in the order in which they were appended, never with a hole. `append` returns at once;
/// `durable(upto)` is reported when every record up to that position would survive a crash of the process (and, with a
/// data directory, of the machine).
///
/// @par Threads
/// The members are called by one thread. The reports may come from another one, or from within the call.
class storage {
public:
    struct events {
        std::function<void(lsn)> durable; ///< everything up to here is durable
        std::function<void(slot, bool)> kept; ///< the snapshot of this slot is durable and whole (true), or could not be kept
        std::function<void()> changed;    ///< `state()` may have another answer
    };

    virtual ~storage() = default;

    /// Appends records; the last one gets position `last`. Positions are consecutive.
    virtual void append(std::span<paxos::record const> records, lsn last) = 0;

    /// Keeps a snapshot beside the records, in its own time: `kept` is reported when it could replace every entry up to
    /// `s.at`. Of two that wait, the newer one is kept.
    virtual void keep(paxos::snapshot const& s) = 0;

    /// Everything that was durable when the storage was opened. Call once.
    [[nodiscard]] virtual paxos::durable_state recover() = 0;

    /// The node goes on under a fresh id: nothing that was kept belongs to it.
    ///
    /// @param only_joins it has belonged to a group, and never founds another, not after a restart either
    virtual void start_over(node_id fresh, bool only_joins) = 0;

    [[nodiscard]] virtual health state() const = 0;
};

} // namespace openreplica::inline v0::storage
