// One query, one server: UDP, then TCP when the answer was cut.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/dns/query.hpp>
#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/unique_function.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::dns {

/// How an exchange with a server ended: with a reply, with the wish to be asked without EDNS, or with a failure.
struct exchange_result {
    std::optional<message> reply;
    bool wants_no_edns = false;
    lookup_error failure{};
    std::string detail; ///< with a failure: what exactly happened
};

/// Sends a query from a fresh, connected socket and waits for the reply that fits it.
///
/// The kernel gives every socket a random port and drops packets that do not come from the server. Packets that do not
/// fit the query are ignored until the timeout. A truncated reply is asked for again over TCP, with a timeout of its
/// own. Of a server that is given by name, every address is asked in turn, each with timeouts of its own, until one
/// gives a reply; the failure reported is that of the last one.
///
/// The pending operations keep the object alive. The handler is called once, on the executor, unless `cancel()` came
/// first.
class exchange : public std::enable_shared_from_this<exchange> {
    using names = asio::ip::udp::resolver;

    /// Wraps a handler: it runs only while the exchange waits, and waits for the address that was asked then.
    template <class F>
    auto guarded(F f) {
        return [self = shared_from_this(), turn = next_address_, f](asio::error_code e, auto&&... rest) {
            if (!self->done() && turn == self->next_address_) f(*self, e, std::forward<decltype(rest)>(rest)...);
        };
    }

public:
    using handler = unique_function<void(exchange_result)>;

    exchange(asio::any_io_executor const& executor, endpoint server, query q, std::chrono::milliseconds timeout,
             handler h)
        : server_(std::move(server)), query_(std::move(q)), timeout_(timeout), handler_(std::move(h)), names_(executor),
          udp_(executor), tcp_(executor), timer_(executor) {}

    /// Starts; the handler is not called from inside.
    void start() {
        asio::error_code failure;
        auto const address = asio::ip::make_address(server_.host, failure);
        if (!failure) return start_at({address});
        arm_timer();
        names_.async_resolve(server_.host, "", asio::ip::resolver_base::flags(),
                             guarded([](exchange& x, asio::error_code e, names::results_type found) {
                                 for (auto const& entry : found) x.add(entry.endpoint().address());
                                 if (e || x.addresses_.empty())
                                     return x.fail(lookup_error::unreachable, "its host name has no address");
                                 x.ask();
                             }));
    }

    /// The same with the server's addresses, where they are known already; at least one.
    void start_at(std::vector<asio::ip::address> addresses) {
        addresses_ = std::move(addresses);
        asio::post(udp_.get_executor(), [self = shared_from_this()] { self->ask(); });
    }

    /// Ends the exchange without a call of the handler.
    void cancel() {
        handler_ = {};
        close();
    }

private:
    [[nodiscard]] bool done() const { return !handler_; }

    void close() {
        asio::error_code ignored;
        timer_.cancel();
        names_.cancel();
        udp_.close(ignored);
        tcp_.close(ignored);
    }
    void finish(exchange_result r) {
        if (done()) return;
        auto h = std::move(handler_);
        handler_ = {};
        close();
        h(std::move(r));
    }
    void fail(lookup_error e, std::string detail = {}) {
        if (next_address_ < addresses_.size()) return ask();
        finish({std::nullopt, false, e, std::move(detail)});
    }

    void add(asio::ip::address const& a) {
        if (std::find(addresses_.begin(), addresses_.end(), a) == addresses_.end()) addresses_.push_back(a);
    }

    void arm_timer() {
        timer_.expires_after(timeout_);
        timer_.async_wait(guarded([](exchange& x, asio::error_code e) {
            // A wait that was moved on completes with an error, or finds its successor's expiry in the future.
            if (e || x.timer_.expiry() > std::chrono::steady_clock::now()) return;
            if (x.broken_.empty())
                x.fail(lookup_error::timeout, x.over_tcp_ ? "over TCP, after a truncated answer over UDP" : "");
            else
                x.fail(lookup_error::malformed, std::string(x.broken_));
        }));
    }

    /// Asks the next address, with fresh sockets.
    void ask() {
        if (done()) return;
        asio::error_code e;
        udp_.close(e);
        tcp_.close(e);
        over_tcp_ = false;
        broken_ = {};
        asio::ip::udp::endpoint const to(addresses_[next_address_++], server_.port);
        arm_timer();
        e = {};
        udp_.open(to.protocol(), e);
        if (!e) udp_.connect(to, e);
        if (e) return fail(lookup_error::unreachable, e.message());
        udp_.async_send(asio::buffer(query_.bytes), guarded([](exchange& x, asio::error_code failure, std::size_t) {
                            if (failure) return x.fail(lookup_error::unreachable, failure.message());
                            x.receive();
                        }));
    }

    void receive() {
        udp_.async_receive(asio::buffer(packet_), guarded([](exchange& x, asio::error_code e, std::size_t size) {
                               // The error of a connected socket is the ICMP answer to our own packet: nobody listens.
                               if (e) return x.fail(lookup_error::unreachable, e.message());
                               x.on_packet({x.packet_.data(), size});
                           }));
    }

    void on_packet(std::string_view packet) {
        auto verdict = judge_reply(query_, packet);
        switch (verdict.is) {
        case reply_verdict::accepted:
            return finish({std::move(verdict.reply), false, {}, {}});
        case reply_verdict::no_edns:
            return finish({std::nullopt, true, {}, {}});
        case reply_verdict::truncated:
            return ask_over_tcp();
        case reply_verdict::broken:
            broken_ = verdict.reason;
            return receive();
        case reply_verdict::foreign:
            return receive();
        }
    }

    void ask_over_tcp() {
        asio::error_code e;
        auto const peer = udp_.remote_endpoint(e);
        if (e) return fail(lookup_error::unreachable, e.message());
        udp_.close(e);
        over_tcp_ = true;
        broken_ = {};
        arm_timer();
        framed_.assign(
            {static_cast<char>(query_.bytes.size() >> 8 & 0xff), static_cast<char>(query_.bytes.size() & 0xff)});
        framed_ += query_.bytes;
        tcp_.async_connect({peer.address(), peer.port()}, guarded([](exchange& x, asio::error_code failure) {
                               if (failure)
                                   return x.fail(lookup_error::unreachable,
                                                 "the answer is too long for UDP, and over TCP: " + failure.message());
                               asio::async_write(
                                   x.tcp_, asio::buffer(x.framed_),
                                   x.guarded([](exchange& y, asio::error_code f, std::size_t) { y.on_written(f); }));
                           }));
    }

    void on_written(asio::error_code e) {
        if (e) return fail_closed(e);
        asio::async_read(tcp_, asio::buffer(length_), guarded([](exchange& x, asio::error_code f, std::size_t) {
                             if (f) return x.fail_closed(f);
                             auto const byte = [&](std::size_t i) {
                                 return static_cast<std::size_t>(static_cast<unsigned char>(x.length_[i]));
                             };
                             x.read_body(byte(0) << 8 | byte(1));
                         }));
    }

    void read_body(std::size_t size) {
        if (size < 12) return fail(lookup_error::malformed, "over TCP, an answer shorter than a header");
        framed_.assign(size, '\0');
        asio::async_read(tcp_, asio::buffer(framed_), guarded([](exchange& x, asio::error_code f, std::size_t) {
                             if (f) return x.fail_closed(f);
                             x.on_body();
                         }));
    }

    void on_body() {
        auto verdict = judge_reply(query_, framed_);
        switch (verdict.is) {
        case reply_verdict::accepted:
            return finish({std::move(verdict.reply), false, {}, {}});
        case reply_verdict::no_edns:
            return finish({std::nullopt, true, {}, {}});
        case reply_verdict::truncated:
            return fail(lookup_error::malformed, "a truncated answer over TCP");
        case reply_verdict::broken:
            return fail(lookup_error::malformed, std::string(verdict.reason));
        case reply_verdict::foreign:
            return fail(lookup_error::malformed, "over TCP, the answer to another question");
        }
    }

    void fail_closed(asio::error_code e) {
        fail(lookup_error::malformed, "the TCP connection ended before the whole answer had come: " + e.message());
    }

    endpoint server_;
    query query_;
    std::chrono::milliseconds timeout_;
    handler handler_;
    names names_;
    asio::ip::udp::socket udp_;
    asio::ip::tcp::socket tcp_;
    asio::steady_timer timer_;
    std::array<char, 4096> packet_{}; // More than is offered: a server that sends more than it may is still understood.
    std::array<char, 2> length_{};
    std::string framed_;
    std::vector<asio::ip::address> addresses_;
    std::size_t next_address_ = 0;
    std::string_view broken_; // why the last packet with the right id was no answer
    bool over_tcp_ = false;
};

} // namespace openreplica::inline v0::dns
