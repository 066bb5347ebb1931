// Canonical spelling of scalars, UTF-8 and base64.
#include <openreplica/types/json_text.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <string_view>

using namespace openreplica;

namespace {

template <class F>
std::string number(F v) {
    std::string out;
    write_json_number(out, v);
    return out;
}
std::string quoted(std::string_view v) {
    std::string out;
    write_json_string(out, v);
    return out;
}
std::string base64(std::string_view v) {
    std::string out;
    write_base64(out, v);
    return out;
}

} // namespace

TEST_CASE("a floating-point number is written by the shortest text that reads back") {
    CHECK(number(0.1) == "0.1");
    CHECK(number(0.1 + 0.2) == "0.30000000000000004");
    CHECK(number(0.1f) == "0.1");
    CHECK(number(5.0) == "5.0");
    CHECK(number(-0.0) == "-0.0");
    CHECK(number(1e300) == "1e+300");
    CHECK(number(5e-324) == "5e-324");
    CHECK_THROWS_AS(number(std::numeric_limits<double>::quiet_NaN()), json_error);
    CHECK_THROWS_AS(number(std::numeric_limits<double>::infinity()), json_error);
    CHECK_THROWS_AS(number(-std::numeric_limits<float>::infinity()), json_error);
}

TEST_CASE("a string is escaped where it must be and nowhere else") {
    CHECK(quoted("plain / text") == "\"plain / text\"");
    CHECK(quoted("\"\\\b\f\n\r\t") == R"("\"\\\b\f\n\r\t")");
    CHECK(quoted(std::string_view("\0\x1f\x7f", 3)) == "\"\\u0000\\u001f\x7f\"");
    CHECK(quoted("\xC3\xA9") == "\"\xC3\xA9\"");
    CHECK_THROWS_AS(quoted("\xC3"), json_error);
    CHECK_THROWS_AS(quoted("\xED\xA0\x80"), json_error);
}

TEST_CASE("base64 follows the test vectors of RFC 4648 and refuses other spellings") {
    std::pair<std::string_view, std::string_view> const vectors[] = {{"", ""},
                                                                     {"f", "Zg=="},
                                                                     {"fo", "Zm8="},
                                                                     {"foo", "Zm9v"},
                                                                     {"foob", "Zm9vYg=="},
                                                                     {"fooba", "Zm9vYmE="},
                                                                     {"foobar", "Zm9vYmFy"}};
    for (auto const& [plain, text] : vectors) {
        CHECK(base64(plain) == text);
        CHECK(read_base64(text) == plain);
    }
    for (auto text : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm_v", "=g==", "Z=g="})
        CHECK_THROWS_AS((void)read_base64(text), json_error);
    std::string all;
    for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
    CHECK(read_base64(base64(all)) == all);
}

TEST_CASE("printable text is UTF-8 and bounded whatever goes in") {
    CHECK(printable("a\xC3\xA9") == "a\xC3\xA9");
    CHECK(printable("a\xC3") == "a?");
    CHECK(printable("\xFF\xFE") == "??");
    CHECK(printable("abc\xC3\xA9", 4) == "abc"); // A character is not cut in two.
}
