#include <openreplica/storage/record_codec.hpp>

#include "sample_log.hpp"

#include <doctest/doctest.h>

namespace record_codec_test {

using namespace storage_test;
using storage::checkpoint;
using storage::wal_record;
using step = paxos::founding_record::step;

std::vector<wal_record> samples() {
    checkpoint full;
    full.promised = ballot_of(9);
    full.chosen = slot{4};
    full.group = {cluster_id{1, 2}, voters(3)};
    full.group_chosen = true;
    full.abandoned = {cluster_id{3, 4}, cluster_id{5, 6}};
    return {paxos::promise_record{ballot_of(7)},
            accept(1, 0),
            accept(2, 300),
            paxos::accept_record{{slot{3}, ballot_of(2), {paxos::value_kind::configuration, {}, shared_bytes("c")}}},
            paxos::chosen_record{slot{99}, ballot{3, 0, node_id{0, 2}}},
            founding(3, step::accepted),
            paxos::founding_record{step::ended, {cluster_id{1, 1}, {}}},
            checkpoint{},
            full};
}

char type_of(wal_record const& r) { return storage::wal_record_types[r.index()]; }
std::string encode(wal_record const& r) {
    std::string out;
    std::visit([&](auto const& body) { storage::encode_payload(body, out); }, r);
    return out;
}
std::optional<wal_record> decode(char type, std::string bytes) {
    std::size_t const size = bytes.size();
    return storage::decode_payload(type, std::make_shared<std::string const>(std::move(bytes)), 0, size);
}

TEST_CASE("every kind of record reads back as it was written") {
    for (wal_record const& r : samples()) CHECK(decode(type_of(r), encode(r)) == r);
}

TEST_CASE("a record in the middle of a buffer keeps a slice of it as its body") {
    std::string bytes = "before";
    storage::encode_payload(accept(5, 50), bytes);
    std::size_t const size = bytes.size() - 6;
    auto const buffer = std::make_shared<std::string const>(bytes + "behind");
    auto const r = storage::decode_payload('A', buffer, 6, size);
    REQUIRE(r);
    auto const view = std::get<paxos::accept_record>(*r).what.what.body.view();
    CHECK(view == text(50, 6));
    CHECK(view.data() > buffer->data());
    CHECK(view.data() < buffer->data() + buffer->size());
}

TEST_CASE("a payload that is cut anywhere, or has a byte too many, is refused") {
    for (wal_record const& r : samples()) {
        std::string const whole = encode(r);
        for (std::size_t n = 0; n < whole.size(); ++n) {
            CHECK_FALSE(decode(type_of(r), whole.substr(0, n)));
            if (n + 1 < whole.size()) CHECK_FALSE(decode(type_of(r), whole.substr(0, n) + storage::payload_end));
        }
        CHECK_FALSE(decode(type_of(r), whole + '\0'));
        CHECK_FALSE(decode(type_of(r), whole + storage::payload_end));
        CHECK_FALSE(decode('x', whole));
    }
}

TEST_CASE("values that no record has are refused") {
    std::string a = encode(wal_record(accept(1, 3)));
    a[8 + 28] = 3; // the kind of value
    CHECK_FALSE(decode('A', a));
    std::string f = encode(wal_record(founding(3, step::accepted)));
    for (char bad : {char{0}, char{5}}) {
        f[0] = bad;
        CHECK_FALSE(decode('F', f));
    }
}

TEST_CASE("a checkpoint takes in what each record changes") {
    checkpoint c;
    c.apply(paxos::promise_record{ballot_of(3)});
    c.apply(paxos::promise_record{ballot_of(2)});
    CHECK(c.promised == ballot_of(3));
    c.apply(accept(1, 0, 5));
    CHECK(c.promised == ballot_of(5));
    c.apply(paxos::chosen_record{slot{8}, {}});
    c.apply(paxos::chosen_record{slot{7}, {}});
    CHECK(c.chosen == slot{8});
    c.apply(founding(3, step::accepted));
    CHECK((c.group.cluster == cluster_id{77, 88} && !c.group_chosen));
    c.apply(founding(3, step::chosen));
    CHECK(c.group_chosen);
    c.apply(paxos::founding_record{step::abandoned, {cluster_id{5, 5}, {}}});
    CHECK(c.abandoned == std::vector{cluster_id{5, 5}});
    c.apply(paxos::founding_record{step::ended, {cluster_id{5, 5}, {}}});
    CHECK(c.group_chosen);
    c.apply(paxos::founding_record{step::ended, {cluster_id{77, 88}, {}}});
    CHECK((c.group == paxos::first_configuration{} && !c.group_chosen));
}

} // namespace record_codec_test
