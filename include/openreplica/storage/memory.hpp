// Storage for groups that chose not to use a disk.
#pragma once

#include <openreplica/storage/storage.hpp>

#include <utility>

namespace openreplica::inline v0::storage {

/// Diskless storage: durable means "in the memory of this process", by declared choice.
///
/// The process that ends loses its identity with its memory: it comes back as a new node without a vote. What it keeps
/// for its peers is in the replica's own log, so there is nothing to copy here.
class memory final : public storage {
    events events_;

public:
    explicit memory(events e) : events_(std::move(e)) {}

    void append(std::span<paxos::record const>, lsn last) override { events_.durable(last); }
    void keep(paxos::snapshot const& s) override { events_.kept(s.at, true); }
    [[nodiscard]] paxos::durable_state recover() override { return {}; }
    void start_over(node_id, bool) override {}
    [[nodiscard]] health state() const override { return health::ok; }
};

} // namespace openreplica::inline v0::storage
