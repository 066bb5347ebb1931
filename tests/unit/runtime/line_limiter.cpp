#include <openreplica/runtime/line_limiter.hpp>

#include <doctest/doctest.h>

using namespace openreplica;
using namespace std::chrono_literals;

TEST_CASE("the first line passes, its repetitions once a minute, and another reason at once") {
    runtime::line_limiter limiter;
    instant const start{1h};
    int passed = 0;
    for (int s = 0; s < 60; ++s) passed += limiter.lets_through("timeout", start + std::chrono::seconds(s)) ? 1 : 0;
    CHECK(passed == 1);
    CHECK_FALSE(limiter.lets_through("timeout", start + 60s - 1us));
    CHECK(limiter.lets_through("timeout", start + 60s));
    CHECK(limiter.lets_through("refused", start + 61s));
    CHECK_FALSE(limiter.lets_through("refused", start + 62s));
    CHECK(limiter.lets_through("timeout", start + 63s));
}
