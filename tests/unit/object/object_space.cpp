// The replicated state: objects, calls, outcomes and the digest.
#include <openreplica/object/object_space.hpp>

#include "space_driver.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

using namespace openreplica;
using space_test::driver;
using space_test::formless;
using space_test::tally;

TEST_CASE("a call runs the method and gives its result") {
    driver d;
    CHECK(d.create("t").result == "true");
    auto const outcome = d.call("t", R"(["add",5])");
    CHECK(outcome.ok());
    CHECK(outcome.result == "5");
    CHECK(outcome.at == slot{d.at});
    CHECK(d.call("t", R"(["add",-2])").result == "3");
    CHECK(d.call("t", R"(["get"])").result == "3");
    CHECK(d.call("t", R"(["note","a",255])").result.empty());
    CHECK(d.space.find<tally>("t")->read([](tally const& t) { return t.get(); }) == 3);
}

TEST_CASE("an object that exists is adopted, and another type under its name is refused") {
    driver d;
    CHECK(d.create("t").result == "true");
    CHECK(d.call("t", R"(["add",5])").result == "5");
    CHECK(d.create("t").result == "false");
    CHECK(d.send(command_kind::create, "t", R"j(["t","tally(i64)",100])j").result == "false");
    CHECK(d.call("t", R"(["get"])").result == "5");
    CHECK(d.create("t", "formless").code == errc::type_mismatch);
    CHECK(d.send(command_kind::reset, "t", R"(["t","formless"])").code == errc::type_mismatch);
}

TEST_CASE("constructor arguments travel in the log") {
    driver d;
    CHECK(d.send(command_kind::create, "t", R"j(["t","tally(i64)",100])j").ok());
    CHECK(d.call("t", R"(["get"])").result == "100");
    auto const thrown = d.send(command_kind::create, "u", R"j(["u","tally(i64)",-1])j");
    CHECK(thrown.code == errc::method_threw);
    CHECK(thrown.text == "tally(i64): a tally starts at zero or above");
    CHECK(d.space.find(object::object_id_of("u")) == nullptr);
    CHECK(d.send(command_kind::create, "u", R"j(["u","tally(i64)"])j").code == errc::bad_arguments);
    CHECK(d.send(command_kind::create, "u", R"(["u","tally",1])").code == errc::bad_arguments);
    CHECK(d.send(command_kind::create, "u", R"(["other","tally"])").code == errc::bad_arguments);
    CHECK(d.send(command_kind::create, "", R"(["","tally"])").code == errc::bad_arguments);
}

TEST_CASE("reset puts a new object in place, destroy removes it") {
    driver d;
    d.create("t");
    d.call("t", R"(["add",5])");
    auto const before = d.space.find<tally>("t");
    CHECK(d.send(command_kind::reset, "t", R"j(["t","tally(i64)",9])j").result == "true");
    CHECK(d.call("t", R"(["get"])").result == "9");
    CHECK(before->read([](tally const& t) { return t.get(); }) == 5); // Who held the old one still sees it.
    CHECK(d.send(command_kind::reset, "new", R"(["new","tally"])").result == "true");

    CHECK(d.send(command_kind::destroy, "t", "[]").result == "true");
    CHECK(d.send(command_kind::destroy, "t", "[]").result == "false");
    CHECK(d.call("t", R"(["get"])").code == errc::no_such_object);
    CHECK_THROWS_AS((void)d.space.find<tally>("t"), error);
    CHECK(d.create("t").result == "true");
    CHECK(d.call("t", R"(["get"])").result == "0");
}

TEST_CASE("what a method throws is an outcome, and what it changed before stays") {
    driver d;
    d.create("t");
    auto const thrown = d.call("t", R"(["add_then_throw",3])");
    CHECK(thrown.code == errc::method_threw);
    CHECK(thrown.text == "add_then_throw: after adding ?");
    CHECK(d.call("t", R"(["get"])").result == "3");
    CHECK(d.call("t", R"(["throw_number"])").code == errc::method_threw);
}

TEST_CASE("a result that cannot be encoded is a bad result, and its effect stays") {
    driver d;
    d.create("t");
    CHECK(d.call("t", R"(["not_finite"])").code == errc::bad_result);
    CHECK(d.call("t", R"(["get"])").result == "1");
    CHECK(d.call("t", "[\"repeat\"," + std::to_string(object::max_result_bytes - 2) + "]").ok());
    auto const large = d.call("t", "[\"repeat\"," + std::to_string(object::max_result_bytes - 1) + "]");
    CHECK(large.code == errc::bad_result);
    CHECK(large.result.size() <= object::max_result_bytes + 8);
}

TEST_CASE("arguments that are not the canonical text of the declared types are refused, and nothing runs") {
    driver d;
    d.create("t");
    for (auto body : {R"(["add"])",
                      R"(["add",1,2])",
                      R"(["add",1.0])",
                      R"(["add",1.9])",
                      R"(["add","1"])",
                      R"(["add",true])",
                      R"(["add",null])",
                      R"(["add", 1])",
                      R"( ["add",1])",
                      R"(["add",1] )",
                      R"(["add",01])",
                      R"(["add",1e2])",
                      R"(["add",-0])",
                      R"(["add",9223372036854775808])",
                      R"(["add",1]])",
                      R"(["add",1)",
                      R"(["add",1,])",
                      R"(["\u0061dd",1])",
                      R"(["note","\/",1])",
                      R"(["note","a",256])",
                      R"(["note","a",-1])",
                      "[\"note\",\"\xC0\xAF\",1]",
                      R"(["note","\ud800",1])",
                      R"({"add":1})",
                      "[]",
                      "",
                      "[1]",
                      "null"}) {
        auto e = d.make(command_kind::call, "t", body);
        auto const done = d.raw(e);
        REQUIRE_MESSAGE(done.has_value(), body);
        CHECK_MESSAGE(done->outcome.code == errc::bad_arguments, body);
        CHECK(done->outcome.at == slot{});
    }
    CHECK(d.call("t", R"(["get"])").result == "0");
    auto e = d.make(command_kind::call, "t", std::string_view{});
    std::string const brackets = "[\"add\"," + std::string(100'000, '[');
    e.body = brackets;
    CHECK(d.raw(e)->outcome.code == errc::bad_arguments);
}

TEST_CASE("an unknown type stops the replica at that slot and changes nothing") {
    driver d;
    d.create("t");
    auto const digest = d.space.digest();
    auto const snapshot = d.space.snapshot();
    CHECK_FALSE(d.raw(d.make(command_kind::create, "u", R"(["u","stranger"])")).has_value());
    CHECK(d.space.stop_reason().code == errc::needs_upgrade);
    CHECK(d.space.stop_reason().text.find("stranger") != std::string::npos);
    CHECK_FALSE(d.raw(d.make(command_kind::create, "u", R"j(["u","tally(string)","x"])j")).has_value());
    CHECK(d.space.digest() == digest);
    CHECK(d.space.snapshot() == snapshot);
}

TEST_CASE("a type is in use from its first object on: whoever applies the log or reads the snapshot must know it") {
    driver d;
    auto const in_use = [](object::object_space const& space) {
        std::vector<std::string> names;
        for (auto const& t : space.catalogue())
            if (t.in_use) names.push_back(t.name);
        return names;
    };
    CHECK(in_use(d.space).empty());
    d.create("t");
    CHECK(in_use(d.space) == std::vector<std::string>{"tally"});
    // Also when nothing came of it: a program that lacks the constructor stops here all the same.
    CHECK(d.send(command_kind::create, "u", R"j(["u","tally(i64)",-1])j").code == errc::method_threw);
    CHECK(in_use(d.space) == std::vector<std::string>{"tally", "tally(i64)"});
    object::object_space other(d.registry);
    REQUIRE(other.restore(d.space.snapshot().value()));
    CHECK(in_use(other) == std::vector<std::string>{"tally"});
    d.send(command_kind::destroy, "t", R"(["t"])");
    CHECK(in_use(d.space) == std::vector<std::string>{"tally", "tally(i64)"});
}

TEST_CASE("a method that a known type lacks is an outcome: whoever shares the type agrees on it") {
    driver d;
    d.create("t");
    auto const done = d.raw(d.make(command_kind::call, "t", R"(["nope",1])"));
    REQUIRE(done.has_value());
    CHECK(done->outcome.code == errc::no_such_method);
    CHECK(done->outcome.text.find("nope") != std::string::npos);
    CHECK(d.call("t", R"(["get"])").result == "0");
}

TEST_CASE("running out of memory in a method stops the replica") {
    driver d;
    d.create("t");
    CHECK_FALSE(d.raw(d.make(command_kind::call, "t", R"(["exhaust"])")).has_value());
    CHECK(d.space.stop_reason().text.find("memory") != std::string::npos);
}

TEST_CASE("check refuses before proposal what apply could not run") {
    driver d;
    d.create("t");
    CHECK(d.space.check(d.make(command_kind::call, "t", R"(["add",1])")).ok());
    CHECK(d.space.check(d.make(command_kind::call, "t", R"(["nope",1])")).code == errc::no_such_method);
    CHECK(d.space.check(d.make(command_kind::call, "later", R"(["add",1])")).ok());
    CHECK(d.space.check(d.make(command_kind::call, "later", R"(["nope",1])")).code == errc::no_such_method);
    CHECK(d.space.check(d.make(command_kind::call, "later", R"(["add",{"a":1,"a":2}])")).code == errc::bad_arguments);
    CHECK(d.space.check(d.make(command_kind::create, "u", R"j(["u","tally(i64)",1])j")).ok());
    CHECK(d.space.needed_type(d.make(command_kind::create, "u", R"j(["u","tally(i64)",1])j")) == "tally(i64)");
    CHECK(d.space.needed_type(d.make(command_kind::call, "t", R"(["add",1])")).empty());
    CHECK(d.space.check(d.make(command_kind::create, "u", R"(["u","stranger"])")).code == errc::needs_upgrade);
    CHECK(d.space.check(d.make(command_kind::create, "u", R"(["v","tally"])")).code == errc::bad_arguments);
    CHECK(d.space.check(d.make(command_kind::destroy, "u", "[]")).ok());
    CHECK(d.space.check(d.make(command_kind::destroy, "u", "[1]")).code == errc::bad_arguments);
    CHECK(d.space.check(d.make(command_kind::open_session, "u", "[5000000]")).ok());
    CHECK(d.space.check(d.make(command_kind::open_session, "u", "[5000000,1]")).code == errc::bad_arguments);
    std::string const large = "[\"note\",\"" + std::string(std::size_t{1} << 20, 'x') + "\",1]";
    CHECK(d.space.check(d.make(command_kind::call, "t", large)).code == errc::too_large);
}

TEST_CASE("the context of a call is where the log says") {
    driver d;
    d.create("t");
    d.time = 123;
    auto const outcome = d.call("t", R"(["who"])");
    auto const values = object::decode_result<std::vector<std::uint64_t>>(outcome.result);
    CHECK(values[0] == d.at);
    CHECK(values[1] == d.session.value);
    CHECK(values[2] == d.at << 16);
    CHECK(values[3] == 123);
    CHECK(d.space.read_context().slot() == slot{d.at});
    CHECK(d.space.read_context().now().time_since_epoch().count() == 123);
}

TEST_CASE("the log's clock does not go back") {
    driver d;
    d.create("t");
    d.time = 1000;
    d.tick();
    d.time = 10;
    auto const values = object::decode_result<std::vector<std::uint64_t>>(d.call("t", R"(["who"])").result);
    CHECK(values[3] == 1000);
}

TEST_CASE("two replicas that apply the same log agree, and a difference shows in the digest") {
    auto const play = [](std::string_view last) {
        auto d = std::make_unique<driver>();
        d->create("t");
        for (int i = 0; i < 50; ++i) {
            d->time += 7;
            d->call("t", "[\"add\"," + std::to_string(i * 31 % 17) + "]");
            d->call("t", R"(["who"])");
            d->call("t", R"(["add_then_throw",1])");
        }
        d->call("t", last);
        return d;
    };
    auto const a = play(R"(["add",1])");
    auto const b = play(R"(["add",1])");
    auto const c = play(R"(["add",2])");
    CHECK(a->space.digest() == b->space.digest());
    CHECK(a->space.snapshot() == b->space.snapshot());
    CHECK(a->space.digest() != c->space.digest());
}

TEST_CASE("a method that is not deterministic shows in the digest by its result alone") {
    auto const play = [](std::string_view body) {
        driver d;
        d.create("t");
        d.call("t", body);
        return d.space.digest();
    };
    CHECK(play(R"(["stray"])") != play(R"(["stray"])"));
    CHECK(play(R"(["get"])") == play(R"(["get"])"));
}

TEST_CASE("readers on other threads see whole updates while calls are applied") {
    driver d;
    d.create("t");
    std::atomic<bool> stop = false;
    std::atomic<int> reads = 0;
    std::thread reader([&] {
        std::int64_t last = 0;
        while (!stop) {
            auto const now = d.space.find<tally>("t")->read([](tally const& t) { return t.get(); });
            CHECK(now >= last);
            last = now;
            (void)d.space.read_context();
            (void)d.space.check(
                envelope{command_kind::call, object::object_id_of("t"), {}, {}, {}, {}, R"(["add",1])"});
            ++reads;
        }
    });
    for (int i = 0; i < 2000 || reads < 100; ++i) {
        d.call("t", R"(["add",1])");
        if (i % 64 == 0) d.create("x" + std::to_string(i % 1000));
        d.acked_below = d.seq;
    }
    stop = true;
    reader.join();
}

TEST_CASE("a type without a JSON form works, but has no snapshot") {
    driver d;
    d.create("f", "formless");
    CHECK(d.call("f", R"(["bump"])").result == "1");
    CHECK_FALSE(d.space.snapshot().has_value());
    d.send(command_kind::destroy, "f", "[]");
    CHECK(d.space.snapshot().has_value());
}
