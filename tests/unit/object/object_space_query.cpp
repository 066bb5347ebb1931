// Reads by those who do not have the types: what they give, and how recent they say that it is.
#include <openreplica/object/object_space.hpp>

#include "space_driver.hpp"

#include <doctest/doctest.h>

#include <string>
#include <thread>

namespace space_test {

call_outcome ask(driver const& d, std::string_view name, std::string_view body, std::string_view type = {}) {
    return d.space.query({false, name, type, body});
}
call_outcome exists(driver const& d, std::string_view name) { return d.space.query({true, name, {}, {}}); }

TEST_CASE("a const method is run as it is written, and its result is JSON text") {
    driver d;
    d.create("t");
    d.call("t", R"(["add",5])");
    auto const o = ask(d, "t", R"(["get"])");
    CHECK(o.ok());
    CHECK(o.result == "5");
    CHECK(o.at == slot{d.at});
    CHECK(ask(d, "t", R"(["get"])", "tally").result == "5");
}

TEST_CASE("what cannot be read says why") {
    driver d;
    d.create("t");
    CHECK(ask(d, "u", R"(["get"])").code == errc::no_such_object);
    CHECK(ask(d, "t", R"(["get"])", "formless").code == errc::type_mismatch);
    CHECK(ask(d, "t", R"(["fly"])").code == errc::no_such_method);
    CHECK(ask(d, "t", R"(["get",1])").code == errc::bad_arguments);
    CHECK(ask(d, "t", R"(["add",1])").code == errc::bad_arguments); // It would change the object on this replica alone.
    for (char const* body : {"", "[", "{}", "[1]", "[]", R"(["get"]x)"}) CHECK(ask(d, "t", body).code == errc::bad_arguments);
    CHECK(ask(d, "t", R"(["get"])").result == "0");
}

TEST_CASE("whether an object exists is told without its type") {
    driver d;
    CHECK(exists(d, "t").result == "false");
    d.create("t");
    CHECK(exists(d, "t").result == "true");
    CHECK(exists(d, "t").at == slot{d.at});
    d.send(command_kind::destroy, "t", "[]");
    CHECK(exists(d, "t").result == "false");
}

TEST_CASE("the slot of an answer is never behind what it shows, not even while that is being applied") {
    driver d;
    d.create("t");
    d.call("t", R"(["add",1])");
    slot const last{d.at};
    // What a reader meets between the change of an object and the end of its slot.
    auto const object = d.space.find(object::object_id_of("t"));
    {
        std::unique_lock const lock(object->mutex());
        object->set_changed_at(last.next());
    }
    CHECK(ask(d, "t", R"(["get"])").at == last.next());
    CHECK(exists(d, "u").at == last);
}

TEST_CASE("a restored state says which slot it holds, of every object and of those that are not there") {
    driver d;
    d.create("t");
    d.call("t", R"(["add",5])");
    driver e;
    REQUIRE(e.space.restore(*d.space.snapshot()));
    CHECK(e.space.query({false, "t", {}, R"(["get"])"}).at == slot{d.at});
    CHECK(e.space.query({true, "u", {}, {}}).at == slot{d.at});
}

TEST_CASE("the objects are listed by name") {
    driver d;
    d.create("b");
    d.create("a");
    d.create("c", "formless");
    auto const all = d.space.list();
    REQUIRE(all.size() == 3);
    CHECK(all[0]->name() == "a");
    CHECK(all[2]->type().name == "formless");
}

TEST_CASE("readers on other threads see each state with a slot that holds it") {
    driver d;
    d.create("t");
    slot const first{d.at};
    std::atomic<bool> stop = false;
    std::atomic<int> wrong = 0;
    std::thread reader([&] {
        while (!stop) {
            auto const o = ask(d, "t", R"(["get"])");
            // After the n-th call the value is n, so a state of value n has slot first + n.
            if (!o.ok() || std::stoull(o.result) != o.at.since(first)) ++wrong;
        }
    });
    for (int i = 0; i < 20'000; ++i) d.call("t", R"(["add",1])");
    stop = true;
    reader.join();
    CHECK(wrong == 0);
}

} // namespace space_test
