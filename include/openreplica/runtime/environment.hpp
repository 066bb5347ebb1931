// What the engine needs of the world. The node gives it sockets, threads and clocks; the simulator, one seed.
#pragma once

#include <openreplica/net/client_message.hpp>
#include <openreplica/options.hpp>
#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/types/envelope.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/outcome.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace openreplica::inline v0::runtime {

struct apply_batch;
struct frozen_snapshot;

/// A node as others know it from its handshake.
struct acquaintance {
    paxos::member who;
    std::vector<std::string> failure_groups{};
    std::string lacks{}; ///< a type in use that its program does not know: it cannot apply the log
};

/// Everything outside the engine's strand.
///
/// @par Thread safety
/// Called on the engine's strand only.
class environment {
public:
    virtual ~environment() = default;

    /// The node's steady clock.
    [[nodiscard]] virtual instant now() const = 0;
    /// 64 random bits.
    [[nodiscard]] virtual std::uint64_t random() = 0;

    /// Sends a message of the group to each of the peers; it may be lost.
    virtual void send(std::span<node_id const> to, paxos::message const& what) = 0;
    /// Sends a founding message to one node, or (without `to`) to every seed and every known address.
    virtual void send(std::optional<node_id> to, paxos::founding_message const& what) = 0;

    /// Whether a command may be proposed: this program and those of all voters know what it names. Zero code when it
    /// may go.
    [[nodiscard]] virtual call_outcome check(envelope const& command, paxos::configuration const& voters) const = 0;

    /// Hands work to whoever runs user code; it runs in order. `engine::on_applied` reports back.
    virtual void apply(apply_batch&& work) = 0;

    /// Writes a snapshot as text, away from the strand and from the thread that applies. `engine::on_written` reports back.
    virtual void write(frozen_snapshot&& s) = 0;

    /// This node now belongs to a group, or (with an empty cluster and a fresh id) starts over as an empty node.
    virtual void identity_changed(node_id self, cluster_id cluster, paxos::configuration const& governing) = 0;
    /// Other voters govern now.
    virtual void voters_changed(paxos::configuration const& governing) = 0;

    /// These may be voters soon: there should be connections to them.
    virtual void meet(std::vector<paxos::member> const& voters) = 0;

    /// The nodes of the group that this one has a connection to.
    [[nodiscard]] virtual std::vector<acquaintance> acquaintances() const = 0;

    /// This node leads, and no standby is left to take the place of a voter that is silent.
    virtual void replacement_needed(std::vector<std::string> const& silent, std::vector<std::string> const& failure_groups) {
        (void)silent;
        (void)failure_groups;
    }

    /// Where this node was told to look for its group and has had no answer: endpoints at which nobody who belongs
    /// elsewhere, and nobody without a group, has spoken; and seeds for which DNS has no answer.
    [[nodiscard]] virtual std::vector<std::string> silent_seeds() const { return {}; }

    /// Commands of a client of this node were not proposed because of this attempt; `which` as in `forward_refused`.
    virtual void refuse(net::guest_id client, std::uint64_t number, std::vector<std::uint32_t> const& which,
                        call_outcome const& why) {
        (void)client, (void)number, (void)which, (void)why;
    }

    virtual void log(log_level level, std::string const& line) = 0;
};

} // namespace openreplica::inline v0::runtime
