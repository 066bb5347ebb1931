// How a connection ends whose other end is gone without a word: its power, or the network between, failed.
#pragma once

#include <openreplica/config.hpp>

#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace openreplica::inline v0::net {

/// Ends the connection once what was sent has stayed unacknowledged for `limit`.
///
/// TCP alone sends again after pauses that double, up to two minutes: after a cut the connection would stay mute for as
/// long again as the cut was, and a new one works at once. Where the system cannot do it, nothing changes.
inline void end_when_unacknowledged([[maybe_unused]] asio::ip::tcp::socket& socket,
                                    [[maybe_unused]] std::chrono::milliseconds limit) {
#if defined(TCP_USER_TIMEOUT)
    auto const value = static_cast<unsigned>(limit.count());
    (void)setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value);
#endif
}

/// Ends a connection on which nothing has arrived for half of `limit`, and whose other end does not answer probes for the
/// other half. One that only listens would never notice otherwise, and keep its place for ever.
inline void end_when_silent([[maybe_unused]] asio::ip::tcp::socket& socket,
                            [[maybe_unused]] std::chrono::milliseconds limit) {
#if defined(TCP_KEEPIDLE) && defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    constexpr int probes = 5;
    auto const half = limit.count() / 2000; // seconds
    int const idle = static_cast<int>(std::max<std::chrono::milliseconds::rep>(half, 1)), on = 1;
    int const pause = std::max(idle / probes, 1);
    auto const set = [&](int level, int name, int value) {
        (void)setsockopt(socket.native_handle(), level, name, &value, sizeof value);
    };
    set(IPPROTO_TCP, TCP_KEEPIDLE, idle);
    set(IPPROTO_TCP, TCP_KEEPINTVL, pause);
    set(IPPROTO_TCP, TCP_KEEPCNT, probes);
    set(SOL_SOCKET, SO_KEEPALIVE, on);
#endif
}

} // namespace openreplica::inline v0::net
