// A group of real processes goes from one program to a larger one, a process at a time, while callers run.
//
// This executable is the test, the old program and the new one: PROGRAM in the environment says which types it knows.
#include "durable_group.hpp"
#include "typed_program.hpp"

#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using durable::journal;
using durable::say;
using typed_program::knows;
using typed_program::program;

namespace {

/// What only the new program knows.
struct cell {
    int value = 0;
    int write(int n) { return value = n; }
    OPENREPLICA_METHODS(cell, write)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(cell, value)
};

// ---- the member: says what `durable::group` listens for, and
//
//   ready             its first call can be executed
//   cell done         the new type was called      cell CODE SENTENCE   it could not be

std::string name_of(openreplica::errc code) {
    return code == openreplica::errc::needs_upgrade ? "needs_upgrade" : durable::name_of(code);
}

void append_for_ever(program& p, std::string const& name) {
    for (int i = 0;; ++i) {
        std::string const line = name + "/" + std::to_string(i);
        auto const o = p.call("journal", R"(["append",")" + line + R"(",""])");
        say(o.ok() ? "call done " + line : "call " + name_of(o.code) + " " + line + " " + o.text);
        std::this_thread::sleep_for(2ms); // Load, not as much as there can be: the lines are read back in one piece.
    }
}

void write_for_ever(program& p) {
    for (int i = 0;; ++i) {
        auto const o = p.call("cell", "[\"write\"," + std::to_string(i) + "]");
        say(o.ok() ? "cell done" : "cell " + name_of(o.code) + " " + o.text);
        std::this_thread::sleep_for(20ms);
    }
}

[[noreturn]] void watch_for_ever(program const& p) {
    std::string problem;
    for (;; std::this_thread::sleep_for(5ms)) {
        std::string const now = p.status().problem;
        if (std::exchange(problem, now) != now && !now.empty()) say("problem " + now);
    }
}

[[noreturn]] void run(program& p, std::string const& name, int callers, bool is_new) {
    std::thread([&] {
        if (!p.wait_ready(60s)) return;
        say("ready");
        if (is_new) write_for_ever(p);
    }).detach();
    for (int c = 0; c < callers; ++c) std::thread(append_for_ever, std::ref(p), name + "." + std::to_string(c)).detach();
    watch_for_ever(p);
}

/// @param words as `durable::member_main`'s
[[noreturn]] void member_main(std::vector<std::string> const& words) {
    auto options = durable::options_for(words[0], {words.begin() + 4, words.end()}, words[1]);
    int const callers = std::stoi(words[3]);
    if (std::getenv("PROGRAM") == std::string_view("new")) {
        program p(knows<journal, cell>, std::move(options));
        run(p, words[2], callers, true);
    }
    program p(knows<journal>, std::move(options));
    run(p, words[2], callers, false);
}

// ---- the test

void install(durable::group& g, std::size_t member, std::string const& version, int callers = 1) {
    g.end(member);
    g.set_environment(member, {"PROGRAM=" + version});
    g.callers = callers;
    g.start(member);
}

void check_that_no_call_failed(durable::group const& g) {
    for (std::size_t i = 0; i < g.size(); ++i) {
        CHECK_MESSAGE(g.heard(i, "call ") == g.heard(i, "call done "), "member " << i << ": call " << g.latest(i, "call "));
    }
}

/// What the group holds, told to a program that knows none of its types.
std::vector<std::string> read_lines(std::vector<std::string> const& addresses) {
    openreplica::client_options o{.group = "durable", .seeds = addresses};
    o.logger = [](openreplica::log_level, std::string_view) {};
    return nlohmann::json::parse(openreplica::client(o).call("journal", "all", "[]", {.timeout = 20s}));
}

} // namespace

TEST_CASE("a group goes from one program to a larger one under load, and back only as far as its types allow") {
    durable::group g(3);
    for (std::size_t i = 0; i < 3; ++i) install(g, i, "old");
    REQUIRE(g.listen(200));
    for (std::size_t i = 0; i < 3; ++i) {
        check_that_no_call_failed(g); // What a member said in this life is forgotten with its next one.
        install(g, i, "new");
        REQUIRE(g.hear(i, "ready"));
        REQUIRE(g.listen(200));
        if (i == 2) break;
        // Old voters could not apply it: nobody may use the new type yet.
        REQUIRE(g.hear(i, "cell needs_upgrade", 3));
        CHECK(g.heard(0, "cell done") + g.heard(1, "cell done") == 0);
        MESSAGE(g.latest(i, "cell needs_upgrade "));
    }
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(g.hear(i, "cell done", 3));
    check_that_no_call_failed(g);

    install(g, 2, "old", 0);
    REQUIRE(g.hear(2, "problem 127.0.0.1:"));
    std::string const problem = g.latest(2, "problem 127.0.0.1:");
    MESSAGE(problem);
    CHECK(problem.find("refused this node: the group has objects of type \"cell\"") != std::string::npos);
    REQUIRE(g.listen(200));
    CHECK(g.heard(2, "ready") == 0);
    install(g, 2, "new");
    REQUIRE(g.hear(2, "cell done", 3));
    check_that_no_call_failed(g);
    REQUIRE(g.listen(200));
    durable::check_exactly_once(read_lines(g.addresses()), g.acknowledged);
}

int main(int argc, char** argv) {
    if (durable::is_member(argc, argv)) member_main({argv + 2, argv + argc});
    return doctest::Context(argc, argv).run();
}
