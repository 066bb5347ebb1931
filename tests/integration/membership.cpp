// Voters come, go and are replaced while callers run; leaders hand over; groups heal.
#include "node_group.hpp"

#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <asio/use_future.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace node_group;

namespace {

using clock_type = std::chrono::steady_clock;

std::vector<std::string> voters_of(openreplica::node const& n) {
    std::vector<std::string> all;
    for (auto const& v : n.status().voters) all.push_back(v.endpoint);
    std::sort(all.begin(), all.end());
    return all;
}

/// Nodes that join the group under its addresses as standbys.
std::vector<std::unique_ptr<openreplica::node>> standbys(std::vector<std::string> const& seeds, int n,
                                                         std::function<void(openreplica::node_options&)> const& change = {}) {
    std::vector<std::unique_ptr<openreplica::node>> all;
    for (int i = 0; i < n; ++i) {
        auto o = member("test", free_addresses(1).front(), seeds, 0);
        if (change) change(o);
        all.push_back(std::make_unique<openreplica::node>(std::move(o)));
    }
    for (auto& s : all) REQUIRE(s->wait_ready(20s));
    return all;
}

std::string address_of(openreplica::node const& n) { return to_string(n.endpoint()); }

std::string refusal(std::function<void()> const& f) {
    try {
        f();
    } catch (openreplica::error const& e) {
        CHECK(e.code() == openreplica::errc::change_refused);
        return e.what();
    }
    return "done";
}

/// Calls through one node without a pause, and remembers the longest time between two answers.
class caller {
    openreplica::replicated<tally> shared_;
    std::string name_;
    std::atomic<int> acknowledged_ = 0, failed_ = 0;
    std::mutex mutex_;
    clock_type::duration longest_{};
    std::jthread thread_{[this](std::stop_token const& stop) { work(stop); }};

    void work(std::stop_token const& stop) {
        auto last = clock_type::now();
        for (int k = 0; !stop.stop_requested(); ++k) {
            try {
                shared_->add(name_ + "/" + std::to_string(k));
                ++acknowledged_;
            } catch (openreplica::error const&) {
                ++failed_;
            }
            auto const now = clock_type::now();
            std::lock_guard const lock(mutex_);
            longest_ = std::max(longest_, now - last);
            last = now;
        }
    }

public:
    caller(openreplica::node& n, std::string name) : shared_(n, "t"), name_(std::move(name)) {}
    [[nodiscard]] int acknowledged() const { return acknowledged_; }
    [[nodiscard]] int failed() const { return failed_; }
    void forget_gaps() {
        std::lock_guard const lock(mutex_);
        longest_ = {};
    }
    [[nodiscard]] double longest_ms() {
        std::lock_guard const lock(mutex_);
        return std::chrono::duration<double, std::milli>(longest_).count();
    }
    [[nodiscard]] bool goes_on(int more = 100) {
        int const before = acknowledged_;
        return eventually([&] { return acknowledged_ > before + more; });
    }
    /// Ends, so that the counts stand still.
    void stop() {
        thread_.request_stop();
        thread_.join();
    }
};

} // namespace

TEST_CASE("a standby gets a vote, a voter loses its vote, and both stay nodes of the group") {
    group g(3);
    REQUIRE(g.ready());
    auto extra = standbys(g.addresses, 1);
    CHECK(extra[0]->status().role == "standby");
    openreplica::node& any = *g.nodes[0];
    any.add_voter(address_of(*extra[0]));
    CHECK(any.status().voters.size() == 4);
    CHECK(any.status().epoch == 2);
    CHECK(eventually([&] { return extra[0]->status().role != "standby"; }));
    std::string const old_id = g.nodes[1]->status().id;
    any.remove_voter(g.addresses[1]);
    CHECK(any.status().voters.size() == 3);
    // Its id has had its vote: it goes on as a standby under a fresh one, and the application in it notices nothing.
    CHECK(eventually([&] { return g.nodes[1]->status().id != old_id && g.nodes[1]->status().role == "standby"; }));
    openreplica::replicated<tally> there{*g.nodes[1], "t"};
    CHECK(there->add("x") == 1);
    // Under that it may be given a vote again.
    CHECK(eventually([&] { return refusal([&] { any.add_voter(g.addresses[1]); }) == "done"; }));
    CHECK(any.status().voters.size() == 4);
}

TEST_CASE("what cannot be is refused with a sentence, and what is so already is done at once") {
    group g(3, [](auto& o) { o.min_voters = 2; });
    REQUIRE(g.ready());
    openreplica::node& any = *g.nodes[1];
    CHECK(refusal([&] { any.add_voter("127.0.0.1:1"); }).find("no node called 127.0.0.1:1 is connected") != std::string::npos);
    CHECK(refusal([&] { any.remove_voter("nobody"); }).find("nobody is no voter") != std::string::npos);
    CHECK(refusal([&] { any.set_voters({g.addresses[0]}); }).find("fewer than min_voters = 2") != std::string::npos);
    CHECK(refusal([&] { any.transfer_leadership("127.0.0.1:1"); }).find("is no voter") != std::string::npos);
    CHECK(refusal([&] { any.set_voters(g.addresses); }) == "done");
    CHECK(any.status().epoch == 1);
}

TEST_CASE("a group grows to nine and shrinks to one while callers run, and nothing is lost or executed twice") {
    group g(1);
    REQUIRE(g.ready());
    auto extra = standbys(g.addresses, 8);
    caller one(*g.nodes[0], "one"), two(*extra[7], "two");
    std::vector<std::string> all = g.addresses;
    for (std::size_t i = 0; i < extra.size(); i += 2) {
        all.push_back(address_of(*extra[i]));
        all.push_back(address_of(*extra[i + 1]));
        extra[7]->set_voters(all);
        CHECK((one.goes_on(20) && two.goes_on(20)));
    }
    CHECK(voters_of(*extra[7]).size() == 9);
    extra[7]->set_voters({address_of(*extra[7])});
    CHECK((one.goes_on(20) && two.goes_on(20)));
    CHECK(voters_of(*extra[7]) == std::vector{address_of(*extra[7])});
    one.stop();
    two.stop();
    CHECK(one.failed() + two.failed() == 0);
    openreplica::replicated<tally> shared{*extra[7], "t"};
    CHECK(shared->size() == one.acknowledged() + two.acknowledged());
    CHECK(shared->most() == 1);
}

TEST_CASE("all members are replaced in one step while callers run") {
    group g(3);
    REQUIRE(g.ready());
    auto extra = standbys(g.addresses, 3);
    caller old(*g.nodes[0], "old"), fresh(*extra[0], "fresh");
    REQUIRE((old.goes_on() && fresh.goes_on()));
    old.forget_gaps();
    fresh.forget_gaps();
    std::vector<std::string> to;
    for (auto& e : extra) to.push_back(address_of(*e));
    extra[1]->set_voters(to);
    std::sort(to.begin(), to.end());
    CHECK(voters_of(*extra[1]) == to);
    CHECK((old.goes_on() && fresh.goes_on()));
    MESSAGE("longest call around the replacement of all members: ", old.longest_ms(), " ms and ", fresh.longest_ms(), " ms");
    // The old members are standbys now, and the group does without them.
    CHECK(eventually([&] {
        return std::all_of(g.nodes.begin(), g.nodes.end(), [](auto& n) { return n->status().role == "standby"; });
    }));
    old.stop();
    for (auto& n : g.nodes) n.reset();
    CHECK(fresh.goes_on());
    fresh.stop();
    CHECK(old.failed() + fresh.failed() == 0);
    openreplica::replicated<tally> shared{*extra[2], "t"};
    CHECK(shared->size() == old.acknowledged() + fresh.acknowledged());
    CHECK(shared->most() == 1);
}

TEST_CASE("the leader can be removed, by itself too, and somebody else leads at once") {
    group g(3);
    REQUIRE(g.ready());
    auto extra = standbys(g.addresses, 1);
    std::size_t const leader = g.leader();
    caller c(*g.nodes[(leader + 1) % 3], "c");
    REQUIRE(c.goes_on());
    c.forget_gaps();
    g.nodes[leader]->replace_voter(g.addresses[leader], address_of(*extra[0]));
    CHECK(c.goes_on());
    MESSAGE("longest call around the removal of the leader: ", c.longest_ms(), " ms");
    CHECK(voters_of(*extra[0]).size() == 3);
    CHECK(g.nodes[leader]->status().role != "leader");
    c.stop();
    CHECK(c.failed() == 0);
}

TEST_CASE("leadership goes where it is asked to go, and a leader that stops hands over: no call fails") {
    group g(3);
    REQUIRE(g.ready());
    std::size_t const first = g.leader();
    std::size_t const heir = (first + 1) % 3, other = (first + 2) % 3;
    caller c(*g.nodes[other], "c");
    REQUIRE(c.goes_on());
    c.forget_gaps();
    g.nodes[other]->transfer_leadership(g.addresses[heir], asio::use_future).get();
    CHECK(eventually([&] { return g.nodes[heir]->status().role == "leader"; }));
    CHECK(c.goes_on());
    double const asked = c.longest_ms();
    c.forget_gaps();
    g.nodes[heir]->stop();
    CHECK(c.goes_on());
    MESSAGE("longest call around a transfer: ", asked, " ms; around the stop of the leader: ", c.longest_ms(), " ms");
    c.stop();
    CHECK(c.failed() == 0);
    openreplica::replicated<tally> shared{*g.nodes[other], "t"};
    CHECK(shared->size() == c.acknowledged());
}

TEST_CASE("a group heals: a silent voter is replaced by a standby, and who comes back is a standby") {
    auto const heals = [](openreplica::node_options& o) {
        o.voters = 3;
        o.replace_after = 600ms;
    };
    group g(3, heals);
    REQUIRE(g.ready());
    auto extra = standbys(g.addresses, 1, heals);
    caller c(*extra[0], "c");
    for (std::size_t victim : {g.leader(), (g.leader() + 1) % 3}) {
        g.nodes[victim].reset();
        CHECK(eventually([&] {
            auto const voters = voters_of(*extra[0]);
            return voters.size() == 3 && std::find(voters.begin(), voters.end(), g.addresses[victim]) == voters.end();
        }));
        // Back again, without a memory: it joins as somebody else.
        auto o = member("test", g.addresses[victim], g.addresses, 0);
        heals(o);
        g.nodes[victim].emplace(std::move(o));
        CHECK(g.nodes[victim]->wait_ready(20s));
        CHECK(g.nodes[victim]->status().role == "standby");
    }
    CHECK(c.goes_on());
    c.stop();
    CHECK(c.failed() == 0);
    bool said = !extra[0]->status().last_change.empty();
    for (auto& n : g.nodes) said = said || !n->status().last_change.empty();
    CHECK(said);
}

TEST_CASE("a group grows from its founder to its target by itself, in odd steps") {
    auto const heals = [](openreplica::node_options& o) {
        o.voters = 3;
        o.replace_after = 600ms;
    };
    group g(1, heals);
    REQUIRE(g.ready());
    auto extra = standbys(g.addresses, 1, heals);
    CHECK(voters_of(*extra[0]).size() == 1);
    auto more = standbys(g.addresses, 1, heals);
    CHECK(eventually([&] { return voters_of(*extra[0]).size() == 3; }));
    CHECK(extra[0]->status().epoch == 2);
}

TEST_CASE("when nobody is left to take over, the leader asks for a new node") {
    std::mutex mutex;
    std::vector<std::string> silent;
    group g(3, [&](openreplica::node_options& o) {
        o.voters = 3;
        o.replace_after = 600ms;
        o.failure_groups = {"rack:" + o.listen};
        o.on_replacement_needed = [&](std::vector<std::string> const& hosts, std::vector<std::string> const& groups) {
            std::lock_guard const lock(mutex);
            silent = hosts;
            CHECK(groups.size() == 2);
        };
    });
    REQUIRE(g.ready());
    std::size_t const victim = (g.leader() + 1) % 3;
    g.nodes[victim].reset();
    CHECK(eventually([&] {
        std::lock_guard const lock(mutex);
        return silent == std::vector{g.addresses[victim]};
    }));
}
