// Real processes with data directories: what was acknowledged is there exactly once, whatever is killed.
//
//   OPENREPLICA_KILL_CYCLES=N    how often all processes are killed under load (12; a long run takes 200)
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

class journal {
    std::vector<std::string> lines;

public:
    int append(std::string const& line) {
        lines.push_back(line);
        return static_cast<int>(lines.size());
    }
    std::vector<std::string> all() const { return lines; }
    OPENREPLICA_METHODS(journal, append, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(journal, lines)
};

openreplica::node_options options_for(std::string const& listen, std::vector<std::string> seeds, std::string const& dir) {
    openreplica::node_options o;
    o.group = "durable";
    o.listen = listen;
    o.founders = static_cast<int>(seeds.size());
    if (seeds.size() > 1) o.seeds = std::move(seeds);
    o.data_dir = dir;
    o.snapshot_every = 300; // Small, so that snapshots and trimming happen between the kills.
    o.limits.wal_segment_bytes = 256u << 10;
    o.logger = [](openreplica::log_level, std::string_view) {};
    return o;
}

/// The process that is killed: appends lines, and tells each one that was acknowledged.
int member_main(std::vector<std::string> const& words) {
    openreplica::node node{options_for(words[0], {words.begin() + 3, words.end()}, words[1])};
    openreplica::replicated<journal> shared{node, "journal"};
    for (int i = 0;; ++i) {
        std::string const line = words[2] + "/" + std::to_string(i);
        try {
            shared->append(line);
            std::cout << line << std::endl; // Flushed: the process may be killed at any moment.
        } catch (openreplica::error const&) {
            // Its outcome is unknown, or it was not executed: not acknowledged.
        }
    }
}

std::uint16_t free_port() {
    asio::io_context io;
    return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

struct temporary_directory {
    fs::path path;
    temporary_directory() {
        std::string name = (fs::temp_directory_path() / "openreplica-XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~temporary_directory() { fs::remove_all(path); }
};

/// A group of member processes on data directories that outlive them.
class processes {
    struct member {
        pid_t pid = 0;
        int from = -1;
        std::string partial;
    };
    temporary_directory dirs_;
    std::vector<std::string> addresses_;
    std::vector<member> members_;
    int life_ = 0;

public:
    std::map<std::string, int> acknowledged;

    explicit processes(std::size_t n) : members_(n) {
        for (std::size_t i = 0; i < n; ++i) addresses_.push_back("127.0.0.1:" + std::to_string(free_port()));
    }
    ~processes() {
        for (std::size_t i = 0; i < members_.size(); ++i) end(i);
    }
    [[nodiscard]] std::string dir(std::size_t i) const { return (dirs_.path / std::to_string(i)).string(); }
    [[nodiscard]] std::string address(std::size_t i) const { return addresses_[i]; }
    [[nodiscard]] std::vector<std::string> const& addresses() const { return addresses_; }

    void start(std::size_t i) {
        int pipes[2];
        REQUIRE(pipe2(pipes, O_CLOEXEC) == 0);
        std::string const name = std::to_string(life_++) + "." + std::to_string(i);
        pid_t const pid = fork();
        if (pid == 0) {
            dup2(pipes[1], 1);
            std::vector<std::string> words{"durability", "--member", addresses_[i], dir(i), name};
            words.insert(words.end(), addresses_.begin(), addresses_.end());
            std::vector<char*> argv;
            for (auto& w : words) argv.push_back(w.data());
            argv.push_back(nullptr);
            execv("/proc/self/exe", argv.data());
            _exit(127);
        }
        close(pipes[1]);
        members_[i] = {pid, pipes[0], {}};
    }
    /// kill -9, after which everything that it had said is taken in.
    void end(std::size_t i) {
        member& m = members_[i];
        if (m.pid == 0) return;
        kill(m.pid, SIGKILL);
        waitpid(m.pid, nullptr, 0);
        while (take(m)) {}
        close(m.from);
        m = {};
    }
    /// Takes in acknowledgements until there are `more` of them. False when they do not come.
    [[nodiscard]] bool listen(std::size_t more, std::chrono::seconds within = 30s) {
        auto const until = std::chrono::steady_clock::now() + within;
        std::size_t const wanted = acknowledged.size() + more;
        while (acknowledged.size() < wanted) {
            if (std::chrono::steady_clock::now() > until) return false;
            std::vector<pollfd> ready;
            for (member const& m : members_)
                if (m.pid != 0) ready.push_back({m.from, POLLIN, 0});
            poll(ready.data(), ready.size(), 100);
            for (member& m : members_)
                for (pollfd const& p : ready)
                    if (m.pid != 0 && p.fd == m.from && p.revents != 0) (void)take(m);
        }
        return true;
    }

    /// Opens the directories in this process and reads what the group holds.
    [[nodiscard]] std::vector<std::string> read_back() {
        for (std::size_t i = 0; i < members_.size(); ++i) end(i);
        std::vector<std::optional<openreplica::node>> nodes(members_.size());
        for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].emplace(options_for(addresses_[i], addresses_, dir(i)));
        REQUIRE(nodes[0]->wait_ready(30s));
        return openreplica::replicated<journal>{*nodes[0], "journal"}->all();
    }

private:
    bool take(member& m) {
        char bytes[4096];
        auto const n = read(m.from, bytes, sizeof bytes);
        if (n <= 0) return false;
        m.partial.append(bytes, static_cast<std::size_t>(n));
        for (std::size_t end; (end = m.partial.find('\n')) != std::string::npos; m.partial.erase(0, end + 1))
            ++acknowledged[m.partial.substr(0, end)];
        return true;
    }
};

void check_exactly_once(std::vector<std::string> const& held, std::map<std::string, int> const& acknowledged) {
    std::map<std::string, int> times;
    for (auto const& line : held) ++times[line];
    std::size_t lost = 0, twice = 0;
    for (auto const& [line, n] : acknowledged) lost += times.contains(line) ? 0 : 1;
    for (auto const& [line, n] : times) twice += n > 1 ? 1 : 0;
    CHECK(lost == 0);
    CHECK(twice == 0);
    MESSAGE(acknowledged.size() << " calls acknowledged, " << held.size() << " held, " << lost << " lost, " << twice
                                << " executed twice");
}

int cycles(char const* variable, int otherwise) {
    char const* text = std::getenv(variable);
    return text != nullptr ? std::atoi(text) : otherwise;
}

} // namespace

TEST_CASE("every process is killed again and again under load, and nothing acknowledged is lost or executed twice") {
    processes group(3);
    std::mt19937 random(7);
    int const n = cycles("OPENREPLICA_KILL_CYCLES", 12);
    for (int cycle = 0; cycle < n; ++cycle) {
        for (std::size_t i = 0; i < 3; ++i) group.start(i);
        REQUIRE(group.listen(1 + random() % 150));
        for (std::size_t i = 0; i < 3; ++i) group.end(i);
        std::cout << "kill cycle " << cycle + 1 << " of " << n << ": " << group.acknowledged.size() << " acknowledged"
                  << std::endl;
    }
    check_exactly_once(group.read_back(), group.acknowledged);
}

TEST_CASE("one process after the other is killed and comes back under its id, while the others go on") {
    processes group(3);
    for (std::size_t i = 0; i < 3; ++i) group.start(i);
    REQUIRE(group.listen(50));
    for (std::size_t i = 0; i < 6; ++i) {
        group.end(i % 3);
        REQUIRE(group.listen(30));
        group.start(i % 3);
        REQUIRE(group.listen(30));
    }
    check_exactly_once(group.read_back(), group.acknowledged);
}

TEST_CASE("a node alone keeps what it acknowledged") {
    processes group(1);
    for (int cycle = 0; cycle < 3; ++cycle) {
        group.start(0);
        REQUIRE(group.listen(40));
        group.end(0);
    }
    check_exactly_once(group.read_back(), group.acknowledged);
}

TEST_CASE("two nodes on one directory: the second gets a sentence") {
    temporary_directory dir;
    auto const where = (dir.path / "data").string();
    openreplica::node first{options_for("127.0.0.1:0", {"-"}, where)};
    try {
        openreplica::node second{options_for("127.0.0.1:0", {"-"}, where)};
        FAIL("the second node opened the directory");
    } catch (openreplica::error const& e) {
        CHECK(e.code() == openreplica::errc::storage_failed);
        CHECK(std::string(e.what()).find("in use by another node") != std::string::npos);
    }
}

TEST_CASE("a stopped node lets go of its directory, and comes back under its id with its objects") {
    temporary_directory dir;
    auto const where = (dir.path / "data").string();
    std::string id;
    for (int life = 1; life <= 3; ++life) {
        openreplica::node node{options_for("127.0.0.1:0", {"-"}, where)};
        REQUIRE(node.wait_ready(20s));
        if (id.empty()) id = node.status().id;
        CHECK(node.status().id == id);
        openreplica::replicated<journal> shared{node, "journal"};
        CHECK(shared->append("life " + std::to_string(life)) == life);
    }
}

int main(int argc, char** argv) {
    std::vector<std::string> const words(argv + 1, argv + argc);
    if (words.size() > 4 && words[0] == "--member") return member_main({words.begin() + 1, words.end()});
    return doctest::Context(argc, argv).run();
}
