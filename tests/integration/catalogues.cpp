// Members whose programs know different types: who may talk to whom, and which calls are refused before they are sent.
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct ledger {
    int sum = 0;
    int add(int n) { return sum += n; }
    OPENREPLICA_METHODS(ledger, add)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ledger, sum)
};

struct novelty {
    int uses = 0;
    int use() { return ++uses; }
    OPENREPLICA_METHODS(novelty, use)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(novelty, uses)
};

namespace next_version {
struct ledger { // The same name on the wire, another list of methods.
    int sum = 0;
    int add(int n) { return sum += n; }
    int take(int n) { return sum -= n; }
    OPENREPLICA_METHODS(ledger, add, take)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(ledger, sum)
};
} // namespace next_version

/// A whole node with a catalogue of its own: what `openreplica::node` is, for programs that differ.
class program {
    openreplica::detail::own_threads threads_;
    openreplica::object::type_registry registry_;
    std::shared_ptr<openreplica::runtime::service> service_;
    mutable std::mutex mutex_;
    std::string said_;

public:
    template <class... T>
    program(std::type_identity<void (*)(T...)>, std::string listen, std::vector<std::string> seeds, int founders) {
        (registry_.add<T>(), ...);
        openreplica::node_options o;
        o.group = "catalogues";
        o.listen = std::move(listen);
        o.seeds = std::move(seeds);
        o.founders = founders;
        o.logger = [this](openreplica::log_level, std::string_view line) {
            std::lock_guard const lock(mutex_);
            said_ += line;
        };
        service_ = std::make_shared<openreplica::runtime::service>(
            threads_.surroundings(), o, std::make_shared<openreplica::object::object_space>(registry_));
        service_->start();
    }
    program(program const&) = delete;
    program& operator=(program const&) = delete;
    ~program() {
        std::promise<void> closed;
        service_->stop([&] { closed.set_value(); });
        closed.get_future().wait();
        service_->join();
        threads_.finish();
    }

    bool wait_ready() { return service_->wait_ready(20s); }
    [[nodiscard]] bool has_said(std::string const& words) const {
        std::lock_guard const lock(mutex_);
        return said_.find(words) != std::string::npos;
    }
    [[nodiscard]] std::string address() const { return to_string(service_->endpoint()); }
    /// One call of a method on the object that is named after its type.
    openreplica::call_outcome call(std::string const& type, std::string const& body) {
        auto birth = std::make_shared<openreplica::runtime::object_birth>();
        birth->id = openreplica::object::object_id_of(type);
        birth->body = "[\"" + type + "\",\"" + type + "\"]";
        std::promise<openreplica::call_outcome> outcome;
        service_->submit({openreplica::command_kind::call, birth, body, 5s},
                         [&](openreplica::call_outcome&& o) { outcome.set_value(std::move(o)); });
        return outcome.get_future().get();
    }
};

template <class... T>
constexpr std::type_identity<void (*)(T...)> knows{};

std::vector<std::string> free_addresses(int n) {
    asio::io_context io;
    std::vector<asio::ip::tcp::acceptor> taken;
    std::vector<std::string> all;
    for (int i = 0; i < n; ++i) {
        taken.emplace_back(io, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0});
        all.push_back("127.0.0.1:" + std::to_string(taken.back().local_endpoint().port()));
    }
    return all;
}

bool eventually(auto const& holds) {
    auto const end = std::chrono::steady_clock::now() + 20s;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

} // namespace

TEST_CASE("a type that one voter's program lacks is refused with needs_upgrade at every member, and the rest goes on") {
    auto const at = free_addresses(3);
    program a(knows<ledger, novelty>, at[0], at, 3), b(knows<ledger, novelty>, at[1], at, 3), c(knows<ledger>, at[2], at, 3);
    REQUIRE(a.wait_ready());
    REQUIRE(b.wait_ready());
    REQUIRE(c.wait_ready());
    for (program* p : {&a, &b}) {
        auto const refused = p->call("novelty", R"(["use"])");
        CHECK(refused.code == openreplica::errc::needs_upgrade);
        CHECK_MESSAGE(refused.text.find("novelty") != std::string::npos, refused.text);
    }
    CHECK(a.call("ledger", R"(["add",1])").result == "1");
    CHECK(b.call("ledger", R"(["add",1])").result == "2");
    CHECK(c.call("ledger", R"(["add",1])").result == "3");
}

TEST_CASE("a method that nobody knows is refused by name, and nobody stops") {
    auto const at = free_addresses(3);
    program a(knows<ledger>, at[0], at, 3), b(knows<ledger>, at[1], at, 3), c(knows<ledger>, at[2], at, 3);
    REQUIRE(a.wait_ready());
    REQUIRE(b.wait_ready());
    REQUIRE(c.wait_ready());
    for (program* p : {&a, &b, &c}) {
        auto const refused = p->call("ledger", R"(["burn",1])");
        CHECK(refused.code == openreplica::errc::no_such_method);
        CHECK_MESSAGE(refused.text.find("burn") != std::string::npos, refused.text);
    }
    CHECK(a.call("ledger", R"(["add",1])").result == "1");
}

TEST_CASE("a node whose type of the same name has other methods is refused with the reason, and the group goes on") {
    auto const at = free_addresses(1);
    program old(knows<ledger>, at[0], {}, 1);
    REQUIRE(old.wait_ready());
    program newer(knows<next_version::ledger>, "127.0.0.1:0", at, 0);
    CHECK(eventually([&] { return newer.has_said("type \"ledger\" has other methods here than there"); }));
    CHECK(old.call("ledger", R"(["add",1])").result == "1");
}
