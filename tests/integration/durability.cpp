// Real processes with data directories: what was acknowledged is there exactly once, whatever is killed.
//
//   OPENREPLICA_KILL_CYCLES=N    how often all processes are killed under load (12; a long run takes 200)
#define DOCTEST_CONFIG_IMPLEMENT
#include "durable_group.hpp"

#include <asio/io_context.hpp>

#include <chrono>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace durable;

namespace {

/// Its state has no JSON form.
class shapeless {
    int count = 0;

public:
    int count_up() { return ++count; }
    OPENREPLICA_METHODS(shapeless, count_up)
};

} // namespace

TEST_CASE("every process is killed again and again under load, and nothing acknowledged is lost or executed twice") {
    durable::group group(3);
    std::mt19937 random(7);
    int const n = number_from("OPENREPLICA_KILL_CYCLES", 12);
    for (int cycle = 0; cycle < n; ++cycle) {
        group.start_all();
        REQUIRE(group.listen(1 + random() % 150));
        group.end_all();
        std::cout << "kill cycle " << cycle + 1 << " of " << n << ": " << group.acknowledged.size() << " acknowledged"
                  << std::endl;
    }
    check_exactly_once(group.read_back(), group.acknowledged);
}

TEST_CASE("one process after the other is killed and comes back under its id, while the others go on") {
    durable::group group(3);
    group.start_all();
    REQUIRE(group.listen(50));
    for (std::size_t i = 0; i < 6; ++i) {
        std::string const id = owner_of(group.dir(i % 3));
        group.end(i % 3);
        REQUIRE(group.listen(30));
        group.start(i % 3);
        REQUIRE(group.hear(i % 3, "id " + id));
        REQUIRE(group.listen(30));
    }
    check_exactly_once(group.read_back(), group.acknowledged);
}

TEST_CASE("R38: a node alone keeps what it acknowledged") {
    durable::group group(1);
    for (int cycle = 0; cycle < 3; ++cycle) {
        group.start(0);
        REQUIRE(group.listen(40));
        group.end(0);
    }
    check_exactly_once(group.read_back(), group.acknowledged);
}

TEST_CASE("an object that has no JSON form comes back by replaying all of the log") {
    temporary_directory dir;
    auto const where = (dir.path / "data").string();
    for (int life = 0; life < 3; ++life) {
        openreplica::node node{options_for("127.0.0.1:0", {"-"}, where)}; // A snapshot would be due every 300 entries.
        openreplica::replicated<shapeless> shared{node, "shapeless"};
        for (int i = 1; i <= 400; ++i) CHECK(shared->count_up() == 400 * life + i);
        CHECK(node.status().log_kept_by == "shapeless");
        CHECK(node.status().log_start == 1);
    }
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
        CHECK(shared->append("life " + std::to_string(life), "") == life);
    }
}

TEST_CASE("a node on the caller's executor lets go of its directory when it is stopped, although handles outlive it") {
    temporary_directory dir;
    auto const where = (dir.path / "data").string();
    asio::io_context io;
    std::optional<openreplica::node> node(std::in_place, io, options_for("127.0.0.1:0", {"-"}, where));
    openreplica::replicated<journal> shared{*node, "journal"};
    std::thread runner([&io] { io.run(); });
    CHECK(shared->append("kept", "") == 1);
    node->stop();
    node.reset();
    runner.join();
    std::optional<openreplica::node> next;
    auto const end = std::chrono::steady_clock::now() + 20s;
    while (!next && std::chrono::steady_clock::now() < end) try {
            next.emplace(options_for("127.0.0.1:0", {"-"}, where));
        } catch (openreplica::error const& e) {
            REQUIRE(e.code() == openreplica::errc::storage_failed); // A sync may still be under way.
            std::this_thread::yield();
        }
    REQUIRE(next);
    CHECK(openreplica::replicated<journal>{*next, "journal"}->all() == std::vector<std::string>{"kept"});
}

int main(int argc, char** argv) { return durable_main(argc, argv); }
