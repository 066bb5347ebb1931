// Types by name, and fingerprints that every compiler agrees on.
#include <openreplica/object/type_registry.hpp>

#include <openreplica/object/macros.hpp>

#include <doctest/doctest.h>

#include <ostream>
#include <string>
#include <vector>

using namespace openreplica;

namespace registry_test {

struct plain {
    int value = 0;
    int add(int n) { return value += n; }
    int get() const { return value; }
    OPENREPLICA_METHODS(plain, add, get)
};
namespace reordered {
struct plain {
    int get() const { return 0; }
    int add(int n) { return n; }
    OPENREPLICA_METHODS(plain, get, add)
};
} // namespace reordered
namespace wider {
struct plain {
    std::int64_t add(int n) { return n; }
    int get() const { return 0; }
    OPENREPLICA_METHODS(plain, add, get)
};
} // namespace wider
namespace mutating {
struct plain {
    int add(int n) { return n; }
    int get() { return 0; }
    OPENREPLICA_METHODS(plain, add, get)
};
} // namespace mutating
struct rich {
    rich(std::string, std::vector<int>) {}
    std::optional<bytes> look(std::string_view, std::chrono::milliseconds, std::map<std::string, double> const&) const {
        return std::nullopt;
    }
    void with(context&, std::pair<long, char>) {}
    OPENREPLICA_METHODS(rich, look, with)
};
/// Nothing but its registration names this type.
struct named_only {
    void touch() {}
    OPENREPLICA_METHODS(named_only, touch)
};
bool const& name_it() { return object::registered<named_only>; }

} // namespace registry_test

using namespace registry_test;

TEST_CASE("fingerprints are the same from every compiler") {
    CHECK(object::type_entry_of<plain>().fingerprint == 7809330936576702251u);
    CHECK(object::type_entry_of<rich>().fingerprint == 874103959984624952u);
}

TEST_CASE("a fingerprint hashes name, methods, types and constness, and not the order of the list") {
    auto const print = object::type_entry_of<plain>().fingerprint;
    CHECK(object::type_entry_of<reordered::plain>().fingerprint == print);
    CHECK(object::type_entry_of<wider::plain>().fingerprint != print);
    CHECK(object::type_entry_of<mutating::plain>().fingerprint != print);
}

TEST_CASE("a type is registered before main by being named") {
    CHECK(object::type_registry::global().find_type("named_only") == &object::type_entry_of<named_only>());
    CHECK(name_it());
}

TEST_CASE("types and constructors are found by their names") {
    object::type_registry r;
    r.add<rich, std::string, std::vector<int>>();
    r.add<rich, std::string, std::vector<int>>();
    r.add<plain>();
    CHECK(r.find_type("rich") == &object::type_entry_of<rich>());
    CHECK(r.find_type("poor") == nullptr);
    CHECK(r.find_constructor("rich") == nullptr); // It has no default constructor.
    CHECK(r.find_constructor("rich(string,list<i32>)") != nullptr);
    CHECK(r.find_constructor("plain") != nullptr);
    CHECK(r.knows_method("look"));
    CHECK_FALSE(r.knows_method("loo"));
    auto const all = r.catalogue();
    REQUIRE(all.size() == 3);
    CHECK(all[0].name == "plain");
    CHECK(all[1].name == "rich");
    CHECK(all[2].name == "rich(string,list<i32>)");
    CHECK(all[2].fingerprint == all[1].fingerprint);
}

TEST_CASE("methods are found by name") {
    auto const& entry = object::type_entry_of<rich>();
    CHECK(entry.find("look")->is_read);
    CHECK_FALSE(entry.find("with")->is_read);
    CHECK(entry.find("l") == nullptr);
    CHECK(entry.find("") == nullptr);
}

TEST_CASE("two C++ types under one name are an error that says what to do") {
    object::type_registry r;
    r.add<plain>();
    for (auto add : {+[](object::type_registry& t) { t.add<wider::plain>(); },
                     +[](object::type_registry& t) { t.add<reordered::plain>(); }}) {
        try {
            add(r);
            FAIL("accepted");
        } catch (error const& e) {
            CHECK(e.code() == errc::type_mismatch);
            CHECK(std::string(e.what()).find("plain") != std::string::npos);
        }
    }
    CHECK(r.find_type("plain") == &object::type_entry_of<plain>());
}
