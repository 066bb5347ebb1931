// What the machine can do at best: what no replicated call can beat.
#pragma once

#include "measure.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace benchmark {

inline int listen_on_loopback(std::uint16_t& port) {
    int const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int const on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    if (bind(fd, reinterpret_cast<sockaddr*>(&a), size) != 0 || listen(fd, 8) != 0) std::exit(1);
    getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
    port = ntohs(a.sin_port);
    return fd;
}

inline std::uint16_t free_port() {
    std::uint16_t port = 0;
    close(listen_on_loopback(port));
    return port;
}

/// Waits for readiness before each read, as an event loop does.
inline bool read_all(int epoll, int fd, char* to, std::size_t size) {
    while (size > 0) {
        epoll_event ready{};
        if (epoll_wait(epoll, &ready, 1, -1) < 0) return false;
        ssize_t const n = read(fd, to, size);
        if (n <= 0) return false;
        to += n;
        size -= static_cast<std::size_t>(n);
    }
    return true;
}

/// 64 bytes there and back between two processes.
inline row round_trip(double seconds) {
    constexpr std::size_t size = 64;
    std::array<char, size> bytes{};
    std::uint16_t port = 0;
    int const listener = listen_on_loopback(port);
    auto prepare = [](int fd) {
        int const on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        int const epoll = epoll_create1(EPOLL_CLOEXEC);
        epoll_event e{};
        e.events = EPOLLIN;
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
        return epoll;
    };
    pid_t const echo = fork();
    if (echo == 0) {
        int const fd = accept(listener, nullptr, nullptr);
        int const epoll = prepare(fd);
        while (read_all(epoll, fd, bytes.data(), size))
            if (write(fd, bytes.data(), size) < 0) break;
        _exit(0);
    }
    int const fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) std::exit(1);
    int const epoll = prepare(fd);
    row r{"loopback_round_trip", 1, 0, {}, 0};
    double const start_us = now_us();
    for (double at_us = start_us; at_us < start_us + seconds * 1e6;) {
        if (write(fd, bytes.data(), size) < 0 || !read_all(epoll, fd, bytes.data(), size)) break;
        double const end_us = now_us();
        r.latencies_us.push_back(end_us - at_us);
        at_us = end_us;
    }
    r.seconds = (now_us() - start_us) / 1e6;
    close(fd);
    close(epoll);
    close(listener);
    waitpid(echo, nullptr, 0);
    return r;
}

/// Appends of `bytes` to a file that was written before, each made durable.
inline row disk_append(std::string const& dir, std::string const& op, std::size_t bytes, double seconds) {
    constexpr std::size_t file_size = 16u << 20;
    std::string const name = dir + "/disk_limit";
    int const fd = open(name.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    std::string const zeros(file_size, '\0'), data(bytes, 'x');
    if (fd < 0 || write(fd, zeros.data(), zeros.size()) < 0 || fsync(fd) != 0) std::exit(1);
    row r{op, 1, 0, {}, 0};
    double const start_us = now_us();
    std::size_t at = 0;
    for (double at_us = start_us; at_us < start_us + seconds * 1e6;) {
        if (pwrite(fd, data.data(), data.size(), static_cast<off_t>(at)) < 0 || fdatasync(fd) != 0) ++r.errors;
        at = at + 2 * bytes > file_size ? 0 : at + bytes;
        double const end_us = now_us();
        r.latencies_us.push_back(end_us - at_us);
        at_us = end_us;
    }
    r.seconds = (now_us() - start_us) / 1e6;
    close(fd);
    unlink(name.c_str());
    return r;
}

} // namespace benchmark
