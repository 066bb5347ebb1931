// What a random group is judged by from outside, and the disks that its nodes write to.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/hash.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace random_cluster {

using namespace openreplica;
namespace px = openreplica::paxos;

struct violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] inline void fail(std::string const& what) { throw violation(what); }

inline std::uint64_t fingerprint(px::value const& v) {
    return hash64(v.body.view(), v.stamp.value * 4 + static_cast<std::uint64_t>(v.kind));
}

/// What is known from outside: who durably holds what, hence what is chosen, and what was ever submitted.
struct oracle {
    struct chosen_slot {
        std::uint64_t value;
        ballot by;
    };
    std::map<slot, chosen_slot> chosen;
    std::map<std::pair<slot, ballot>, std::uint64_t> proposed;
    std::map<slot, std::map<ballot, std::set<node_id>>> votes;
    std::set<std::string, std::less<>> submitted;
    std::map<std::string, slot, std::less<>> placed;
    slot acked; ///< the highest slot that somebody delivered

    void saw(slot s, ballot const& b, px::value const& v) {
        auto const [it, added] = proposed.emplace(std::pair(s, b), fingerprint(v));
        if (!added && it->second != fingerprint(v)) fail("S2: a ballot has two values for one slot");
    }

    void durable_accept(node_id who, px::configuration const& c, ballot const& promised, px::entry const& e) {
        saw(e.at, e.accepted, e.what);
        auto const print = fingerprint(e.what);
        auto const it = chosen.find(e.at);
        if (e.accepted < promised && (it == chosen.end() || it->second.value != print))
            fail("S3: a value was accepted below the promise");
        if (it != chosen.end()) {
            if (e.accepted >= it->second.by && it->second.value != print)
                fail("S1: a later ballot accepted another value than the chosen one");
            return;
        }
        if (!c.has_voter(who)) return;
        auto& of_slot = votes[e.at];
        of_slot[e.accepted].insert(who);
        if (of_slot[e.accepted].size() < c.quorum()) return;
        chosen.emplace(e.at, chosen_slot{print, e.accepted});
        votes.erase(e.at);
    }

    void delivered(px::entry const& e) {
        auto const it = chosen.find(e.at);
        if (it == chosen.end()) fail("S1: delivered although no majority holds it durably");
        if (it->second.value != fingerprint(e.what)) fail("S1: two values for one slot");
        acked = std::max(acked, e.at);
        if (e.what.kind != px::value_kind::command) return;
        std::string const command(e.what.body.view());
        if (!submitted.contains(command)) fail("S6: a command that nobody submitted");
        if (placed.emplace(command, e.at).first->second != e.at) fail("S11: one proposal, two slots");
    }
};

/// A disk that remembers what was synced before the crash.
class disk {
public:
    using record = std::variant<px::record, px::snapshot>;

    std::deque<std::pair<record, lsn>> unsynced;
    px::durable_state image; ///< what a restart finds

    void sync_one(node_id who, px::configuration const& c, oracle& o) {
        std::visit([&](auto const& r) { absorb(r, who, c, o); }, unsynced.front().first);
        unsynced.pop_front();
    }

    [[nodiscard]] px::entry const* find(slot s) const {
        if (s <= image.base.at || image.entries.empty() || s > image.entries.back().at) return nullptr;
        return &image.entries[static_cast<std::size_t>(s.since(image.base.at.next()))];
    }

private:
    void absorb(px::record const& r, node_id who, px::configuration const& c, oracle& o) {
        if (auto const* p = std::get_if<px::promise_record>(&r)) {
            if (p->promised < image.promised) fail("S3: the durable promise went back");
            image.promised = p->promised;
        } else if (auto const* a = std::get_if<px::accept_record>(&r)) {
            o.durable_accept(who, c, image.promised, a->what);
            image.promised = std::max(image.promised, a->what.accepted);
            slot const end = image.base.at.plus(image.entries.size());
            if (a->what.at <= image.base.at) return;
            if (a->what.at > end.next()) fail("S9: the durable log has a hole");
            if (a->what.at == end.next())
                image.entries.push_back(a->what);
            else
                image.entries[static_cast<std::size_t>(a->what.at.since(image.base.at.next()))] = a->what;
        }
    }
    void absorb(px::snapshot const& s, node_id, px::configuration const&, oracle&) {
        if (s.at <= image.base.at) return;
        auto const gone = std::min<std::size_t>(image.entries.size(), s.at.since(image.base.at));
        image.entries.erase(image.entries.begin(), image.entries.begin() + static_cast<std::ptrdiff_t>(gone));
        image.base = s;
        image.promised = std::max(image.promised, s.behind);
    }
};

} // namespace random_cluster
