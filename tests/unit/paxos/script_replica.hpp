// One replica on a stage: the script plays its disk, its clock and everybody else.
#pragma once

#include <openreplica/paxos/invariants.hpp>
#include <openreplica/paxos/replica.hpp>

#include "script.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace paxos_script {

template <class T>
void append(std::vector<T>& all, std::vector<T>&& more) {
    all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}
inline void append(output& all, output&& more) {
    append(all.append, std::move(more.append));
    append(all.messages, std::move(more.messages));
    append(all.chosen, std::move(more.chosen));
    append(all.reads, std::move(more.reads));
    append(all.snapshot_from, std::move(more.snapshot_from));
    all.last = std::max(all.last, more.last);
}

/// Each verb is one input and gives what the replica asked for. The invariants are checked after each.
class actor {
public:
    instant now{1h};
    replica core;
    std::map<node_id, heartbeat_reply> around; ///< who answers every heartbeat while the actor waits, and how

    explicit actor(node_id self, configuration governing = group_of({a, b, c}), replica_options options = {},
                   durable_state const& past = {})
        : core(self, std::move(governing), options, past, now) {}

    template <class Input>
    output act(Input const& input) {
        observation const before = core.observe();
        input();
        output out = core.take_output(now);
        auto const broken = violated(before, core.observe());
        CHECK_MESSAGE(!broken, broken.value_or(""));
        written_ = std::max(written_, out.last);
        for (outgoing const& m : out.messages) {
            CHECK(m.after <= written_);
            if (auto const* h = std::get_if<heartbeat>(&m.what)) beat_ = std::max(beat_, h->number);
        }
        return out;
    }

    output hears(node_id from, message const& m) {
        return act([&] { core.step(from, m, now); });
    }
    /// The disk has everything.
    output persists() {
        return act([&] { core.persisted(written_, now); });
    }
    output proposes(std::vector<std::string> const& texts) {
        std::vector<shared_bytes> commands;
        for (std::string const& t : texts) commands.emplace_back(t);
        return act([&] { taken = core.propose(commands, now); });
    }
    /// Somebody answers the last heartbeat.
    output answers(node_id from, heartbeat_reply m) {
        m.number = beat_;
        return hears(from, m);
    }
    /// Time passes in small steps, and those around answer.
    output waits(duration total) {
        output all;
        for (instant const end = now + total; now < end;) {
            now += 10ms;
            append(all, act([&] { core.tick(now, 0); }));
            for (auto const& [id, reply] : around) append(all, answers(id, reply));
        }
        return all;
    }
    /// Waits until it campaigns; those around must let it.
    output campaigns() {
        output all;
        for (int i = 0; i < 200 && !core.observe().campaigning; ++i) append(all, waits(10ms));
        REQUIRE(core.observe().campaigning);
        return all;
    }
    /// Leads its next ballot after `report` from b; everything it wrote is durable, nothing is chosen by that.
    output leads(promise report = {}) {
        // Who accepted a ballot tells of it, so that the next one lies above.
        heartbeat_reply unhappy{};
        for (entry const& x : report.entries) unhappy.promised = std::max(unhappy.promised, x.accepted);
        around = {{b, unhappy}, {c, {}}};
        (void)campaigns();
        (void)persists();
        report.number = core.promised();
        report.current = core.governing().number;
        output out = hears(b, report);
        REQUIRE(core.is_leader());
        append(out, persists());
        heartbeat_reply follows{};
        follows.promised = core.promised();
        around = {{b, follows}, {c, follows}};
        return out;
    }
    /// Voter `from` holds everything up to `upto`.
    output acked(node_id from, std::uint64_t upto) { return hears(from, accepted{core.promised(), slot{upto}}); }

    std::size_t taken = 0; ///< by the last `proposes`

private:
    lsn written_;
    std::uint64_t beat_ = 0;
};

} // namespace paxos_script
