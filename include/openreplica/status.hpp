// What a node tells about itself.
#pragma once

#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/ids.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace openreplica::inline v0 {

/// A voter as this node sees it.
struct voter_status {
    std::string id;       ///< 32 hexadecimal digits
    std::string endpoint; ///< `host:port`
    bool connected = false;
};

/// How a node's data directory is.
struct disk_status {
    std::string directory;          ///< empty: diskless
    std::string state;              ///< "ok", "slow", "full" or "failed"
    std::uint64_t log_bytes = 0;    ///< what the write-ahead log's files take at most
    std::uint64_t snapshot = 0;     ///< slot of the newest snapshot on disk
    std::int64_t last_sync_us = 0;  ///< how long the latest group took to write and sync
    std::int64_t slowest_sync_us = 0; ///< of all groups since the node was opened
};

/// A picture of one node at one moment. `to_json` writes it for tools and logs, as a member and for nlohmann/json.
struct node_status {
    std::string id;             ///< 32 hexadecimal digits
    std::string cluster;        ///< 32 hexadecimal digits; empty: belongs to no group yet
    std::string group;          ///< the group's name
    std::string endpoint;       ///< where this node is reached
    std::string role;           ///< "leader", "voter", "standby", or "founding" before there is a group
    std::string leader;         ///< endpoint of the leader, if known
    std::uint32_t epoch = 0;    ///< number of the configuration
    std::vector<voter_status> voters;
    std::string last_change;    ///< the last thing that this node, leading, decided about the voters by itself, and why
    bool ready = false;         ///< has a session: calls can be executed
    bool healthy = false;       ///< sees a healthy leader
    std::uint64_t chosen = 0;   ///< highest slot known to be chosen
    std::uint64_t applied = 0;  ///< highest slot applied to this replica's objects
    std::uint64_t log_start = 0; ///< lowest slot still in the log
    std::uint64_t log_memory_bytes = 0; ///< what the log weighs in memory: it is kept for members that lag or join
    std::uint64_t digest = 0;   ///< hash chain over what was applied
    std::uint64_t pending_calls = 0; ///< calls and reads of this process without an outcome
    disk_status disk;
    std::string problem;        ///< why the node does not serve, and what to do; empty when it does
    /// The longest that nothing was applied because a snapshot was taken, microseconds: how long copying the state takes.
    std::int64_t snapshot_pause_us = 0;
    /// The object that could not be written as JSON at the last attempt: there is no new snapshot, so the log is kept.
    /// Empty when nothing stands in the way.
    std::string log_kept_by;

    /// The same as a JSON object with these names.
    [[nodiscard]] nlohmann::json to_json() const;
};

/// A replica as a client sees it.
struct replica_status {
    std::string id;         ///< 32 hexadecimal digits; empty: nobody has answered there
    std::string endpoint;   ///< `host:port`
    bool connected = false;
    bool serving = false;   ///< it is there, and sees a healthy leader
    bool member = false;    ///< the group names it; otherwise only a seed does
    std::int64_t round_trip_us = 0;
    std::uint64_t reads = 0; ///< that it has answered
};

/// A picture of one client at one moment.
struct client_status {
    std::string group;        ///< the group's name
    std::string cluster;      ///< 32 hexadecimal digits; empty: the group was not found yet
    std::string leader;       ///< endpoint of the leader, if known
    std::uint32_t epoch = 0;  ///< number of the newest configuration that it has heard of
    std::uint64_t session = 0; ///< 0: none yet; a call that needs one opens it
    bool ready = false;       ///< has a session: calls can be executed
    std::uint64_t seen = 0;   ///< no read shows an older state than this slot's
    std::vector<replica_status> replicas; ///< at all addresses that it knows
    std::uint64_t pending_calls = 0; ///< calls and reads without an outcome
    std::string problem;      ///< why nothing is executed, and what to do; empty when it is

    /// The same as a JSON object with these names.
    [[nodiscard]] nlohmann::json to_json() const;
};

inline void to_json(nlohmann::json& j, replica_status const& r) {
    j = {{"id", r.id},           {"endpoint", r.endpoint},           {"connected", r.connected}, {"serving", r.serving},
         {"member", r.member}, {"round_trip_us", r.round_trip_us}, {"reads", r.reads}};
}

inline void to_json(nlohmann::json& j, client_status const& s) {
    j = {{"group", s.group},     {"cluster", s.cluster}, {"leader", s.leader}, {"epoch", s.epoch},
         {"session", s.session}, {"ready", s.ready},     {"seen", s.seen},     {"replicas", s.replicas},
         {"pending_calls", s.pending_calls}, {"problem", s.problem}};
}

inline nlohmann::json client_status::to_json() const { return *this; }

inline void to_json(nlohmann::json& j, voter_status const& v) {
    j = {{"id", v.id}, {"endpoint", v.endpoint}, {"connected", v.connected}};
}

inline void to_json(nlohmann::json& j, disk_status const& d) {
    j = {{"directory", d.directory}, {"state", d.state}, {"log_bytes", d.log_bytes}, {"snapshot", d.snapshot},
         {"last_sync_us", d.last_sync_us}, {"slowest_sync_us", d.slowest_sync_us}};
}

inline void to_json(nlohmann::json& j, node_status const& s) {
    j = {{"id", s.id},           {"cluster", s.cluster},     {"group", s.group},   {"endpoint", s.endpoint},
         {"role", s.role},       {"leader", s.leader},       {"epoch", s.epoch},   {"voters", s.voters},
         {"last_change", s.last_change},
         {"ready", s.ready},     {"healthy", s.healthy},     {"chosen", s.chosen}, {"applied", s.applied},
         {"log_start", s.log_start}, {"log_memory_bytes", s.log_memory_bytes},
         {"digest", s.digest},   {"pending_calls", s.pending_calls},
         {"disk", s.disk},
         {"problem", s.problem}, {"log_kept_by", s.log_kept_by},
         {"snapshot_pause_us", s.snapshot_pause_us}};
}

inline nlohmann::json node_status::to_json() const { return *this; }

} // namespace openreplica::inline v0
