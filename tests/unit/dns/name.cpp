#include <openreplica/dns/name.hpp>

#include <doctest/doctest.h>

using openreplica::dns::name;

TEST_CASE("a domain name reads with or without the final dot and prints without it") {
    CHECK(name::parse("www.Example.org")->to_string() == "www.Example.org");
    CHECK(name::parse("www.example.org.")->to_string() == "www.example.org");
    CHECK(name::parse("www.example.org")->wire() == std::string("\3www\7example\3org\0", 17));
    CHECK(name::parse(".")->is_root());
    CHECK(name{}.to_string() == ".");
}

TEST_CASE("text that is no domain name is refused") {
    for (auto const* text : {"", "..", ".a", "a..b", "a.b..", "\\", "a\\", "a\\1", "a\\12", "a\\256", "a\\1x2"})
        CHECK_MESSAGE(!name::parse(text), text);
}

TEST_CASE("a label has at most 63 bytes and a name at most 255") {
    std::string const label63(63, 'a');
    CHECK(name::parse(label63));
    CHECK(!name::parse(label63 + "a"));
    std::string const three = label63 + "." + label63 + "." + label63 + ".";
    auto const longest = name::parse(three + std::string(61, 'b'));
    REQUIRE(longest);
    CHECK(longest->wire().size() == 255);
    CHECK(!name::parse(three + std::string(62, 'b')));
    CHECK(!longest->child("c"));
    CHECK(!name::parse("example.org")->child(""));
    CHECK(!name::parse("example.org")->child(label63 + "a"));
    CHECK(name::parse("example.org")->child(label63));
}

TEST_CASE("names compare without regard to the case of ASCII letters, identical() with it") {
    auto const lower = *name::parse("bank.example.org");
    auto const upper = *name::parse("BANK.example.ORG");
    CHECK(lower == upper);
    CHECK((lower <=> upper) == 0);
    CHECK(lower.key() == upper.key());
    CHECK(!lower.identical(upper));
    CHECK(lower != *name::parse("bank.example.com"));
    CHECK(*name::parse("a@b") != *name::parse("a`b")); // 0x40 and 0x60 differ by the case bit, but are no letters
}

TEST_CASE("unusual bytes are escaped in text and come back from it") {
    auto const odd = *name{}.child(std::string("a.b\\\0\n\x7f\xff", 8));
    CHECK(odd.to_string() == "a\\.b\\\\\\000\\010\\127\\255");
    CHECK(name::parse(odd.to_string())->identical(odd));
}

TEST_CASE("parents, labels and containment follow the dots") {
    auto const n = *name::parse("_openreplica._tcp.Bank.example.org");
    CHECK(n.first_label() == "_openreplica");
    CHECK(n.label_count() == 5);
    CHECK(n.parent().parent() == *name::parse("bank.example.org"));
    CHECK(n.is_within(*name::parse("example.ORG")));
    CHECK(n.is_within(n));
    CHECK(n.is_within(name{}));
    CHECK(!n.is_within(*name::parse("ample.org")));
    CHECK(!name::parse("example.org")->is_within(n));
    CHECK(name{}.parent().is_root());
    CHECK(name{}.label_count() == 0);
    CHECK(name{}.first_label().empty());
}

TEST_CASE("random case changes letters only and every letter gets its own coin") {
    auto const n = *name::parse("a1-z.example.org");
    CHECK(n.with_random_case([] { return true; }).to_string() == "A1-Z.EXAMPLE.ORG");
    CHECK(n.with_random_case([] { return false; }).to_string() == "a1-z.example.org");
    bool upper = false;
    CHECK(n.with_random_case([&] { return upper = !upper; }).to_string() == "A1-z.ExAmPlE.oRg");
}
