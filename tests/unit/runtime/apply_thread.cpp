#include <openreplica/runtime/apply_thread.hpp>

#include <openreplica/object/object_space.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace apply_thread_test {

using namespace openreplica;

struct fixture {
    object::object_space space;
    runtime::calls calls{16};
    runtime::apply_thread apply{space, calls, [] { return instant{}; }, [] {}};

    /// Runs `f` where completions run.
    void post(std::function<void()> f) {
        runtime::apply_batch work;
        work.finished.push_back({[f = std::move(f)](call_outcome&&) { f(); }, call_outcome{}});
        apply.post(std::move(work));
    }
};

} // namespace apply_thread_test

TEST_CASE("without a caller that waits, the thread does the work, in order") {
    apply_thread_test::fixture f;
    std::vector<int> order;
    std::promise<bool> done;
    for (int i = 0; i < 100; ++i) f.post([&, i] { order.push_back(i); });
    f.post([&] { done.set_value(f.apply.is_this_thread()); });
    CHECK(done.get_future().get());
    for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
    CHECK_FALSE(f.apply.is_this_thread());
}

TEST_CASE("a caller that waits works itself, and leaves as soon as its own call has ended") {
    apply_thread_test::fixture f;
    openreplica::runtime::waiter waiter;
    std::atomic<bool> waiting = false;
    std::thread::id worker;
    std::promise<std::thread::id> caller_is;
    std::thread caller([&] {
        caller_is.set_value(std::this_thread::get_id());
        waiting = true;
        (void)f.apply.wait(waiter, openreplica::instant::max());
    });
    auto const caller_id = caller_is.get_future().get();
    // Work is offered until the caller has come to wait; then it is the caller who does it.
    while (worker != caller_id) {
        std::promise<void> ran;
        f.post([&] {
            worker = std::this_thread::get_id();
            ran.set_value();
        });
        ran.get_future().wait();
    }
    f.post([&] { waiter.finish(); });
    caller.join();
    std::promise<std::thread::id> later;
    f.post([&] { later.set_value(std::this_thread::get_id()); });
    CHECK(later.get_future().get() != caller_id);
}

TEST_CASE("many callers wait, each leaves with its own outcome, and no work is left behind") {
    apply_thread_test::fixture f;
    constexpr int callers = 8, rounds = 300;
    std::atomic<int> ended = 0, working = 0;
    std::atomic<bool> overlapped = false;
    std::vector<std::thread> threads;
    for (int t = 0; t < callers; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < rounds; ++i) {
                openreplica::runtime::waiter waiter;
                f.post([&] {
                    if (++working != 1) overlapped = true;
                    --working;
                    ++ended;
                    waiter.finish();
                });
                (void)f.apply.wait(waiter, openreplica::instant::max());
            }
        });
    for (auto& t : threads) t.join();
    CHECK(ended == callers * rounds);
    CHECK_FALSE(overlapped);
}

TEST_CASE("stopping finishes what is queued, also while callers wait for it") {
    auto f = std::make_unique<apply_thread_test::fixture>();
    openreplica::runtime::waiter waiter;
    std::thread caller([&] { (void)f->apply.wait(waiter, openreplica::instant::max()); });
    int ran = 0;
    for (int i = 0; i < 50; ++i) f->post([&] { ++ran; });
    f->post([&] { waiter.finish(); });
    f->apply.stop();
    caller.join();
    CHECK(ran == 50);
}
