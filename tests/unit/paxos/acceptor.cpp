// The durable voter, step by step.
#include <openreplica/paxos/acceptor.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace paxos_script::acceptor_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b}, n3{3, 0, c};
inline epoch const now{1};

/// An acceptor with its log and what it has written.
struct voter {
    log entries{configuration{now, {}}};
    effects fx;
    acceptor self;

    explicit voter(ballot const& promised = {}, std::size_t chunk_bytes = acceptor::promise_chunk_bytes)
        : self(entries, promised, chunk_bytes) {}

    std::string prepared(ballot const& n, slot chosen = {}) {
        self.on_prepare(n.owner, {n, chosen, now}, fx);
        return told(fx);
    }
    std::string asked(ballot const& n, std::uint64_t first, std::vector<value> values, epoch of = now) {
        self.on_accept(n.owner, {n, of, slot{first}, std::move(values), {}}, fx);
        return told(fx);
    }
};

TEST_CASE("R01: a promise is written, and told only after it is durable") {
    voter v;
    CHECK(v.prepared(n1) == lines("write promise 1a", "to a: promise 1a chosen=0 [] after #1"));
    CHECK(v.self.promised() == n1);
}

TEST_CASE("a prepare below the promise is rejected at once and writes nothing") {
    voter v(n2);
    CHECK(v.prepared(n1) == lines("to a: reject 1a promised=2b"));
    CHECK(v.self.promised() == n2);
}

TEST_CASE("a prepare of the promised ballot is its retransmission: answered again, written once") {
    voter v;
    (void)v.prepared(n1);
    CHECK(v.prepared(n1) == lines("to a: promise 1a chosen=0 [] after #1"));
}

TEST_CASE("a ballot is higher by round, then by priority, then by its owner") {
    voter v(ballot{2, 1, b});
    CHECK(v.prepared(ballot{2, 1, a}) == lines("to a: reject 2a promised=2b"));
    CHECK(v.prepared(ballot{2, 0, c}) == lines("to c: reject 2c promised=2b"));
    CHECK(v.prepared(ballot{2, 1, c}) == lines("write promise 2c", "to c: promise 2c chosen=0 [] after #1"));
    CHECK(v.prepared(ballot{2, 2, a}) == lines("write promise 2a", "to a: promise 2a chosen=0 [] after #2"));
}

TEST_CASE("R01: an accept is written before it is acknowledged") {
    voter v(n1);
    CHECK(v.asked(n1, 1, {command("x"), command("y")}) ==
          lines("write 1:x@1a", "write 2:y@1a", "to a: accepted 1a upto=2 after #2"));
}

TEST_CASE("an accept below the promise is rejected at once and changes nothing") {
    voter v(n2);
    CHECK(v.asked(n1, 1, {command("x")}) == lines("to a: reject 1a promised=2b"));
    CHECK(v.entries.last() == slot{0});
}

TEST_CASE("R03: an accept above the promise raises it first") {
    voter v(n1);
    CHECK(v.asked(n2, 1, {command("x")}) ==
          lines("write promise 2b", "write 1:x@2b", "to b: accepted 2b upto=1 after #2"));
    CHECK(v.prepared(n1) == lines("to a: reject 1a promised=2b"));
}

TEST_CASE("an accept that arrives again is acknowledged again, and written once") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x"), command("y")});
    CHECK(v.asked(n1, 1, {command("x")}) == lines("to a: accepted 1a upto=2 after #2"));
    CHECK(v.asked(n1, 2, {command("y"), command("z")}) == lines("write 3:z@1a", "to a: accepted 1a upto=3 after #3"));
}

TEST_CASE("R14, rule 4: an accept behind a hole is not taken, and the acknowledgement says where the hole begins") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x")});
    CHECK(v.asked(n1, 3, {command("z")}) == lines("to a: accepted 1a upto=1 gap after #1"));
    CHECK(v.entries.last() == slot{1});
}

TEST_CASE("rule 4: an entry of an earlier ballot does not fill the hole below an accept") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x")});
    CHECK(v.asked(n2, 2, {command("y")}) == lines("write promise 2b", "to b: accepted 2b upto=0 gap after #2"));
    CHECK(text(v.entries.entry_at(slot{1})) == "1:x@1a");
    CHECK(v.entries.last() == slot{1});
}

TEST_CASE("rule 4: what was chosen since the promise stands below an accept") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x")});
    (void)v.prepared(n2);
    v.entries.choose(slot{1});
    CHECK(v.asked(n2, 2, {command("y")}) == lines("write 2:y@2b", "to b: accepted 2b upto=2 after #3"));
}

TEST_CASE("rule 4: a voter that promised at 100 and installed a snapshot to 5000 accepts 5001 and no later slot") {
    voter v(n1);
    v.entries.install(slot{100}, configuration{now, {}});
    (void)v.prepared(n2);
    v.entries.install(slot{5000}, configuration{now, {}});
    CHECK(v.asked(n2, 5002, {command("z")}) == lines("to b: accepted 2b upto=5000 gap after #1"));
    CHECK(v.asked(n2, 5001, {command("y")}) == lines("write 5001:y@2b", "to b: accepted 2b upto=5001 after #2"));
}

TEST_CASE("rule 4: an accept of another epoch than the one that governs the next slot waits for catch-up") {
    voter v(n1);
    CHECK(v.asked(n1, 1, {command("x")}, epoch{2}) == lines("to a: accepted 1a upto=0 gap"));
    CHECK(v.asked(n1, 1, {command("x")}, epoch{0}) == lines("to a: accepted 1a upto=0 gap"));
    CHECK(v.entries.last() == slot{0});
    CHECK(v.asked(n1, 1, {command("x")}) == lines("write 1:x@1a", "to a: accepted 1a upto=1 after #1"));
}

TEST_CASE("R13, R17: a chosen entry is never overwritten, also not by a higher ballot that covers it") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x"), command("y")});
    v.entries.choose(slot{1});
    CHECK(v.asked(n2, 1, {command("?"), command("z")}) ==
          lines("write promise 2b", "write 2:z@2b", "to b: accepted 2b upto=2 after #4"));
    CHECK(text(v.entries.entry_at(slot{1})) == "1:x@1a");
}

TEST_CASE("a later ballot replaces what was not chosen, and what lies above its accepts is kept for the next promise") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x"), command("y"), command("z")});
    CHECK(v.asked(n2, 1, {command("u")}) ==
          lines("write promise 2b", "write 1:u@2b", "to b: accepted 2b upto=1 after #5"));
    CHECK(v.prepared(n3) == lines("write promise 3c", "to c: promise 3c chosen=0 [1:u@2b 2:y@1a 3:z@1a] after #6"));
}

TEST_CASE("an acknowledgement claims nothing of an earlier ballot") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x"), command("y")});
    (void)v.prepared(n2);
    CHECK(v.self.held() == slot{0});
    CHECK(v.asked(n2, 1, {command("x")}) == lines("write 1:x@2b", "to b: accepted 2b upto=1 after #4"));
}

TEST_CASE("rule 3: a promise reports entries above the acceptor's own chosen index, whatever the candidate knows") {
    voter v(n1);
    (void)v.asked(n1, 1, {command("x"), command("y"), command("z")});
    v.entries.choose(slot{1});
    CHECK(v.prepared(n2, slot{0}) == lines("write promise 2b", "to b: promise 2b chosen=1 [2:y@1a 3:z@1a] after #4"));
    CHECK(v.prepared(n3, slot{9}) == lines("write promise 3c", "to c: promise 3c chosen=1 [2:y@1a 3:z@1a] after #5"));
}

TEST_CASE("rule 3: slots in a snapshot are reported as chosen, never as empty") {
    voter v;
    v.entries.install(slot{7}, configuration{now, {}});
    CHECK(v.prepared(n2) == lines("write promise 2b", "to b: promise 2b chosen=7 [] after #1"));
}

TEST_CASE("rule 3: a promise of many bytes is told in chunks, and only the last one says so") {
    voter v(n1);
    std::string const big(acceptor::promise_chunk_bytes, 'x');
    (void)v.asked(n1, 1, {command("x"), command(big), command("y"), command(big)});
    CHECK(v.prepared(n2) == lines("write promise 2b", "to b: promise 2b chosen=0 [1:x@1a 2:big@1a] more after #5",
                                  "to b: promise 2b chosen=0 [3:y@1a 4:big@1a] chunk=1 after #5"));
}

TEST_CASE("rule 3: a promise goes on behind what has arrived, and one answer has a limited number of chunks") {
    voter v(n1, 40);
    std::vector<value> many(acceptor::promise_chunks + 2, command("a value of some bytes"));
    (void)v.asked(n1, 1, many);
    v.self.on_prepare(b, {n2, {}, now}, v.fx);
    auto const first = v.fx.take();
    REQUIRE(first.messages.size() == acceptor::promise_chunks);
    auto const& end = std::get<promise>(first.messages.back().what);
    CHECK(end.entries.back().at == slot{acceptor::promise_chunks});
    CHECK_FALSE(end.last);
    v.self.on_prepare(b, {n2, {}, now, end.entries.back().at}, v.fx);
    auto const rest = v.fx.take();
    REQUIRE(rest.messages.size() == 2);
    CHECK(std::get<promise>(rest.messages.front().what).entries.front().at == slot{acceptor::promise_chunks + 1});
    CHECK(std::get<promise>(rest.messages.front().what).chunk == 0);
    CHECK(std::get<promise>(rest.messages.back().what).last);
}

TEST_CASE("after a restart an acceptor keeps its promise and claims only what it can prove") {
    voter v(n2);
    v.entries.put(slot{1}, n2, command("x"));
    v.entries.put(slot{2}, n2, command("y"));
    CHECK(v.self.held() == slot{0});
    CHECK(v.prepared(n1) == lines("to a: reject 1a promised=2b"));
    CHECK(v.asked(n2, 1, {command("x"), command("y")}) ==
          lines("write 1:x@2b", "write 2:y@2b", "to b: accepted 2b upto=2 after #2"));
}

TEST_CASE("rule 4: raising the promise to a ballot behind chosen entries is written, lowering it is ignored") {
    voter v(n2);
    v.self.promise_to(n1, v.fx);
    v.self.promise_to(n2, v.fx);
    CHECK(told(v.fx) == "");
    v.self.promise_to(n3, v.fx);
    CHECK(told(v.fx) == lines("write promise 3c"));
    CHECK(v.self.promised() == n3);
}

TEST_CASE("a leader's own accept is written once and names the position that its vote waits for") {
    voter v(n1);
    std::vector<value> const values{command("x"), command("y")};
    CHECK(v.self.accept_own(n1, slot{1}, values, v.fx) == lsn{2});
    CHECK(told(v.fx) == lines("write 1:x@1a", "write 2:y@1a"));
    CHECK(v.self.held() == slot{2});
}

} // namespace paxos_script::acceptor_test
