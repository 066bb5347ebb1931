// The pull reader against hostile and unusual text.
#include <openreplica/types/json_reader.hpp>

#include <doctest/doctest.h>

#include <ostream>
#include <string>
#include <string_view>

using namespace openreplica;

namespace {

bool accepts_any(std::string_view text) {
    try {
        json_reader r(text);
        r.skip_value();
        r.expect_end();
        return true;
    } catch (json_error const&) {
        return false;
    }
}

bool is_canonical_text(std::string_view text) {
    json_reader r(text);
    r.skip_value();
    r.expect_end();
    return r.canonical();
}

} // namespace

TEST_CASE("the reader accepts RFC 8259 texts") {
    for (auto text : {"null",
                      "true",
                      "false",
                      "0",
                      "-1",
                      "1.5",
                      "1e3",
                      "\"\"",
                      "\"a\\u00e9\\n\"",
                      "[]",
                      "{}",
                      "[1,[2,{\"a\":[]}]]",
                      " [ 1 , 2 ] ",
                      "{\"a\":1,\"b\":{\"a\":2}}",
                      "\"\\ud83d\\ude00\"",
                      "\"\\u0000\"",
                      "-0",
                      "1E+2",
                      "9007199254740993",
                      "18446744073709551615",
                      "-9223372036854775808",
                      "\"\xF0\x9F\x98\x80\""})
        CHECK_MESSAGE(accepts_any(text), text);
}

TEST_CASE("the reader refuses texts that are no JSON") {
    for (auto text :
         {"",          " ",        "nul",        "nulll",       "tru",       "True",   "01",       "-",
          "+1",        "1.",       ".5",         "1e",          "1e+",       "0x10",   "1 2",      "[",
          "]",         "[1",       "[1,",        "[1,]",        "[,1]",      "[1 2]",  "{",        "{\"a\"",
          "{\"a\":",   "{\"a\":1", "{\"a\":1,}", "{a:1}",       "{\"a\" 1}", "{1:2}",  "\"",       "\"a",
          "\"\\",      "\"\\x\"",  "\"\\u12\"",  "\"\\u12g4\"", "\"\n\"",    "\"\t\"", "NaN",      "Infinity",
          "-Infinity", "[1]]",     "[1]x",       "'a'",         "/*c*/1",    "[1}",    "{\"a\":1]"})
        CHECK_MESSAGE(!accepts_any(text), text);
}

TEST_CASE("the reader refuses what the format forbids beyond the grammar") {
    CHECK_FALSE(accepts_any("\xEF\xBB\xBF[]"));          // byte order mark
    CHECK_FALSE(accepts_any("{\"a\":1,\"a\":2}"));       // duplicate key
    CHECK_FALSE(accepts_any("{\"a\":1,\"\\u0061\":2}")); // the same key in another spelling
    CHECK_FALSE(accepts_any("\"\\ud800\""));             // lone surrogates
    CHECK_FALSE(accepts_any("\"\\udc00\""));
    CHECK_FALSE(accepts_any("\"\\ud800\\u0041\""));
    CHECK_FALSE(accepts_any("\"\\ud800x\""));
    CHECK_FALSE(accepts_any("\"\xC0\xAF\"")); // overlong
    CHECK_FALSE(accepts_any("\"\xE0\x80\xAF\""));
    CHECK_FALSE(accepts_any("\"\xF0\x80\x80\xAF\""));
    CHECK_FALSE(accepts_any("\"\xED\xA0\x80\""));     // a surrogate in UTF-8
    CHECK_FALSE(accepts_any("\"\xF4\x90\x80\x80\"")); // above U+10FFFF
    CHECK_FALSE(accepts_any("\"\x80\""));
    CHECK_FALSE(accepts_any("\"\xC3\""));
    CHECK_FALSE(accepts_any("1e400"));
    CHECK_FALSE(accepts_any("18446744073709551616"));
    CHECK_FALSE(accepts_any("-9223372036854775809"));
}

TEST_CASE("nesting and members are limited at exactly their limits, without recursion") {
    auto const nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
    CHECK(accepts_any(nested(64)));
    CHECK_FALSE(accepts_any(nested(65)));
    CHECK_FALSE(accepts_any(std::string(100'000, '[')));
    CHECK_FALSE(accepts_any(std::string(1'000'000, '{')));

    auto const members = [](int n) {
        std::string text = "{";
        for (int i = 0; i < n; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
        return text + "}";
    };
    CHECK(accepts_any(members(1024)));
    CHECK_FALSE(accepts_any(members(1025)));
}

TEST_CASE("the reader tells canonical spelling from other spelling") {
    for (auto text :
         {"[1,-2,0]", "\"a\\n\\\"\\\\\\u0001/\xC3\xA9\"", "1.5", "1.0", "-0.0", "1e+300", "[]", "{\"a\":[true,null]}"})
        CHECK_MESSAGE(is_canonical_text(text), text);
    for (auto text : {" 1", "1 ", "[1, 2]", "\"\\/\"", "\"\\u0041\"", "\"\\u000a\"", "\"\\u001F\"", "1.50", "1e2", "-0",
                      "1E+300", "{ }", "\"\\u00e9\"", "0.10", "100.0e0"})
        CHECK_FALSE_MESSAGE(is_canonical_text(text), text);
}

TEST_CASE("every text cut short is refused and never read past its end") {
    std::string const whole = R"(["a\u00e9\ud83d\ude00",{"k":[1.5e3,true,null]},-12])";
    REQUIRE(accepts_any(whole));
    for (std::size_t n = 0; n < whole.size(); ++n) {
        std::string const cut(whole.data(), n); // Its own buffer, so that a sanitizer sees an overrun.
        CHECK_FALSE(accepts_any(cut));
    }
}

TEST_CASE("any single changed byte is accepted or refused, never worse") {
    std::string const whole = R"(["a\u00e9\ud83d\ude00",{"k":[1.5e3,true,null]},-12])";
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < whole.size(); ++i)
        for (int b = 0; b < 256; ++b) {
            std::string text = whole;
            text[i] = static_cast<char>(b);
            accepted += accepts_any(text);
        }
    CHECK(accepted > whole.size()); // At least every unchanged one, and changed digits and letters.
}

TEST_CASE("errors say where and what") {
    try {
        json_reader r("[1,x]");
        r.skip_value();
        FAIL("accepted");
    } catch (json_error const& e) {
        CHECK(e.sentence() == "JSON at byte 3: a value is expected here");
        CHECK(e.code() == errc::bad_arguments);
    }
}

TEST_CASE("four mebibytes of digits are refused in linear time") {
    CHECK_FALSE(accepts_any(std::string(4u << 20, '9')));
    CHECK(accepts_any("0." + std::string(4u << 20, '9')));
}
