// The system is asked to watch connections; that it does, tests/integration/partitions.cpp shows.
#include <openreplica/net/silence.hpp>

#include <doctest/doctest.h>

#include <asio/io_context.hpp>

#include <chrono>

namespace {

using namespace std::chrono_literals;

int option(asio::ip::tcp::socket& s, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    REQUIRE(getsockopt(s.native_handle(), level, name, &value, &size) == 0);
    return value;
}

} // namespace

#if defined(TCP_USER_TIMEOUT) && defined(TCP_KEEPIDLE)
TEST_CASE("a connection that only sends ends when nothing is acknowledged, and one that only listens when probes are not") {
    asio::io_context io;
    asio::ip::tcp::socket s(io, asio::ip::tcp::v4());
    openreplica::net::end_when_unacknowledged(s, 2000ms);
    CHECK(option(s, IPPROTO_TCP, TCP_USER_TIMEOUT) == 2000);
    CHECK(option(s, SOL_SOCKET, SO_KEEPALIVE) == 0);
    asio::ip::tcp::socket l(io, asio::ip::tcp::v4());
    openreplica::net::end_when_silent(l, 10000ms);
    CHECK(option(l, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(l, IPPROTO_TCP, TCP_KEEPIDLE) == 5);
    CHECK(option(l, IPPROTO_TCP, TCP_KEEPINTVL) * option(l, IPPROTO_TCP, TCP_KEEPCNT) == 5);
}

TEST_CASE("a limit below two seconds is taken for two") {
    asio::io_context io;
    asio::ip::tcp::socket s(io, asio::ip::tcp::v4());
    openreplica::net::end_when_silent(s, 100ms);
    CHECK(option(s, IPPROTO_TCP, TCP_KEEPIDLE) == 1);
    CHECK(option(s, IPPROTO_TCP, TCP_KEEPINTVL) == 1);
}
#endif
