// The last resort of an operator whose group has lost its majority for good.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/runtime/random.hpp>
#include <openreplica/storage/heritage.hpp>
#include <openreplica/storage/new_cluster.hpp>
#include <openreplica/storage/posix_directory.hpp>
#include <openreplica/types/endpoint.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace openreplica::inline v0 {

/// What whoever calls `force_new_cluster` must say.
enum class confirmation : std::uint8_t {
    none,
    /// A majority of the voters is gone for good, and none of them will ever be started again.
    i_have_lost_the_majority,
};

struct force_new_cluster_options {
    /// `host:port` where the node will be reached. Empty: where the others reached it; a node that had no vote must name it.
    std::string address{};
    /// Also from a directory that is damaged so that a node would set it aside. What is kept is the newest whole snapshot
    /// and the entries behind it up to the damage: acknowledged calls may be missing.
    bool accept_damage = false;
};

/// What `force_new_cluster` did. Ids have 32 hexadecimal digits.
struct forced_cluster {
    std::string old_cluster; ///< empty: the log that named it is gone
    std::string new_cluster;
    std::string old_node, new_node;
    std::string address;               ///< `host:port` of the only voter
    std::uint32_t epoch = 0;           ///< number of its configuration: the old one's + 1
    std::uint64_t kept_to = 0;         ///< the last slot whose entry, or effect in a snapshot, was taken over
    std::uint64_t not_known_chosen = 0; ///< so many of the last entries were accepted here and may never have been chosen
    std::string damage;                ///< the damage that was accepted; empty: the directory was whole
    std::string evidence;              ///< what the old files carry behind their names now
    bool resumed = false;              ///< an earlier run was interrupted; this one ended what that had decided
};

namespace detail {

/// Looks without leaving anything behind: not even a lock in what is no node's directory.
inline void check_holds_node(std::string const& data_dir) {
    storage::posix_directory look(data_dir, storage::posix_directory::access::read_only);
    std::vector<std::string> names;
    storage::detail::check(look, look.list(names), "listing it");
    if (names.empty())
        storage::detail::fail(look, "it is empty: there is nothing to make a cluster of; check the path, or start a new "
                                    "group with it as it is");
    for (std::string const& n : names)
        if (n == storage::identity_name || n == storage::new_cluster_name || storage::detail::is_data(n)) return;
    storage::detail::fail(look, "there are files in it, but none of a node; check the path");
}

[[nodiscard]] inline endpoint address_for(storage::heritage const& from, std::string const& wanted,
                                          std::string const& data_dir) {
    if (wanted.empty()) {
        if (auto const own = from.address()) return *own;
        throw error(errc::bad_option, "the node in \"" + data_dir + "\" had no vote, so that nothing there says where it is "
                                      "reached; name its address (host:port)");
    }
    auto const parsed = parse_endpoint(wanted);
    if (!parsed || parsed->port == 0 || parsed->host.size() > 255)
        throw error(errc::bad_option, "the address \"" + wanted + "\" is not a host and a port, such as 192.0.2.1:7000");
    return *parsed;
}

[[nodiscard]] inline std::string unconfirmed(storage::heritage const& from, std::string const& data_dir) {
    return "force_new_cluster would make a new cluster of what \"" + data_dir + "\" holds of cluster " +
           (from.cluster.empty() ? "(unknown)" : to_string(from.cluster)) + ": all up to slot " +
           std::to_string(from.last().value) + ", of which the last " + std::to_string(from.unproven()) +
           " entries are not known to be chosen (the last one has round " + std::to_string(from.last_ballot().round) +
           "). Whatever only other members have is lost. Nothing was changed. Confirm that a majority of the voters is "
           "gone for good and will never be started again";
}

[[nodiscard]] inline forced_cluster report(storage::succession const& s, bool resumed) {
    forced_cluster out;
    if (!s.old_cluster.empty()) out.old_cluster = to_string(s.old_cluster);
    out.new_cluster = to_string(s.new_cluster);
    out.old_node = to_string(s.old_node);
    out.new_node = to_string(s.new_node);
    out.address = to_string(s.address);
    out.epoch = s.number.value;
    out.kept_to = s.kept.value;
    out.not_known_chosen = s.unproven;
    out.damage = s.damage;
    out.evidence = s.evidence();
    out.resumed = resumed;
    return out;
}

} // namespace detail

/// Makes a new cluster of one surviving directory, whose node is the only voter: when a majority of a group's voters is gone
/// for good, and only then. The group is lost; this saves what one member knows of it.
///
/// The node keeps all its objects and sessions, so that a retried call still runs once, and comes back under a new id in a
/// cluster with a new id. Start it with the options it had; others join it as they join any group, with empty directories.
///
/// @par What may be lost, and what may appear
/// Every entry that this directory holds is kept. Acknowledged calls that only other members hold are lost. Of several
/// survivors take the one whose last entry has the highest round, and among equals the one with the highest slot: without
/// confirmation, the sentence says both. Calls whose outcome nobody knew, because they were accepted here and never chosen,
/// become part of the state.
///
/// @par The old members
/// They have another cluster id: the new cluster's members and they refuse each other at the handshake, for good. But they
/// are not dead: if a majority of them starts again after all, it goes on as the old group, beside the new one. Wipe their
/// directories, and take their addresses out of seeds and DNS, lest newcomers find them.
///
/// @par Errors
/// Throws `error`, and changes nothing that a node would see, unless the sentence says otherwise: `bad_option` without
/// confirmation (the sentence says what would be kept) or with a bad address; `storage_failed` when the directory is empty,
/// no node's, in use by a running node, damaged (`force_new_cluster_options::accept_damage`), without anything to keep, or
/// that of a group's only voter, who needs nobody; and when the disk fails.
///
/// @par Crashes
/// The old files are moved aside, not deleted (`forced_cluster::evidence`). A crash leaves either the old member as it was,
/// or a directory that nodes refuse to open until this is called again; that ends what was begun, with the ids decided
/// then. It needs as much room as the snapshot and the log take.
///
/// @par Thread safety
/// Safe; the directory is locked meanwhile.
inline forced_cluster force_new_cluster(std::string const& data_dir, confirmation confirmed,
                                        force_new_cluster_options const& options = {}) {
    detail::check_holds_node(data_dir);
    storage::posix_directory dir(data_dir);
    storage::new_cluster making(dir);
    bool const sure = confirmed == confirmation::i_have_lost_the_majority;
    if (auto const begun = making.interrupted()) {
        if (!sure)
            throw error(errc::bad_option, "force_new_cluster was interrupted on \"" + data_dir + "\" after it had been "
                                          "confirmed; confirm it again to let it end");
        return detail::report(making.finish(*begun), true);
    }
    storage::heritage const from = storage::read_heritage(dir, options.accept_damage);
    endpoint const address = detail::address_for(from, options.address, data_dir);
    if (!sure) throw error(errc::bad_option, detail::unconfirmed(from, data_dir));
    runtime::random_source random;
    node_id const node{random(), random()};
    return detail::report(making.make(from, {node, address}, cluster_id{random(), random()}), false);
}

} // namespace openreplica::inline v0
