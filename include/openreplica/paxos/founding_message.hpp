// What nodes say to one another before they belong to a group.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/types/ids.hpp>

#include <cstdint>
#include <variant>
#include <vector>

namespace openreplica::inline v0::paxos {

/// A first configuration on offer: a new cluster and all its members.
struct first_configuration {
    cluster_id cluster;
    configuration members;
    bool operator==(first_configuration const&) const = default;
};

/// What a node without a group tells every address it knows, again and again.
struct discover {
    member self;
    std::uint32_t founders = 0;  ///< how many members the group starts with; 0: the sender only joins
    std::vector<member> heard;   ///< the empty nodes of the same group name and founders that answered the sender
    cluster_id bound;            ///< the first configuration that the sender has accepted; empty if none
    bool operator==(discover const&) const = default;
};

/// The smallest id asks a member to accept a first configuration. Each member accepts one.
struct propose_first {
    first_configuration offer;
    bool operator==(propose_first const&) const = default;
};

/// The member has durably accepted the offer.
struct first_accepted {
    cluster_id cluster;
    bool operator==(first_accepted const&) const = default;
};

/// All members have accepted: the group exists.
struct first_chosen {
    first_configuration chosen;
    bool operator==(first_chosen const&) const = default;
};

/// A member asks another to give up a first configuration that was not completed.
struct abandon_first {
    cluster_id cluster;
    bool operator==(abandon_first const&) const = default;
};

/// The member has durably given it up: it will refuse every message of that cluster for ever.
struct first_abandoned {
    cluster_id cluster;
    bool operator==(first_abandoned const&) const = default;
};

/// The answer of a node that belongs to a group to a `discover`: join instead.
struct welcome {
    cluster_id cluster;
    configuration governing;       ///< the sender's current configuration
    bool established = false;      ///< the cluster's first no-op is chosen; until then nobody joins
    configuration first{};         ///< what the group was founded with: the log begins under it
    bool operator==(welcome const&) const = default;
};

using founding_message = std::variant<discover, propose_first, first_accepted, first_chosen, abandon_first,
                                      first_abandoned, welcome>;

} // namespace openreplica::inline v0::paxos
