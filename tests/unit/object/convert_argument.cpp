// Arguments become their declared type only when their value stays the same.
#include <openreplica/object/convert_argument.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>

using namespace openreplica;

TEST_CASE("integers convert in range and are refused outside") {
    CHECK(convert_argument<std::uint8_t>(255) == 255);
    CHECK_THROWS_AS((void)convert_argument<std::uint8_t>(256), json_error);
    CHECK_THROWS_AS((void)convert_argument<std::uint8_t>(300), json_error);
    CHECK_THROWS_AS((void)convert_argument<unsigned>(-1), json_error);
    CHECK_THROWS_AS((void)convert_argument<int>(3'000'000'000), json_error);
    CHECK(convert_argument<std::int64_t>(3'000'000'000) == 3'000'000'000);
    CHECK_THROWS_AS((void)convert_argument<std::int64_t>(std::numeric_limits<std::uint64_t>::max()), json_error);
    CHECK_THROWS_AS((void)convert_argument<std::uint64_t>(std::int64_t{-1}), json_error);
    CHECK(convert_argument<std::int8_t>(-128L) == -128);
}

TEST_CASE("fractions do not become integers, whole numbers do") {
    CHECK(convert_argument<int>(5.0) == 5);
    CHECK(convert_argument<int>(-2147483648.0) == std::numeric_limits<int>::min());
    CHECK_THROWS_AS((void)convert_argument<int>(1.9), json_error);
    CHECK_THROWS_AS((void)convert_argument<int>(2147483648.0), json_error);
    CHECK_THROWS_AS((void)convert_argument<std::int64_t>(9223372036854775808.0), json_error);
    CHECK_THROWS_AS((void)convert_argument<unsigned>(-1.0), json_error);
    CHECK_THROWS_AS((void)convert_argument<int>(std::numeric_limits<double>::quiet_NaN()), json_error);
    CHECK_THROWS_AS((void)convert_argument<int>(std::numeric_limits<double>::infinity()), json_error);
}

TEST_CASE("integers become floating point only when they are exact there") {
    CHECK(convert_argument<double>(1 << 30) == 1073741824.0);
    CHECK(convert_argument<double>(std::int64_t{1} << 62) == 4611686018427387904.0);
    CHECK_THROWS_AS((void)convert_argument<double>(9007199254740993), json_error);
    CHECK_THROWS_AS((void)convert_argument<double>(std::numeric_limits<std::int64_t>::max()), json_error);
    CHECK_THROWS_AS((void)convert_argument<float>(16777217), json_error);
    CHECK(convert_argument<double>(std::numeric_limits<std::int64_t>::min()) == -9223372036854775808.0);
}

TEST_CASE("double becomes float by rounding, but not by overflow") {
    CHECK(convert_argument<float>(0.1) == 0.1f);
    CHECK_THROWS_AS((void)convert_argument<float>(1e300), json_error);
}

TEST_CASE("a bool is no number and a number is no bool") {
    CHECK(convert_argument<bool>(true));
    CHECK_THROWS_AS((void)convert_argument<int>(true), json_error);
    CHECK_THROWS_AS((void)convert_argument<bool>(1), json_error);
    CHECK_THROWS_AS((void)convert_argument<bool>(0.5), json_error);
}

TEST_CASE("the check reaches into optionals, pairs and tuples") {
    CHECK(convert_argument<std::optional<std::uint8_t>>(7) == std::uint8_t{7});
    CHECK(convert_argument<std::optional<std::uint8_t>>(std::nullopt) == std::nullopt);
    CHECK_THROWS_AS((void)convert_argument<std::optional<std::uint8_t>>(300), json_error);
    CHECK_THROWS_AS((void)convert_argument<std::optional<std::uint8_t>>(std::optional<int>(300)), json_error);
    using small = std::pair<std::uint8_t, std::string>;
    CHECK(convert_argument<small>(std::pair(1, "a")) == small(std::uint8_t{1}, "a"));
    CHECK_THROWS_AS((void)convert_argument<small>(std::pair(300, "a")), json_error);
    CHECK_THROWS_AS((void)(convert_argument<std::tuple<bool, unsigned>>(std::tuple(true, -1))), json_error);
}

TEST_CASE("text converts from what text is made of") {
    CHECK(convert_argument<std::string>("abc") == "abc");
    std::string moved = "a long string that is not kept in place";
    CHECK(convert_argument<std::string>(std::move(moved)) == "a long string that is not kept in place");
}

TEST_CASE("the error names the value and the reason") {
    try {
        (void)convert_argument<std::uint8_t>(300);
        FAIL("accepted");
    } catch (error const& e) {
        CHECK(e.code() == errc::bad_arguments);
        CHECK(std::string(e.what()).find("300") != std::string::npos);
        CHECK(std::string(e.what()).find("range") != std::string::npos);
    }
}
