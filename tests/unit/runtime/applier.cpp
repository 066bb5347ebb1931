// What applying reports, and what becomes of reads and snapshots when it stops.
#include <openreplica/runtime/applier.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace applier_test {

using namespace openreplica;

/// A state that does what the test says.
struct scripted final : runtime::state_machine {
    std::optional<runtime::applied_command> next = runtime::applied_command{};
    std::optional<std::string> text;
    call_outcome reason = failed(errc::diverged, "out of memory");
    int snapshots = 0;
    bool has_memory = false;

    std::optional<runtime::applied_command> apply(slot, log_time, envelope const&) override { return next; }
    call_outcome const& stop_reason() const override { return reason; }
    runtime::frozen_state freeze() const override {
        ++const_cast<scripted*>(this)->snapshots;
        return [t = text] { return runtime::written_state{t, t ? "" : "odd"}; };
    }
    bool restore(std::string_view) override { return has_memory ? true : throw std::bad_alloc(); }
    std::uint64_t digest() const override { return 0; }
    std::optional<log_time> next_deadline() const override { return std::nullopt; }
    call_outcome check(envelope const&) const override { return {}; }
    std::string needed_type(envelope const&) const override { return {}; }
    std::vector<type_print> catalogue() const override { return {}; }
    call_outcome query(runtime::state_query const&) const override { return {}; }
};

struct bench {
    scripted state;
    runtime::calls calls{16};
    runtime::applier applier{state, calls};
    std::uint64_t at = 0;

    runtime::apply_report run(runtime::apply_batch&& work) { return applier.run(std::move(work), instant{}); }
    runtime::apply_batch one_command() {
        runtime::apply_batch work;
        paxos::value v;
        v.kind = paxos::value_kind::command;
        v.body = shared_bytes(encode(envelope{}));
        work.entries.push_back({slot{++at}, ballot{1, 0, node_id{0, 1}}, std::move(v)});
        return work;
    }
    static void add_read(runtime::apply_batch& work, slot point, call_outcome& into) {
        call_outcome outcome;
        outcome.at = point;
        work.finished.push_back({[&into](call_outcome&& o) { into = std::move(o); }, std::move(outcome)});
    }
};

TEST_CASE("a read in the batch whose entry stops this replica fails with the reason, and so does one after it") {
    bench b;
    call_outcome before, with, after;
    auto work = b.one_command();
    bench::add_read(work, slot{1}, before);
    CHECK(b.run(std::move(work)).problem.empty());
    CHECK(before.ok());
    b.state.next.reset();
    work = b.one_command();
    bench::add_read(work, slot{2}, with);
    CHECK(b.run(std::move(work)).problem == "out of memory");
    CHECK(with.code == errc::diverged);
    CHECK(with.text.find("out of memory") != std::string::npos);
    runtime::apply_batch later;
    bench::add_read(later, slot{1}, after);
    (void)b.run(std::move(later));
    CHECK(after.code == errc::diverged);
}

TEST_CASE("a session that the group refused to open is not reported as opened") {
    bench b;
    b.state.next = runtime::applied_command{session_id{1}, {}, 77, true, failed(errc::overloaded, "full")};
    CHECK(b.run(b.one_command()).opened.empty());
    b.state.next->outcome = {};
    CHECK(b.run(b.one_command()).opened.size() == 1);
}

TEST_CASE("R28: a snapshot is handed on frozen, to be written elsewhere; an obstacle shows when it is written") {
    bench b;
    runtime::apply_batch work;
    work.take_snapshot = true;
    auto report = b.run(std::move(work));
    CHECK(report.snapshot_tried);
    REQUIRE(report.snapshot);
    CHECK(report.snapshot->state().obstacle == "odd");
    b.state.text = "[]";
    work = b.one_command();
    work.take_snapshot = true;
    report = b.run(std::move(work));
    REQUIRE(report.snapshot);
    CHECK(report.snapshot->head.at == slot{1});
    CHECK(report.snapshot->state().text == "[]");
    CHECK_FALSE(b.run({}).snapshot_tried);
}

TEST_CASE("R29: a snapshot names the highest ballot behind what it holds, one that it was restored from included") {
    bench b;
    b.state.text = "[]";
    b.state.has_memory = true;
    auto const behind = [&b](std::uint64_t round) {
        auto work = b.one_command();
        work.entries[0].accepted.round = round;
        work.take_snapshot = true;
        auto const report = b.run(std::move(work));
        REQUIRE(report.snapshot);
        return report.snapshot->head.behind.round;
    };
    CHECK(behind(3) == 3);
    CHECK(behind(2) == 3); // Learned from a peer that accepted it earlier.
    runtime::apply_batch work;
    work.install = runtime::snapshot_parts{
        {slot{9}, ballot{7, 0, node_id{0, 1}}, {}, {}, {}}, {shared_bytes(std::string("[]"))}, 0};
    REQUIRE(b.run(std::move(work)).installed);
    b.at = 9;
    CHECK(behind(6) == 7);
    CHECK(behind(8) == 8);
}

TEST_CASE("R37: a replica that stopped within a slot takes no snapshot") {
    bench b;
    b.state.text = "[]";
    b.state.next.reset();
    auto work = b.one_command();
    work.take_snapshot = true;
    auto const report = b.run(std::move(work));
    CHECK(report.snapshot_tried);
    CHECK_FALSE(report.snapshot);
    CHECK(b.state.snapshots == 0);
}

TEST_CASE("memory that runs out while a snapshot is taken up is a problem of this replica, and not its end") {
    bench b;
    runtime::apply_batch work;
    work.install = runtime::snapshot_parts{{slot{9}, {}, {}, {}, {}}, {shared_bytes(std::string("[]"))}, 0};
    auto const report = b.run(std::move(work));
    CHECK(report.install_ended);
    CHECK_FALSE(report.installed);
    CHECK(report.problem.find("out of memory") == 0);
}

/// Keeps what it is told.
struct witness final : runtime::apply_observer {
    std::vector<std::pair<slot, errc>> seen;
    int batches = 0;
    bool wants_the_strand = false;

    void on_command(slot at, log_time, runtime::applied_command const& did) override {
        seen.emplace_back(at, did.outcome.code);
    }
    bool on_batch_end() override { return ++batches, wants_the_strand; }
};

TEST_CASE("an observer sees what every command gave, before anybody takes it away, and may call the strand") {
    bench b;
    witness w;
    runtime::applier watched(b.state, b.calls, &w);
    b.state.next->outcome = failed(errc::method_threw, "no");
    auto report = watched.run(b.one_command(), instant{});
    REQUIRE(w.seen.size() == 1);
    CHECK(w.seen[0] == std::pair{slot{1}, errc::method_threw});
    CHECK(!report.calls_can_go);
    w.wants_the_strand = true;
    report = watched.run({}, instant{});
    CHECK(w.batches == 2);
    CHECK(report.calls_can_go);
}

} // namespace applier_test
