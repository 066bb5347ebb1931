// Who votes, and how that is written.
#include <openreplica/paxos/configuration.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace paxos_script::configuration_test {

inline std::string written(configuration const& g) {
    std::string bytes;
    wire_writer w(bytes);
    encode(w, g);
    return bytes;
}
/// The configuration, or nothing when the bytes are malformed, too few or too many.
inline std::optional<configuration> read(std::string const& bytes) {
    wire_reader r(bytes);
    configuration g = decode_configuration(r);
    if (!r.complete()) return std::nullopt;
    return g;
}
inline configuration group_of_size(std::size_t n) {
    configuration g{epoch{1}, {}};
    for (std::size_t i = 1; i <= n; ++i) g.voters.push_back({node_id{7, i}, {"host" + std::to_string(i), 1}});
    return g;
}

TEST_CASE("a quorum is more than half of the voters") {
    std::size_t const expected[] = {1, 2, 2, 3, 3, 4, 4};
    for (std::size_t n = 1; n <= std::size(expected); ++n) {
        CHECK(group_of_size(n).quorum() == expected[n - 1]);
        CHECK(2 * group_of_size(n).quorum() > n);
    }
}

TEST_CASE("two quorums of one configuration share a voter") {
    for (std::size_t n = 1; n <= max_voters; ++n) CHECK(2 * group_of_size(n).quorum() >= n + 1);
}

TEST_CASE("only a listed node is a voter, and an address makes nobody one") {
    configuration const g = group_of({a, c});
    CHECK(g.has_voter(a));
    CHECK(g.has_voter(c));
    CHECK_FALSE(g.has_voter(b));
    CHECK_FALSE(configuration{}.has_voter(node_id{}));
}

TEST_CASE("a configuration reads back as it was written") {
    configuration g{epoch{0xfffffffe},
                    {{node_id{1, 2}, {"10.0.0.1", 65535}}, {node_id{1, 3}, {"fe80::1", 0}}, {node_id{2, 0}, {"", 7}}}};
    CHECK(read(written(g)) == g);
    CHECK(read(written(configuration{})) == configuration{});
}

TEST_CASE("the bytes are frozen: epoch, count, then id, host and port of each voter, then those removed, little-endian") {
    configuration const g{epoch{0x01020304}, {{node_id{0x1122334455667788, 9}, {"h", 0x0a0b}}}, {node_id{1, 2}}};
    std::string const expected("\x04\x03\x02\x01"
                               "\x01"
                               "\x88\x77\x66\x55\x44\x33\x22\x11"
                               "\x09\0\0\0\0\0\0\0"
                               "\x01\0\0\0"
                               "h"
                               "\x0b\x0a"
                               "\x01\0\0\0"
                               "\x01\0\0\0\0\0\0\0"
                               "\x02\0\0\0\0\0\0\0",
                               48);
    CHECK(written(g) == expected);
}

TEST_CASE("as many voters as the limit are read, one more is malformed") {
    CHECK(read(written(group_of_size(max_voters))) == group_of_size(max_voters));
    CHECK_FALSE(read(written(group_of_size(max_voters + 1))));
}

TEST_CASE("voters out of order, or named twice, are malformed: a node would have two votes") {
    configuration g = group_of({a, b, c});
    std::swap(g.voters[0], g.voters[1]);
    CHECK_FALSE(read(written(g)));
    CHECK_FALSE(read(written(group_of({a, a, b}))));
    CHECK_FALSE(read(written(group_of({a, b, b}))));
}

TEST_CASE("a host name as long as DNS allows is read, a longer one is malformed") {
    configuration g = group_of({a});
    g.voters[0].address.host = std::string(255, 'h');
    CHECK(read(written(g)) == g);
    g.voters[0].address.host += 'h';
    CHECK_FALSE(read(written(g)));
}

TEST_CASE("a configuration cut anywhere is malformed, and so is one with a byte too many") {
    std::string const whole = written(group_of({a, b, c}));
    REQUIRE(read(whole));
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK_FALSE(read(whole.substr(0, n)));
    CHECK_FALSE(read(whole + '\0'));
}

TEST_CASE("a host length that points far behind the end is malformed and reads nothing") {
    std::string bytes = written(group_of({a}));
    bytes[21] = bytes[22] = bytes[23] = bytes[24] = '\xff';
    CHECK_FALSE(read(bytes));
}

} // namespace paxos_script::configuration_test
