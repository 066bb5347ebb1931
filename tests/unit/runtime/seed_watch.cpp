#include <openreplica/runtime/seed_watch.hpp>

#include "../dns/scripted_server.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

using namespace openreplica;
using namespace std::chrono_literals;
using milliseconds = std::chrono::milliseconds;

namespace seed_watch_test {

namespace dns = openreplica::dns;

/// A watch over a scripted server; what it tells is a text: +ADDRESS for named, -ADDRESS for omitted.
struct bench {
    asio::io_context io;
    dns_test::scripted_server server{io};
    std::map<std::string, std::vector<std::uint16_t>> ports; ///< what is told of a service, by its first letter
    dns::response_code code = dns::response_code::noerror;
    int lookups = 0;
    std::string told;
    std::vector<std::string> lines;
    bool settled = false;
    instant now{1h};
    dns::discovery_options discovery;
    std::vector<std::string> seed_texts;
    std::shared_ptr<runtime::seed_watch> watch;

    explicit bench(std::vector<std::string> const& seeds) {
        server.on_udp = [this](dns::message const& q, auto const& send) {
            ++lookups;
            send(dns::encode(answer(q)));
        };
        dns::discovery_options o;
        o.dns_server = to_string(server.address());
        o.timeout = 2s;
        o.attempts = 1;
        discovery = o;
        seed_texts = seeds;
        make(runtime::lookup_pauses{1ms, 1ms, 1ms, 0ms});
    }
    /// Begins anew, with other pauses.
    void restart(runtime::lookup_pauses pauses) {
        make(pauses);
        watch->start();
    }
    void make(runtime::lookup_pauses pauses) {
        watch = std::make_shared<runtime::seed_watch>(
            io.get_executor(), seed_texts, discovery, pauses,
            runtime::seed_watch::events{
                .named = [this](endpoint const& e) { told += "+" + std::to_string(e.port) + " "; },
                .omitted = [this](endpoint const& e) { told += "-" + std::to_string(e.port) + " "; },
                .settled = [this] { return settled; },
                .random = [] { return std::uint64_t{7}; },
                .now = [this] { return now; },
                .log =
                    [this](log_level level, std::string const& line) {
                        lines.push_back((level == log_level::warning ? "warning " : "info ") + line);
                    }});
    }
    dns::message answer(dns::message const& q) {
        auto m = dns_test::reply_to(q, code);
        if (code != dns::response_code::noerror) return m;
        auto const service = q.questions.at(0).qname;
        auto const host = dns_test::name_of("n1.x.test");
        // A question's letters come in any case.
        char const first = dns::name::folded(dns::served_domain(service).to_string().front());
        for (std::uint16_t port : ports[std::string(1, first)]) {
            m.answers.push_back(dns::make_record(service, 1, dns::srv_data{port, 0, port, host}));
            if (m.additional.empty()) m.additional.push_back(dns::make_record(host, 1, dns::a_data{{127, 0, 0, 1}}));
        }
        return m;
    }
    void until(std::function<bool()> const& done) {
        io.restart();
        while (!done() && io.run_one_for(10s) != 0) {
        }
        REQUIRE(done());
    }
    /// Forgets what was told before, and lets some lookups pass.
    std::string after_more_lookups() {
        int const start = lookups;
        until([&] { return lookups == start + 2; });
        told.clear();
        until([&] { return lookups == start + 4; });
        return told;
    }
};

TEST_CASE(
    "without a group lookups are a second apart at least, with one thirty, and at most five minutes, and not in step") {
    runtime::lookup_pauses const p;
    for (auto ttl : {1s, 30s, 300s}) {
        CHECK(p.next(false, ttl, 0) == 1000ms);
        CHECK(p.next(true, ttl, 0) == std::max(milliseconds(ttl), milliseconds(30000)));
    }
    CHECK(p.next(true, 301s, 0) == 300s);
    milliseconds latest{0};
    for (std::uint64_t random = 0; random < 1000; ++random) {
        CHECK(p.next(false, 1s, random) >= 1000ms);
        latest = std::max(latest, p.next(false, 1s, random));
    }
    CHECK(latest == 1250ms);
}

TEST_CASE("an address that DNS told stays through every failed and empty answer, until an answer lacks it") {
    bench b({"srv:a.x.test"});
    b.ports["a"] = {1, 2};
    b.watch->start();
    CHECK(b.watch->unanswered() == std::vector<std::string>{"srv:a.x.test"});
    b.until([&] { return b.told == "+1 +2 "; });
    CHECK(b.watch->unanswered().empty());
    for (auto bad : {dns::response_code::servfail, dns::response_code::refused, dns::response_code::nxdomain}) {
        b.code = bad;
        CHECK(b.after_more_lookups() == "");
        CHECK(b.watch->unanswered().size() == 1);
    }
    b.code = dns::response_code::noerror;
    b.ports["a"] = {};
    CHECK(b.after_more_lookups() == "");
    b.ports["a"] = {2, 3};
    b.told.clear();
    b.until([&] { return b.told.starts_with("+2 +3 -1 "); });
    CHECK(b.told == "+2 +3 -1 ");
    CHECK(b.watch->unanswered().empty());
}

TEST_CASE("an address that another seed names is not omitted: neither a plain one nor one of another service") {
    bench b({"srv:a.x.test", "127.0.0.1:1", "srv:b.x.test"});
    b.ports["a"] = {1, 2, 3};
    b.ports["b"] = {2};
    b.watch->start();
    CHECK(b.told == "+1 ");
    b.until([&] { return b.watch->unanswered().empty(); });
    b.ports["a"] = {4};
    b.until([&] { return b.told.find('-') != std::string::npos; });
    (void)b.after_more_lookups();
    CHECK(b.told.find("-1") == std::string::npos);
    CHECK(b.told.find("-2") == std::string::npos);
}

TEST_CASE("a failure is told once and again after a minute, another failure at once; without a group it is a warning") {
    bench b({"srv:a.x.test"});
    b.code = dns::response_code::servfail;
    b.watch->start();
    (void)b.after_more_lookups();
    REQUIRE(b.lines.size() == 1);
    CHECK(b.lines[0].starts_with("warning srv:a.x.test: "));
    b.now += 59s;
    (void)b.after_more_lookups();
    CHECK(b.lines.size() == 1);
    b.now += 1s;
    (void)b.after_more_lookups();
    CHECK(b.lines.size() == 2);
    b.settled = true;
    b.code = dns::response_code::nxdomain;
    (void)b.after_more_lookups();
    REQUIRE(b.lines.size() == 3);
    CHECK(b.lines[2].starts_with("info srv:a.x.test: "));
}

TEST_CASE("a watch that was stopped tells nothing more and asks no more") {
    bench b({"srv:a.x.test"});
    b.ports["a"] = {1};
    b.watch->start();
    b.until([&] { return b.lookups == 2; });
    b.watch->stop();
    b.told.clear();
    b.io.restart();
    b.io.run_for(50ms); // Fifty pauses.
    CHECK(b.told == "");
    CHECK(b.lookups <= 3);
}

TEST_CASE("who is asked to hurry does not wait for an answer's time to live, and does not ask without a pause either") {
    bench b({"srv:a.x.test"});
    b.ports["a"] = {1};
    b.settled = true;
    // With a group the next lookup is an hour away; without one, a moment.
    b.restart(runtime::lookup_pauses{30ms, 3600s, 3600s, 0ms});
    b.until([&] { return b.lookups == 1 && b.told == "+1 "; });
    auto const begun = std::chrono::steady_clock::now();
    b.ports["a"] = {2};
    for (int i = 0; i < 100; ++i) b.watch->hurry();
    b.until([&] { return b.told == "+1 +2 -1 "; });
    CHECK(b.lookups == 2);
    CHECK(std::chrono::steady_clock::now() - begun >= 30ms);
}

} // namespace seed_watch_test
