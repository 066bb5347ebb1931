#include <openreplica/runtime/engine.hpp>

#include <openreplica/object/command_text.hpp>
#include <openreplica/object/macros.hpp>
#include <openreplica/object/object_space.hpp>
#include <openreplica/storage/memory.hpp>

#include <doctest/doctest.h>

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

/// A group of one in a world that stands still unless it is told to go on: what it sends to others is kept.
struct lone_leader final : runtime::environment {
    paxos::member self{node_id{0, 1}, {"here", 1}};
    node_id peer{0, 2};
    instant clock{1h};
    object::type_registry registry;
    object::object_space space{registry};
    runtime::calls calls{64};
    runtime::applier applier{space, calls};
    storage::memory store{{[this](lsn upto) { engine.on_durable(upto); }, {}}};
    runtime::engine engine{self, {}, *this, store, calls};
    std::vector<paxos::message> sent;
    std::vector<std::string> unknown_to_a_voter;

    lone_leader() {
        registry.add<gauge>();
        engine.start({});
        pass(3s);
        REQUIRE(engine.is_ready());
        engine.on_peer_up(peer);
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
    /// What was refused of the last forward.
    [[nodiscard]] std::vector<paxos::forward_refused> refusals() const {
        std::vector<paxos::forward_refused> all;
        for (auto const& m : sent)
            if (auto const* r = std::get_if<paxos::forward_refused>(&m)) all.push_back(*r);
        return all;
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
        engine.on_applied(applier.run(std::move(work), clock));
        engine.flush();
    }
    void identity_changed(node_id, cluster_id, paxos::configuration const&) override {}
    void log(log_level, std::string const&) override {}
};

} // namespace engine_test

TEST_CASE("a forward's unknown names are refused one by one; the rest of it is executed, and nobody stops") {
    using namespace engine_test;
    lone_leader l;
    paxos::forward f{7, 0, {}};
    f.commands.push_back(l.command(command_kind::create, "g", R"(["g","gauge"])", 1));
    f.commands.push_back(l.command(command_kind::call, "g", R"(["lower",1])", 2));
    f.commands.push_back(l.command(command_kind::call, "g", R"(["raise",5])", 3));
    f.commands.push_back(l.command(command_kind::create, "h", R"(["h","stranger"])", 4));
    f.commands.push_back(shared_bytes(std::string("no envelope")));
    l.receive(f);
    auto const refused = l.refusals();
    REQUIRE(refused.size() == 3);
    CHECK(refused[0].which == std::vector<std::uint32_t>{1});
    CHECK(static_cast<errc>(refused[0].reason) == errc::no_such_method);
    CHECK(refused[1].which == std::vector<std::uint32_t>{3});
    CHECK(static_cast<errc>(refused[1].reason) == errc::needs_upgrade);
    CHECK(refused[2].which == std::vector<std::uint32_t>{4});
    CHECK(static_cast<errc>(refused[2].reason) == errc::malformed);
    CHECK(l.space.snapshot()->find("5") != std::string::npos);
    CHECK(l.engine.status().problem.empty());
}

TEST_CASE("another copy of a forward that was taken is not answered, least of all with a refusal") {
    using namespace engine_test;
    lone_leader l;
    paxos::forward f{8, 0, {l.command(command_kind::create, "g", R"(["g","gauge"])", 1)}};
    l.receive(f);
    auto const chosen = l.engine.core()->entries().chosen();
    l.receive(f);
    CHECK(l.engine.core()->entries().chosen() == chosen);
    CHECK(l.refusals().empty());
}

TEST_CASE("what a voter's program does not know is not proposed, and the call and its companions say so") {
    using namespace engine_test;
    lone_leader l;
    l.unknown_to_a_voter = {"gauge"};
    auto const birth = std::make_shared<runtime::object_birth>();
    birth->id = object::object_id_of("g");
    birth->body = R"(["g","gauge"])";
    std::vector<call_outcome> ended;
    for (std::uint64_t i = 0; i < 2; ++i)
        l.calls.submit(runtime::call_ticket{i + 1}, {command_kind::call, birth, R"(["raise",1])", {}},
                       [&](call_outcome&& o) { ended.push_back(std::move(o)); }, l.clock, l.clock + 10s);
    l.engine.flush();
    l.pass(50ms);
    REQUIRE(ended.size() == 2);
    for (call_outcome const& o : ended) {
        CHECK(o.code == errc::needs_upgrade);
        CHECK(o.text.find("a voter does not know gauge") != std::string::npos);
    }
    // The voter was upgraded: the next call through the same handle makes the object.
    l.unknown_to_a_voter.clear();
    l.calls.submit(runtime::call_ticket{9}, {command_kind::call, birth, R"(["raise",1])", {}},
                   [&](call_outcome&& o) { ended.push_back(std::move(o)); }, l.clock, l.clock + 10s);
    l.pass(50ms);
    REQUIRE(ended.size() == 3);
    CHECK(ended[2].result == "1");
}
