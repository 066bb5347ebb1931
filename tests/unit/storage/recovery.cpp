#include <openreplica/storage/recovery.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <set>

namespace recovery_test {

using namespace storage_test;
using kind = operation::kind;
using image_map = std::map<std::string, std::string>;

/// A process on a disk that holds exactly this.
sample_node node_on(image_map const& image, std::uint64_t first_id = 100) {
    sample_node node;
    node.disk->restore(image);
    node.ids = counting_ids(first_id);
    return node;
}

/// Starts a node on the image while the power goes at each operation of its recovery in turn, and demands that the next
/// start, and the one after it, satisfy `check`.
void survive_every_crash(image_map const& image, std::function<void(sample_node&)> const& check) {
    for (auto keep : {survivors::none, survivors::all, survivors::random}) {
        for (std::uint64_t at = 1;; ++at) {
            CAPTURE(at);
            sample_node node = node_on(image);
            node.disk->lose_power_at = at;
            bool done = false;
            try {
                node.start();
                done = true;
            } catch (power_loss) {
            }
            node.disk->crash(keep, bits_from(at));
            for (int i = 0; i < 2; ++i) {
                node.start();
                check(node);
                if (i == 0) node.disk->crash(keep, bits_from(at + 1000));
            }
            if (done) break;
        }
    }
}

/// The log ends with a record of which only the first sectors reached the disk.
void tear(sample_node& node) {
    std::string const name = node.last_segment();
    auto const at = static_cast<std::size_t>(node.log->writer().tail().offset);
    REQUIRE_FALSE(node.write({accept(13, 2500)}));
    std::string bytes = node.disk->content(name);
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>((at / 512 + 2) * 512), bytes.end(), '\0');
    node.disk->set_content(name, bytes);
}

TEST_CASE("R02: a ballot's round and its owner are one record: of a torn promise neither is left") {
    ballot const others{50, 1, node_id{7, 7}};
    int torn = 0;
    for (std::size_t size = 1; size <= 512; size += 4) {
        sample_node node = node_with_log(3, 0);
        REQUIRE_FALSE(node.write({accept(1, size)}));
        std::uint64_t const from = node.log->writer().tail().offset;
        REQUIRE_FALSE(node.write({paxos::promise_record{others}}));
        std::uint64_t const last = node.log->writer().tail().offset - 1;
        bool const crosses = from / 512 != last / 512;
        if (crosses) node.disk->zero_sector(node.last_segment(), static_cast<std::size_t>(last / 512));
        torn += crosses;
        node.start();
        CHECK(node.found.state.promised == (crosses ? ballot_of(1) : others));
        CHECK_FALSE(node.found.owner.only_joins);
    }
    CHECK(torn > 0);
}

TEST_CASE("everything that was durable is found again: promises, entries, the group, and what was refused") {
    using step = paxos::founding_record::step;
    sample_node node = node_with_log(3, 20);
    REQUIRE_FALSE(node.write({paxos::promise_record{ballot_of(8)}, accept(15, 33, 8), paxos::chosen_record{slot{12}, ballot_of(1)},
                              paxos::founding_record{step::abandoned, {cluster_id{4, 4}, {}}}}));
    node_id const self = node.found.owner.node;
    node.disk->crash(survivors::none, {});
    node.start();
    auto const& s = node.found.state;
    CHECK(node.found.owner.node == self);
    CHECK(node.found.warnings.empty());
    CHECK(s.promised == ballot_of(8));
    CHECK(s.chosen == slot{12});
    CHECK(s.group == paxos::first_configuration{cluster_id{77, 88}, voters(3)});
    CHECK(s.group_chosen);
    CHECK(s.abandoned == std::vector{cluster_id{4, 4}});
    REQUIRE(s.entries.size() == 20);
    for (std::uint64_t i = 1; i <= 20; ++i)
        CHECK(s.entries[i - 1] == (i == 15 ? accept(15, 33, 8).what : accept(i, (i * 97) % 900).what));
}

TEST_CASE("starting again and again gives the same answer") {
    sample_node node = node_with_log(3, 20);
    node.start();
    auto const first = node.found.state;
    CHECK(first.entries.size() == 20);
    for (int i = 0; i < 5; ++i) {
        node.disk->crash(i % 2 == 0 ? survivors::none : survivors::all, {});
        node.start();
        CHECK(same(node.found.state, first));
        CHECK(node.found.warnings.empty());
    }
}

TEST_CASE("a node that goes on after a restart loses neither what came before nor what came after") {
    sample_node node = node_with_log(3, 0);
    for (std::uint64_t at = 1; at <= 30; ++at) {
        REQUIRE_FALSE(node.write({accept(at, at * 300)}));
        if (at % 4 == 0) node.start();
    }
    node.disk->crash(survivors::none, {});
    node.start();
    REQUIRE(node.found.state.entries.size() == 30);
    for (std::uint64_t at = 1; at <= 30; ++at) CHECK(node.found.state.entries[at - 1] == accept(at, at * 300).what);
}

TEST_CASE("the power may go at every operation of recovery: a clean log") {
    sample_node node = node_with_log(3, 12);
    node.start();
    auto const expected = node.found.state;
    auto const self = node.found.owner;
    survive_every_crash(node.disk->image(), [&](sample_node& n) {
        CHECK(n.found.owner == self);
        CHECK(same(n.found.state, expected));
    });
}

TEST_CASE("R18, R19: the power may go at every operation of recovery: a torn tail, which is kept aside") {
    sample_node node = node_with_log(3, 12);
    node.start();
    auto const expected = node.found.state;
    auto const self = node.found.owner;
    std::string const name = node.last_segment();
    tear(node);
    auto const image = node.disk->image();
    std::string const evidence = image.at(name).substr(0, image.at(name).find_last_not_of('\0') + 1);
    survive_every_crash(image, [&](sample_node& n) {
        CHECK(n.found.owner == self);
        CHECK(same(n.found.state, expected));
        REQUIRE(n.disk->exists(name + ".broken"));
        CHECK(evidence.ends_with(n.disk->content(name + ".broken")));
        CHECK(n.disk->content(name + ".broken").size() > 500);
    });
    sample_node once = node_on(image);
    once.start();
    REQUIRE(once.found.warnings.size() == 1);
    CHECK(once.found.warnings[0].find("it was never acknowledged, so it is cut off") != std::string::npos);
}

TEST_CASE("R20, R22: the power may go at every operation of recovery: a damaged node of three comes back as another one") {
    sample_node node = node_with_log(3, 12);
    REQUIRE_FALSE(node.log->write(snapshot_at(5)));
    auto const self = node.found.owner.node;
    node.disk->flip_bit(node.last_segment(), 8 * 600);
    auto const image = node.disk->image();
    survive_every_crash(image, [&](sample_node& n) {
        CHECK(n.found.owner.node != self);
        CHECK(n.found.owner.only_joins);
        CHECK(n.found.state.entries.empty());
        CHECK(n.found.state.promised == ballot{});
        CHECK(n.found.state.group == paxos::first_configuration{});
        for (auto const& [name, bytes] : image) { // The evidence is all there, whatever happened on the way.
            REQUIRE(n.disk->exists(name + ".broken"));
            CHECK(n.disk->content(name + ".broken") == bytes);
        }
    });
    sample_node once = node_on(image);
    once.start();
    REQUIRE(once.found.warnings.size() == 1);
    CHECK(once.found.warnings[0].find("does not vote under its old id again") != std::string::npos);
    CHECK(once.found.warnings[0].find("(T7)") != std::string::npos);
    once.start();
    CHECK(once.found.warnings.empty());
}

TEST_CASE("a damaged node that is alone stops with a sentence, and nothing of the evidence is touched") {
    for (std::size_t n : {std::size_t{0}, std::size_t{1}}) {
        sample_node node = n == 0 ? sample_node{} : node_with_log(1, 12);
        if (n == 0) {
            node.start();
            REQUIRE_FALSE(node.write({accept(1, 600)}));
            REQUIRE_FALSE(node.write({accept(2, 600)}));
        }
        node.disk->flip_bit(node.last_segment(), 8 * 600);
        auto const before = node.disk->image();
        for (int i = 0; i < 2; ++i) {
            std::string const sentence = node.refusal();
            CHECK(sentence.find("acknowledged data may be missing") != std::string::npos);
            CHECK(sentence.find("restore the directory from a backup") != std::string::npos);
            CHECK(node.disk->image() == before);
        }
    }
}

TEST_CASE("R24: a log that is older than its meta files, or gone, is not trusted") {
    sample_node node = node_with_log(3, 12);
    auto const old = node.disk->image();
    REQUIRE_FALSE(node.write({accept(13, 10)}));
    REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(slot{})));
    auto const self = node.found.owner.node;
    std::string const name = node.last_segment();
    SUBCASE("an older copy of the log") { node.disk->set_content(name, old.at(name)); }
    SUBCASE("no log") { node.disk->erase(name); }
    node.start();
    CHECK(node.found.owner.node != self);
    CHECK(node.found.warnings.at(0).find("(T11)") != std::string::npos);
}

TEST_CASE("a lost first segment is not taken for a trimmed one, not even when nothing in it was known to be chosen") {
    sample_node node = node_with_log(3, 12);
    node.start(); // Its own segment begins here: the entries are all in the one before.
    node.disk->erase(storage::segment_name(1));
    node.start();
    CHECK(node.found.owner.only_joins);
    CHECK(node.found.warnings.at(0).find("(T11)") != std::string::npos);
}

TEST_CASE("the promise in the meta files holds when the log does not reach it") {
    sample_node node = node_with_log(3, 2);
    storage::meta_files files(*node.dir);
    auto m = *files.read(node.found.owner.node);
    m.promised = ballot_of(50);
    REQUIRE_FALSE(files.write(m));
    node.start();
    CHECK(node.found.state.promised == ballot_of(50));
    CHECK(node.found.state.entries.size() == 2);
}

TEST_CASE("R16: entries behind an installed snapshot need not continue those before it") {
    sample_node node = node_with_log(3, 4);
    REQUIRE_FALSE(node.log->write(snapshot_at(5000)));
    REQUIRE_FALSE(node.write({paxos::chosen_record{slot{5000}, ballot_of(1)}, accept(5001, 10), accept(5002, 10)}));
    auto const image = node.disk->image();
    node.start();
    CHECK(node.found.warnings.empty());
    CHECK(node.found.state.base == snapshot_at(5000));
    CHECK(node.found.state.chosen == slot{5000});
    REQUIRE(node.found.state.entries.size() == 2);
    CHECK(node.found.state.entries[0].at == slot{5001});
    sample_node broken = node_on(image);
    broken.disk->zero_sector(storage::snapshot_name(slot{5000}), 1);
    broken.start();
    CHECK(broken.found.owner.only_joins);
}

TEST_CASE("R15, R16: a snapshot that was being installed when the power went takes nothing away from the log") {
    sample_node node = node_with_log(3, 4);
    REQUIRE_FALSE(node.write({paxos::chosen_record{slot{5000}, ballot_of(1)}}));
    node.start();
    CHECK(node.found.warnings.empty());
    CHECK(node.found.state.entries.size() == 4);
    CHECK(node.found.state.chosen == slot{4}); // Never above what the node holds.
}

TEST_CASE("an error while the directory is read or repaired ends the start with a sentence, and the next start works") {
    sample_node node = node_with_log(3, 12);
    node.start();
    auto const expected = node.found.state;
    auto const image = node.disk->image();
    for (kind what : {kind::create, kind::list, kind::write, kind::sync, kind::rename, kind::sync_names}) {
        sample_node n = node_on(image);
        n.disk->fault = [&](operation const& o) { return o.what == what ? io_error() : std::error_code{}; };
        CHECK(n.refusal().find("check the disk") != std::string::npos);
        n.disk->fault = {};
        n.disk->crash(survivors::random, bits_from(3));
        n.start();
        CHECK(same(n.found.state, expected));
    }
    for (kind what : {kind::open, kind::read}) {
        for (std::string const& name : {std::string("id"), node.last_segment()}) {
            sample_node n = node_on(image);
            n.disk->fault = [&](operation const& o) {
                return o.what == what && o.name == name ? io_error() : std::error_code{};
            };
            CHECK(n.refusal().find("check the disk") != std::string::npos);
            CHECK(n.disk->image() == image);
        }
    }
}

TEST_CASE("R26: what the page cache shows after a failed sync is written to the disk before anything is said") {
    sample_node node = node_with_log(3, 12);
    node.disk->fault = [](operation const& o) { return o.what == kind::sync ? io_error() : std::error_code{}; };
    CHECK(node.write({accept(13, 700)}) == io_error());
    node.disk->fault = {};
    node.start(); // The process restarts, the machine did not.
    CHECK(node.found.state.entries.size() == 13);
    node.disk->drop_caches();
    node.disk->crash(survivors::none, {});
    node.start();
    CHECK(node.found.state.entries.size() == 13);
}

TEST_CASE("starting over keeps the old files as evidence and gives the id that was asked for") {
    sample_node node = node_with_log(3, 12);
    auto const before = node.disk->image();
    auto const made = storage::recovery(*node.dir, small_segment, {}).start_over({node_id{9, 9}, false, false});
    CHECK(made.owner == storage::identity{node_id{9, 9}, true, false});
    CHECK(made.state.entries.empty());
    for (auto const& [name, bytes] : before) CHECK(node.disk->content(name + ".broken") == bytes);
    node.disk->crash(survivors::none, {});
    node.start();
    CHECK(node.found.owner.node == node_id{9, 9});
    CHECK(node.found.state.entries.empty());
    // Once more: there is still one set of evidence, the latest.
    std::size_t const files = node.disk->image().size();
    (void)storage::recovery(*node.dir, small_segment, {}).start_over({node_id{10, 10}, false, false});
    CHECK(node.disk->image().size() <= files + 1);
}

} // namespace recovery_test
