// A group of member processes that take orders.
#pragma once

#include "limits.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace benchmark {

/// Member processes and the pipes to give them orders. With a directory, each has a data directory below it.
class group {
    struct process {
        std::string address;
        pid_t pid = 0;
        FILE* to = nullptr;
        FILE* from = nullptr;
    };
    std::vector<process> members_;
    std::vector<std::string> seeds_;
    std::string program_, dir_;

    static std::string fresh_address() { return "127.0.0.1:" + std::to_string(free_port()); }
    void start(std::string const& listen) {
        std::string const dir = dir_.empty() ? "-" : dir_ + "/" + listen.substr(listen.find(':') + 1);
        int orders[2], answers[2];
        if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) std::exit(1);
        pid_t const pid = fork();
        if (pid == 0) {
            dup2(orders[0], 0);
            dup2(answers[1], 1);
            std::vector<char const*> argv{program_.c_str(), "--member", listen.c_str(), dir.c_str()};
            for (auto const& s : seeds_) argv.push_back(s.c_str());
            argv.push_back(nullptr);
            execv("/proc/self/exe", const_cast<char* const*>(argv.data()));
            _exit(127);
        }
        close(orders[0]);
        close(answers[1]);
        members_.push_back({listen, pid, fdopen(orders[1], "w"), fdopen(answers[0], "r")});
    }

public:
    /// @param dir empty: diskless
    group(char const* program, int members, std::string dir) : program_(program), dir_(std::move(dir)) {
        for (int i = 0; i < members; ++i) seeds_.push_back(fresh_address());
        for (auto const& s : seeds_) start(s);
    }
    group(group const&) = delete;
    group& operator=(group const&) = delete;
    ~group() {
        for (std::size_t i = 0; i < members_.size(); ++i) end(i, SIGKILL);
    }

    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] std::string const& address(std::size_t member) const { return members_[member].address; }
    [[nodiscard]] bool is_running(std::size_t member) const { return members_[member].pid != 0; }
    [[nodiscard]] int pid(std::size_t member) const { return members_[member].pid; }
    /// One more, which only joins.
    void join() { start(fresh_address()); }
    /// One that ended starts again.
    void restart(std::size_t member) {
        start(std::string(members_[member].address));
        members_[member] = members_.back();
        members_.pop_back();
    }
    std::string ask(std::size_t member, std::string const& order) {
        std::fprintf(members_[member].to, "%s\n", order.c_str());
        std::fflush(members_[member].to);
        std::string line;
        for (int c = 0; (c = std::fgetc(members_[member].from)) != '\n'; line += static_cast<char>(c))
            if (c == EOF) {
                std::fprintf(stderr, "member %zu ended by itself when asked to \"%s\": is there too little memory or disk?\n",
                             member, order.c_str());
                std::exit(1); // The others end when their orders do.
            }
        return line;
    }
    /// The member that leads, once all are ready.
    std::size_t leader() {
        for (;;) {
            std::optional<std::size_t> found;
            for (std::size_t i = 0; i < members_.size(); ++i)
                if (is_running(i) && ask(i, "role") == "leader") found = i;
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

/// A temporary directory below `where`; nothing when that is empty.
class scratch {
    std::string path_;

public:
    explicit scratch(std::string const& where) {
        if (where.empty()) return;
        path_ = where + "/openreplica-XXXXXX";
        if (mkdtemp(path_.data()) == nullptr) {
            std::perror(path_.c_str());
            std::exit(1);
        }
    }
    scratch(scratch const&) = delete;
    scratch& operator=(scratch const&) = delete;
    ~scratch() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string const& path() const { return path_; }
};

inline void print(std::string const& fields, core_meter const& meter) {
    std::printf("{%s,%s}\n", fields.c_str(), meter.json().c_str());
    std::fflush(stdout);
}

} // namespace benchmark
