// What a leader does about its voters by itself, by scripts: who is silent, who could take over, what is decided.
#include <openreplica/runtime/healing.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace healing_test {

using namespace openreplica;
using namespace openreplica::runtime;
using namespace std::chrono_literals;

inline group_view::node healthy(std::uint16_t n, std::vector<std::string> groups = {}) {
    return {{node_id{0, n}, {"h" + std::to_string(n), n}}, std::move(groups), true, 10ms, false};
}
inline group_view::node silent(std::uint16_t n, duration since, bool to_all = true) {
    auto v = healthy(n);
    v.silent = since;
    v.silent_to_majority = to_all;
    return v;
}
inline std::string text(std::optional<healing::decision> const& d) {
    if (!d) return "nothing";
    std::string out;
    for (auto const& m : d->voters) out += (out.empty() ? "" : " ") + std::to_string(m.id.low);
    return out;
}

/// Looks every 50 ms until something is decided.
struct watch {
    healing core;
    group_view group{};
    instant now{1h};

    explicit watch(std::size_t voters, duration after = 2s) : core({voters, after}) {}
    std::string within(duration time) {
        for (instant const end = now + time; now < end; now += 50ms)
            if (auto const d = core.decide(group, now)) return text(d);
        return "nothing";
    }
};

TEST_CASE("a voter that is silent to the leader and to the majority is swapped for a standby") {
    watch w(3);
    w.group.voters = {healthy(1), healthy(2), silent(3, 3s)};
    w.group.standbys = {healthy(4)};
    CHECK(w.within(5s) == "1 2 4");
}

TEST_CASE("a voter that only the leader does not hear, or that came back in time, keeps its vote") {
    watch w(3);
    w.group.voters = {healthy(1), healthy(2), silent(3, 30s, false)};
    w.group.standbys = {healthy(4)};
    CHECK(w.within(5s) == "nothing");
    w.group.voters[2] = silent(3, 1900ms);
    CHECK(w.within(5s) == "nothing");
}

TEST_CASE("without a target nothing happens by itself") {
    watch w(0);
    w.group.voters = {healthy(1), healthy(2), silent(3, 1h)};
    w.group.standbys = {healthy(4)};
    CHECK(w.within(5s) == "nothing");
}

TEST_CASE("a standby must have kept up for a while, without a break") {
    watch w(3, 10s);
    w.group.voters = {healthy(1), healthy(2), silent(3, 1min)};
    w.group.standbys = {healthy(4)};
    CHECK(w.within(900ms) == "nothing");
    w.group.standbys[0].caught_up = false;
    CHECK(w.within(100ms) == "nothing");
    w.group.standbys[0].caught_up = true;
    CHECK(w.within(900ms) == "nothing");
    CHECK(w.within(300ms) == "1 2 4");
}

TEST_CASE("one at a time, whoever has been silent for longest first, and a rest between two") {
    watch w(5);
    w.group.voters = {healthy(1), healthy(2), healthy(3), silent(4, 3s), silent(5, 9s)};
    w.group.standbys = {healthy(6), healthy(7)};
    CHECK(w.within(5s) == "1 2 3 4 6");
    w.group.voters = {healthy(1), healthy(2), healthy(3), silent(4, 3s), healthy(6)};
    w.group.standbys = {healthy(7)};
    CHECK(w.within(900ms) == "nothing");
    CHECK(w.within(300ms) == "1 2 3 6 7");
}

TEST_CASE("a group grows to its target in odd steps, and never beyond") {
    watch w(5);
    w.group.voters = {healthy(1), healthy(2), healthy(3)};
    w.group.standbys = {healthy(4)};
    CHECK(w.within(5s) == "nothing");
    w.group.standbys = {healthy(4), healthy(5), healthy(6)};
    CHECK(w.within(5s) == "1 2 3 4 5");
    w.group.voters = {healthy(1), healthy(2), healthy(3), healthy(4), healthy(5)};
    CHECK(w.within(5s) == "nothing");
    w.group.voters.pop_back();
    w.group.standbys = {healthy(7)};
    CHECK(w.within(5s) == "1 2 3 4 7");

    watch even(4);
    even.group.voters = {healthy(1), healthy(2), healthy(3)};
    even.group.standbys = {healthy(4), healthy(5)};
    CHECK(even.within(5s) == "1 2 3 4");
}

TEST_CASE("a larger group than the target stays as it is") {
    watch w(3);
    w.group.voters = {healthy(1), healthy(2), healthy(3), healthy(4), healthy(5)};
    w.group.standbys = {healthy(6)};
    CHECK(w.within(5s) == "nothing");
}

TEST_CASE("the standby that shares the fewest failure groups with the rest takes over") {
    watch w(3);
    w.group.voters = {healthy(1, {"rack:1"}), healthy(2, {"rack:2"}), silent(3, 3s)};
    w.group.standbys = {healthy(4, {"rack:1"}), healthy(5, {"rack:3"}), healthy(6, {"rack:2"})};
    CHECK(w.within(5s) == "1 2 5");
}

TEST_CASE("when no standby is left, that is said now and then, with what a new node should avoid") {
    watch w(3);
    w.group.voters = {healthy(1, {"rack:1", "pdu:1"}), healthy(2, {"rack:2", "pdu:1"}), silent(3, 3s)};
    CHECK(w.within(1s) == "nothing");
    auto const s = w.core.take_shortage(w.now);
    REQUIRE(s);
    CHECK(s->silent == std::vector<std::string>{"h3:3"});
    CHECK(s->failure_groups == std::vector<std::string>{"pdu:1", "rack:1", "rack:2"});
    CHECK(w.within(1s) == "nothing");
    CHECK_FALSE(w.core.take_shortage(w.now));
    CHECK(w.within(1s) == "nothing");
    CHECK(w.core.take_shortage(w.now));
    w.group.voters[2] = healthy(3);
    (void)w.core.decide(w.group, w.now + 1h);
    CHECK_FALSE(w.core.take_shortage(w.now + 1h));
}

} // namespace healing_test
