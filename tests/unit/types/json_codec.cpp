// Values to canonical JSON and back, and every conversion that is refused.
#include <openreplica/types/json_codec.hpp>

#include <openreplica/types/ids.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

using namespace openreplica;

namespace codec_test {

struct point {
    int x = 0;
    std::uint8_t y = 0;
    double z = 0;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(point, x, y, z)
    bool operator==(point const&) const = default;
};
enum class colour : std::uint8_t { red = 1, blue = 200 };
struct opaque {};
struct holder {
    session_id owner;
    bytes data;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(holder, owner, data)
    bool operator==(holder const&) const = default;
};
struct renamed {
    int v = 0;
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(renamed, v)
};

} // namespace codec_test

template <>
struct openreplica::codec<codec_test::renamed> {
    static void write(std::string& out, codec_test::renamed const& r) { write_json_integer(out, r.v); }
    static codec_test::renamed read(json_reader& r) { return {r.read_integer<int>()}; }
    static std::string name() { return "renamed"; }
};

namespace {

using codec_test::colour;
using codec_test::holder;
using codec_test::opaque;
using codec_test::point;

template <class T>
bool refuses(std::string_view text) {
    try {
        (void)from_json_text<T>(text);
        return false;
    } catch (json_error const&) {
        return true;
    }
}

template <class T>
void round_trip(T const& v, std::string_view text) {
    CHECK(to_json_text(v) == text);
    json_reader r(text);
    CHECK(codec<T>::read(r) == v);
    r.expect_end();
    CHECK(r.canonical());
}

} // namespace

TEST_CASE("values round trip through their canonical text") {
    round_trip(true, "true");
    round_trip(std::int8_t{-128}, "-128");
    round_trip(std::numeric_limits<std::uint64_t>::max(), "18446744073709551615");
    round_trip(std::numeric_limits<std::int64_t>::min(), "-9223372036854775808");
    round_trip(std::int64_t{9007199254740993}, "9007199254740993");
    round_trip('A', "65");
    round_trip(0.1, "0.1");
    round_trip(2.0f, "2.0");
    round_trip(std::string("a\"\n\xC3\xA9"), "\"a\\\"\\n\xC3\xA9\"");
    round_trip(std::string("\0", 1), "\"\\u0000\"");
    round_trip(bytes{std::string("\xFF\0x", 3)}, "\"/wB4\"");
    round_trip(std::vector<int>{1, 2}, "[1,2]");
    round_trip(std::vector<bool>{true, false}, "[true,false]");
    round_trip(std::deque<std::string>{}, "[]");
    round_trip(std::array<int, 2>{3, 4}, "[3,4]");
    round_trip(std::set<int>{2, 1}, "[1,2]");
    round_trip(std::map<std::string, int>{{"b", 2}, {"a", 1}}, R"({"a":1,"b":2})");
    round_trip(std::unordered_map<std::string, int>{{"c", 3}, {"b", 2}, {"a", 1}}, R"({"a":1,"b":2,"c":3})");
    round_trip(std::map<std::string, int, std::greater<>>{{"b", 2}, {"a", 1}}, R"({"a":1,"b":2})");
    round_trip(std::map<int, std::string>{{2, "b"}, {1, "a"}}, R"([[1,"a"],[2,"b"]])");
    round_trip(std::pair(1, std::string("x")), R"([1,"x"])");
    round_trip(std::tuple(1, true, 0.5), "[1,true,0.5]");
    round_trip(std::optional<int>{}, "null");
    round_trip(std::optional<int>{7}, "7");
    round_trip(std::chrono::milliseconds(1500), "1500");
    round_trip(std::chrono::sys_seconds(std::chrono::seconds(5)), "5");
    round_trip(colour::blue, "200");
    round_trip(session_id{9}, "9");
    round_trip(point{-1, 2, 3.0}, R"({"x":-1,"y":2,"z":3.0})");
    round_trip(std::vector<point>{{1, 2, 0.5}}, R"([{"x":1,"y":2,"z":0.5}])");
    round_trip(holder{session_id{4}, bytes{"foo"}}, R"({"data":"Zm9v","owner":4})");
    round_trip(nlohmann::json{{"a", {1, 2.0, nullptr}}}, R"({"a":[1,2.0,null]})");
}

TEST_CASE("a number that does not fit the declared type is refused") {
    CHECK(refuses<int>("3000000000"));
    CHECK(refuses<int>("1.9"));
    CHECK(refuses<int>("1.0"));
    CHECK(refuses<int>("1e2"));
    CHECK(refuses<std::uint8_t>("300"));
    CHECK(refuses<std::uint8_t>("256"));
    CHECK(refuses<unsigned>("-1"));
    CHECK(refuses<std::uint64_t>("18446744073709551616"));
    CHECK(refuses<std::int64_t>("9223372036854775808"));
    CHECK(refuses<double>("1e400"));
    CHECK(refuses<float>("1e39"));
    CHECK(refuses<double>("NaN"));
    CHECK(refuses<colour>("256"));
    CHECK(refuses<std::chrono::duration<std::uint8_t>>("-1"));
}

TEST_CASE("a value of another kind is refused") {
    CHECK(refuses<int>("true"));
    CHECK(refuses<bool>("1"));
    CHECK(refuses<bool>("0"));
    CHECK(refuses<int>("\"1\""));
    CHECK(refuses<int>("null"));
    CHECK(refuses<std::string>("1"));
    CHECK(refuses<std::string>("null"));
    CHECK(refuses<double>("\"1\""));
    CHECK(refuses<std::vector<int>>("{}"));
    CHECK(refuses<std::vector<int>>("[1,null]"));
    CHECK(refuses<std::map<std::string, int>>("[]"));
    CHECK(refuses<bytes>("\"Zg\""));
    CHECK(refuses<point>("[]"));
    CHECK(refuses<point>("null"));
}

TEST_CASE("lists of fixed length have that length") {
    CHECK(refuses<std::array<int, 2>>("[1]"));
    CHECK(refuses<std::array<int, 2>>("[1,2,3]"));
    CHECK(refuses<std::pair<int, int>>("[1]"));
    CHECK(refuses<std::pair<int, int>>("[1,2,3]"));
    CHECK(refuses<std::tuple<int>>("[]"));
}

TEST_CASE("keys and set elements stand once") {
    CHECK(refuses<std::map<std::string, int>>(R"({"a":1,"a":2})"));
    CHECK(refuses<std::unordered_map<std::string, int>>(R"({"a":1,"\u0061":2})"));
    CHECK(refuses<std::map<int, int>>("[[1,1],[1,2]]"));
    CHECK(refuses<std::set<int>>("[1,1]"));
    CHECK(refuses<nlohmann::json>(R"([{"a":1,"a":2}])"));
}

TEST_CASE("the order of a map, of a set and of a user type's members is canonical or noted") {
    auto const canonical = []<class T>(std::string_view text, T) {
        json_reader r(text);
        (void)codec<T>::read(r);
        return r.canonical();
    };
    CHECK(canonical(R"({"a":1,"b":2})", std::map<std::string, int>{}));
    CHECK_FALSE(canonical(R"({"b":1,"a":2})", std::map<std::string, int>{}));
    CHECK_FALSE(canonical(R"({"b":1,"a":2})", std::unordered_map<std::string, int>{}));
    CHECK_FALSE(canonical("[2,1]", std::set<int>{}));
    CHECK_FALSE(canonical("[[2,1],[1,1]]", std::map<int, int>{}));
    CHECK(canonical(R"({"x":1,"y":2,"z":3.0})", point{}));
    CHECK_FALSE(canonical(R"({"y":2,"x":1,"z":3.0})", point{}));
    CHECK_FALSE(canonical(R"({"x":1,"y":2,"z":3})", point{}));
    CHECK_FALSE(canonical(R"({"x": 1,"y":2,"z":3.0})", point{}));
    CHECK_FALSE(canonical("1", double{}));
}

TEST_CASE("conversions inside a user's generated from_json are checked too") {
    CHECK(refuses<point>(R"({"x":1.9,"y":2,"z":3.0})"));
    CHECK(refuses<point>(R"({"x":3000000000,"y":2,"z":3.0})"));
    CHECK(refuses<point>(R"({"x":1,"y":300,"z":3.0})"));
    CHECK(refuses<point>(R"({"x":true,"y":2,"z":3.0})"));
    CHECK(refuses<point>(R"({"x":1,"z":3.0})"));
    CHECK(refuses<point>(R"({"x":1,"y":2,"z":3.0,"more":1})"));
    CHECK(refuses<point>(R"({"x":1,"y":2,"z":3.0,"x":1})"));
    CHECK(refuses<std::vector<point>>(R"([{"x":1,"y":-1,"z":3.0}])"));
}

TEST_CASE("hostile text is refused by typed readers and by the general one") {
    std::string const brackets(100'000, '[');
    CHECK(refuses<nlohmann::json>(brackets));
    CHECK(refuses<point>(brackets));
    CHECK(refuses<std::vector<std::vector<int>>>(brackets));
    CHECK(refuses<std::string>("\"\\ud800\""));
    CHECK(refuses<std::string>("\"\xC0\x80\""));
    CHECK(refuses<std::string>("\xEF\xBB\xBF\"a\""));
    CHECK(refuses<int>("1 1"));
    CHECK(refuses<int>("1x"));
    CHECK(refuses<int>(""));
    CHECK(refuses<int>("01"));
    CHECK(refuses<int>("+1"));
    CHECK(refuses<nlohmann::json>("18446744073709551616"));
    CHECK(refuses<nlohmann::json>("1e400"));
    std::string const deep = std::string(64, '[') + std::string(64, ']');
    CHECK_FALSE(refuses<nlohmann::json>(deep));
    CHECK(refuses<nlohmann::json>("[" + deep + "]"));
}

TEST_CASE("what JSON cannot hold is refused when it is written") {
    CHECK_THROWS_AS((void)to_json_text(std::numeric_limits<double>::quiet_NaN()), json_error);
    CHECK_THROWS_AS((void)to_json_text(std::vector<float>{std::numeric_limits<float>::infinity()}), json_error);
    CHECK_THROWS_AS((void)to_json_text(point{1, 1, std::numeric_limits<double>::infinity()}), json_error);
    CHECK_THROWS_AS((void)to_json_text(std::string("\xFF")), json_error);
    CHECK_THROWS_AS((void)to_json_text(std::map<std::string, int>{{"\xFF", 1}}), json_error);
    nlohmann::json deep;
    for (int i = 0; i < 70; ++i) deep = nlohmann::json::array({std::move(deep)});
    CHECK_THROWS_AS((void)to_json_text(deep), json_error);
}

TEST_CASE("which types have a codec, and their names, do not depend on the compiler") {
    CHECK(codec<int>::name() == "i32");
    CHECK(codec<long>::name() == "i64");
    CHECK(codec<long long>::name() == "i64");
    CHECK(codec<std::uint64_t>::name() == "u64");
    CHECK(codec<double>::name() == "f64");
    CHECK(codec<float>::name() == "f32");
    CHECK(codec<char>::name() == "char");
    CHECK(codec<std::vector<std::map<std::string, int>>>::name() == "list<map<string,i32>>");
    CHECK(codec<std::map<int, bytes>>::name() == "map<i32,bytes>");
    CHECK(codec<std::optional<bool>>::name() == "optional<bool>");
    CHECK(codec<std::pair<int, std::string>>::name() == "tuple<i32,string>");
    CHECK(codec<std::tuple<int, int, int>>::name() == "tuple<i32,i32,i32>");
    CHECK(codec<std::array<char, 3>>::name() == "array<char,3>");
    CHECK(codec<std::set<colour>>::name() == "set<enum<u8>>");
    CHECK(codec<std::chrono::milliseconds>::name() == "duration<i64,1/1000>");
    CHECK(codec<std::chrono::sys_seconds>::name() == "time<duration<i64,1/1>>");
    CHECK(codec<point>::name() == "json");
    CHECK(codec<codec_test::renamed>::name() == "renamed");
    static_assert(has_codec<point> && !has_typed_codec<point> && has_typed_codec<codec_test::renamed>);
    static_assert(!has_codec<opaque> && !has_codec<std::vector<opaque>> && !has_codec<std::optional<opaque>>);
    static_assert(!has_codec<int*> && !has_codec<std::unique_ptr<int>> && !has_codec<long double>);
    static_assert(!has_codec<char const*> && !has_codec<std::string_view>);
}
