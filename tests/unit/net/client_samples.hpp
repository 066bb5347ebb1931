// One of every message of clients: as it is born, with ordinary contents, and with the largest that are taken.
#pragma once

#include <openreplica/net/client_codec.hpp>

#include "sample_messages.hpp"

#include <string>
#include <vector>

namespace net_test {

inline net::view some_view() {
    return {some_cluster, epoch{4}, some_configuration().voters, node_id{0, 2}, some_ballot, true, slot{9}, log_time{17}};
}

inline net::view largest_view() {
    net::view v{{largest, largest}, epoch{0xffff'ffff}, {}, {largest, largest}, last_ballot, true, last_slot,
                log_time{largest}};
    for (std::size_t i = 0; i < net::max_view_members; ++i) v.members.push_back(member_of(i, std::string(255, 'h')));
    return v;
}

inline std::vector<net::client_request> sample_client_requests() {
    using namespace net;
    shared_bytes const body(std::string("[\"add\",1]"));
    return {client_ping{},
            client_ping{largest},
            client_commands{},
            client_commands{17, {body, shared_bytes(), shared_bytes(std::string(3000, 'x'))}},
            client_leave{},
            client_leave{session_id{largest}},
            client_query{},
            client_query{17, query_kind::exists, true, slot{5}, 100'000, 2'000'000, "hits", "counter", body},
            client_query{largest, query_kind::call, false, last_slot, largest, largest, std::string(256, 'n'),
                         std::string(1000, 't'), shared_bytes(std::string(2000, 'b'))},
            client_question{},
            client_question{17, "log", "20"},
            client_order{},
            client_order{largest, R"({"add":["127.0.0.1:7000"]})"}};
}

inline std::vector<net::client_reply> sample_client_replies() {
    using namespace net;
    call_outcome const good{errc{}, "", "42", slot{7}};
    call_outcome const bad{errc::method_threw, "thrown on purpose", "", last_slot};
    return {client_pong{},
            client_pong{17, some_view()},
            client_pong{largest, largest_view()},
            client_refused{},
            client_refused{17, {0, 4294967295u}, errc::overloaded, "the window is full"},
            client_opened{},
            client_opened{largest, session_id{8}, log_time{9}, errc::overloaded, "too many"},
            client_outcomes{},
            client_outcomes{session_id{5}, slot{9}, log_time{10}, {{sequence{1}, true, good}, {sequence{2}, false, bad}}},
            client_answer{},
            client_answer{17, good, 1234},
            client_answer{largest, bad, largest}};
}

/// The frames of all of them.
inline std::vector<std::string> sample_client_frames() {
    std::vector<std::string> frames;
    for (auto const& m : sample_client_requests()) frames.push_back(net::encode(m));
    for (auto const& m : sample_client_replies()) frames.push_back(net::encode(m));
    return frames;
}

} // namespace net_test
