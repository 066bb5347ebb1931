// Networks that only this test program and its children see, and that vanish with them, however they end.
//
// Each member has a network namespace with one address; a bridge in another one joins them. Nothing of the machine's own
// network is touched, and nothing has a name outside these processes.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace networks {

/// Which way messages are lost: from the first to the second.
using lost_ways = std::set<std::pair<std::size_t, std::size_t>>;

/// Both ways between every member of `a` and every member of `b`.
inline lost_ways between(std::vector<std::size_t> const& a, std::vector<std::size_t> const& b) {
    lost_ways lost;
    for (std::size_t i : a)
        for (std::size_t j : b) lost.insert({{i, j}, {j, i}});
    return lost;
}

/// Everything but what these pairs say to each other.
inline lost_ways all_but(std::size_t members, std::vector<std::pair<std::size_t, std::size_t>> const& joined) {
    lost_ways lost;
    for (std::size_t i = 0; i < members; ++i)
        for (std::size_t j = 0; j < members; ++j)
            if (i != j) lost.insert({i, j});
    for (auto const& [a, b] : joined) {
        lost.erase({a, b});
        lost.erase({b, a});
    }
    return lost;
}

/// Gives `commands` to `ip -batch` in a network namespace; -1: in this process's own.
inline bool run_ip(int name_space, std::string const& commands) {
    int const script = memfd_create("ip", 0);
    if (script < 0 || write(script, commands.data(), commands.size()) != static_cast<ssize_t>(commands.size())) return false;
    lseek(script, 0, SEEK_SET);
    pid_t const pid = fork();
    if (pid == 0) {
        if (name_space >= 0 && setns(name_space, CLONE_NEWNET) != 0) _exit(126);
        dup2(script, 0);
        execl("/bin/sh", "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin exec ip -batch -", nullptr);
        _exit(127);
    }
    close(script);
    int status = 1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/// n members on one bridge.
class network {
    std::vector<int> members_; ///< their namespaces, which live as long as somebody holds them
    lost_ways lost_;

    static std::string hardware(std::size_t i) {
        char text[32];
        std::snprintf(text, sizeof text, "02:4d:00:00:00:%02zx", i + 1);
        return text;
    }
    /// Frames to an address that nobody has are lost on the bridge, and the sender hears nothing of it.
    static constexpr char const* nobody = "02:4d:00:00:00:ff";

    [[nodiscard]] static std::string neighbour(std::size_t i, bool lost) {
        return "neigh replace " + address(i) + " lladdr " + (lost ? nobody : hardware(i)) + " dev eth0 nud permanent\n";
    }

public:
    network() = default;
    network(network const&) = delete;
    network& operator=(network const&) = delete;
    ~network() {
        for (int fd : members_) close(fd);
    }

    [[nodiscard]] static std::string address(std::size_t i) { return "10.77.0." + std::to_string(i + 1); }

    /// Builds it, and puts this process into the bridge's namespace. Before there are threads. Empty, or why that is not
    /// possible.
    [[nodiscard]] std::string build(std::size_t members) {
        if (!run_ip(-1, "")) return "there is no working `ip` (iproute2)";
        if (std::string why = leave(); !why.empty()) return why;
        for (std::size_t i = 0; i < members; ++i) {
            members_.push_back(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
            if (members_.back() < 0 || unshare(CLONE_NEWNET) != 0)
                return std::string("a network namespace cannot be made: ") + std::strerror(errno);
        }
        std::string hub = "link add bridge type bridge\nlink set bridge up\n";
        for (std::size_t i = 0; i < members; ++i) {
            std::string const port = "port" + std::to_string(i);
            hub += "link add " + port + " type veth peer name eth0 netns /proc/" + std::to_string(getpid()) + "/fd/" +
                   std::to_string(members_[i]) + "\nlink set " + port + " master bridge up\n";
        }
        if (!run_ip(-1, hub)) return "a bridge with veth pairs cannot be made";
        for (std::size_t i = 0; i < members; ++i) {
            std::string own = "link set lo up\nlink set eth0 address " + hardware(i) + " up\naddress add " + address(i) +
                              "/24 dev eth0\n";
            for (std::size_t j = 0; j < members; ++j)
                if (j != i) own += neighbour(j, false);
            if (!run_ip(members_[i], own)) return "an address cannot be given to a namespace";
        }
        return {};
    }

    /// In a child: from here on it lives in the member's namespace.
    [[nodiscard]] bool enter(std::size_t i) const { return setns(members_[i], CLONE_NEWNET) == 0; }

    /// From now on exactly these ways lose everything, silently; connections stay open. False when `ip` refuses.
    [[nodiscard]] bool lose(lost_ways const& lost) {
        bool done = true;
        for (std::size_t i = 0; i < members_.size(); ++i) {
            std::string changes;
            for (std::size_t j = 0; j < members_.size(); ++j)
                if (lost.contains({i, j}) != lost_.contains({i, j})) changes += neighbour(j, lost.contains({i, j}));
            done = (changes.empty() || run_ip(members_[i], changes)) && done;
        }
        lost_ = lost;
        return done;
    }
    [[nodiscard]] bool heal() { return lose({}); }

private:
    /// Leaves the machine's network. Whoever is not root becomes it in a user namespace of its own, where that is allowed.
    static std::string leave() {
        if (unshare(CLONE_NEWNET) == 0) return {};
        std::string const user = std::to_string(geteuid());
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
            return std::string("this process may not have a network of its own: ") + std::strerror(errno);
        int const map = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        std::string const line = "0 " + user + " 1";
        bool const mapped = map >= 0 && write(map, line.data(), line.size()) > 0;
        if (map >= 0) close(map);
        return mapped ? std::string() : "this process may not be root in a user namespace of its own";
    }
};

} // namespace networks
