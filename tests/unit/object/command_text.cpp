// Bodies from typed arguments, results to typed values.
#include <openreplica/object/command_text.hpp>

#include <openreplica/object/macros.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

using namespace openreplica;

namespace command_test {

class keeper {
public:
    keeper() = default;
    keeper(std::int64_t, std::string) {}
    keeper(std::size_t, int, double) {}
    void small(std::uint8_t) {}
    void text(std::string_view) const {}
    void number(double) {}
    void maybe(std::optional<std::uint8_t>, bool) {}
    OPENREPLICA_METHODS(keeper, small, text, number, maybe)
};

template <fixed_string Name>
using entry = typename object::entry_for_name<keeper, Name>::type;

} // namespace command_test

using namespace command_test;

TEST_CASE("a call is encoded with its arguments as the declared types") {
    CHECK(object::encode_call<entry<"small">>(7L) == R"(["small",7])");
    CHECK(object::encode_call<entry<"small">>(7.0) == R"(["small",7])");
    CHECK(object::encode_call<entry<"number">>(7) == R"(["number",7.0])");
    CHECK(object::encode_call<entry<"text">>("a\"b") == R"(["text","a\"b"])");
    CHECK(object::encode_call<entry<"text">>(std::string("x")) == R"(["text","x"])");
    CHECK(object::encode_call<entry<"maybe">>(std::nullopt, true) == R"(["maybe",null,true])");
}

TEST_CASE("an argument that does not fit is refused before anything is sent") {
    CHECK_THROWS_AS((void)object::encode_call<entry<"small">>(300), json_error);
    CHECK_THROWS_AS((void)object::encode_call<entry<"small">>(1.9), json_error);
    CHECK_THROWS_AS((void)object::encode_call<entry<"small">>(-1), json_error);
    CHECK_THROWS_AS((void)object::encode_call<entry<"number">>(std::numeric_limits<double>::quiet_NaN()), json_error);
    CHECK_THROWS_AS((void)object::encode_call<entry<"text">>("\xFF"), json_error);
    CHECK_THROWS_AS((void)(object::encode_call<entry<"maybe">>(300, true)), json_error);
}

TEST_CASE("the number and types of arguments are checked at compile time") {
    static_assert(object::accepts<entry<"small">, int> && object::accepts<entry<"text">, char const*>);
    static_assert(!object::accepts<entry<"small">> && !object::accepts<entry<"small">, int, int>);
    static_assert(!object::accepts<entry<"small">, char const*> && !object::accepts<entry<"text">, int>);
    CHECK(object::table_of<keeper>::size == 4);
}

TEST_CASE("a birth names the object, the type and the types of the constructor's arguments") {
    CHECK(object::encode_birth<keeper>("k") == R"(["k","keeper"])");
    CHECK(object::encode_birth<keeper>("k", std::int64_t{5}, "x") == R"j(["k","keeper(i64,string)",5,"x"])j");
    CHECK(object::encode_birth<keeper>("k", 5, std::string("x")) == R"j(["k","keeper(i32,string)",5,"x"])j");
    CHECK(object::encode_birth<keeper>("k", 1L, std::string_view("x")) == R"j(["k","keeper(i64,string)",1,"x"])j");
    static_assert(!object::constructible_from_arguments<keeper, double, std::string>); // It would lose the fraction.
    static_assert(!object::constructible_from_arguments<keeper, int>);
    CHECK_THROWS_AS((void)object::encode_birth<keeper>(""), json_error);
    CHECK_THROWS_AS((void)object::encode_birth<keeper>("\xFF"), json_error);
    CHECK_NOTHROW((void)object::encode_birth<keeper>(std::string(object::max_name_bytes, 'x')));
    CHECK_THROWS_AS((void)object::encode_birth<keeper>(std::string(object::max_name_bytes + 1, 'x')), json_error);
}

TEST_CASE("an integer whose type a constructor does not take travels as one that it takes, if it fits") {
    CHECK(object::encode_birth<keeper>("k", 16, 2, 3) == R"j(["k","keeper(u64,i32,f64)",16,2,3.0])j");
    CHECK(object::encode_birth<keeper>("k", std::size_t{16}, 2, 3.5) == R"j(["k","keeper(u64,i32,f64)",16,2,3.5])j");
    CHECK(object::encode_birth<keeper>("k", 5u, "x") == R"j(["k","keeper(u32,string)",5,"x"])j"); // As it is.
    CHECK(object::encode_birth<keeper>("k", std::uint64_t{5}, "x") == R"j(["k","keeper(i64,string)",5,"x"])j");
    CHECK_THROWS_AS((void)object::encode_birth<keeper>("k", -1, 2, 3.5), json_error);
    CHECK_THROWS_AS((void)object::encode_birth<keeper>("k", ~std::uint64_t{0}, "x"), json_error);
    static_assert(!object::constructible_from_arguments<keeper, int, double, double>);
}

TEST_CASE("results are decoded to their type") {
    CHECK(object::decode_result<int>("5") == 5);
    object::decode_result<void>("");
    CHECK_THROWS_AS((void)object::decode_result<int>("\"5\""), json_error);
    CHECK_THROWS_AS((void)object::decode_result<int>(""), json_error);
}
