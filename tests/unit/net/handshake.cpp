#include <openreplica/net/handshake.hpp>

#include "sample_messages.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace handshake_test {

using namespace net_test;
using namespace std::string_view_literals;
using net::refusal;

net::hello largest_hello() {
    net::hello h{0, 0xffff, std::string(1000, 'g'), {largest, largest}, {}, {}};
    h.self = {{largest, largest}, {std::string(255, 'h'), 0xffff}};
    for (std::uint64_t i = 0; i < 200; ++i) h.catalogue.push_back({"type" + std::to_string(i), largest - i});
    h.catalogue.push_back({"", 0, true});
    return h;
}

std::vector<net::hello> hellos() {
    net::hello smallest;
    smallest.self = {{0, 1}, {"h", 0}};
    net::hello client;
    client.who = net::role::client;
    client.self.id = {0, 9};
    client.group = "bank";
    return {smallest, some_hello(), largest_hello(), client};
}

std::vector<net::hello_reply> replies() {
    paxos::member const far{{largest, largest}, {std::string(255, 'h'), 0xffff}};
    return {net::hello_reply{refusal::none, "", member_of(1), {}, 1},
            net::hello_reply{refusal::wrong_group, "check the seeds", member_of(2), some_cluster},
            net::hello_reply{refusal::self, std::string(2000, 't'), far, {largest, largest}}};
}

/// A pair of hellos that may talk, one thing in it changed, and what must come of it.
struct judgement {
    std::string_view what;
    std::function<void(net::hello& mine, net::hello& theirs)> change;
    refusal expected;
    std::vector<std::string_view> words; ///< each must be in the text
};

net::hello_reply judged(judgement const& j) {
    net::hello mine = some_hello(1);
    net::hello theirs = some_hello(2);
    j.change(mine, theirs);
    auto const reply = net::judge(mine, theirs);
    CHECK(reply.self == mine.self);
    CHECK(reply.cluster == mine.cluster);
    CHECK((reply.protocol != 0) == (reply.reason == refusal::none && mine.newest != 0));
    return reply;
}

void check_all(std::vector<judgement> const& table) {
    for (auto const& j : table) {
        CAPTURE(j.what);
        auto const reply = judged(j);
        CAPTURE(reply.text);
        CHECK(reply.reason == j.expected);
        CHECK(reply.text.empty() == (j.expected == refusal::none));
        for (auto const& w : j.words) CHECK_MESSAGE(reply.text.find(w) != std::string::npos, w);
    }
}

using side = net::hello&;

TEST_CASE("a hello comes back as it went, the smallest, the ordinary and the largest") {
    for (auto const& h : hellos()) {
        std::string const frame = net::encode(h);
        CHECK(type_of(frame) == net::hello_type);
        auto const header = net::read_header(frame, net::max_handshake_frame);
        REQUIRE(std::holds_alternative<net::frame_header>(header));
        CHECK(std::get<net::frame_header>(header).length == body_of(frame).size());
        auto const back = net::decode_hello(body_of(frame));
        REQUIRE(back);
        CHECK(*back == h);
        CHECK(net::encode(*back) == frame);
    }
}

TEST_CASE("a client has no address and a peer has one: a hello that mixes them up is refused") {
    net::hello client = some_hello();
    client.who = net::role::client;
    CHECK(!net::decode_hello(body_of(net::encode(client))));
    client.self.address = {};
    CHECK(net::decode_hello(body_of(net::encode(client))));
    client.who = net::role::peer;
    CHECK(!net::decode_hello(body_of(net::encode(client))));
    client.who = static_cast<net::role>(2);
    CHECK(!net::decode_hello(body_of(net::encode(client))));
}

TEST_CASE("a client that names no group is taken by any; a peer that names none is not") {
    net::hello theirs = some_hello(2);
    theirs.group.clear();
    CHECK(net::judge(some_hello(1), theirs).reason == refusal::wrong_group);
    theirs.who = net::role::client;
    CHECK(net::judge(some_hello(1), theirs).reason == refusal::none);
    theirs.group = "shop";
    CHECK(net::judge(some_hello(1), theirs).reason == refusal::wrong_group);
}

TEST_CASE("the answer to a hello comes back as it went") {
    for (auto const& r : replies()) {
        std::string const frame = net::encode(r);
        CHECK(type_of(frame) == net::hello_reply_type);
        auto const back = net::decode_hello_reply(body_of(frame));
        REQUIRE(back);
        CHECK(*back == r);
        CHECK(net::encode(*back) == frame);
    }
}

TEST_CASE("the layout of a hello begins with the versions, so that any version can read them") {
    std::string const body = body_of(net::encode(some_hello()));
    CHECK(body.substr(0, 12) == "\1\0\1\0\4\0\0\0bank"sv);
    CHECK(body.substr(12, 16) == std::string(16, '\0'));
    CHECK(body.substr(28, 16) == "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"sv);
    CHECK(body.substr(44, 13) == "\x09\0\0\0"
                                 "127.0.0.1"sv);
}

TEST_CASE("a hello or an answer cut at any byte, or with a byte behind it, is refused") {
    for (auto const& h : hellos()) {
        std::string const body = body_of(net::encode(h));
        for (std::size_t size = 0; size < body.size(); ++size)
            if (net::decode_hello(std::string(body.data(), size))) FAIL_CHECK("a hello cut at ", size);
        // What a newer program adds behind what this one knows is no mistake.
        CHECK(net::decode_hello(body + '\0').has_value() == (h.newest > net::protocol_max));
    }
    for (auto const& r : replies()) {
        std::string const body = body_of(net::encode(r));
        for (std::size_t size = 0; size < body.size(); ++size)
            if (net::decode_hello_reply(std::string(body.data(), size))) FAIL_CHECK("an answer cut at ", size);
        CHECK(!net::decode_hello_reply(body + '\0'));
    }
}

TEST_CASE("a hello or an answer with any one byte changed is refused or means exactly what its bytes say") {
    constexpr unsigned values[] = {0x00, 0x01, 0x05, 0x06, 0x40, 0x7f, 0x80, 0xff};
    auto const changed = [](std::string body, std::size_t at, unsigned v) {
        body[at] = static_cast<char>(v);
        return body;
    };
    for (auto const& h : {hellos()[0], hellos()[1]}) {
        std::string const body = body_of(net::encode(h));
        for (std::size_t at = 0; at < body.size(); ++at)
            for (unsigned v : values)
                if (auto const back = net::decode_hello(changed(body, at, v)))
                    CHECK(body_of(net::encode(*back)) == changed(body, at, v));
    }
    for (auto const& r : replies()) {
        std::string const body = body_of(net::encode(r));
        for (std::size_t at = 0; at < body.size(); ++at)
            for (unsigned v : values)
                if (auto const back = net::decode_hello_reply(changed(body, at, v)))
                    CHECK(body_of(net::encode(*back)) == changed(body, at, v));
    }
}

TEST_CASE("a hello without an id or without an address is refused: nobody could answer it") {
    net::hello h = some_hello();
    h.self.id = {};
    CHECK(!net::decode_hello(body_of(net::encode(h))));
    h = some_hello();
    h.self.address.host.clear();
    CHECK(!net::decode_hello(body_of(net::encode(h))));
    net::hello_reply r = replies()[0];
    r.self.id = {};
    CHECK(!net::decode_hello_reply(body_of(net::encode(r))));
}

TEST_CASE("a host name longer than DNS allows is refused in a hello") {
    net::hello h = some_hello();
    h.self.address.host = std::string(255, 'h');
    CHECK(net::decode_hello(body_of(net::encode(h))));
    h.self.address.host = std::string(256, 'h');
    CHECK(!net::decode_hello(body_of(net::encode(h))));
}

TEST_CASE("a catalogue that promises more types than there are bytes is refused") {
    net::hello h = some_hello();
    h.catalogue.clear();
    std::string body = body_of(net::encode(h));
    body.replace(body.size() - 4, 4, "\xff\xff\xff\xff");
    CHECK(!net::decode_hello(body));
}

TEST_CASE("a reason for a refusal that this version does not know is refused") {
    std::string body = body_of(net::encode(replies()[1]));
    for (unsigned reason = 0; reason < 256; ++reason) {
        body[0] = static_cast<char>(reason);
        CHECK(net::decode_hello_reply(body).has_value() == (reason <= 7));
    }
}

TEST_CASE("rule 16: nodes may talk when the group's name is the same") {
    check_all({
        {"the same", [](side, side) {}, refusal::none, {}},
        {"another", [](side, side t) { t.group = "shop"; }, refusal::wrong_group, {"\"bank\"", "\"shop\"", "seeds"}},
        {"the beginning of it", [](side, side t) { t.group = "ban"; }, refusal::wrong_group, {"\"ban\""}},
        {"other letter case", [](side, side t) { t.group = "Bank"; }, refusal::wrong_group, {"\"Bank\""}},
        {"none", [](side, side t) { t.group.clear(); }, refusal::wrong_group, {"\"bank\""}},
    });
}

TEST_CASE("rule 16: nodes may talk when they have a protocol version in common") {
    auto const ranges = [](std::uint16_t a, std::uint16_t b, std::uint16_t c, std::uint16_t d) {
        return [=](side mine, side theirs) {
            mine.oldest = a;
            mine.newest = b;
            theirs.oldest = c;
            theirs.newest = d;
        };
    };
    check_all({
        {"the same", ranges(1, 1, 1, 1), refusal::none, {}},
        {"they know older ones too", ranges(3, 3, 1, 3), refusal::none, {}},
        {"they know newer ones too", ranges(3, 3, 3, 9), refusal::none, {}},
        {"the ranges touch", ranges(2, 4, 4, 6), refusal::none, {}},
        {"one range inside the other", ranges(1, 9, 4, 5), refusal::none, {}},
        {"they are one too new", ranges(2, 4, 5, 6), refusal::protocol, {"speaks 2 to 4", "upgrade"}},
        {"they are one too old", ranges(2, 4, 0, 1), refusal::protocol, {"speaks 2 to 4", "upgrade"}},
        {"the extremes", ranges(0, 0, 0xffff, 0xffff), refusal::protocol, {"speaks 0 to 0"}},
    });
}

TEST_CASE("both use the newest version that they have in common, whichever of them asks") {
    struct {
        std::uint16_t mine[2], theirs[2], agreed;
    } const table[] = {{{1, 1}, {1, 1}, 1}, {{1, 3}, {1, 2}, 2}, {{1, 9}, {4, 5}, 5}, {{2, 4}, {4, 6}, 4}, {{1, 2}, {3, 4}, 0},
                       {{0xffff, 0xffff}, {1, 0xffff}, 0xffff}};
    for (auto const& row : table) {
        net::hello a = some_hello(1), b = some_hello(2);
        a.oldest = row.mine[0], a.newest = row.mine[1];
        b.oldest = row.theirs[0], b.newest = row.theirs[1];
        for (auto const& reply : {net::judge(a, b), net::judge(b, a)}) {
            CHECK(reply.protocol == row.agreed);
            CHECK((reply.reason == refusal::none) == (row.agreed != 0));
        }
    }
}

TEST_CASE("rule 16: nodes may talk when neither belongs to a cluster that the other does not belong to") {
    auto const clusters = [](cluster_id a, cluster_id b) {
        return [=](side mine, side theirs) {
            mine.cluster = a;
            theirs.cluster = b;
        };
    };
    cluster_id const one{1, 2}, other{1, 3};
    check_all({
        {"both have none", clusters({}, {}), refusal::none, {}},
        {"only this one has one", clusters(one, {}), refusal::none, {}},
        {"only that one has one", clusters({}, one), refusal::none, {}},
        {"the same", clusters(one, one), refusal::none, {}},
        {"different",
         clusters(one, other),
         refusal::wrong_cluster,
         {"00000000000000010000000000000002", "00000000000000010000000000000003", "two groups have the same name"}},
    });
}

TEST_CASE("a node that met itself hears so, unless something else keeps them apart already") {
    auto const self = [](side mine, side theirs) { theirs.self.id = mine.self.id; };
    check_all({
        {"the same id", self, refusal::self, {"met itself"}},
        {"the same id at another address",
         [](side, side t) { t.self = member_of(1, "elsewhere", 1); },
         refusal::self,
         {"met itself"}},
        {"the same address but another id",
         [](side mine, side t) { t.self.address = mine.self.address; },
         refusal::none,
         {}},
        {"half of the id",
         [](side, side t) {
             t.self.id = {1, 1};
         },
         refusal::none,
         {}},
        {"the same id in another group",
         [](side mine, side t) { t.self.id = mine.self.id, t.group = "shop"; },
         refusal::wrong_group,
         {}},
    });
}

TEST_CASE("rule 16: nodes may talk when the types that both know are the same") {
    auto const theirs = [](std::vector<net::hello::type_print> catalogue) {
        return [=](side, side t) { t.catalogue = catalogue; };
    };
    check_all({
        {"the same", [](side, side) {}, refusal::none, {}},
        {"in another order", theirs({{"ledger", 0x1ed}, {"account", 0xacc}}), refusal::none, {}},
        {"they lack one", theirs({{"account", 0xacc}}), refusal::none, {}},
        {"they have one more", theirs({{"account", 0xacc}, {"new", 1}, {"ledger", 0x1ed}}), refusal::none, {}},
        {"they have none", theirs({}), refusal::none, {}},
        {"this one has none", [](side m, side) { m.catalogue.clear(); }, refusal::none, {}},
        {"the last differs", theirs({{"account", 0xacc}, {"ledger", 0x1ee}}), refusal::catalogue, {"\"ledger\""}},
        {"the first differs", theirs({{"account", 0}, {"ledger", 0x1ed}}), refusal::catalogue, {"\"account\""}},
    });
}

TEST_CASE("rule 16: a program that does not know a type in use needs an upgrade; an unused one may be missing") {
    auto const uses = [](std::string_view name) {
        return [=](side user, side other) {
            for (auto& t : user.catalogue) t.in_use = t.name == name;
            other.catalogue = {{"account", 0xacc}, {"new", 1}};
        };
    };
    auto const client = [&](side mine, side theirs) {
        uses("ledger")(mine, theirs);
        theirs.who = net::role::client;
    };
    check_all({
        {"one that both know", uses("account"), refusal::none, {}},
        {"none", uses(""), refusal::none, {}},
        {"one that they lack", uses("ledger"), refusal::needs_upgrade, {"\"ledger\"", "there", "run a version"}},
        {"one that this one lacks", [&](side mine, side theirs) { uses("ledger")(theirs, mine); }, refusal::needs_upgrade,
         {"\"ledger\"", "here", "must be upgraded"}},
        {"a client applies nothing", client, refusal::none, {}},
        {"which is told only to members of the group", [&](side mine, side theirs) {
             uses("ledger")(mine, theirs);
             theirs.group = "shop";
         }, refusal::wrong_group, {}},
    });
}

} // namespace handshake_test
