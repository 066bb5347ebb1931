// openreplica-log: reads a node's data directory, prints it, and says whether it is whole.
//
// Nothing is changed, and no lock is taken: a stopped directory, or a copy of one, reads best. Exit status: 0 the
// directory is whole, 1 it is damaged, 2 there is nothing to read. A write that a crash cut off is no damage.
//
// openreplica-log force-new-cluster is the exception: the last resort when a majority of a group's voters is gone for good.
// It makes a new cluster of one survivor's directory. Exit status: 0 done, 2 refused.
#include <openreplica/openreplica.hpp>

#include <getopt.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace {

namespace storage = openreplica::storage;
namespace paxos = openreplica::paxos;
using nlohmann::json;

constexpr char const* usage =
    "usage: openreplica-log [--verify] [--state] [--json] DIRECTORY\n"
    "       openreplica-log force-new-cluster DIRECTORY [--address HOST:PORT] [--accept-damage]\n"
    "                       [--yes-i-have-lost-the-majority] [--json]\n"
    "\n"
    "Prints a data directory: whose it is, its snapshots, and every entry of its log.\n"
    "  -v, --verify  only check it: print the verdict, no entries\n"
    "  -s, --state   print the state in the newest snapshot too\n"
    "  -j, --json    one JSON object a line\n"
    "\n"
    "force-new-cluster, when a majority of the voters is gone for good: makes a new cluster, in which its node is the\n"
    "only voter, of a stopped directory. The old files are kept beside the new ones.\n"
    "  --yes-i-have-lost-the-majority  do it; without this, only say what would be kept\n"
    "  --address HOST:PORT             where the node will be reached, if not where it was\n"
    "  --accept-damage                 also if acknowledged data may be missing: keep what can be read\n";

constexpr char const* confirmation_word = "--yes-i-have-lost-the-majority";

/// JSON where it is some, text where it is not.
json readable(std::string_view text) {
    json parsed = json::parse(text, nullptr, false);
    return parsed.is_discarded() ? json(std::string(text)) : parsed;
}

json to_json(openreplica::ballot const& b) {
    return {{"round", b.round}, {"priority", b.priority}, {"owner", openreplica::short_name(b.owner)}};
}

json to_json(paxos::configuration const& c) {
    json voters = json::array();
    for (auto const& m : c.voters) voters.push_back({{"id", to_string(m.id)}, {"endpoint", to_string(m.address)}});
    return {{"epoch", c.number.value}, {"voters", voters}};
}

json describe(paxos::value const& v) {
    if (v.kind == paxos::value_kind::no_op) return {{"kind", "no-op"}};
    if (v.kind == paxos::value_kind::configuration) {
        openreplica::wire_reader r(v.body.view());
        return {{"kind", "configuration"}, {"configuration", to_json(paxos::decode_configuration(r))}};
    }
    constexpr char const* kinds[] = {"call",         "create",     "destroy",       "reset",
                                     "open_session", "keep_alive", "close_session", "tick"};
    auto const e = openreplica::decode_envelope(v.body.view());
    if (!e) return {{"kind", "unknown"}, {"bytes", v.body.size()}};
    char object[24];
    std::snprintf(object, sizeof object, "%016llx", static_cast<unsigned long long>(e->object.value));
    return {{"kind", kinds[static_cast<std::size_t>(e->kind) - 1]}, {"object", object}, {"session", e->session.value},
            {"sequence", e->seq.value}, {"command", readable(e->body)}};
}

json describe(storage::wal_record const& r) {
    if (auto const* p = std::get_if<paxos::promise_record>(&r)) return {{"record", "promise"}, {"ballot", to_json(p->promised)}};
    if (auto const* c = std::get_if<paxos::chosen_record>(&r)) return {{"record", "chosen"}, {"slot", c->chosen.value}};
    if (auto const* f = std::get_if<paxos::founding_record>(&r)) {
        constexpr char const* steps[] = {"accepted", "chosen", "abandoned", "ended"};
        return {{"record", "founding"}, {"step", steps[static_cast<std::size_t>(f->what) - 1]},
                {"cluster", to_string(f->first.cluster)}, {"configuration", to_json(f->first.members)}};
    }
    if (auto const* s = std::get_if<storage::checkpoint>(&r))
        return {{"record", "checkpoint"}, {"promised", to_json(s->promised)}, {"chosen", s->chosen.value},
                {"cluster", to_string(s->group.cluster)}};
    paxos::entry const& e = std::get<paxos::accept_record>(r).what;
    json out = {{"record", "accept"}, {"slot", e.at.value}, {"ballot", to_json(e.accepted)}, {"stamp", e.what.stamp.value}};
    out.update(describe(e.what));
    return out;
}

class printer {
    bool json_;

public:
    explicit printer(bool as_json) : json_(as_json) {}

    void operator()(std::string const& label, json const& what) const {
        if (json_) {
            json line = what;
            line["what"] = label;
            std::cout << line.dump() << '\n';
        } else {
            std::cout << label << '\t' << what.dump() << '\n';
        }
    }
};

struct options {
    bool verify = false, state = false, json = false;
    bool force = false, confirmed = false;
    openreplica::force_new_cluster_options forced{};
    std::string directory;
};

[[noreturn]] void explain_usage() {
    std::cerr << usage;
    std::exit(2);
}

/// Exits with a sentence when the words make no sense.
options read_options(int argc, char** argv) {
    options o;
    constexpr option known[] = {{"verify", no_argument, nullptr, 'v'},
                                {"state", no_argument, nullptr, 's'},
                                {"json", no_argument, nullptr, 'j'},
                                {"help", no_argument, nullptr, 'h'},
                                {"address", required_argument, nullptr, 'a'},
                                {"accept-damage", no_argument, nullptr, 'd'},
                                {confirmation_word + 2, no_argument, nullptr, 'y'},
                                {nullptr, 0, nullptr, 0}};
    bool reads = false, forces = false;
    for (int c; (c = getopt_long(argc, argv, "vsjh", known, nullptr)) != -1;) switch (c) {
        case 'v': reads = o.verify = true; break;
        case 's': reads = o.state = true; break;
        case 'j': o.json = true; break;
        case 'a': forces = true, o.forced.address = optarg; break;
        case 'd': forces = o.forced.accept_damage = true; break;
        case 'y':
            // getopt takes abbreviations. Nobody loses a group by an abbreviation.
            forces = true;
            o.confirmed = std::find(argv, argv + argc, std::string_view(confirmation_word)) != argv + argc;
            break;
        case 'h': std::cout << usage; std::exit(0);
        default: std::exit(2);
        }
    o.force = optind < argc && std::string_view(argv[optind]) == "force-new-cluster" && argc - optind != 1;
    if (argc - optind != (o.force ? 2 : 1) || (o.force ? reads : forces)) explain_usage();
    o.directory = argv[argc - 1];
    return o;
}

/// What a crash cut off: nobody waited for it, and the node's next start removes it.
bool is_torn(storage::directory_contents const& found) {
    return found.log.damage && found.log.damage->row->then == storage::verdict::torn;
}

/// Why the directory is damaged; empty when it is whole.
std::string verdict(storage::directory_contents const& found) {
    if (found.is_changing) return "force-new-cluster was interrupted: run it again, it goes on where it stopped";
    if (!found.owner) return "the id file is missing or damaged";
    if (!found.owner->ready) return "the directory was not completely made";
    if (found.log.damage && !is_torn(found)) return found.log.damage->text();
    if (!found.whole_identity) return "one copy of the id is damaged";
    if (!found.last_meta) return "both meta files are damaged";
    if (!found.bad_snapshots.empty()) return found.bad_snapshots.front() + " is damaged";
    if (found.has_gap) return "entries are missing between the newest snapshot and the log";
    return {};
}

void print_owner(storage::directory_contents const& found, printer const& print) {
    print("node", {{"id", to_string(found.owner->node)}, {"only_joins", found.owner->only_joins}});
    auto const& state = found.log.tail.state;
    print("group", {{"cluster", state.group.cluster.empty() ? "" : to_string(state.group.cluster)},
                    {"configuration", to_json(state.group.members)}, {"promised", to_json(state.promised)}});
    for (auto const& s : found.snapshots)
        print("snapshot", {{"slot", s.at.value}, {"bytes", s.state.size()}, {"stamp", s.stamp.value}});
}

int force(options const& o, printer const& print) {
    using openreplica::confirmation;
    auto const did = openreplica::force_new_cluster(
        o.directory, o.confirmed ? confirmation::i_have_lost_the_majority : confirmation::none, o.forced);
    print("old", {{"cluster", did.old_cluster}, {"node", did.old_node}, {"files", "*" + did.evidence}});
    print("new", {{"cluster", did.new_cluster}, {"node", did.new_node}, {"endpoint", did.address}, {"epoch", did.epoch}});
    print("kept", {{"to_slot", did.kept_to}, {"not_known_chosen", did.not_known_chosen}, {"damage", did.damage},
                   {"resumed", did.resumed}});
    return 0;
}

int run(options const& o) {
    printer const print(o.json);
    if (o.force) return force(o, print);
    storage::posix_directory dir(o.directory, storage::posix_directory::access::read_only);
    auto const found = storage::read_directory(dir);
    if (found.log.failure) throw std::system_error(found.log.failure, found.log.failed_file);
    if (!found.has_data) throw std::runtime_error("\"" + o.directory + "\" is no data directory of a node");
    if (found.owner) print_owner(found, print);
    if (o.state && !found.snapshots.empty())
        print("state", {{"objects", readable(found.snapshots.front().state.view())}});
    if (!o.verify)
        (void)storage::read_directory(dir, [&](storage::record_header const& h, storage::wal_record&& r) {
            print("log " + std::to_string(h.at.value), describe(r));
        });
    std::string const damage = verdict(found);
    if (is_torn(found)) print("torn", {{"unfinished", found.log.damage->text()}});
    print("verdict", {{"whole", damage.empty()}, {"records", found.log.records}, {"damage", damage}});
    return damage.empty() ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
    options const o = read_options(argc, argv);
    try {
        return run(o);
    } catch (std::exception const& e) {
        std::cerr << "openreplica-log: " << e.what() << '\n';
        return 2;
    }
}
