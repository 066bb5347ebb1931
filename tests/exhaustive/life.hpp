// The life of one ballot: a whole replica that campaigns, leads and changes voters, as a function of what it was told.
#pragma once

#include "memory.hpp"

#include <optional>

namespace exhaustive {

/// How far each node has acknowledged, and how many of its own records the leader's disk has.
struct acks {
    std::array<slot, nodes> upto{};
    std::size_t synced = 0;
};
/// The group's owner wants other voters, and nothing stands in the way.
struct wanted {
    std::vector<member> voters;
    std::vector<std::size_t> answering; ///< the nodes that answer heartbeats
};
struct told {
    std::size_t from;
    message what;
};
using input = std::variant<told, acks, wanted>;

/// What is known of a ballot after its inputs.
struct life {
    std::size_t owner = 0;
    std::uint64_t round = 0;
    memory start;
    bool changes_voters = false; ///< its first command is the wish for other voters
    std::vector<input> inputs;

    ballot number;
    bool campaigning = false, leading = false, paused = false, changing = false;
    epoch governing;                  ///< whose voters it needs next
    slot held;                        ///< proposed, or chosen; a candidate has proposed nothing
    std::vector<entry> log;           ///< as it holds it, on disk or not
    message asks;                     ///< its prepare
    std::vector<accept> accepts;      ///< what it proposed, one value each
    slot chosen;
    std::vector<entry> delivered;     ///< what it took for chosen
    std::vector<entry> own;           ///< what it accepted itself, in the order of its disk
    std::vector<lsn> positions;       ///< of `own`
    std::size_t counted = 0;          ///< of `own`, as a vote
    std::optional<std::size_t> fetches_from; ///< it lacks chosen entries, and asked for them
    slot fetches;

    /// What its future depends on. How often and in which order it was told the same does not matter, nor what it was told of
    /// slots that it has proposed.
    [[nodiscard]] std::string key() const {
        std::string all = std::string(1, letter(owner)) + std::to_string(round);
        all += campaigning ? " campaigns" : leading ? " leads" : " follows";
        all += (paused ? " paused " : " ") + std::string(changing ? "changing " : "") + std::to_string(chosen.value);
        for (entry const& e : log) all += " " + name(e.what) + "@" + std::to_string(e.accepted.round);
        for (entry const& e : own) all += " own" + paxos_script::text(e.at) + "@" + std::to_string(e.accepted.round);
        for (accept const& a : accepts)
            all += " accept" + paxos_script::text(a.first) + "/" + std::to_string(a.current.value) + "/" + paxos_script::text(a.chosen);
        all += " counted" + std::to_string(counted);
        if (fetches_from) all += std::string(" fetches") + letter(*fetches_from);
        for (std::size_t x = 0; x < nodes && (campaigning || paused || changes_voters); ++x) all += report_of(x);
        return all;
    }
    [[nodiscard]] std::string report_of(std::size_t node) const {
        for (input const& in : inputs) {
            auto const* t = std::get_if<told>(&in);
            auto const* p = t != nullptr && t->from == node ? std::get_if<promise>(&t->what) : nullptr;
            if (p == nullptr) continue;
            std::string all = std::string(" ") + letter(node) + paxos_script::text(p->chosen);
            for (entry const& e : p->entries)
                if (e.at > held) all += "," + name(e.what) + "@" + std::to_string(e.accepted.round);
            return all;
        }
        return {};
    }
    /// Whether it proposes something above the stop-sign, to those whom that brings.
    [[nodiscard]] bool proposes_to_next() const {
        return std::any_of(accepts.begin(), accepts.end(), [](accept const& a) { return a.current > epoch{1}; });
    }
    [[nodiscard]] bool has_promise_of(std::size_t node) const {
        return std::any_of(inputs.begin(), inputs.end(), [&](input const& in) {
            auto const* t = std::get_if<told>(&in);
            return t != nullptr && t->from == node && std::holds_alternative<promise>(t->what);
        });
    }
};

/// Lives a ballot through, from its owner's memory.
class leader_on_stage {
    life& of_;
    replica core_;
    lsn written_;
    bool busy_; ///< clients send commands

    [[nodiscard]] static durable_state past(life const& l) {
        durable_state d = past_of(l.start);
        d.promised = ballot{l.round - 1, 0, id_of[l.owner]};
        // No two ballots' log clocks tell the same time, so that no two ballots' no-ops are the same value.
        d.base.stamp = log_time{l.round};
        return d;
    }

    void collect() {
        output out = core_.take_output(noon);
        lsn at = written_;
        for (record& r : out.append) {
            at = at.next();
            if (auto* a = std::get_if<accept_record>(&r); a != nullptr && a->what.at.value <= slots) {
                of_.own.push_back(std::move(a->what));
                of_.positions.push_back(at);
            }
        }
        written_ = std::max(written_, out.last);
        for (outgoing& m : out.messages) {
            if (std::holds_alternative<prepare>(m.what)) of_.asks = m.what;
            if (auto const* l = std::get_if<learn>(&m.what)) {
                of_.fetches_from = index_of(m.to.front());
                of_.fetches = l->from;
            }
            auto* a = std::get_if<accept>(&m.what);
            if (a == nullptr || a->first.value > slots) continue;
            // The same value for another peer, or once more, with another chosen index: that also travels alone.
            bool const known = std::any_of(of_.accepts.begin(), of_.accepts.end(),
                                           [&](accept const& x) { return x.first == a->first; });
            if (!known) of_.accepts.push_back(std::move(*a));
        }
        for (entry& e : out.chosen)
            if (e.at.value <= slots) of_.delivered.push_back(std::move(e));
    }

    void take(told const& t) {
        if (std::holds_alternative<learned>(t.what)) of_.fetches_from.reset();
        core_.step(id_of[t.from], t.what, noon);
    }
    void take(acks const& k) {
        of_.counted = std::max(of_.counted, k.synced);
        if (k.synced > 0) core_.persisted(of_.positions[k.synced - 1], noon);
        for (std::size_t i = 0; i < nodes; ++i)
            if (i != of_.owner && k.upto[i] > slot{}) core_.step(id_of[i], accepted{core_.promised(), k.upto[i]}, noon);
    }
    void take(wanted const& w) {
        busy_ = true;
        heartbeat_reply follows{};
        follows.number = 1; // The heartbeat with which it began to lead.
        follows.promised = core_.promised();
        for (std::size_t node : w.answering) core_.step(id_of[node], follows, noon);
        if (core_.change_voters(w.voters, noon).verdict != change_verdict::proposed)
            throw std::logic_error("the stop-sign could not be proposed");
    }

    /// Clients want as much as the slots can take, at once.
    void propose() {
        while (core_.is_leader() && core_.observe().held.value < slots) {
            std::string const next = std::to_string(core_.observe().held.value + 1);
            shared_bytes const command(std::string("y") + std::to_string(of_.round) + "." + next);
            if (core_.propose(std::span(&command, 1), noon) == 0) return;
        }
    }

public:
    leader_on_stage(life& l, configuration const& first)
        : of_(l), core_(id_of[l.owner], first, one_value_a_message(), past(l), noon), busy_(!l.changes_voters) {
        for (node_id id : id_of) core_.add_peer(id);
        (void)core_.take_output(noon);
        // The owner campaigns for whatever reason; the shortest is that somebody hands over to it.
        core_.step(core_.promised().owner, hand_over{core_.promised()}, noon);
        collect();
        core_.persisted(written_, noon);
        collect();
        for (input const& in : l.inputs) {
            std::visit([&](auto const& what) { take(what); }, in);
            collect();
            if (busy_) propose();
            collect();
        }
        of_.number = core_.promised();
        of_.campaigning = core_.observe().campaigning;
        of_.leading = core_.is_leader();
        of_.paused = core_.is_paused();
        of_.changing = core_.is_changing();
        of_.governing = core_.governing().number;
        of_.chosen = std::min(core_.entries().chosen(), slot{slots});
        of_.held = core_.observe().held;
        for (slot s{1}; s <= core_.entries().last() && s.value <= slots; s = s.next())
            of_.log.push_back(core_.entries().entry_at(s));
        if (of_.leading && of_.number.round != of_.round) throw std::logic_error("another ballot than planned");
    }
};

} // namespace exhaustive
