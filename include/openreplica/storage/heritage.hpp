// What the directory of a lost group's member has to give to a new cluster, and why it may have nothing.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/storage/files.hpp>
#include <openreplica/storage/recovery.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::storage {

/// The state that a directory holds, as far as anybody can read it.
///
/// Every accepted entry counts, known to be chosen or not: nobody who could tell is left. An entry that was never chosen may
/// become part of the state, as a call with an unknown outcome may; one that was chosen by the others alone is missing.
struct heritage {
    node_id node;
    cluster_id cluster;               ///< empty when the log that names it is gone
    paxos::configuration governing;   ///< the last one, chosen or not
    paxos::snapshot base;             ///< slot 0: none
    std::vector<paxos::entry> entries; ///< contiguous from `base.at + 1`
    slot known_chosen;                ///< up to here, entries are known to be chosen
    ballot highest;                   ///< of promises, entries and the snapshot
    log_time stamp;                   ///< the highest one
    std::string damage;               ///< why recovery would set the directory aside; empty when it would not

    [[nodiscard]] slot last() const { return entries.empty() ? base.at : entries.back().at; }
    /// Of the last entry. Of two survivors, the one with the higher ballot knows more of what was chosen, and among equals
    /// the one with the higher `last()`: a ballot's leader begins with everything that was chosen before.
    [[nodiscard]] ballot last_ballot() const { return entries.empty() ? base.behind : entries.back().accepted; }
    /// How many entries are kept of which nobody here knows that they were chosen.
    [[nodiscard]] std::uint64_t unproven() const { return last().since(known_chosen); }
    /// The node has lost nobody: it is all the voters that there are.
    [[nodiscard]] bool is_alone() const { return governing.voters.size() == 1 && governing.has_voter(node); }
    /// Where the others reached it; nothing when it had no vote.
    [[nodiscard]] std::optional<endpoint> address() const {
        for (paxos::member const& m : governing.voters)
            if (m.id == node) return m.address;
        return std::nullopt;
    }
};

namespace detail {

/// The newest snapshot, and the entries that continue it: behind a gap, an entry is worth nothing.
inline void inherit_state(heritage& h, directory_contents& found) {
    if (!found.snapshots.empty()) h.base = std::move(found.snapshots.front());
    for (paxos::entry& e : found.entries)
        if (e.at == h.last().next()) h.entries.push_back(std::move(e));
    h.highest = std::max(found.log.tail.state.promised, h.base.behind);
    if (found.last_meta) h.highest = std::max(h.highest, found.last_meta->promised);
    h.stamp = h.base.stamp;
    for (paxos::entry const& e : h.entries) {
        h.highest = std::max(h.highest, e.accepted);
        h.stamp = std::max(h.stamp, e.what.stamp);
    }
    // As a node that starts again does: a hint is believed when the entry that it names is here.
    checkpoint const& told = found.log.tail.state;
    h.known_chosen = h.base.at;
    for (paxos::entry const& e : h.entries)
        if (e.at == told.chosen && e.accepted >= told.chosen_under) h.known_chosen = e.at;
}

[[nodiscard]] inline paxos::configuration last_configuration(heritage const& h, checkpoint const& told) {
    paxos::configuration last = told.group.members;
    if (h.base.governing.number > last.number) last = h.base.governing;
    for (paxos::entry const& e : h.entries) {
        if (e.what.kind != paxos::value_kind::configuration) continue;
        wire_reader r(e.what.body.view());
        paxos::configuration c = paxos::decode_configuration(r);
        if (r.complete() && c.number > last.number) last = std::move(c);
    }
    return last;
}

} // namespace detail

/// Reads what `dir` has to give, and changes nothing.
///
/// @param accept_damage also from a directory that recovery would set aside: what can be read up to the damage
/// @throws openreplica::error `storage_failed` with a sentence when it has nothing to give, when a file cannot be read, or
/// when it is damaged and damage is not accepted
[[nodiscard]] inline heritage read_heritage(directory& dir, bool accept_damage) {
    directory_contents found = read_directory(dir);
    if (!found.has_data)
        detail::fail(dir, "it holds no data of a node, so that there is nothing to make a cluster of; check the path, or "
                          "start a new group with an empty directory");
    if (!found.owner)
        detail::fail(dir, "the file that says whose data these are is missing or damaged, so that none of them can be "
                          "checked; restore the whole directory from a backup, or take another member's");
    detail::check(dir, found.log.failure, "reading " + found.log.failed_file);
    heritage h;
    h.node = found.owner->node;
    h.cluster = found.log.tail.state.group.cluster;
    h.damage = found.owner->ready ? found.damage() : "its id file says that it was not completely made";
    detail::inherit_state(h, found);
    h.governing = detail::last_configuration(h, found.log.tail.state);
    if (h.last() == slot{})
        detail::fail(dir, "it holds neither an entry nor a whole snapshot of a group, so that there is nothing to make a "
                          "cluster of" + (h.damage.empty() ? std::string() : " (" + h.damage + ")") +
                              "; take another member's directory, or start a new group with an empty one");
    if (!h.damage.empty() && !accept_damage)
        detail::fail(dir, "it is damaged: " + h.damage + "; acknowledged data may be missing. Take another member's "
                          "directory or a backup if there is one; to go on with what can be read, up to slot " +
                          std::to_string(h.last().value) + ", accept the damage explicitly");
    if (h.is_alone() && h.damage.empty())
        detail::fail(dir, "its node is the only voter of its group and has lost nobody: start it as it is");
    return h;
}

} // namespace openreplica::inline v0::storage
