#include <openreplica/runtime/serial_executor.hpp>

#include <asio/dispatch.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

using openreplica::runtime::serial_executor;

TEST_CASE("work is run one at a time, however many threads bring it or step in") {
    asio::thread_pool pool(3);
    auto const serial = serial_executor::over(pool.get_executor());
    int inside = 0, most = 0, posted = 0, stepped_in = 0; // Plain: only what is serial may touch them.
    auto work = [&](int& counter) {
        most = std::max(most, ++inside);
        ++counter;
        --inside;
    };
    std::vector<std::thread> threads;
    std::atomic<int> accepted = 0;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i) {
                asio::post(serial, [&] { work(posted); });
                if (serial.try_run([&] { work(stepped_in); })) ++accepted;
            }
        });
    for (auto& t : threads) t.join();
    pool.join();
    CHECK(posted == 1500);
    CHECK(stepped_in == accepted);
    CHECK(most == 1);
}

TEST_CASE("what is dispatched from inside runs at once, what is posted runs later, and nobody steps in twice") {
    asio::io_context context;
    auto const serial = serial_executor::over(context.get_executor());
    std::vector<int> order;
    asio::post(serial, [&] {
        CHECK(serial.is_mine());
        asio::post(serial, [&] { order.push_back(3); });
        asio::dispatch(serial, [&] { order.push_back(1); });
        CHECK_FALSE(serial.try_run([&] { order.push_back(99); }));
        order.push_back(2);
    });
    context.run();
    CHECK(order == std::vector<int>{1, 2, 3});
    CHECK_FALSE(serial.is_mine());
}

TEST_CASE("a thread steps in when nobody is inside, and not while somebody is") {
    asio::io_context context;
    auto const serial = serial_executor::over(context.get_executor());
    bool ran = false;
    CHECK(serial.try_run([&] { ran = serial.is_mine(); }));
    CHECK(ran);
    std::promise<void> entered, leave;
    asio::post(serial, [&] {
        entered.set_value();
        leave.get_future().wait();
    });
    std::thread runner([&] { context.run(); });
    entered.get_future().wait();
    CHECK_FALSE(serial.try_run([] {}));
    leave.set_value();
    runner.join();
}

TEST_CASE("sockets and timers take it as their executor") {
    asio::io_context context;
    auto const serial = serial_executor::over(context.get_executor());
    asio::any_io_executor const as_any = serial;
    asio::steady_timer timer(as_any, std::chrono::milliseconds(1));
    bool was_inside = false;
    timer.async_wait([&](asio::error_code) { was_inside = serial.is_mine(); });
    context.run();
    CHECK(was_inside);
}
