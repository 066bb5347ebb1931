// Real nodes whose group loses its majority for good: one directory becomes a new cluster, and the old members never mix
// with it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "durable_group.hpp"

#include <openreplica/force_new_cluster.hpp>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using durable::free_port;
using durable::journal;
using durable::temporary_directory;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

namespace storage = openreplica::storage;
namespace paxos = openreplica::paxos;
constexpr auto sure = openreplica::confirmation::i_have_lost_the_majority;

/// Waits until it holds. False when it does not within the deadline.
template <class Condition>
bool eventually(Condition holds, std::chrono::seconds within = 30s) {
    auto const until = std::chrono::steady_clock::now() + within;
    while (!holds()) {
        if (std::chrono::steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

/// What a node logs, from any thread.
class lines {
    mutable std::mutex mutex_;
    std::vector<std::string> all_;

public:
    void add(std::string_view line) {
        std::lock_guard const lock(mutex_);
        all_.emplace_back(line);
    }
    /// How often all these parts were in one line.
    [[nodiscard]] std::size_t count(std::vector<std::string> const& parts) const {
        std::lock_guard const lock(mutex_);
        return static_cast<std::size_t>(std::count_if(all_.begin(), all_.end(), [&](std::string const& line) {
            return std::all_of(parts.begin(), parts.end(), [&](auto const& p) { return line.find(p) != std::string::npos; });
        }));
    }
};

/// Three founders with directories.
struct three_members {
    temporary_directory home;
    std::vector<std::string> addresses;
    std::vector<lines> logs = std::vector<lines>(3);
    std::vector<std::optional<openreplica::node>> nodes = std::vector<std::optional<openreplica::node>>(3);

    three_members() {
        for (int i = 0; i < 3; ++i) addresses.push_back("127.0.0.1:" + std::to_string(free_port()));
    }
    [[nodiscard]] std::string dir(std::size_t i) const { return (home.path / std::to_string(i)).string(); }
    openreplica::node& start(std::size_t i) {
        auto options = durable::options_for(addresses[i], addresses, dir(i));
        options.snapshot_every = 100;
        options.logger = [&log = logs[i]](openreplica::log_level, std::string_view line) { log.add(line); };
        return nodes[i].emplace(std::move(options));
    }
    void stop(std::size_t i) { nodes[i].reset(); }
};

/// Appends lines through one node until that many are acknowledged, and adds them.
void append(openreplica::node& node, std::string const& name, int n, std::vector<std::string>& acknowledged) {
    openreplica::replicated<journal> shared{node, "journal"};
    for (int i = 0; i < n; ++i) {
        acknowledged.push_back(name + std::to_string(i));
        (void)shared->append(acknowledged.back(), "");
    }
}

/// A group that has acknowledged 250 lines, the last 50 of them when only 1 and 2 were left, so that 2 holds all of them on
/// its own disk. All are stopped.
std::vector<std::string> lose_a_majority(three_members& group) {
    std::vector<std::string> acknowledged;
    for (std::size_t i = 0; i < 3; ++i) (void)group.start(i);
    append(*group.nodes[0], "all/", 200, acknowledged);
    group.stop(0);
    append(*group.nodes[2], "two/", 50, acknowledged);
    REQUIRE(group.nodes[2]->status().voters.size() == 3);
    group.stop(1);
    group.stop(2);
    return acknowledged;
}

std::string refusal(std::string const& dir, openreplica::confirmation c = sure) {
    try {
        (void)openreplica::force_new_cluster(dir, c);
        return {};
    } catch (openreplica::error const& e) {
        return e.what();
    }
}
bool says(std::string const& sentence, std::string_view part) {
    CAPTURE(sentence);
    return sentence.find(part) != std::string::npos;
}

/// What the state machine of a stopped directory holds, after every entry that is in it.
struct replayed_state {
    openreplica::object::object_space space;
    storage::directory_contents found;
    openreplica::slot at;

    explicit replayed_state(std::string const& dir) {
        storage::posix_directory files(dir, storage::posix_directory::access::read_only);
        found = storage::read_directory(files);
        if (!found.snapshots.empty()) {
            REQUIRE(space.restore(found.snapshots.front().state.view()));
            at = found.snapshots.front().at;
        }
        for (paxos::entry const& e : found.entries) (void)apply(e);
    }
    /// Applies what comes next; the rest was applied before.
    std::optional<openreplica::runtime::applied_command> apply(paxos::entry const& e) {
        if (e.at != at.next()) return std::nullopt;
        at = e.at;
        auto const command = openreplica::decode_envelope(e.what.body.view());
        if (e.what.kind != paxos::value_kind::command || !command) return std::nullopt;
        return space.apply(e.at, e.what.stamp, *command);
    }
    [[nodiscard]] std::vector<std::string> lines() const {
        return space.find<journal>("journal")->read([](journal const& j) { return j.all(); });
    }
};

} // namespace

TEST_CASE("two of three are gone for good: the third goes on alone with everything, and the old two never mix with it") {
    three_members group;
    auto acknowledged = lose_a_majority(group);

    CHECK(says(refusal(group.dir(2), openreplica::confirmation::none), "Nothing was changed"));
    auto const did = openreplica::force_new_cluster(group.dir(2), sure);
    CHECK(did.address == group.addresses[2]);
    CHECK(says(refusal(group.dir(2)), "has lost nobody"));

    auto& survivor = group.start(2);
    REQUIRE(survivor.wait_ready(30s));
    CHECK(survivor.status().cluster == did.new_cluster);
    CHECK(survivor.status().id == did.new_node);
    CHECK(survivor.status().epoch == did.epoch);
    CHECK(survivor.status().role == "leader");
    REQUIRE(survivor.status().voters.size() == 1);
    CHECK(survivor.status().voters[0].endpoint == group.addresses[2]);
    CHECK(openreplica::replicated<journal>{survivor, "journal"}->all() == acknowledged);
    append(survivor, "new/", 20, acknowledged);

    // An old member that comes back is refused, says why, and has no group to lead.
    std::string const reason = "this node belongs to cluster " + did.new_cluster + ", not " + did.old_cluster;
    auto& first = group.start(0);
    REQUIRE(eventually([&] { return group.logs[0].count({group.addresses[2] + " refused this node", reason}) > 0; }));
    CHECK(first.status().cluster == did.old_cluster);
    CHECK(first.status().leader.empty());
    // Both are the old group's majority, and go on as what they were: another group, which knows nothing of the new one.
    auto& second = group.start(1);
    REQUIRE(eventually([&] { return group.logs[1].count({group.addresses[2] + " refused this node", reason}) > 0; }));
    REQUIRE(second.wait_ready(30s));
    std::vector<std::string> old_lines = openreplica::replicated<journal>{second, "journal"}->all();
    append(second, "old/", 20, old_lines);
    append(survivor, "newer/", 20, acknowledged);
    std::size_t const refused = group.logs[0].count({reason});
    REQUIRE(eventually([&] { return group.logs[0].count({reason}) > refused; })); // It goes on asking, and is refused again.
    CHECK(group.logs[2].count({"refused this node", "this node belongs to cluster " + did.old_cluster}) > 0);
    CHECK(openreplica::replicated<journal>{second, "journal"}->all() == old_lines);
    CHECK(openreplica::replicated<journal>{survivor, "journal"}->all() == acknowledged);
    CHECK(second.status().cluster == did.old_cluster);
    CHECK(second.status().voters.size() == 3);
    CHECK(survivor.status().voters.size() == 1);

    // Who comes with an empty directory joins the new cluster.
    auto const where = "127.0.0.1:" + std::to_string(free_port());
    auto options = durable::options_for(where, {group.addresses[2]}, (group.home.path / "newcomer").string());
    options.founders = 0;
    options.seeds = {group.addresses[2]};
    openreplica::node newcomer{std::move(options)};
    REQUIRE(newcomer.wait_ready(30s));
    CHECK(newcomer.status().cluster == did.new_cluster);
    CHECK(newcomer.status().role == "standby");
    CHECK(openreplica::replicated<journal>{newcomer, "journal"}->all() == acknowledged);
    append(newcomer, "newest/", 20, acknowledged);

    // It is a group like any other: it restarts.
    group.stop(2);
    auto& again = group.start(2);
    REQUIRE(again.wait_ready(30s));
    CHECK(again.status().cluster == did.new_cluster);
    CHECK(openreplica::replicated<journal>{again, "journal"}->all() == acknowledged);
}

TEST_CASE("the sessions are kept: a call that is sent once more has the outcome that it had, and runs no second time") {
    three_members group;
    auto const acknowledged = lose_a_majority(group);
    replayed_state const before(group.dir(2));
    auto const did = openreplica::force_new_cluster(group.dir(2), sure);
    replayed_state after(group.dir(2));
    CHECK(after.at.value == did.kept_to + 1);
    CHECK(after.space.digest() == before.space.digest());
    CHECK(after.space.snapshot() == before.space.snapshot());
    CHECK(after.lines() == acknowledged);

    std::optional<paxos::entry> last; // The last line.
    for (paxos::entry const& e : after.found.entries)
        if (e.what.body.view().find(acknowledged.back()) != std::string_view::npos) last = e;
    REQUIRE(last);
    last->at = after.at.next();
    auto const once_more = after.apply(*last);
    REQUIRE(once_more);
    CHECK(once_more->outcome.ok());
    CHECK(once_more->outcome.result == std::to_string(acknowledged.size()));
    CHECK(after.lines() == acknowledged);
}

TEST_CASE("a call whose outcome nobody knew may appear: what was accepted counts") {
    three_members group;
    for (std::size_t i = 0; i < 3; ++i) (void)group.start(i);
    std::size_t leader = 3;
    REQUIRE(eventually([&] {
        for (std::size_t i = 0; i < 3; ++i)
            if (group.nodes[i]->status().role == "leader") leader = i;
        return leader < 3;
    }));
    std::vector<std::string> acknowledged;
    append(*group.nodes[leader], "known/", 10, acknowledged);
    for (std::size_t i = 0; i < 3; ++i)
        if (i != leader) group.stop(i);
    // It leads until it notices, and takes the call to its own disk; nobody answers.
    openreplica::replicated<journal> shared{*group.nodes[leader], "journal"};
    std::string outcome;
    try {
        (void)shared.with({.timeout = 2s})->append("unknown", "");
    } catch (openreplica::error const& e) {
        outcome = durable::name_of(e.code());
    }
    CHECK((outcome == "outcome_unknown" || outcome == "not_executed"));
    group.stop(leader);

    auto const did = openreplica::force_new_cluster(group.dir(leader), sure);
    auto& survivor = group.start(leader);
    REQUIRE(survivor.wait_ready(30s));
    auto const held = openreplica::replicated<journal>{survivor, "journal"}->all();
    if (outcome == "outcome_unknown") {
        acknowledged.emplace_back("unknown");
        CHECK(did.not_known_chosen > 0);
    }
    CHECK(held == acknowledged);
}

TEST_CASE("two survivors that were both made new clusters of are two groups that refuse each other") {
    three_members group;
    (void)lose_a_majority(group);
    auto const one = openreplica::force_new_cluster(group.dir(1), sure);
    auto const two = openreplica::force_new_cluster(group.dir(2), sure);
    CHECK(one.new_cluster != two.new_cluster);
    REQUIRE(group.start(1).wait_ready(30s));
    REQUIRE(group.start(2).wait_ready(30s));
    auto const is_refused = [&](std::size_t i, std::string const& by) {
        return eventually([&] { return group.logs[i].count({"refused this node: this node belongs to cluster " + by}) > 0; });
    };
    CHECK(is_refused(1, two.new_cluster));
    CHECK(is_refused(2, one.new_cluster));
    CHECK(group.nodes[1]->status().voters.size() == 1);
    CHECK(group.nodes[2]->status().voters.size() == 1);
}

TEST_CASE("a running node is refused with a sentence, and is not disturbed") {
    temporary_directory home;
    auto const dir = (home.path / "data").string();
    openreplica::node node{durable::options_for("127.0.0.1:0", {"-"}, dir)};
    openreplica::replicated<journal> shared{node, "journal"};
    CHECK(shared->append("before", "") == 1);
    CHECK(says(refusal(dir), "in use by another node"));
    CHECK(says(refusal(dir, openreplica::confirmation::none), "in use by another node"));
    CHECK(shared->append("after", "") == 2);
}
