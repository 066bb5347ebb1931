// A client at work: its engine on a strand, its connections, and the gateway that handles call.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/dns/discovery.hpp>
#include <openreplica/net/client_codec.hpp>
#include <openreplica/net/link.hpp>
#include <openreplica/options.hpp>
#include <openreplica/runtime/client_engine.hpp>
#include <openreplica/runtime/gateway.hpp>
#include <openreplica/runtime/random.hpp>
#include <openreplica/runtime/seed_watch.hpp>
#include <openreplica/runtime/serial_executor.hpp>
#include <openreplica/runtime/state_machine.hpp>
#include <openreplica/runtime/surroundings.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// Runs one client engine on one strand of a given executor.
///
/// @par Threads
/// The strand runs everything; no user code. Handles call from any thread; a blocked one may do the strand's work.
class client_service final : public gateway,
                             private client_environment,
                             public std::enable_shared_from_this<client_service> {
public:
    using surroundings = runtime::surroundings;
    using catalogue = std::function<std::vector<state_machine::type_print>()>;

    client_service(surroundings around, client_options options, catalogue types);

    void start();
    /// Ends every pending call with an outcome and closes all sockets; may be called again. As a node's.
    void stop(std::function<void()> done = {});

    [[nodiscard]] client_engine_status status() const;
    [[nodiscard]] std::size_t pending_calls() const { return calls_.pending_count(); }
    bool wait_ready(std::chrono::nanoseconds timeout);

    /// A question to a replica, or an order to the group; `done` runs once, on any thread. Its deadline is set here.
    void inquire(client_inquiry inquiry, std::chrono::nanoseconds timeout);
    [[nodiscard]] call_ticket new_ticket() { return call_ticket{next_ticket_.fetch_add(1, std::memory_order_relaxed)}; }

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
        return !stopped_ && (strand_.is_mine() || around_.needed());
    }

private:
    // client_environment
    [[nodiscard]] instant now() const override {
        return instant(std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch()));
    }
    [[nodiscard]] std::uint64_t random() override { return random_(); }
    void connect(openreplica::endpoint const& where) override;
    void disconnect(openreplica::endpoint const& where) override;
    void send(openreplica::endpoint const& to, net::client_request const& what) override;
    void look_again() override { seeds_->hurry(); }
    void cluster_known(cluster_id cluster) override { cluster_ = cluster; }
    void log(log_level level, std::string const& line) override;

    [[nodiscard]] client_engine_options make_engine_options() const;
    [[nodiscard]] seed_watch::events seed_events();
    [[nodiscard]] net::hello make_hello() const;
    [[nodiscard]] net::link::events link_events(openreplica::endpoint const& where);
    [[nodiscard]] instant deadline_for(std::chrono::nanoseconds timeout) const {
        if (timeout.count() <= 0) timeout = options_.call_timeout;
        return now() + std::chrono::ceil<duration>(std::min<std::chrono::nanoseconds>(timeout, std::chrono::hours(24 * 365)));
    }
    [[nodiscard]] call_outcome check_size(std::string const& body, char const* what) const;
    void run_finished();
    void called(bool caller_waits);
    void wake();
    void on_wake();
    void shut_down();
    void arm_tick();
    void on_tick();
    void publish();

    surroundings around_;
    client_options options_;
    catalogue catalogue_;
    serial_executor strand_;
    random_source random_;
    node_id self_; ///< this process, for the handshake
    cluster_id cluster_;
    calls calls_;
    client_engine engine_;
    std::shared_ptr<seed_watch> seeds_;
    std::map<openreplica::endpoint, std::shared_ptr<net::link>> links_;
    std::set<std::string> refused_hosts_; ///< not loopback: told once each
    std::optional<asio::steady_timer> ticker_;

    std::atomic<std::uint64_t> next_ticket_{1};
    std::atomic<bool> wake_pending_{false};
    mutable std::shared_mutex open_; ///< held while an asynchronous call is made, and to stop
    std::mutex finishing_;
    std::mutex inquiries_mutex_;
    std::vector<client_inquiry> inquiries_; ///< for the strand to take
    std::atomic<bool> session_wanted_{false};
    std::atomic<bool> stopped_{false};
    bool shut_down_ = false; ///< the strand's: it has no sockets and no timers any more

    mutable std::mutex status_mutex_;
    std::condition_variable ready_changed_;
    client_engine_status status_;
    bool ready_ = false; ///< changed on the strand, with the mutex
};

inline client_service::client_service(surroundings around, client_options options, catalogue types)
    : around_(std::move(around)), options_(std::move(options)), catalogue_(std::move(types)),
      strand_(serial_executor::over(around_.protocol)), self_{random_(), random_()},
      calls_(options_.limits.max_pending_calls), engine_(make_engine_options(), *this, calls_),
      seeds_(std::make_shared<seed_watch>(
          strand_, options_.seeds,
          dns::discovery_options{.dns_server = options_.dns_server, .timeout = {}, .attempts = {}}, seed_lookup_pauses,
          seed_events())),
      ticker_(strand_) {}

inline client_engine_options client_service::make_engine_options() const {
    client_engine_options o;
    o.heartbeat = options_.heartbeat;
    o.session_timeout = options_.session_timeout;
    o.max_staleness = options_.max_staleness;
    return o;
}

inline void client_service::start() {
    asio::dispatch(strand_, [self = shared_from_this()] {
        if (self->shut_down_) return;
        self->seeds_->start();
        self->on_tick();
    });
}

inline void client_service::stop(std::function<void()> done) {
    {
        std::lock_guard const lock(open_); // Who is making a call has made it, or finds that the client has stopped.
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
inline void client_service::shut_down() {
    if (std::exchange(shut_down_, true)) return;
    ticker_.reset();
    seeds_->stop();
    {
        std::lock_guard const lock(inquiries_mutex_);
        for (auto& i : std::exchange(inquiries_, {})) engine_.inquire(std::move(i));
    }
    engine_.stop();
    run_finished();
    for (auto& [where, link] : links_) link->stop();
    links_.clear();
    publish();
    seeds_.reset();
}

// ---- calls

inline call_outcome client_service::check_size(std::string const& body, char const* what) const {
    if (body.size() <= options_.limits.max_command_bytes) return {};
    return failed(errc::too_large, std::string(what) + " has " + std::to_string(body.size()) +
                                       " bytes; limits.max_command_bytes is " +
                                       std::to_string(options_.limits.max_command_bytes));
}

inline call_ticket client_service::submit(command_request request, completion done) {
    call_ticket const ticket = new_ticket();
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

inline call_ticket client_service::read(read_request request, completion done) {
    call_ticket const ticket = new_ticket();
    call_outcome why;
    if (request.remote) why = check_size(request.remote->body, "the read");
    if (why.ok() && request.birth) why = check_size(request.birth->body, "the command that creates the object");
    if (!why.ok())
        calls_.reject(std::move(done), std::move(why));
    else
        calls_.read(ticket, std::move(request.birth), std::move(done), now(), deadline_for(request.timeout),
                    std::move(request.remote));
    called(request.caller_waits);
    return ticket;
}

inline void client_service::inquire(client_inquiry inquiry, std::chrono::nanoseconds timeout) {
    inquiry.deadline = deadline_for(timeout);
    {
        std::lock_guard const lock(inquiries_mutex_);
        if (!stopped_) {
            inquiries_.push_back(std::move(inquiry));
            return wake();
        }
    }
    inquiry.done(failed(errc::stopped, "the client was stopped"));
}

/// One at a time, so that `stop` ends after every completion that was there before: nobody may run the handlers' executor
/// behind it.
inline void client_service::run_finished() {
    std::lock_guard const lock(finishing_);
    for (finished_call& f : calls_.take_finished()) f.done(std::move(f.outcome));
}

inline void client_service::wait(waiter& w, std::chrono::nanoseconds timeout) {
    instant const deadline = deadline_for(timeout);
    auto woken = waiter::cause::asked;
    while ((woken = w.sleep(deadline - now())) == waiter::cause::asked) {}
    if (woken == waiter::cause::finished) return;
    // Perhaps nobody runs the strand, which looks after deadlines otherwise.
    calls_.expire(now());
    run_finished();
    w.sleep(); // It has its outcome, or is being given it.
}

inline void client_service::cancel(call_ticket ticket) {
    (void)calls_.cancel(ticket);
    run_finished();
}

/// However many calls arrive before the strand looks, it is woken once: they leave together.
inline void client_service::wake() {
    if (stopped_ || wake_pending_.exchange(true)) return;
    asio::post(strand_, [weak = weak_from_this()] {
        if (auto const self = weak.lock()) self->on_wake();
    });
}

/// A caller that waits, and waits alone, does the strand's work itself if it can: one wake-up less on its way.
inline void client_service::called(bool caller_waits) {
    if (stopped_ || caller_waits) run_finished(); // Refused; and after `stop` nobody else may be left to say so.
    bool const alone = caller_waits && calls_.pending_count() <= 1 && !stopped_;
    if (!alone || !strand_.try_run([this] { on_wake(); })) return wake();
    if (stopped_) (void)strand_.try_run([this] { shut_down(); }); // Perhaps `stop` found this thread inside.
}

inline void client_service::on_wake() {
    wake_pending_ = false;
    if (shut_down_) return;
    std::vector<client_inquiry> inquiries;
    {
        std::lock_guard const lock(inquiries_mutex_);
        inquiries.swap(inquiries_);
    }
    for (auto& i : inquiries) engine_.inquire(std::move(i));
    if (session_wanted_) engine_.want_session();
    engine_.flush();
    run_finished();
}

// ---- time

inline void client_service::arm_tick() {
    ticker_->expires_after(std::clamp<std::chrono::milliseconds>(options_.heartbeat / 5, std::chrono::milliseconds(1),
                                                                 std::chrono::milliseconds(20)));
    ticker_->async_wait([weak = weak_from_this()](asio::error_code failure) {
        auto const self = weak.lock();
        if (self && !failure) self->on_tick();
    });
}

inline void client_service::on_tick() {
    if (stopped_ || shut_down_) return;
    engine_.tick();
    engine_.flush();
    run_finished();
    publish();
    arm_tick();
}

inline void client_service::publish() {
    client_engine_status s = engine_.status();
    bool const ready = engine_.is_ready();
    std::lock_guard const lock(status_mutex_);
    status_ = std::move(s);
    if (std::exchange(ready_, ready) != ready || stopped_) ready_changed_.notify_all();
}

inline client_engine_status client_service::status() const {
    std::lock_guard const lock(status_mutex_);
    return status_;
}

inline bool client_service::wait_ready(std::chrono::nanoseconds timeout) {
    if (would_deadlock())
        throw error(errc::would_deadlock, "wait_ready() on a thread that the client needs would wait for ever; call it from "
                                          "another thread");
    session_wanted_ = true;
    wake();
    std::unique_lock lock(status_mutex_);
    // Bounded, because the largest durations would overflow the clock.
    auto const limit = std::min<std::chrono::nanoseconds>(timeout, std::chrono::hours(24 * 365));
    ready_changed_.wait_for(lock, limit, [this] { return ready_ || stopped_.load(); });
    return ready_ && !stopped_;
}

// ---- connections

inline net::hello client_service::make_hello() const {
    net::hello h;
    h.who = net::role::client;
    h.group = options_.group;
    h.cluster = cluster_;
    h.self.id = self_;
    for (auto& t : catalogue_()) h.catalogue.push_back({std::move(t.name), t.fingerprint});
    return h;
}

inline net::link::events client_service::link_events(openreplica::endpoint const& where) {
    auto const weak = weak_from_this();
    auto const then = [weak](auto f) {
        auto const self = weak.lock();
        if (!self || self->shut_down_) return;
        f(*self);
        self->engine_.flush();
        if (self->engine_.is_ready() != self->ready_) self->publish();
    };
    return {.up = [then, where](net::hello_reply const& who) {
                then([&](client_service& s) { s.engine_.on_up(where, who.self.id); });
            },
            .down = [then, where](std::error_code, bool was_up) {
                if (was_up) then([&](client_service& s) { s.engine_.on_down(where); });
            },
            .refused = [then, where](net::hello_reply const& why) {
                then([&](client_service& s) { s.engine_.on_refused(where, why.text); });
            },
            .frame = [weak, where](net::frame_stream::frame const& f) {
                auto m = net::decode_client_reply(f.header.type, f.bytes, f.body, f.header.length);
                auto const self = weak.lock();
                if (m && self && !self->shut_down_) self->engine_.on_reply(where, std::move(*m));
                return m.has_value();
            },
            .batch_end = [then] { then([](client_service&) {}); }};
}

inline void client_service::connect(openreplica::endpoint const& where) {
    if (auto const old = links_.find(where); old != links_.end()) disconnect(where);
    if (!options_.allow_plaintext && !detail::is_loopback(where.host)) {
        if (refused_hosts_.insert(where.host).second)
            log(log_level::warning, to_string(where) + " is not a loopback address and there is no TLS: it is not dialled; set "
                                                       "allow_plaintext if the network is trusted");
        return;
    }
    net::link_options o;
    o.queue_bytes = options_.limits.link_queue_bytes;
    o.max_frame = options_.limits.max_frame_bytes;
    auto const link = net::link::make(strand_, where, make_hello(), o, link_events(where));
    links_[where] = link;
    link->start();
}

/// The link ends by its next turn: this may be called from one of its own events.
inline void client_service::disconnect(openreplica::endpoint const& where) {
    auto const it = links_.find(where);
    if (it == links_.end()) return;
    it->second->stop();
    asio::post(strand_, [link = it->second] {}); // It may be in the middle of an event of its own.
    links_.erase(it);
}

inline void client_service::send(openreplica::endpoint const& to, net::client_request const& what) {
    auto const it = links_.find(to);
    if (it != links_.end() && it->second->is_up())
        it->second->send(std::make_shared<std::string const>(net::encode(what)), net::priority::normal);
}

inline void client_service::log(log_level level, std::string const& line) {
    if (options_.logger)
        options_.logger(level, line);
    else if (level >= log_level::warning)
        std::fprintf(stderr, "openreplica: %s\n", line.c_str());
}

inline seed_watch::events client_service::seed_events() {
    return {.named = [this](openreplica::endpoint const& where) { engine_.on_named(where); },
            .omitted = [this](openreplica::endpoint const& where) { engine_.on_omitted(where); },
            .settled = [this] { return engine_.is_served(); },
            .random = [this] { return random_(); },
            .now = [this] { return now(); },
            .log = [this](log_level level, std::string const& line) { log(level, line); }};
}

} // namespace openreplica::inline v0::runtime
