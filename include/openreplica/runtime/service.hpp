// A node at work: the engine on its strand, the sockets, the apply thread, and the gateway that handles call.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/dns/discovery.hpp>
#include <openreplica/options.hpp>
#include <openreplica/runtime/apply_thread.hpp>
#include <openreplica/runtime/background.hpp>
#include <openreplica/runtime/engine.hpp>
#include <openreplica/runtime/gateway.hpp>
#include <openreplica/runtime/guests.hpp>
#include <openreplica/runtime/random.hpp>
#include <openreplica/runtime/seed_watch.hpp>
#include <openreplica/runtime/serial_executor.hpp>
#include <openreplica/runtime/surroundings.hpp>
#include <openreplica/runtime/transport.hpp>
#include <openreplica/storage/data_directory.hpp>
#include <openreplica/storage/memory.hpp>
#include <openreplica/storage/posix_directory.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// Runs one engine on one strand of a given executor.
///
/// @par Threads
/// The strand runs the protocol, sockets and timers. The apply thread runs methods, and the completions of what they
/// decide. Handles call from any thread; a blocked one may do the work of either.
class service final : public gateway, private environment, public std::enable_shared_from_this<service> {
public:
    using surroundings = runtime::surroundings;

    /// Binds the listener: a bad address or a port in use throws here. Nothing moves before `start`.
    service(surroundings around, node_options options, std::shared_ptr<state_machine> machine);
    ~service() override { join(); }

    void start();
    /// Ends every pending call with an outcome and closes all sockets; may be called again. It needs nobody to run the
    /// executor, except when somebody is inside the strand: then the rest, and `done`, wait for that thread.
    void stop(std::function<void()> done = {});
    /// Wishes other voters, or another leader. `done` gets a zero code when it is so; on the strand, and not inside this call
    /// unless the node has stopped.
    call_ticket wish(engine::change_wish what, std::chrono::nanoseconds timeout, completion done);
    /// If this node leads, and somebody else can, waits until somebody does: nobody notices the stop that follows.
    void hand_over();
    /// Waits for the apply thread to finish what it has, and lets go of the data directory. Call after `stop`.
    void join() {
        apply_.stop();
        guests_.stop();
        writer_.stop();
        if (disk_) disk_->close();
    }

    [[nodiscard]] openreplica::endpoint endpoint() const { return advertised_; }
    [[nodiscard]] engine_status status() const;
    [[nodiscard]] storage::storage_status storage_status() const {
        return disk_ ? disk_->status() : storage::storage_status{};
    }
    [[nodiscard]] std::vector<node_id> connected() const;
    [[nodiscard]] std::size_t pending_calls() const { return calls_.pending_count(); }
    bool wait_ready(std::chrono::nanoseconds timeout);

    /// Who answers what clients ask about this node, and who carries out an operator's orders. Before `start`. Both are
    /// called on the strand and complete on any thread.
    void set_inspector(std::function<void(std::string what, std::string argument, guests::completion)> i) {
        inspector_ = std::move(i);
    }
    void set_operator(std::function<void(std::string order, guests::completion)> o) { operator_ = std::move(o); }
    /// For the inspector, on the strand: the last chosen entries that are still in memory, at most `count`.
    [[nodiscard]] std::vector<paxos::entry> log_tail(std::size_t count) const;
    /// For the inspector, on the strand: the nodes of the group that are connected to this one.
    [[nodiscard]] std::vector<acquaintance> acquaintances() const override { return transport_->acquaintances(); }
    [[nodiscard]] std::vector<std::string> const& failure_groups() const { return options_.failure_groups; }
    /// For the inspector: runs `work` where entries are applied, after what was chosen so far.
    void run_where_applied(unique_function<void()> work);
    /// For the inspector: runs `work` where snapshots are written.
    void run_aside(unique_function<void()> work) { writer_.post(std::move(work)); }
    [[nodiscard]] std::vector<calls::picture> list_calls() const { return calls_.list(); }

    // gateway
    call_ticket submit(command_request request, completion done) override;
    call_ticket read(read_request request, completion done) override;
    void wait(waiter& w, std::chrono::nanoseconds timeout) override;
    void cancel(call_ticket ticket) override;
    [[nodiscard]] std::shared_lock<std::shared_mutex> hold_open() const override { return std::shared_lock(open_); }
    [[nodiscard]] bool is_stopped() const override { return stopped_; }
    [[nodiscard]] asio::any_io_executor get_executor() const override {
        return stopped_ ? around_.afterwards : around_.handlers;
    }
    [[nodiscard]] bool would_deadlock() const override {
        // After `stop` no call waits, and the caller's context may be gone.
        return !stopped_ && (apply_.is_this_thread() || strand_.is_mine() || around_.needed());
    }

private:
    // environment
    [[nodiscard]] instant now() const override {
        return instant(std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch()));
    }
    [[nodiscard]] std::uint64_t random() override { return random_(); }
    void send(std::span<node_id const> to, paxos::message const& what) override { transport_->send(to, what); }
    void send(std::optional<node_id> to, paxos::founding_message const& what) override { transport_->send(to, what); }
    [[nodiscard]] call_outcome check(envelope const& command, paxos::configuration const& voters) const override;
    void apply(apply_batch&& work) override { apply_.post(std::move(work)); }
    void write(frozen_snapshot&& s) override;
    void identity_changed(node_id self, cluster_id cluster, paxos::configuration const& governing) override;
    void voters_changed(paxos::configuration const& governing) override {
        transport_->set_members(governing);
        publish();
    }
    void meet(std::vector<paxos::member> const& voters) override {
        for (paxos::member const& m : voters) transport_->meet(m);
    }
    void replacement_needed(std::vector<std::string> const& silent, std::vector<std::string> const& failure_groups) override {
        if (options_.on_replacement_needed)
            asio::post(around_.handlers, [f = options_.on_replacement_needed, silent, failure_groups] { f(silent, failure_groups); });
    }
    void refuse(net::guest_id client, std::uint64_t number, std::vector<std::uint32_t> const& which,
                call_outcome const& why) override {
        guests_.refuse(client, number, which, why);
    }
    void log(log_level level, std::string const& line) override;
    [[nodiscard]] std::vector<std::string> silent_seeds() const override;

    [[nodiscard]] transport::events transport_events();
    [[nodiscard]] guests::surroundings guest_surroundings();
    [[nodiscard]] net::view look() const;
    [[nodiscard]] std::unique_ptr<storage::data_directory> open_disk();
    [[nodiscard]] paxos::member myself();
    [[nodiscard]] seed_watch::events seed_events();
    [[nodiscard]] engine_options make_engine_options() const;
    [[nodiscard]] instant deadline_for(std::chrono::nanoseconds timeout) const {
        if (timeout.count() <= 0) timeout = options_.call_timeout;
        return now() + std::chrono::ceil<duration>(std::min<std::chrono::nanoseconds>(timeout, std::chrono::hours(24 * 365)));
    }
    [[nodiscard]] call_outcome check_size(std::string const& body, char const* what) const;
    void run_finished();
    void called(bool caller_waits);
    void take_disk_reports();
    void tell_disk(paxos::disk_state state);
    void take_written();
    void wake();
    void on_wake();
    void take_news();
    void shut_down();
    void arm_tick();
    void on_tick();
    void publish();

    surroundings around_;
    node_options options_;
    serial_executor strand_;
    random_source random_;
    calls calls_;
    storage::memory memory_; ///< what a node without a data directory uses
    std::unique_ptr<storage::data_directory> disk_;
    std::shared_ptr<state_machine> machine_;
    std::shared_ptr<transport> transport_;
    openreplica::endpoint advertised_;
    engine engine_;
    std::shared_ptr<seed_watch> seeds_;
    std::optional<asio::steady_timer> ticker_;

    std::atomic<std::uint64_t> next_ticket_{1};
    std::atomic<bool> wake_pending_{false};
    mutable std::shared_mutex open_; ///< held while an asynchronous call is made, and to stop
    std::mutex finishing_;
    std::atomic<std::uint64_t> durable_{0};   ///< as the disk reported
    std::mutex kept_mutex_;
    std::vector<std::pair<slot, bool>> kept_; ///< the disk's reports of snapshots
    std::mutex written_mutex_;
    std::vector<written_snapshot> written_; ///< snapshots that are text now
    paxos::disk_state disk_state_ = paxos::disk_state::ok; ///< as the log was told
    std::atomic<bool> stopped_{false};
    bool shut_down_ = false; ///< the strand's: it has no sockets and no timers any more

    mutable std::mutex status_mutex_;
    std::condition_variable ready_changed_;
    engine_status status_;
    std::vector<node_id> connected_;
    bool ready_ = false;

    background writer_; ///< of snapshots
    std::function<void(std::string, std::string, guests::completion)> inspector_;
    std::function<void(std::string, guests::completion)> operator_;
    guests guests_;
    apply_thread apply_; // Last: it uses everything above.
};

inline service::service(surroundings around, node_options options, std::shared_ptr<state_machine> machine)
    : around_(std::move(around)), options_(std::move(options)), strand_(serial_executor::over(around_.protocol)),
      calls_(options_.limits.max_pending_calls),
      memory_({[this](lsn upto) { engine_.on_durable(upto); }, [this](slot at, bool whole) { engine_.on_kept(at, whole); }, {}}),
      disk_(open_disk()), machine_(std::move(machine)),
      transport_(std::make_shared<transport>(strand_, options_, transport_events())),
      advertised_(options_.advertise.empty() ? transport_->local_endpoint() : *parse_endpoint(options_.advertise)),
      engine_(myself(), make_engine_options(), *this, disk_ ? static_cast<storage::storage&>(*disk_) : memory_, calls_),
      seeds_(std::make_shared<seed_watch>(
          strand_, options_.seeds,
          dns::discovery_options{.dns_server = options_.dns_server, .timeout = {}, .attempts = {}}, seed_lookup_pauses,
          seed_events())),
      ticker_(strand_), guests_(*machine_, guest_surroundings(), options_.limits.max_client_requests),
      apply_(*machine_, calls_, [this] { return now(); }, [this] { wake(); }, &guests_) {
    transport_->set_catalogue([this] { return machine_->catalogue(); });
}

/// The directory is opened, and repaired if need be, before anything is said to anybody.
inline std::unique_ptr<storage::data_directory> service::open_disk() {
    if (options_.data_dir.empty()) return nullptr;
    storage::data_directory_options o;
    o.segment_bytes = options_.limits.wal_segment_bytes;
    o.slow_after = options_.election_timeout * 3 / 2;
    // The reports come from the disk's threads. They end before this object does: `join` closes the disk.
    storage::storage::events e{[this](lsn upto) {
                                   durable_ = upto.value;
                                   wake();
                               },
                               [this](slot at, bool whole) {
                                   {
                                       std::lock_guard const lock(kept_mutex_);
                                       kept_.emplace_back(at, whole);
                                   }
                                   wake();
                               },
                               [this] { wake(); }};
    auto disk = std::make_unique<storage::data_directory>(
        std::make_unique<storage::posix_directory>(options_.data_dir), o, [this] { return node_id{random_(), random_()}; },
        std::move(e));
    for (std::string const& w : disk->warnings()) log(log_level::warning, w);
    return disk;
}

inline paxos::member service::myself() {
    return {disk_ ? disk_->self() : node_id{random_(), random_()}, advertised_};
}

inline engine_options service::make_engine_options() const {
    engine_options o;
    o.protocol.heartbeat = options_.heartbeat;
    o.protocol.election_timeout_min = options_.election_timeout;
    o.protocol.election_timeout_max = options_.election_timeout * 3 / 2;
    o.protocol.window_entries = options_.limits.window_entries;
    o.protocol.window_bytes = options_.limits.window_bytes;
    // Who has lost what it acknowledged belongs to a group, and must not take part in founding another.
    o.founders = disk_ && disk_->only_joins() ? 0 : options_.resolved_founders();
    o.has_seeds = !options_.seeds.empty();
    o.session_timeout = options_.session_timeout;
    o.snapshot_every = options_.snapshot_every;
    o.snapshot_bytes = options_.snapshot_bytes;
    o.keep_entries = options_.snapshot_every / 4;
    o.healing = {static_cast<std::size_t>(options_.voters), options_.replace_after};
    o.failure_groups = options_.failure_groups;
    o.min_voters = options_.min_voters;
    return o;
}

inline void service::start() {
    asio::dispatch(strand_, [self = shared_from_this()] {
        if (self->shut_down_) return;
        self->transport_->set_identity(self->engine_.status().self, {}, self->advertised_);
        self->transport_->start();
        self->engine_.start(self->disk_ ? self->disk_->recover() : self->memory_.recover());
        self->seeds_->start();
        self->on_tick();
    });
}

inline void service::stop(std::function<void()> done) {
    {
        std::lock_guard const lock(open_); // Who is making a call has made it, or finds that the node has stopped.
        stopped_ = true;
    }
    calls_.stop();
    run_finished();
    auto end = [self = shared_from_this(), done = std::move(done)] {
        self->shut_down();
        if (done) done();
    };
    if (!strand_.try_run(end)) asio::post(strand_, std::move(end));
}

/// Nothing of the executor's context is held any more: handles may outlive it.
inline void service::shut_down() {
    if (std::exchange(shut_down_, true)) return;
    ticker_.reset();
    seeds_->stop();
    engine_.stop();
    transport_->stop();
    publish();
    seeds_.reset();
    transport_.reset();
    // Not here: a sync may be under way. Handles may keep this object, and nobody may ever call `join`.
    if (disk_) writer_.post([this] { disk_->close(); });
}

// ---- calls

inline call_outcome service::check_size(std::string const& body, char const* what) const {
    if (body.size() <= options_.limits.max_command_bytes) return {};
    return failed(errc::too_large, std::string(what) + " has " + std::to_string(body.size()) +
                                       " bytes; limits.max_command_bytes is " +
                                       std::to_string(options_.limits.max_command_bytes));
}

inline call_ticket service::submit(command_request request, completion done) {
    call_ticket const ticket{next_ticket_.fetch_add(1, std::memory_order_relaxed)};
    bool const caller_waits = request.caller_waits;
    instant const at = now();
    instant const deadline = deadline_for(request.timeout);
    call_outcome why = check_size(request.body, "the command");
    bool const creates = request.birth && (request.kind == command_kind::call || request.kind == command_kind::create);
    if (why.ok() && creates) why = check_size(request.birth->body, "the command that creates the object");
    if (!why.ok())
        calls_.reject(std::move(done), std::move(why));
    else
        calls_.submit(ticket, std::move(request), std::move(done), at, deadline);
    called(caller_waits);
    return ticket;
}

inline call_ticket service::read(read_request request, completion done) {
    call_ticket const ticket{next_ticket_.fetch_add(1, std::memory_order_relaxed)};
    call_outcome why;
    if (request.birth) why = check_size(request.birth->body, "the command that creates the object");
    if (!why.ok())
        calls_.reject(std::move(done), std::move(why));
    else
        calls_.read(ticket, std::move(request.birth), std::move(done), now(), deadline_for(request.timeout));
    called(request.caller_waits);
    return ticket;
}

/// One at a time, so that `stop` ends after every completion that was there before: nobody may run the handlers' executor
/// behind it.
inline void service::run_finished() {
    std::lock_guard const lock(finishing_);
    for (finished_call& f : calls_.take_finished()) f.done(std::move(f.outcome));
}

inline void service::wait(waiter& w, std::chrono::nanoseconds timeout) {
    if (apply_.wait(w, deadline_for(timeout))) return;
    // Perhaps nobody runs the strand, which looks after deadlines otherwise.
    calls_.expire(now());
    run_finished();
    w.sleep(); // It has its outcome, or is being given it.
}

inline void service::cancel(call_ticket ticket) {
    bool const found = calls_.cancel(ticket);
    run_finished();
    if (!found || stopped_) return;
    asio::post(strand_, [weak = weak_from_this(), ticket] {
        auto const self = weak.lock();
        if (!self || self->shut_down_) return;
        self->take_news(); // The read may not have been taken in yet.
        if (!self->engine_.cancel_read(ticket)) self->engine_.cancel_wish(ticket);
        self->engine_.flush();
    });
}

/// However many calls arrive before the strand looks, it is woken once: they leave together.
inline void service::wake() {
    if (stopped_ || wake_pending_.exchange(true)) return;
    auto weak = weak_from_this();
    asio::post(strand_, [weak] {
        if (auto const self = weak.lock()) self->on_wake();
    });
}

/// A caller that waits, and waits alone, does the strand's work itself if it can: one wake-up less on its way. With
/// others under way it is better to gather.
inline void service::called(bool caller_waits) {
    if (stopped_ || caller_waits) run_finished(); // Refused; and after `stop` nobody else may be left to say so.
    bool const alone = caller_waits && calls_.pending_count() <= 1 && !stopped_;
    if (!alone || !strand_.try_run([this] { on_wake(); })) return wake();
    if (stopped_) (void)strand_.try_run([this] { shut_down(); }); // Perhaps `stop` found this thread inside.
}

inline void service::on_wake() {
    wake_pending_ = false;
    if (shut_down_) return;
    take_news();
    engine_.flush();
    guests_.flush();
    run_finished();
}

/// Tells the engine what others have left for it.
inline void service::take_news() {
    std::vector<pending_read> reads;
    for (auto const& r : calls_.take_reads())
        reads.push_back({[this, ticket = r.ticket](call_outcome&& outcome) {
                             if (auto f = calls_.end_read(ticket, std::move(outcome))) f->done(std::move(f->outcome));
                         },
                         r.ticket, r.deadline});
    if (!reads.empty()) engine_.add_reads(std::move(reads));
    if (disk_) take_disk_reports();
    take_written();
    if (auto report = apply_.take_report()) {
        engine_.on_applied(std::move(*report));
        publish();
    }
}

inline void service::take_disk_reports() {
    engine_.on_durable(lsn{durable_.load()});
    std::vector<std::pair<slot, bool>> kept;
    {
        std::lock_guard const lock(kept_mutex_);
        kept.swap(kept_);
    }
    for (auto const& [at, whole] : kept) engine_.on_kept(at, whole);
    if (auto const state = disk_->state(); state != disk_state_) tell_disk(state);
}

inline void service::write(frozen_snapshot&& s) {
    writer_.post([this, s = std::move(s)]() mutable {
        written_snapshot text = write_out(std::move(s));
        {
            std::lock_guard const lock(written_mutex_);
            written_.push_back(std::move(text));
        }
        wake();
    });
}

inline void service::take_written() {
    std::vector<written_snapshot> written;
    {
        std::lock_guard const lock(written_mutex_);
        written.swap(written_);
    }
    for (written_snapshot& s : written) engine_.on_written(std::move(s));
}

inline void service::tell_disk(paxos::disk_state state) {
    using paxos::disk_state;
    bool const worse = state == disk_state::full || state == disk_state::failed;
    if (worse || disk_state_ == disk_state::full)
        log(state == disk_state::failed ? log_level::error : worse ? log_level::warning : log_level::info,
            worse ? disk_->status().problem : "there is room in data_dir again: updates go on");
    disk_state_ = state;
}

// ---- time

inline void service::arm_tick() {
    ticker_->expires_after(std::max<std::chrono::milliseconds>(options_.heartbeat / 5, std::chrono::milliseconds(1)));
    ticker_->async_wait([weak = weak_from_this()](asio::error_code failure) {
        auto const self = weak.lock();
        if (self && !failure) self->on_tick();
    });
}

inline void service::on_tick() {
    if (stopped_ || shut_down_) return;
    take_news();
    engine_.tick();
    engine_.flush();
    guests_.tick();
    guests_.flush();
    publish();
    arm_tick();
}

inline void service::publish() {
    engine_status s = engine_.status();
    // Whoever works with a majority has no problem of its own, whichever old program it has met.
    if (std::string const why = s.healthy ? std::string() : transport_->misfit(); !why.empty()) s.problem = why;
    auto peers = transport_->connected();
    std::lock_guard const lock(status_mutex_);
    if (s.leading != status_.leading || s.leader != status_.leader) ready_changed_.notify_all();
    status_ = std::move(s);
    connected_ = std::move(peers);
    if (engine_.is_ready() && !std::exchange(ready_, true)) ready_changed_.notify_all();
    if (stopped_) ready_changed_.notify_all();
}

inline engine_status service::status() const {
    std::lock_guard const lock(status_mutex_);
    return status_;
}

inline std::vector<node_id> service::connected() const {
    std::lock_guard const lock(status_mutex_);
    return connected_;
}

inline bool service::wait_ready(std::chrono::nanoseconds timeout) {
    if (would_deadlock())
        throw error(errc::would_deadlock, "wait_ready() on a thread that the node needs would wait for ever; call it from "
                                          "another thread");
    std::unique_lock lock(status_mutex_);
    // Bounded, because the largest durations would overflow the clock.
    auto const patience = std::min<std::chrono::nanoseconds>(timeout, std::chrono::hours(24 * 365));
    ready_changed_.wait_for(lock, patience, [this] { return ready_ || stopped_.load(); });
    return ready_ && !stopped_;
}

// ---- environment

inline call_outcome service::check(envelope const& command, paxos::configuration const& voters) const {
    if (call_outcome why = machine_->check(command); !why.ok()) return why;
    std::string const type = machine_->needed_type(command);
    if (type.empty()) return {};
    for (paxos::member const& m : voters.voters)
        if (transport_->is_unknown_to(m.id, type))
            return failed(errc::needs_upgrade, "the voter at " + to_string(m.address) + " runs a program that does not know "
                                               "the type " + type + ": it could not apply the call; upgrade it first");
    return {};
}

inline void service::identity_changed(node_id self, cluster_id cluster, paxos::configuration const& governing) {
    transport_->set_identity(self, cluster, advertised_);
    for (paxos::member const& m : governing.voters) transport_->connect_member(m);
}

inline void service::log(log_level level, std::string const& line) {
    if (options_.logger)
        options_.logger(level, line);
    else if (level >= log_level::warning)
        std::fprintf(stderr, "openreplica: %s\n", line.c_str());
}

inline transport::events service::transport_events() {
    return {.message = [this](node_id from, paxos::message&& m) { engine_.on_message(from, std::move(m)); },
            .founding = [this](paxos::member const& from,
                               paxos::founding_message const& m) { engine_.on_message(from, m); },
            .batch_end =
                [this] {
                    engine_.flush();
                    guests_.flush();
                },
            .up = [this](node_id peer) { engine_.on_peer_up(peer); },
            .down = [this](node_id peer) { engine_.on_peer_down(peer); },
            .met_self = [this] { engine_.on_met_self(); },
            .forgotten = [this](node_id peer) { engine_.on_peer_forgotten(peer); },
            .log = [this](log_level level, std::string const& line) { log(level, line); },
            .guest_up = [this](net::guest_id guest) { guests_.on_up(guest); },
            .guest_message = [this](net::guest_id from,
                                    net::client_request&& m) { guests_.on_message(from, std::move(m)); },
            .guest_down = [this](net::guest_id guest) { guests_.on_down(guest); }};
}

// ---- discovery

inline seed_watch::events service::seed_events() {
    return {.named = [this](openreplica::endpoint const& where) { transport_->connect_seed(where); },
            .omitted = [this](openreplica::endpoint const& where) { transport_->drop_seed(where); },
            .settled = [this] { return ready_; },
            .random = [this] { return random_(); },
            .now = [this] { return now(); },
            .log = [this](log_level level, std::string const& line) { log(level, line); }};
}

inline std::vector<std::string> service::silent_seeds() const {
    std::vector<std::string> all = seeds_->unanswered();
    for (openreplica::endpoint const& where : transport_->silent_seeds()) all.push_back(to_string(where));
    return all;
}

} // namespace openreplica::inline v0::runtime

#include <openreplica/runtime/service_guests.hpp>
#include <openreplica/runtime/service_voters.hpp>
