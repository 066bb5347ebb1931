// Diskless storage: everything is durable at once, and nothing is left after a restart.
#include <openreplica/storage/memory.hpp>

#include <doctest/doctest.h>

#include <array>
#include <span>
#include <vector>

namespace memory_test {

using namespace openreplica;

/// Counts what a storage reports.
struct listener {
    std::vector<lsn> durable;
    std::vector<slot> kept;
    int changes = 0;
    storage::memory store{
        {[this](lsn upto) { durable.push_back(upto); }, [this](slot at, bool) { kept.push_back(at); }, [this] { ++changes; }}};
};

std::array<paxos::record, 2> const records{paxos::promise_record{ballot{1, 0, node_id{0, 1}}},
                                           paxos::chosen_record{slot{1}, {}}};

TEST_CASE("what is appended or kept in memory is durable before the call returns, in the order of the positions") {
    listener l;
    l.store.append(records, lsn{2});
    CHECK(l.durable == std::vector{lsn{2}});
    l.store.keep(paxos::snapshot{slot{1}, {}, {}, {}, shared_bytes("state")});
    CHECK(l.kept == std::vector{slot{1}});
    l.store.append(std::span(records).first(1), lsn{3});
    CHECK(l.durable == std::vector{lsn{2}, lsn{3}});
    CHECK(l.changes == 0);
    CHECK(l.store.state() == storage::health::ok);
}

TEST_CASE("R25: a diskless storage remembers nothing, so its node starts as one that belongs to no group") {
    listener l;
    l.store.append(records, lsn{2});
    l.store.keep(paxos::snapshot{slot{1}, {}, {}, {}, shared_bytes("state")});
    paxos::durable_state const found = l.store.recover();
    CHECK(found.group == paxos::first_configuration{});
    CHECK_FALSE(found.group_chosen);
    CHECK(found.abandoned.empty());
    CHECK(found.promised == ballot{});
    CHECK(found.chosen == slot{});
    CHECK(found.base == paxos::snapshot{});
    CHECK(found.entries.empty());
}

} // namespace memory_test
