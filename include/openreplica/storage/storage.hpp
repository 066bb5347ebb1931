// What keeps a node's promises and accepted values. The memory one, and later the write-ahead log, stand behind it.
#pragma once

#include <openreplica/paxos/record.hpp>
#include <openreplica/types/ids.hpp>

#include <functional>
#include <span>
#include <system_error>

namespace openreplica::inline v0::storage {

/// One ordered stream of records.
///
/// @par Order
/// Records become durable in the order in which they were appended, never with a hole. `append` returns at once;
/// `durable(upto)` is reported when every record up to that position would survive a crash of the process (and, with a
/// data directory, of the machine).
///
/// @par Threads
/// `append` is called by one thread. The reports may come from another one, or from within `append`.
class storage {
public:
    struct events {
        std::function<void(lsn)> durable;            ///< everything up to here is durable
        std::function<void(std::error_code)> failed; ///< the storage is poisoned for good: nothing more is durable
    };

    virtual ~storage() = default;

    /// Appends records; the last one gets position `last`. Positions are consecutive.
    virtual void append(std::span<paxos::record const> records, lsn last) = 0;

    /// Keeps a snapshot in place of every entry up to `s.at`. It has its place in the stream like a record, at position
    /// `last`: whoever claims to hold what it holds waits for that position.
    virtual void keep(paxos::snapshot const& s, lsn last) = 0;

    /// Everything that was durable when the storage was opened.
    [[nodiscard]] virtual paxos::durable_state recover() = 0;
};

} // namespace openreplica::inline v0::storage
