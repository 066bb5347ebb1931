// Clients of a whole group in trouble: no acknowledged call is lost, none is executed twice, and every end is honest.
#include "client_cluster.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

namespace client_cluster_test {

struct tally {
    std::size_t acknowledged = 0, unknown = 0, without_effect = 0;
};

void call_again(cluster& c) {
    if (c.healed) return;
    for (auto& client : c.clients)
        if (c.w.chance(60)) client->append();
    c.w.after(c.w.between(10ms, 120ms), [&c] { call_again(c); });
}

bool is_level(cluster const& c) {
    auto const first = c.members[0]->engine.status();
    return std::ranges::all_of(c.members, [&](auto const& m) {
        auto const s = m->engine.status();
        return s.applied == first.applied && s.chosen == first.applied && s.digest == first.digest;
    });
}

/// Each call against the list that all members hold in the end.
tally check_outcomes(cluster& c) {
    auto const list = c.members[0]->space.find<ledger>("ledger")->read([](ledger const& l) { return l.all(); });
    std::map<std::string, std::vector<std::size_t>> places;
    for (std::size_t i = 0; i < list.size(); ++i) places[list[i]].push_back(i + 1);
    tally t;
    for (auto& client : c.clients)
        for (call_record const& r : client->made) {
            CAPTURE(r.id);
            REQUIRE(r.outcome.has_value());
            auto const& at = places[r.id];
            CAPTURE(static_cast<int>(r.outcome->code));
            CHECK(at.size() <= 1);
            if (r.outcome->ok()) {
                ++t.acknowledged;
                REQUIRE(at.size() == 1);
                CHECK(r.outcome->result == std::to_string(at[0]));
            } else if (r.outcome->code == errc::outcome_unknown) {
                ++t.unknown;
            } else {
                ++t.without_effect;
                CHECK(at.empty());
            }
        }
    return t;
}

tally play(std::uint64_t seed) {
    CAPTURE(seed);
    cluster c(seed, 3, 3);
    c.w.run_until(c.w.now + 3s);
    call_again(c);
    c.trouble();
    c.w.run_until(c.w.now + 20s);
    c.healed = true;
    c.w.run_until(c.w.now + 6s);
    // In health a call of each client is executed, and what was begun before has ended.
    std::vector<std::size_t> last;
    for (auto& client : c.clients) {
        client->append();
        last.push_back(client->made.size() - 1);
    }
    c.w.run_until(c.w.now + 8s);
    for (std::size_t i = 0; i < c.clients.size(); ++i) {
        auto const& r = c.clients[i]->made[last[i]];
        REQUIRE(r.outcome.has_value());
        bool const short_lived = r.outcome->code == errc::not_executed || r.outcome->code == errc::outcome_unknown;
        CHECK((r.outcome->ok() || short_lived));
    }
    // Sessions are kept alive all the time; between two of these everybody holds the same.
    for (instant const end = c.w.now + 10s; !is_level(c) && c.w.now < end;) c.w.run_until(c.w.now + 7ms);
    REQUIRE(is_level(c));
    return check_outcomes(c);
}

TEST_CASE("calls of clients are executed once, whatever breaks on the way, and what is said of them is true") {
    tally all;
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
        tally const t = play(seed);
        all.acknowledged += t.acknowledged;
        all.unknown += t.unknown;
        all.without_effect += t.without_effect;
    }
    CAPTURE(all.unknown);
    CAPTURE(all.without_effect);
    CHECK(all.acknowledged > 5000);
    // Trouble there was.
    CHECK(all.unknown + all.without_effect > 40);
    // But who is served is told the truth nearly always.
    CHECK(all.unknown < all.acknowledged / 10);
    MESSAGE(all.acknowledged, " acknowledged, ", all.unknown, " unknown, ", all.without_effect, " without effect");
}

} // namespace client_cluster_test
