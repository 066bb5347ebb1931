// What a method sees of its call.
#include <openreplica/object/context.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <type_traits>

using namespace openreplica;

namespace {

template <class C>
concept has_randomness = requires(C& c) {
    c.random();
};

} // namespace

TEST_CASE("a context tells slot, caller and the log's time") {
    context const c(slot{7}, log_time{1'500'000}, session_id{3});
    CHECK(c.slot() == slot{7});
    CHECK(c.caller() == session_id{3});
    CHECK(c.now().time_since_epoch() == std::chrono::milliseconds(1500));
    CHECK(c.version() == 1);
    CHECK_FALSE(c.resumed());
}

TEST_CASE("fencing tokens increase with the slot and with the step inside it") {
    auto const fence = [](std::uint64_t at, std::uint16_t step) {
        return context(slot{at}, log_time{}, session_id{}, step).fence();
    };
    CHECK(fence(1, 0) == 65536);
    CHECK(fence(1, 1) > fence(1, 0));
    CHECK(fence(2, 0) > fence(1, 65535));
}

TEST_CASE("random numbers are a function of the slot, and the same from every compiler") {
    context a(slot{7}, log_time{}, session_id{});
    context b(slot{7}, log_time{99}, session_id{4});
    context other(slot{8}, log_time{}, session_id{});
    std::set<std::uint64_t> drawn;
    for (int i = 0; i < 100; ++i) {
        auto const v = a.random();
        CHECK(v == b.random());
        drawn.insert(v);
        drawn.insert(other.random());
    }
    CHECK(drawn.size() == 200);
    context golden(slot{1}, log_time{}, session_id{});
    CHECK(golden.random() == 16954702919374417341u);
}

TEST_CASE("the context of a read has no randomness") {
    static_assert(!has_randomness<context const>);
    static_assert(has_randomness<context>);
}

TEST_CASE("a moment of the log's clock is a number of microseconds in JSON") {
    log_clock::time_point const t(std::chrono::seconds(2));
    CHECK(to_json_text(t) == "2000000");
    CHECK(from_json_text<log_clock::time_point>("2000000") == t);
    nlohmann::json const j = t;
    CHECK(j.get<log_clock::time_point>() == t);
    CHECK(codec<log_clock::time_point>::name() == "log_time");
}
