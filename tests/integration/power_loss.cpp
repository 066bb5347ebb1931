// Real power loss: each process keeps its directory on an ext4 image of its own, and the image stops taking writes under
// load, without a flush. What the file system's journal then brings back is what a machine finds when it starts again.
//
//   OPENREPLICA_POWER_CYCLES=N    how often the power is cut (5; a long run takes 100)
#define DOCTEST_CONFIG_IMPLEMENT
#include "durable_group.hpp"
#include "private_mounts.hpp"

#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace durable;

namespace {

std::string no_mounts; ///< why this process has no mounts of its own

class powered_group {
    temporary_directory images_;
    std::vector<std::unique_ptr<mounts::file_system>> disks_;
    std::vector<std::string> ids_;

public:
    durable::group members{3}; // Behind the disks: its processes end before they are unmounted.

    powered_group() : ids_(3) {
        members.callers = 4; // Groups of several records, so that a torn write can tear between them.
        for (std::size_t i = 0; i < 3; ++i) {
            auto const name = std::to_string(i);
            disks_.push_back(std::make_unique<mounts::file_system>(images_.path / (name + ".img"), images_.path / name, "48M"));
            REQUIRE(disks_.back()->is_mounted());
            members.place(i, images_.path / name / "data");
        }
    }

    /// The power goes first, and the processes a moment later: they may not say anything that is not on the disk.
    void cut(std::vector<std::size_t> const& victims) {
        for (std::size_t i : victims) REQUIRE(disks_[i]->cut_power());
        (void)members.listen(20, 1s);
    }
    void start_machines_again(std::vector<std::size_t> const& victims) {
        for (std::size_t i : victims) {
            members.end(i);
            REQUIRE(disks_[i]->mount_again());
            INFO("member " << i);
            CHECK(damage_of(members.dir(i)) == "");
            if (ids_[i].empty()) ids_[i] = owner_of(members.dir(i));
            CHECK(owner_of(members.dir(i)) == ids_[i]);
            members.start(i);
            CHECK(members.hear(i, "id " + ids_[i]));
        }
    }
};

/// All in every other cycle, else one or two of them.
std::vector<std::size_t> victims_of(int cycle, std::mt19937& random) {
    std::vector<std::size_t> all{0, 1, 2};
    std::shuffle(all.begin(), all.end(), random);
    if (cycle % 2 == 1) all.resize(1 + random() % 2);
    return all;
}

} // namespace

TEST_CASE("the power goes again and again under load, and nothing acknowledged is lost or executed twice") {
    temporary_directory scratch;
    std::string const why = no_mounts.empty() ? mounts::why_power_cannot_be_cut(scratch.path) : no_mounts;
    if (!why.empty()) {
        std::cout << "skipped: power loss on ext4 images, because " << why << std::endl;
        MESSAGE("skipped: " << why);
        return;
    }
    powered_group group;
    std::mt19937 random(11);
    int const n = number_from("OPENREPLICA_POWER_CYCLES", 5);
    group.members.start_all();
    for (int cycle = 0; cycle < n; ++cycle) {
        REQUIRE(group.members.listen(1 + random() % 300));
        auto const victims = victims_of(cycle, random);
        group.cut(victims);
        group.start_machines_again(victims);
        std::cout << "power cycle " << cycle + 1 << " of " << n << ", " << victims.size()
                  << " of 3 machines: " << group.members.acknowledged.size() << " acknowledged" << std::endl;
    }
    REQUIRE(group.members.listen(50));
    check_exactly_once(group.members.read_back(), group.members.acknowledged);
    for (std::size_t i = 0; i < 3; ++i) CHECK(damage_of(group.members.dir(i)) == "");
}

int main(int argc, char** argv) {
    if (!is_member(argc, argv)) no_mounts = mounts::make_private();
    return durable_main(argc, argv);
}
