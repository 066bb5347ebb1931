#include <openreplica/storage/heritage.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace heritage_test {

using namespace storage_test;
using step = paxos::founding_record::step;

/// A configuration of the node itself and some others.
paxos::configuration group_of(sample_node const& node, std::uint32_t number, std::size_t others) {
    paxos::configuration c = voters(others);
    c.number = openreplica::epoch{number};
    c.voters.push_back({node.found.owner.node, {"self.example", 7000}});
    return c;
}

paxos::accept_record stop_sign(std::uint64_t at, paxos::configuration const& c) {
    std::string body;
    openreplica::wire_writer w(body);
    encode(w, c);
    return {{slot{at}, ballot_of(1), {paxos::value_kind::configuration, log_time{at * 10}, shared_bytes(std::move(body))}}};
}

/// A voter of a group of three.
sample_node voter() {
    sample_node node;
    node.start();
    REQUIRE_FALSE(node.write({paxos::founding_record{step::chosen, {cluster_id{77, 88}, group_of(node, 1, 2)}}}));
    REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(slot{})));
    return node;
}

storage::heritage read(sample_node& node, bool accept_damage = false) {
    return storage::read_heritage(*node.dir, accept_damage);
}

/// The sentence with which reading ends; empty when it works.
std::string refusal(sample_node& node, bool accept_damage = false) {
    try {
        (void)read(node, accept_damage);
        return {};
    } catch (openreplica::error const& e) {
        CHECK(e.code() == openreplica::errc::storage_failed);
        return e.what();
    }
}
bool says(std::string const& sentence, std::string_view part) {
    CAPTURE(sentence);
    return sentence.find(part) != std::string::npos;
}

TEST_CASE("every accepted entry is kept, and how many are not known to be chosen is counted") {
    sample_node node = voter();
    for (std::uint64_t at = 1; at <= 9; ++at) REQUIRE_FALSE(node.write({accept(at, 50)}));
    REQUIRE_FALSE(node.write({paxos::chosen_record{slot{6}, ballot_of(1)}, accept(9, 70, 4)}));
    REQUIRE_FALSE(node.write({paxos::promise_record{ballot_of(9)}}));
    auto const before = node.disk->image();
    auto const h = read(node);
    CHECK(node.disk->image() == before);
    CHECK(h.node == node.found.owner.node);
    CHECK(h.cluster == cluster_id{77, 88});
    CHECK(h.base == paxos::snapshot{});
    REQUIRE(h.entries.size() == 9);
    CHECK(h.entries[8] == accept(9, 70, 4).what);
    CHECK(h.last() == slot{9});
    CHECK(h.last_ballot() == ballot_of(4));
    CHECK(h.known_chosen == slot{6});
    CHECK(h.unproven() == 3);
    CHECK(h.highest == ballot_of(9));
    CHECK(h.stamp == log_time{90});
    CHECK(h.governing == group_of(node, 1, 2));
    CHECK(h.address() == openreplica::endpoint{"self.example", 7000});
    CHECK(h.damage.empty());
    CHECK_FALSE(h.is_alone());
}

TEST_CASE("a hint is not believed when the entry that it names was accepted under a lower ballot") {
    sample_node node = voter();
    REQUIRE_FALSE(node.write({accept(1, 5), accept(2, 5), paxos::chosen_record{slot{2}, ballot_of(3)}}));
    CHECK(read(node).unproven() == 2);
}

TEST_CASE("a snapshot counts with what lies behind it") {
    sample_node node = voter();
    for (std::uint64_t at = 1; at <= 5; ++at) REQUIRE_FALSE(node.write({accept(at, 50)}));
    auto snapshot = snapshot_at(3);
    snapshot.governing = group_of(node, 4, 1);
    REQUIRE_FALSE(node.log->write(snapshot));
    auto const h = read(node);
    CHECK(h.base == snapshot);
    CHECK(h.entries == std::vector{accept(4, 50).what, accept(5, 50).what});
    CHECK(h.known_chosen == slot{3});
    CHECK(h.governing == group_of(node, 4, 1));
    REQUIRE_FALSE(node.log->write(snapshot_at(9)));
    CHECK(read(node).entries.empty());
    CHECK(read(node).last() == slot{9});
    CHECK(read(node).last_ballot() == ballot_of(1));
}

TEST_CASE("the last configuration governs, whether it is known to be chosen or not") {
    sample_node node = voter();
    auto const wide = group_of(node, 2, 4), narrow = group_of(node, 3, 2);
    REQUIRE_FALSE(node.write({accept(1, 5), stop_sign(2, wide), accept(3, 5), stop_sign(4, narrow), accept(5, 5)}));
    CHECK(read(node).governing == narrow);
    sample_node left = voter();
    REQUIRE_FALSE(left.write({accept(1, 5), stop_sign(2, voters(3))}));
    auto others = voters(3);
    others.number = openreplica::epoch{2};
    REQUIRE_FALSE(left.write({stop_sign(2, others)}));
    CHECK_FALSE(read(left).address());
}

TEST_CASE("a torn write was never acknowledged, and is no damage") {
    sample_node node = voter();
    REQUIRE_FALSE(node.write({accept(1, 50)}));
    std::string const name = node.last_segment();
    auto const at = static_cast<std::size_t>(node.log->writer().tail().offset);
    REQUIRE_FALSE(node.write({accept(2, 2500)}));
    std::string bytes = node.disk->content(name);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>((at / 512 + 2) * 512), bytes.end(), '\0');
    node.disk->set_content(name, bytes);
    CHECK(read(node).entries == std::vector{accept(1, 50).what});
}

TEST_CASE("damage is refused, and when it is accepted, what can be read before it is kept") {
    sample_node node = voter();
    std::vector<std::uint64_t> ends;
    for (std::uint64_t at = 1; at <= 5; ++at) {
        ends.push_back(node.log->writer().tail().offset);
        REQUIRE_FALSE(node.write({accept(at, 50)}));
    }
    node.disk->flip_bit(node.last_segment(), 8 * (ends[3] + 60));
    CHECK(says(refusal(node), "it is damaged: wal-"));
    CHECK(says(refusal(node), "up to slot 3, accept the damage explicitly"));
    auto const h = read(node, true);
    CHECK(h.last() == slot{3});
    CHECK(says(h.damage, "T7"));
    node.disk->flip_bit(node.last_segment(), 8 * (ends[0] + 60));
    CHECK(says(refusal(node, true), "neither an entry nor a whole snapshot of a group"));
    CHECK(says(refusal(node, true), "a cluster of (wal-"));
}

TEST_CASE("behind a gap, entries are worth nothing") {
    sample_node node = voter();
    for (std::uint64_t at = 1; at <= 300; ++at) REQUIRE_FALSE(node.write({accept(at, 2000)}));
    REQUIRE_FALSE(node.log->write(snapshot_at(100)));
    REQUIRE_FALSE(node.log->write(snapshot_at(290)));
    REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(slot{290})));
    node.disk->flip_bit(storage::snapshot_name(slot{290}), 8000);
    CHECK(says(refusal(node), "snapshot-0000000000000290 is damaged"));
    auto const h = read(node, true);
    CHECK(h.base == snapshot_at(100));
    CHECK(h.last() == slot{100});
    node.disk->flip_bit(storage::snapshot_name(slot{100}), 8000);
    CHECK(says(refusal(node, true), "neither an entry nor a whole snapshot"));
}

TEST_CASE("without a log, a snapshot is enough when the loss is accepted") {
    sample_node node = voter();
    auto snapshot = snapshot_at(8);
    snapshot.governing = group_of(node, 2, 2);
    REQUIRE_FALSE(node.log->write(snapshot));
    node.disk->erase(node.last_segment());
    CHECK(says(refusal(node), "T11"));
    auto const h = read(node, true);
    CHECK(h.cluster.empty());
    CHECK(h.last() == slot{8});
    CHECK(h.governing == group_of(node, 2, 2));
}

TEST_CASE("what has nothing to give is refused with a sentence") {
    sample_node nobody;
    nobody.dir = std::make_unique<faulty_directory>(nobody.disk);
    CHECK(says(refusal(nobody), "no data of a node"));
    nobody.disk->set_content("letter.txt", "to whom it may concern");
    CHECK(says(refusal(nobody), "no data of a node"));

    sample_node fresh;
    fresh.start();
    CHECK(says(refusal(fresh), "neither an entry nor a whole snapshot"));
    sample_node founded = voter();
    CHECK(says(refusal(founded), "neither an entry nor a whole snapshot"));
    REQUIRE_FALSE(founded.write({accept(1, 5)}));
    CHECK(refusal(founded).empty());
    founded.disk->set_content("id", std::string(1024, 'x'));
    CHECK(says(refusal(founded, true), "the file that says whose data these are"));

    sample_node alone;
    alone.start();
    REQUIRE_FALSE(alone.write({paxos::founding_record{step::chosen, {cluster_id{7, 7}, group_of(alone, 1, 0)}}}));
    REQUIRE_FALSE(alone.write({accept(1, 5)}));
    CHECK(says(refusal(alone), "has lost nobody: start it as it is"));
}

TEST_CASE("a file that cannot be read ends it with a sentence") {
    sample_node node = voter();
    REQUIRE_FALSE(node.write({accept(1, 5)}));
    node.disk->fault = [](operation const& o) { return o.name.starts_with("wal-") ? io_error() : std::error_code(); };
    CHECK(says(refusal(node, true), "reading wal-"));
}

} // namespace heritage_test
