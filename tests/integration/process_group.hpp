// A group of real processes without data directories, and what the test knows of their calls.
//
// A program that includes this is the test and the member: `process_main` runs whichever the words ask for.
#pragma once

#include "node_group.hpp"
#include "private_networks.hpp"

#include <openreplica/openreplica.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>
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

namespace processes {

using namespace std::chrono_literals;
using node_group::tally;

/// One clock for all processes of the machine.
inline std::int64_t now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Instrumented programs are several times slower, and so is what is waited for.
inline constexpr int slowness =
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    5;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
    5;
#else
    1;
#endif
#else
    1;
#endif

/// How the members are opened.
struct settings {
    int founders = 0;
    int voters = 0;           ///< the target of self-healing; 0: off
    int replace_after_ms = 0; ///< 0: the default
};

// ---- the member: calls all the time, takes orders on its standard input, and tells what happens, a line each
//
//   done ID BEGAN ENDED     the call was acknowledged (microseconds)     failed CODE ID     it ended otherwise
//   role ROLE, leader ENDPOINT, id ID, voters ENDPOINT…, state APPLIED DIGEST: changes of the node's status
//
//   order `rest` → resting           no call is under way, and none begins
//   order `voters ENDPOINT…` → changed SENTENCE (empty: done)
//   order `dump` → held N ID for every call that the object knows, and dumped

/// One write for one line: lines of several threads do not mix, and a killed process has said it or not.
inline void say(std::string line) {
    line += '\n';
    if (write(1, line.data(), line.size()) < 0) _exit(1);
}

class member {
    openreplica::node node_;
    std::string name_;
    std::atomic<bool> rests_ = false;
    std::vector<std::jthread> callers_;
    std::jthread watch_;

    void call_for_ever(int number, std::chrono::nanoseconds timeout) {
        openreplica::replicated<tally> shared{node_, "tally"};
        for (int k = 0; !rests_; ++k) {
            std::string const id = name_ + "." + std::to_string(number) + "/" + std::to_string(k);
            auto const began = now_us();
            try {
                shared.with({.timeout = timeout})->add(id);
                say("done " + id + " " + std::to_string(began) + " " + std::to_string(now_us()));
            } catch (openreplica::error const& e) {
                say("failed " + std::to_string(e.code().value()) + " " + id);
            }
            std::this_thread::sleep_for(4ms); // A pace that leaves the machine to the others.
        }
    }
    void watch(std::stop_token const& stop) {
        std::map<std::string, std::string> last;
        for (; !stop.stop_requested(); std::this_thread::sleep_for(5ms)) {
            auto const s = node_.status();
            std::string voters;
            for (auto const& v : s.voters) voters += " " + v.endpoint;
            for (auto const& [what, now] : {std::pair<std::string, std::string>{"id", s.id}, {"role", s.role},
                                            {"leader", s.leader}, {"voters", voters},
                                            {"state", std::to_string(s.applied) + " " + std::to_string(s.digest)}})
                if (std::exchange(last[what], now) != now) say(what + " " + now);
        }
    }
    void take(std::string const& order) {
        std::istringstream words(order);
        std::string what;
        words >> what;
        if (what == "rest") {
            rests_ = true;
            callers_.clear();
            say("resting");
        } else if (what == "voters") {
            std::string why;
            try {
                node_.set_voters({std::istream_iterator<std::string>(words), {}});
            } catch (openreplica::error const& e) {
                why = e.what();
            }
            say("changed " + why);
        } else if (what == "dump") {
            openreplica::replicated<tally> const shared{node_, "tally"};
            for (auto const& [id, times] : shared->all()) say("held " + std::to_string(times) + " " + id);
            say("dumped");
        }
    }

public:
    member(openreplica::node_options options, std::string name) : node_(std::move(options)), name_(std::move(name)) {
        callers_.emplace_back([this] { call_for_ever(0, {}); });
        // One that does not wait for long: its calls have outcomes while nothing works.
        callers_.emplace_back([this] { call_for_ever(1, 1s); });
        watch_ = std::jthread([this](std::stop_token const& stop) { watch(stop); });
    }
    void obey() {
        for (std::string order; std::getline(std::cin, order);) take(order);
        _exit(0); // The test is over, whatever the callers wait for.
    }
};

/// @param words name, address, founders, voters, replace_after, and the seeds
inline int member_main(std::vector<std::string> const& words) {
    auto o = node_group::member("processes", words[1], {words.begin() + 5, words.end()}, std::stoi(words[2]));
    o.allow_plaintext = true;
    o.voters = std::stoi(words[3]);
    if (words[4] != "0") o.replace_after = std::chrono::milliseconds(std::stoi(words[4]));
    member(std::move(o), words[0]).obey();
    return 0;
}

// ---- the group, as the test sees it

class group {
    struct process {
        std::string address;
        pid_t pid = 0;
        int to = -1, from = -1;
        std::string partial{};
        std::map<std::string, std::string> latest{}; ///< what it said last, by the first word
        std::vector<std::pair<std::int64_t, std::int64_t>> calls{}; ///< acknowledged: began, ended
    };
    networks::network const* network_;
    settings settings_;
    std::vector<std::string> seeds_;
    std::vector<process> members_;
    int life_ = 0;

public:
    std::set<std::string> acknowledged; ///< ids of calls with a result
    std::set<std::string> refused;      ///< with a code that says that they had no effect
    std::size_t unknown = 0;            ///< with a code that says that nobody can tell
    std::map<std::string, int> held;    ///< what the object knew at the last `dump`

    /// The first ones found the group.
    group(std::vector<std::string> const& addresses, settings s, networks::network const* network = nullptr)
        : network_(network), settings_(s), seeds_(addresses.begin(), addresses.begin() + s.founders) {
        for (auto const& a : addresses) members_.push_back({a});
        for (std::size_t i = 0; i < members_.size(); ++i) start(i);
    }
    group(group const&) = delete;
    group& operator=(group const&) = delete;
    ~group() {
        for (std::size_t i = 0; i < size(); ++i) end(i);
    }

    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] std::string const& address(std::size_t i) const { return members_[i].address; }
    [[nodiscard]] bool is_running(std::size_t i) const { return members_[i].pid != 0; }
    [[nodiscard]] std::vector<std::size_t> running() const {
        std::vector<std::size_t> all;
        for (std::size_t i = 0; i < size(); ++i)
            if (is_running(i)) all.push_back(i);
        return all;
    }
    [[nodiscard]] std::vector<std::size_t> running_but(std::vector<std::size_t> const& without) const {
        auto all = running();
        std::erase_if(all, [&](std::size_t i) { return std::find(without.begin(), without.end(), i) != without.end(); });
        return all;
    }

    /// At its first start a founder founds; a process that comes back joins, as it has forgotten everything.
    void start(std::size_t i) {
        process& m = members_[i];
        int orders[2], answers[2];
        REQUIRE(pipe2(orders, O_CLOEXEC) == 0);
        REQUIRE(pipe2(answers, O_CLOEXEC) == 0);
        (void)fcntl(answers[0], F_SETPIPE_SZ, 1 << 20); // The member does not wait while the test looks elsewhere.
        bool const founds = i < seeds_.size() && static_cast<std::size_t>(life_) < size();
        std::vector<std::string> words{"test", "--member", std::to_string(life_++) + "." + std::to_string(i), m.address,
                                       std::to_string(founds ? settings_.founders : 0), std::to_string(settings_.voters),
                                       std::to_string(settings_.replace_after_ms)};
        for (auto const& s : seeds_) words.push_back(s);
        pid_t const pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); // However the test ends, no member stays behind.
            if (network_ != nullptr && !network_->enter(i)) _exit(126);
            dup2(orders[0], 0);
            dup2(answers[1], 1);
            std::vector<char*> argv;
            for (auto& w : words) argv.push_back(w.data());
            argv.push_back(nullptr);
            execv("/proc/self/exe", argv.data());
            _exit(127);
        }
        close(orders[0]);
        close(answers[1]);
        m = process{m.address, pid, orders[1], answers[0]};
    }
    /// kill -9, after which everything that it had said is taken in.
    void end(std::size_t i) {
        process& m = members_[i];
        if (m.pid == 0) return;
        kill(m.pid, SIGKILL);
        waitpid(m.pid, nullptr, 0);
        while (take(m)) {}
        close(m.from);
        close(m.to);
        m.pid = 0;
        m.from = m.to = -1;
    }
    void signal(std::size_t i, int number) const { REQUIRE(kill(members_[i].pid, number) == 0); }
    /// How many files and connections it has open.
    [[nodiscard]] std::size_t descriptors(std::size_t i) const {
        std::filesystem::directory_iterator const all("/proc/" + std::to_string(members_[i].pid) + "/fd");
        return static_cast<std::size_t>(std::distance(begin(all), std::filesystem::directory_iterator()));
    }
    void order(std::size_t i, std::string const& what) {
        members_[i].latest.erase(what == "dump" ? "dumped" : what == "rest" ? "resting" : "changed");
        std::string const line = what + "\n";
        REQUIRE(write(members_[i].to, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    }

    /// The latest that it said with this first word; empty when it did not.
    [[nodiscard]] std::string latest(std::size_t i, std::string const& what) const {
        auto const it = members_[i].latest.find(what);
        return it == members_[i].latest.end() ? std::string() : it->second;
    }
    [[nodiscard]] bool has_said(std::size_t i, std::string const& what) const { return members_[i].latest.contains(what); }

    /// Waits until exactly one running member leads and the others know it.
    [[nodiscard]] std::size_t leader() {
        std::size_t found = size();
        REQUIRE(wait([&] {
            std::size_t n = 0;
            for (std::size_t i : running())
                if (latest(i, "role") == "leader") found = i, ++n;
            auto const all = running();
            return n == 1 && std::all_of(all.begin(), all.end(), [&](std::size_t i) {
                       return latest(i, "leader") == address(found) || i == found;
                   });
        }, 30s));
        return found;
    }

    /// Listens until the condition holds. False when it does not in time.
    template <class Condition>
    [[nodiscard]] bool wait(Condition holds, std::chrono::milliseconds within) {
        auto const until = std::chrono::steady_clock::now() + within * slowness;
        for (;;) {
            std::vector<pollfd> ready;
            for (process const& m : members_) ready.push_back({m.pid != 0 ? m.from : -1, POLLIN, 0});
            poll(ready.data(), ready.size(), holds() ? 0 : 20);
            for (std::size_t i = 0; i < ready.size(); ++i)
                if (ready[i].revents != 0 && !take(members_[i])) ended_itself(i);
            if (holds()) return true;
            if (std::chrono::steady_clock::now() >= until) return false;
        }
    }
    /// Listens until the moment has come.
    void listen_until(std::int64_t at_us) {
        while (now_us() < at_us) (void)wait([&] { return now_us() >= at_us; }, 1s);
    }

    /// Waits until each of these has made a call that began after `since`. How long that took the slowest, in
    /// milliseconds; nothing when it did not happen in time.
    [[nodiscard]] std::optional<double> goes_on(std::vector<std::size_t> const& which, std::int64_t since_us,
                                                std::chrono::milliseconds within) {
        auto const first = [&](std::size_t i) {
            std::int64_t earliest = 0;
            for (auto const& [began, ended] : members_[i].calls)
                if (began >= since_us && (earliest == 0 || ended < earliest)) earliest = ended;
            return earliest;
        };
        if (!wait([&] { return std::all_of(which.begin(), which.end(), [&](std::size_t i) { return first(i) != 0; }); },
                  within))
            return std::nullopt;
        std::int64_t slowest = 0;
        for (std::size_t i : which) slowest = std::max(slowest, first(i) - since_us);
        return static_cast<double>(slowest) / 1000;
    }
    /// The longest between two answers that a member had since then, in milliseconds.
    [[nodiscard]] double longest_gap_ms(std::size_t i, std::int64_t since_us) const {
        std::int64_t last = since_us, longest = 0;
        for (auto const& [began, ended] : members_[i].calls) {
            if (ended < since_us) continue;
            longest = std::max(longest, ended - last);
            last = std::max(last, ended);
        }
        return static_cast<double>(longest) / 1000;
    }

    /// Ends all calls and waits until every member holds the same; then reads what that is.
    void settle() {
        auto const all = running();
        for (std::size_t i : all) order(i, "rest");
        auto const every = [&](auto&& holds) { return std::all_of(all.begin(), all.end(), holds); };
        REQUIRE(wait([&] { return every([&](std::size_t i) { return has_said(i, "resting"); }); }, 20s));
        bool const same = wait([&] {
            return every([&](std::size_t i) { return latest(i, "state") == latest(all[0], "state"); });
        }, 20s);
        std::string states;
        for (std::size_t i : all) states += std::to_string(i) + ": " + latest(i, "role") + " " + latest(i, "state") + "; ";
        CAPTURE(states);
        CHECK(same);
        held.clear();
        order(all.back(), "dump");
        REQUIRE(wait([&] { return has_said(all.back(), "dumped"); }, 20s));
    }

    /// After `settle`: nothing acknowledged is lost, nothing is there twice, and what was refused is not there.
    void check_honest(std::string const& what) const {
        std::size_t lost = 0, twice = 0, untrue = 0;
        for (auto const& id : acknowledged) lost += held.contains(id) ? 0 : 1;
        for (auto const& id : refused) untrue += held.contains(id) ? 1 : 0;
        for (auto const& [id, times] : held) twice += times > 1 ? 1 : 0;
        CHECK(lost == 0);
        CHECK(twice == 0);
        CHECK(untrue == 0);
        std::cout << what << ": " << acknowledged.size() << " calls acknowledged, " << refused.size() << " refused, "
                  << unknown << " unknown; " << held.size() << " held, " << lost << " lost, " << twice << " executed twice, "
                  << untrue << " refused but executed" << std::endl;
    }

private:
    void ended_itself(std::size_t i) {
        end(i);
        FAIL_CHECK("member " << i << " ended by itself");
    }
    /// False at the end of what it said.
    bool take(process& m) {
        char bytes[65536];
        auto const n = read(m.from, bytes, sizeof bytes);
        if (n <= 0) return false;
        m.partial.append(bytes, static_cast<std::size_t>(n));
        std::size_t from = 0;
        for (std::size_t end; (end = m.partial.find('\n', from)) != std::string::npos; from = end + 1)
            hear(m, m.partial.substr(from, end - from));
        m.partial.erase(0, from);
        return true;
    }
    void hear(process& m, std::string const& line) {
        std::istringstream words(line);
        std::string what, id;
        words >> what;
        if (what == "done") {
            std::int64_t began = 0, ended = 0;
            words >> id >> began >> ended;
            m.calls.emplace_back(began, ended);
            acknowledged.insert(id);
        } else if (what == "failed") {
            int code = 0;
            words >> code >> id;
            if (static_cast<openreplica::errc>(code) == openreplica::errc::outcome_unknown)
                ++unknown;
            else
                refused.insert(id);
        } else if (what == "held") {
            int times = 0;
            words >> times >> id;
            held[id] = times;
        } else {
            m.latest[what] = line.substr(std::min(line.size(), what.size() + 1));
        }
    }
};

[[nodiscard]] inline bool is_member(int argc, char** argv) {
    return argc > 7 && std::string_view(argv[1]) == "--member";
}

inline int process_main(int argc, char** argv) {
    if (is_member(argc, argv)) return member_main({argv + 2, argv + argc});
    return doctest::Context(argc, argv).run();
}

} // namespace processes
