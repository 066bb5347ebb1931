// Members whose programs know different types: who may talk to whom, and which calls are refused before they are sent.
#include "typed_program.hpp"

#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using typed_program::knows;
using typed_program::program;

namespace {

struct ledger {
    int sum = 0;
    int add(int n) { return sum += n; }
    OPENREPLICA_METHODS(ledger, add)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ledger, sum)
};

struct novelty {
    int uses = 0;
    int use() { return ++uses; }
    OPENREPLICA_METHODS(novelty, use)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(novelty, uses)
};

struct extra {
    int n = 0;
    int bump() { return ++n; }
    OPENREPLICA_METHODS(extra, bump)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(extra, n)
};

namespace next_version {
struct ledger { // The same name on the wire, another list of methods.
    int sum = 0;
    int add(int n) { return sum += n; }
    int take(int n) { return sum -= n; }
    OPENREPLICA_METHODS(ledger, add, take)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ledger, sum)
};
} // namespace next_version

openreplica::node_options member(std::string listen, std::vector<std::string> seeds, int founders) {
    openreplica::node_options o;
    o.group = "catalogues";
    o.listen = std::move(listen);
    o.seeds = std::move(seeds);
    o.founders = founders;
    return o;
}

std::vector<std::string> free_addresses(int n) {
    asio::io_context io;
    std::vector<asio::ip::tcp::acceptor> taken;
    std::vector<std::string> all;
    for (int i = 0; i < n; ++i) {
        taken.emplace_back(io, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0});
        all.push_back("127.0.0.1:" + std::to_string(taken.back().local_endpoint().port()));
    }
    return all;
}

bool eventually(auto const& holds) {
    auto const end = std::chrono::steady_clock::now() + 20s;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

} // namespace

TEST_CASE("a type that one voter's program lacks is refused with needs_upgrade at every member, and the rest goes on") {
    auto const at = free_addresses(3);
    program a(knows<ledger, novelty>, member(at[0], at, 3)),
        b(knows<ledger, novelty>, member(at[1], at, 3)),
        c(knows<ledger>, member(at[2], at, 3));
    REQUIRE(a.wait_ready());
    REQUIRE(b.wait_ready());
    REQUIRE(c.wait_ready());
    for (program* p : {&a, &b}) {
        auto const refused = p->call("novelty", R"(["use"])");
        CHECK(refused.code == openreplica::errc::needs_upgrade);
        CHECK_MESSAGE(refused.text.find("novelty") != std::string::npos, refused.text);
    }
    CHECK(a.call("ledger", R"(["add",1])").result == "1");
    CHECK(b.call("ledger", R"(["add",1])").result == "2");
    CHECK(c.call("ledger", R"(["add",1])").result == "3");
}

TEST_CASE("a method that nobody knows is refused by name, and nobody stops") {
    auto const at = free_addresses(3);
    program a(knows<ledger>, member(at[0], at, 3)), b(knows<ledger>, member(at[1], at, 3)), c(knows<ledger>, member(at[2], at, 3));
    REQUIRE(a.wait_ready());
    REQUIRE(b.wait_ready());
    REQUIRE(c.wait_ready());
    for (program* p : {&a, &b, &c}) {
        auto const refused = p->call("ledger", R"(["burn",1])");
        CHECK(refused.code == openreplica::errc::no_such_method);
        CHECK_MESSAGE(refused.text.find("burn") != std::string::npos, refused.text);
    }
    CHECK(a.call("ledger", R"(["add",1])").result == "1");
}

TEST_CASE("a node whose type of the same name has other methods is refused with the reason, and the group goes on") {
    auto const at = free_addresses(1);
    program old(knows<ledger>, member(at[0], {}, 1));
    REQUIRE(old.wait_ready());
    program newer(knows<next_version::ledger>, member("127.0.0.1:0", at, 0));
    CHECK(eventually([&] { return newer.has_said("type \"ledger\" has other methods here than there"); }));
    CHECK(old.call("ledger", R"(["add",1])").result == "1");
}

TEST_CASE("once a type is in use, a program without it is refused and says so; one that knows more joins") {
    auto const at = free_addresses(1);
    program a(knows<ledger, novelty>, member(at[0], {}, 1));
    REQUIRE(a.wait_ready());
    program early(knows<ledger>, member("127.0.0.1:0", at, 0));
    REQUIRE(early.wait_ready()); // No object is a novelty yet.
    REQUIRE(a.call("novelty", R"(["use"])").result == "1");
    program late(knows<ledger>, member("127.0.0.1:0", at, 0));
    program more(knows<ledger, novelty, extra>, member("127.0.0.1:0", at, 0));
    CHECK(more.wait_ready());
    CHECK(more.call("novelty", R"(["use"])").result == "2");
    CHECK(eventually([&] { return late.status().problem.find("type \"novelty\"") != std::string::npos; }));
    CHECK_MESSAGE(late.status().problem.starts_with(at[0] + " refused this node"), late.status().problem);
    CHECK(late.status().cluster.empty());
    // Whoever was there is not cut off: it knows what it stopped at.
    CHECK(eventually([&] { return early.status().problem.find("\"novelty\"") != std::string::npos; }));
    CHECK(early.status().healthy);
    // But it gets no vote any more.
    auto const vote = a.add_voter(early.address());
    CHECK(vote.code == openreplica::errc::change_refused);
    CHECK_MESSAGE(vote.text.find("does not know type \"novelty\"") != std::string::npos, vote.text);
    CHECK(a.add_voter(more.address()).ok());
    // The others' health is their own.
    CHECK(a.status().problem.empty());
    CHECK(more.status().problem.empty());
}
