// A snapshot reaches its receiver whole, or not at all.
#include <openreplica/runtime/snapshot_transfer.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>

namespace snapshot_transfer_test {

using namespace openreplica;
using namespace std::chrono_literals;
using runtime::snapshot_transfer;

constexpr instant start{1h};
constexpr std::size_t chunk = snapshot_transfer::chunk_bytes;

paxos::snapshot snapshot_at(std::uint64_t at, std::string text) {
    return {slot{at}, ballot{at, 1, node_id{0, 9}}, log_time{at * 10}, {epoch{2}, {}}, shared_bytes(std::move(text))};
}

/// A text in which no chunk is like another.
std::string long_text(std::size_t size, char seed = 'a') {
    std::string text(size, seed);
    for (std::size_t i = 0; i < size; i += 100) text[i] = static_cast<char>('A' + (i / 100) % 23);
    return text;
}

/// One that has a snapshot and one that needs it.
struct pair {
    snapshot_transfer sender, receiver;
    instant now = start;
    int chunks = 0;

    explicit pair(paxos::snapshot s) { sender.keep(std::move(s)); }
    [[nodiscard]] paxos::snapshot_request begin() {
        auto const m = receiver.begin(now, 1s);
        REQUIRE(m);
        return *m;
    }
    /// Asks, answers, and so on, until the receiver asks for nothing more.
    [[nodiscard]] std::optional<paxos::snapshot> finish(std::optional<paxos::snapshot_request> m) {
        for (; m; ++chunks) m = receiver.take(*sender.serve(*m), now);
        return receiver.complete();
    }
};

TEST_CASE("a snapshot travels in as many chunks as it needs, and arrives as it was") {
    for (auto const& [size, count] : {std::pair<std::size_t, int>{1, 1}, {chunk, 1}, {chunk + 1, 2}, {3 * chunk, 3}}) {
        CAPTURE(size);
        auto const whole = snapshot_at(5, long_text(size));
        pair p(whole);
        auto const arrived = p.finish(p.begin());
        REQUIRE(arrived);
        CHECK(*arrived == whole);
        CHECK(p.chunks == count);
    }
}

TEST_CASE("an empty snapshot is one chunk and arrives") {
    auto const whole = snapshot_at(5, "");
    pair p(whole);
    auto const arrived = p.finish(p.begin());
    REQUIRE(arrived);
    CHECK(*arrived == whole);
    CHECK(p.chunks == 1);
}

TEST_CASE("who has no snapshot answers nothing, who asked for none takes nothing") {
    snapshot_transfer none;
    CHECK_FALSE(none.serve({}));
    CHECK_FALSE(none.newest());
    CHECK_FALSE(none.complete());
    pair p(snapshot_at(5, "state"));
    CHECK_FALSE(p.receiver.take(*p.sender.serve({}), p.now));
    CHECK_FALSE(p.receiver.complete());
}

TEST_CASE("a chunk says all that its receiver must know") {
    pair p(snapshot_at(5, long_text(chunk + 7)));
    auto const c = p.sender.serve({slot{5}, chunk});
    REQUIRE(c);
    CHECK(c->at == slot{5});
    CHECK(c->behind == ballot{5, 1, node_id{0, 9}});
    CHECK(c->stamp == log_time{50});
    CHECK(c->governing.number == epoch{2});
    CHECK(c->offset == chunk);
    CHECK(c->total == chunk + 7);
    CHECK(c->data.size() == 7);
    CHECK(c->checksum == crc32c(p.sender.newest()->state.view()));
    // A request beyond the end gets an empty chunk, not somebody else's memory.
    CHECK(p.sender.serve({slot{5}, ~std::uint64_t{0}})->data.empty());
}

TEST_CASE("a lost chunk is asked for again after a while, and only then, from where the transfer stood") {
    auto const whole = snapshot_at(5, long_text(3 * chunk));
    pair p(whole);
    auto const second = p.receiver.take(*p.sender.serve(p.begin()), p.now);
    REQUIRE(second);
    CHECK(second->offset == chunk);
    // Its answer is lost.
    p.now += 1s - 1us;
    CHECK_FALSE(p.receiver.begin(p.now, 1s));
    p.now += 1us;
    auto const again = p.begin();
    CHECK(again == *second);
    CHECK_FALSE(p.receiver.begin(p.now, 1s));
    auto const arrived = p.finish(again);
    REQUIRE(arrived);
    CHECK(*arrived == whole);
    CHECK(p.chunks == 2);
}

TEST_CASE("chunks that come twice, late or from the wrong place change nothing") {
    auto const whole = snapshot_at(5, long_text(2 * chunk + 1));
    pair p(whole);
    auto const first = *p.sender.serve(p.begin());
    auto const second = p.receiver.take(first, p.now);
    REQUIRE(second);
    CHECK_FALSE(p.receiver.take(first, p.now));
    CHECK_FALSE(p.receiver.take(*p.sender.serve({slot{5}, 2 * chunk}), p.now));
    auto too_long = *p.sender.serve(*second);
    too_long.data = shared_bytes(std::string(chunk + 2, 'x'));
    CHECK_FALSE(p.receiver.take(too_long, p.now));
    CHECK_FALSE(p.receiver.complete());
    auto const arrived = p.finish(second);
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("a snapshot with a damaged chunk is forgotten and fetched again from its beginning") {
    auto const whole = snapshot_at(5, long_text(2 * chunk));
    pair p(whole);
    auto damaged = *p.sender.serve(p.begin());
    std::string bytes(damaged.data.view());
    bytes[17] ^= 1;
    damaged.data = shared_bytes(bytes);
    CHECK_FALSE(p.finish(p.receiver.take(damaged, p.now)));
    auto const again = p.begin(); // At once: there is no transfer under way any more.
    CHECK(again == paxos::snapshot_request{});
    auto const arrived = p.finish(again);
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("a newer snapshot starts over, and what was fetched of the older one is not mixed into it") {
    pair p(snapshot_at(5, long_text(3 * chunk, 'a')));
    auto const second = p.receiver.take(*p.sender.serve(p.begin()), p.now);
    auto const newer = snapshot_at(9, long_text(2 * chunk + 3, 'b'));
    p.sender.keep(newer);
    CHECK(p.sender.newest()->at == slot{9});
    auto const arrived = p.finish(second);
    REQUIRE(arrived);
    CHECK(*arrived == newer);
    CHECK(p.chunks == 3);
}

TEST_CASE("a chunk of an older snapshot than the one under way is not taken") {
    auto const newer = snapshot_at(9, long_text(2 * chunk, 'b'));
    pair p(newer), older(snapshot_at(5, long_text(2 * chunk, 'a')));
    auto const second = p.receiver.take(*p.sender.serve(p.begin()), p.now);
    CHECK_FALSE(p.receiver.take(*older.sender.serve({}), p.now));
    CHECK_FALSE(p.receiver.take(*older.sender.serve({slot{5}, chunk}), p.now));
    auto const arrived = p.finish(second);
    REQUIRE(arrived);
    CHECK(*arrived == newer);
}

TEST_CASE("another peer with the same snapshot goes on where the first one stopped") {
    auto const whole = snapshot_at(5, long_text(2 * chunk));
    pair p(whole), other(whole);
    auto const second = p.receiver.take(*p.sender.serve(p.begin()), p.now);
    REQUIRE(second);
    CHECK_FALSE(p.receiver.take(*other.sender.serve(*second), p.now));
    auto const arrived = p.receiver.complete();
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("a size that no snapshot has is refused before anything is kept for it") {
    pair p(snapshot_at(5, "state"));
    auto absurd = *p.sender.serve(p.begin());
    absurd.total = (std::uint64_t{1} << 36) + 1;
    CHECK_FALSE(p.receiver.take(absurd, p.now));
    CHECK_FALSE(p.receiver.complete());
}

TEST_CASE("when the peer with the newer snapshot is gone, an older one of another peer is taken instead") {
    auto const whole = snapshot_at(5, long_text(2 * chunk, 'a'));
    pair p(snapshot_at(9, long_text(2 * chunk, 'b'))), other(whole);
    REQUIRE(p.receiver.take(*p.sender.serve(p.begin()), p.now));
    p.now += 1s;
    auto const again = p.begin(); // Goes to the other peer, which has no snapshot of slot 9.
    auto const second = p.receiver.take(*other.sender.serve(again), p.now);
    REQUIRE(second);
    CHECK(second->at == slot{5});
    CHECK_FALSE(p.receiver.take(*other.sender.serve(*second), p.now));
    auto const arrived = p.receiver.complete();
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

} // namespace snapshot_transfer_test
