// Clients that know a DNS name: before there is a group, while its resolver fails, and when its members change.
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "../unit/dns/scripted_server.hpp"
#include "client_group.hpp"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace client_test;

namespace {

/// A DNS server with a thread of its own, whose answers can change.
class resolver {
    asio::io_context io_;
    dns_test::scripted_server server_{io_};
    std::mutex mutex_;
    std::vector<openreplica::endpoint> named_;
    bool fails_ = false;
    std::atomic<int> queries_{0};
    std::thread thread_;

    dns_test::dns::message answer(dns_test::dns::message const& q) {
        namespace dns = dns_test::dns;
        std::lock_guard const lock(mutex_);
        ++queries_;
        if (fails_) return dns_test::reply_to(q, dns::response_code::servfail);
        auto m = dns_test::reply_to(q);
        if (q.questions.at(0).type != dns::record_type::srv) return m;
        for (auto const& at : named_) {
            auto const host = dns_test::name_of("m" + std::to_string(at.port) + ".bank.test");
            m.answers.push_back(dns::make_record(q.questions.at(0).qname, 1, dns::srv_data{0, 0, at.port, host}));
            m.additional.push_back(dns::make_record(host, 1, dns::a_data{{127, 0, 0, 1}}));
        }
        return m;
    }

public:
    resolver() {
        server_.on_udp = [this](auto const& q, auto const& send) { send(dns_test::dns::encode(answer(q))); };
        thread_ = std::thread([this, work = asio::make_work_guard(io_)] { io_.run(); });
    }
    resolver(resolver const&) = delete;
    ~resolver() {
        io_.stop();
        thread_.join();
    }
    [[nodiscard]] std::string address() const { return to_string(server_.address()); }
    [[nodiscard]] int queries() const { return queries_; }
    void name(std::vector<std::string> const& addresses) {
        std::lock_guard const lock(mutex_);
        named_.clear();
        for (auto const& a : addresses) named_.push_back(*openreplica::parse_endpoint(a));
    }
    void fail(bool yes) {
        std::lock_guard const lock(mutex_);
        fails_ = yes;
    }
    [[nodiscard]] openreplica::client_options options() const {
        auto o = to({"srv:bank.test"});
        o.dns_server = address();
        return o;
    }
};

/// While nobody serves, lookups follow one another at once; with a group the next one is an hour away.
struct hasty_lookups {
    openreplica::runtime::lookup_pauses before = openreplica::runtime::seed_lookup_pauses;
    hasty_lookups() { openreplica::runtime::seed_lookup_pauses = {50ms, 3600s, 3600s, 10ms}; }
    hasty_lookups(hasty_lookups const&) = delete;
    ~hasty_lookups() { openreplica::runtime::seed_lookup_pauses = before; }
};

} // namespace

TEST_CASE("a client may be there before its group, and before DNS knows it") {
    hasty_lookups const hasty;
    resolver dns;
    openreplica::client c(dns.options());
    openreplica::replicated<tally> t{c, "t"};
    auto first = t.async()->add("x");
    CHECK(eventually([&] { return dns.queries() > 2; }));
    group g(3);
    dns.name({g.addresses[1]});
    CHECK(first.get() == 1);
    CHECK(t->times("x") == 1);
}

TEST_CASE("a client that found its group by name needs DNS no more, whatever that answers") {
    hasty_lookups const hasty;
    resolver dns;
    group g(3);
    REQUIRE(g.ready());
    dns.name({g.addresses[0]});
    openreplica::client c(dns.options());
    openreplica::replicated<tally> t{c, "t"};
    CHECK(t->add("x") == 1);
    REQUIRE(eventually([&] {
        int serving = 0;
        for (auto const& r : c.status().replicas) serving += r.serving;
        return serving == 3;
    }));
    SUBCASE("it fails") { dns.fail(true); }
    SUBCASE("it names nobody") { dns.name({}); }
    SUBCASE("it names somebody else") { dns.name({"127.0.0.1:1"}); }
    g.nodes[0].reset();
    CHECK(t->add("x") == 2);
    CHECK(t->add("x") == 3);
    CHECK(t.local()->times("x") == 3);
}

TEST_CASE("when nobody whom it knows answers, a client looks DNS up again at once, and finds who took over") {
    hasty_lookups const hasty;
    resolver dns;
    std::optional<group> first(std::in_place, 1);
    REQUIRE(first->ready());
    dns.name(first->addresses);
    openreplica::client c(dns.options());
    REQUIRE(c.wait_ready(20s));
    // The group is not named any more when the client next asks; a member that it has never heard of is.
    group more(1, [&](auto& o) {
        o.seeds = first->addresses;
        o.founders = 0;
    });
    REQUIRE(more.ready());
    dns.name(more.addresses);
    int const before = dns.queries();
    first.reset();
    CHECK(eventually([&] {
        for (auto const& r : c.status().replicas)
            if (r.endpoint == more.addresses[0] && r.connected) return true;
        return false;
    }));
    CHECK(dns.queries() > before);
}

TEST_CASE("a client that knows nothing but a name calls on while every original member is replaced, one after another") {
    hasty_lookups const hasty;
    resolver dns;
    group g(3);
    REQUIRE(g.ready());
    std::vector<std::string> const originals = g.addresses;
    dns.name(originals);
    openreplica::client c(dns.options());
    openreplica::replicated<tally> t{c, "t"};
    REQUIRE(t->add("before") == 1);
    auto const session = c.status().session;
    std::atomic<bool> enough{false};
    std::atomic<int> made{0};
    auto calls = std::async(std::launch::async, [&] {
        for (; !enough; ++made) t->add("while"); // Throws if one fails.
    });
    for (std::size_t i = 0; i < originals.size(); ++i) {
        openreplica::node_options o{.group = "test", .listen = free_addresses(1).front(), .seeds = g.addresses, .founders = 0};
        o.logger = [](openreplica::log_level, std::string_view) {};
        openreplica::node fresh(std::move(o));
        REQUIRE(fresh.wait_ready(20s));
        fresh.replace_voter(originals[i], to_string(fresh.endpoint()));
        g.addresses[i] = to_string(fresh.endpoint());
        dns.name(g.addresses);
        g.nodes[i].reset();
        g.nodes[i] = std::move(fresh);
        int const before = made;
        CHECK(eventually([&] { return made > before + 20; }));
    }
    enough = true;
    calls.get();
    CHECK(t->times("while") == made);
    CHECK(t->add("before") == 2);
    CHECK(c.status().session == session);
    for (auto const& v : g.nodes[0]->status().voters)
        CHECK(std::find(originals.begin(), originals.end(), v.endpoint) == originals.end());
    // Whoever comes now and knows the name alone finds the new members.
    openreplica::client late(dns.options());
    CHECK(openreplica::replicated<tally>(late, "t")->times("before") == 2);
}
