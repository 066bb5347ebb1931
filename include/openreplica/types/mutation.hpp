// Deliberately broken rules, for the test that proves that the simulator would notice.
#pragma once

#include <cstdint>
#include <string_view>

namespace openreplica::inline v0 {

/// One rule of the protocol each. A build with `OPENREPLICA_MUTATION_TESTING` breaks the active one at run time; every
/// other build contains no trace of them.
enum class mutant : std::uint8_t {
    none,
    accept_below_promise,      ///< an acceptor takes an accept of a ballot below its promise
    promise_goes_back,         ///< an acceptor grants a prepare below its promise
    promise_reports_nothing,   ///< an acceptor hides what it has accepted
    ack_over_hole,             ///< an acceptor takes and acknowledges an accept that leaves a hole behind it
    rule_c_off,                ///< an acceptor takes an accept that leaves a hole behind it, and acknowledges no more than it should
    chosen_from_other_ballot,  ///< rule 2: a chosen index chooses entries that were accepted under another ballot
    vote_counted_twice,        ///< the leader's own vote counts twice
    own_vote_before_sync,      ///< the leader's own vote counts before its disk has it
    learner_vote_counted,      ///< an acknowledgement of a node without a vote counts
    vote_before_durable,       ///< a promise or an acknowledgement leaves before it is durable
    ask_before_durable,        ///< a candidate asks for promises before its own is durable
    foreign_promise_counted,   ///< a candidate counts a promise of another ballot
    partial_promise_counted,   ///< a promise counts when its first part is there
    propose_below_chosen,      ///< a new leader proposes below its quorum's chosen index
    skip_reproposal,           ///< a new leader proposes no-ops where values were accepted
    lowest_ballot_wins,        ///< a new leader takes the value of the lowest ballot
    read_without_quorum,       ///< a leader answers reads without asking whether it still leads
    old_heartbeat_confirms,    ///< an answer to a heartbeat sent before a read arrived confirms it
    read_before_no_op,         ///< a new leader answers reads before an entry of its own ballot is chosen
    apply_out_of_order,        ///< a replica applies a batch from its end
    forget_session_result,     ///< a retry does not find the stored outcome and runs again
    sessions_lost_in_restore,  ///< a snapshot is restored without its sessions
    ignore_deadline,           ///< a command is executed although its deadline had passed when the log ordered it
    forward_taken_twice,       ///< the second copy of a forward is decided anew
    retry_under_new_session,   ///< a call that was sent is sent again under another session
    failure_means_not_executed, ///< a call whose outcome is unknown is reported as not executed
    learned_without_promise,   ///< rule R: chosen entries are taken without promising the ballot behind them
    stale_ack_counted,         ///< an acknowledgement of another ballot counts
    any_report_counts,         ///< any report of the disk makes all of the leader's own votes count
    chosen_goes_back,          ///< an older snapshot takes the chosen index back
    promise_without_owner,     ///< the record of a promise holds its ballot's round and not whose it is
    wal_torn_is_damage,        ///< recovery takes a torn tail for damage
    snapshot_names_no_ballot,  ///< a snapshot does not name the highest ballot behind it
    restored_forgets_ballot,   ///< the ballot that a restored snapshot names is not in the next one
    snapshot_not_asked_for,    ///< a node that has fallen behind the log asks for no snapshot
    snapshot_names_latest_voters, ///< a snapshot names the voters of the time at which it was written
    snapshot_behind_state,     ///< a snapshot names a slot below the one that its state holds
    wal_reports_before_sync,   ///< a group counts as durable when it is written, not when it is synced
    wal_trusts_failed_sync,    ///< a sync that failed is believed
    wal_names_without_sync,    ///< a new segment is used before its name is durable
    wal_truncates_damage,      ///< recovery cuts the log off at any bad record, acknowledged or not
    wal_skips_checksum,        ///< the checksum of a record's payload is not looked at
    wal_keeps_torn_tail,       ///< recovery leaves a torn tail where it is
    damaged_node_keeps_id,     ///< a node that lost what it acknowledged comes back under its id
    wal_skips_full_group,      ///< a group that found no room counts as written
    full_for_good,             ///< a disk that was full once is never believed to have room again
    unkept_snapshot_counts,    ///< a snapshot counts although it could not be written
    snapshot_ahead_of_state,   ///< a snapshot names a slot that its state does not hold yet
    older_snapshot_restored,   ///< a snapshot that comes late takes the state back
    snapshot_part_twice,       ///< a part that comes again is appended again, and nobody compares the checksum
    recovered_not_applied,     ///< what a node finds chosen in its own log is not applied when it starts
    merge_past_stop_sign,      ///< rule 1: what an old quorum accepted above a stop-sign is proposed with it
    proposes_past_stop_sign,   ///< a leader goes on proposing above a stop-sign under the configuration that it ends
    activates_without_promises, ///< rule 1: a leader proposes above a stop-sign before its voters have promised
    configuration_not_in_snapshot, ///< a snapshot names the configuration that the group was founded with
    install_keeps_configuration, ///< a snapshot's configuration is not taken up with it
    epoch_ignored,             ///< rule 4: an acceptor takes an accept of an epoch that does not govern its slot
    old_voters_counted,        ///< above a stop-sign the votes of those count whom it removed
    accepted_stop_sign_governs, ///< a stop-sign governs as soon as it is accepted, chosen or not
    trim_forgets_stop_sign,    ///< what governed the trimmed entries is forgotten with them
    restart_forgets_configuration, ///< a node starts from a snapshot with the voters that the group was founded with
    tombstones_forgotten,      ///< a configuration does not name whom it removed
    removed_keeps_id,          ///< a node that lost its vote goes on under its id
};

#if defined(OPENREPLICA_MUTATION_TESTING)
inline mutant active_mutant = mutant::none; // Set once, before the simulation starts, by the test that breaks it.
#define OPENREPLICA_MUTANT(name) (::openreplica::active_mutant == ::openreplica::mutant::name)
#else
#define OPENREPLICA_MUTANT(name) false
#endif

} // namespace openreplica::inline v0
