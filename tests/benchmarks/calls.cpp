// Calls per second and latency of three processes on loopback, beside the loopback round trip of the same run.
//
//   calls                    all rows, one JSON line each (about three minutes)
//   calls --seconds 0.2 --failovers 1    a smoke test
//
// The coordinator starts three member processes, finds out who leads, and gives orders over pipes. No figure is checked:
// machines differ. Quote medians of several runs, as ratios to the round trip of the same run.
#include "member.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <optional>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace {

using namespace benchmark;

int listen_on_loopback(std::uint16_t& port) {
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

std::uint16_t free_port() {
    std::uint16_t port = 0;
    close(listen_on_loopback(port));
    return port;
}

/// Waits for readiness before each read, as an event loop does.
bool read_all(int epoll, int fd, char* to, std::size_t size) {
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

/// 64 bytes there and back between two processes: what no replicated call can beat.
row round_trip(double seconds) {
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

/// Three member processes and the pipes to give them orders.
class group {
    struct process {
        pid_t pid = 0;
        FILE* to = nullptr;
        FILE* from = nullptr;
    };
    std::vector<process> members_;

    static process start(char const* program, std::string const& listen, std::vector<std::string> const& seeds) {
        int orders[2], answers[2];
        if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) std::exit(1);
        pid_t const pid = fork();
        if (pid == 0) {
            dup2(orders[0], 0);
            dup2(answers[1], 1);
            std::vector<char const*> argv{program, "--member", listen.c_str()};
            for (auto const& s : seeds) argv.push_back(s.c_str());
            argv.push_back(nullptr);
            execv("/proc/self/exe", const_cast<char* const*>(argv.data()));
            _exit(127);
        }
        close(orders[0]);
        close(answers[1]);
        return {pid, fdopen(orders[1], "w"), fdopen(answers[0], "r")};
    }

public:
    explicit group(char const* program) {
        std::vector<std::string> seeds;
        for (int i = 0; i < 3; ++i) seeds.push_back("127.0.0.1:" + std::to_string(free_port()));
        for (auto const& s : seeds) members_.push_back(start(program, s, seeds));
    }
    group(group const&) = delete;
    group& operator=(group const&) = delete;
    ~group() {
        for (std::size_t i = 0; i < members_.size(); ++i) end(i, SIGKILL);
    }

    std::string ask(std::size_t member, std::string const& order) {
        std::fprintf(members_[member].to, "%s\n", order.c_str());
        std::fflush(members_[member].to);
        std::string line;
        for (int c = 0; (c = std::fgetc(members_[member].from)) != EOF && c != '\n';) line += static_cast<char>(c);
        return line;
    }
    /// The member that leads, once all are ready.
    std::size_t leader() {
        for (;;) {
            std::optional<std::size_t> found;
            for (std::size_t i = 0; i < members_.size(); ++i)
                if (ask(i, "role") == "leader") found = i;
            if (found) return *found;
        }
    }
    [[nodiscard]] std::vector<int> pids() const {
        std::vector<int> all;
        for (auto const& m : members_) all.push_back(m.pid);
        return all;
    }
    void signal(std::size_t member, int number) { kill(members_[member].pid, number); }
    void end(std::size_t member, int number) {
        process& m = members_[member];
        if (m.pid == 0) return;
        kill(m.pid, number);
        std::fclose(m.to);
        std::fclose(m.from);
        waitpid(m.pid, nullptr, 0);
        m.pid = 0;
    }
};

void print(std::string const& fields, core_meter const& meter) {
    std::printf("{%s,%s}\n", fields.c_str(), meter.json().c_str());
    std::fflush(stdout);
}

void measure_calls(group& g, double seconds) {
    std::size_t const leader = g.leader();
    std::size_t const follower = (leader + 1) % 3;
    auto const run = [&](std::size_t at, std::string const& where, std::string const& op, std::string const& style, int n) {
        core_meter const meter(g.pids());
        std::string line = g.ask(at, "run " + op + " " + style + " " + std::to_string(n) + " " + std::to_string(seconds));
        auto const place = line.find("\"op\":\"");
        if (place != std::string::npos) line.insert(place + 6, where + "_");
        print(line, meter);
    };
    (void)g.ask(leader, "run update async 64 0.5"); // Warms up: allocators, connections, the object's creation.
    for (std::string const op : {"update", "read"})
        for (int n : {1, 64, 256})
            for (std::string const style : {"async", "blocking"}) {
                run(leader, "leader", op, style, n);
                run(follower, "follower", op, style, n);
            }
}

/// The time from a signal to the leader until the first call that was under way or made afterwards came back.
void measure_failover(char const* program, int number, std::string const& name, int repeats) {
    row r{name, 1, 0, {}, 0};
    core_meter const meter({});
    for (int i = 0; i < repeats; ++i) {
        group g(program);
        std::size_t const leader = g.leader();
        std::size_t const follower = (leader + 1) % 3;
        g.ask(follower, "watch");
        (void)g.ask((leader + 2) % 3, "role"); // Any exchange: the watch has calls under way by now.
        double const kill_us = now_us();
        g.signal(leader, number);
        // The third member proves, by a call of its own, that the group goes on.
        (void)g.ask((leader + 2) % 3, "run update blocking 1 0.2");
        r.latencies_us.push_back(std::stod(g.ask(follower, "gap " + std::to_string(kill_us))));
        r.seconds += r.latencies_us.back() / 1e6;
        if (number == SIGSTOP) g.signal(leader, SIGCONT);
    }
    print(r.json(), meter);
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 3 && std::string(argv[1]) == "--member")
        return member_main(argv[2], std::vector<std::string>(argv + 3, argv + argc));
    double seconds = 3;
    int failovers = 11;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string(argv[i]) == "--seconds") seconds = std::atof(argv[i + 1]);
        if (std::string(argv[i]) == "--failovers") failovers = std::atoi(argv[i + 1]);
    }
    signal(SIGPIPE, SIG_IGN);
    auto limit = [&] {
        core_meter const meter({});
        print(round_trip(std::min(seconds, 2.0)).json(), meter);
    };
    limit();
    {
        group g(argv[0]);
        measure_calls(g, seconds);
    }
    limit();
    measure_failover(argv[0], SIGKILL, "next_commit_after_kill", failovers);
    measure_failover(argv[0], SIGSTOP, "next_commit_after_stop", failovers);
}
