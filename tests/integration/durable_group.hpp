// A group of real processes on data directories that outlive them, and what the test knows that they acknowledged.
//
// A program that includes this is the test and the member: `durable_main` runs whichever the words ask for.
#pragma once

#include <openreplica/openreplica.hpp>

#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace durable {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

/// The replicated object: lines in the order of the calls that appended them.
class journal {
    std::vector<std::string> lines;

public:
    /// @param padding makes the command larger, and is not kept
    int append(std::string const& line, std::string const& padding) {
        (void)padding;
        lines.push_back(line);
        return static_cast<int>(lines.size());
    }
    int size() const { return static_cast<int>(lines.size()); }
    std::vector<std::string> all() const { return lines; }
    OPENREPLICA_METHODS(journal, append, size, all)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(journal, lines)
};

inline openreplica::node_options options_for(std::string const& listen, std::vector<std::string> seeds,
                                             std::string const& dir) {
    openreplica::node_options o;
    o.group = "durable";
    o.listen = listen;
    o.founders = static_cast<int>(seeds.size());
    if (seeds.size() > 1) o.seeds = std::move(seeds);
    o.data_dir = dir;
    o.snapshot_every = 300; // Small, so that snapshots and trimming happen between the faults.
    o.limits.wal_segment_bytes = 256u << 10;
    o.logger = [](openreplica::log_level, std::string_view) {};
    return o;
}

inline int number_from(char const* variable, int otherwise) {
    char const* text = std::getenv(variable);
    return text != nullptr ? std::atoi(text) : otherwise;
}

inline std::uint16_t free_port() {
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

// ---- the member: appends lines, and tells each outcome and each change of its status, a line each
//
//   call done LINE     the call was acknowledged          role ROLE, disk STATE, leader ENDPOINT, id ID, problem SENTENCE
//   call CODE LINE     it ended otherwise                 read N       a linearizable read saw N lines
//   log LEVEL TEXT     the logger's warnings and errors   refused TEXT the node could not be opened

/// One write for one line: lines of several threads do not mix, and a killed process has said it or not.
inline void say(std::string line) {
    line.resize(std::min<std::size_t>(line.size(), 2000));
    std::replace(line.begin(), line.end(), '\n', ' ');
    line += '\n';
    if (write(1, line.data(), line.size()) < 0) _exit(1);
}

inline std::string name_of(std::error_code const& code) {
    using openreplica::errc;
    constexpr std::pair<errc, char const*> names[] = {
        {errc::storage_failed, "storage_failed"}, {errc::storage_full, "storage_full"},
        {errc::not_executed, "not_executed"},     {errc::outcome_unknown, "outcome_unknown"},
        {errc::overloaded, "overloaded"},         {errc::session_expired, "session_expired"}};
    for (auto const& [e, name] : names)
        if (code == e) return name;
    return std::to_string(code.value());
}

inline void append_for_ever(openreplica::node& node, std::string const& name) {
    openreplica::replicated<journal> shared{node, "journal"};
    for (std::size_t i = 0;; ++i) {
        std::string const line = name + "/" + std::to_string(i);
        try {
            shared->append(line, std::string(i % 9 == 0 ? 600 * (i % 11) : i % 40, 'x'));
            say("call done " + line);
        } catch (openreplica::error const& e) {
            say("call " + name_of(e.code()) + " " + line);
            std::this_thread::sleep_for(20ms); // Who is refused at once does not ask at once again.
        }
    }
}

inline void read_for_ever(openreplica::node& node) {
    openreplica::replicated<journal> shared{node, "journal"};
    for (;; std::this_thread::sleep_for(20ms)) {
        try {
            say("read " + std::to_string(shared->size()));
        } catch (openreplica::error const& e) {
            say("unread " + name_of(e.code()));
        }
    }
}

inline void watch_for_ever(openreplica::node& node) {
    std::map<std::string, std::string> last;
    for (;; std::this_thread::sleep_for(5ms)) {
        auto const s = node.status();
        for (auto const& [what, now] : {std::pair<std::string, std::string>{"id", s.id}, {"role", s.role},
                                        {"leader", s.leader}, {"disk", s.disk.state}, {"problem", s.problem}})
            if (std::exchange(last[what], now) != now && !now.empty()) say(what + " " + now);
    }
}

/// @param words address, directory, name, callers, and the addresses of all
inline int member_main(std::vector<std::string> const& words) {
    auto options = options_for(words[0], {words.begin() + 4, words.end()}, words[1]);
    options.logger = [](openreplica::log_level level, std::string_view text) {
        if (level < openreplica::log_level::warning) return;
        say(std::string("log ") + (level == openreplica::log_level::error ? "error " : "warning ") + std::string(text));
    };
    std::optional<openreplica::node> node;
    try {
        node.emplace(std::move(options));
    } catch (openreplica::error const& e) {
        say(std::string("refused ") + e.what());
        return 1;
    }
    for (int c = 1; c < std::stoi(words[3]); ++c)
        std::thread(append_for_ever, std::ref(*node), words[2] + "." + std::to_string(c)).detach();
    std::thread(read_for_ever, std::ref(*node)).detach();
    std::thread(watch_for_ever, std::ref(*node)).detach();
    append_for_ever(*node, words[2] + ".0");
    return 0;
}

// ---- the group, as the test sees it

class group {
    struct member {
        std::string dir;
        std::vector<std::string> environment{}; ///< NAME=VALUE, of its next life
        pid_t pid = 0;
        int from = -1;
        std::string partial{};
        std::vector<std::string> told{};
    };
    temporary_directory dirs_;
    std::vector<std::string> addresses_;
    std::vector<member> members_;
    int life_ = 0;

public:
    /// Every line that was acknowledged, and how often.
    std::map<std::string, int> acknowledged;
    int callers = 1; ///< of each member that is started from now on

    explicit group(std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            addresses_.push_back("127.0.0.1:" + std::to_string(free_port()));
            members_.push_back({(dirs_.path / std::to_string(i)).string()});
        }
    }
    ~group() { end_all(); }

    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] std::vector<std::string> const& addresses() const { return addresses_; }
    [[nodiscard]] std::string const& dir(std::size_t i) const { return members_[i].dir; }
    void place(std::size_t i, fs::path const& dir) { members_[i].dir = dir.string(); }
    void set_environment(std::size_t i, std::vector<std::string> e) { members_[i].environment = std::move(e); }
    [[nodiscard]] bool is_running(std::size_t i) const { return members_[i].pid != 0; }

    void start(std::size_t i) {
        int pipes[2];
        REQUIRE(pipe2(pipes, O_CLOEXEC) == 0);
        (void)fcntl(pipes[0], F_SETPIPE_SZ, 1 << 20); // The member does not wait while the test looks elsewhere.
        std::string const name = std::to_string(life_++) + "." + std::to_string(i);
        pid_t const pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); // However the test ends, no member stays behind.
            dup2(pipes[1], 1);
            for (auto& e : members_[i].environment) putenv(e.data());
            std::vector<std::string> words{"test", "--member", addresses_[i], dir(i), name, std::to_string(callers)};
            words.insert(words.end(), addresses_.begin(), addresses_.end());
            std::vector<char*> argv;
            for (auto& w : words) argv.push_back(w.data());
            argv.push_back(nullptr);
            execv("/proc/self/exe", argv.data());
            _exit(127);
        }
        close(pipes[1]);
        members_[i].pid = pid;
        members_[i].from = pipes[0];
        members_[i].partial.clear();
        members_[i].told.clear();
    }
    void start_all() {
        for (std::size_t i = 0; i < size(); ++i)
            if (!is_running(i)) start(i);
    }
    /// kill -9, after which everything that it had said is taken in.
    void end(std::size_t i) {
        member& m = members_[i];
        if (m.pid == 0) return;
        kill(m.pid, SIGKILL);
        waitpid(m.pid, nullptr, 0);
        while (take(m)) {}
        close(m.from);
        m.pid = 0;
        m.from = -1;
    }
    void end_all() {
        for (std::size_t i = 0; i < size(); ++i) end(i);
    }

    /// Takes in what is said until there are `more` acknowledgements. False when they do not come.
    [[nodiscard]] bool listen(std::size_t more, std::chrono::seconds within = 30s) {
        std::size_t const wanted = acknowledged.size() + more;
        return wait([&] { return acknowledged.size() >= wanted; }, within);
    }
    /// What has been said up to now is not heard any more.
    void forget() {
        (void)wait([] { return false; }, 0s);
        for (member& m : members_) m.told.clear();
    }
    /// How often this member said something that begins so, since it started or `forget`.
    [[nodiscard]] std::size_t heard(std::size_t i, std::string_view begins) const {
        auto const& told = members_[i].told;
        return static_cast<std::size_t>(
            std::count_if(told.begin(), told.end(), [&](std::string const& t) { return t.starts_with(begins); }));
    }
    /// Waits until it has said so, and so often.
    [[nodiscard]] bool hear(std::size_t i, std::string_view begins, std::size_t times = 1,
                            std::chrono::seconds within = 30s) {
        return wait([&] { return heard(i, begins) >= times; }, within);
    }
    [[nodiscard]] bool hear_any(std::vector<std::size_t> const& members, std::string_view begins,
                                std::chrono::seconds within = 30s) {
        return wait([&] {
            return std::any_of(members.begin(), members.end(), [&](std::size_t i) { return heard(i, begins) > 0; });
        }, within);
    }
    /// The latest that it said and that begins so, without this beginning.
    [[nodiscard]] std::string latest(std::size_t i, std::string_view begins) const {
        auto const& told = members_[i].told;
        auto const it = std::find_if(told.rbegin(), told.rend(), [&](auto const& t) { return t.starts_with(begins); });
        return it == told.rend() ? std::string() : it->substr(begins.size());
    }
    /// Waits until exactly one of them says that it leads. Call before `forget`.
    [[nodiscard]] std::size_t leader() {
        std::size_t found = size();
        REQUIRE(wait([&] {
            std::size_t n = 0;
            for (std::size_t i = 0; i < size(); ++i)
                if (is_running(i) && latest(i, "role ") == "leader") found = i, ++n;
            return n == 1;
        }, 30s));
        return found;
    }

    /// Opens the directories in this process and reads what the group holds.
    [[nodiscard]] std::vector<std::string> read_back() {
        end_all();
        std::vector<std::optional<openreplica::node>> nodes(size());
        for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].emplace(options_for(addresses_[i], addresses_, dir(i)));
        REQUIRE(nodes[0]->wait_ready(30s));
        return openreplica::replicated<journal>{*nodes[0], "journal"}->all();
    }

private:
    template <class Condition>
    [[nodiscard]] bool wait(Condition holds, std::chrono::seconds within) {
        auto const until = std::chrono::steady_clock::now() + within;
        for (;;) {
            std::vector<pollfd> ready;
            for (member const& m : members_) ready.push_back({m.pid != 0 ? m.from : -1, POLLIN, 0});
            poll(ready.data(), ready.size(), within == 0s || holds() ? 0 : 100);
            for (std::size_t i = 0; i < ready.size(); ++i)
                if (ready[i].revents != 0 && !take(members_[i])) ended_itself(i);
            if (holds()) return true;
            if (std::chrono::steady_clock::now() >= until) return false;
        }
    }
    void ended_itself(std::size_t i) {
        end(i);
        auto const& told = members_[i].told;
        FAIL_CHECK("member " << i << " ended by itself; it said last: " << (told.empty() ? "" : told.back()));
    }
    /// False at the end of what it said.
    bool take(member& m) {
        char bytes[65536];
        auto const n = read(m.from, bytes, sizeof bytes);
        if (n <= 0) return false;
        m.partial.append(bytes, static_cast<std::size_t>(n));
        std::size_t from = 0;
        for (std::size_t end; (end = m.partial.find('\n', from)) != std::string::npos; from = end + 1) {
            m.told.push_back(m.partial.substr(from, end - from));
            if (m.told.back().starts_with("call done ")) ++acknowledged[m.told.back().substr(10)];
        }
        m.partial.erase(0, from);
        return true;
    }
};

inline void check_exactly_once(std::vector<std::string> const& held, std::map<std::string, int> const& acknowledged) {
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

/// Why a stopped directory is not whole; empty when it is, or when all that is wrong is a write that nobody waited for.
inline std::string damage_of(std::string const& dir) {
    namespace storage = openreplica::storage;
    storage::posix_directory files(dir, storage::posix_directory::access::read_only);
    auto const found = storage::read_directory(files);
    if (!found.owner || !found.owner->ready) return "no identity";
    if (found.log.failure) return found.log.failure.message();
    if (found.log.damage && found.log.damage->row->then == storage::verdict::damaged) return found.log.damage->text();
    if (!found.last_meta) return "both meta files are damaged";
    if (!found.bad_snapshots.empty()) return found.bad_snapshots.front() + " is damaged";
    return found.has_gap ? "entries are missing" : "";
}

/// The id in a stopped directory.
inline std::string owner_of(std::string const& dir) {
    namespace storage = openreplica::storage;
    storage::posix_directory files(dir, storage::posix_directory::access::read_only);
    std::string content;
    if (storage::read_all(files, storage::identity_name, content)) return {};
    auto const owner = storage::decode_identity(content);
    return owner ? to_string(owner->node) : std::string();
}

[[nodiscard]] inline bool is_member(int argc, char** argv) {
    return argc > 6 && std::string_view(argv[1]) == "--member";
}

inline int durable_main(int argc, char** argv) {
    if (is_member(argc, argv)) return member_main({argv + 2, argv + argc});
    return doctest::Context(argc, argv).run();
}

} // namespace durable
