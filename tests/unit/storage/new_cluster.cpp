#include <openreplica/storage/new_cluster.hpp>

#include "sample_log.hpp"

#include <openreplica/paxos/replica.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

namespace new_cluster_test {

using namespace storage_test;
using storage::succession;
using image_map = std::map<std::string, std::string>;

constexpr node_id new_node{0xabcdef, 1};
constexpr cluster_id new_cluster_id{0x1234567800000000u, 2};
paxos::member const self{new_node, {"survivor.example", 7001}};
std::string const evidence = ".before-12345678";

/// A member of a group of three, with a snapshot in the middle of its log.
sample_node survivor() {
    sample_node node = node_with_log(3, 40);
    REQUIRE_FALSE(node.log->write(snapshot_at(15)));
    REQUIRE_FALSE(node.write({accept(41, 5000, 6), paxos::chosen_record{slot{38}, ballot_of(1)}}));
    REQUIRE_FALSE(node.log->carry_out(node.log->plan_removal(slot{})));
    return node;
}

succession make(sample_node& node) {
    node.dir = std::make_unique<faulty_directory>(node.disk);
    storage::new_cluster making(*node.dir, small_segment);
    if (auto const begun = making.interrupted()) return making.finish(*begun);
    return making.make(storage::read_heritage(*node.dir, false), self, new_cluster_id);
}

void check_succeeded(sample_node& node, image_map const& before) {
    node.start();
    auto const& s = node.found.state;
    CHECK(node.found.owner == storage::identity{new_node, true, false});
    CHECK(node.found.warnings.empty());
    CHECK(s.group == paxos::first_configuration{new_cluster_id, {openreplica::epoch{1}, {self}}});
    CHECK(s.group_chosen);
    CHECK(s.base == snapshot_at(15));
    REQUIRE(s.entries.size() == 27);
    for (std::uint64_t at = 16; at <= 40; ++at) CHECK(s.entries[at - 16] == accept(at, (at * 97) % 900).what);
    CHECK(s.entries[25] == accept(41, 5000, 6).what);
    paxos::entry const& last = s.entries.back();
    CHECK(last.at == slot{42});
    CHECK(last.accepted == ballot{7, 0, new_node});
    REQUIRE(last.what.kind == paxos::value_kind::configuration);
    openreplica::wire_reader r(last.what.body.view());
    auto const alone = paxos::decode_configuration(r);
    CHECK(alone.number == openreplica::epoch{2});
    CHECK(alone.voters == std::vector{self});
    CHECK(r.complete());
    CHECK(last.what.stamp == log_time{410});
    CHECK(s.promised == last.accepted);
    CHECK(s.chosen == slot{42});
    CHECK(s.chosen_under == ballot{});
    auto const now = node.disk->image();
    for (auto const& [name, bytes] : before)
        if (name == "id" || storage::detail::is_data(name)) {
            CAPTURE(name);
            REQUIRE(now.contains(name + evidence));
            CHECK(now.at(name + evidence) == bytes);
        }
    for (auto const& [name, bytes] : now) CHECK_FALSE(name.ends_with(storage::coming_suffix));
    CHECK_FALSE(now.contains(storage::new_cluster_name));
}

TEST_CASE("a member's directory becomes the first of a new cluster, and its old files stay under other names") {
    sample_node node = survivor();
    auto const before = node.disk->image();
    auto const s = make(node);
    CHECK(s.old_node == node_id{0xfeed, 1});
    CHECK(s.new_node == new_node);
    CHECK(s.old_cluster == cluster_id{77, 88});
    CHECK(s.new_cluster == new_cluster_id);
    CHECK(s.address == self.address);
    CHECK(s.number == openreplica::epoch{2});
    CHECK(s.kept == slot{41});
    CHECK(s.unproven == 3);
    CHECK(s.evidence() == evidence);
    check_succeeded(node, before);
}

TEST_CASE("its node leads alone, everything that was kept is chosen, and comes in order") {
    using namespace std::chrono_literals;
    sample_node node = survivor();
    (void)make(node);
    node.start();
    openreplica::instant now{};
    paxos::replica core(new_node, node.found.state.group.members, {}, node.found.state, now);
    auto out = core.take_output(now);
    CHECK(core.entries().chosen() == slot{42});
    REQUIRE(out.chosen.size() == 27);
    for (std::size_t i = 0; i < 27; ++i) CHECK(out.chosen[i].at == slot{16 + i});
    for (int i = 0; i < 100 && !core.is_established(); ++i) {
        now += 20ms;
        core.tick(now, 1);
        out = core.take_output(now);
        core.persisted(out.last, now);
    }
    CHECK(core.is_established());
    CHECK(core.entries().chosen() == slot{43});
    CHECK(core.promised() > ballot{7, 0, new_node});
}

TEST_CASE("what was set aside is the old member, whole, once it has its names again") {
    sample_node node = survivor();
    node.start();
    auto const expected = node.found.state;
    (void)make(node);
    image_map old;
    for (auto const& [name, bytes] : node.disk->image())
        if (name.ends_with(evidence)) old[name.substr(0, name.size() - evidence.size())] = bytes;
    sample_node again;
    again.disk->restore(old);
    again.start();
    CHECK(again.found.owner.node == node_id{0xfeed, 1});
    CHECK(again.found.warnings.empty());
    CHECK(same(again.found.state, expected));
}

TEST_CASE("the power may go at every operation: the old member is as it was, or a second run ends what was begun") {
    image_map const before = survivor().disk->image();
    std::size_t untouched = 0, resumed = 0;
    for (auto keep : {survivors::none, survivors::all, survivors::random}) {
        for (std::uint64_t at = 1;; ++at) {
            CAPTURE(at);
            sample_node node;
            node.disk->restore(before);
            node.disk->lose_power_at = at;
            bool done = false;
            try {
                (void)make(node);
                done = true;
            } catch (power_loss) {
            }
            node.disk->crash(keep, bits_from(at));
            if (!done && node.disk->exists(storage::new_cluster_name)) {
                std::string const sentence = node.refusal();
                CHECK(sentence.find("run force_new_cluster") != std::string::npos);
                ++resumed;
            } else if (!done && storage::decode_identity(node.disk->content("id"))->node != new_node) {
                sample_node member; // It starts as ever, from a copy: a start writes too.
                member.disk->restore(node.disk->image());
                member.start();
                CHECK(member.found.owner.node == node_id{0xfeed, 1});
                CHECK(member.found.state.entries.size() == 26);
                for (auto const& [name, bytes] : member.disk->image())
                    CHECK_FALSE(name.ends_with(storage::coming_suffix));
                ++untouched;
            }
            if (storage::decode_identity(node.disk->content("id"))->node != new_node ||
                node.disk->exists(storage::new_cluster_name))
                CHECK(make(node).new_cluster == new_cluster_id);
            check_succeeded(node, before);
            if (done) break;
        }
    }
    CHECK(untouched > 20);
    CHECK(resumed > 20);
}

TEST_CASE("what a run left that decided nothing does not get into the next one, which has other ids") {
    image_map const before = survivor().disk->image();
    for (std::uint64_t at = 1;; ++at) {
        CAPTURE(at);
        sample_node node;
        node.disk->restore(before);
        node.disk->lose_power_at = at;
        node.dir = std::make_unique<faulty_directory>(node.disk);
        try {
            storage::new_cluster making(*node.dir, small_segment);
            (void)making.make(storage::read_heritage(*node.dir, false), {node_id{6, 6}, self.address}, cluster_id{66, 66});
        } catch (power_loss) {
        }
        node.disk->crash(survivors::all, bits_from(at));
        if (node.disk->exists(storage::new_cluster_name)) break; // Decided.
        (void)make(node);
        check_succeeded(node, before);
    }
}

TEST_CASE("the power may go a second time while an interrupted run is ended") {
    image_map const before = survivor().disk->image();
    sample_node first;
    for (std::uint64_t at = 1; !first.disk->exists(storage::new_cluster_name); ++at) {
        first = {};
        first.disk->restore(before);
        first.disk->lose_power_at = at;
        CHECK_THROWS_AS((void)make(first), power_loss);
        first.disk->crash(survivors::all, bits_from(at));
    }
    image_map const begun = first.disk->image();
    for (std::uint64_t at = 1;; ++at) {
        CAPTURE(at);
        sample_node node;
        node.disk->restore(begun);
        node.disk->lose_power_at = at;
        bool done = false;
        try {
            (void)make(node);
            done = true;
        } catch (power_loss) {
        }
        node.disk->crash(survivors::random, bits_from(at));
        if (!done && node.disk->exists(storage::new_cluster_name)) (void)make(node);
        check_succeeded(node, before);
        if (done) break;
    }
}

TEST_CASE("every error of the disk ends in a sentence, and a second run succeeds") {
    image_map const before = survivor().disk->image();
    for (std::uint64_t at = 1;; ++at) {
        CAPTURE(at);
        sample_node node;
        node.disk->restore(before);
        bool failed = false;
        node.disk->fault = [&](operation const& o) {
            if (o.number != at || failed) return std::error_code{};
            failed = true;
            return io_error();
        };
        std::string sentence;
        try {
            (void)make(node);
        } catch (openreplica::error const& e) {
            CHECK(e.code() == openreplica::errc::storage_failed);
            sentence = e.what();
        }
        if (!failed) break;
        node.disk->fault = {};
        if (!sentence.empty()) {
            CHECK(sentence.find("check the disk") != std::string::npos);
            if (storage::decode_identity(node.disk->content("id"))->node == new_node)
                CHECK(node.disk->exists(storage::new_cluster_name));
            (void)make(node);
        }
        check_succeeded(node, before);
    }
}

TEST_CASE("a disk without room for the new files keeps the old ones, and gets its room back") {
    sample_node node = survivor();
    auto const before = node.disk->image();
    std::uint64_t used = 0;
    for (auto const& [name, bytes] : before) used += bytes.size();
    node.disk->capacity = used + 70'000;
    CHECK_THROWS_AS((void)make(node), openreplica::error);
    CHECK(node.disk->image() == before);
    node.disk->capacity = ~std::uint64_t{0};
    (void)make(node);
    check_succeeded(node, before);
}

TEST_CASE("a disk that does not give back what was written is found out before anything is decided") {
    sample_node node = survivor();
    auto const before = node.disk->image();
    node.dir = std::make_unique<faulty_directory>(node.disk);
    auto const from = storage::read_heritage(*node.dir, false);
    bool spoilt = false;
    node.disk->fault = [&](operation const& o) {
        if (!spoilt && o.what == operation::kind::list && node.disk->exists("meta.a.coming") &&
            node.disk->exists("wal-0000000000000002.coming") && node.disk->exists("snapshot-0000000000000015.coming")) {
            spoilt = true;
            node.disk->flip_bit("wal-0000000000000002.coming", 8 * 3000);
        }
        return std::error_code{};
    };
    storage::new_cluster making(*node.dir, 16 * 1024);
    CHECK_THROWS_WITH_AS((void)making.make(from, self, new_cluster_id),
                         doctest::Contains("do not read back as they were written"), openreplica::error);
    CHECK(spoilt);
    CHECK(node.disk->image() == before);
}

TEST_CASE("a second cluster can be made of the first one, and the evidence of both is kept") {
    sample_node node = survivor();
    auto const before = node.disk->image();
    (void)make(node);
    // Its node has lost nobody, unless it is damaged: the last copy of a configuration is gone with the log's end.
    node.dir = std::make_unique<faulty_directory>(node.disk);
    CHECK_THROWS_WITH_AS((void)storage::read_heritage(*node.dir, false), doctest::Contains("has lost nobody"),
                         openreplica::error);
    auto const between = node.disk->image();
    node.disk->flip_bit("meta.a", 100);
    node.disk->flip_bit("meta.b", 100);
    storage::new_cluster making(*node.dir, small_segment);
    auto const s = making.make(storage::read_heritage(*node.dir, true), {node_id{5, 5}, self.address}, cluster_id{9, 9});
    CHECK(s.number == openreplica::epoch{3});
    CHECK(s.kept == slot{42});
    CHECK(s.damage.find("T12") != std::string::npos);
    node.start();
    CHECK(node.found.owner.node == node_id{5, 5});
    CHECK(node.found.state.entries.size() == 28);
    CHECK(node.disk->content("id" + evidence) == before.at("id"));
    CHECK(node.disk->content("id" + s.evidence()) == between.at("id"));
}

TEST_CASE("what is going to happen is written so that it is whole or not there") {
    succession s{succession::step::moving_in, node_id{1, 2}, node_id{3, 4}, cluster_id{5, 6}, cluster_id{7, 8},
                 {std::string(255, 'h'), 65535}, openreplica::epoch{9}, slot{10}, 11, std::string(128, 'd')};
    std::string const file = encode(s);
    CHECK(file.size() == storage::sector_size);
    CHECK(storage::decode_succession(file) == s);
    for (std::size_t size = 0; size < file.size(); ++size) CHECK_FALSE(storage::decode_succession(file.substr(0, size)));
    std::size_t const used = file.find_last_not_of('\0') + 1;
    for (std::size_t bit = 0; bit < 8 * used; ++bit) {
        std::string bad = file;
        bad[bit / 8] = static_cast<char>(static_cast<unsigned char>(bad[bit / 8]) ^ (1u << (bit % 8)));
        CHECK_FALSE(storage::decode_succession(bad));
    }
    sample_node node = survivor();
    node.disk->set_content(storage::new_cluster_name, std::string(storage::sector_size, 'x'));
    CHECK_THROWS_WITH_AS((void)make(node), doctest::Contains("its file new-cluster is damaged"), openreplica::error);
}

} // namespace new_cluster_test
