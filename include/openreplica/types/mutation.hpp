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
    chosen_from_other_ballot,  ///< rule 2: a chosen index chooses entries that were accepted under another ballot
    vote_counted_twice,        ///< the leader's own vote counts twice
    vote_before_durable,       ///< a promise or an acknowledgement leaves before it is durable
    ask_before_durable,        ///< a candidate asks for promises before its own is durable
    skip_reproposal,           ///< a new leader proposes no-ops where values were accepted
    lowest_ballot_wins,        ///< a new leader takes the value of the lowest ballot
    read_without_quorum,       ///< a leader answers reads without asking whether it still leads
    read_before_no_op,         ///< a new leader answers reads before an entry of its own ballot is chosen
    apply_out_of_order,        ///< a replica applies a batch from its end
    forget_session_result,     ///< a retry does not find the stored outcome and runs again
    retry_under_new_session,   ///< a call that was sent is sent again under another session
    failure_means_not_executed ///< a call whose outcome is unknown is reported as not executed
};

#if defined(OPENREPLICA_MUTATION_TESTING)
inline mutant active_mutant = mutant::none; // Set once, before the simulation starts, by the test that breaks it.
#define OPENREPLICA_MUTANT(name) (::openreplica::active_mutant == ::openreplica::mutant::name)
#else
#define OPENREPLICA_MUTANT(name) false
#endif

} // namespace openreplica::inline v0
