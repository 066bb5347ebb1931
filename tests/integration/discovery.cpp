// Bad resolvers, met by nodes without a group and by the nodes of one: none of them makes a second group, or harms the
// first.
#include <openreplica/openreplica.hpp>

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "../unit/dns/scripted_server.hpp"

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

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
enum class behaviour { silent, refuses, fails, denies, empty, partial, strange, right };

char const* name_of_behaviour(behaviour b) {
    constexpr char const* names[] = {"silent", "refuses", "fails", "denies", "empty", "partial", "strange", "right"};
    return names[static_cast<std::size_t>(b)];
}

/// A DNS server with a thread of its own, whose behaviour can change.
class resolver {
    asio::io_context io_;
    dns_test::scripted_server server_{io_};
    std::mutex mutex_;
    behaviour now_;
    std::vector<openreplica::endpoint> members_;
    openreplica::endpoint stranger_;
    std::thread thread_;

    dns_test::dns::message answer(dns_test::dns::message const& q) {
        namespace dns = dns_test::dns;
        using code = dns::response_code;
        std::lock_guard const lock(mutex_);
        if (now_ == behaviour::refuses) return dns_test::reply_to(q, code::refused);
        if (now_ == behaviour::fails) return dns_test::reply_to(q, code::servfail);
        if (now_ == behaviour::denies) return dns_test::reply_to(q, code::nxdomain);
        auto m = dns_test::reply_to(q);
        if (now_ == behaviour::empty || q.questions.at(0).type != dns::record_type::srv) return m;
        auto const listed = now_ == behaviour::strange ? std::vector{stranger_} : members_;
        for (std::size_t i = 0; i < listed.size() && (i == 0 || now_ != behaviour::partial); ++i) {
            auto const host = dns_test::name_of("m" + std::to_string(i) + ".bank.test");
            m.answers.push_back(dns::make_record(q.questions.at(0).qname, 1, dns::srv_data{0, 0, listed[i].port, host}));
            m.additional.push_back(dns::make_record(host, 1, dns::a_data{{127, 0, 0, 1}}));
        }
        return m;
    }
    [[nodiscard]] bool is_silent() {
        std::lock_guard const lock(mutex_);
        return now_ == behaviour::silent;
    }

public:
    resolver(behaviour b, std::vector<openreplica::endpoint> members, openreplica::endpoint stranger)
        : now_(b), members_(std::move(members)), stranger_(std::move(stranger)) {
        server_.on_udp = [this](auto const& q, auto const& send) {
            if (!is_silent()) send(dns_test::dns::encode(answer(q)));
        };
        thread_ = std::thread([this] { io_.run(); });
    }
    resolver(resolver const&) = delete;
    ~resolver() {
        io_.stop();
        thread_.join();
    }
    [[nodiscard]] std::string address() const { return to_string(server_.address()); }
    void become(behaviour b) {
        std::lock_guard const lock(mutex_);
        now_ = b;
    }
};

std::vector<openreplica::endpoint> free_endpoints(int n) {
    asio::io_context io;
    std::vector<asio::ip::tcp::acceptor> taken;
    std::vector<openreplica::endpoint> all;
    for (int i = 0; i < n; ++i) {
        taken.emplace_back(io, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0});
        all.push_back({"127.0.0.1", taken.back().local_endpoint().port()});
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

constexpr behaviour bad_ones[] = {behaviour::silent, behaviour::refuses, behaviour::fails,  behaviour::denies,
                                  behaviour::empty,  behaviour::partial, behaviour::strange};
std::string const seed = std::string("srv:") + service_name;

} // namespace

TEST_CASE("an empty node founds nothing on a bad answer, alone or with two it cannot find, and explains what it waits for") {
    auto const at = free_endpoints(2 * static_cast<int>(std::size(bad_ones)) + 1);
    openreplica::node stranger{options("another group", at.back(), {}, 1, "")};
    std::vector<std::unique_ptr<resolver>> resolvers;
    std::vector<openreplica::node> nodes;
    std::size_t next = 0;
    for (behaviour b : bad_ones) {
        // What a partial answer names is not there; the founders beside it are in no answer.
        auto const gone = free_endpoints(1);
        resolvers.push_back(std::make_unique<resolver>(b, gone, at.back()));
        for (int founders : {1, 3})
            nodes.emplace_back(options("test", at[next++], {seed}, founders, resolvers.back()->address()));
    }
    std::this_thread::sleep_for(3s); // Not for an event: for the absence of one, longer than a lone founder waits.
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        INFO("the resolver is " << name_of_behaviour(bad_ones[i / 2]) << ", founders = " << (i % 2 == 0 ? 1 : 3));
        auto const s = nodes[i].status();
        CHECK(s.cluster.empty());
        CHECK(s.role == "founding");
        CHECK_FALSE(s.problem.empty());
    }
}

TEST_CASE("a group goes on under every bad answer; an empty node beside it founds nothing, and joins when DNS is right") {
    auto const at = free_endpoints(3 + static_cast<int>(std::size(bad_ones)) + 1);
    std::vector<openreplica::endpoint> const members(at.begin(), at.begin() + 3);
    openreplica::node stranger{options("another group", at.back(), {}, 1, "")};
    std::vector<std::unique_ptr<resolver>> resolvers;
    for (behaviour b : bad_ones) resolvers.push_back(std::make_unique<resolver>(b, members, at.back()));

    // Founded by plain seeds; from the beginning each member also asks resolvers of three kinds, or of the rest.
    std::vector<openreplica::node> group;
    for (std::size_t i = 0; i < 3; ++i) {
        std::vector<std::string> seeds{seed};
        for (auto const& m : members) seeds.push_back(to_string(m));
        group.emplace_back(options("test", members[i], seeds, 3, resolvers[2 * i]->address()));
    }
    for (auto& n : group) REQUIRE(n.wait_ready(20s));
    auto const cluster = group[0].status().cluster;
    openreplica::replicated<tally> shared{group[0], "t"};
    CHECK(shared->add(1) == 1);

    std::vector<openreplica::node> late;
    for (std::size_t i = 0; i < std::size(bad_ones); ++i)
        late.emplace_back(options("test", at[3 + i], {seed}, i % 2 == 0 ? 3 : 1, resolvers[i]->address()));
    std::this_thread::sleep_for(3s); // For the absence of a second group.
    for (std::size_t i = 0; i < late.size(); ++i) {
        INFO("the resolver is " << name_of_behaviour(bad_ones[i]));
        auto const found = late[i].status().cluster;
        bool const none_or_this = found.empty() || found == cluster;
        CHECK(none_or_this);
        CHECK(found.empty() == (bad_ones[i] != behaviour::partial)); // One member is enough to be led to the group.
    }
    CHECK(shared->add(1) == 2);
    for (auto& r : resolvers) r->become(behaviour::right);
    for (std::size_t i = 0; i < late.size(); ++i) {
        INFO("the resolver was " << name_of_behaviour(bad_ones[i]));
        CHECK(eventually([&] { return late[i].status().ready; }));
        CHECK(late[i].status().cluster == cluster);
        CHECK(late[i].status().role == "learner");
    }
    CHECK(openreplica::replicated<tally>(late[0], "t")->add(1) == 3);
    CHECK(group[0].status().voters.size() == 3);
}

TEST_CASE("a lone founder founds by a name that leads back to it, and a second one with that name joins it") {
    auto const at = free_endpoints(2);
    resolver dns(behaviour::right, at, at[0]);
    openreplica::node first{options("test", at[0], {seed}, 1, dns.address())};
    REQUIRE(first.wait_ready(20s));
    openreplica::node second{options("test", at[1], {seed}, 1, dns.address())};
    REQUIRE(second.wait_ready(20s));
    CHECK(second.status().cluster == first.status().cluster);
    CHECK(second.status().role == "learner");
}
