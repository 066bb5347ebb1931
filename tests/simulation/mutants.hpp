// The broken rules, and by which invariants the simulator must notice each.
#pragma once

#include <openreplica/types/mutation.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace simulation {

using openreplica::mutant;

/// A broken rule is noticed only if a seed reports one of the invariants that it breaks: a crash, or an invariant that has
/// nothing to do with it, proves nothing.
struct named_mutant {
    mutant which;
    char const* name;
    char const* expected; ///< names of invariants, each with a space behind it
    std::uint64_t hint;   ///< a seed that noticed it once; it is tried before the others

    [[nodiscard]] bool expects(std::string_view invariant) const {
        return !invariant.empty() && std::string_view(expected).find(std::string(invariant) + " ") != std::string_view::npos;
    }
};

#define MUTANT(x, expected, hint) named_mutant{mutant::x, #x, expected, hint}
constexpr std::array mutants{
    MUTANT(accept_below_promise, "S1 S3 ", 14),
    MUTANT(promise_goes_back, "S2 S3 ", 2),
    MUTANT(promise_reports_nothing, "S1 S5 ", 2),
    MUTANT(ack_over_hole, "S1 S4 S5 S9 ", 1),
    MUTANT(chosen_from_other_ballot, "S1 S4 ", 2),
    MUTANT(vote_counted_twice, "S1 ", 1),
    MUTANT(own_vote_before_sync, "S1 ", 5),
    MUTANT(learner_vote_counted, "S1 ", 1),
    MUTANT(vote_before_durable, "S4 ", 2),
    MUTANT(ask_before_durable, "S4 ", 2),
    MUTANT(foreign_promise_counted, "S1 S5 ", 14),
    MUTANT(partial_promise_counted, "S1 ", 57),
    MUTANT(propose_below_chosen, "S1 ", 4),
    MUTANT(skip_reproposal, "S1 ", 2),
    MUTANT(lowest_ballot_wins, "S1 ", 4),
    MUTANT(read_without_quorum, "S13 ", 1),
    MUTANT(old_heartbeat_confirms, "S13 ", 4),
    MUTANT(read_before_no_op, "S13 ", 34),
    MUTANT(apply_out_of_order, "S7 ", 1),
    MUTANT(forget_session_result, "S8 S11 ", 1),
    MUTANT(sessions_lost_in_restore, "S8 S11 ", 2),
    MUTANT(ignore_deadline, "S12 ", 2),
    MUTANT(forward_taken_twice, "S12 ", 3),
    MUTANT(retry_under_new_session, "S6 S11 ", 294),
    MUTANT(failure_means_not_executed, "S12 ", 2),
    MUTANT(learned_without_promise, "S3 ", 16),
    MUTANT(wal_reports_before_sync, "S16 ", 2),
    MUTANT(wal_trusts_failed_sync, "S16 ", 7),
    MUTANT(wal_names_without_sync, "S16 ", 2),
    MUTANT(wal_truncates_damage, "S9 S16 ", 33),
    MUTANT(wal_skips_checksum, "S1 S9 S16 ", 22),
    MUTANT(wal_keeps_torn_tail, "S16 ", 160),
    MUTANT(damaged_node_keeps_id, "S16 ", 33),
    MUTANT(wal_skips_full_group, "S4 S9 S16 ", 145),
    MUTANT(full_for_good, "L1 L2 ", 29),
    MUTANT(unkept_snapshot_counts, "S4 S9 S16 ", 39),
    MUTANT(snapshot_ahead_of_state, "S7 S8 S18 ", 2),
    MUTANT(older_snapshot_restored, "S7 S18 ", 3),
    MUTANT(snapshot_part_twice, "S7 ", 31),
    MUTANT(recovered_not_applied, "S7 L2 L3 ", 2),
    MUTANT(proposes_past_stop_sign, "S1 S5 S14 ", 61),
    MUTANT(configuration_not_in_snapshot, "S14 L1 L3 ", 381),
    MUTANT(install_keeps_configuration, "S14 S8 L1 L3 ", 149),
    MUTANT(old_voters_counted, "S1 S5 ", 17),
    MUTANT(accepted_stop_sign_governs, "S1 S5 S14 ", 17),
    MUTANT(trim_forgets_stop_sign, "S14 S5 ", 23),
    MUTANT(restart_forgets_configuration, "S1 S14 L1 L5 ", 56),
    MUTANT(tombstones_forgotten, "S15 ", 17),
    MUTANT(removed_keeps_id, "L5 S15 ", 17),
    MUTANT(stale_ack_counted, "S1 ", 42),
    MUTANT(any_report_counts, "S1 ", 5),
    MUTANT(chosen_goes_back, "S9 ", 2),
    MUTANT(promise_without_owner, "S16 ", 39),
    MUTANT(wal_torn_is_damage, "S16 ", 68),
    MUTANT(snapshot_names_no_ballot, "S3 ", 2),
    MUTANT(restored_forgets_ballot, "S3 ", 26),
    MUTANT(snapshot_not_asked_for, "L1 L2 L3 ", 6),
    MUTANT(snapshot_names_latest_voters, "S14 ", 25),
    MUTANT(snapshot_behind_state, "S7 S8 S18 ", 2)};
#undef MUTANT

} // namespace simulation
