#include <openreplica/force_new_cluster.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <stdlib.h>

namespace force_new_cluster_test {

using namespace openreplica;
namespace fs = std::filesystem;
constexpr auto sure = confirmation::i_have_lost_the_majority;
constexpr node_id old_node{0x0123456789abcdefu, 1};

struct temporary_directory {
    fs::path path;
    temporary_directory() {
        std::string name = (fs::temp_directory_path() / "openreplica-XXXXXX").string();
        path = mkdtemp(name.data());
    }
    ~temporary_directory() { fs::remove_all(path); }
    [[nodiscard]] std::string at(char const* name) const { return (path / name).string(); }
};

std::map<std::string, std::string> contents(std::string const& dir) {
    std::map<std::string, std::string> out;
    for (auto const& file : fs::directory_iterator(dir)) {
        std::ifstream in(file.path(), std::ios::binary);
        out[file.path().filename().string()] = std::string(std::istreambuf_iterator<char>(in), {});
    }
    return out;
}

/// A node's directory: one of three voters, or a learner of these three, that has accepted `slots` entries.
void make_member(std::string const& where, std::uint64_t slots, bool votes = true) {
    storage::posix_directory dir(where);
    storage::disk_log log(dir, 64 * 1024, storage::recovery(dir, 64 * 1024, [] { return old_node; }).open());
    paxos::configuration group{epoch{1}, {{node_id{1, 1}, {"a.example", 7000}}, {node_id{2, 2}, {"b.example", 7000}}}};
    if (votes) group.voters.push_back({old_node, {"c.example", 7000}});
    REQUIRE_FALSE(log.open());
    log.writer().add(paxos::founding_record{paxos::founding_record::step::chosen, {cluster_id{77, 88}, group}});
    for (std::uint64_t at = 1; at <= slots; ++at)
        log.writer().add(paxos::accept_record{{slot{at}, {3, 0, node_id{1, 1}}, {}}});
    REQUIRE_FALSE(log.writer().commit());
    REQUIRE_FALSE(log.carry_out(log.plan_removal(slot{})));
}

/// Calls it and expects this code, and a sentence that holds this part.
void check_refused(std::string const& dir, confirmation confirmed, force_new_cluster_options const& options, errc code,
                   std::string_view part) {
    try {
        (void)force_new_cluster(dir, confirmed, options);
        FAIL_CHECK("it was not refused");
    } catch (error const& e) {
        CAPTURE(e.what());
        CHECK(e.code() == code);
        CHECK(std::string_view(e.what()).find(part) != std::string_view::npos);
    }
}

TEST_CASE("without confirmation nothing is changed, and the sentence says what would be kept") {
    temporary_directory home;
    make_member(home.at("c"), 5);
    auto const before = contents(home.at("c"));
    check_refused(home.at("c"), confirmation::none, {}, errc::bad_option,
                  "all up to slot 5, of which the last 5 entries are not known to be chosen (the last one has round 3)");
    check_refused(home.at("c"), confirmation::none, {}, errc::bad_option, "Nothing was changed");
    CHECK(contents(home.at("c")) == before);
}

TEST_CASE("it tells what it did, and a node finds itself alone in a new cluster") {
    temporary_directory home;
    make_member(home.at("c"), 5);
    auto const did = force_new_cluster(home.at("c"), sure);
    CHECK(did.old_cluster == to_string(cluster_id{77, 88}));
    CHECK(did.old_node == to_string(old_node));
    CHECK(did.new_cluster.size() == 32);
    CHECK(did.new_cluster != did.old_cluster);
    CHECK(did.new_node != did.old_node);
    CHECK(did.address == "c.example:7000");
    CHECK(did.epoch == 2);
    CHECK(did.kept_to == 5);
    CHECK(did.not_known_chosen == 5);
    CHECK(did.damage.empty());
    CHECK_FALSE(did.resumed);
    CHECK(fs::exists(home.path / "c" / ("id" + did.evidence)));
    storage::posix_directory dir(home.at("c"));
    auto const found = storage::recovery(dir, 64 * 1024, {}).open();
    CHECK(to_string(found.owner.node) == did.new_node);
    CHECK(to_string(found.state.group.cluster) == did.new_cluster);
    CHECK(found.state.group.members.voters == std::vector<paxos::member>{{found.owner.node, {"c.example", 7000}}});
    CHECK(found.state.chosen == slot{6});
}

TEST_CASE("two clusters that were made of one directory are two") {
    temporary_directory home;
    make_member(home.at("c"), 1);
    fs::copy(home.at("c"), home.at("d"));
    CHECK(force_new_cluster(home.at("c"), sure).new_cluster != force_new_cluster(home.at("d"), sure).new_cluster);
}

TEST_CASE("a new address is taken if it is one, and a node that had no vote must name it") {
    temporary_directory home;
    make_member(home.at("c"), 1);
    for (char const* wrong : {"nowhere", "host:", ":7000", "host:0", "host:70000", "fe80::1:7000"})
        check_refused(home.at("c"), sure, {.address = wrong}, errc::bad_option, "is not a host and a port");
    check_refused(home.at("c"), sure, {.address = std::string(256, 'h') + ":1"}, errc::bad_option, "is not a host and a port");
    CHECK(force_new_cluster(home.at("c"), sure, {.address = "[fe80::1]:7001"}).address == "[fe80::1]:7001");
    make_member(home.at("learner"), 1, false);
    check_refused(home.at("learner"), sure, {}, errc::bad_option, "name its address");
    CHECK(force_new_cluster(home.at("learner"), sure, {.address = "d.example:7000"}).address == "d.example:7000");
}

TEST_CASE("an empty, a foreign or a missing directory is refused, and nothing is left behind") {
    temporary_directory home;
    fs::create_directory(home.path / "empty");
    fs::create_directory(home.path / "foreign");
    std::ofstream(home.path / "foreign" / "letter.txt") << "to whom it may concern";
    check_refused(home.at("empty"), sure, {}, errc::storage_failed, "it is empty");
    check_refused(home.at("foreign"), sure, {}, errc::storage_failed, "none of a node");
    check_refused(home.at("missing"), sure, {}, errc::storage_failed, "cannot be opened");
    CHECK(contents(home.at("empty")).empty());
    CHECK(contents(home.at("foreign")).size() == 1);
    CHECK_FALSE(fs::exists(home.path / "missing"));
}

TEST_CASE("a directory that a node holds is refused") {
    temporary_directory home;
    make_member(home.at("c"), 1);
    storage::posix_directory node(home.at("c"));
    check_refused(home.at("c"), sure, {}, errc::storage_failed, "in use by another node");
}

TEST_CASE("damage must be accepted") {
    temporary_directory home;
    make_member(home.at("c"), 5);
    for (char const* meta : storage::meta_names) fs::resize_file(home.path / "c" / meta, 100);
    auto const before = contents(home.at("c"));
    check_refused(home.at("c"), sure, {}, errc::storage_failed, "accept the damage explicitly");
    CHECK(contents(home.at("c")) == before);
    auto const did = force_new_cluster(home.at("c"), sure, {.accept_damage = true});
    CHECK(did.kept_to == 5);
    CHECK(did.damage.find("T12") != std::string::npos);
}

TEST_CASE("an interrupted run is ended by the next one, as it was decided") {
    temporary_directory home;
    make_member(home.at("c"), 5);
    auto const before = contents(home.at("c"));
    auto const did = force_new_cluster(home.at("c"), sure);
    // As the first one would have left it right after its decision.
    auto after = contents(home.at("c"));
    fs::remove_all(home.path / "c");
    fs::create_directory(home.path / "c");
    auto const put = [&](std::string const& name, std::string const& bytes) {
        std::ofstream(home.path / "c" / name, std::ios::binary) << bytes;
    };
    for (auto const& [name, bytes] : before) put(name, bytes);
    for (auto const& [name, bytes] : after)
        if (name == "id" || storage::detail::is_data(name)) put(name + std::string(storage::coming_suffix), bytes);
    storage::succession s;
    auto const id = [](std::string const& text, auto& out) {
        out.high = std::stoull(text.substr(0, 16), nullptr, 16);
        out.low = std::stoull(text.substr(16), nullptr, 16);
    };
    s.old_node = old_node;
    s.old_cluster = cluster_id{77, 88};
    id(did.new_node, s.new_node);
    id(did.new_cluster, s.new_cluster);
    s.address = {"c.example", 7000};
    s.number = epoch{2};
    s.kept = slot{5};
    s.unproven = 5;
    put(storage::new_cluster_name, encode(s));

    {
        storage::posix_directory dir(home.at("c"));
        CHECK_THROWS_WITH_AS((void)storage::recovery(dir, 64 * 1024, {}).open(), doctest::Contains("run force_new_cluster"),
                             error);
    }
    check_refused(home.at("c"), confirmation::none, {}, errc::bad_option, "confirm it again to let it end");
    auto const again = force_new_cluster(home.at("c"), sure, {.address = "elsewhere.example:1"});
    CHECK(again.resumed);
    CHECK(again.new_cluster == did.new_cluster);
    CHECK(again.new_node == did.new_node);
    CHECK(again.address == did.address);
    CHECK(again.epoch == did.epoch);
    CHECK(again.kept_to == did.kept_to);
    CHECK(contents(home.at("c")) == after);
}

} // namespace force_new_cluster_test
