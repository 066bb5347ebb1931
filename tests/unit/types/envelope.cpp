#include <openreplica/types/envelope.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace envelope_test {

using namespace openreplica;
using namespace std::string_view_literals;

constexpr std::size_t fixed_size = 42;
constexpr std::uint64_t largest = ~std::uint64_t{0};

bool same(envelope const& a, envelope const& b) {
    return a.kind == b.kind && a.object == b.object && a.session == b.session && a.seq == b.seq &&
           a.acked_below == b.acked_below && a.deadline == b.deadline && a.body == b.body;
}

envelope ordinary() {
    return {command_kind::call, object_id{1}, session_id{2}, sequence{3}, sequence{4}, log_time{5}, R"(["add",1])"};
}

std::vector<envelope> samples() {
    return {envelope{}, ordinary(),
            envelope{command_kind::tick, object_id{largest}, session_id{largest}, sequence{largest}, sequence{largest},
                     log_time{largest}, "\0\xff\n"sv}};
}

TEST_CASE("the layout of an envelope is frozen, because logs keep it") {
    CHECK(encode(ordinary()) == "\1\1"
                                "\1\0\0\0\0\0\0\0"
                                "\2\0\0\0\0\0\0\0"
                                "\3\0\0\0\0\0\0\0"
                                "\4\0\0\0\0\0\0\0"
                                "\5\0\0\0\0\0\0\0"
                                "[\"add\",1]"sv);
    CHECK(encode(envelope{}).size() == fixed_size);
}

TEST_CASE("the numbers of the commands are frozen, because logs keep them") {
    CHECK(static_cast<int>(command_kind::call) == 1);
    CHECK(static_cast<int>(command_kind::create) == 2);
    CHECK(static_cast<int>(command_kind::destroy) == 3);
    CHECK(static_cast<int>(command_kind::reset) == 4);
    CHECK(static_cast<int>(command_kind::open_session) == 5);
    CHECK(static_cast<int>(command_kind::keep_alive) == 6);
    CHECK(static_cast<int>(command_kind::close_session) == 7);
    CHECK(static_cast<int>(command_kind::tick) == 8);
}

TEST_CASE("an envelope comes back as it went, and its body is a view into the bytes") {
    for (envelope const& e : samples()) {
        std::string const bytes = encode(e);
        auto const back = decode_envelope(bytes);
        REQUIRE(back);
        CHECK(same(*back, e));
        CHECK(back->body.data() == bytes.data() + fixed_size);
    }
}

TEST_CASE("an envelope cut inside its fixed part is refused") {
    std::string const whole = encode(ordinary());
    for (std::size_t size = 0; size < fixed_size; ++size) CHECK(!decode_envelope(std::string(whole.data(), size)));
    // From there on every byte belongs to the body, whose end only the frame around it knows.
    for (std::size_t size = fixed_size; size <= whole.size(); ++size) {
        std::string const cut(whole.data(), size);
        auto const e = decode_envelope(cut);
        REQUIRE(e);
        CHECK(e->body == ordinary().body.substr(0, size - fixed_size));
    }
}

TEST_CASE("an envelope of another format is refused") {
    std::string bytes = encode(ordinary());
    for (unsigned format = 0; format < 256; ++format) {
        bytes[0] = static_cast<char>(format);
        CHECK(decode_envelope(bytes).has_value() == (format == 1));
    }
}

TEST_CASE("a command that this version does not know is refused") {
    std::string bytes = encode(ordinary());
    for (unsigned kind = 0; kind < 256; ++kind) {
        bytes[1] = static_cast<char>(kind);
        auto const e = decode_envelope(bytes);
        CHECK(e.has_value() == (kind >= 1 && kind <= 8));
        if (e) CHECK(static_cast<unsigned>(e->kind) == kind);
    }
}

TEST_CASE("an envelope with any one byte changed is refused or means exactly what its bytes say") {
    for (envelope const& sample : samples()) {
        std::string const whole = encode(sample);
        for (std::size_t at = 0; at < whole.size(); ++at)
            for (unsigned v = 0; v < 256; ++v) {
                std::string changed = whole;
                changed[at] = static_cast<char>(v);
                if (auto const e = decode_envelope(changed)) CHECK(encode(*e) == changed);
            }
    }
}

} // namespace envelope_test
