// Reads without log entries: batches at each replica, confirmations at the leader.
#include <openreplica/paxos/reads.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>

namespace paxos_script::reads_test {

inline instant const start{1h};
inline duration const patience = 100ms;

inline std::string confirmed(read_confirmations& reads, std::uint64_t number) {
    std::string all;
    for (auto const& w : reads.take_confirmed(number))
        all += lines(text(w.from) + " " + std::to_string(w.number) + " at " + text(w.index));
    return all;
}

TEST_CASE("nothing is asked while nobody reads") {
    read_batches reads(0);
    CHECK(reads.idle());
    CHECK(reads.due(start, patience) == std::nullopt);
    CHECK(reads.idle());
}

TEST_CASE("reads that arrive together share a number, and one question serves them all") {
    read_batches reads(0);
    auto const first = reads.add();
    CHECK(reads.add() == first);
    CHECK(reads.due(start, patience) == first);
    CHECK(reads.on_answer(first));
    CHECK(reads.idle());
}

TEST_CASE("a read that arrives after the question left is not served by its answer") {
    read_batches reads(0);
    auto const first = reads.add();
    (void)reads.due(start, patience);
    auto const second = reads.add();
    CHECK(second > first);
    CHECK(reads.due(start, patience) == std::nullopt);
    CHECK(reads.on_answer(first));
    CHECK_FALSE(reads.idle());
    CHECK(reads.due(start, patience) == second);
}

TEST_CASE("a question without an answer is asked again with its number, after the patience") {
    read_batches reads(0);
    auto const first = reads.add();
    (void)reads.due(start, patience);
    CHECK(reads.due(start + 99ms, patience) == std::nullopt);
    CHECK(reads.due(start + 100ms, patience) == first);
    CHECK(reads.due(start + 199ms, patience) == std::nullopt);
}

TEST_CASE("a new leader is asked at once") {
    read_batches reads(0);
    auto const first = reads.add();
    (void)reads.due(start, patience);
    reads.ask_again();
    CHECK(reads.due(start + 1ms, patience) == first);
}

TEST_CASE("an answer counts once, and one of another batch not at all") {
    read_batches reads(0);
    auto const first = reads.add();
    (void)reads.due(start, patience);
    (void)reads.add();
    CHECK_FALSE(reads.on_answer(first + 1));
    CHECK_FALSE(reads.on_answer(first - 1));
    CHECK(reads.on_answer(first));
    CHECK_FALSE(reads.on_answer(first));
}

TEST_CASE("rule 6: an answer to an earlier life of this node answers nothing") {
    read_batches before(0x1111'1111'1111'1111), after(0x2222'2222'2222'2222);
    auto const old = before.add();
    auto const mine = after.add();
    (void)after.due(start, patience);
    CHECK(old != mine);
    CHECK_FALSE(after.on_answer(old));
    CHECK(after.on_answer(mine));
}

TEST_CASE("numbers stay in range for every incarnation, and zero is never one") {
    for (std::uint64_t const incarnation : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        read_batches reads(incarnation);
        auto const first = reads.add();
        CHECK(first != 0);
        (void)reads.due(start, patience);
        CHECK(reads.add() > first);
    }
}

TEST_CASE("rule 6: only replies to heartbeats that left after the request arrived count") {
    read_confirmations reads;
    reads.round_sent(7);
    reads.add(b, 1, slot{3});
    CHECK(reads.needs_round());
    CHECK(confirmed(reads, 7) == "");
    CHECK(confirmed(reads, 99) == "");
    reads.round_sent(8);
    CHECK_FALSE(reads.needs_round());
    CHECK(confirmed(reads, 7) == "");
    CHECK(confirmed(reads, 8) == lines("b 1 at 3"));
    CHECK(reads.empty());
}

TEST_CASE("rule 6: a later round confirms what an earlier one was sent for") {
    read_confirmations reads;
    reads.add(b, 1, slot{3});
    reads.round_sent(8);
    CHECK(confirmed(reads, 12) == lines("b 1 at 3"));
}

TEST_CASE("a later round does not postpone what an earlier one confirms") {
    read_confirmations reads;
    reads.add(b, 1, slot{3});
    reads.round_sent(8);
    reads.round_sent(9);
    CHECK(confirmed(reads, 8) == lines("b 1 at 3"));
}

TEST_CASE("rule 6: each request waits for its own round, at the index of its arrival") {
    read_confirmations reads;
    reads.add(b, 1, slot{3});
    reads.round_sent(8);
    reads.add(c, 5, slot{4});
    CHECK(confirmed(reads, 8) == lines("b 1 at 3"));
    CHECK(confirmed(reads, 8) == "");
    CHECK(reads.needs_round());
    reads.round_sent(9);
    CHECK(confirmed(reads, 9) == lines("c 5 at 4"));
}

TEST_CASE("requests that arrive while a round is out gather for the next one") {
    read_confirmations reads;
    reads.add(b, 1, slot{3});
    reads.round_sent(8);
    reads.add(c, 5, slot{4});
    CHECK_FALSE(reads.needs_round());
    reads.round_sent(9);
    CHECK(confirmed(reads, 9) == lines("b 1 at 3", "c 5 at 4"));
}

} // namespace paxos_script::reads_test
