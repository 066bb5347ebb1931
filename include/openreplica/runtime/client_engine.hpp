// A client without its sockets, threads and clocks: which replicas there are, which one is asked, and what is asked again.
#pragma once

#include <openreplica/net/client_message.hpp>
#include <openreplica/options.hpp>
#include <openreplica/runtime/calls.hpp>
#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/outcome.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// What the client's engine needs of the world.
///
/// @par Thread safety
/// Called on the engine's strand only.
class client_environment {
public:
    virtual ~client_environment() = default;

    [[nodiscard]] virtual instant now() const = 0;
    /// 64 random bits.
    [[nodiscard]] virtual std::uint64_t random() = 0;
    /// Dials an address, again and again, until `disconnect`; a connection that there is ends first.
    virtual void connect(endpoint const& where) = 0;
    virtual void disconnect(endpoint const& where) = 0;
    /// It may be lost.
    virtual void send(endpoint const& to, net::client_request const& what) = 0;
    /// Nobody who is known answers: look at the seeds again soon. Called until somebody does.
    virtual void look_again() = 0;
    /// The group is this one from now on; another one of the same name is refused.
    virtual void cluster_known(cluster_id cluster) = 0;
    virtual void log(log_level level, std::string const& line) = 0;
};

struct client_engine_options {
    duration heartbeat = std::chrono::milliseconds(250); ///< between two pings of one replica
    duration session_timeout = std::chrono::seconds(10);
    duration retry = std::chrono::milliseconds(500); ///< what has no answer is asked again after this long
    duration max_staleness{};                        ///< of local reads that name none; 0: any
};

/// What is asked of one replica and not of an object: a person's question, or an operator's order.
struct client_inquiry {
    bool is_order = false;       ///< carried out once at most; a question is asked again
    std::string what;            ///< a question's subject; empty for an order
    std::string text;            ///< its argument, or the order
    std::optional<endpoint> of;  ///< whom; nothing: whoever answers soonest
    instant deadline;
    gateway::completion done;
};

/// What a person wants to know of a client.
struct client_engine_status {
    struct replica {
        endpoint where;
        node_id id;
        bool up = false;
        bool serving = false;
        bool leads = false;
        bool member = false; ///< the group names it
        duration round_trip{};
        std::uint64_t reads = 0; ///< that it has answered
    };
    cluster_id cluster;
    epoch current;
    session_id session;
    slot seen; ///< no read shows an older state than this slot's
    std::vector<replica> replicas;
    std::string problem;
};

/// The sessions, calls and reads of one client, and its picture of the group.
///
/// Endpoints come from seeds and from the replicas themselves, whose views name the group's members: a client that knew one
/// name in the beginning follows the group when all its members are replaced. An endpoint is given up only when neither
/// a seed nor the newest view names it, and somebody else serves.
///
/// Commands go to the leader, or to the nearest replica that serves, which passes them on. Reads go to a replica that is
/// about as near as the nearest, so that they are spread. What has no answer is asked again elsewhere: commands are
/// executed once all the same, because the session table of the group knows them.
///
/// Inputs are calls; after one or more of them `flush` sends everything that follows.
///
/// @par Thread safety
/// One strand.
class client_engine {
public:
    client_engine(client_engine_options options, client_environment& env, calls& pending)
        : options_(options), env_(env), calls_(pending), opener_(env.random() | 1) {}

    /// A seed names this endpoint, or does not any more.
    void on_named(endpoint const& where);
    void on_omitted(endpoint const& where);

    void on_up(endpoint const& where, node_id id);
    void on_down(endpoint const& where);
    /// Whoever is there takes no client, or not this one.
    void on_refused(endpoint const& where, std::string const& why);
    void on_reply(endpoint const& from, net::client_reply&& m);

    void inquire(client_inquiry&& i);
    /// A session is opened with the first call that needs one, or when it is wanted.
    void want_session() { session_wanted_ = true; }
    void tick();
    void flush();
    /// Ends everything that waits, and the session.
    void stop();

    [[nodiscard]] client_engine_status status() const;
    [[nodiscard]] bool is_ready() const { return calls_.session() != session_id{}; }
    /// Some replica serves.
    [[nodiscard]] bool is_served() const { return nearest(std::nullopt).has_value(); }

private:
    struct replica {
        bool named = false;  ///< by a seed
        bool member = false; ///< by the newest view
        bool up = false;
        node_id id{};
        std::optional<net::view> seen{}; ///< what it said last on this connection
        std::uint64_t ping = 0;          ///< number of the one that has no answer; 0: none
        instant pinged_at{};
        instant heard_at{};
        std::optional<duration> round_trip{};
        std::size_t waiting = 0; ///< reads that it has not answered
        std::uint64_t reads = 0; ///< that it has
    };
    struct sent_commands {
        endpoint to;
        std::vector<sequence> numbers;
    };
    struct open_read {
        call_ticket ticket;
        instant deadline;
        std::shared_ptr<remote_read const> what;
        std::optional<endpoint> to{}; ///< who has it; nothing: it is to be sent
        std::optional<endpoint> not_to{}; ///< who had it last
        instant sent_at{};
        instant not_before{};
        unsigned tries = 0;
    };
    struct open_inquiry {
        client_inquiry what;
        std::optional<endpoint> to{};
    };
    static constexpr std::size_t most_replicas = 64;
    static constexpr int silent_after = 3;  ///< heartbeats; then others are preferred,
    static constexpr int dead_after = 12;   ///< and then the connection is made again

    void on(endpoint const& from, net::client_pong& m);
    void on(endpoint const& from, net::client_refused& m);
    void on(endpoint const& from, net::client_opened& m);
    void on(endpoint const& from, net::client_outcomes& m);
    void on(endpoint const& from, net::client_answer& m);

    replica* know(endpoint const& where);
    void adopt(net::view const& v);
    void forget_leavers(instant now);
    void watch_replica(endpoint const& where, replica& r, instant now);
    void watch_route(instant now);
    void keep_session(instant now);
    void lose_session();
    void send_session_command(command_kind kind, object_id object, session_id session, std::string body);
    void send_commands(instant now);
    void take_reads();
    void send_reads(instant now);
    void send_inquiries();
    void watch_reads(instant now);
    void watch_inquiries(instant now);
    void release(open_read& r);
    [[nodiscard]] bool is_usable(replica const& r, instant now) const;
    [[nodiscard]] bool is_usable(endpoint const& where, instant now) const;
    [[nodiscard]] std::optional<endpoint> leader(instant now) const;
    [[nodiscard]] std::optional<endpoint> nearest(std::optional<endpoint> const& but) const;
    [[nodiscard]] std::optional<endpoint> choose_reader(std::optional<endpoint> const& but);
    [[nodiscard]] net::client_query make_query(std::uint64_t number, open_read const& r, instant now) const;

    client_engine_options options_;
    client_environment& env_;
    calls& calls_;
    std::map<endpoint, replica> replicas_;
    cluster_id cluster_;
    epoch current_;
    std::optional<endpoint> route_; ///< where commands go
    slot seen_;                     ///< the highest slot whose effects were shown to a caller
    std::string refusal_;           ///< the last one
    bool too_many_ = false;         ///< endpoints: told once

    std::uint64_t next_number_ = 1;
    std::map<std::uint64_t, sent_commands> sent_; ///< the latest ones, to know what a refusal refuses
    std::map<std::uint64_t, open_read> reads_;
    std::map<std::uint64_t, open_inquiry> inquiries_;
    std::vector<finished_call> finished_;

    bool session_wanted_ = false;
    std::uint64_t opener_; ///< this process's number in its `open_session`
    instant opened_at_{};
    instant session_used_{};
    instant kept_alive_at_{};
    bool stopped_ = false;
};

} // namespace openreplica::inline v0::runtime

#include <openreplica/runtime/client_engine_group.hpp>
#include <openreplica/runtime/client_engine_work.hpp>
