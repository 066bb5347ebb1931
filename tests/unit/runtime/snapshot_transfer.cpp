// A snapshot reaches its receiver whole, or not at all.
#include <openreplica/runtime/snapshot_transfer.hpp>

#include <doctest/doctest.h>

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

    explicit pair(paxos::snapshot s) { sender.keep(runtime::with_checksum(std::move(s)), now); }
    [[nodiscard]] paxos::snapshot_request begin() {
        auto const m = receiver.begin(now, 1s);
        REQUIRE(m.size() == 1);
        return m.front();
    }
    [[nodiscard]] paxos::snapshot_chunk serve(paxos::snapshot_request const& m) {
        auto c = sender.serve(m, now);
        REQUIRE(c);
        return *c;
    }
    [[nodiscard]] std::vector<paxos::snapshot_request> take(paxos::snapshot_chunk const& c) { return receiver.take(c, now); }
    /// Asks, answers, and so on, until the receiver asks for nothing more.
    [[nodiscard]] std::optional<paxos::snapshot> finish(std::vector<paxos::snapshot_request> const& asked) {
        std::deque<paxos::snapshot_request> open(asked.begin(), asked.end());
        for (; !open.empty(); ++chunks) {
            auto const m = open.front();
            open.pop_front();
            auto const more = take(serve(m));
            open.insert(open.end(), more.begin(), more.end());
        }
        return whole();
    }
    [[nodiscard]] std::optional<paxos::snapshot> whole() {
        auto parts = receiver.complete();
        if (!parts) return std::nullopt;
        return std::move(*parts).join().what;
    }
};

TEST_CASE("a snapshot travels in as many chunks as it needs, and arrives as it was") {
    for (auto const& [size, count] : {std::pair<std::size_t, int>{1, 1}, {chunk, 1}, {chunk + 1, 2}, {3 * chunk, 3}}) {
        CAPTURE(size);
        auto const whole = snapshot_at(5, long_text(size));
        pair p(whole);
        auto const arrived = p.finish({p.begin()});
        REQUIRE(arrived);
        CHECK(*arrived == whole);
        CHECK(p.chunks == count);
    }
}

TEST_CASE("an empty snapshot is one chunk and arrives") {
    auto const whole = snapshot_at(5, "");
    pair p(whole);
    auto const arrived = p.finish({p.begin()});
    REQUIRE(arrived);
    CHECK(*arrived == whole);
    CHECK(p.chunks == 1);
}

TEST_CASE("who has no snapshot answers nothing, who asked for none takes nothing") {
    snapshot_transfer none;
    CHECK_FALSE(none.serve({}, start));
    CHECK(none.newest() == nullptr);
    CHECK_FALSE(none.complete());
    pair p(snapshot_at(5, "state"));
    CHECK(p.take(p.serve({})).empty());
    CHECK_FALSE(p.receiver.complete());
}

TEST_CASE("a chunk says all that its receiver must know") {
    pair p(snapshot_at(5, long_text(chunk + 7)));
    auto const c = p.serve({slot{5}, chunk});
    CHECK(c.at == slot{5});
    CHECK(c.behind == ballot{5, 1, node_id{0, 9}});
    CHECK(c.stamp == log_time{50});
    CHECK(c.governing.number == epoch{2});
    CHECK(c.offset == chunk);
    CHECK(c.total == chunk + 7);
    CHECK(c.data.size() == 7);
    CHECK(c.checksum == crc32c(p.sender.newest()->state.view()));
    // A request beyond the end gets an empty chunk, not somebody else's memory.
    CHECK(p.serve({slot{5}, ~std::uint64_t{0}}).data.empty());
}

TEST_CASE("the first chunk tells the size of one, and then a few are asked for ahead") {
    pair p(snapshot_at(5, long_text(9 * chunk)));
    auto const ahead = p.take(p.serve(p.begin()));
    REQUIRE(ahead.size() == snapshot_transfer::chunks_ahead);
    for (std::size_t i = 0; i < ahead.size(); ++i) CHECK(ahead[i] == paxos::snapshot_request{slot{5}, (i + 1) * chunk});
    auto const next = p.take(p.serve(ahead[0]));
    REQUIRE(next.size() == 1);
    CHECK(next[0].offset == 5 * chunk);
}

TEST_CASE("chunks that overtake one another are put in their places") {
    auto const whole = snapshot_at(5, long_text(4 * chunk));
    pair p(whole);
    auto const ahead = p.take(p.serve(p.begin()));
    REQUIRE(ahead.size() == 3);
    CHECK(p.take(p.serve(ahead[2])).empty());
    CHECK(p.take(p.serve(ahead[1])).empty());
    CHECK(p.take(p.serve(ahead[0])).empty());
    auto const arrived = p.whole();
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("R35: a lost chunk is asked for again after a while, and only then, from where the transfer stood") {
    auto const whole = snapshot_at(5, long_text(3 * chunk));
    pair p(whole);
    auto const ahead = p.take(p.serve(p.begin()));
    REQUIRE(ahead.size() == 2);
    // The answers are lost.
    p.now += 1s - 1us;
    CHECK(p.receiver.begin(p.now, 1s).empty());
    p.now += 1us;
    auto const again = p.begin();
    CHECK(again == ahead[0]);
    CHECK(p.receiver.begin(p.now, 1s).empty());
    auto const arrived = p.finish({again});
    REQUIRE(arrived);
    CHECK(*arrived == whole);
    CHECK(p.chunks == 2);
}

TEST_CASE("R35: chunks that come twice, late or from the wrong place change nothing") {
    auto const whole = snapshot_at(5, long_text(2 * chunk + 1));
    pair p(whole);
    auto const first = p.serve(p.begin());
    auto const ahead = p.take(first);
    CHECK(p.take(first).empty());
    auto too_long = p.serve(ahead[0]);
    too_long.data = shared_bytes(std::string(chunk + 2, 'x'));
    CHECK(p.take(too_long).empty());
    CHECK_FALSE(p.receiver.complete());
    auto const arrived = p.finish(ahead);
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("a snapshot with a damaged chunk is forgotten and fetched again from its beginning") {
    auto const whole = snapshot_at(5, long_text(2 * chunk));
    pair p(whole);
    auto damaged = p.serve(p.begin());
    std::string bytes(damaged.data.view());
    bytes[17] ^= 1;
    damaged.data = shared_bytes(bytes);
    CHECK_FALSE(p.finish(p.take(damaged)));
    auto const again = p.begin(); // At once: there is no transfer under way any more.
    CHECK(again == paxos::snapshot_request{});
    auto const arrived = p.finish({again});
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("R32: a snapshot that is being fetched stays until it is fetched, however many newer ones are taken") {
    auto const whole = snapshot_at(5, long_text(9 * chunk, 'a'));
    pair p(whole);
    auto asked = p.take(p.serve(p.begin()));
    for (std::uint64_t at = 6; at < 30; ++at) {
        p.now += 100ms;
        p.sender.keep(runtime::with_checksum(snapshot_at(at, long_text(2 * chunk, 'b'))), p.now);
        CHECK(p.sender.newest()->at == slot{at});
        CHECK(p.sender.oldest_fetched(p.now) == slot{5});
    }
    auto const arrived = p.finish(asked);
    REQUIRE(arrived);
    CHECK(*arrived == whole);
    CHECK(p.chunks == 8);
}

TEST_CASE("a snapshot that nobody asks for any more goes, and its fetcher starts over with the newest") {
    pair p(snapshot_at(5, long_text(3 * chunk, 'a')));
    auto const ahead = p.take(p.serve(p.begin()));
    auto const newer = snapshot_at(9, long_text(2 * chunk + 3, 'b'));
    p.now += snapshot_transfer::abandoned_after;
    p.sender.keep(runtime::with_checksum(newer), p.now);
    CHECK_FALSE(p.sender.oldest_fetched(p.now));
    CHECK(p.take(p.serve(ahead[0])).empty()); // Not mixed into what is here; only a stalled transfer changes its snapshot.
    auto const arrived = p.finish({p.begin()});
    REQUIRE(arrived);
    CHECK(*arrived == newer);
}

TEST_CASE("a chunk of another snapshot than the one under way is not taken, be it older or newer") {
    auto const whole = snapshot_at(7, long_text(2 * chunk, 'b'));
    pair p(whole), older(snapshot_at(5, long_text(2 * chunk, 'a'))), newer(snapshot_at(9, long_text(2 * chunk, 'c')));
    auto const ahead = p.take(p.serve(p.begin()));
    for (pair* other : {&older, &newer}) {
        CHECK(p.take(other->serve({})).empty());
        CHECK(p.take(other->serve({other->sender.newest()->at, chunk})).empty());
    }
    auto const arrived = p.finish(ahead);
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("another peer with the same snapshot goes on where the first one stopped") {
    auto const whole = snapshot_at(5, long_text(2 * chunk));
    pair p(whole), other(whole);
    auto const ahead = p.take(p.serve(p.begin()));
    REQUIRE(ahead.size() == 1);
    CHECK(p.take(other.serve(ahead[0])).empty());
    auto const arrived = p.whole();
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

TEST_CASE("a size that no snapshot has is refused before anything is kept for it") {
    pair p(snapshot_at(5, "state"));
    auto absurd = p.serve(p.begin());
    absurd.total = (std::uint64_t{1} << 36) + 1;
    CHECK(p.take(absurd).empty());
    CHECK_FALSE(p.receiver.complete());
}

TEST_CASE("when the peer with the newer snapshot is gone, an older one of another peer is taken instead") {
    auto const whole = snapshot_at(5, long_text(2 * chunk, 'a'));
    pair p(snapshot_at(9, long_text(2 * chunk, 'b'))), other(whole);
    REQUIRE(p.take(p.serve(p.begin())).size() == 1);
    p.now += 1s;
    auto const again = p.begin(); // Goes to the other peer, which has no snapshot of slot 9.
    auto const ahead = p.take(other.serve(again));
    REQUIRE(ahead.size() == 1);
    CHECK(ahead[0].at == slot{5});
    CHECK(p.take(other.serve(ahead[0])).empty());
    auto const arrived = p.whole();
    REQUIRE(arrived);
    CHECK(*arrived == whole);
}

} // namespace snapshot_transfer_test
