// One engine in a world that stands still unless it is told to go on.
#pragma once

#include <openreplica/object/command_text.hpp>
#include <openreplica/object/macros.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/runtime/engine.hpp>
#include <openreplica/storage/memory.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace engine_test {

using namespace openreplica;
using namespace std::chrono_literals;

class gauge {
    int level = 0;

public:
    int raise(int n) { return level += n; }
    OPENREPLICA_METHODS(gauge, raise)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(gauge, level)
};

/// Its state has no JSON form.
class shapeless {
    int touched = 0;

public:
    void touch() { ++touched; }
    OPENREPLICA_METHODS(shapeless, touch)
};

/// A disk that has written what it was given only when the test says so.
struct slow_disk final : storage::storage {
    lsn last;
    std::optional<slot> keeping;
    paxos::disk_state health = paxos::disk_state::ok;
    std::vector<paxos::record> written;
    void append(std::span<paxos::record const> records, lsn l) override {
        written.insert(written.end(), records.begin(), records.end());
        last = l;
    }
    void keep(paxos::snapshot const& s) override { keeping = s.at; }
    paxos::durable_state recover() override { return {}; }
    void start_over(node_id, bool) override {}
    paxos::disk_state state() const override { return health; }
};

/// One node in a world that stands still unless it is told to go on: what it sends to others is kept.
struct lone_node : runtime::environment {
    paxos::member self{node_id{0, 1}, {"here", 1}};
    node_id peer{0, 2};
    instant clock{1h};
    object::type_registry registry;
    object::object_space space{registry};
    runtime::calls calls{64};
    runtime::applier applier{space, calls};
    storage::memory at_once{{[this](lsn upto) { engine.on_durable(upto); },
                             [this](slot at, bool whole) { engine.on_kept(at, whole); },
                             {}}};
    slow_disk disk;
    runtime::engine engine;
    std::vector<paxos::message> sent;
    std::vector<std::string> unknown_to_a_voter;
    bool user_code_is_slow = false; ///< what is to be applied waits for `run_one`
    std::deque<runtime::apply_batch> to_apply;

    explicit lone_node(bool slow, paxos::durable_state&& recovered = {}, runtime::engine_options options = {})
        : engine(self, options, *this, slow ? static_cast<storage::storage&>(disk) : at_once, calls) {
        registry.add<gauge>();
        engine.start(std::move(recovered));
        engine.flush();
    }
    void disk_catches_up() {
        if (auto const at = std::exchange(disk.keeping, std::nullopt)) engine.on_kept(*at, true);
        engine.flush();
        engine.on_durable(disk.last);
        engine.flush();
    }
    template <class Message>
    [[nodiscard]] std::vector<Message> sent_of() const {
        std::vector<Message> all;
        for (auto const& m : sent)
            if (auto const* one = std::get_if<Message>(&m)) all.push_back(*one);
        return all;
    }
    void pass(duration d) {
        for (instant const end = clock + d; clock < end; clock += 10ms) {
            engine.tick();
            engine.flush();
        }
    }
    void receive(paxos::message m) {
        sent.clear();
        engine.on_message(peer, std::move(m));
        engine.flush();
    }
    [[nodiscard]] shared_bytes command(command_kind kind, std::string_view object, std::string_view body,
                                       std::uint64_t seq) const {
        return shared_bytes(encode(envelope{kind, object::object_id_of(object), calls.session(), sequence{1000 + seq},
                                            sequence{1}, {}, body}));
    }

    instant now() const override { return clock; }
    std::uint64_t random() override { return mix64(static_cast<std::uint64_t>(sent.size()) + 7); }
    void send(std::span<node_id const>, paxos::message const& what) override { sent.push_back(what); }
    void send(std::optional<node_id>, paxos::founding_message const&) override {}
    call_outcome check(envelope const& e, paxos::configuration const&) const override {
        for (std::string const& type : unknown_to_a_voter)
            if (space.needed_type(e) == type) return failed(errc::needs_upgrade, "a voter does not know " + type);
        return space.check(e);
    }
    void apply(runtime::apply_batch&& work) override {
        to_apply.push_back(std::move(work));
        if (!user_code_is_slow) run_one();
    }
    void write(runtime::frozen_snapshot&& s) override { engine.on_written(runtime::write_out(std::move(s))); }
    void run_one() {
        auto work = std::move(to_apply.front());
        to_apply.pop_front();
        engine.on_applied(applier.run(std::move(work), clock));
        engine.flush();
    }
    void identity_changed(node_id, cluster_id, paxos::configuration const&) override {}
    void voters_changed(paxos::configuration const&) override {}
    void meet(std::vector<paxos::member> const&) override {}
    std::vector<runtime::acquaintance> acquaintances() const override { return {}; }
    void log(log_level, std::string const&) override {}
};

/// A group of one, diskless.
struct lone_leader : lone_node {
    std::uint64_t commands = 0;

    explicit lone_leader(std::uint64_t snapshot_every = 65536, std::uint64_t snapshot_bytes = 128u << 20)
        : lone_node(false, {},
                    {.snapshot_every = snapshot_every,
                     .snapshot_bytes = snapshot_bytes,
                     .keep_entries = snapshot_every / 4}) {
        pass(3s);
        REQUIRE(engine.is_ready());
        engine.on_peer_up(peer);
    }
    /// Has the peer's command executed.
    void execute(command_kind kind, std::string_view object, std::string_view body) {
        ++commands;
        receive(paxos::forward{1000 + commands, 0, {command(kind, object, body, commands)}});
    }
    void execute_raises(int n, std::string const& padding = {}) {
        for (int i = 0; i < n; ++i) execute(command_kind::call, "g", R"(["raise",1])" + padding);
    }
};

/// A group of one, on a disk that takes its time.
struct lone_on_disk : lone_node {
    std::shared_ptr<runtime::object_birth> birth = std::make_shared<runtime::object_birth>();
    std::uint64_t calls_made = 0;

    lone_on_disk() : lone_node(true) {
        birth->id = object::object_id_of("g");
        birth->body = R"(["g","gauge"])";
        for (int i = 0; i < 300; ++i) {
            pass(10ms);
            disk_catches_up();
        }
        REQUIRE(engine.is_ready());
    }
    /// How a call to raise the gauge by one ends.
    call_outcome raise() {
        std::optional<call_outcome> ended;
        calls.submit(runtime::call_ticket{++calls_made}, {command_kind::call, birth, R"(["raise",1])", {}},
                     [&ended](call_outcome&& o) { ended = std::move(o); }, clock, clock + 10s);
        for (int i = 0; i < 4; ++i) {
            pass(10ms);
            disk_catches_up();
        }
        REQUIRE(ended.has_value());
        return *ended;
    }
};

/// What a voter of a group of three remembers.
inline paxos::durable_state voter_of_three() {
    paxos::durable_state s;
    s.group.cluster = cluster_id{0, 7};
    s.group.members.number = epoch{1};
    for (std::uint64_t i = 1; i <= 3; ++i)
        s.group.members.voters.push_back({node_id{0, i}, {"host", static_cast<std::uint16_t>(i)}});
    s.group_chosen = true;
    return s;
}

inline paxos::snapshot snapshot_at(slot at, std::string state) {
    return {at, ballot{1, 0, node_id{0, 2}}, log_time{5}, voter_of_three().group.members, shared_bytes(std::move(state))};
}

} // namespace engine_test
