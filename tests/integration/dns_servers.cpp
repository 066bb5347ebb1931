// The resolver against the DNS servers of the distribution: dnsmasq, BIND, Knot, and Unbound in front of Knot.
//
// A server that is not installed is skipped with a line that says so, or with OPENREPLICA_REQUIRE_DNS_SERVERS=1 is a
// failure. Everything runs on loopback, on free high ports, from a temporary directory; the processes started here, and
// no others, are ended here.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <openreplica/dns/discovery.hpp>

#include <asio/io_context.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string_view>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace dns = openreplica::dns;
namespace files = std::filesystem;
using namespace std::chrono_literals;
using dns::lookup_error;

namespace {

std::optional<std::string> find_program(std::string const& name) {
    for (auto const* folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/sbin/", "/usr/local/bin/", "/sbin/", "/bin/"})
        if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
    return std::nullopt;
}

std::string read_text(files::path const& p) {
    std::ifstream in(p);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct temporary_folder {
    files::path path;
    temporary_folder() {
        std::string pattern = (files::temp_directory_path() / "openreplica-dns-XXXXXX").string();
        REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    temporary_folder(temporary_folder const&) = delete;
    temporary_folder& operator=(temporary_folder const&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        files::remove_all(path, ignored);
    }
    void write(std::string const& name, std::string const& text) const { std::ofstream(path / name) << text; }
    /// A copy of an installed program: where AppArmor has a profile for the installed one, that may not read this
    /// folder.
    [[nodiscard]] std::string copy_of(std::string const& program) const {
        files::copy_file(*find_program(program), path / program);
        return (path / program).string();
    }
};

/// A child of this test; killed and waited for at the end.
class process {
    pid_t pid_ = -1;
    files::path log_;

public:
    process(std::vector<std::string> command, files::path log) : log_(std::move(log)) {
        std::vector<char*> arguments;
        for (auto& word : command) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ != 0) return;
        int const out = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(out, 1);
        dup2(out, 2);
        execv(arguments[0], arguments.data());
        _exit(127);
    }
    process(process const&) = delete;
    process& operator=(process const&) = delete;
    ~process() {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] bool ended() {
        if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
        return pid_ <= 0;
    }
    [[nodiscard]] std::string log() const { return read_text(log_); }
};

/// A port that was free for UDP and TCP a moment ago.
std::uint16_t free_port() {
    asio::io_context io;
    for (;;) {
        asio::ip::udp::socket udp(io, {asio::ip::make_address("127.0.0.1"), 0});
        asio::ip::tcp::acceptor tcp(io);
        tcp.open(asio::ip::tcp::v4());
        asio::error_code taken;
        tcp.bind({asio::ip::make_address("127.0.0.1"), udp.local_endpoint().port()}, taken);
        if (!taken) return udp.local_endpoint().port();
    }
}

constexpr int wide_count = 40;

/// The zone openreplica.test in the text form that BIND and Knot read.
std::string zone_text() {
    std::string z = "$ORIGIN openreplica.test.\n$TTL 30\n"
                    "@ SOA ns hostmaster 7 60 30 3600 5\n@ NS ns\nns A 127.0.0.1\n"
                    "_openreplica._tcp.bank SRV 10 1 7001 n1.bank\n"
                    "_openreplica._tcp.bank SRV 20 1 7002 n2.bank\n"
                    "_openreplica._tcp.bank SRV 30 1 7003 n3.bank\n"
                    "n1.bank A 127.0.0.1\nn2.bank A 127.0.0.2\nn2.bank AAAA ::1\nn3.bank AAAA ::1\n"
                    "_openreplica._tcp.off SRV 0 0 0 .\n"
                    "_openreplica._tcp.bare SRV 0 0 7000 none.bare\nnone.bare TXT \"no address\"\n"
                    "text TXT \"only text\"\n"
                    "_bank._tcp CNAME _openreplica._tcp.bank\n"
                    "loop1 CNAME loop2\nloop2 CNAME loop1\n";
    for (int i = 1; i <= wide_count; ++i) {
        std::string const host = "a-rather-long-host-name-" + std::to_string(i) + ".wide";
        z += "_openreplica._tcp.wide SRV 0 10 7000 " + host + "\n" + host + " A 127.0.1." + std::to_string(i) + "\n";
    }
    return z;
}

/// The same names as options of dnsmasq, which has no zone files.
std::string dnsmasq_options(std::uint16_t port) {
    std::string const zone = ".openreplica.test";
    std::string o =
        "port=" + std::to_string(port) +
        "\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nkeep-in-foreground\nlog-facility=-\n"
        "local=/openreplica.test/\npid-file\nlocal-ttl=30\n";
    if (geteuid() == 0) o += "user=root\n";
    for (int i = 1; i <= 3; ++i)
        o += "srv-host=_openreplica._tcp.bank" + zone + ",n" + std::to_string(i) + ".bank" + zone + "," +
             std::to_string(7000 + i) + "," + std::to_string(10 * i) + ",1\n";
    o += "host-record=n1.bank" + zone + ",127.0.0.1\nhost-record=n2.bank" + zone + ",127.0.0.2,::1\n";
    o += "host-record=n3.bank" + zone + ",::1\nsrv-host=_openreplica._tcp.off" + zone + "\n";
    o += "srv-host=_openreplica._tcp.bare" + zone + ",none.bare" + zone + ",7000\ntxt-record=none.bare" + zone +
         ",none\n";
    o += "txt-record=text" + zone + ",only text\n";
    for (int i = 1; i <= wide_count; ++i) {
        std::string const host = "a-rather-long-host-name-" + std::to_string(i) + ".wide" + zone;
        o += "srv-host=_openreplica._tcp.wide" + zone + "," + host + ",7000,0,10\nhost-record=" + host + ",127.0.1." +
             std::to_string(i) + "\n";
    }
    return o;
}

/// Asks and waits.
struct asker {
    asio::io_context io;
    std::uint16_t port;
    explicit asker(std::uint16_t p) : port(p) {}

    dns::lookup_result seeds(std::string_view seed) {
        dns::discovery_options o;
        o.dns_server = "127.0.0.1:" + std::to_string(port);
        o.timeout = 2s;
        dns::discovery d(io.get_executor(), o);
        std::optional<dns::lookup_result> result;
        d.async_lookup_seeds(seed, [&](dns::lookup_result r) { result = std::move(r); });
        io.restart();
        while (!result && io.run_one_for(30s) != 0) {
        }
        REQUIRE(result);
        return std::move(*result);
    }
    dns::answer records(std::string_view name, dns::record_type type, std::chrono::milliseconds timeout = 2s) {
        dns::resolver r(io.get_executor(), {{{"127.0.0.1", port}}, timeout, 1, dns::system_entropy()});
        std::optional<dns::answer> result;
        r.async_resolve(*dns::name::parse(name), type, [&](dns::answer a) { result = std::move(a); });
        io.restart();
        while (!result && io.run_one_for(30s) != 0) {
        }
        REQUIRE(result);
        return std::move(*result);
    }
    /// Polls until the server answers; fails with its log when it ends or when ten seconds have passed.
    void wait_until_ready(process& server) {
        auto const deadline = std::chrono::steady_clock::now() + 10s;
        asio::steady_timer pause(io);
        for (;;) {
            if (!records("_openreplica._tcp.bank.openreplica.test", dns::record_type::srv, 200ms).failure) return;
            bool const ended = server.ended();
            bool const late = std::chrono::steady_clock::now() > deadline;
            if (ended || late) FAIL("the server " << (ended ? "ended" : "does not answer") << ":\n" << server.log());
            pause.expires_after(20ms);
            pause.wait();
        }
    }
};

std::string addresses(dns::lookup_result const& r) {
    std::string out;
    for (auto const& e : r.endpoints) out += to_string(e.address) + " ";
    return out;
}

/// What every server must make us see.
void check_service(asker& ask) {
    auto const bank = ask.seeds("srv:bank.openreplica.test");
    INFO(bank.text);
    CHECK(addresses(bank) == "127.0.0.1:7001 127.0.0.2:7002 [::1]:7002 [::1]:7003 ");
    REQUIRE(!bank.endpoints.empty());
    CHECK(bank.endpoints[0].target == "n1.bank.openreplica.test");
    CHECK(bank.ttl >= 1s);
    CHECK(bank.ttl <= 30s);

    auto const wide = ask.seeds("srv:wide.openreplica.test"); // Above 1232 bytes: it comes over TCP.
    INFO(wide.text);
    std::set<std::string> hosts;
    for (auto const& e : wide.endpoints) hosts.insert(e.address.host);
    CHECK(hosts.size() == wide_count);

    CHECK(ask.seeds("srv:absent.openreplica.test").failure == lookup_error::nxdomain);
    CHECK(ask.seeds("srv:off.openreplica.test").failure == lookup_error::not_offered);
    auto const bare = ask.seeds("srv:bare.openreplica.test");
    CHECK(bare.failure == lookup_error::no_address);
    CHECK(bare.text.find("none.bare.openreplica.test") != std::string::npos);
    CHECK(ask.records("text.openreplica.test", dns::record_type::a).failure == lookup_error::nodata);
    CHECK(ask.records("text.openreplica.test", dns::record_type::srv).failure == lookup_error::nodata);
    auto const text = ask.records("text.openreplica.test", dns::record_type::txt);
    REQUIRE(text.records.size() == 1);
    CHECK(std::get<dns::txt_data>(text.records[0].data).strings == std::vector<std::string>{"only text"});
    CHECK(ask.records("elsewhere.test", dns::record_type::a).failure == lookup_error::refused);
}

/// What servers with zone files can do besides.
void check_zone(asker& ask) {
    CHECK(addresses(ask.seeds("srv:_bank._tcp.openreplica.test")) == // an alias of the service
          "127.0.0.1:7001 127.0.0.2:7002 [::1]:7002 [::1]:7003 ");
    CHECK(ask.records("_tcp.bank.openreplica.test", dns::record_type::srv).failure == lookup_error::nodata);
    auto const soa = ask.records("openreplica.test", dns::record_type::soa);
    REQUIRE(soa.records.size() == 1);
    CHECK(std::get<dns::soa_data>(soa.records[0].data).serial == 7);
    CHECK(ask.records("openreplica.test", dns::record_type::ns).records.size() == 1);
    CHECK(ask.records("absent.openreplica.test", dns::record_type::a).ttl == 5s); // the SOA's minimum
    auto const loop = ask.records("loop1.openreplica.test", dns::record_type::a);
    INFO(loop.text); // BIND and Unbound see the loop themselves and answer SERVFAIL.
    CHECK((loop.failure == lookup_error::malformed || loop.failure == lookup_error::servfail));
}

bool skipped(std::string const& program) {
    if (find_program(program)) return false;
    char const* const required = std::getenv("OPENREPLICA_REQUIRE_DNS_SERVERS");
    if (required != nullptr && required == std::string_view("1"))
        FAIL(program << " is not installed; tests/tools/setup.sh dns installs it");
    MESSAGE("skipped: " << program << " is not installed");
    return true;
}

/// Knot with the zone.
struct knot {
    temporary_folder folder;
    std::uint16_t port = free_port();
    std::optional<process> server;
    knot() {
        std::string const at = folder.path.string();
        folder.write("test.zone", zone_text());
        folder.write("knot.conf",
                     "server:\n    rundir: \"" + at + "\"\n    listen: 127.0.0.1@" + std::to_string(port) + "\n" +
                         (geteuid() == 0 ? "    user: root:root\n" : "") + "database:\n    storage: \"" + at +
                         "\"\nzone:\n  - domain: openreplica.test\n    storage: \"" + at + "\"\n    file: test.zone\n");
        server.emplace(std::vector<std::string>{folder.copy_of("knotd"), "-c", at + "/knot.conf"}, folder.path / "log");
        asker(port).wait_until_ready(*server);
    }
};

/// Unbound, which resolves openreplica.test through the server at `stub`; it has no way to any other place.
struct unbound {
    temporary_folder folder;
    std::uint16_t port = free_port();
    std::optional<process> server;
    unbound(std::uint16_t stub, std::string const& extra) {
        std::string const at = folder.path.string();
        folder.write("unbound.conf",
                     "server:\n  interface: 127.0.0.1@" + std::to_string(port) +
                         "\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"" + at +
                         "\"\n  pidfile: \"" + at +
                         "/pid\"\n  use-syslog: no\n  do-ip6: no\n  num-threads: 1\n  module-config: \"iterator\"\n"
                         "  access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n"
                         "  local-zone: \"test.\" nodefault\n  local-zone: \"elsewhere.test.\" refuse\n" +
                         extra +
                         "remote-control:\n  control-enable: no\n"
                         "stub-zone:\n  name: \"openreplica.test\"\n  stub-addr: 127.0.0.1@" +
                         std::to_string(stub) + "\nforward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@9\n");
        server.emplace(std::vector<std::string>{folder.copy_of("unbound"), "-c", at + "/unbound.conf"},
                       folder.path / "log");
        asker(port).wait_until_ready(*server);
    }
};

} // namespace

TEST_CASE("dnsmasq's service records are found") {
    if (skipped("dnsmasq")) return;
    temporary_folder folder;
    asker ask(free_port());
    folder.write("dnsmasq.conf", dnsmasq_options(ask.port));
    process server({folder.copy_of("dnsmasq"), "--conf-file=" + (folder.path / "dnsmasq.conf").string()},
                   folder.path / "log");
    ask.wait_until_ready(server);
    check_service(ask);
}

TEST_CASE("BIND's service records are found") {
    if (skipped("named")) return;
    temporary_folder folder;
    asker ask(free_port());
    std::string const at = folder.path.string();
    folder.write("test.zone", zone_text());
    folder.write("named.conf", "options { directory \"" + at + "\"; pid-file \"" + at + "/pid\"; session-keyfile \"" +
                                   at + "/session.key\"; recursion no; listen-on port " + std::to_string(ask.port) +
                                   " { 127.0.0.1; }; listen-on-v6 { none; }; dnssec-validation no; notify no; };\n"
                                   "controls { };\nzone \"openreplica.test\" { type primary; file \"test.zone\"; };\n");
    process server({folder.copy_of("named"), "-g", "-n", "1", "-c", at + "/named.conf"}, folder.path / "log");
    ask.wait_until_ready(server);
    check_service(ask);
    check_zone(ask);
}

TEST_CASE("Knot's service records are found") {
    if (skipped("knotd")) return;
    knot k;
    asker ask(k.port);
    check_service(ask);
    check_zone(ask);
}

TEST_CASE("service records are found through Unbound, in front of Knot") {
    if (skipped("knotd") || skipped("unbound")) return;
    knot k;
    unbound u(k.port, "");
    asker ask(u.port);
    check_service(ask);
    check_zone(ask);
}

TEST_CASE("an Unbound that filters private addresses leaves targets without one, and the text names the filter") {
    if (skipped("knotd") || skipped("unbound")) return;
    knot k;
    unbound u(k.port, "  private-address: 127.0.0.0/8\n  private-address: ::1\n");
    asker ask(u.port);
    auto const r = ask.seeds("srv:bank.openreplica.test");
    CHECK(r.failure == lookup_error::no_address);
    CHECK(r.text.find("rebinding") != std::string::npos);
}
