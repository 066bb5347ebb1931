// openreplica: looks at a running group from a shell, and calls methods of its objects, without knowing their types.
//
// Exit status: 0 it was answered, 1 the group answered with an error, 2 the words make no sense, 3 there was no answer.
#include "launch.hpp"

#include <openreplica/openreplica.hpp>

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using nlohmann::json;

constexpr char const* usage =
    "usage: openreplica --seed SEED [OPTION…] COMMAND [ARGUMENT…]\n"
    "\n"
    "  status                       every member: its role, how far it is, and what is wrong\n"
    "  members                      who they are\n"
    "  objects, types               what the group holds, and what its programs know\n"
    "  show OBJECT                  an object's state\n"
    "  sessions                     who has calls executed exactly once\n"
    "  pending                      who waits, and on what\n"
    "  log [--tail N]               the last entries of the log (20)\n"
    "  call OBJECT METHOD [ARRAY]   has a method executed: call hits add '[1]'\n"
    "  add ADDRESS…, remove MEMBER…, replace MEMBER ADDRESS, transfer MEMBER\n"
    "                               changes the members, or asks one to lead; a member is an address or an id\n"
    "  launch --hosts FILE --command TEMPLATE [--avoid GROUP]… [--dry-run]\n"
    "                               starts one more node, on a host of FILE that is not in use; without --seed nobody is asked\n"
    "\n"
    "  -s, --seed SEED       host:port or srv:NAME; again for more\n"
    "  -g, --group NAME      refuses to talk to any other group\n"
    "  -o, --of ADDRESS      asks this replica, and not the one that answers soonest\n"
    "  -d, --dns SERVER      asks this DNS server\n"
    "  -n, --tail N          of log\n"
    "  -t, --timeout SECONDS for the whole command (10)\n"
    "  -j, --json            prints JSON\n"
    "  -p, --allow-plaintext connects to other addresses than loopback without TLS\n"
    "\n"
    "      --hosts FILE      of launch: a line for each host, host:port (or host) and its failure groups; # is a comment\n"
    "      --command TEMPLATE\n"
    "                        what a shell runs, as 'ssh {host} member --listen {address} --groups {groups}'; also {port}.\n"
    "                        It runs in a session of its own. Its output goes where this program's goes: redirect what\n"
    "                        shall outlive a pipe\n"
    "      --avoid GROUP     a failure group that the host had better not have; again for more\n"
    "      --dry-run         only says what would be run\n";

struct wrong_words : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct options {
    openreplica::client_options client{};
    std::optional<openreplica::endpoint> of{};
    std::string tail = "20";
    std::chrono::milliseconds timeout{10000};
    std::string hosts{};
    std::string launch_command{};
    std::vector<std::string> avoid{};
    bool dry_run = false;
    bool json = false;
    std::string command{};
    std::vector<std::string> arguments{};
};

openreplica::endpoint read_endpoint(std::string const& text) {
    auto const where = openreplica::parse_endpoint(text);
    if (!where || where->port == 0) throw wrong_words("\"" + text + "\" is not host:port");
    return *where;
}

std::chrono::milliseconds read_seconds(std::string const& text) {
    double seconds = 0;
    auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (failure != std::errc{} || end != text.data() + text.size() || !(seconds > 0) || seconds > 1e6)
        throw wrong_words("\"" + text + "\" is no number of seconds");
    return std::chrono::milliseconds(std::max<std::int64_t>(static_cast<std::int64_t>(seconds * 1000), 1));
}

void take_option(options& o, int c) {
    switch (c) {
    case 's': o.client.seeds.emplace_back(optarg); break;
    case 'g': o.client.group = optarg; break;
    case 'o': o.of = read_endpoint(optarg); break;
    case 'd': o.client.dns_server = optarg; break;
    case 'n': o.tail = optarg; break;
    case 't': o.timeout = read_seconds(optarg); break;
    case 'j': o.json = true; break;
    case 'p': o.client.allow_plaintext = true; break;
    case 'H': o.hosts = optarg; break;
    case 'C': o.launch_command = optarg; break;
    case 'A': o.avoid.emplace_back(optarg); break;
    case 'D': o.dry_run = true; break;
    case 'h': std::cout << usage; std::exit(0);
    default: std::exit(2); // getopt has said why.
    }
}

options read_options(int argc, char** argv) {
    constexpr option known[] = {{"seed", required_argument, nullptr, 's'},    {"group", required_argument, nullptr, 'g'},
                                {"of", required_argument, nullptr, 'o'},      {"dns", required_argument, nullptr, 'd'},
                                {"tail", required_argument, nullptr, 'n'},    {"timeout", required_argument, nullptr, 't'},
                                {"json", no_argument, nullptr, 'j'},          {"allow-plaintext", no_argument, nullptr, 'p'},
                                {"hosts", required_argument, nullptr, 'H'},   {"command", required_argument, nullptr, 'C'},
                                {"avoid", required_argument, nullptr, 'A'},   {"dry-run", no_argument, nullptr, 'D'},
                                {"help", no_argument, nullptr, 'h'},          {nullptr, 0, nullptr, 0}};
    options o;
    for (int c; (c = getopt_long(argc, argv, "s:g:o:d:n:t:jph", known, nullptr)) != -1;) take_option(o, c);
    if (optind == argc) throw wrong_words("there is no command; see openreplica --help");
    o.command = argv[optind];
    o.arguments.assign(argv + optind + 1, argv + argc);
    o.client.logger = [](openreplica::log_level, std::string_view) {}; // What matters is in the errors.
    if (o.of) o.client.seeds.push_back(to_string(*o.of));
    return o;
}

// ---- what is printed

std::string text_of(json const& j) { return j.is_string() ? j.get<std::string>() : j.dump(); }

/// The rows as columns that stand below one another.
void print_table(std::vector<std::string> const& columns, json const& rows) {
    std::vector<std::vector<std::string>> cells{columns};
    for (json const& row : rows) {
        auto& line = cells.emplace_back();
        for (auto const& c : columns) line.push_back(row.contains(c) ? text_of(row[c]) : "");
    }
    std::vector<std::size_t> widths(columns.size());
    for (auto const& line : cells)
        for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
    for (auto const& line : cells) {
        std::string out;
        for (std::size_t i = 0; i < line.size(); ++i) out += line[i] + std::string(widths[i] - line[i].size() + 2, ' ');
        out.erase(out.find_last_not_of(' ') + 1);
        std::cout << out << '\n';
    }
}

void print(options const& o, std::vector<std::string> const& columns, json const& rows) {
    if (o.json)
        std::cout << rows.dump() << '\n';
    else
        print_table(columns, rows);
}

// ---- the commands

class shell {
    options const& o_;
    openreplica::client client_;
    std::chrono::steady_clock::time_point end_ = std::chrono::steady_clock::now() + o_.timeout;

    [[nodiscard]] std::chrono::nanoseconds left() const {
        return std::max<std::chrono::nanoseconds>(end_ - std::chrono::steady_clock::now(), std::chrono::milliseconds(1));
    }
    json ask(std::string const& what, std::string const& argument = {}) {
        return json::parse(client_.ask(what, argument, o_.of, left()));
    }
    void arguments(std::size_t least, std::size_t most, char const* form) const {
        if (o_.arguments.size() < least || o_.arguments.size() > most)
            throw wrong_words(std::string("the command is: ") + form);
    }
    void table(std::string const& what, std::vector<std::string> const& columns, std::string const& argument = {}) {
        arguments(0, 0, what.c_str());
        print(o_, columns, ask(what, argument));
    }

    /// One member may be down: then it says so, and the others answer all the same. Each is asked by a client of its own:
    /// to a group's clients only voters and seeds are known.
    json status_of(openreplica::endpoint const& where) {
        try {
            auto const patience = std::min<std::chrono::nanoseconds>(left(), std::chrono::seconds(2));
            auto own = o_.client;
            own.seeds = {to_string(where)};
            return json::parse(openreplica::client(own).ask("status", "", where, patience));
        } catch (openreplica::error const& e) {
            return {{"endpoint", to_string(where)}, {"role", "unreachable"}, {"problem", e.what()}};
        }
    }
    void status() {
        arguments(0, 0, "status");
        json rows = json::array();
        if (o_.of) {
            rows.push_back(status_of(*o_.of));
        } else {
            json const members = ask("members");
            std::set<std::string> all{members["asked"].get<std::string>()};
            for (json const& m : members["members"]) all.insert(m["endpoint"].get<std::string>());
            for (std::string const& where : all) rows.push_back(status_of(read_endpoint(where)));
        }
        print(o_, {"endpoint", "role", "epoch", "chosen", "applied", "pending_calls", "problem"}, rows);
    }
    void members() {
        arguments(0, 0, "members");
        json const all = ask("members");
        if (o_.json)
            std::cout << all.dump() << '\n';
        else
            print_table({"endpoint", "role", "connected", "id"}, all["members"]);
    }
    void show() {
        arguments(1, 1, "show OBJECT");
        std::string const text = client_.ask("show", o_.arguments[0], o_.of, left());
        if (o_.json)
            std::cout << text << '\n';
        else
            std::cout << nlohmann::ordered_json::parse(text)["state"].dump(2) << '\n';
    }
    void pending() {
        arguments(0, 0, "pending");
        json const all = ask("pending");
        if (o_.json)
            std::cout << all.dump() << '\n';
        else
            print_table({"session", "sequence", "kind", "object", "command", "attempts"}, all["calls"]);
    }
    void call() {
        arguments(2, 3, "call OBJECT METHOD [ARRAY]");
        std::string const given = o_.arguments.size() == 3 ? o_.arguments[2] : "[]";
        // In the form that the log holds: without spaces, members in the order in which they were written.
        auto const array = nlohmann::ordered_json::parse(given, nullptr, false);
        if (!array.is_array()) throw wrong_words("the arguments are a JSON array, as '[1,\"two\"]'; not " + given);
        std::string const result = client_.call(o_.arguments[0], o_.arguments[1], array.dump(), {.timeout = left()});
        if (!result.empty()) std::cout << result << '\n';
    }
    void order(json const& what) {
        std::string const reply = client_.order(what.dump(), left());
        if (!reply.empty()) std::cout << reply << '\n';
    }

public:
    explicit shell(options const& o) : o_(o), client_(o.client) {}

    void run() {
        auto const& a = o_.arguments;
        std::map<std::string, std::function<void()>> const commands{
            {"status", [&] { status(); }},
            {"members", [&] { members(); }},
            {"objects", [&] { table("objects", {"name", "type"}); }},
            {"types", [&] { table("types", {"name", "fingerprint"}); }},
            {"show", [&] { show(); }},
            {"sessions", [&] { table("sessions", {"id", "timeout_ms", "idle_ms", "acknowledged_below", "results"}); }},
            {"pending", [&] { pending(); }},
            {"log", [&] { table("log", {"slot", "ballot", "kind", "session", "sequence", "object", "command"}, o_.tail); }},
            {"call", [&] { call(); }},
            {"add", [&] { arguments(1, 31, "add ADDRESS…"), order({{"add", a}}); }},
            {"remove", [&] { arguments(1, 31, "remove MEMBER…"), order({{"remove", a}}); }},
            {"replace", [&] { arguments(2, 2, "replace MEMBER ADDRESS"), order({{"remove", {a[0]}}, {"add", {a[1]}}}); }},
            {"transfer", [&] { arguments(1, 1, "transfer MEMBER"), order({{"transfer", a[0]}}); }}};
        auto const command = commands.find(o_.command);
        if (command == commands.end())
            throw wrong_words("there is no command \"" + o_.command + "\"; see openreplica --help");
        command->second();
    }
};

// ---- one more node

/// The leader is connected to every node; another one may not be.
json ask_for_members(options const& o) {
    openreplica::client client(o.client);
    json all = json::parse(client.ask("members", "", o.of, o.timeout));
    for (json const& m : all["members"]) {
        if (o.of || m["role"] != "leader" || m["endpoint"] == all["asked"]) continue;
        try {
            auto const patience = std::min<std::chrono::nanoseconds>(o.timeout, std::chrono::seconds(2));
            return json::parse(client.ask("members", "", read_endpoint(m["endpoint"].get<std::string>()), patience));
        } catch (openreplica::error const&) { // It may be the one that has just failed.
        }
    }
    return all;
}

/// The failure groups of a voter are what it says itself and what the file says.
launch::surroundings look_around(options const& o, std::vector<launch::host> const& hosts) {
    launch::surroundings now;
    if (!o.avoid.empty()) now.voters.push_back(o.avoid);
    if (o.client.seeds.empty()) return now;
    json const all = ask_for_members(o);
    for (json const& m : all["members"]) {
        openreplica::endpoint const where = read_endpoint(m["endpoint"].get<std::string>());
        now.in_use.push_back(where);
        if (m["role"] == "standby" || !m["connected"].get<bool>()) continue;
        auto groups = m.value("failure_groups", std::vector<std::string>{});
        for (launch::host const& h : hosts)
            if (h.has(where)) groups.insert(groups.end(), h.groups.begin(), h.groups.end());
        now.voters.push_back(std::move(groups));
    }
    return now;
}

/// One host after another, best first, until a command does not fail at once. True when one did not.
bool launch_one(options const& o) {
    if (!o.arguments.empty() || o.hosts.empty() || o.launch_command.empty())
        throw wrong_words("the command is: launch --hosts FILE --command TEMPLATE [--avoid GROUP]… [--dry-run]");
    auto hosts = launch::read_hosts(o.hosts);
    launch::check_template(o.launch_command, hosts);
    auto const now = look_around(o, hosts);
    std::size_t const all = hosts.size();
    json rows = json::array();
    bool runs = false;
    while (!runs) {
        auto const best = launch::choose(hosts, now);
        if (!best) break;
        std::string const command = launch::fill_in(o.launch_command, hosts[*best]);
        json row{{"host", hosts[*best].address()}, {"status", "not run"}, {"command", command}};
        if (!o.dry_run) {
            auto const s = launch::run(command, std::chrono::seconds(1));
            row["process"] = s.process;
            row["status"] = s.status ? json(*s.status) : json("runs");
            runs = !s.status || *s.status == 0;
        }
        runs = runs || o.dry_run;
        rows.push_back(std::move(row));
        hosts.erase(hosts.begin() + static_cast<std::ptrdiff_t>(*best));
    }
    if (!rows.empty()) print(o, {"host", "process", "status", "command"}, rows);
    if (!runs)
        std::cerr << "openreplica: no host is left: of the " << all << " in " << o.hosts << " "
                  << (rows.empty() ? "every one is in use" : "none that is not in use could be used") << "; add hosts\n";
    return runs;
}

} // namespace

int main(int argc, char** argv) {
    using openreplica::errc;
    try {
        options const o = read_options(argc, argv);
        if (o.command == "launch") return launch_one(o) ? 0 : 1;
        shell(o).run();
        return 0;
    } catch (wrong_words const& e) {
        std::cerr << "openreplica: " << e.what() << '\n';
        return 2;
    } catch (launch::mistake const& e) {
        std::cerr << "openreplica: " << e.what() << '\n';
        return 2;
    } catch (openreplica::error const& e) {
        std::cerr << "openreplica: " << e.what() << '\n';
        if (e.code() == errc::bad_option) return 2;
        return e.code() == errc::not_executed || e.code() == errc::outcome_unknown ? 3 : 1;
    } catch (std::exception const& e) {
        std::cerr << "openreplica: " << e.what() << '\n';
        return 1;
    }
}
