// Reads that clients have made at a replica: at once if its state is recent enough, else with a read point of their own.
#include <openreplica/runtime/guest_reads.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace guest_reads_test {

using namespace openreplica;
using namespace std::chrono_literals;

/// A state that shows its slot, and nothing else.
struct slot_state final : runtime::state_machine {
    std::atomic<std::uint64_t> at{10};
    std::atomic<int> queries{0};
    call_outcome none;

    std::optional<runtime::applied_command> apply(slot, log_time, envelope const&) override { return std::nullopt; }
    call_outcome const& stop_reason() const override { return none; }
    runtime::frozen_state freeze() const override { return {}; }
    bool restore(std::string_view) override { return false; }
    std::uint64_t digest() const override { return 0; }
    std::optional<log_time> next_deadline() const override { return std::nullopt; }
    call_outcome check(envelope const&) const override { return {}; }
    std::string needed_type(envelope const&) const override { return {}; }
    std::vector<type_print> catalogue() const override { return {}; }
    call_outcome query(runtime::state_query const& q) const override {
        ++const_cast<slot_state*>(this)->queries;
        return {errc{}, {}, std::string(q.body), slot{at}};
    }
};

struct bench {
    slot_state state;
    std::atomic<std::int64_t> clock{3'600'000'000};
    std::mutex mutex;
    std::condition_variable woken;
    int wakes = 0;
    std::vector<runtime::pending_read> asked;
    std::vector<runtime::guest_reads::answer> answers;
    runtime::guest_reads reads{state,
                               {.ask = [this](auto&& r) { std::move(r.begin(), r.end(), std::back_inserter(asked)); },
                                .wake =
                                    [this] {
                                        std::lock_guard const lock(mutex);
                                        ++wakes;
                                        woken.notify_all();
                                    },
                                .now = [this] { return instant(duration(clock)); }}};
    std::uint64_t numbers = 0;

    ~bench() { reads.stop(); }
    void pass(duration d) { clock += d.count(); }
    std::uint64_t add(bool local, std::uint64_t floor = 0, std::uint64_t bound_us = 0, std::uint64_t timeout_us = 10'000'000,
                      bool may_run = true) {
        net::client_query q;
        q.number = ++numbers;
        q.local = local;
        q.floor = slot{floor};
        q.max_staleness_us = bound_us;
        q.timeout_us = timeout_us;
        q.body = shared_bytes(std::string("b"));
        reads.add(net::guest_id{1}, std::move(q), may_run);
        return numbers;
    }
    /// Flushes until there is an answer, or something was asked for.
    void settle() {
        auto const end = std::chrono::steady_clock::now() + 10s;
        auto const had = asked.size();
        int seen = 0;
        for (;;) {
            reads.flush();
            auto more = reads.take_answers();
            std::move(more.begin(), more.end(), std::back_inserter(answers));
            if (!answers.empty() || asked.size() > had || std::chrono::steady_clock::now() > end) return;
            std::unique_lock lock(mutex);
            woken.wait_until(lock, end, [&] { return wakes > seen; });
            seen = wakes;
        }
    }
    /// All read points that were asked for are reached at a slot.
    void reach(std::uint64_t index) {
        for (auto& r : std::exchange(asked, {})) {
            call_outcome o;
            o.at = slot{index};
            r.done(std::move(o));
        }
        reads.run_ready();
        settle();
    }
    net::client_answer only() {
        REQUIRE(answers.size() == 1);
        auto a = std::move(answers[0].what);
        answers.clear();
        return a;
    }
};

TEST_CASE("a local read runs at once, on whatever the replica has") {
    bench b;
    auto const number = b.add(true);
    b.settle();
    CHECK(b.asked.empty());
    auto const a = b.only();
    CHECK(a.number == number);
    CHECK(a.outcome.result == "b");
    CHECK(a.outcome.at == slot{10});
    CHECK(a.staleness_us == ~std::uint64_t{0}); // Nobody has told how old it is.
}

TEST_CASE("a linearizable read runs once its point is reached") {
    bench b;
    (void)b.add(false);
    b.settle();
    REQUIRE(b.asked.size() == 1);
    CHECK(b.state.queries == 0);
    b.pass(5ms);
    b.reach(10);
    auto const a = b.only();
    CHECK(a.outcome.ok());
    CHECK(a.staleness_us == 5000); // Of the moment at which the point was asked for.
}

TEST_CASE("a client that has seen more than the replica waits until the replica has it") {
    bench b;
    (void)b.add(true, 11);
    b.settle();
    REQUIRE(b.asked.size() == 1);
    CHECK(b.answers.empty());
    b.state.at = 12;
    b.reach(12);
    CHECK(b.only().outcome.at == slot{12});
    (void)b.add(true, 12);
    b.settle();
    CHECK(b.only().outcome.at == slot{12});
}

TEST_CASE("a bound on staleness is kept: one confirmed read point serves the reads within it") {
    bench b;
    (void)b.add(true, 0, 100'000);
    b.settle();
    REQUIRE(b.asked.size() == 1); // It is not known how old the state is.
    b.reach(10);
    CHECK(b.only().staleness_us <= 100'000);
    for (int i = 0; i < 9; ++i) {
        b.pass(10ms);
        (void)b.add(true, 0, 100'000);
        b.settle();
        CHECK(b.asked.empty());
        CHECK(b.only().staleness_us == static_cast<std::uint64_t>(i + 1) * 10'000);
    }
    b.pass(10ms);
    (void)b.add(true, 0, 100'000);
    b.settle();
    CHECK(b.only().staleness_us == 100'000); // At the limit,
    b.pass(1us);
    (void)b.add(true, 0, 100'000);
    b.settle();
    REQUIRE(b.asked.size() == 1); // and past it.
    b.pass(30ms);
    b.reach(10);
    CHECK(b.only().staleness_us == 30'000);
}

TEST_CASE("a replica that has no group has nothing to show: its local reads wait for a read point too") {
    bench b;
    (void)b.add(true, 0, 0, 10'000'000, false);
    b.settle();
    CHECK(b.asked.size() == 1);
    CHECK(b.state.queries == 0);
}

TEST_CASE("without a read point the answer says why, and freshness is not renewed") {
    bench b;
    (void)b.add(false);
    b.settle();
    b.asked.at(0).done(failed(errc::not_executed, "no leader"));
    b.asked.clear();
    b.settle();
    CHECK(b.only().outcome.code == errc::not_executed);
    (void)b.add(true, 0, 100'000);
    b.settle();
    CHECK(b.asked.size() == 1);
}

TEST_CASE("a read that nobody waits for any more is not made") {
    bench b;
    (void)b.add(false, 0, 0, 1000);
    b.settle();
    b.pass(2ms);
    b.reach(10);
    CHECK(b.only().outcome.code == errc::not_executed);
    CHECK(b.state.queries == 0);
}

TEST_CASE("reads that arrive together ask for their points together") {
    bench b;
    for (int i = 0; i < 5; ++i) (void)b.add(false);
    b.settle();
    CHECK(b.asked.size() == 5);
    b.reach(10);
    CHECK(b.answers.size() == 5);
}

} // namespace guest_reads_test
