// A DNS server on loopback that answers as a test tells it, on the same io_context as the code under test.
#pragma once

#include "sample_messages.hpp"

#include <openreplica/config.hpp>
#include <openreplica/dns/decode.hpp>
#include <openreplica/dns/encode.hpp>
#include <openreplica/types/endpoint.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace dns_test {

/// The reply that a well-behaved server gives to `query`, without records.
inline dns::message reply_to(dns::message const& query, dns::response_code code = dns::response_code::noerror) {
    dns::message m;
    m.header = query.header;
    m.header.response = m.header.recursion_available = true;
    m.questions = query.questions;
    if (query.edns) m.edns = dns::edns{1232, 0, 0, false, {}};
    m.set_rcode(code);
    return m;
}

class scripted_server {
public:
    using send = std::function<void(std::string)>;
    /// Gets each query and a way to send packets to its sender.
    std::function<void(dns::message const&, send)> on_udp = [](auto const&, auto const&) {};
    /// The bytes to write to a TCP client that sent a query, frame included; the connection is then closed or kept
    /// silent.
    std::function<std::string(dns::message const&)> on_tcp;
    bool close_after_tcp = true;
    int udp_queries = 0;
    std::set<std::uint16_t> udp_ports; // where queries came from
    int tcp_queries = 0;

    explicit scripted_server(asio::io_context& io, std::string const& address = "127.0.0.1", bool with_tcp = true)
        : udp_(io), acceptor_(io) {
        do {
            udp_ = asio::ip::udp::socket(io, {asio::ip::make_address(address), 0});
        } while (with_tcp && !listen());
        receive();
        if (with_tcp) accept();
    }

    [[nodiscard]] openreplica::endpoint address() const {
        return {udp_.local_endpoint().address().to_string(), udp_.local_endpoint().port()};
    }

    [[nodiscard]] static std::string framed(std::string const& m) {
        return std::string{static_cast<char>(m.size() >> 8 & 0xff), static_cast<char>(m.size() & 0xff)} + m;
    }

private:
    /// False when the port of the UDP socket is taken for TCP.
    bool listen() {
        asio::ip::tcp::endpoint const at(udp_.local_endpoint().address(), udp_.local_endpoint().port());
        asio::error_code taken;
        acceptor_.open(at.protocol());
        acceptor_.set_option(asio::ip::tcp::acceptor::reuse_address(true));
        acceptor_.bind(at, taken);
        if (!taken) acceptor_.listen(asio::socket_base::max_listen_connections, taken);
        if (taken) acceptor_.close();
        return !taken;
    }
    void receive() {
        udp_.async_receive_from(asio::buffer(packet_), from_, [this](asio::error_code e, std::size_t size) {
            if (e == asio::error::operation_aborted) return;
            if (!e) {
                ++udp_queries;
                udp_ports.insert(from_.port());
                auto const q = dns::decode({packet_.data(), size});
                if (q)
                    on_udp(*q.value, [this, to = from_](std::string const& m) {
                        asio::error_code ignored;
                        udp_.send_to(asio::buffer(m), to, 0, ignored);
                    });
            }
            receive();
        });
    }
    void accept() {
        acceptor_.async_accept([this](asio::error_code e, asio::ip::tcp::socket s) {
            if (e) return;
            auto link = std::make_shared<asio::ip::tcp::socket>(std::move(s));
            auto frame = std::make_shared<std::string>(2, '\0');
            asio::async_read(*link, asio::buffer(*frame), [this, link, frame](asio::error_code f, std::size_t) {
                if (!f) read_query(link, static_cast<std::size_t>(static_cast<unsigned char>((*frame)[1])));
            });
            accept();
        });
    }
    void read_query(std::shared_ptr<asio::ip::tcp::socket> const& link, std::size_t size) {
        auto body = std::make_shared<std::string>(size, '\0');
        asio::async_read(*link, asio::buffer(*body), [this, link, body](asio::error_code e, std::size_t) {
            if (e) return;
            ++tcp_queries;
            auto const q = dns::decode(*body);
            if (!q || !on_tcp) return;
            auto out = std::make_shared<std::string>(on_tcp(*q.value));
            asio::async_write(*link, asio::buffer(*out), [this, link, out](asio::error_code, std::size_t) {
                if (!close_after_tcp) kept_.push_back(link);
            });
        });
    }

    asio::ip::udp::socket udp_;
    asio::ip::udp::endpoint from_;
    asio::ip::tcp::acceptor acceptor_;
    std::vector<std::shared_ptr<asio::ip::tcp::socket>> kept_;
    std::array<char, 4096> packet_{};
};

} // namespace dns_test
