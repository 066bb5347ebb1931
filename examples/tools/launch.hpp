// Starts one more node on a host of a list: the one that shares the fewest failure groups with the group's voters.
#pragma once

#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/placement.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace launch {

/// What is wrong with the words or the file of hosts, as a sentence.
struct mistake : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A line of the file of hosts.
struct host {
    std::string name;       ///< a name or an IP address
    std::uint16_t port = 0; ///< 0: the line names none
    std::vector<std::string> groups{};
    std::size_t line = 0;

    [[nodiscard]] std::string address() const { return port == 0 ? name : to_string(openreplica::endpoint{name, port}); }
    /// Whether a node at this address would be in the way of another one here.
    [[nodiscard]] bool has(openreplica::endpoint const& node) const {
        return node.host == name && (port == 0 || node.port == port);
    }
};

/// What is there already.
struct surroundings {
    std::vector<openreplica::endpoint> in_use{};
    std::vector<std::vector<std::string>> voters{}; ///< the failure groups of each one that is alive
};

// ---- the file of hosts

/// Whether a shell takes the word as it is: addresses and groups become part of a command.
[[nodiscard]] inline bool is_plain(std::string_view word) {
    return std::all_of(word.begin(), word.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("._:-/+@=%").find(c) != std::string_view::npos;
    });
}

[[nodiscard]] inline std::optional<host> read_host(std::string const& word) {
    host h;
    if (auto const where = openreplica::parse_endpoint(word)) {
        h.name = where->host;
        h.port = where->port;
        if (h.port == 0) return std::nullopt;
    } else if (word.find_first_of(":[]") == std::string::npos) {
        h.name = word;
    }
    return h.name.empty() || !is_plain(h.name) ? std::nullopt : std::optional(h);
}

/// One host a line: `host:port` or `host`, then its failure groups; `#` begins a comment.
///
/// @throws mistake with the line's number
[[nodiscard]] inline std::vector<host> read_hosts(std::istream& from, std::string const& file) {
    std::vector<host> all;
    std::string text;
    for (std::size_t line = 1; std::getline(from, text); ++line) {
        auto const wrong = [&](std::string const& what) { return mistake(file + ":" + std::to_string(line) + ": " + what); };
        std::istringstream words(text.substr(0, text.find('#')));
        std::string word;
        if (!(words >> word)) continue;
        auto h = read_host(word);
        if (!h) throw wrong("\"" + word + "\" is neither host:port (with a port above 0) nor a host");
        h->line = line;
        while (words >> word) {
            if (!is_plain(word))
                throw wrong("failure group \"" + word + "\" has a character that means something to a shell; use letters, "
                            "digits and ._:-/+@=%");
            h->groups.push_back(word);
        }
        for (host const& other : all)
            if (other.address() == h->address())
                throw wrong(h->address() + " is named in line " + std::to_string(other.line) + " already");
        all.push_back(*std::move(h));
    }
    if (all.empty()) throw mistake(file + " names no host");
    return all;
}

[[nodiscard]] inline std::vector<host> read_hosts(std::string const& file) {
    std::ifstream from(file);
    if (!from) throw mistake("cannot read the hosts in " + file + ": " + std::generic_category().message(errno));
    return read_hosts(from, file);
}

// ---- the choice

/// The index of the best host that is not in use; nothing when there is none.
[[nodiscard]] inline std::optional<std::size_t> choose(std::vector<host> const& hosts, surroundings const& now) {
    std::vector<std::vector<std::string>> groups = now.voters;
    std::vector<std::size_t> taken(groups.size()), free;
    for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = i;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        if (std::any_of(now.in_use.begin(), now.in_use.end(), [&](auto const& node) { return hosts[i].has(node); })) continue;
        free.push_back(i);
        groups.push_back(hosts[i].groups);
    }
    if (free.empty()) return std::nullopt;
    return free[openreplica::place(groups, 1, {}, taken).front() - taken.size()];
}

// ---- the command

inline constexpr std::string_view host_words[] = {"{host}", "{port}", "{address}"};

/// @throws mistake when the command would be the same for every host, or a host lacks the port that it asks for
inline void check_template(std::string const& command, std::vector<host> const& hosts) {
    auto const asks = [&](std::string_view word) { return command.find(word) != std::string::npos; };
    if (std::none_of(std::begin(host_words), std::end(host_words), asks))
        throw mistake("--command \"" + command + "\" does not say where: put {address}, {host} or {port} into it");
    for (host const& h : hosts)
        if (h.port == 0 && asks("{port}"))
            throw mistake("--command asks for {port}, and the host \"" + h.name + "\" in line " + std::to_string(h.line) +
                          " has none");
}

[[nodiscard]] inline std::string fill_in(std::string command, host const& h) {
    std::string groups;
    for (std::string const& g : h.groups) groups += (groups.empty() ? "" : ",") + g;
    auto const replace = [&](std::string_view word, std::string const& by) {
        for (std::size_t at = 0; (at = command.find(word, at)) != std::string::npos; at += by.size())
            command.replace(at, word.size(), by);
    };
    replace("{host}", h.name);
    replace("{port}", std::to_string(h.port));
    replace("{address}", h.address());
    replace("{groups}", groups);
    return command;
}

struct started {
    pid_t process = 0;
    std::optional<int> status{}; ///< as shells count; nothing while it runs
};

/// The child's part: nothing of whoever called lives on in the new process but its output and its environment.
[[noreturn]] inline void become(char const* command) {
    setsid(); // Neither a terminal that goes away nor a signal to the caller's process group ends it.
    // Both survive `exec`, and a member that is started from a member must not be deaf to SIGTERM because that one waits
    // for it.
    for (int s : {SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM}) signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    int const nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, 0);
    // A listening socket that came from the caller would keep the address of a member that is long dead.
    close_range(3, ~0U, 0);
    execl("/bin/sh", "sh", "-c", command, static_cast<char*>(nullptr));
    _exit(127);
}

/// Runs the command in a session of its own, and watches it for so long.
[[nodiscard]] inline started run(std::string const& command, std::chrono::milliseconds patience) {
    signal(SIGCHLD, SIG_DFL); // Whoever ignores it is never told how a child ended, and this is inherited.
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, nullptr);
    started s{fork()};
    if (s.process < 0) throw std::system_error(errno, std::generic_category(), "cannot start a process");
    if (s.process == 0) become(command.c_str());
    auto const end = std::chrono::steady_clock::now() + patience;
    for (;;) {
        int how = 0;
        if (waitpid(s.process, &how, WNOHANG) == s.process) {
            s.status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
            return s;
        }
        auto const left = std::chrono::nanoseconds(end - std::chrono::steady_clock::now()).count();
        if (left <= 0) return s;
        timespec const time{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
        (void)sigtimedwait(&child, nullptr, &time);
    }
}

} // namespace launch
