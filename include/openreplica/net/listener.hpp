// The connections that others make to this node.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/error.hpp>
#include <openreplica/net/client_codec.hpp>
#include <openreplica/net/codec.hpp>
#include <openreplica/net/frame.hpp>
#include <openreplica/net/frame_stream.hpp>
#include <openreplica/net/handshake.hpp>
#include <openreplica/net/silence.hpp>
#include <openreplica/types/endpoint.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::net {

struct listener_options {
    std::size_t max_frame = 4u << 20;
    std::size_t max_connections = 256; ///< of peers
    std::size_t max_guests = 0;        ///< connections of clients
    std::size_t guest_queue_bytes = 16u << 20; ///< what may wait for a client; one that does not take it is cut off
    std::size_t max_strangers = 64; ///< connections that have not said hello
    std::chrono::milliseconds hello_timeout{2000};
    std::chrono::milliseconds frame_timeout{10000}; ///< from the first byte of a message to its last
    std::chrono::milliseconds silence_timeout{10000}; ///< the other end is gone without a word
};

/// Accepts connections, says who may talk, and takes messages apart.
///
/// A peer only speaks here. A client is answered too: its connection is a guest with a name of its own.
///
/// Nothing that a stranger sends reaches an assertion, and none can make this node hold more than `max_handshake_frame`
/// bytes for it. Malformed bytes close the connection they came over, with a reason, and no other.
///
/// @par Thread safety
/// One strand, the executor given at construction. Events are called on it, and never after `stop`.
class listener {
public:
    struct events {
        std::function<hello_reply(hello const&)> judge;
        std::function<void(hello const&)> accepted;
        std::function<void(paxos::member const&, any_message&&)> message;
        std::function<void()> batch_end; ///< every complete message of one read has been delivered
        std::function<void(std::string const&)> malformed;
        std::function<void(guest_id, hello const&)> guest_up{};
        std::function<void(guest_id, client_request&&)> guest_message{};
        std::function<void(guest_id)> guest_down{};
    };

    /// Binds and listens.
    /// @throws error (`address_in_use`, `bad_option`) when that is not possible.
    listener(asio::any_io_executor strand, endpoint const& where, listener_options options, events e)
        : shared_(std::make_shared<state>(std::move(strand), options, std::move(e))) {
        shared_->bind(where);
    }
    listener(listener const&) = delete;
    listener& operator=(listener const&) = delete;
    ~listener() { stop(); }

    void start() { shared_->accept(); }
    void stop() { shared_->stop(); }

    /// Tells a client something. Nothing happens when it has gone; one that takes too little is cut off, and finds what it
    /// missed when it comes back.
    void send(guest_id to, std::shared_ptr<std::string const> frame);
    void close(guest_id guest);
    void close_guests();

    [[nodiscard]] endpoint local_endpoint() const { return shared_->local; }
    [[nodiscard]] std::size_t connections() const { return shared_->open.size(); }
    /// Connections that were closed because of what came over them.
    [[nodiscard]] std::uint64_t malformed_count() const { return shared_->malformed; }

private:
    using tcp = asio::ip::tcp;
    class connection;

    struct state : std::enable_shared_from_this<state> {
        state(asio::any_io_executor s, listener_options o, events e)
            : strand(s), options(o), on(std::move(e)), acceptor(s), breath(s) {}

        void bind(endpoint const& where);
        void accept();
        void stop();
        void report(std::string const& reason) {
            ++malformed;
            on.malformed(reason);
        }
        [[nodiscard]] std::size_t strangers() const;
        [[nodiscard]] bool has_place(role who) const;

        asio::any_io_executor strand;
        listener_options options;
        events on;
        tcp::acceptor acceptor;
        asio::steady_timer breath; ///< a pause after accept itself failed: no descriptors left
        endpoint local;
        std::set<std::shared_ptr<connection>> open;
        std::map<guest_id, std::shared_ptr<connection>> guests; ///< the ones among them that are clients
        guest_id last_guest;
        std::uint64_t malformed = 0;
        bool stopped = false;
    };
    std::shared_ptr<state> shared_;
};

/// One incoming connection: a hello, then messages.
class listener::connection : public std::enable_shared_from_this<connection> {
    std::shared_ptr<state> owner_;
    tcp::socket socket_;
    asio::steady_timer timer_;
    std::optional<hello> peer_;
    std::uint16_t protocol_ = 0; ///< the version that both sides agreed on; 0: not yet
    guest_id guest_; ///< 0: no client
    frame_stream incoming_;
    std::vector<std::shared_ptr<std::string const>> queue_;
    std::vector<std::shared_ptr<std::string const>> writing_;
    std::vector<asio::const_buffer> buffers_;
    std::size_t queued_bytes_ = 0;
    bool last_words_ = false; ///< closed once everything is written
    std::uint64_t deadline_ = 0; ///< number of the one that holds
    bool timing_ = false; ///< a message has begun and must end in time

    static constexpr std::size_t read_size = 64 * 1024;

public:
    connection(std::shared_ptr<state> owner, tcp::socket socket)
        : owner_(std::move(owner)), socket_(std::move(socket)), timer_(owner_->strand) {}

    [[nodiscard]] bool is_stranger() const { return !peer_.has_value(); }

    void start() {
        asio::error_code ignored;
        socket_.set_option(tcp::no_delay(true), ignored);
        end_when_silent(socket_, owner_->options.silence_timeout);
        deadline(owner_->options.hello_timeout);
        read();
    }

    void close() {
        auto const self = shared_from_this();
        asio::error_code ignored;
        socket_.close(ignored);
        timer_.cancel();
        owner_->open.erase(self);
        if (owner_->guests.erase(guest_) > 0 && !owner_->stopped) owner_->on.guest_down(guest_);
    }

    [[nodiscard]] role who() const { return guest_ == guest_id{} ? role::peer : role::client; }

    void send(std::shared_ptr<std::string const> frame) {
        if (queued_bytes_ > 0 && queued_bytes_ + frame->size() > owner_->options.guest_queue_bytes) {
            owner_->report("a client did not take what it was told (limits.client_queue_bytes); the connection was closed");
            return close();
        }
        queued_bytes_ += frame->size();
        queue_.push_back(std::move(frame));
        if (writing_.empty()) write();
    }

private:
    void write() {
        writing_.swap(queue_);
        buffers_.clear();
        for (auto const& frame : writing_) buffers_.emplace_back(asio::buffer(*frame));
        asio::async_write(socket_, buffers_, [self = shared_from_this()](asio::error_code failure, std::size_t n) {
            if (!self->socket_.is_open()) return;
            self->writing_.clear();
            self->queued_bytes_ -= std::min(n, self->queued_bytes_);
            if (failure || (self->last_words_ && self->queue_.empty())) return self->close();
            if (!self->queue_.empty()) self->write();
        });
    }

    void deadline(std::chrono::milliseconds after) {
        timer_.expires_after(after);
        timer_.async_wait([self = shared_from_this(), number = ++deadline_](asio::error_code failure) {
            // One that had come when it was called off is on its way all the same.
            if (failure || number != self->deadline_ || !self->socket_.is_open()) return;
            self->owner_->report(self->is_stranger() ? "a connection did not complete its handshake in time"
                                                     : "a message was not completed in time");
            self->close();
        });
    }

    void no_deadline() {
        ++deadline_;
        timer_.cancel();
    }

    void read() {
        auto const [where, size] = incoming_.room(is_stranger() ? 4096 : read_size);
        socket_.async_read_some(asio::buffer(where, size),
                                [self = shared_from_this()](asio::error_code failure, std::size_t n) {
                                    if (self->owner_->stopped || !self->socket_.is_open()) return;
                                    if (failure) return self->close();
                                    self->incoming_.add(n);
                                    if (self->take_frames()) self->read();
                                });
    }

    /// Delivers every complete frame. False when the connection is over.
    bool take_frames() {
        bool delivered = false;
        for (;;) {
            auto next = incoming_.next(is_stranger() ? max_handshake_frame : owner_->options.max_frame);
            if (auto const* reason = std::get_if<std::string>(&next)) return refuse(*reason);
            auto const* f = std::get_if<frame_stream::frame>(&next);
            if (f == nullptr) break;
            if (!take(*f)) return false;
            delivered = !is_stranger();
        }
        keep_rest();
        if (delivered) owner_->on.batch_end();
        return socket_.is_open();
    }

    bool take(frame_stream::frame const& f) {
        if (is_stranger()) return greet(f);
        bool const fits = who() == role::client ? take_request(f) : take_message(f);
        if (!fits)
            return refuse("a message of type " + std::to_string(f.header.type) + " is malformed in protocol version " +
                          std::to_string(protocol_));
        return !owner_->stopped && socket_.is_open();
    }

    bool take_message(frame_stream::frame const& f) {
        auto m = decode(f.header.type, f.bytes, f.body, f.header.length);
        if (m) owner_->on.message(peer_->self, std::move(*m));
        return m.has_value();
    }

    bool take_request(frame_stream::frame const& f) {
        auto m = decode_client_request(f.header.type, f.bytes, f.body, f.header.length);
        if (m) owner_->on.guest_message(guest_, std::move(*m));
        return m.has_value();
    }

    bool greet(frame_stream::frame const& f) {
        auto theirs = f.header.type == hello_type ? decode_hello(f.text()) : std::nullopt;
        if (!theirs) return refuse("the first message is no hello");
        hello_reply reply = owner_->on.judge(*theirs);
        if (owner_->stopped) return false;
        if (reply.reason == refusal::none && !owner_->has_place(theirs->who)) {
            reply.reason = refusal::full;
            reply.text = theirs->who == role::client ? "this node has as many clients as it may (limits.max_clients)"
                                                     : "this node has as many peers as it may (limits.max_connections)";
        }
        // The deadline stays for a refused peer: it could leave the answer unread and keep its place for ever.
        last_words_ = reply.reason != refusal::none;
        send(std::make_shared<std::string const>(encode(reply)));
        if (last_words_) return false;
        no_deadline();
        peer_ = std::move(*theirs);
        protocol_ = reply.protocol;
        if (peer_->who == role::client) {
            guest_ = owner_->last_guest = owner_->last_guest.next();
            owner_->guests.emplace(guest_, shared_from_this());
            owner_->on.guest_up(guest_, *peer_);
        } else {
            owner_->on.accepted(*peer_);
        }
        return !owner_->stopped && socket_.is_open();
    }

    bool refuse(std::string const& reason) {
        owner_->report(reason +
                       (peer_ ? (who() == role::client ? ", from client " : ", from node ") + short_name(peer_->self.id)
                              : std::string()) +
                       "; the connection was closed");
        close();
        return false;
    }

    void keep_rest() {
        auto const [rest, fresh] = incoming_.keep_rest(read_size);
        if (is_stranger()) return;
        if (rest > 0 && (fresh || !timing_)) deadline(owner_->options.frame_timeout);
        if (rest == 0 && timing_) no_deadline();
        timing_ = rest > 0;
    }
};

inline void listener::state::bind(endpoint const& where) {
    asio::error_code failure;
    auto address = asio::ip::make_address(where.host == "localhost" ? "127.0.0.1" : where.host, failure);
    if (failure)
        throw error(errc::bad_option, "listen address \"" + where.host + "\" is not an IP address; write for example "
                                      "127.0.0.1 or 0.0.0.0");
    tcp::endpoint const place(address, where.port);
    acceptor.open(place.protocol(), failure);
    if (!failure) acceptor.set_option(tcp::acceptor::reuse_address(true), failure);
    if (!failure) acceptor.bind(place, failure);
    if (!failure) acceptor.listen(asio::socket_base::max_listen_connections, failure);
    if (failure)
        throw error(errc::address_in_use, "cannot listen on " + to_string(where) + ": " + failure.message() +
                                              "; another process may use the port, or the address is not this machine's");
    local = {where.host, acceptor.local_endpoint().port()};
}

inline void listener::state::accept() {
    acceptor.async_accept([self = shared_from_this()](asio::error_code failure, tcp::socket socket) {
        if (self->stopped) return;
        if (failure) {
            self->breath.expires_after(std::chrono::milliseconds(100));
            self->breath.async_wait([self](asio::error_code) {
                if (!self->stopped) self->accept();
            });
            return;
        }
        std::size_t const most = self->options.max_connections + self->options.max_guests;
        if (self->open.size() >= most || self->strangers() >= self->options.max_strangers) {
            self->report("a connection was closed: there are too many (limits.max_connections)");
        } else {
            auto const c = std::make_shared<connection>(self, std::move(socket));
            self->open.insert(c);
            c->start();
        }
        self->accept();
    });
}

inline std::size_t listener::state::strangers() const {
    return static_cast<std::size_t>(
        std::count_if(open.begin(), open.end(), [](auto const& c) { return c->is_stranger(); }));
}

/// Whether one more of this kind may stay: neither peers nor clients take the others' places.
inline bool listener::state::has_place(role who) const {
    if (who == role::client) return guests.size() < options.max_guests;
    auto const peers = std::count_if(open.begin(), open.end(), [](auto const& c) {
        return !c->is_stranger() && c->who() == role::peer;
    });
    return static_cast<std::size_t>(peers) < options.max_connections;
}

inline void listener::send(guest_id to, std::shared_ptr<std::string const> frame) {
    if (auto const it = shared_->guests.find(to); it != shared_->guests.end())
        std::shared_ptr(it->second)->send(std::move(frame));
}

inline void listener::close(guest_id guest) {
    if (auto const it = shared_->guests.find(guest); it != shared_->guests.end()) std::shared_ptr(it->second)->close();
}

inline void listener::close_guests() {
    auto const all = shared_->guests;
    for (auto const& [guest, c] : all) c->close();
}

inline void listener::state::stop() {
    if (std::exchange(stopped, true)) return;
    asio::error_code ignored;
    acceptor.close(ignored);
    breath.cancel();
    auto const all = open;
    for (auto const& c : all) c->close();
}

} // namespace openreplica::inline v0::net
