// What must survive a crash.
#pragma once

#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/value.hpp>

#include <variant>
#include <vector>

namespace openreplica::inline v0::paxos {

/// "I promised this ballot."
struct promise_record {
    ballot promised;
    bool operator==(promise_record const&) const = default;
};

/// "I accepted this entry": raises the promise to the entry's ballot as well.
struct accept_record {
    entry what;
    bool operator==(accept_record const&) const = default;
};

/// "Every slot up to this one is chosen, and its entry was accepted here under this ballot." A hint, written now and then:
/// losing it loses no promise. A node that starts again believes it only if its entry of that slot proves it.
struct chosen_record {
    slot chosen;
    ballot under; ///< of the entry at `chosen`, or behind the snapshot that holds it
    bool operator==(chosen_record const&) const = default;
};

/// "I accepted this first configuration", "it was chosen", "I refuse it for ever", or "so many refused that it is dead:
/// I belong to nothing again".
struct founding_record {
    enum class step : std::uint8_t { accepted = 1, chosen = 2, abandoned = 3, ended = 4 };
    step what = step::accepted;
    first_configuration first;
    bool operator==(founding_record const&) const = default;
};

/// One record of the write-ahead log. Promises and accepts share one ordered stream.
using record = std::variant<promise_record, accept_record, chosen_record, founding_record>;

/// The replicated state after slot `at`, with what a node must know to go on from there.
struct snapshot {
    slot at;
    ballot behind;            ///< the highest ballot of a slot that it holds (rule R)
    log_time stamp;           ///< the log clock at `at`
    configuration governing;  ///< of slot `at + 1`
    shared_bytes state;       ///< JSON text; opaque here
    bool operator==(snapshot const&) const = default;
};

/// What a node remembers when it starts again.
struct durable_state {
    first_configuration group; ///< accepted last, unless it ended; empty cluster: belongs to no group
    bool group_chosen = false; ///< the first configuration is known to be chosen
    std::vector<cluster_id> abandoned; ///< refused for ever; may hold `group` while that has not ended
    ballot promised;
    slot chosen;                ///< of the latest hint
    ballot chosen_under;        ///< the ballot that the hint names
    snapshot base;              ///< slot 0: none was kept
    std::vector<entry> entries; ///< contiguous from `base.at + 1`
};

} // namespace openreplica::inline v0::paxos
