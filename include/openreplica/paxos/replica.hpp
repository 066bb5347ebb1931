// One node's part in the protocol: step in, effects out.
#pragma once

#include <openreplica/paxos/acceptor.hpp>
#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/election.hpp>
#include <openreplica/paxos/learner.hpp>
#include <openreplica/paxos/log.hpp>
#include <openreplica/paxos/message.hpp>
#include <openreplica/paxos/output.hpp>
#include <openreplica/paxos/proposer.hpp>
#include <openreplica/paxos/reads.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/mutation.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::paxos {

/// Numbers of the protocol. All have working defaults.
struct replica_options {
    duration heartbeat = std::chrono::milliseconds(50);
    duration election_timeout_min = std::chrono::milliseconds(300);
    duration election_timeout_max = std::chrono::milliseconds(450);
    std::uint32_t priority = 0;              ///< decides between two ballots of one round
    std::uint64_t incarnation = 0;           ///< random per process: read numbers of an earlier life never match
    std::size_t window_entries = 4096;       ///< proposed but not chosen; past it `propose` refuses
    std::size_t window_bytes = 8u << 20;     ///< the same in bytes
    std::size_t batch_bytes = 256u << 10;    ///< one accept carries at most this much, and at least one value
    std::size_t promise_bytes = acceptor::promise_chunk_bytes; ///< a chunk of a promise is closed at this weight
    std::size_t learn_bytes = learner::reply_bytes;            ///< an answer with chosen entries is closed at this weight
};

/// What a checker, or a curious person, may look at.
struct observation {
    ballot promised;
    slot trimmed, chosen, last, held;
    bool leading = false;
    bool campaigning = false;
    ballot leading_ballot;
    slot first_proposed;
    std::size_t open_bytes = 0; ///< weight of what a leader has proposed and not seen chosen
};

/// What came of the wish for other voters, or for another leader.
enum class change_verdict : std::uint8_t {
    proposed,      ///< it is on its way
    unchanged,     ///< these are the voters already
    asking,        ///< promises of voters to come are on their way; ask again
    not_leading,   ///< only an established leader can do it
    under_way,     ///< another change is
    unfit_size,    ///< no voters, or too many
    removed,       ///< `who` had a vote once; ids are never reused
    unknown,       ///< `who` has no connection to the leader
    not_caught_up, ///< `who` lacks too much of the log
    no_majority    ///< too few of the voters, old or new, answer
};
struct change_answer {
    change_verdict verdict = change_verdict::proposed;
    node_id who{};
};

/// The protocol of one node: acceptor, proposer, learner, election and reads, without I/O.
///
/// Every input is a call, every effect is in the output that `take_output` gives; the same calls give the same output.
/// Time and randomness are arguments. The order contract is written beside `output`.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe; a node keeps one inside its strand.
class replica {
public:
    /// @param first the configuration that the group was founded with; what followed is in the log and in snapshots
    replica(node_id self, configuration first, replica_options options, durable_state const& recovered, instant now);

    replica(replica const&) = delete;
    replica& operator=(replica const&) = delete;

    /// Takes a message from `from`. Messages that belong to the driver (forwards, snapshots) are ignored here.
    void step(node_id from, message const& m, instant now);

    /// Time has passed. `jitter` is a random number that spreads the nodes' election timeouts.
    /// Call it a few times per heartbeat interval.
    void tick(instant now, std::uint64_t jitter);

    /// The storage has made everything up to `upto` durable.
    void persisted(lsn upto, instant now);

    /// Assigns slots to commands, in order, as far as the window allows. The result is how many were taken; those above
    /// it must be refused as overloaded. Takes none when this node does not lead.
    std::size_t propose(std::span<shared_bytes const> commands, instant now);

    /// True when `propose` would take all of these now.
    [[nodiscard]] bool has_room(std::span<shared_bytes const> commands) const;

    /// A read arrived. It may be served at the first `read_point` whose number is at least the result.
    [[nodiscard]] std::uint64_t read() { return batches_.add(); }

    /// A peer that wants to follow the log: voters of the configuration are known without it.
    void add_peer(node_id peer);
    void remove_peer(node_id peer);
    /// The connection to a peer broke. It adds suspicion, no more.
    void suspect(node_id peer, instant now);

    /// Proposes other voters, if that can be done now; otherwise says what stands in the way. Nothing is remembered: call
    /// again when the answer may be another. The change is done when `governing()` has these voters and `is_changing()` is
    /// false.
    change_answer change_voters(std::vector<member> voters, instant now);
    /// A stop-sign is on its way through this leader, or what follows it is.
    [[nodiscard]] bool is_changing() const;
    /// This leader gives out no slots for a moment: those above a stop-sign are the next voters'.
    [[nodiscard]] bool is_paused() const {
        auto const* l = std::get_if<leader>(&role_);
        return l != nullptr && l->stopped;
    }
    /// Asks a voter to campaign, although this leader is well; `hand_over` tells whether it could be asked.
    change_answer transfer_to(node_id heir, instant now);
    /// The voter that would lose the least time by taking over.
    [[nodiscard]] std::optional<node_id> best_heir(instant now) const;
    /// How long a node has not answered.
    [[nodiscard]] duration silent_for(node_id id, instant now) const { return election_.silent_for(id, now); }
    /// A majority of the voters, this node counted, has not heard `id` for an election timeout.
    [[nodiscard]] bool is_silent_to_majority(node_id id, instant now) const;
    /// How many slots a peer's durable log is behind this leader's; nothing when this node does not lead or know it.
    [[nodiscard]] std::optional<std::uint64_t> lag_of(node_id peer) const;

    /// The snapshot `s` holds everything up to its slot, and the state machine has it. False when it is not newer than the
    /// log.
    bool install(snapshot const& s, instant now);
    /// The state machine's snapshot holds everything up to `upto`: the log may forget it.
    void trim(slot upto);

    /// The highest chosen index that anybody told this node of.
    [[nodiscard]] slot known_chosen() const { return learner_.known(); }
    /// How far the slowest peer has got that answered within `limit`.
    [[nodiscard]] std::optional<slot> slowest_peer(instant now, duration limit) const {
        return election_.lowest_chosen(now, limit);
    }

    /// The storage's judgement of this node's disk. A node whose disk failed does not run, and steps down when it leads;
    /// one whose disk is slow or full leaves leading to the others when a majority's disks are better.
    void set_disk(disk_state s, instant now);
    /// Too many disks are full for anything new to be chosen, as far as this leader has heard: updates must be refused.
    [[nodiscard]] bool quorum_full(instant now) const;

    /// Everything that the calls so far produced, and what now goes out with it.
    [[nodiscard]] output take_output(instant now);

    [[nodiscard]] bool is_leader() const { return std::holds_alternative<leader>(role_); }
    /// Leads, and an entry of its own ballot is chosen: everything before it is known.
    [[nodiscard]] bool is_established() const {
        auto const* l = std::get_if<leader>(&role_);
        return l != nullptr && log_.chosen() >= l->no_op;
    }
    [[nodiscard]] bool is_voter() const { return governing().has_voter(self_); }
    /// This node had a vote once and lost it, and those who decide now need it no longer: its id is of no more use.
    [[nodiscard]] bool is_retired() const {
        return governing().has_removed(self_) && log_.chosen() > log_.governs_since() && !is_leader();
    }
    /// Whom to send commands to: the leader if this node knows one, else a peer that sees a healthy leader.
    [[nodiscard]] std::optional<node_id> route(instant now) const;
    /// The node that leads, as far as this one knows.
    [[nodiscard]] std::optional<node_id> leader_id(instant now) const;
    [[nodiscard]] bool is_happy(instant now) const;
    /// The log clock as this leader would stamp now; nothing on other nodes.
    [[nodiscard]] std::optional<log_time> clock(instant now) const;
    /// How long this node has led; zero on other nodes.
    [[nodiscard]] duration leading_for(instant now) const;
    /// The configuration of the first slot that this node does not know to be chosen.
    [[nodiscard]] configuration const& governing() const { return log_.governing(); }
    [[nodiscard]] log_time last_stamp() const { return stamp_; }
    [[nodiscard]] log const& entries() const { return log_; }
    [[nodiscard]] ballot const& promised() const { return acceptor_.promised(); }
    [[nodiscard]] observation observe() const;

private:
    void on(node_id from, prepare const& m, instant now);
    void on(node_id from, promise const& m, instant now);
    void on(node_id from, reject const& m, instant now);
    void on(node_id from, accept const& m, instant now);
    void on(node_id from, accepted const& m, instant now);
    void on(node_id from, chosen_index const& m, instant now);
    void on(node_id from, learn const& m, instant now);
    void on(node_id from, learned const& m, instant now);
    void on(node_id from, heartbeat const& m, instant now);
    void on(node_id from, heartbeat_reply const& m, instant now);
    void on(node_id from, read_request const& m, instant now);
    void on(node_id from, read_reply const& m, instant now);
    void on(node_id from, hand_over const& m, instant now);
    template <class Other>
    void on(node_id, Other const&, instant) {}

    // Phase 1.
    void campaign(instant now);
    void ask_promises(candidate& c, instant now);
    void ask_promise(ballot const& number, std::vector<node_id> of, slot after);
    void advance_candidate(instant now);
    void lead(instant now);
    void follow(instant now);
    void preempted(ballot const& by, instant now);
    void consider_running(instant now, std::uint64_t jitter);
    void watch_campaign(candidate& c, instant now, std::uint64_t jitter);
    [[nodiscard]] bool is_fit_to_lead(instant now) const;

    // Phase 2.
    [[nodiscard]] std::size_t fitting(leader const& l, std::span<shared_bytes const> commands) const;
    void propose_values(leader& l, std::vector<value> values, instant now);
    void count_votes(instant now);
    void pump(leader& l);
    void send_chosen(leader& l);
    void settle(leader& l);
    void rewind(leader& l, leader::progress& p, slot held);
    void ask_for_ack(leader::progress& p, slot there);
    void watch_progress(leader& l, instant now);
    /// The highest slot that this leader has proposed; what its log holds above is of earlier ballots.
    [[nodiscard]] slot proposed() const { return acceptor_.held(); }

    // Changing the voters.
    void propose_merged(leader& l, instant now);
    void ask_missing_promises(leader& l, configuration const& of, instant now);
    void press_change(leader& l, instant now);
    void activate(leader& l, instant now);
    void finish_change(leader& l, instant now);
    [[nodiscard]] std::optional<change_answer> obstacle_to(leader const& l, configuration const& next, instant now) const;
    [[nodiscard]] std::optional<change_answer> unfit_voter(leader const& l, configuration const& next, instant now) const;
    template <class Predicate>
    [[nodiscard]] bool holds_for_all(leader const& l, Predicate holds) const;

    // Heartbeats, catch-up and reads.
    void beat(instant now);
    void send_heartbeats();
    [[nodiscard]] duration spread(std::uint64_t jitter) const;
    void catch_up(instant now, std::uint64_t jitter);
    void after_learning(instant now);
    void send_reads(instant now);
    void answer_reads(leader& l);
    void read_point_reached(std::uint64_t number, slot index);
    [[nodiscard]] std::vector<node_id> others() const;

    /// A campaign that waits for slow disks, or for a long report, is dropped after so many election timeouts.
    static constexpr int patient_campaigns = 10;

    struct relayed_read {
        node_id from;
        std::uint64_t number; ///< the requester's
        std::uint64_t batch;  ///< ours that it joined
    };

    node_id self_;
    replica_options options_;
    effects fx_;
    log log_;
    acceptor acceptor_;
    learner learner_;
    election election_;
    std::variant<follower, candidate, leader> role_;
    std::set<node_id> peers_; ///< everyone this node talks to: the other voters and the learners that came
    read_batches batches_;
    std::vector<relayed_read> relayed_;
    std::optional<node_id> hint_; ///< who claimed to lead last; good enough to send commands to
    lsn durable_;
    log_time stamp_; ///< the highest stamp seen in chosen or merged values
    std::uint64_t beats_; ///< begins at a random place: an answer to an earlier life of this node must not confirm a read
    slot hinted_;         ///< the chosen index that the last `chosen_record` holds
    disk_state disk_ = disk_state::ok;
    epoch met_; ///< the voters of this configuration are peers
    instant next_beat_;
    instant last_tick_;
    std::optional<instant> unhappy_since_;
    instant quiet_until_; ///< does not run before; rule 7's abstention and the back-off after a lost campaign
    duration patience_;   ///< this round's election timeout
};

} // namespace openreplica::inline v0::paxos

#include <openreplica/paxos/replica_changing.hpp>
#include <openreplica/paxos/replica_following.hpp>
#include <openreplica/paxos/replica_leading.hpp>
