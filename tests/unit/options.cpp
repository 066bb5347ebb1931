// Every option is checked, and what is wrong is called by its name.
#include <openreplica/options.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

using namespace openreplica;
using namespace std::chrono_literals;

namespace options_test {

/// The least that a person must say.
node_options minimal() {
    node_options o;
    o.group = "g";
    return o;
}

struct change {
    std::string words; ///< of the sentence; must name the option
    std::function<void(node_options&)> apply;
};

/// The code that `validate` throws, and its sentence; zero when it throws nothing.
errc verdict(node_options const& o, std::string* sentence = nullptr) {
    try {
        o.validate();
        return {};
    } catch (error const& e) {
        if (sentence != nullptr) *sentence = e.what();
        return static_cast<errc>(e.code().value());
    }
}

void expect(std::vector<change> const& table, errc code) {
    for (change const& c : table) {
        CAPTURE(c.words);
        node_options o = minimal();
        c.apply(o);
        std::string sentence;
        CHECK(verdict(o, &sentence) == code);
        CAPTURE(sentence);
        CHECK(sentence.find("node_options: ") == 0);
        CHECK(sentence.find(c.words) != std::string::npos);
    }
}

void accept(std::vector<change> const& table) {
    for (change const& c : table) {
        CAPTURE(c.words);
        node_options o = minimal();
        c.apply(o);
        std::string sentence;
        CHECK(verdict(o, &sentence) == errc{});
        CHECK(sentence == "");
    }
}

void own_seeds(node_options& o) { o.seeds = {"127.0.0.1:7000"}; }

TEST_CASE("the defaults are valid as soon as the group has a name, and stand alone") {
    CHECK(verdict(minimal()) == errc{});
    CHECK(verdict({.group = "g"}) == errc{});
    CHECK(minimal().resolved_founders() == 1);
    CHECK(minimal().listen == "127.0.0.1:0");
    CHECK(verdict(node_options{}) == errc::bad_option);
}

TEST_CASE("founders left out stand alone without seeds and only join with them; a given number counts as it is") {
    node_options o = minimal();
    own_seeds(o);
    CHECK(verdict(o) == errc{});
    CHECK(o.resolved_founders() == 0);
    o.founders = 3;
    CHECK(o.resolved_founders() == 3);
    o.founders = 0;
    CHECK(o.resolved_founders() == 0);
    o.seeds.clear();
    o.founders = 1;
    CHECK(o.resolved_founders() == 1);
}

TEST_CASE("a wrong name or address is refused with a sentence that names the option") {
    expect({{"group must be a name of 1 to 255 bytes", [](auto& o) { o.group = ""; }},
            {"group", [](auto& o) { o.group = std::string(256, 'g'); }},
            {"listen \"7000\" is not host:port", [](auto& o) { o.listen = "7000"; }},
            {"listen \"\"", [](auto& o) { o.listen = ""; }},
            {"listen \":7000\"", [](auto& o) { o.listen = ":7000"; }},
            {"listen \"127.0.0.1:65536\"", [](auto& o) { o.listen = "127.0.0.1:65536"; }},
            {"listen \"127.0.0.1:-1\"", [](auto& o) { o.listen = "127.0.0.1:-1"; }},
            {"listen \"127.0.0.1:7000x\"", [](auto& o) { o.listen = "127.0.0.1:7000x"; }},
            {"listen \"::1:7000\"", [](auto& o) { o.listen = "::1:7000"; }},
            {"advertise \"here\" is not host:port", [](auto& o) { o.advertise = "here"; }},
            {"advertise \"10.0.0.1:0\" is not host:port with a port above 0",
             [](auto& o) { o.advertise = "10.0.0.1:0"; }},
            {"seed \"somewhere\" is neither host:port", [](auto& o) { o.seeds = {"somewhere"}; }},
            {"seed \"srv:\"", [](auto& o) { o.seeds = {"srv:"}; }},
            {"seed \"\"", [](auto& o) { o.seeds = {""}; }},
            {"seed \"second\"", [](auto& o) { o.seeds = {"127.0.0.1:7000", "second"}; }},
            {"seed \"127.0.0.1:0\"", [](auto& o) { o.seeds = {"127.0.0.1:0"}; }}},
           errc::bad_option);
}

TEST_CASE("a right name or address is taken") {
    accept({{"a long group", [](auto& o) { o.group = std::string(255, 'g'); }},
            {"an IPv6 loopback", [](auto& o) { o.listen = "[::1]:7000"; }},
            {"localhost", [](auto& o) { o.listen = "localhost:0"; }},
            {"another loopback", [](auto& o) { o.listen = "127.8.9.1:65535"; }},
            {"advertise", [](auto& o) { o.advertise = "host.example.com:7000"; }},
            {"seeds", [](auto& o) { o.seeds = {"srv:example.com", "[::1]:1", "host:7000"}; }},
            {"dns_server", [](auto& o) { o.dns_server = "127.0.0.1:53"; }}});
}

TEST_CASE("a number of founders that could never meet is refused") {
    expect({{"founders must be between 0 and 31", [](auto& o) { own_seeds(o), o.founders = -2; }},
            {"founders must be between 0 and 31", [](auto& o) { own_seeds(o), o.founders = 32; }},
            {"founders = 3 needs seeds", [](auto& o) { o.founders = 3; }},
            {"founders = 0 only joins, and needs seeds", [](auto& o) { o.founders = 0; }}},
           errc::bad_option);
    accept({{"the most", [](auto& o) { own_seeds(o), o.founders = 31; }},
            {"alone", [](auto& o) { o.founders = 1; }},
            {"only join", [](auto& o) { own_seeds(o), o.founders = 0; }}});
}

TEST_CASE("durations that make a group restless are refused at the limit's other side, and taken at it") {
    expect({{"heartbeat must be positive", [](auto& o) { o.heartbeat = 0ms; }},
            {"heartbeat must be positive", [](auto& o) { o.heartbeat = -1ms; }},
            {"election_timeout must be at least three heartbeats", [](auto& o) { o.election_timeout = 149ms; }},
            {"election_timeout", [](auto& o) { o.heartbeat = std::chrono::milliseconds::max(); }},
            {"session_timeout must be at least twice election_timeout", [](auto& o) { o.session_timeout = 599ms; }},
            {"session_timeout", [](auto& o) { o.election_timeout = std::chrono::milliseconds::max(); }},
            {"session_timeout must be at most a day", [](auto& o) { o.session_timeout = 24h + 1ms; }},
            {"call_timeout must be positive", [](auto& o) { o.call_timeout = 0ms; }},
            {"call_timeout", [](auto& o) { o.call_timeout = std::chrono::milliseconds::max(); }},
            {"snapshot_every must be positive", [](auto& o) { o.snapshot_every = 0; }},
            {"snapshot_bytes must be positive", [](auto& o) { o.snapshot_bytes = 0; }}},
           errc::bad_option);
    accept({{"heartbeat", [](auto& o) { o.heartbeat = 1ms; }},
            {"election_timeout", [](auto& o) { o.election_timeout = 150ms; }},
            {"session_timeout", [](auto& o) { o.session_timeout = 600ms; }},
            {"the longest session_timeout", [](auto& o) { o.session_timeout = 24h; }},
            {"call_timeout", [](auto& o) { o.call_timeout = 1ms; }},
            {"snapshot_every", [](auto& o) { o.snapshot_every = 1; }},
            {"snapshot_bytes", [](auto& o) { o.snapshot_bytes = 1; }}});
}

TEST_CASE("a limit of zero is refused by its name") {
    expect({{"limits.max_command_bytes must be positive", [](auto& o) { o.limits.max_command_bytes = 0; }},
            {"limits.max_pending_calls must be positive", [](auto& o) { o.limits.max_pending_calls = 0; }},
            {"limits.window_entries must be positive", [](auto& o) { o.limits.window_entries = 0; }},
            {"limits.window_bytes must be positive", [](auto& o) { o.limits.window_bytes = 0; }},
            {"limits.max_connections must be positive", [](auto& o) { o.limits.max_connections = 0; }},
            {"limits.max_frame_bytes", [](auto& o) { o.limits.max_frame_bytes = 0; }},
            {"limits.link_queue_bytes", [](auto& o) { o.limits.link_queue_bytes = 0; }}},
           errc::bad_option);
    accept({{"ones", [](auto& o) {
                 o.limits.max_command_bytes = o.limits.max_pending_calls = o.limits.window_entries = 1;
                 o.limits.window_bytes = o.limits.max_connections = 1;
             }}});
}

TEST_CASE("limits under which a peer would close the connection over an honest message are refused") {
    // A batch of commands travels in one frame: 1 MiB and the last command, with its overhead.
    std::size_t const room = (1u << 20) + (64u << 10);
    std::size_t const whole = node_options{}.limits.max_frame_bytes;
    expect({{"limits.max_frame_bytes must leave", [=](auto& o) { o.limits.max_command_bytes = whole - room + 1; }},
            {"limits.max_command_bytes", [](auto& o) { o.limits.max_command_bytes = ~std::size_t{0}; }},
            {"limits.max_frame_bytes", [=](auto& o) { o.limits.max_frame_bytes = (1u << 20) + room - 1; }},
            {"limits.max_frame_bytes", [](auto& o) { o.limits.max_frame_bytes = ~std::size_t{0}; }},
            {"limits.link_queue_bytes must be", [=](auto& o) { o.limits.link_queue_bytes = 2 * whole - 1; }}},
           errc::bad_option);
    accept({{"a command", [=](auto& o) { o.limits.max_command_bytes = whole - room; }},
            {"a frame", [=](auto& o) { o.limits.max_frame_bytes = (1u << 20) + room; }},
            {"a queue", [=](auto& o) { o.limits.link_queue_bytes = 2 * whole; }}});
}

TEST_CASE("an address that others reach needs a clear word, because there is no TLS") {
    expect({{"set allow_plaintext", [](auto& o) { o.listen = "0.0.0.0:7000"; }},
            {"listen \"[::]:0\" is not a loopback address", [](auto& o) { o.listen = "[::]:0"; }},
            {"listen \"127.example.com:7000\"", [](auto& o) { o.listen = "127.example.com:7000"; }},
            {"listen \"example.com:7000\"", [](auto& o) { o.listen = "example.com:7000"; }}},
           errc::bad_option);
    accept({{"plaintext", [](auto& o) { o.listen = "10.0.0.1:7000", o.allow_plaintext = true; }}});
}

TEST_CASE("an address that names every interface needs one that others can be told") {
    auto const open = [](std::string listen) {
        return [listen](auto& o) { o.listen = listen, o.allow_plaintext = true; };
    };
    expect({{"set advertise", open("0.0.0.0:7000")},
            {"listen \"[::]:0\" names every address", open("[::]:0")},
            {"set advertise", open("[0:0:0:0:0:0:0:0]:7000")}},
           errc::bad_option);
    accept({{"told", [=](auto& o) { open("0.0.0.0:7000")(o), o.advertise = "a.example.com:7000"; }},
            {"a real one", open("10.0.0.1:7000")},
            {"IPv6", open("[fd00::1]:7000")}});
}

TEST_CASE("the number of pending calls has an upper bound") {
    expect({{"limits.max_pending_calls must be at most 1048576",
             [](auto& o) { o.limits.max_pending_calls = (1u << 20) + 1; }}},
           errc::bad_option);
    accept({{"at it", [](auto& o) { o.limits.max_pending_calls = 1u << 20; }}});
}

TEST_CASE("what this version does not implement is refused, not ignored") {
    expect({{"tls is not supported by this version; leave it unset", [](auto& o) { o.tls = "cert.pem"; }}}, errc::not_supported);
}

TEST_CASE("how many voters a group keeps, and after how long one is replaced, are bounded") {
    expect({{"voters must be between 0 and 31", [](auto& o) { o.voters = -1; }},
            {"voters must be between 0 and 31", [](auto& o) { o.voters = 32; }},
            {"min_voters must be between 1 and 31", [](auto& o) { o.min_voters = 0; }},
            {"replace_after must be at least election_timeout", [](auto& o) { o.replace_after = o.election_timeout / 2; }},
            {"a failure group has 1 to 255 bytes", [](auto& o) { o.failure_groups = {"rack:1", ""}; }},
            {"failure_groups must name at most 64", [](auto& o) { o.failure_groups.assign(65, "x"); }}},
           errc::bad_option);
}

// ---- clients

client_options minimal_client() {
    client_options o;
    o.group = "g";
    o.seeds = {"127.0.0.1:7000"};
    return o;
}

struct client_change {
    std::string words; ///< of the sentence; empty: the options are taken
    std::function<void(client_options&)> apply;
};

void check_client(std::vector<client_change> const& table) {
    for (client_change const& c : table) {
        CAPTURE(c.words);
        client_options o = minimal_client();
        c.apply(o);
        std::string sentence;
        try {
            o.validate();
        } catch (error const& e) {
            sentence = e.what();
        }
        CAPTURE(sentence);
        CHECK(sentence.empty() == c.words.empty());
        CHECK(sentence.find(c.words) != std::string::npos);
        if (!c.words.empty()) CHECK(sentence.find("client_options: ") == 0);
    }
}

TEST_CASE("a client needs a seed, and everything else has a default") {
    check_client({{"", [](auto&) {}},
                  {"", [](auto& o) { o.seeds = {"srv:bank.example.com"}; }},
                  {"", [](auto& o) { o.group = ""; }}, // Whichever group is there.
                  {"group", [](auto& o) { o.group = std::string(256, 'g'); }},
                  {"seeds must name", [](auto& o) { o.seeds.clear(); }},
                  {"seed \"x\"", [](auto& o) { o.seeds = {"x"}; }},
                  {"allow_plaintext", [](auto& o) { o.seeds = {"bank.example.com:7000"}; }},
                  {"", [](auto& o) { o.seeds = {"bank.example.com:7000"}, o.allow_plaintext = true; }},
                  {"tls is not supported", [](auto& o) { o.tls = "x"; }}});
}

TEST_CASE("a client's times and bounds are checked at their limits") {
    check_client({{"heartbeat", [](auto& o) { o.heartbeat = 0ms; }},
                  {"session_timeout", [](auto& o) { o.session_timeout = 99ms; }},
                  {"", [](auto& o) { o.session_timeout = 100ms, o.heartbeat = 50ms; }},
                  {"twice heartbeat", [](auto& o) { o.session_timeout = 100ms, o.heartbeat = 51ms; }},
                  {"session_timeout", [](auto& o) { o.session_timeout = 24h + 1ms; }},
                  {"call_timeout", [](auto& o) { o.call_timeout = 0ms; }},
                  {"max_staleness", [](auto& o) { o.max_staleness = -1ms; }},
                  {"", [](auto& o) { o.max_staleness = 24h * 365; }},
                  {"max_staleness", [](auto& o) { o.max_staleness = 24h * 365 + 1ms; }},
                  {"limits.max_command_bytes", [](auto& o) { o.limits.max_command_bytes = 0; }},
                  {"limits.max_pending_calls", [](auto& o) { o.limits.max_pending_calls = 0; }},
                  {"", [](auto& o) { o.limits.max_pending_calls = 1u << 20; }},
                  {"limits.max_pending_calls", [](auto& o) { o.limits.max_pending_calls = (1u << 20) + 1; }},
                  {"limits.max_frame_bytes", [](auto& o) { o.limits.max_command_bytes = 4u << 20; }},
                  {"limits.link_queue_bytes", [](auto& o) { o.limits.link_queue_bytes = (8u << 20) - 1; }},
                  {"", [](auto& o) { o.limits.link_queue_bytes = 8u << 20; }}});
}

TEST_CASE("the bounds of a node's clients are checked too") {
    expect({{"limits.max_client_requests", [](auto& o) { o.limits.max_client_requests = 0; }},
            {"limits.client_queue_bytes", [](auto& o) { o.limits.client_queue_bytes = o.limits.max_frame_bytes - 1; }}},
           errc::bad_option);
    accept({{"none", [](auto& o) { o.limits.max_clients = 0; }},
            {"small", [](auto& o) { o.limits.client_queue_bytes = o.limits.max_frame_bytes; }}});
}

} // namespace options_test
