// Who is where: one outgoing connection to every address that is known, and the connections that others make.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/net/codec.hpp>
#include <openreplica/net/handshake.hpp>
#include <openreplica/net/link.hpp>
#include <openreplica/net/listener.hpp>
#include <openreplica/options.hpp>
#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/runtime/environment.hpp>
#include <openreplica/runtime/state_machine.hpp>
#include <openreplica/types/instant.hpp>

#include <asio/any_io_executor.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// The node's connections.
///
/// Messages to a peer leave over the connection that this node made to the peer's address; messages from it come over
/// the one that it made here. Who answers at an address says who it is; an address may change hands, and only the
/// handshake tells.
///
/// @par Thread safety
/// One strand, the one given at construction. Events are called on it.
class transport : public std::enable_shared_from_this<transport> {
public:
    struct events {
        std::function<void(node_id, paxos::message&&)> message;
        std::function<void(paxos::member const&, paxos::founding_message const&)> founding;
        std::function<void()> batch_end; ///< everything that arrived together has been delivered
        std::function<void(node_id)> up; ///< messages to this node now leave
        std::function<void(node_id)> down;
        std::function<void()> met_self;         ///< an address that this node was given leads back to it
        std::function<void(node_id)> forgotten; ///< unreachable for long, or another node answers at its address
        std::function<void(log_level, std::string const&)> log;
        std::function<void(net::guest_id)> guest_up{}; ///< a client has connected; it is nobody's peer
        std::function<void(net::guest_id, net::client_request&&)> guest_message{};
        std::function<void(net::guest_id)> guest_down{};
    };

    /// Binds the listener; throws when the address is taken or wrong.
    transport(asio::any_io_executor strand, node_options const& options, events e);

    [[nodiscard]] openreplica::endpoint local_endpoint() const { return listener_.local_endpoint(); }
    /// Where the handshake gets this program's types from, each time anew: types may be added while it runs.
    void set_catalogue(std::function<std::vector<state_machine::type_print>()> c) { catalogue_ = std::move(c); }

    void start();
    void stop();

    /// This node's name and group. A change closes all outgoing connections and makes them again, so that every peer
    /// knows on whose behalf this node speaks.
    void set_identity(node_id self, cluster_id cluster, openreplica::endpoint const& advertised);

    void connect_seed(openreplica::endpoint const& where) {
        if (peer* p = connect(where)) p->seed = true;
    }
    void connect_member(paxos::member const& m) {
        if (m.id == self_.id) return;
        if (peer* p = connect(m.address)) p->member = true;
    }
    /// Dialled once; given up after a while if nobody is there.
    void meet(paxos::member const& m) {
        if (m.id != self_.id) (void)connect(m.address);
    }
    /// The voters are these now: others are dialled only as long as somebody is there.
    void set_members(paxos::configuration const& governing);
    /// The nodes that this one has a connection to, as they introduced themselves here.
    [[nodiscard]] std::vector<acquaintance> acquaintances() const;
    /// No seed names the address any more: it is given up if nobody answers there, or once whoever does has gone.
    void drop_seed(openreplica::endpoint const& where);
    /// Addresses of seeds at which nobody of another group, and nobody without a group, has spoken.
    [[nodiscard]] std::vector<openreplica::endpoint> silent_seeds() const;

    void send(std::span<node_id const> to, paxos::message const& what);
    /// To one node, or without `to` to everyone whom this node has a connection to.
    void send(std::optional<node_id> to, paxos::founding_message const& what);

    /// To a client, over the connection that it made.
    void send(net::guest_id to, net::client_reply const& what) {
        listener_.send(to, std::make_shared<std::string const>(net::encode(what)));
    }
    void close(net::guest_id guest) { listener_.close(guest); }

    [[nodiscard]] std::vector<node_id> connected() const;
    /// Who refused this node because of the program that it runs, and why; empty when nobody did lately.
    [[nodiscard]] std::string misfit() const;
    /// The node's latest handshake here did not name the type. False for a node that has not been met.
    [[nodiscard]] bool is_unknown_to(node_id id, std::string const& type) const {
        auto const it = met_.find(id);
        return it != met_.end() && !it->second.types.contains(type);
    }

private:
    struct peer {
        std::shared_ptr<net::link> link;
        std::optional<node_id> id;    ///< who answered here last
        bool up = false;
        bool elsewhere = false;       ///< whoever is there has said that it belongs to another group
        std::string misfit{};         ///< how it refused this node's program, the last time that it answered
        bool seed = false;            ///< a seed names it: dialled until none does
        bool member = false;          ///< a voter: dialled for ever
        std::chrono::steady_clock::time_point down_since = std::chrono::steady_clock::now();
    };

    struct introduction {
        cluster_id cluster;
        std::set<std::string> types; ///< names in its catalogue
        bool seeks = false;          ///< it has said that it looks for a group
        openreplica::endpoint address{};
        std::vector<std::string> failure_groups{};
    };

    peer* connect(openreplica::endpoint const& where);
    void renew(paxos::member const& who);
    void dial(openreplica::endpoint const& where, peer& p);
    void on_up(openreplica::endpoint const& where, net::hello_reply const& who);
    void on_down(openreplica::endpoint const& where, bool was_up);
    void on_refused(openreplica::endpoint const& where, net::hello_reply const& why);
    void forget_silent();
    void give_up(peer& p);
    void forget(node_id id);
    [[nodiscard]] peer* link_to(node_id id);
    [[nodiscard]] net::hello make_hello() const;
    [[nodiscard]] net::listener::events listener_events();
    [[nodiscard]] net::listener_options make_listener_options() const;
    void deliver(paxos::member const& from, net::any_message&& m);
    void complain(std::string const& reason);

    asio::any_io_executor strand_;
    node_options const& options_;
    events events_;
    std::function<std::vector<state_machine::type_print>()> catalogue_;
    net::listener listener_;
    paxos::member self_;
    cluster_id cluster_;
    std::map<openreplica::endpoint, peer> peers_;          ///< by the address that is dialled
    std::map<node_id, openreplica::endpoint> routes_;      ///< whose messages leave over which connection
    std::map<node_id, introduction> met_;                  ///< each node's latest handshake here
    std::set<openreplica::endpoint> own_;                  ///< addresses at which this node met itself
    bool stopped_ = false;
    std::uint64_t complaints_ = 0;
    std::chrono::steady_clock::time_point complained_at_{};
};

} // namespace openreplica::inline v0::runtime

#include <openreplica/runtime/transport_links.hpp>
