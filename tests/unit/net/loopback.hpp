// Real sockets on the loopback, all turned by one io_context with a deadline.
#pragma once

#include <openreplica/config.hpp>

#include "client_samples.hpp"
#include "sample_messages.hpp"

#include <openreplica/net/link.hpp>
#include <openreplica/net/listener.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace net_test {

using tcp = asio::ip::tcp;
using namespace std::chrono_literals;

/// Far longer than anything here takes: only a failing test waits for it.
inline constexpr std::chrono::seconds patience{20};

/// Runs handlers until the condition holds. False when patience or work ran out first.
template <class Condition>
[[nodiscard]] bool run_until(asio::io_context& io, Condition holds) {
    auto const end = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        io.restart();
        if (io.run_one_until(end) == 0) return holds();
    }
    return true;
}

/// Runs until nothing is left to wait for. False when something still waits after all patience.
[[nodiscard]] inline bool run_dry(asio::io_context& io) {
    io.restart();
    io.run_for(patience);
    return io.stopped();
}

/// Runs what is ready now and lets `turns` timers of a millisecond pass: room for events that must not come.
inline void run_a_while(asio::io_context& io, int turns = 30) {
    asio::steady_timer timer(io);
    for (int i = 0; i < turns; ++i) {
        bool rang = false;
        timer.expires_after(1ms);
        timer.async_wait([&](asio::error_code) { rang = true; });
        (void)run_until(io, [&] { return rang; });
    }
}

/// One end of a connection that says exactly what a test wants, and keeps what it hears.
class raw_peer : public std::enable_shared_from_this<raw_peer> {
    tcp::socket socket_;
    std::array<char, 4096> chunk_{};
    std::deque<std::string> waiting_;

public:
    std::string heard;
    bool closed = false;

    explicit raw_peer(tcp::socket socket) : socket_(std::move(socket)) {}

    [[nodiscard]] static std::shared_ptr<raw_peer> connect(asio::io_context& io, endpoint const& where) {
        tcp::socket s(io);
        s.connect({asio::ip::make_address("127.0.0.1"), where.port});
        auto p = std::make_shared<raw_peer>(std::move(s));
        p->listen();
        return p;
    }
    /// Begins to read what the other end says.
    void listen() {
        socket_.async_read_some(asio::buffer(chunk_),
                                [self = shared_from_this()](asio::error_code failure, std::size_t n) {
                                    self->heard.append(self->chunk_.data(), n);
                                    self->closed = self->closed || failure;
                                    if (!failure) self->listen();
                                });
    }
    /// Says it after what was said before; the test waits for what comes of it.
    void say(std::string bytes) {
        waiting_.push_back(std::move(bytes));
        if (waiting_.size() == 1) write();
    }
    void close() {
        asio::error_code ignored;
        socket_.close(ignored);
    }
    [[nodiscard]] tcp::socket& socket() { return socket_; }

private:
    void write() {
        asio::async_write(socket_, asio::buffer(waiting_.front()),
                          [self = shared_from_this()](asio::error_code failure, std::size_t) {
                              self->waiting_.pop_front();
                              if (!failure && !self->waiting_.empty()) self->write();
                          });
    }
};

/// Accepts connections and leaves it to the test what to do with them.
struct raw_server {
    asio::io_context& io;
    tcp::acceptor acceptor;
    std::function<void(raw_peer&)> on_accept = [](raw_peer& p) { p.listen(); };
    std::vector<std::shared_ptr<raw_peer>> peers{};

    explicit raw_server(asio::io_context& context)
        : io(context), acceptor(context, {asio::ip::make_address("127.0.0.1"), 0}) {
        accept();
    }
    void accept() {
        acceptor.async_accept([this](asio::error_code failure, tcp::socket s) {
            if (failure) return;
            peers.push_back(std::make_shared<raw_peer>(std::move(s)));
            on_accept(*peers.back());
            accept();
        });
    }
    [[nodiscard]] endpoint address() const { return {"127.0.0.1", acceptor.local_endpoint().port()}; }
};

/// A listener and everything it reported.
struct listening {
    asio::io_context& io;
    net::hello mine = some_hello(1);
    net::listener_options options{};
    std::vector<net::hello> judged{};
    std::vector<net::hello> accepted{};
    std::vector<std::pair<paxos::member, net::any_message>> messages{};
    std::vector<std::string> malformed{};
    std::vector<net::guest_id> guests{}; ///< the clients that are connected
    std::vector<std::pair<net::guest_id, net::client_request>> requests{};
    int batches = 0;
    std::function<void()> after_event = [] {}; ///< what a test does from inside an event
    std::optional<net::listener> l{};

    explicit listening(asio::io_context& context) : io(context) {}

    void start(endpoint const& where = {"127.0.0.1", 0}) {
        net::listener::events e;
        e.judge = [this](net::hello const& theirs) {
            judged.push_back(theirs);
            auto reply = net::judge(mine, theirs);
            after_event();
            return reply;
        };
        e.accepted = [this](net::hello const& theirs) { accepted.push_back(theirs), after_event(); };
        e.message = [this](paxos::member const& from, net::any_message&& m) {
            messages.emplace_back(from, std::move(m));
            after_event();
        };
        e.batch_end = [this] { ++batches, after_event(); };
        e.malformed = [this](std::string const& reason) { malformed.push_back(reason), after_event(); };
        e.guest_up = [this](net::guest_id g, net::hello const&) { guests.push_back(g), after_event(); };
        e.guest_message = [this](net::guest_id g, net::client_request&& m) {
            requests.emplace_back(g, std::move(m));
            after_event();
        };
        e.guest_down = [this](net::guest_id g) { std::erase(guests, g), after_event(); };
        l.emplace(io.get_executor(), where, options, std::move(e));
        l->start();
    }
    [[nodiscard]] endpoint address() const { return l->local_endpoint(); }
    [[nodiscard]] std::size_t events() const {
        return judged.size() + accepted.size() + messages.size() + malformed.size() + static_cast<std::size_t>(batches);
    }
    /// The numbers of the heartbeats that arrived, in their order.
    [[nodiscard]] std::vector<std::uint64_t> heartbeats() const {
        std::vector<std::uint64_t> numbers;
        for (auto const& [from, any] : messages)
            if (auto const* m = std::get_if<paxos::message>(&any))
                if (auto const* h = std::get_if<paxos::heartbeat>(m)) numbers.push_back(h->number);
        return numbers;
    }
};

inline net::hello client_hello(std::uint64_t id = 2) {
    net::hello h = some_hello(id);
    h.who = net::role::client;
    h.self.address = {};
    return h;
}

inline std::string heartbeat_frame(std::uint64_t number) {
    return net::encode(paxos::message(paxos::heartbeat{number, {}, {}}));
}

/// A frame of a forward whose body has exactly this many bytes.
inline std::string forward_frame(std::size_t body_size) {
    return net::encode(paxos::message(paxos::forward{1, 0, {shared_bytes(std::string(body_size - 17, 'x'))}}));
}

} // namespace net_test
