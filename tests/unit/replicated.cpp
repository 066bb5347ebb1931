// What a handle promises, on a real node alone.
#include <openreplica/openreplica.hpp>

#include "one_node.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace replicated_test {

using namespace openreplica;
using one_node::alone;
using one_node::thrown_by;
using namespace std::chrono_literals;

/// One method for every kind of signature.
class specimen {
    int value = 0;
    std::vector<std::string> log;

public:
    specimen() = default;
    explicit specimen(int start) : value(start) {
        if (start < 0) throw std::invalid_argument("a specimen starts at zero or above");
    }
    specimen(int start, std::string first) : value(start), log{std::move(first)} {}

    int add(int n) { return value += n; }
    int get() const { return value; }
    void note(std::string const& text) { log.push_back(text); }
    void look() const {}
    int fail(int n) {
        value += n;
        throw std::runtime_error("no more than " + std::to_string(n));
    }
    int fail_read() const { throw std::runtime_error("nothing to read"); }
    void fail_oddly() { throw 42; }
    double set(std::uint8_t a, int b, unsigned c, double d) { return a + b + static_cast<double>(c) + d; }
    bool is(bool flag) const { return flag; }
    std::optional<int> first_above(int n) const { return value > n ? std::optional(value) : std::nullopt; }
    std::vector<std::string> notes() const { return log; }
    std::map<std::string, std::vector<int>> table() { return {{"a", {1, 2}}, {"b", {}}}; }
    std::chrono::milliseconds wait(std::chrono::seconds s) { return s + 5ms; }
    bytes echo(bytes b) { return b; }
    std::string text(std::optional<std::string> t) const { return t.value_or("none"); }
    std::uint64_t where(context& c, int n) { return c.slot().value + static_cast<std::uint64_t>(n); }
    OPENREPLICA_METHODS(specimen, add, get, note, look, fail, fail_read, fail_oddly, set, is, first_above, notes, table,
                        wait, echo, text, where)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(specimen, value, log)
};
using handle = replicated<specimen>;

class stranger {
    int n = 0;

public:
    int get() const { return n; }
    OPENREPLICA_METHODS(stranger, get)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(stranger, n)
};

TEST_CASE("blocking calls return what the method returned, whatever its kind") {
    node n{{.group = "t"}};
    handle h{n, "h"};
    CHECK(h.name() == "h");
    CHECK(h->add(3) == 3);
    CHECK(h->get() == 3);
    h->note("x");
    h->look();
    CHECK(h->notes() == std::vector<std::string>{"x"});
    CHECK(h->first_above(2) == 3);
    CHECK(h->first_above(3) == std::nullopt);
    CHECK(h->table() == std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
    CHECK(h->wait(2s) == 2005ms);
    CHECK(h->echo(bytes{std::string("\0\xff", 2)}).data == std::string("\0\xff", 2));
    CHECK(h->text(std::nullopt) == "none");
    CHECK(h->text("given") == "given");
    CHECK(h->is(true));
    CHECK(h->where(5) > 5);
    static_assert(std::is_void_v<decltype(h->note("x"))> && std::is_void_v<decltype(h->look())>);
}

TEST_CASE("a method is called by member, by pointer and by name, here and locally") {
    node n{alone()};
    handle const h{n, "h"};
    CHECK(h.call<&specimen::add>(1) == 1);
    CHECK(h.call<"add">(1) == 2);
    CHECK(h.call<&specimen::get>() == 2);
    CHECK(h.call<"get">() == 2);
    CHECK(h.local()->get() == 2);
    CHECK(h.local_call<"get">() == 2);
    h.call<"note">("x");
    CHECK(h.local()->notes().size() == 1);
}

TEST_CASE("local() sees an object only once it is applied here, and says so before") {
    node n{alone()};
    handle h{n, "h"};
    CHECK(thrown_by([&] { h.local()->get(); }) == errc::no_such_object);
    h->look(); // The first call, even a read, creates the object.
    CHECK(h.local()->get() == 0);
    CHECK(thrown_by([&] { h.local()->fail_read(); }) == errc::method_threw);
    replicated<stranger> wrong{n, "h"};
    CHECK(thrown_by([&] { wrong.local()->get(); }) == errc::type_mismatch);
}

TEST_CASE("a method that throws reaches its caller with the text, and the object goes on with what was changed") {
    node n{alone()};
    handle h{n, "h"};
    std::string sentence;
    CHECK(thrown_by([&] { h->fail(5); }, &sentence) == errc::method_threw);
    CHECK(sentence.find("fail: no more than 5") != std::string::npos);
    CHECK(thrown_by([&] { h->fail_oddly(); }, &sentence) == errc::method_threw);
    CHECK(sentence.find("fail_oddly") != std::string::npos);
    CHECK(thrown_by([&] { h->fail_read(); }, &sentence) == errc::method_threw);
    CHECK(sentence.find("fail_read: nothing to read") != std::string::npos);
    CHECK(h->add(1) == 6);
    CHECK(n.status().problem == "");
}

TEST_CASE("arguments that would change on their way are bad_arguments, and nothing is sent") {
    node n{alone()};
    handle h{n, "h"};
    h->look();
    CHECK(h->set(255, -1, 7u, 0.5) == 261.5);
    CHECK(h->set(2.0, 3.0, 4, 1) == 10.0);
    auto const applied = n.status().pending_calls;
    CHECK(thrown_by([&] { h->set(300, 0, 0u, 0.0); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h->set(0, 1.9, 0u, 0.0); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h->set(0, 0, -1, 0.0); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h->set(0, 3'000'000'000, 0u, 0.0); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h->add(true); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { (void)h->is(1); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h->first_above(1e300); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h->note("\xff is no UTF-8"); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { h.local()->first_above(0.5); }) == errc::bad_arguments);
    // An asynchronous call throws them at once, too: there is nothing to wait for.
    CHECK(thrown_by([&] { h.async(asio::use_future)->add(1.5); }) == errc::bad_arguments);
    CHECK(n.status().pending_calls == applied);
}

TEST_CASE("a name is 1 to 256 bytes of UTF-8") {
    node n{alone()};
    CHECK(thrown_by([&] { handle h{n, ""}; }) == errc::bad_arguments);
    CHECK(thrown_by([&] { handle h(n, std::string(257, 'x')); }) == errc::bad_arguments);
    CHECK(thrown_by([&] { handle h{n, "\xff"}; }) == errc::bad_arguments);
    handle longest(n, std::string(256, 'x'));
    CHECK(longest->add(1) == 1);
}

TEST_CASE("constructor arguments make the object once; who comes later adopts it as it is") {
    node n{alone()};
    handle first{n, "h", 5};
    handle second{n, "h", 7, "text"};
    CHECK(first->get() == 5);
    CHECK(second->get() == 5);
    CHECK(second->notes().empty());
    handle third{n, "i", 7, "text"};
    CHECK(third->notes() == std::vector<std::string>{"text"});
    handle broken{n, "j", -1};
    std::string sentence;
    CHECK(thrown_by([&] { broken->get(); }, &sentence) == errc::method_threw);
    CHECK(sentence.find("a specimen starts at zero or above") != std::string::npos);
    CHECK_FALSE(broken.exists());
    handle mended{n, "j"};
    CHECK(mended->get() == 0);
    CHECK(broken->get() == 0);
}

TEST_CASE("two types under one name are a type_mismatch, for every kind of call") {
    node n{alone()};
    handle h{n, "h"};
    CHECK(h->add(1) == 1);
    replicated<stranger> wrong{n, "h"};
    CHECK(thrown_by([&] { wrong->get(); }) == errc::type_mismatch);
    CHECK(thrown_by([&] { wrong.reset(); }) == errc::type_mismatch);
    CHECK(h->get() == 1);
}

TEST_CASE("exists() creates nothing, destroy() ends the object for every handle, a new handle makes it again") {
    node n{alone()};
    handle h{n, "h"};
    CHECK_FALSE(h.exists());
    CHECK_FALSE(h.destroy());
    CHECK(h->add(1) == 1);
    handle const copy = h;
    CHECK(copy.exists());
    CHECK(copy.destroy());
    CHECK_FALSE(h.exists());
    CHECK_FALSE(h.destroy());
    CHECK(thrown_by([&] { h->add(1); }) == errc::no_such_object);
    CHECK(thrown_by([&] { h->get(); }) == errc::no_such_object);
    CHECK(thrown_by([&] { h.local()->get(); }) == errc::no_such_object);
    handle again{n, "h"};
    CHECK(again->add(1) == 1);
    CHECK(h->add(1) == 2);
}

TEST_CASE("reset() puts a new object in place, with its arguments, and creates it when there is none") {
    node n{alone()};
    handle h{n, "h", 3};
    h.reset(10);
    CHECK(h->get() == 10);
    h->note("x");
    h.reset();
    CHECK(h->get() == 0);
    CHECK(h->notes().empty());
    CHECK(thrown_by([&] { h.reset(-1); }) == errc::method_threw);
    CHECK(h->get() == 0);
    REQUIRE(h.destroy());
    h.reset(4, "text");
    CHECK(h->get() == 4);
}

TEST_CASE("a command above the limit is too_large, one at the limit is not") {
    node_options o = alone();
    o.limits.max_command_bytes = 1000;
    node n{o};
    handle h{n, "h"};
    std::string const frame = R"(["note",""])";
    h->note(std::string(1000 - frame.size(), 'x'));
    std::string sentence;
    CHECK(thrown_by([&] { h->note(std::string(1001 - frame.size(), 'x')); }, &sentence) == errc::too_large);
    CHECK(sentence.find("1001 bytes; limits.max_command_bytes is 1000") != std::string::npos);
    CHECK(h->notes().size() == 1);
}

TEST_CASE("with() bounds one handle's calls in time, and only those") {
    node_options o = alone();
    o.seeds = {"127.0.0.1:1"};
    o.founders = 2; // The other one never comes, so no call can be executed.
    node n{o};
    handle h{n, "h"};
    auto const begun = std::chrono::steady_clock::now();
    std::string sentence;
    CHECK(thrown_by([&] { h.with({.timeout = 100ms})->add(1); }, &sentence) == errc::not_executed);
    CHECK(sentence.find("nothing was sent") != std::string::npos);
    CHECK(thrown_by([&] { h.with({.timeout = 100ms})->get(); }) == errc::not_executed);
    CHECK(thrown_by([&] { (void)h.with({.timeout = 100ms}).exists(); }) == errc::not_executed);
    CHECK(std::chrono::steady_clock::now() - begun < 5s);
    auto patient = h.async(asio::use_future)->add(1);
    CHECK(thrown_by([&] { h.with({.timeout = 100ms})->add(1); }) == errc::not_executed);
    CHECK(patient.wait_for(0s) == std::future_status::timeout);
    CHECK(n.status().role == "founding");
    n.stop();
    CHECK(thrown_by([&] { patient.get(); }) == errc::stopped);
}

TEST_CASE("copies of a handle used from eight threads count exactly") {
    node n{alone()};
    handle const h{n, "h"};
    constexpr int threads = 8, calls = 250;
    std::vector<std::future<int>> all;
    for (int t = 0; t < threads; ++t)
        all.push_back(std::async(std::launch::async, [h] {
            int highest = 0;
            for (int i = 0; i < calls; ++i) {
                int const now = h->add(1);
                if (now <= highest || h->get() < now) return -1; // A later call sees what an earlier one did.
                highest = now;
            }
            return highest;
        }));
    int highest = 0;
    for (auto& one : all) {
        int const seen = one.get();
        CHECK(seen > 0);
        highest = std::max(highest, seen);
    }
    CHECK(highest == threads * calls);
    CHECK(h->get() == threads * calls);
}

} // namespace replicated_test
