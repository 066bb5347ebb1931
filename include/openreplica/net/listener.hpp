// The connections that others make to this node.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/error.hpp>
#include <openreplica/net/codec.hpp>
#include <openreplica/net/frame.hpp>
#include <openreplica/net/handshake.hpp>
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
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace openreplica::inline v0::net {

struct listener_options {
    std::size_t max_frame = 4u << 20;
    std::size_t max_connections = 256;
    std::size_t max_strangers = 64; ///< connections that have not said hello
    std::chrono::milliseconds hello_timeout{2000};
    std::chrono::milliseconds frame_timeout{10000}; ///< from the first byte of a message to its last
};

/// Accepts connections, says who may talk, and takes messages apart.
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

        asio::any_io_executor strand;
        listener_options options;
        events on;
        tcp::acceptor acceptor;
        asio::steady_timer breath; ///< a pause after accept itself failed: no descriptors left
        endpoint local;
        std::set<std::shared_ptr<connection>> open;
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
    std::string answer_;
    std::shared_ptr<std::string> buffer_ = std::make_shared<std::string>();
    std::size_t filled_ = 0;
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
        deadline(owner_->options.hello_timeout);
        read();
    }

    void close() {
        asio::error_code ignored;
        socket_.close(ignored);
        timer_.cancel();
        owner_->open.erase(shared_from_this());
    }

private:
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
        std::size_t const room = is_stranger() ? 4096 : read_size;
        if (buffer_->size() < filled_ + room) buffer_->resize(filled_ + room);
        socket_.async_read_some(asio::buffer(buffer_->data() + filled_, buffer_->size() - filled_),
                                [self = shared_from_this()](asio::error_code failure, std::size_t n) {
                                    if (self->owner_->stopped || !self->socket_.is_open()) return;
                                    if (failure) return self->close();
                                    self->filled_ += n;
                                    if (self->take_frames()) self->read();
                                });
    }

    /// Delivers every complete frame. False when the connection is over.
    bool take_frames() {
        // The values of the messages are slices of this buffer; what is left over moves to a new one.
        std::shared_ptr<std::string const> const bytes = buffer_;
        std::size_t at = 0;
        bool delivered = false;
        while (filled_ - at >= frame_header_size) {
            std::string_view const rest = std::string_view(*bytes).substr(at, filled_ - at);
            auto const header = read_header(rest, is_stranger() ? max_handshake_frame : owner_->options.max_frame);
            if (auto const* reason = std::get_if<std::string>(&header)) return refuse(*reason);
            auto const& h = std::get<frame_header>(header);
            if (rest.size() < frame_header_size + h.length) break;
            std::size_t const body = at + frame_header_size;
            if (crc32c(std::string_view(*bytes).substr(body, h.length)) != h.body_checksum)
                return refuse("a message's checksum is wrong");
            if (!take(h, bytes, body)) return false;
            delivered = !is_stranger();
            at = body + h.length;
        }
        keep_rest(at);
        if (delivered) owner_->on.batch_end();
        return socket_.is_open();
    }

    bool take(frame_header const& h, std::shared_ptr<std::string const> const& bytes, std::size_t body) {
        if (is_stranger()) return greet(h, std::string_view(*bytes).substr(body, h.length));
        auto m = decode(h.type, bytes, body, h.length);
        if (!m) return refuse("a message of type " + std::to_string(h.type) + " is malformed");
        owner_->on.message(peer_->self, std::move(*m));
        return !owner_->stopped;
    }

    bool greet(frame_header const& h, std::string_view body) {
        auto theirs = h.type == hello_type ? decode_hello(body) : std::nullopt;
        if (!theirs) return refuse("the first message is no hello");
        hello_reply const reply = owner_->on.judge(*theirs);
        if (owner_->stopped) return false;
        answer_ = encode(reply);
        bool const welcome = reply.reason == refusal::none;
        asio::async_write(socket_, asio::buffer(answer_),
                          [self = shared_from_this(), welcome](asio::error_code failure, std::size_t) {
                              if ((failure || !welcome) && self->socket_.is_open()) self->close();
                          });
        // The deadline stays for a refused peer: it could leave the answer unread and keep its place for ever.
        if (!welcome) return false;
        no_deadline();
        peer_ = std::move(*theirs);
        owner_->on.accepted(*peer_);
        return !owner_->stopped;
    }

    bool refuse(std::string const& reason) {
        owner_->report(reason + (peer_ ? ", from node " + short_name(peer_->self.id) : std::string()) +
                       "; the connection was closed");
        close();
        return false;
    }

    void keep_rest(std::size_t at) {
        std::size_t const rest = filled_ - at;
        if (at > 0) {
            auto next = std::make_shared<std::string>();
            next->reserve(std::max(rest, read_size));
            next->append(buffer_->data() + at, rest);
            buffer_ = std::move(next);
            filled_ = rest;
        }
        if (is_stranger()) return;
        if (rest > 0 && (at > 0 || !timing_)) deadline(owner_->options.frame_timeout);
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
        if (self->open.size() >= self->options.max_connections || self->strangers() >= self->options.max_strangers) {
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

inline void listener::state::stop() {
    if (std::exchange(stopped, true)) return;
    asio::error_code ignored;
    acceptor.close(ignored);
    breath.cancel();
    auto const all = open;
    for (auto const& c : all) c->close();
}

} // namespace openreplica::inline v0::net
