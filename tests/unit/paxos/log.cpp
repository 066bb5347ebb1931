// What a node holds of the log in memory.
#include <openreplica/paxos/log.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <string>

namespace paxos_script::log_test {

inline ballot const n1{1, 0, a}, n2{2, 0, b};

inline log filled(std::uint64_t upto) {
    log l;
    for (std::uint64_t s = 1; s <= upto; ++s) l.put(slot{s}, n1, command("x" + std::to_string(s)));
    return l;
}
inline std::string shape(log const& l) {
    return text(l.trimmed()) + " <= " + text(l.chosen()) + " <= " + text(l.last());
}

TEST_CASE("an empty log holds nothing and begins at slot 1") {
    log const l;
    CHECK(l.first() == slot{1});
    CHECK(shape(l) == "0 <= 0 <= 0");
    CHECK_FALSE(l.holds(slot{0}));
    CHECK_FALSE(l.holds(slot{1}));
}

TEST_CASE("an entry is appended at the end with the ballot that it was accepted under") {
    log const l = filled(2);
    CHECK(shape(l) == "0 <= 0 <= 2");
    CHECK(text(l.entry_at(slot{2})) == "2:x2@1a");
    CHECK(l.holds(slot{2}));
    CHECK_FALSE(l.holds(slot{3}));
}

TEST_CASE("an entry above the chosen index is replaced by a later ballot, and its neighbours stay") {
    log l = filled(3);
    l.choose(slot{1});
    l.put(slot{2}, n2, command("y"));
    CHECK(text(l.entry_at(slot{1})) == "1:x1@1a");
    CHECK(text(l.entry_at(slot{2})) == "2:y@2b");
    CHECK(text(l.entry_at(slot{3})) == "3:x3@1a");
    CHECK(shape(l) == "0 <= 1 <= 3");
}

TEST_CASE("trimming forgets chosen entries and keeps the numbers of the others") {
    log l = filled(4);
    l.choose(slot{3});
    l.trim(slot{2});
    CHECK(shape(l) == "2 <= 3 <= 4");
    CHECK(l.first() == slot{3});
    CHECK_FALSE(l.holds(slot{2}));
    CHECK(text(l.entry_at(slot{3})) == "3:x3@1a");
    CHECK(text(l.entry_at(slot{4})) == "4:x4@1a");
    l.trim(slot{1});
    CHECK(shape(l) == "2 <= 3 <= 4");
}

TEST_CASE("everything chosen can be trimmed, and the log goes on behind it") {
    log l = filled(2);
    l.choose(slot{2});
    l.trim(slot{2});
    CHECK(shape(l) == "2 <= 2 <= 2");
    l.put(slot{3}, n2, command("y"));
    CHECK(text(l.entry_at(slot{3})) == "3:y@2b");
}

TEST_CASE("R17: a snapshot inside the log keeps what was accepted above it") {
    log l = filled(5);
    l.choose(slot{1});
    l.install(slot{3}, {});
    CHECK(shape(l) == "3 <= 3 <= 5");
    CHECK(text(l.entry_at(slot{4})) == "4:x4@1a");
    CHECK(text(l.entry_at(slot{5})) == "5:x5@1a");
}

TEST_CASE("a snapshot beyond the log leaves it empty behind the snapshot") {
    log l = filled(5);
    l.install(slot{5000}, {});
    CHECK(shape(l) == "5000 <= 5000 <= 5000");
    CHECK(l.first() == slot{5001});
    l.put(slot{5001}, n2, command("y"));
    CHECK(text(l.entry_at(slot{5001})) == "5001:y@2b");
}

TEST_CASE("a snapshot at the log's end keeps nothing and leaves no hole") {
    log l = filled(3);
    l.install(slot{3}, {});
    CHECK(shape(l) == "3 <= 3 <= 3");
}

TEST_CASE("a value weighs its bytes and a fixed overhead, so that empty ones fill a window too") {
    CHECK(no_op().weight() == 32);
    CHECK(command("four").weight() == 36);
}

TEST_CASE("it knows what it weighs: appended, replaced, trimmed, installed") {
    log l = filled(4); // Each of 34: two bytes and the overhead.
    CHECK(l.reach_of(4 * 34) == slot{0});
    CHECK(l.reach_of(4 * 34 - 1) == slot{1});
    CHECK(l.reach_of(33) == slot{4});
    l.put(slot{4}, n2, command(std::string(100, 'x')));
    CHECK(l.reach_of(132) == slot{3});
    CHECK(l.reach_of(131) == slot{4});
    l.choose(slot{4});
    l.trim(slot{2});
    CHECK(l.reach_of(166) == slot{2});
    CHECK(l.reach_of(165) == slot{3});
    l.install(slot{9}, {});
    CHECK(l.reach_of(0) == slot{9});
    l.put(slot{10}, n2, command("y"));
    CHECK(l.reach_of(33) == slot{9});
    CHECK(l.reach_of(32) == slot{10});
}

} // namespace paxos_script::log_test
