// Bad resolvers, met by nodes without a group and by the nodes of one: none of them makes a second group, or harms the
// first.
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "../unit/dns/scripted_server.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace std::chrono_literals;

namespace {

struct tally {
    int n = 0;
    int add(int k) { return n += k; }
    OPENREPLICA_METHODS(tally, add)
    NLOHMANN_DEFINE_TYPE_INTRUSIVE(tally, n)
};

constexpr char const* service_name = "_openreplica._tcp.bank.test";

/// What a resolver does with every query.
enum class behaviour {
    right,
    silent,
    refuses,
    fails,
    denies,
    empty,
    partial,       ///< one address of several, at which nobody is
    with_gone,     ///< this node's own address, and one at which nobody is
    stranger,      ///< a node of another group
    other_cluster, ///< a node of another group with the same name
    malformed,     ///< the right answer, cut in the middle
    closed         ///< its port is closed; it never opens again
};
constexpr char const* behaviour_names[] = {"right",   "silent",    "refuses",  "fails",         "denies",    "empty",
                                           "partial", "with_gone", "stranger", "other_cluster", "malformed", "closed"};
constexpr behaviour bad_ones[] = {behaviour::silent,   behaviour::refuses,       behaviour::fails,     behaviour::denies,
                                  behaviour::empty,    behaviour::partial,       behaviour::with_gone, behaviour::stranger,
                                  behaviour::malformed, behaviour::other_cluster, behaviour::closed};
std::string name_of(behaviour b) { return behaviour_names[static_cast<std::size_t>(b)]; }

/// Where the answers of a resolver may lead.
struct places {
    std::vector<openreplica::endpoint> members;
    openreplica::endpoint gone{}, stranger{}, other_cluster{};

    [[nodiscard]] std::vector<openreplica::endpoint> told_by(behaviour b) const {
        switch (b) {
        case behaviour::partial:
            return {gone};
        case behaviour::with_gone:
            return {members.front(), gone};
        case behaviour::stranger:
            return {stranger};
        case behaviour::other_cluster:
            return {other_cluster};
        default:
            return members;
        }
    }
};

/// A DNS server with a thread of its own, whose behaviour can change.
class resolver {
    asio::io_context io_;
    std::optional<dns_test::scripted_server> server_;
    std::string address_;
    std::mutex mutex_;
    behaviour now_;
    places where_;
    std::atomic<int> queries_{0};
    std::thread thread_;

    dns_test::dns::message answer(dns_test::dns::message const& q) {
        namespace dns = dns_test::dns;
        using code = dns::response_code;
        if (now_ == behaviour::refuses) return dns_test::reply_to(q, code::refused);
        if (now_ == behaviour::fails) return dns_test::reply_to(q, code::servfail);
        if (now_ == behaviour::denies) return dns_test::reply_to(q, code::nxdomain);
        auto m = dns_test::reply_to(q);
        if (now_ == behaviour::empty || q.questions.at(0).type != dns::record_type::srv) return m;
        for (auto const& at : where_.told_by(now_)) {
            auto const host = dns_test::name_of("m" + std::to_string(at.port) + ".bank.test");
            m.answers.push_back(dns::make_record(q.questions.at(0).qname, 1, dns::srv_data{0, 0, at.port, host}));
            m.additional.push_back(dns::make_record(host, 1, dns::a_data{{127, 0, 0, 1}}));
        }
        return m;
    }
    void on_query(dns_test::dns::message const& q, dns_test::scripted_server::send const& send) {
        std::lock_guard const lock(mutex_);
        ++queries_;
        if (now_ == behaviour::silent) return;
        std::string bytes = dns_test::dns::encode(answer(q));
        if (now_ == behaviour::malformed) bytes.pop_back();
        send(std::move(bytes));
    }

public:
    resolver(behaviour b, places where) : server_(std::in_place, io_), now_(b), where_(std::move(where)) {
        address_ = to_string(server_->address());
        server_->on_udp = [this](auto const& q, auto const& send) { on_query(q, send); };
        if (b == behaviour::closed) server_.reset();
        thread_ = std::thread([this, work = asio::make_work_guard(io_)] { io_.run(); });
    }
    resolver(resolver const&) = delete;
    ~resolver() {
        io_.stop();
        thread_.join();
    }
    [[nodiscard]] std::string address() const { return address_; }
    [[nodiscard]] int queries() const { return queries_; }
    void become(behaviour b) {
        std::lock_guard const lock(mutex_);
        now_ = b;
        if (b == behaviour::closed) asio::post(io_, [this] { server_.reset(); });
    }
};

/// Below the ports that the system gives to connections, so that none of the many made here takes one meanwhile.
std::vector<openreplica::endpoint> free_endpoints(int n) {
    static std::uint16_t next = static_cast<std::uint16_t>(10000 + getpid() % 200 * 100);
    asio::io_context io;
    std::vector<openreplica::endpoint> all;
    while (all.size() < static_cast<std::size_t>(n)) {
        if (++next >= 32000) next = 10000;
        asio::ip::tcp::acceptor probe(io, asio::ip::tcp::v4());
        asio::error_code taken;
        probe.bind({asio::ip::address_v4::loopback(), next}, taken);
        if (!taken) all.push_back({"127.0.0.1", next});
    }
    return all;
}

openreplica::node_options options(std::string group, openreplica::endpoint const& listen, std::vector<std::string> seeds,
                                  int founders, std::string dns_server) {
    openreplica::node_options o;
    o.group = std::move(group);
    o.listen = to_string(listen);
    o.seeds = std::move(seeds);
    o.founders = founders;
    o.dns_server = std::move(dns_server);
    o.logger = [](openreplica::log_level, std::string_view) {};
    return o;
}

bool eventually(std::function<bool()> const& holds, std::chrono::seconds within = 30s) {
    auto const end = std::chrono::steady_clock::now() + within;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

std::string const seed = std::string("srv:") + service_name;

/// Lookups follow one another at once: what an hour of bad answers does shows in a second.
struct hasty_lookups {
    openreplica::runtime::lookup_pauses before = openreplica::runtime::seed_lookup_pauses;
    hasty_lookups() { openreplica::runtime::seed_lookup_pauses = {50ms, 50ms, 50ms, 10ms}; }
    hasty_lookups(hasty_lookups const&) = delete;
    ~hasty_lookups() { openreplica::runtime::seed_lookup_pauses = before; }
};

/// What the nodes of a test say about their seed.
class told_failures {
    std::mutex mutex_;
    std::string lines_;

public:
    std::function<void(openreplica::log_level, std::string_view)> logger() {
        return [this](openreplica::log_level, std::string_view line) {
            std::lock_guard const lock(mutex_);
            if (line.starts_with(seed)) lines_.append(line).append("\n");
        };
    }
    bool contain(std::string_view text) {
        std::lock_guard const lock(mutex_);
        return lines_.find(text) != std::string::npos;
    }
};

/// A node of another group, and one of another group with the name of the tested one.
struct others {
    openreplica::node stranger{options("another group", {"127.0.0.1", 0}, {}, 1, "")};
    openreplica::node namesake{options("test", {"127.0.0.1", 0}, {}, 1, "")};

    [[nodiscard]] places beside(std::vector<openreplica::endpoint> members) const {
        return {std::move(members), free_endpoints(1).front(), stranger.endpoint(), namesake.endpoint()};
    }
};

} // namespace

TEST_CASE("an empty node founds nothing on a bad answer, alone or with two it cannot find, and explains what it waits for") {
    hasty_lookups const haste;
    others around;
    auto const at = free_endpoints(2 * static_cast<int>(std::size(bad_ones)));
    std::vector<std::unique_ptr<resolver>> resolvers;
    std::vector<openreplica::node> nodes;
    for (behaviour b : bad_ones)
        for (int founders : {1, 3}) {
            auto const& own = at[nodes.size()];
            resolvers.push_back(std::make_unique<resolver>(b, around.beside({own})));
            nodes.emplace_back(options("test", own, {seed}, founders, resolvers.back()->address()));
        }
    std::this_thread::sleep_for(4s); // Not for an event: for the absence of one, longer than a lone founder waits.
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        behaviour const b = bad_ones[i / 2];
        INFO("the resolver: " << name_of(b) << ", founders = " << (i % 2 == 0 ? 1 : 3));
        auto const s = nodes[i].status();
        // Who is led to a group of its name joins it, as it should.
        CHECK(s.cluster == (b == behaviour::other_cluster ? around.namesake.status().cluster : ""));
        CHECK((s.role == "founding") == (b != behaviour::other_cluster));
        CHECK(s.problem.empty() == (b == behaviour::other_cluster));
        if (b != behaviour::closed) CHECK(resolvers[i]->queries() > 1);
    }
}

TEST_CASE("a lone founder that DNS names beside a silent address says so, and founds when an answer omits that address") {
    hasty_lookups const haste;
    others around;
    auto const own = free_endpoints(1);
    places const where = around.beside(own);
    resolver dns(behaviour::with_gone, where);
    openreplica::node lone{options("test", own[0], {seed}, 1, dns.address())};
    std::string const sentence = "these seeds are silent and may belong to one: " + to_string(where.gone);
    CHECK(eventually([&] { return lone.status().problem.find(sentence) != std::string::npos; }));
    dns.become(behaviour::fails);
    int const before = dns.queries();
    CHECK(eventually([&] { return dns.queries() >= before + 5; }));
    // The name is silent too by now; the address that it told before still counts.
    CHECK(eventually([&] { return lone.status().problem.find(seed + " " + to_string(where.gone)) != std::string::npos; }));
    CHECK(lone.status().cluster.empty());
    dns.become(behaviour::right);
    CHECK(lone.wait_ready(20s));
}

TEST_CASE("a formed group that meets every bad answer stays the same group, and goes on") {
    hasty_lookups const haste;
    others around;
    auto const at = free_endpoints(3);
    resolver dns(behaviour::right, around.beside(at));
    told_failures told;
    std::vector<openreplica::node> group;
    for (auto const& own : at) {
        auto o = options("test", own, {seed}, 3, dns.address());
        o.logger = told.logger();
        group.emplace_back(std::move(o));
    }
    for (auto& n : group) REQUIRE(n.wait_ready(20s));
    auto const cluster = group[0].status().cluster;
    int calls = 0;
    for (behaviour b : bad_ones) {
        INFO("the resolver: " << name_of(b));
        int const before = dns.queries();
        dns.become(b);
        if (b == behaviour::closed)
            CHECK(eventually([&] { return told.contain("cannot be reached"); }));
        else
            CHECK(eventually([&] { return dns.queries() >= before + 9; })); // More than once at each member.
        ++calls;
        for (auto& n : group) {
            CHECK(openreplica::replicated<tally>(n, "t")->add(n.endpoint() == at[0] ? 1 : 0) == calls);
            auto const s = n.status();
            CHECK(s.cluster == cluster);
            CHECK(s.voters.size() == 3);
            CHECK(std::all_of(s.voters.begin(), s.voters.end(), [](auto const& v) { return v.connected; }));
        }
    }
    for (auto text : {"no valid answer came in time", "refused the question", "failed to answer", "does not exist",
                      "has no record of this type", "breaks the rules of DNS"})
        CHECK_MESSAGE(told.contain(text), text);
}

TEST_CASE("an empty node beside a group joins it when DNS is right again, whatever its answers were before") {
    hasty_lookups const haste;
    others around;
    auto const at = free_endpoints(3);
    std::vector<openreplica::node> group;
    for (auto const& own : at) group.emplace_back(options("test", own, {to_string(at[0]), to_string(at[1])}, 3, ""));
    for (auto& n : group) REQUIRE(n.wait_ready(20s));
    std::vector<std::unique_ptr<resolver>> resolvers;
    std::vector<openreplica::node> late;
    for (behaviour b : bad_ones) {
        if (b == behaviour::closed || b == behaviour::other_cluster || b == behaviour::with_gone) continue;
        resolvers.push_back(std::make_unique<resolver>(b, around.beside(at)));
        int const founders = late.size() % 2 == 0 ? 3 : 1;
        late.emplace_back(options("test", {"127.0.0.1", 0}, {seed}, founders, resolvers.back()->address()));
    }
    for (auto& r : resolvers) CHECK(eventually([&] { return r->queries() > 1; }));
    for (auto& n : late) CHECK(n.status().cluster.empty());
    for (auto& r : resolvers) r->become(behaviour::right);
    for (auto& n : late) {
        CHECK(n.wait_ready(30s));
        CHECK(n.status().cluster == group[0].status().cluster);
        CHECK(n.status().role == "standby");
    }
    CHECK(group[0].status().voters.size() == 3);
}

TEST_CASE("an address that DNS told once is tried until it answers, although DNS fails from then on") {
    hasty_lookups const haste;
    others around;
    auto const at = free_endpoints(1);
    resolver dns(behaviour::right, around.beside(at));
    openreplica::node early{options("test", {"127.0.0.1", 0}, {seed}, 0, dns.address())};
    REQUIRE(eventually([&] { return dns.queries() >= 2; }));
    dns.become(behaviour::fails);
    int const before = dns.queries();
    REQUIRE(eventually([&] { return dns.queries() >= before + 2; }));
    openreplica::node group{options("test", at[0], {}, 1, "")};
    CHECK(early.wait_ready(20s));
    CHECK(early.status().cluster == group.status().cluster);
}

TEST_CASE("a lone founder founds by a name that leads back to it, and a second one with that name joins it") {
    hasty_lookups const haste;
    others around;
    auto const at = free_endpoints(2);
    resolver dns(behaviour::right, around.beside(at));
    openreplica::node first{options("test", at[0], {seed}, 1, dns.address())};
    openreplica::node second{options("test", at[1], {seed}, 1, dns.address())};
    REQUIRE(first.wait_ready(20s));
    REQUIRE(second.wait_ready(20s));
    CHECK(second.status().cluster == first.status().cluster);
    CHECK((first.status().role == "standby") != (second.status().role == "standby"));
}
