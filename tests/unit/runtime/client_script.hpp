// One client engine in a world that says and does what the test writes.
#pragma once

#include <openreplica/object/command_text.hpp>
#include <openreplica/runtime/client_engine.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace client_engine_test {

using namespace openreplica;
using namespace std::chrono_literals;

inline endpoint at(std::uint16_t port) { return {"127.0.0.1", port}; }
inline node_id node(std::uint64_t n) { return {0, n}; }

/// What a replica sees: the members 1 to 3, of whom one leads.
inline net::view seen_by(std::uint64_t leader, std::uint64_t round = 1) {
    net::view v;
    v.cluster = {0, 7};
    v.current = epoch{1};
    for (std::uint16_t i = 1; i <= 3; ++i) v.members.push_back({node(i), at(i)});
    v.leader = leader == 0 ? node_id{} : node(leader);
    v.promised = {round, 0, node(leader)};
    v.serving = leader != 0;
    v.applied = slot{100};
    v.clock = log_time{5'000'000};
    return v;
}

struct ended {
    bool done = false;
    call_outcome outcome;
};

struct script : runtime::client_environment {
    instant clock{1h};
    std::uint64_t draws = 0;
    std::set<endpoint> dialled;
    std::vector<std::pair<endpoint, net::client_request>> sent;
    std::set<endpoint> deaf; ///< answers no pings
    int looked_again = 0;
    cluster_id cluster;
    std::vector<std::string> lines;
    runtime::calls calls{64};
    runtime::client_engine engine;
    std::uint64_t tickets = 0;
    std::map<endpoint, net::view> views; ///< what each replica that is up answers a ping with
    duration trip = 1ms;
    std::map<endpoint, duration> trips;

    explicit script(runtime::client_engine_options o = {}) : engine(o, *this, calls) {}

    instant now() const override { return clock; }
    std::uint64_t random() override { return mix64(++draws); }
    void connect(endpoint const& where) override { dialled.insert(where); }
    void disconnect(endpoint const& where) override { dialled.erase(where); }
    void send(endpoint const& to, net::client_request const& what) override { sent.emplace_back(to, what); }
    void look_again() override { ++looked_again; }
    void cluster_known(cluster_id c) override { cluster = c; }
    void log(log_level, std::string const& line) override { lines.push_back(line); }

    void up(std::uint16_t port, net::view const& v) {
        views[at(port)] = v;
        engine.on_up(at(port), node(port));
        answer_pings();
    }
    void down(std::uint16_t port) {
        views.erase(at(port));
        engine.on_down(at(port));
        engine.flush();
    }
    void news(std::uint16_t port, net::view const& v) {
        views[at(port)] = v;
        tell(port, net::client_pong{0, v});
    }
    void tell(std::uint16_t port, net::client_reply m) {
        engine.on_reply(at(port), std::move(m));
        engine.flush();
    }
    /// Every ping that was sent is answered after its round trip, unless the replica is deaf.
    void answer_pings() {
        for (auto const& [to, m] : std::exchange(sent, {})) {
            auto const* ping = std::get_if<net::client_ping>(&m);
            if (ping == nullptr || deaf.contains(to) || !views.contains(to)) {
                if (ping == nullptr) sent.emplace_back(to, m);
                continue;
            }
            duration const t = trips.contains(to) ? trips[to] : trip;
            clock += t;
            engine.on_reply(to, net::client_pong{ping->number, views[to]});
            clock -= t;
        }
        clock += trip;
        engine.flush();
    }
    void pass(duration d) {
        for (instant const end = clock + d; clock < end; clock += 10ms) {
            engine.tick();
            engine.flush();
            answer_pings();
        }
    }
    /// A group of three that is seen whole; the first one leads.
    void settle() {
        engine.on_named(at(1));
        up(1, seen_by(1));
        up(2, seen_by(1));
        up(3, seen_by(1));
        pass(20ms);
    }
    void open_session(std::uint64_t id = 50) {
        engine.want_session();
        pass(20ms);
        auto const e = session_command(command_kind::open_session);
        REQUIRE(e.has_value());
        tell(1, net::client_opened{e->object.value, session_id{id}, log_time{5'000'000}, errc{}, ""});
        sent.clear();
    }
    /// The latest command of a kind that was sent, wherever to.
    std::optional<envelope> session_command(command_kind kind) {
        std::optional<envelope> found;
        for (auto const& [to, m] : sent)
            if (auto const* c = std::get_if<net::client_commands>(&m))
                for (auto const& bytes : c->commands)
                    if (auto const e = decode_envelope(bytes.view()); e && e->kind == kind) found = *e;
        return found;
    }
    template <class Message>
    std::vector<std::pair<endpoint, Message>> sent_of() const {
        std::vector<std::pair<endpoint, Message>> all;
        for (auto const& [to, m] : sent)
            if (auto const* one = std::get_if<Message>(&m)) all.emplace_back(to, *one);
        return all;
    }
    /// The batches of calls (not of session commands) that were sent.
    std::vector<std::pair<endpoint, net::client_commands>> batches() const {
        auto all = sent_of<net::client_commands>();
        std::erase_if(all, [](auto const& b) { return b.second.number == 0; });
        return all;
    }
    std::shared_ptr<ended> call(duration timeout = 10s) {
        auto e = std::make_shared<ended>();
        auto birth = std::make_shared<runtime::object_birth>();
        birth->id = object::object_id_of("g");
        birth->created = true;
        calls.submit(runtime::call_ticket{++tickets}, {command_kind::call, birth, R"(["raise",1])", {}},
                     [e](call_outcome&& o) { *e = {true, std::move(o)}; }, clock, clock + timeout);
        engine.flush();
        return e;
    }
    std::shared_ptr<ended> read(bool local = false, duration timeout = 10s, std::chrono::nanoseconds staleness = {}) {
        auto e = std::make_shared<ended>();
        auto what = std::make_shared<runtime::remote_read const>(
            runtime::remote_read{false, local, staleness, "g", "gauge", R"(["level"])"});
        calls.read(runtime::call_ticket{++tickets}, nullptr, [e](call_outcome&& o) { *e = {true, std::move(o)}; }, clock,
                   clock + timeout, what);
        engine.flush();
        return e;
    }
    void outcome(std::uint16_t from, std::uint64_t seq, call_outcome o, std::uint64_t applied = 120, std::uint64_t session = 50) {
        tell(from, net::client_outcomes{session_id{session}, slot{applied}, log_time{6'000'000},
                                        {{sequence{seq}, true, std::move(o)}}});
    }
    void answer(std::uint16_t from, std::uint64_t number, call_outcome o) {
        tell(from, net::client_answer{number, std::move(o), 0});
    }
};

inline call_outcome good(std::string result, std::uint64_t at_slot = 0) {
    return {errc{}, {}, std::move(result), slot{at_slot}};
}

} // namespace client_engine_test
