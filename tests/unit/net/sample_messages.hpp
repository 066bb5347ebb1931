// One of every message: as it is born, with ordinary contents, and with the largest that are taken.
#pragma once

#include <openreplica/net/codec.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace net_test {

using namespace openreplica;

inline constexpr std::uint64_t largest = ~std::uint64_t{0};
/// Rounds and slots end here, so that no arithmetic on them overflows.
inline constexpr std::uint64_t last_position = (std::uint64_t{1} << 62) - 1;
inline constexpr slot last_slot{last_position};
inline constexpr ballot some_ballot{7, 3, {0x11, 0x22}};
inline constexpr ballot last_ballot{last_position, 0xffff'ffff, {largest, largest}};
inline constexpr cluster_id some_cluster{0xc1, 0xc2};

inline paxos::member member_of(std::uint64_t id, std::string host = "127.0.0.1", std::uint16_t port = 7420) {
    return {{0, id}, {std::move(host), port}};
}

inline paxos::configuration some_configuration() {
    return {epoch{4}, {member_of(1), member_of(2, "bank-2.example.org"), member_of(3, "::1", 0xffff)}, {{0, 9}, {7, 0}}};
}

/// As many voters as are taken, with host names as long as DNS allows.
inline paxos::configuration largest_configuration() {
    paxos::configuration c{epoch{0xffff'ffff}, {}};
    for (std::size_t i = 0; i < paxos::max_voters; ++i) c.voters.push_back(member_of(i + 1, std::string(255, 'h')));
    return c;
}

inline std::vector<paxos::value> some_values() {
    using paxos::value_kind;
    return {{value_kind::no_op, log_time{0}, {}},
            {value_kind::command, log_time{1234}, shared_bytes(std::string("a command\0with a zero", 21))},
            {value_kind::configuration, log_time{largest}, paxos::body_of(some_configuration())}};
}

inline std::vector<paxos::entry> some_entries() {
    auto const v = some_values();
    return {{slot{0}, {}, v[0]}, {slot{9}, some_ballot, v[1]}, {last_slot, last_ballot, v[2]}};
}

inline std::vector<paxos::message> sample_log_messages() {
    using namespace paxos;
    epoch const e{0xffff'ffff};
    return {prepare{},
            prepare{some_ballot, slot{5}, epoch{2}},
            prepare{last_ballot, last_slot, e},
            promise{},
            promise{some_ballot, slot{5}, epoch{2}, 3, false, some_entries()},
            promise{last_ballot, last_slot, e, 0xffff'ffff, true, std::vector<entry>(20)},
            reject{},
            reject{some_ballot, last_ballot},
            paxos::accept{},
            paxos::accept{some_ballot, epoch{2}, slot{6}, some_values(), slot{5}},
            paxos::accept{last_ballot, e, last_slot, std::vector<value>(90), last_slot},
            accepted{},
            accepted{some_ballot, slot{6}, true},
            accepted{last_ballot, last_slot, false},
            chosen_index{},
            chosen_index{last_ballot, last_slot},
            learn{},
            learn{last_slot},
            learned{},
            learned{some_ballot, slot{6}, some_values(), slot{8}, slot{1}},
            learned{last_ballot, last_slot, {}, last_slot, last_slot}};
}

inline std::vector<paxos::message> sample_small_messages() {
    using namespace paxos;
    shared_bytes const command(std::string("[\"add\",1]"));
    return {heartbeat{},
            heartbeat{17, some_ballot, slot{5}},
            heartbeat{largest, last_ballot, last_slot},
            heartbeat_reply{},
            heartbeat_reply{17, some_ballot, true, false, slot{5}, slot{6}, disk_state::slow},
            heartbeat_reply{largest, last_ballot, false, true, last_slot, last_slot, disk_state::failed},
            read_request{},
            read_request{largest},
            read_reply{},
            read_reply{largest, last_slot},
            forward{},
            forward{17, 1, {command, shared_bytes(), shared_bytes(std::string(5000, 'x'))}},
            forward{largest, 0xff, std::vector<shared_bytes>(90)},
            forward_refused{},
            forward_refused{largest, {0, 4294967295u}, 0xff, "a sentence"},
            snapshot_request{},
            snapshot_request{last_slot, largest},
            snapshot_chunk{},
            snapshot_chunk{slot{5}, some_ballot, log_time{6}, some_configuration(), 7, 8, 9, command},
            snapshot_chunk{last_slot, last_ballot, log_time{largest}, largest_configuration(), largest, largest,
                           0xffff'ffff, shared_bytes(std::string(1000, '\0'))},
            hand_over{},
            hand_over{last_ballot},
            meet{},
            meet{{member_of(1), member_of(2, "h", 1)}},
            change_request{},
            change_request{largest, {{"127.0.0.1:7420", ""}, {std::string(300, 'x')}, true}},
            transfer_request{},
            transfer_request{17, "127.0.0.1:7420"},
            change_reply{},
            change_reply{largest, 0xff, "a sentence", epoch{7}}};
}

inline std::vector<paxos::message> sample_messages() {
    auto all = sample_log_messages();
    for (auto& m : sample_small_messages()) all.push_back(std::move(m));
    return all;
}

inline std::vector<paxos::founding_message> sample_founding_messages() {
    using namespace paxos;
    cluster_id const c{largest, largest};
    return {discover{},
            discover{member_of(1), 3, {member_of(2), member_of(3, "h", 1)}, some_cluster},
            discover{{{largest, largest}, {std::string(255, 'h'), 0xffff}}, 0xffff'ffff, std::vector<member>(40), c},
            propose_first{},
            propose_first{{some_cluster, some_configuration()}},
            propose_first{{c, largest_configuration()}},
            first_accepted{},
            first_accepted{c},
            first_chosen{},
            first_chosen{{some_cluster, some_configuration()}},
            abandon_first{},
            abandon_first{c},
            first_abandoned{},
            first_abandoned{c},
            welcome{},
            welcome{some_cluster, some_configuration(), true},
            welcome{c, largest_configuration(), false, some_configuration()}};
}

/// The frames of all samples.
inline std::vector<std::string> sample_frames() {
    std::vector<std::string> frames;
    for (auto const& m : sample_messages()) frames.push_back(net::encode(m));
    for (auto const& m : sample_founding_messages()) frames.push_back(net::encode(m));
    return frames;
}

inline std::uint8_t type_of(std::string const& frame) { return static_cast<std::uint8_t>(frame.at(5)); }
inline std::string body_of(std::string const& frame) { return frame.substr(net::frame_header_size); }

/// Decodes a body that lies in a buffer of exactly its size, so that the address sanitizer sees a read past its end.
inline std::optional<net::any_message> decode_body(std::uint8_t type, std::string_view body) {
    return net::decode(type, std::make_shared<std::string const>(body), 0, body.size());
}

inline std::string encode_any(net::any_message const& m) {
    return std::visit([](auto const& kind) { return net::encode(kind); }, m);
}

inline net::hello some_hello(std::uint64_t id = 1) {
    net::hello h;
    h.group = "bank";
    h.self = member_of(id);
    h.catalogue = {{"account", 0xacc}, {"ledger", 0x1ed}};
    return h;
}

} // namespace net_test
