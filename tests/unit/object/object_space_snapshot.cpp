// The whole state as text and back.
#include <openreplica/object/object_space_snapshot.hpp>

#include "space_driver.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <ostream>
#include <string>

using namespace openreplica;
using space_test::driver;
using space_test::tally;

namespace {

/// Its state cannot be written once it was spoilt.
struct fragile {
    bool spoilt = false;
    void spoil() { spoilt = true; }
    void mend() { spoilt = false; }
    OPENREPLICA_METHODS(fragile, spoil, mend)
    friend void to_json(nlohmann::json& j, fragile const& f) {
        if (f.spoilt) throw 42;
        j = f.spoilt;
    }
    friend void from_json(nlohmann::json const& j, fragile& f) { f.spoilt = j.get<bool>(); }
};

void fill(driver& d) {
    d.create("t");
    d.send(command_kind::create, "a \"quoted\" name", R"j(["a \"quoted\" name","tally(i64)",7])j");
    d.create("m", "map<string,u16>");
    for (int i = 0; i < 1500; ++i) // More members than a command may have.
        d.call("m", "[\"put\",\"k" + std::to_string(i) + "\"," + std::to_string(i) + "]");
    d.acked_below = d.seq - 3;
    d.time = 5000;
    d.call("t", R"(["add",41])");
    d.call("t", R"(["add_then_throw",1])");
    d.call("t", R"(["note","line",9])");
    d.open("[3000000]");
}

} // namespace

TEST_CASE("a restored replica equals the one that was saved and goes on equally") {
    driver d;
    fill(d);
    auto const text = d.space.snapshot();
    REQUIRE(text.has_value());

    driver other;
    REQUIRE(other.space.restore(*text));
    CHECK(other.space.snapshot() == text);
    CHECK(other.space.digest() == d.space.digest());
    CHECK(other.space.applied() == d.space.applied());
    CHECK(other.space.open_sessions() == d.space.open_sessions());
    CHECK(other.space.next_deadline() <= log_time{5000 + 3'000'000});
    CHECK(other.space.read_context().slot() == slot{d.at});

    auto const retry = d.make(command_kind::call, "t", R"(["add",1])");
    for (int copies = 0; copies < 2; ++copies) {
        auto const here = d.space.apply(slot{++d.at}, log_time{6000}, retry);
        auto const there = other.space.apply(slot{d.at}, log_time{6000}, retry);
        CHECK(here->outcome.result == "43");
        CHECK(here->outcome == there->outcome);
    }
    CHECK(other.space.digest() == d.space.digest());
    CHECK(other.space.snapshot() == d.space.snapshot());
}

TEST_CASE("R36: a result stored before the snapshot answers a retry after it") {
    driver d;
    d.create("t");
    auto const add = d.make(command_kind::call, "t", R"(["add",5])");
    auto const first = d.raw(add)->outcome;
    driver other;
    REQUIRE(other.space.restore(d.space.snapshot().value()));
    CHECK(other.space.apply(slot{d.at + 1}, log_time{0}, add)->outcome == first);
}

TEST_CASE("what is no snapshot changes nothing") {
    driver d;
    fill(d);
    std::string const good = d.space.snapshot().value();
    driver other;
    other.create("kept");
    auto const before = other.space.snapshot();
    for (std::size_t n = 0; n < good.size(); n += 1 + n / 50) CHECK_FALSE(other.space.restore(good.substr(0, n)));
    CHECK_FALSE(other.space.restore(good + "x"));
    CHECK_FALSE(other.space.restore("[2" + good.substr(2)));
    CHECK_FALSE(other.space.restore(R"([1,1,0,0,[["x","stranger",0]],[]])"));
    CHECK_FALSE(other.space.restore(R"([1,1,0,0,[["x","formless",0]],[]])"));
    CHECK_FALSE(other.space.restore(R"([1,1,0,0,[["x","tally",{}]],[]])"));
    CHECK_FALSE(other.space.restore(R"([1,1,0,0,[],[[1,10,0,5,[[4,0,"","",1]]]]])"));
    CHECK_FALSE(other.space.restore(R"([1,1,0,0,[],[[1,10,0,1,[]],[1,10,0,1,[]]]])"));
    CHECK(other.space.snapshot() == before);
    CHECK(other.space.restore(R"([1,1,0,0,[],[]])"));
}

TEST_CASE("a snapshot does not depend on the order in which objects were made") {
    driver a;
    driver b;
    for (auto name : {"x", "y", "z"}) a.create(name);
    for (auto name : {"z", "x", "y"}) b.create(name);
    auto const objects = [](driver& d) {
        auto const text = d.space.snapshot().value();
        return text.substr(text.find("[["), text.rfind(",[[") - text.find("[["));
    };
    CHECK(objects(a) == objects(b));
}

TEST_CASE("what stands in the way of a snapshot is named, whatever its to_json throws, until it is gone") {
    driver d;
    d.registry.add<fragile>();
    d.create("t");
    d.create("f", "fragile");
    auto const obstacle = [&d] {
        auto const w = d.space.freeze()();
        CHECK(w.text.has_value() == w.obstacle.empty());
        return w.obstacle;
    };
    CHECK(obstacle() == "");
    d.call("f", R"(["spoil"])");
    CHECK(obstacle() == "f");
    d.call("f", R"(["mend"])");
    CHECK(obstacle() == "");
    d.create("without", "formless");
    CHECK(obstacle() == "without");
}

TEST_CASE("R37: a frozen state is written as it was, whatever was applied since") {
    driver d;
    d.create("t");
    auto frozen = d.space.freeze();
    auto const before = d.space.snapshot();
    d.create("u");
    CHECK(frozen().text == before);
    CHECK(d.space.snapshot() != before);
}

namespace object_space_snapshot_test {

/// A state that is shared until it changes: a snapshot of it copies a pointer.
class shared_text {
    std::shared_ptr<std::string const> text = std::make_shared<std::string const>();
    inline static int copies = 0;

public:
    shared_text() = default;
    shared_text(shared_text const& o) : text(std::make_shared<std::string const>(*o.text)) { ++copies; }
    shared_text& operator=(shared_text const&) = default;
    shared_text(shared_text&&) = default;
    shared_text& operator=(shared_text&&) = default;

    void set(std::string const& s) { text = std::make_shared<std::string const>(s); }
    std::shared_ptr<shared_text const> snapshot() const {
        auto kept = std::make_shared<shared_text>();
        kept->text = text;
        return kept;
    }
    static int copies_made() { return copies; }
    OPENREPLICA_METHODS(shared_text, set)
    friend void to_json(nlohmann::json& j, shared_text const& s) { j = *s.text; }
    friend void from_json(nlohmann::json const& j, shared_text& s) { s.set(j.get<std::string>()); }
};

/// It cannot be copied: its state is written while nothing is applied.
struct solid {
    int n = 0;
    solid() = default;
    solid(solid&&) = default;
    solid& operator=(solid&&) = default;
    void add(int k) { n += k; }
    OPENREPLICA_METHODS(solid, add)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(solid, n)
};

} // namespace object_space_snapshot_test

TEST_CASE("a type with a cheap snapshot() is not copied, and one that cannot be copied is written at once") {
    using namespace object_space_snapshot_test;
    driver d;
    d.registry.add<shared_text>();
    d.registry.add<solid>();
    d.create("s", "shared_text");
    d.create("n", "solid");
    d.call("s", R"(["set","before"])");
    d.call("n", R"(["add",7])");
    auto frozen = d.space.freeze();
    d.call("s", R"(["set","after"])");
    d.call("n", R"(["add",1])");
    auto const text = frozen().text;
    REQUIRE(text.has_value());
    CHECK(text->find("before") != std::string::npos);
    CHECK(text->find("after") == std::string::npos);
    CHECK(text->find("\"n\":7") != std::string::npos);
    CHECK(shared_text::copies_made() == 0);
    driver other;
    other.registry.add<shared_text>();
    other.registry.add<solid>();
    REQUIRE(other.space.restore(*text));
    CHECK(other.space.snapshot() == text);
}
