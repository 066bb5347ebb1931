// Other voters and another leader on somebody's wish, by scripts with one engine.
#include <openreplica/runtime/engine_voters.hpp>

#include "lone_node.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace engine_voters_test {

using namespace engine_test;
using paxos::voter_change;

inline paxos::member const second{node_id{0, 2}, {"second", 2}}, third{node_id{0, 3}, {"third", 3}};

/// How a wish ends.
struct ending {
    std::optional<call_outcome> outcome;

    runtime::gateway::completion done() {
        return [this](call_outcome&& o) { outcome = std::move(o); };
    }
    [[nodiscard]] std::string text() const {
        if (!outcome) return "open";
        return outcome->ok() ? "done" : std::to_string(static_cast<int>(outcome->code)) + ": " + outcome->text;
    }
};
inline std::string refused(errc code, std::string const& why) { return std::to_string(static_cast<int>(code)) + ": " + why; }

/// A node that can make wishes, and notes what it tells its surroundings.
struct wishful : lone_node {
    std::vector<runtime::acquaintance> known;
    std::vector<std::string> lines, replacements;
    std::size_t meetings = 0;
    std::uint64_t tickets = 0;

    using lone_node::lone_node;

    std::vector<runtime::acquaintance> acquaintances() const override { return known; }
    void log(log_level, std::string const& line) override { lines.push_back(line); }
    void meet(std::vector<paxos::member> const&) override { ++meetings; }
    void replacement_needed(std::vector<std::string> const& silent, std::vector<std::string> const&) override {
        replacements = silent;
    }
    runtime::call_ticket wishes(ending& end, runtime::engine::change_wish what, duration within = 5s) {
        runtime::call_ticket const ticket{++tickets};
        engine.wish(ticket, std::move(what), clock + within, end.done());
        engine.flush();
        return ticket;
    }
    [[nodiscard]] bool says(std::string const& part) const {
        return std::any_of(lines.begin(), lines.end(), [&](auto const& l) { return l.find(part) != std::string::npos; });
    }
};

/// It leads a group of one. Whoever is in `answering` gets all that it sends, and answers.
struct group_of_one : wishful {
    std::vector<paxos::member> answering;
    std::uint32_t silent_bits = 0; ///< whom those that answer have not heard

    explicit group_of_one(runtime::engine_options options = {}) : wishful(false, {}, std::move(options)) {
        pass(3s);
        REQUIRE(engine.is_ready());
    }
    void joins(paxos::member const& m) {
        known.push_back({m});
        answering.push_back(m);
        engine.on_peer_up(m.id);
        turns(300ms);
    }
    void turns(duration time) {
        for (instant const end = clock + time; clock < end;) {
            pass(10ms);
            auto const heard = std::exchange(sent, {});
            for (paxos::member const& m : answering)
                for (paxos::message const& what : heard) answer(m, what);
            engine.flush();
        }
    }
    void answer(paxos::member const& by, paxos::message const& what) {
        auto const& core = *engine.core();
        if (auto const* h = std::get_if<paxos::heartbeat>(&what)) {
            paxos::heartbeat_reply reply{};
            reply.number = h->number;
            reply.promised = core.promised();
            reply.held = core.entries().last();
            reply.current = core.governing().number;
            reply.silent = silent_bits;
            engine.on_message(by.id, reply);
        } else if (auto const* p = std::get_if<paxos::prepare>(&what)) {
            engine.on_message(by.id, paxos::promise{p->number, p->chosen, p->current, 0, true, {}});
        } else if (auto const* a = std::get_if<paxos::accept>(&what)) {
            engine.on_message(by.id, paxos::accepted{a->number, slot{a->first.value + a->values.size() - 1}});
        }
    }
    [[nodiscard]] std::string voters() const {
        std::string all;
        for (auto const& m : engine.status().governing.voters) all += (all.empty() ? "" : " ") + to_string(m.address);
        return all;
    }
    [[nodiscard]] std::uint32_t epoch_number() const { return engine.status().governing.number.value; }
};

// ---- wishes that are carried out

TEST_CASE("a standby gets a vote when it has met the others, promised and accepted, and whoever wished it sees it then") {
    group_of_one l;
    l.joins(second);
    ending end;
    l.wishes(end, voter_change{.add = {"second:2"}});
    CHECK(end.text() == "open");
    l.answering.clear();
    l.turns(1s);
    CHECK(end.text() == "open"); // Neither its promise nor its vote is there.
    CHECK(l.epoch_number() == 1);
    l.answering = {second};
    l.turns(1s);
    CHECK(end.text() == "done");
    CHECK(l.voters() == "here:1 second:2");
}

TEST_CASE("a voter loses its vote by its id or address, and what is so already is done at once") {
    group_of_one l;
    l.joins(second);
    ending add, again, remove;
    l.wishes(add, voter_change{.add = {to_string(second.id)}});
    l.turns(1s);
    REQUIRE(add.text() == "done");
    l.wishes(again, voter_change{.add = {"second:2"}});
    l.turns(50ms);
    CHECK(again.text() == "done");
    CHECK(l.epoch_number() == 2);
    l.wishes(remove, voter_change{.remove = {"second:2"}});
    l.turns(1s);
    CHECK(remove.text() == "done");
    CHECK(l.voters() == "here:1");
}

TEST_CASE("the same request twice is one, and every copy that comes later is answered as it is now") {
    group_of_one l;
    l.joins(second);
    paxos::change_request const wish{77, {.add = {"second:2"}}};
    l.engine.on_message(second.id, wish);
    l.engine.on_message(second.id, wish);
    l.turns(50ms);
    l.engine.on_message(second.id, wish);
    l.turns(1s);
    CHECK(l.voters() == "here:1 second:2");
    CHECK(l.epoch_number() == 2);
    l.sent.clear();
    l.engine.on_message(second.id, wish); // The reply was lost.
    l.engine.flush();
    l.pass(10ms);
    auto const replies = l.sent_of<paxos::change_reply>();
    REQUIRE(replies.size() == 1);
    CHECK(replies[0].number == 77);
    CHECK(replies[0].code == 0);
    CHECK(replies[0].current == epoch{2});
    CHECK(l.epoch_number() == 2);
}

TEST_CASE("R44: of two changes at one time the second is refused while the first is under way, and changes nothing") {
    group_of_one l;
    l.joins(second);
    l.joins(third);
    ending one, two;
    l.wishes(one, voter_change{.add = {"second:2"}});
    // Everything is answered but the stop-sign.
    for (int i = 0; i < 100 && !l.engine.core()->is_changing(); ++i) {
        l.pass(10ms);
        for (paxos::message const& m : std::exchange(l.sent, {}))
            for (auto const& by : l.answering)
                if (!std::holds_alternative<paxos::accept>(m)) l.answer(by, m);
        l.engine.flush();
    }
    REQUIRE(l.engine.core()->is_changing());
    l.answering.clear();
    l.wishes(two, voter_change{.add = {"third:3"}});
    l.turns(200ms);
    CHECK(two.text() == refused(errc::change_refused, "another change of the voters is under way; try again when it is done"));
    CHECK(one.text() == "open");
    CHECK(l.epoch_number() == 1);
}

TEST_CASE("a leader asks the voter that it is told to, or the fittest, and the wish ends when somebody else leads") {
    group_of_one l;
    l.joins(second);
    ending add, give;
    l.wishes(add, voter_change{.add = {"second:2"}});
    l.turns(1s);
    REQUIRE(add.text() == "done");
    l.sent.clear();
    l.wishes(give, std::string());
    l.pass(10ms);
    CHECK(l.sent_of<paxos::hand_over>().size() == 1);
    ballot const theirs{l.engine.core()->promised().round + 1, 0, second.id};
    auto const chosen = l.engine.core()->entries().chosen();
    l.engine.on_message(second.id, paxos::prepare{theirs, chosen, epoch{2}});
    l.engine.on_message(second.id, paxos::heartbeat{1, theirs, chosen});
    l.engine.flush();
    l.pass(50ms);
    CHECK(give.text() == "done");
}

// ---- wishes that are refused

TEST_CASE("what cannot be is refused with the sentence that says why") {
    group_of_one l;
    l.joins(second);
    auto const end_of = [&](runtime::engine::change_wish what) {
        ending end;
        l.wishes(end, std::move(what), 30s);
        l.turns(3s);
        return end.text();
    };
    CHECK(end_of(voter_change{.add = {"nobody:9"}}) ==
          refused(errc::change_refused, "no node called nobody:9 is connected to the leader; check that it runs, and its seeds"));
    CHECK(end_of(voter_change{.remove = {"nobody:9"}}) ==
          refused(errc::change_refused, "nobody:9 is no voter, and no node that the leader knows"));
    CHECK(end_of(voter_change{.remove = {"here:1"}}) ==
          refused(errc::change_refused, "this would leave 0 voters, fewer than min_voters = 1"));
    CHECK(end_of(std::string("second:2")) == refused(errc::change_refused, "second:2 is no voter"));
    CHECK(end_of(std::string()) == refused(errc::change_refused, "no other voter could take over"));
    CHECK(l.epoch_number() == 1);
}

TEST_CASE("no wish leaves fewer voters than min_voters, and one that leaves as many is carried out") {
    group_of_one l({.min_voters = 2});
    l.joins(second);
    l.joins(third);
    ending grow, shrink, swap;
    l.wishes(grow, voter_change{.add = {"second:2"}});
    l.turns(1s);
    REQUIRE(grow.text() == "done");
    l.wishes(shrink, voter_change{.remove = {"second:2"}});
    l.turns(100ms);
    CHECK(shrink.text() == "open"); // A node that has just joined might be meant.
    l.turns(3s);
    CHECK(shrink.text() == refused(errc::change_refused, "this would leave 1 voters, fewer than min_voters = 2"));
    l.wishes(swap, voter_change{.add = {"third:3"}, .remove = {"second:2"}});
    l.turns(1s);
    CHECK(swap.text() == "done");
    CHECK(l.voters() == "here:1 third:3");
}

TEST_CASE("R25: whoever has had a vote under its id gets none under it again") {
    group_of_one l;
    l.joins(second);
    ending add, remove, again;
    l.wishes(add, voter_change{.add = {"second:2"}});
    l.turns(1s);
    l.wishes(remove, voter_change{.remove = {"second:2"}});
    l.turns(1s);
    REQUIRE(remove.text() == "done");
    l.wishes(again, voter_change{.add = {"second:2"}});
    l.turns(1s);
    CHECK(again.text() == refused(errc::change_refused, "second:2 has had a vote under this id, and lost it: it comes back "
                                                        "under another id"));
}

// ---- wishes that end without an answer

TEST_CASE("a wish that reached nobody ends at its deadline, when it is cancelled, or when the node stops: nothing was done") {
    wishful l(false, voter_of_three());
    ending late, cancelled, stopped;
    l.wishes(late, voter_change{.add = {"second:2"}}, 1s);
    auto const ticket = l.wishes(cancelled, voter_change{.add = {"second:2"}}, 1h);
    l.wishes(stopped, std::string(), 1h);
    l.pass(500ms);
    CHECK(late.text() == "open");
    l.pass(700ms);
    CHECK(late.text() == refused(errc::not_executed, "the change was not seen to be done before its deadline"));
    CHECK(cancelled.text() == "open");
    l.engine.cancel_wish(ticket);
    l.engine.flush();
    CHECK(cancelled.text() == refused(errc::cancelled, "the change was cancelled"));
    CHECK(stopped.text() == "open");
    l.engine.stop();
    CHECK(stopped.text() == refused(errc::stopped, "the node was stopped"));
}

TEST_CASE("a wish that its deadline finds waiting for somebody says for whom") {
    group_of_one l;
    l.joins(second);
    l.answering.clear();
    l.turns(1s);
    ending end;
    l.wishes(end, voter_change{.add = {"second:2"}}, 1s);
    l.turns(2s);
    CHECK(end.text() == refused(errc::not_executed, "the change was not seen to be done before its deadline: second:2 does "
                                                    "not answer the leader"));
}

/// A voter of three that follows `second`.
struct follower : wishful {
    ballot const leads{1, 0, second.id};

    follower() : wishful(false, voter_of_three()) {
        engine.on_peer_up(second.id);
        engine.on_peer_up(third.id);
        receive(paxos::heartbeat{1, leads, slot{}});
    }
    /// The request that it sent for its last wish.
    [[nodiscard]] std::uint64_t asked() {
        auto const requests = sent_of<paxos::change_request>();
        REQUIRE_FALSE(requests.empty());
        return requests.back().number;
    }
};

TEST_CASE("a wish goes to the leader again and again under one number, and only the reply of that number ends it") {
    follower l;
    ending end;
    l.sent.clear();
    l.wishes(end, voter_change{.add = {"fourth:4"}}, 30s);
    auto const number = l.asked();
    l.sent.clear();
    for (int i = 0; i < 15; ++i) {
        l.engine.on_message(second.id, paxos::heartbeat{2, l.leads, slot{}});
        l.pass(100ms);
    }
    CHECK(l.asked() == number);
    l.receive(paxos::change_reply{number + 1, static_cast<std::uint8_t>(errc::change_refused), "another's", epoch{1}});
    l.receive(paxos::change_reply{number + 1, 0, {}, epoch{1}});
    CHECK(end.text() == "open");
    l.receive(paxos::change_reply{number, static_cast<std::uint8_t>(errc::change_refused), "no", epoch{1}});
    CHECK(end.text() == refused(errc::change_refused, "no"));
    l.receive(paxos::change_reply{number, 0, {}, epoch{1}}); // Nobody waits any more.
    CHECK(end.text() == refused(errc::change_refused, "no"));
}

TEST_CASE("a wish is done for whoever made it when this node sees the voters too, or at its deadline") {
    follower l;
    ending end;
    l.sent.clear();
    l.wishes(end, voter_change{.add = {"fourth:4"}}, 2s);
    l.receive(paxos::change_reply{l.asked(), 0, {}, epoch{2}});
    l.pass(1s);
    CHECK(end.text() == "open");
    l.pass(2s);
    CHECK(end.text() == "done");
}

TEST_CASE("what was sent and not answered may be carried out yet: its end is unknown") {
    follower l;
    ending late, cancelled, stopped;
    l.sent.clear();
    l.wishes(late, voter_change{.add = {"fourth:4"}}, 200ms);
    l.pass(300ms);
    CHECK(late.text() == refused(errc::outcome_unknown, "the change was not seen to be done before its deadline"));
    auto const ticket = l.wishes(cancelled, voter_change{.add = {"fourth:4"}});
    l.engine.cancel_wish(ticket);
    l.engine.flush();
    CHECK(cancelled.text() == refused(errc::outcome_unknown, "the change was cancelled"));
    l.wishes(stopped, voter_change{.add = {"fourth:4"}});
    l.engine.stop();
    CHECK(stopped.text() == refused(errc::outcome_unknown, "the node was stopped"));
}

TEST_CASE("a refusal by a second leader does not say what the first one did") {
    follower l;
    ending end;
    l.sent.clear();
    l.wishes(end, voter_change{.add = {"fourth:4"}}, 30s);
    auto const number = l.asked();
    ballot const next{2, 0, third.id};
    l.sent.clear();
    l.engine.on_message(third.id, paxos::prepare{next, slot{}, epoch{1}});
    l.engine.on_message(third.id, paxos::heartbeat{1, next, slot{}});
    l.engine.flush();
    l.pass(20ms);
    CHECK(l.asked() == number);
    l.engine.on_message(third.id, paxos::change_reply{number, static_cast<std::uint8_t>(errc::change_refused), "no", epoch{1}});
    l.engine.flush();
    CHECK(end.text() == refused(errc::outcome_unknown, "no"));
}

// ---- what a leader does by itself

TEST_CASE("a group grows to its target by an order like a person's, which is said aloud") {
    group_of_one l({.healing = {.voters = 3, .replace_after = 2s}});
    l.joins(second);
    l.turns(1s);
    CHECK(l.epoch_number() == 1); // Of two voters none may be missing: it grows in odd steps.
    l.joins(third);
    l.turns(2s);
    CHECK(l.voters() == "here:1 second:2 third:3");
    CHECK(l.epoch_number() == 2);
    CHECK_FALSE(l.engine.status().last_change.empty());
    CHECK(l.says(l.engine.status().last_change));
}

TEST_CASE("a voter that is silent to all is replaced by a standby, and without a standby the application is asked for one") {
    group_of_one l({.healing = {.voters = 3, .replace_after = 2s}});
    l.joins(second);
    l.joins(third);
    l.turns(2s);
    REQUIRE(l.epoch_number() == 2);
    l.answering = {second};
    l.silent_bits = 0b100;
    l.turns(1s);
    CHECK(l.replacements.empty());
    l.turns(2s);
    CHECK(l.replacements == std::vector<std::string>{"third:3"});
    CHECK(l.says("no standby can take the place of the silent voters: third:3"));
    l.joins({node_id{0, 4}, {"fourth", 4}});
    l.turns(2s);
    CHECK(l.voters() == "here:1 second:2 fourth:4");
}

// ---- joining

TEST_CASE("R43: a node that belongs to a group takes no welcome to another, and loses nothing") {
    wishful l(false, voter_of_three());
    auto const own = l.engine.status().cluster;
    auto other = voter_of_three().group;
    other.cluster = cluster_id{0, 8};
    other.members.voters.resize(2);
    l.engine.on_message(second, paxos::founding_message(paxos::welcome{other.cluster, other.members, true, other.members}));
    l.engine.flush();
    l.pass(100ms);
    CHECK(l.engine.status().cluster == own);
    CHECK(l.engine.status().governing == voter_of_three().group.members);
}

} // namespace engine_voters_test
