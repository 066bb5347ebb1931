// The outgoing connection to one address.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/net/frame.hpp>
#include <openreplica/net/frame_stream.hpp>
#include <openreplica/net/handshake.hpp>
#include <openreplica/net/silence.hpp>
#include <openreplica/types/endpoint.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace openreplica::inline v0::net {

/// What may be lost first when a connection cannot keep up.
enum class priority : std::uint8_t { normal, droppable };

struct link_options {
    std::size_t queue_bytes = 64u << 20; ///< what may wait; beyond it frames are lost and counted
    std::chrono::milliseconds connect_timeout{2000};
    std::chrono::milliseconds handshake_timeout{2000};
    std::chrono::milliseconds silence_timeout{2000}; ///< what was sent stays unacknowledged: the connection is made again
    std::chrono::milliseconds first_retry{20};
    std::chrono::milliseconds last_retry{1000};
    std::chrono::milliseconds refused_retry{2000};
    std::size_t max_frame = 4u << 20; ///< of what is said here, if anything may be; a larger one ends the connection
};

/// A connection that this side makes. It is made again, with growing pauses, until it is stopped.
///
/// A peer's only sends. With `events.frame` set, the other side answers over it: that is how clients are told.
///
/// While one write is under way further frames gather, and leave together in the next one. Nothing queues without
/// limit: what does not fit is lost, which the protocol repairs.
///
/// @par Thread safety
/// One strand, the executor given at construction. Events are called on it, never from inside a member, and never after
/// `stop`.
class link : public std::enable_shared_from_this<link> {
public:
    struct events {
        std::function<void(hello_reply const&)> up;
        std::function<void(std::error_code, bool was_up)> down;
        std::function<void(hello_reply const&)> refused;
        /// A frame has arrived; false: it is malformed, and the connection ends. Unset: nothing may arrive.
        std::function<bool(frame_stream::frame const&)> frame{};
        std::function<void()> batch_end{}; ///< the frames that arrived together were delivered
    };

    [[nodiscard]] static std::shared_ptr<link> make(asio::any_io_executor strand, endpoint where, hello mine,
                                                    link_options options, events e) {
        return std::shared_ptr<link>(
            new link(std::move(strand), std::move(where), std::move(mine), options, std::move(e)));
    }

    void start() { connect(); }
    void stop() {
        stopped_ = true;
        timer_.cancel();
        resolver_.cancel();
        close();
    }

    [[nodiscard]] bool is_up() const { return up_; }
    /// The protocol version of this connection, as both sides agreed; 0 while it is down.
    [[nodiscard]] std::uint16_t protocol() const { return up_ ? protocol_ : std::uint16_t{0}; }
    /// Frames that found no room.
    [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

    /// Queues a frame; it leaves at once when nothing is under way.
    void send(std::shared_ptr<std::string const> frame, priority p) {
        std::size_t const limit = p == priority::droppable ? options_.queue_bytes / 2 : options_.queue_bytes;
        if (!up_ || queued_bytes_ + frame->size() > limit) {
            ++dropped_;
            return;
        }
        queued_bytes_ += frame->size();
        queue_.push_back(std::move(frame));
        if (writing_.empty()) write();
    }

private:
    using tcp = asio::ip::tcp;
    static constexpr std::size_t read_size = 64 * 1024;

    link(asio::any_io_executor strand, endpoint where, hello mine, link_options options, events e)
        : where_(std::move(where)), mine_(std::move(mine)), options_(options), events_(std::move(e)), resolver_(strand),
          socket_(strand), timer_(strand), pause_(options.first_retry) {}

    /// Wraps a handler: it runs only while this attempt is the current one.
    template <class F>
    auto guarded(F f) {
        return [self = shared_from_this(), attempt = attempt_,
                f = std::move(f)](asio::error_code failure, auto&&... rest)
                   requires std::is_invocable_v<F const&, link&, asio::error_code, decltype(rest)...>
        {
            if (!self->stopped_ && attempt == self->attempt_) f(*self, failure, std::forward<decltype(rest)>(rest)...);
        };
    }

    void connect() {
        ++attempt_;
        deadline(options_.connect_timeout);
        asio::error_code no_literal;
        auto const address = asio::ip::make_address(where_.host, no_literal);
        if (!no_literal) {
            socket_.async_connect({address, where_.port},
                                  guarded([](link& l, asio::error_code failure) { l.on_connected(failure); }));
            return;
        }
        resolver_.async_resolve(where_.host, std::to_string(where_.port),
                                guarded([](link& l, asio::error_code failure, tcp::resolver::results_type found) {
                                    if (failure) return l.fail(failure);
                                    asio::async_connect(
                                        l.socket_, found,
                                        l.guarded([](link& m, asio::error_code f, tcp::endpoint const&) { m.on_connected(f); }));
                                }));
    }

    void deadline(std::chrono::milliseconds after) {
        timer_.expires_after(after);
        timer_.async_wait(guarded([](link& l, asio::error_code failure) {
            if (!failure) l.fail(std::make_error_code(std::errc::timed_out));
        }));
    }

    void on_connected(asio::error_code failure) {
        if (failure) return fail(failure);
        asio::error_code ignored;
        socket_.set_option(tcp::no_delay(true), ignored);
        end_when_unacknowledged(socket_, options_.silence_timeout);
        deadline(options_.handshake_timeout);
        greeting_ = encode(mine_);
        asio::async_write(socket_, asio::buffer(greeting_), guarded([](link& l, asio::error_code f, std::size_t) {
                              if (f) return l.fail(f);
                              l.read_reply_header();
                          }));
    }

    void read_reply_header() {
        answer_.resize(frame_header_size);
        asio::async_read(socket_, asio::buffer(answer_), guarded([](link& l, asio::error_code f, std::size_t) {
                             if (f) return l.fail(f);
                             auto const header = read_header(l.answer_, max_handshake_frame);
                             auto const* h = std::get_if<frame_header>(&header);
                             if (h == nullptr || h->type != hello_reply_type)
                                 return l.fail(std::make_error_code(std::errc::protocol_error));
                             l.read_reply(*h);
                         }));
    }

    void read_reply(frame_header h) {
        answer_.resize(h.length);
        asio::async_read(socket_, asio::buffer(answer_), guarded([h](link& l, asio::error_code f, std::size_t) {
                             if (f) return l.fail(f);
                             auto const reply = decode_hello_reply(l.answer_);
                             if (!reply || crc32c(l.answer_) != h.body_checksum)
                                 return l.fail(std::make_error_code(std::errc::protocol_error));
                             l.on_reply(*reply);
                         }));
    }

    void on_reply(hello_reply const& reply) {
        if (reply.reason != refusal::none) {
            close();
            retry(options_.refused_retry);
            return events_.refused(reply);
        }
        if (reply.protocol < mine_.oldest || reply.protocol > mine_.newest)
            return fail(std::make_error_code(std::errc::protocol_error));
        timer_.cancel();
        pause_ = options_.first_retry;
        up_ = true;
        protocol_ = reply.protocol;
        if (events_.frame) {
            incoming_ = frame_stream();
            read_frames();
        } else {
            watch();
        }
        events_.up(reply);
    }

    void read_frames() {
        auto const [where, size] = incoming_.room(read_size);
        socket_.async_read_some(asio::buffer(where, size), guarded([](link& l, asio::error_code f, std::size_t n) {
                                    if (f) return l.fail(f);
                                    l.incoming_.add(n);
                                    l.take_frames();
                                }));
    }

    void take_frames() {
        auto const attempt = attempt_;
        for (;;) {
            auto next = incoming_.next(options_.max_frame);
            auto const* f = std::get_if<frame_stream::frame>(&next);
            bool const fits = f != nullptr ? events_.frame(*f) : std::holds_alternative<std::monostate>(next);
            if (stopped_ || attempt != attempt_) return; // Ended by what was done with the frame.
            if (!fits) return fail(std::make_error_code(std::errc::protocol_error));
            if (f == nullptr) break;
        }
        if (incoming_.keep_rest(read_size).fresh) events_.batch_end();
        if (!stopped_ && attempt == attempt_) read_frames();
    }

    /// The peer says nothing more on this connection: whatever the read ends with means that it is over.
    void watch() {
        socket_.async_read_some(asio::buffer(rest_), guarded([](link& l, asio::error_code f, std::size_t) {
                                    l.fail(f ? std::error_code(f) : std::make_error_code(std::errc::protocol_error));
                                }));
    }

    void write() {
        writing_.swap(queue_);
        buffers_.clear();
        for (auto const& frame : writing_) buffers_.emplace_back(asio::buffer(*frame));
        asio::async_write(socket_, buffers_, guarded([](link& l, asio::error_code f, std::size_t n) {
                              if (f) return l.fail(f);
                              l.queued_bytes_ -= n;
                              l.writing_.clear();
                              if (!l.queue_.empty()) l.write();
                          }));
    }

    void fail(std::error_code why) {
        bool const was_up = up_;
        close();
        // Half of the pause is random, so that many nodes do not come back in step.
        retry(pause_ / 2 + std::chrono::milliseconds(static_cast<std::int64_t>(
                               std::hash<void const*>{}(this) / 64 + attempt_ * 7919) %
                           std::max<std::int64_t>(pause_.count() / 2, 1)));
        pause_ = std::min(pause_ * 2, options_.last_retry);
        events_.down(why, was_up);
    }

    void retry(std::chrono::milliseconds after) {
        timer_.expires_after(after);
        timer_.async_wait(guarded([](link& l, asio::error_code failure) {
            if (!failure) l.connect();
        }));
    }

    void close() {
        ++attempt_;
        up_ = false;
        asio::error_code ignored;
        socket_.close(ignored);
        writing_.clear();
        queue_.clear();
        queued_bytes_ = 0;
    }

    endpoint where_;
    hello mine_;
    link_options options_;
    events events_;
    tcp::resolver resolver_;
    tcp::socket socket_;
    asio::steady_timer timer_;
    std::chrono::milliseconds pause_;
    std::uint64_t attempt_ = 0; ///< handlers of an earlier attempt find another number here and do nothing
    bool stopped_ = false;
    bool up_ = false;
    std::uint16_t protocol_ = 0;
    std::string greeting_;
    std::string answer_;
    std::array<char, 1> rest_{};
    frame_stream incoming_;
    std::vector<std::shared_ptr<std::string const>> queue_;
    std::vector<std::shared_ptr<std::string const>> writing_;
    std::vector<asio::const_buffer> buffers_;
    std::size_t queued_bytes_ = 0;
    std::uint64_t dropped_ = 0;
};

} // namespace openreplica::inline v0::net
