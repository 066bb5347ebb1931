// Empty nodes that meet: founding objects with disks, and a network that loses what the script wants lost.
#pragma once

#include <openreplica/paxos/founding.hpp>
#include <openreplica/types/hash.hpp>

#include "script.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace paxos_script {

/// What a founding object asked for, one line each; discovers are left out, since they leave all the time.
inline std::string told(founding_output const& out) {
    constexpr char const* kinds[] = {"discover", "propose", "accepted", "chosen", "abandon", "abandoned", "welcome"};
    std::string all;
    for (record const& r : out.append) all += lines("write " + text(r));
    for (founding_outgoing const& m : out.messages)
        if (m.what.index() != 0)
            all += lines("to " + text(m.to.value_or(node_id{})) + ": " + kinds[m.what.index()] +
                         (m.durable ? " durable" : ""));
    if (out.needs_new_identity) all += lines("new identity");
    return all;
}

/// What a disk holds after `r` was appended to it, as the storage layer recovers it.
inline void absorb(durable_state& disk, founding_record const& r) {
    using step = founding_record::step;
    if (r.what == step::accepted) disk.group = r.first;
    if (r.what == step::chosen) disk.group_chosen = true;
    if (r.what == step::abandoned) disk.abandoned.push_back(r.first.cluster);
    if (r.what == step::ended) disk.group = {};
}

struct founding_node {
    member self;
    founding_options options;
    durable_state disk;
    std::vector<record> unsynced;
    std::vector<founding_outgoing> held;
    std::optional<founding> core; ///< none while the node is down
    bool slow_disk = false;
    int identities = 1;

    [[nodiscard]] cluster_id cluster() const {
        if (core && core->group()) return core->group()->cluster;
        return core && core->joined() ? core->joined()->cluster : cluster_id{};
    }
};

/// A step is 20 ms: all nodes tick, then messages fly until none is left, then the disks sync.
class founding_network {
public:
    using filter = std::function<bool(std::size_t from, std::size_t to, founding_message const&)>;

    instant now{1h};
    std::deque<founding_node> nodes;
    filter lose = [](std::size_t, std::size_t, founding_message const&) { return false; };
    std::set<cluster_id> existing; ///< clusters whose first entry could be chosen: a quorum durably knows them

    founding_network(std::size_t count, founding_options options) {
        for (std::size_t i = 0; i < count; ++i) {
            nodes.push_back({});
            nodes.back().self = member_of(node_id{0, i + 1});
            nodes.back().options = options;
            start(i);
        }
    }

    void start(std::size_t i) {
        founding_node& n = nodes[i];
        n.core.emplace(n.self, n.options, n.disk, now);
    }
    /// What was not synced is gone, and so are the messages that waited for it.
    void crash(std::size_t i) {
        nodes[i].core.reset();
        nodes[i].unsynced.clear();
        nodes[i].held.clear();
    }
    /// The node at this address comes back without its directory.
    void wipe(std::size_t i) {
        crash(i);
        fresh_identity(i);
    }
    void run(duration time) {
        for (instant const end = now + time; now < end;) step();
    }
    /// True when `done` came true in time.
    bool run_until(duration time, std::function<bool()> const& done) {
        for (instant const end = now + time; now < end && !done();) step();
        return done();
    }
    void isolate(std::set<std::size_t> const& apart) {
        lose = [apart](std::size_t from, std::size_t to, founding_message const&) {
            return apart.contains(from) != apart.contains(to);
        };
    }
    void heal() {
        lose = [](std::size_t, std::size_t, founding_message const&) { return false; };
    }
    [[nodiscard]] bool is_member(std::size_t i) const { return nodes[i].core && nodes[i].core->group() != nullptr; }
    /// All that run belong to one existing cluster.
    [[nodiscard]] bool united() const {
        return existing.size() == 1 && std::all_of(nodes.begin(), nodes.end(), [&](founding_node const& n) {
                   return !n.core || n.cluster() == *existing.begin();
               });
    }

private:
    struct flying {
        std::size_t from, to;
        node_id sender;
        founding_message what;
    };

    void step() {
        now += 20ms;
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            if (!nodes[i].core) continue;
            ++random_;
            nodes[i].core->tick(now, mix64(random_), cluster_id{0, 1000 + random_});
            carry_out(i);
        }
        fly();
        for (std::size_t i = 0; i < nodes.size(); ++i)
            if (nodes[i].core && !nodes[i].slow_disk) sync(i);
        fly();
        count_existing();
    }

    void carry_out(std::size_t i) {
        founding_node& n = nodes[i];
        founding_output out = n.core->take_output();
        n.unsynced.insert(n.unsynced.end(), out.append.begin(), out.append.end());
        for (founding_outgoing& m : out.messages) {
            if (m.durable && !n.unsynced.empty())
                n.held.push_back(std::move(m));
            else
                send(i, m);
        }
        if (out.needs_new_identity) fresh_identity(i);
    }
    void sync(std::size_t i) {
        founding_node& n = nodes[i];
        for (record const& r : std::exchange(n.unsynced, {})) absorb(n.disk, std::get<founding_record>(r));
        n.core->persisted();
        for (founding_outgoing const& m : std::exchange(n.held, {})) send(i, m);
    }
    void fresh_identity(std::size_t i) {
        founding_node& n = nodes[i];
        n.self.id = node_id{0, 100 + random_ * 10 + i};
        ++n.identities;
        n.disk = {};
        n.unsynced.clear();
        n.held.clear();
        start(i);
    }
    void send(std::size_t from, founding_outgoing const& m) {
        for (std::size_t to = 0; to < nodes.size(); ++to)
            if (to != from && (!m.to || *m.to == nodes[to].self.id) && !lose(from, to, m.what))
                air_.push_back({from, to, nodes[from].self.id, m.what});
    }
    void fly() {
        while (!air_.empty()) {
            flying const f = std::move(air_.front());
            air_.pop_front();
            founding_node& n = nodes[f.to];
            if (!n.core) continue;
            if (std::holds_alternative<discover>(f.what) && !n.cluster().empty())
                send(f.to, {f.sender, welcome{n.cluster(), {}, existing.contains(n.cluster())}});
            n.core->step({f.sender, nodes[f.from].self.address}, f.what, now);
            carry_out(f.to);
        }
    }
    /// A first entry can be chosen once a quorum of the founders durably know that the cluster exists.
    void count_existing() {
        std::map<cluster_id, std::size_t> knowing;
        for (founding_node const& n : nodes)
            if (n.disk.group_chosen && ++knowing[n.disk.group.cluster] >= n.disk.group.members.quorum())
                existing.insert(n.disk.group.cluster);
        for (founding_node& n : nodes)
            if (n.core && existing.contains(n.cluster())) n.core->established();
    }

    std::deque<flying> air_;
    std::uint64_t random_ = 0;
};

} // namespace paxos_script
