// What a person may set.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/types/endpoint.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace openreplica::inline v0 {

/// How serious a log line is.
enum class log_level : std::uint8_t { debug, info, warning, error };

/// Bounds of one node. Each is enforced before anything is proposed; none influences how the log is applied.
struct limits {
    std::size_t max_command_bytes = 1u << 20;    ///< an encoded command; a larger one ends with `errc::too_large`
    /// Calls and reads of this process without an outcome; past it `overloaded`. At most 1,048,576.
    std::size_t max_pending_calls = 65536;
    std::size_t window_entries = 4096;           ///< proposed but not chosen entries at the leader
    std::size_t window_bytes = 8u << 20;         ///< the same in bytes
    std::size_t link_queue_bytes = 64u << 20;    ///< bytes that wait for one peer's connection; beyond, messages are lost
    std::size_t max_frame_bytes = 4u << 20;      ///< a message of a peer; a larger one closes the connection
    std::size_t max_connections = 256;           ///< incoming connections of peers
    std::size_t max_clients = 1024;              ///< connections of clients; past it they are refused, and go elsewhere
    std::size_t max_client_requests = 4096;      ///< reads and questions of one client that wait here; past it `overloaded`
    std::size_t client_queue_bytes = 16u << 20;  ///< bytes that wait for one client's connection; beyond, it is cut off
    std::size_t wal_segment_bytes = 32u << 20;   ///< of a file of the write-ahead log; a disk needs room for a few
};

/// How a node is opened. A plain aggregate for designated initializers; every member has a default.
struct node_options {
    std::string group{};                ///< the group's name; nodes of other groups are refused
    std::string listen = "127.0.0.1:0"; ///< `host:port`; port 0 takes a free one
    /// `host:port` that others reach this node at; empty: the bound address, which must then be a real one.
    std::string advertise{};
    std::vector<std::string> seeds{};   ///< `host:port` or `srv:NAME`: where to look for the group
    /// How many members the group starts with; all of them say the same number. 0 only joins. The default is 1 without
    /// seeds (stands alone) and 0 with seeds.
    int founders = -1;
    /// Where the node keeps what it must not forget; made if it does not exist. Empty: diskless, and a restarted process
    /// is a new node. One node, one directory.
    std::string data_dir{};
    /// How many voters the group shall have: it grows to as many as standbys appear, and a voter that is silent for
    /// `replace_after` is replaced by a standby. 0: nothing happens by itself. All nodes say the same number.
    int voters = 0;
    std::chrono::milliseconds replace_after{10000}; ///< longer than a restart takes
    std::size_t min_voters = 1;                ///< no change of the voters may leave fewer
    /// What this node shares the fate of, as `"rack:7"`, `"pdu:2"`: voters are chosen so that few fail together.
    std::vector<std::string> failure_groups{};
    /// Called on the leader, once per `replace_after`, while a silent voter cannot be replaced because no standby is left:
    /// with where the silent voters were, and the failure groups that a new node had better not share.
    std::function<void(std::vector<std::string> const& silent, std::vector<std::string> const& failure_groups)>
        on_replacement_needed{};
    std::string dns_server{};                  ///< `host` or `host:port`; empty: `/etc/resolv.conf`
    std::chrono::milliseconds heartbeat{50};
    std::chrono::milliseconds election_timeout{300}; ///< the minimum; each node adds up to half of it at random
    std::chrono::milliseconds session_timeout{10000};
    std::chrono::milliseconds call_timeout{10000};
    std::uint64_t snapshot_every = 65536;       ///< entries between two snapshots,
    std::uint64_t snapshot_bytes = 128u << 20;  ///< or so many bytes of entries, if that is sooner
    struct limits limits{};
    std::string tls{};            ///< must be empty in this version
    bool allow_plaintext = false; ///< listen on an address other than loopback without TLS
    /// Receives every log line; it must not block and must not throw. Empty: warnings and errors go to stderr.
    std::function<void(log_level, std::string_view)> logger{};

    /// Throws `openreplica::error` with a sentence when an option is wrong or not implemented: nothing is ignored
    /// silently.
    void validate() const;
    /// `founders` with its default resolved.
    [[nodiscard]] std::uint32_t resolved_founders() const {
        return founders >= 0 ? static_cast<std::uint32_t>(founders) : seeds.empty() ? 1u : 0u;
    }
};

/// Options of one call, for `handle.with(options)->method(…)`.
struct call_options {
    std::chrono::nanoseconds timeout{}; ///< until the call has its outcome; 0: the node's `call_timeout`
    /// For reads with `local()`: what they see was the group's state so long ago at most; 0: at any time.
    std::chrono::nanoseconds max_staleness{};
};

namespace detail {

inline void require(bool holds, std::string const& sentence, char const* whose = "node_options: ") {
    if (!holds) throw error(errc::bad_option, whose + sentence);
}

/// A batch of commands (`runtime::calls::batch_bytes`) with its frame may be this much larger than its last command.
inline constexpr std::size_t batch_room = (1u << 20) + (64u << 10);
/// What the length field of a frame holds, with room for its header.
inline constexpr std::size_t largest_frame = std::size_t{1} << 31;

inline bool is_loopback(std::string const& host) {
    bool const numeric = host.find_first_not_of("0123456789.") == std::string::npos;
    return host == "localhost" || host == "::1" || (numeric && host.starts_with("127."));
}

/// `0.0.0.0`, `::` and their other spellings: an address to listen on that nobody can be reached at.
inline bool is_wildcard(std::string const& host) { return host.find_first_not_of("0.:") == std::string::npos; }

inline constexpr std::size_t most_pending_calls = std::size_t{1} << 20;

inline void check_seed(std::string const& seed, char const* whose = "node_options: ") {
    bool const srv = seed.starts_with("srv:");
    auto const where = parse_endpoint(seed);
    require(srv ? seed.size() > 4 : where && where->port != 0,
            "seed \"" + seed + "\" is neither host:port (with a port above 0) nor srv:NAME", whose);
}

} // namespace detail

/// Bounds of one client.
struct client_limits {
    std::size_t max_command_bytes = 1u << 20;  ///< an encoded command or read; a larger one ends with `errc::too_large`
    std::size_t max_pending_calls = 65536;     ///< calls and reads without an outcome; past it `overloaded`. At most 1,048,576
    std::size_t max_frame_bytes = 4u << 20;    ///< a message of a replica; a larger one ends the connection
    std::size_t link_queue_bytes = 64u << 20;  ///< bytes that wait for one replica's connection; beyond, messages are lost
};

/// How a client is opened. A plain aggregate for designated initializers; every member has a default.
struct client_options {
    /// The group's name; replicas of other groups refuse the client. Empty, which suits tools: the group that the first
    /// answer comes from.
    std::string group{};
    std::vector<std::string> seeds{}; ///< `host:port` or `srv:NAME`: where to look for the group first
    std::string dns_server{};         ///< `host` or `host:port`; empty: `/etc/resolv.conf`
    std::chrono::milliseconds heartbeat{250}; ///< how often each replica is asked whether it is there
    std::chrono::milliseconds call_timeout{10000};
    /// How long the group keeps the session of a client that is cut off. Calls that were under way then end with
    /// `outcome_unknown`.
    std::chrono::milliseconds session_timeout{10000};
    /// For reads with `local()` that name none themselves: what they see was the group's state so long ago at most; 0: at
    /// any time. What a client has seen once it never sees undone, whatever the bound.
    std::chrono::milliseconds max_staleness{0};
    client_limits limits{};
    std::string tls{};            ///< must be empty in this version
    bool allow_plaintext = false; ///< connect to addresses other than loopback without TLS
    /// Receives every log line; it must not block and must not throw. Empty: warnings and errors go to stderr.
    std::function<void(log_level, std::string_view)> logger{};

    /// Throws `openreplica::error` with a sentence when an option is wrong or not implemented: nothing is ignored
    /// silently.
    void validate() const;
};

inline void node_options::validate() const {
    using detail::require;
    require(!group.empty() && group.size() <= 255, "group must be a name of 1 to 255 bytes");
    auto const where = parse_endpoint(listen);
    require(where.has_value(), "listen \"" + listen + "\" is not host:port");
    require(advertise.empty() || (parse_endpoint(advertise) && parse_endpoint(advertise)->port != 0),
            "advertise \"" + advertise + "\" is not host:port with a port above 0");
    for (std::string const& s : seeds) detail::check_seed(s);
    require(founders >= -1 && founders <= 31, "founders must be between 0 and 31");
    require(founders <= 1 || !seeds.empty(),
            "founders = " + std::to_string(founders) + " needs seeds, so that the founders can find one another");
    require(founders != 0 || !seeds.empty(), "founders = 0 only joins, and needs seeds to find the group");
    require(heartbeat.count() > 0, "heartbeat must be positive");
    // Divided, not multiplied: the largest durations would overflow.
    require(heartbeat <= election_timeout / 3,
            "election_timeout must be at least three heartbeats, or every hiccup is an election");
    require(election_timeout <= session_timeout / 2, "session_timeout must be at least twice election_timeout, or an "
                                                     "election ends sessions");
    require(session_timeout <= std::chrono::hours(24), "session_timeout must be at most a day: the group keeps no "
                                                       "session longer");
    require(call_timeout.count() > 0 && call_timeout <= std::chrono::hours(24 * 365),
            "call_timeout must be positive and at most a year");
    require(voters >= 0 && voters <= 31, "voters must be between 0 and 31");
    require(min_voters >= 1 && min_voters <= 31, "min_voters must be between 1 and 31");
    require(replace_after >= election_timeout && replace_after <= std::chrono::hours(24 * 365),
            "replace_after must be at least election_timeout, or a hiccup costs a voter its vote, and at most a year");
    require(failure_groups.size() <= 64, "failure_groups must name at most 64 groups");
    for (std::string const& g : failure_groups) require(!g.empty() && g.size() <= 255, "a failure group has 1 to 255 bytes");
    require(snapshot_every > 0, "snapshot_every must be positive");
    require(snapshot_bytes > 0, "snapshot_bytes must be positive");
    auto const positive = [](std::size_t limit, char const* name) {
        require(limit > 0, std::string("limits.") + name + " must be positive");
    };
    positive(limits.max_command_bytes, "max_command_bytes");
    positive(limits.max_pending_calls, "max_pending_calls");
    require(limits.max_pending_calls <= detail::most_pending_calls,
            "limits.max_pending_calls must be at most " + std::to_string(detail::most_pending_calls));
    positive(limits.window_entries, "window_entries");
    positive(limits.window_bytes, "window_bytes");
    positive(limits.max_connections, "max_connections");
    positive(limits.max_client_requests, "max_client_requests");
    require(limits.client_queue_bytes >= limits.max_frame_bytes,
            "limits.client_queue_bytes must be at least limits.max_frame_bytes, or no large answer ever leaves");
    require(limits.wal_segment_bytes >= (64u << 10) && limits.wal_segment_bytes <= (1u << 30),
            "limits.wal_segment_bytes must be between 65536 and 1073741824");
    require(data_dir.empty() || seeds.empty() || where->port != 0 || !advertise.empty(),
            "data_dir needs a fixed port in listen: the group finds a restarted member at the address that it knows");
    require(limits.max_frame_bytes >= detail::batch_room && limits.max_frame_bytes <= detail::largest_frame &&
                limits.max_command_bytes <= limits.max_frame_bytes - detail::batch_room,
            "limits.max_frame_bytes must leave " + std::to_string(detail::batch_room) + " bytes above "
            "limits.max_command_bytes, because commands travel in batches, and be at most " +
                std::to_string(detail::largest_frame));
    require(limits.link_queue_bytes / 2 >= limits.max_frame_bytes,
            "limits.link_queue_bytes must be at least twice limits.max_frame_bytes, or no large message ever leaves");
    require(allow_plaintext || detail::is_loopback(where->host),
            "listen \"" + listen + "\" is not a loopback address and there is no TLS: anyone who reaches the port could "
            "take part; set allow_plaintext if the network is trusted");
    require(!advertise.empty() || !detail::is_wildcard(where->host),
            "listen \"" + listen + "\" names every address of this machine, and others must be told one; set advertise to "
            "the host:port at which they reach this node");
    auto const implemented = [](bool unset, char const* name) {
        if (!unset) throw error(errc::not_supported, std::string("node_options: ") + name +
                                                         " is not supported by this version; leave it unset");
    };
    implemented(tls.empty(), "tls");
}

inline void client_options::validate() const {
    auto const require = [](bool holds, std::string const& sentence) {
        detail::require(holds, sentence, "client_options: ");
    };
    require(group.size() <= 255, "group must be a name of at most 255 bytes");
    require(!seeds.empty(), "seeds must name at least one host:port or srv:NAME where the group may be found");
    for (std::string const& s : seeds) {
        detail::check_seed(s, "client_options: ");
        require(allow_plaintext || s.starts_with("srv:") || detail::is_loopback(parse_endpoint(s)->host),
                "seed \"" + s + "\" is not a loopback address and there is no TLS: anyone on the way could read and change "
                "calls; set allow_plaintext if the network is trusted");
    }
    require(heartbeat.count() > 0, "heartbeat must be positive");
    require(session_timeout >= std::chrono::milliseconds(100) && session_timeout <= std::chrono::hours(24),
            "session_timeout must be between 100 ms and a day");
    require(heartbeat <= session_timeout / 2, "session_timeout must be at least twice heartbeat");
    require(call_timeout.count() > 0 && call_timeout <= std::chrono::hours(24 * 365),
            "call_timeout must be positive and at most a year");
    require(max_staleness.count() >= 0 && max_staleness <= std::chrono::hours(24 * 365),
            "max_staleness must not be negative, and at most a year");
    require(limits.max_command_bytes > 0, "limits.max_command_bytes must be positive");
    require(limits.max_pending_calls > 0 && limits.max_pending_calls <= detail::most_pending_calls,
            "limits.max_pending_calls must be between 1 and " + std::to_string(detail::most_pending_calls));
    require(limits.max_frame_bytes >= detail::batch_room && limits.max_frame_bytes <= detail::largest_frame &&
                limits.max_command_bytes <= limits.max_frame_bytes - detail::batch_room,
            "limits.max_frame_bytes must leave " + std::to_string(detail::batch_room) + " bytes above "
            "limits.max_command_bytes, because commands travel in batches, and be at most " +
                std::to_string(detail::largest_frame));
    require(limits.link_queue_bytes / 2 >= limits.max_frame_bytes,
            "limits.link_queue_bytes must be at least twice limits.max_frame_bytes, or no large message ever leaves");
    if (!tls.empty())
        throw error(errc::not_supported, "client_options: tls is not supported by this version; leave it unset");
}

} // namespace openreplica::inline v0
