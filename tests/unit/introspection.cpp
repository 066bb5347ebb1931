// What a node answers about itself, and what it does with questions that make no sense.
#include <openreplica/introspection.hpp>

#include <openreplica/openreplica.hpp>

#include "one_node.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace introspection_test {

using namespace openreplica;
using nlohmann::json;
using one_node::alone;
using one_node::thrown_by;
using namespace std::chrono_literals;

class shelf {
    std::map<std::string, int> books;

public:
    int put(std::string const& title) { return ++books[title]; }
    OPENREPLICA_METHODS(shelf, put)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(shelf, books)
};

/// Its state has no JSON form.
class opaque {
    int touched = 0;

public:
    int touch() { return ++touched; }
    OPENREPLICA_METHODS(opaque, touch)
};

/// Writing it throws.
class shy {
    int n = 0;

public:
    int touch() { return ++n; }
    OPENREPLICA_METHODS(shy, touch)
    friend void to_json(json&, shy const&) { throw std::runtime_error("not now"); }
    friend void from_json(json const&, shy&) {}
};

/// A node, and a client that asks it.
struct bench {
    node n{alone()};
    client c{[this] {
        client_options o;
        o.group = "t";
        o.seeds = {to_string(n.endpoint())};
        o.logger = [](log_level, std::string_view) {};
        return o;
    }()};
    replicated<shelf> books{n, "books"};

    bench() { CHECK(books->put("SICP") == 1); }
    json ask(std::string const& what, std::string const& argument = {}) { return json::parse(c.ask(what, argument)); }
};

TEST_CASE("the status of a node is what it says itself") {
    bench b;
    auto const s = b.ask("status");
    CHECK(s["id"] == b.n.status().id);
    CHECK(s["role"] == "leader");
    CHECK(s["disk"]["state"] == "ok");
    auto const m = b.ask("members");
    REQUIRE(m["members"].size() == 1);
    CHECK(m["members"][0]["id"] == b.n.status().id);
    CHECK(m["members"][0]["role"] == "leader");
    CHECK(m["asked"] == to_string(b.n.endpoint()));
}

TEST_CASE("members are the voters and the standbys, each with what it shares the fate of") {
    bench b;
    node standby{[&] {
        node_options o{.group = b.n.status().group, .seeds = {to_string(b.n.endpoint())}, .failure_groups = {"rack:1", "pdu:2"}};
        o.logger = [](log_level, std::string_view) {};
        return o;
    }()};
    REQUIRE(standby.wait_ready(std::chrono::seconds(20)));
    client_options there{.seeds = {to_string(standby.endpoint())}};
    there.logger = [](log_level, std::string_view) {};
    client of_standby(there);
    for (auto const& [c, of] : {std::pair{&b.c, b.n.endpoint()}, {&of_standby, standby.endpoint()}}) {
        json const all = json::parse(c->ask("members", "", of))["members"];
        REQUIRE(all.size() == 2);
        CHECK(all[0]["endpoint"] == to_string(b.n.endpoint()));
        CHECK(all[0]["failure_groups"] == json::array());
        CHECK(all[1] == json{{"id", standby.status().id}, {"endpoint", to_string(standby.endpoint())}, {"role", "standby"},
                             {"connected", true}, {"failure_groups", {"rack:1", "pdu:2"}}});
    }
}

TEST_CASE("objects and types are listed by name, and an object's state is shown as JSON") {
    bench b;
    replicated<opaque> o{b.n, "a box"};
    CHECK(o->touch() == 1);
    auto const all = b.ask("objects");
    REQUIRE(all.size() == 2);
    CHECK(all[0] == json{{"name", "a box"}, {"type", "opaque"}});
    CHECK(all[1] == json{{"name", "books"}, {"type", "shelf"}});
    bool known = false;
    for (auto const& t : b.ask("types")) known = known || (t["name"] == "shelf" && t["fingerprint"].get<std::string>().size() == 16);
    CHECK(known);
    CHECK(b.ask("show", "books") == json{{"name", "books"}, {"type", "shelf"}, {"state", {{"books", {{"SICP", 1}}}}}});
}

TEST_CASE("a state that cannot be shown says why") {
    bench b;
    replicated<opaque> o{b.n, "box"};
    replicated<shy> s{b.n, "shy"};
    CHECK(o->touch() == 1);
    CHECK(s->touch() == 1);
    std::string sentence;
    CHECK(thrown_by([&] { (void)b.c.ask("show", "box"); }, &sentence) == errc::bad_result);
    CHECK(sentence.find("no JSON form") != std::string::npos);
    CHECK(thrown_by([&] { (void)b.c.ask("show", "shy"); }, &sentence) == errc::bad_result);
    CHECK(sentence.find("not now") != std::string::npos);
    CHECK(thrown_by([&] { (void)b.c.ask("show", "nobody"); }) == errc::no_such_object);
}

TEST_CASE("the end of the log holds the latest calls, with the names of their objects") {
    bench b;
    CHECK(b.books->put("TAOCP") == 1);
    auto const last = b.ask("log", "1");
    REQUIRE(last.size() == 1);
    CHECK(last[0]["kind"] == "call");
    CHECK(last[0]["object"] == "books");
    CHECK(last[0]["command"] == json{"put", "TAOCP"});
    CHECK(last[0]["slot"] == b.n.status().chosen);
    CHECK(last[0]["session"].get<std::uint64_t>() > 0);
    auto const all = b.ask("log", "1000");
    CHECK(all.size() == b.n.status().chosen);
    CHECK(all[0]["slot"] == 1);
    CHECK(b.ask("log", "0").empty());
    CHECK(b.ask("log").size() <= 20);
    for (char const* wrong : {"x", "-1", "1x", "99999999999"}) CHECK(thrown_by([&] { (void)b.c.ask("log", wrong); }) == errc::bad_arguments);
}

TEST_CASE("sessions are told with what they keep") {
    bench b;
    auto const all = b.ask("sessions");
    REQUIRE(all.size() == 1); // The client asks without one.
    CHECK(all[0]["timeout_ms"] == 10000);
    CHECK(all[0]["results"].get<int>() >= 1);
    CHECK(all[0]["acknowledged_below"].get<int>() >= 1);
}

TEST_CASE("calls that have no outcome are told with what they ask") {
    bench b;
    CHECK(b.ask("pending") == json{{"parked", json::array()}, {"calls", json::array()}});
}

TEST_CASE("an answer that no frame holds is refused with its size") {
    bench b;
    for (int i = 0; i < 4; ++i) CHECK(b.books->put(std::string(1000 * 1000, static_cast<char>('a' + i))) == 1);
    std::string sentence;
    CHECK(thrown_by([&] { (void)b.c.ask("show", "books"); }, &sentence) == errc::too_large);
    CHECK(sentence.find("more than 3145728") != std::string::npos);
    CHECK(b.ask("objects").size() == 1);
}

TEST_CASE("a question that nobody knows is answered with those that are known; an order is carried out or refused") {
    bench b;
    std::string sentence;
    CHECK(thrown_by([&] { (void)b.c.ask("weather"); }, &sentence) == errc::bad_arguments);
    CHECK(sentence.find("ask for status, members") != std::string::npos);
    CHECK(thrown_by([&] { (void)b.c.order(R"({"add":["127.0.0.1:1"]})"); }) == errc::change_refused);
    CHECK(thrown_by([&] { (void)b.c.order(R"({"ad":[]})"); }) == errc::bad_arguments);
    (void)b.c.order(json{{"set", {to_string(b.n.endpoint())}}}.dump());
}

} // namespace introspection_test
