#include <openreplica/runtime/background.hpp>

#include <doctest/doctest.h>

#include <future>
#include <thread>
#include <vector>

using openreplica::runtime::background;

TEST_CASE("work in the background is done one after the other, in order, on a thread of its own") {
    background b;
    std::vector<int> done;
    std::promise<std::thread::id> last;
    for (int i = 0; i < 5; ++i) b.post([&done, i] { done.push_back(i); });
    b.post([&last] { last.set_value(std::this_thread::get_id()); });
    CHECK(last.get_future().get() != std::this_thread::get_id());
    CHECK(done == std::vector{0, 1, 2, 3, 4});
}

TEST_CASE("stopping waits for what is being done, and nothing is done afterwards") {
    background b;
    std::promise<void> begun;
    std::promise<void> may_end;
    bool ended = false, late = false;
    b.post([&] {
        begun.set_value();
        may_end.get_future().wait();
        ended = true;
    });
    begun.get_future().wait();
    std::thread stopper([&b] { b.stop(); });
    may_end.set_value();
    stopper.join();
    CHECK(ended);
    b.post([&late] { late = true; });
    b.stop();
    CHECK_FALSE(late);
}
