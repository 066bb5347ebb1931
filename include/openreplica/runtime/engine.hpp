// One node without its sockets, threads and clocks: what the simulator runs is what ships.
#pragma once

#include <openreplica/paxos/founding.hpp>
#include <openreplica/paxos/replica.hpp>
#include <openreplica/runtime/applier.hpp>
#include <openreplica/runtime/calls.hpp>
#include <openreplica/runtime/environment.hpp>
#include <openreplica/runtime/healing.hpp>
#include <openreplica/runtime/snapshot_transfer.hpp>
#include <openreplica/storage/storage.hpp>
#include <openreplica/types/mutation.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::runtime {

/// What the engine needs of the node's options.
struct engine_options {
    paxos::replica_options protocol{};
    std::uint32_t founders = 1;
    bool has_seeds = false;
    duration session_timeout = std::chrono::seconds(10);
    duration retry = std::chrono::milliseconds(500); ///< a call without an outcome is sent again after this long
    std::uint64_t snapshot_every = 65536;            ///< entries between two snapshots,
    std::uint64_t snapshot_bytes = 128u << 20;       ///< or so many bytes of entries
    std::size_t snapshot_chunk = snapshot_transfer::chunk_bytes; ///< a snapshot travels in parts of this size
    healing_options healing{};
    std::vector<std::string> failure_groups{};       ///< of this node
    std::size_t min_voters = 1;                      ///< no change leaves fewer
    std::uint64_t keep_entries = 16384;              ///< entries that stay behind a snapshot for peers that lag a little
};

/// A linearizable read on its way. `done` runs where the strand runs when the read fails, and where entries are applied
/// when it may be made.
struct pending_read {
    gateway::completion done;
    call_ticket ticket;
    instant deadline;
};

/// What a person wants to know of a node.
struct engine_status {
    node_id self;
    cluster_id cluster;
    paxos::configuration governing;
    std::optional<node_id> leader;
    bool leading = false;
    bool voter = false;
    bool healthy = false; ///< this node sees a healthy leader
    ballot promised;
    slot chosen, applied, log_start;
    std::uint64_t log_weight = 0; ///< bytes of the log in memory
    std::uint64_t digest = 0;
    session_id session;
    std::string problem; ///< why the node does not serve; empty when it does
    std::string last_change; ///< what was decided about the voters by itself
    std::string log_kept_by; ///< the object without a JSON form that stands in the way of snapshots; empty: none
    duration freeze_pause{}; ///< the longest that nothing was applied because of a snapshot
};

/// Founding, the protocol, storage order, calls, sessions, reads and snapshots of one node.
///
/// Inputs are calls; after one or more of them `flush` carries out everything that follows, in one go, so that work
/// that arrived together leaves together.
///
/// @par Thread safety
/// One strand.
class engine {
public:
    engine(paxos::member self, engine_options options, environment& env, storage::storage& store, calls& pending);

    /// Takes up what the storage remembers. Call once, before anything else.
    void start(paxos::durable_state&& recovered);

    void on_message(node_id from, paxos::message&& m);
    void on_message(paxos::member const& from, paxos::founding_message const& m);
    void on_peer_up(node_id peer);
    void on_peer_down(node_id peer);
    /// The peer is gone for good as far as this process knows: a diskless process that ended.
    void on_peer_forgotten(node_id peer);
    /// A seed has led back to this node.
    void on_met_self();
    void on_durable(lsn upto);
    /// The storage is done with the snapshot that it was given last: it has kept it, or could not.
    void on_kept(slot at, bool whole);
    /// A snapshot of this node's state is text now, or could not be written.
    void on_written(written_snapshot&& s);
    void on_applied(apply_report&& report);
    void add_reads(std::vector<pending_read>&& reads);
    /// Commands of a client of this node. What is not proposed is refused, here or by the leader; the rest shows when it
    /// is applied.
    void on_commands(net::guest_id client, net::client_commands&& m);
    /// True when the read was found; it ends with `cancelled`: a read has no effect.
    bool cancel_read(call_ticket ticket);
    /// Other voters; or a leader by its id or address, empty for whoever is fittest.
    using change_wish = std::variant<paxos::voter_change, std::string>;
    /// `done` gets a zero code when it is so.
    void wish(call_ticket ticket, change_wish what, instant deadline, gateway::completion done);
    void cancel_wish(call_ticket ticket);
    /// This node is about to stop: if it leads, somebody else shall. False when nobody could be asked.
    bool step_aside();
    void tick();
    /// Ends everything that waits: the node stops.
    void stop();

    /// Carries out what the inputs since the last flush ask for.
    void flush();

    [[nodiscard]] engine_status status() const;
    /// This node has a session: it is part of a group that makes progress.
    [[nodiscard]] bool is_ready() const { return ready_; }
    [[nodiscard]] paxos::replica const* core() const { return replica_ ? &*replica_ : nullptr; }
    [[nodiscard]] slot applied() const { return report_.applied; }

private:
    struct held_message {
        std::vector<node_id> to;
        paxos::message what;
        lsn after;
    };
    struct read_group {
        std::uint64_t number;
        std::vector<pending_read> reads;
    };
    struct placed_reads {
        slot index;
        std::vector<pending_read> reads;
    };

    void join(paxos::first_configuration const& group, paxos::durable_state const& recovered);
    [[nodiscard]] paxos::founding_options founding_options() const;
    void step_founding();
    void join_existing(paxos::welcome const& w);
    void start_over(bool only_joins);
    void watch_voters();
    void send_calls();
    void send_command(std::string encoded);
    [[nodiscard]] call_outcome check(shared_bytes const& command, bool of_a_peer) const;
    [[nodiscard]] call_outcome check_room() const;
    void propose_own(calls::batch&& b);
    void take_core_output(apply_batch& work);
    void place_reads(std::vector<paxos::read_point> const& points);
    void serve_reads(apply_batch& work);
    void release_held();
    void keep_snapshot(checked_snapshot s, bool fetched);
    [[nodiscard]] bool is_snapshot_due() const;
    [[nodiscard]] bool is_near_the_end(instant now) const;
    void trim_log(slot at, instant now);
    void send_requests(node_id to, std::vector<paxos::snapshot_request> const& requests);
    void watch_storage(instant now);
    void tell_durable();
    void expire_reads(instant now);
    void keep_session(instant now);
    void keep_clock(instant now);
    void watch_leader(instant now);

    // Changing the voters.
    struct open_wish {
        call_ticket ticket;
        std::uint64_t number;
        change_wish what;
        instant deadline;
        gateway::completion done;
        std::optional<node_id> asked{}; ///< whom it was sent to
        instant asked_at{};
        bool asked_others = false;      ///< before
        std::optional<epoch> done_in{}; ///< it is done, and this node has yet to see that epoch
    };
    struct order {
        node_id from;
        std::uint64_t number;
        change_wish what;
        instant begun;
        instant heard_at;
        std::string obstacle{};
        std::vector<paxos::member> proposed{}; ///< the voters to come; for a transfer, the leader to come
        instant proposed_at{};
        std::vector<paxos::member> met{}; ///< the voters to come were told of one another,
        instant met_at{};                 ///< at this time
    };
    void heal(instant now);
    [[nodiscard]] group_view view_of_group(instant now) const;
    void press_wishes(instant now);
    void send_wish(open_wish& w, instant now);
    void finish_wish(std::size_t index, call_outcome outcome);
    void end_wish(std::size_t index, errc unsent, std::string const& why);
    void carry_out_orders(instant now);
    [[nodiscard]] std::optional<call_outcome> carry_out(order& o, paxos::voter_change const& what, instant now);
    [[nodiscard]] std::optional<call_outcome> carry_out(order& o, std::string const& heir, instant now);
    [[nodiscard]] bool have_met(order& o, std::vector<paxos::member> const& voters, instant now);
    [[nodiscard]] call_outcome resolve(paxos::voter_change const& what, std::vector<paxos::member>& voters) const;
    [[nodiscard]] std::optional<paxos::member> find_voter(std::string const& name) const;
    [[nodiscard]] std::optional<paxos::member> find_node(std::string const& name) const;
    void answer(order const& o, call_outcome const& outcome);
    void take_order(node_id from, std::uint64_t number, change_wish const& what);
    void on(node_id from, paxos::change_request const& m);
    void on(node_id from, paxos::transfer_request const& m);
    void on(node_id from, paxos::change_reply const& m);
    void on(node_id from, paxos::meet const& m);

    [[nodiscard]] bool is_first_copy(node_id from, std::uint64_t number);
    void take_forward(node_id from, paxos::forward& m);
    void take_parked();
    void take_commands(net::guest_id client, net::client_commands&& m);
    [[nodiscard]] bool must_wait(instant now) const;
    void on(node_id from, paxos::forward& m);
    void on(node_id from, paxos::forward_refused const& m);
    void on(node_id from, paxos::snapshot_request const& m);
    void on(node_id from, paxos::snapshot_chunk const& m);
    [[nodiscard]] bool pass_on_refusal(node_id from, paxos::forward_refused const& m);
    template <class Core>
    void on(node_id from, Core const& m) {
        replica_->step(from, m, env_.now());
    }

    paxos::member self_;
    engine_options options_;
    environment& env_;
    storage::storage& store_;
    calls& calls_;
    std::optional<paxos::founding> founding_;
    bool met_self_ = false;
    cluster_id cluster_;
    paxos::configuration first_; ///< the group's first
    std::optional<paxos::replica> replica_;
    paxos::configuration known_; ///< the voters that the environment was told of
    std::vector<open_wish> wishes_;
    healing healing_;
    std::string last_change_;
    std::vector<order> orders_;  ///< wishes that this node carries out while it leads
    std::vector<node_id> up_; ///< peers with a connection

    lsn written_;       ///< last record handed to the storage
    lsn core_base_;     ///< storage position of the protocol core's position 0
    lsn durable_;       ///< as the storage reported
    lsn told_;          ///< as the parts were told
    std::deque<held_message> held_;
    std::deque<std::pair<paxos::founding_outgoing, lsn>> held_founding_;

    std::deque<read_group> asked_;
    std::deque<placed_reads> placed_;
    std::vector<finished_call> finished_;

    std::uint64_t next_forward_ = 1;
    struct sent_forward {
        node_id to;
        std::vector<sequence> numbers;
    };
    std::map<std::uint64_t, sent_forward> forwards_; ///< the latest ones, to know what a refusal refuses
    std::vector<std::pair<node_id, paxos::forward>> parked_; ///< forwards that wait for somebody to take them
    std::vector<std::pair<net::guest_id, net::client_commands>> parked_commands_; ///< the same of clients
    instant parked_since_{}; ///< when the first of them came
    struct sent_for_client {
        node_id to;
        net::guest_id client;
        std::uint64_t number; ///< the client's
    };
    std::map<std::uint64_t, sent_for_client> sent_for_clients_; ///< the latest ones, by this node's number
    std::set<std::pair<node_id, std::uint64_t>> seen_; ///< the latest forwards of others
    std::deque<std::pair<node_id, std::uint64_t>> seen_order_;
    std::optional<node_id> route_;
    std::optional<node_id> known_leader_;

    std::uint64_t opener_ = 0; ///< this process's number in its `open_session`
    instant opened_at_{};
    instant session_used_{};  ///< when a command of the session was last seen applied
    instant kept_alive_at_{};
    instant ticked_at_{};
    bool ready_ = false;

    apply_report report_; ///< the last one
    snapshot_transfer snapshots_{options_.snapshot_chunk};
    bool snapshotting_ = false;              ///< the applier or the storage is at work on a snapshot of this node's
    slot snapshot_tried_;                    ///< what was applied when the last attempt had begun
    std::uint64_t bytes_since_snapshot_ = 0; ///< of entries that were chosen since then
    std::string log_kept_by_;                ///< what stood in the way of the last one
    duration freeze_pause_{};                ///< the longest that nothing was applied because of one
    std::optional<snapshot_parts> install_;  ///< to be handed to the applier
    bool installing_ = false;                ///< the applier or the storage is at work on one that was fetched
    bool install_is_recovered_ = false;      ///< it comes from the storage, which has it already
    struct kept_snapshot {
        checked_snapshot of;
        bool fetched;
    };
    std::optional<kept_snapshot> keeping_;   ///< handed to the storage
    storage::health health_ = storage::health::ok; ///< of the storage, as of the last look
    bool stopped_ = false;
};

} // namespace openreplica::inline v0::runtime

#include <openreplica/runtime/engine_clients.hpp>
#include <openreplica/runtime/engine_group.hpp>
#include <openreplica/runtime/engine_voters.hpp>
#include <openreplica/runtime/engine_work.hpp>
