// Every order in which a network, disks and rivals can treat a few ballots, breadth first.
#pragma once

#include "life.hpp"

#include <chrono>
#include <optional>
#include <unordered_map>

namespace exhaustive {

/// A whole group between two steps; the numbers stand for memories, lives and values.
struct world {
    std::array<std::uint16_t, nodes> memories{};
    std::uint32_t life = 0;                    ///< of the ballot under way
    std::uint8_t synced = 0;                   ///< so much of what its owner accepted is on its disk
    std::uint8_t to_next = 0;                  ///< bit n: ballot n's value above the stop-sign is for those whom that brings
    std::array<std::uint8_t, slots> decided{}; ///< the value that somebody may rely on, by slot; 0: none yet

    bool operator==(world const&) const = default;
};

enum class step_kind : std::uint8_t { begins, campaign, promise, fetch, sync, accept, acks, chosen, catch_up, forget };
struct step {
    step_kind kind = step_kind::begins;
    std::uint8_t node = 0, other = 0;
};

/// What is there when the stop-sign has just been proposed.
enum class beginning : std::uint8_t {
    calm, ///< everybody holds what is below it
    torn  ///< a led the ballot before, and holds three values of it that nobody else heard of, or only standbys
};

struct exploration {
    configuration first = paxos_script::group_of({paxos_script::a, paxos_script::b, paxos_script::c});
    std::vector<member> next{};        ///< the voters that the stop-sign brings
    beginning from = beginning::calm;
    std::uint64_t ballots = 2;         ///< that may follow the one which proposes the stop-sign
    bool reduced = true;               ///< leaves out what differs only in names, or in the order within the last ballot
    bool forgets = false;              ///< nodes restart, and have lost the hint of what is chosen
    std::size_t worlds = 20'000'000;   ///< gives up behind so many
};

struct finding {
    std::size_t worlds = 0, transitions = 0, memories = 0, lives = 0;
    double seconds = 0;
    std::optional<std::string> violation;
    std::string trace;
    std::size_t depth = 0;
    std::uint64_t ballot = 0; ///< the round in which it was found
    bool complete = true;
};

class explorer {
    exploration plan_;
    configuration first_;
    configuration second_;
    std::uint64_t last_round_;

    numbered<memory> memories_;
    numbered<life> lives_;
    numbered<value> values_;
    struct promised {
        std::uint32_t life, memory;
    };
    // What was looked up before; a key is made of small numbers.
    std::unordered_map<std::uint64_t, std::uint32_t> begun_, acked_, heard_, caught_up_;
    std::unordered_map<std::uint64_t, promised> promises_;
    std::vector<std::uint32_t> settled_; ///< by memory
    std::vector<std::array<std::pair<std::uint8_t, std::uint8_t>, slots>> held_; ///< by memory: round and value

    struct visited {
        world what;
        std::uint32_t parent;
        step by;
    };
    std::vector<visited> worlds_;
    std::vector<std::uint32_t> table_ = std::vector<std::uint32_t>(1 << 16, 0); ///< index + 1
    finding found_;

public:
    explicit explorer(exploration plan)
        : plan_(std::move(plan)), first_(plan_.first), second_(succeeding(first_, plan_.next)),
          last_round_(plan_.ballots + (plan_.from == beginning::calm ? 1 : 2)) {
        (void)values_.number("", {});
    }

    [[nodiscard]] finding run() {
        auto const begun = std::chrono::steady_clock::now();
        stage();
        for (std::size_t at = 0; at < worlds_.size() && !found_.violation; ++at) {
            if (worlds_.size() >= plan_.worlds) {
                found_.complete = false;
                break;
            }
            expand(at);
        }
        found_.worlds = worlds_.size();
        found_.memories = memories_.size();
        found_.lives = lives_.size();
        found_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        return std::move(found_);
    }

private:
    // ---- numbers

    std::uint32_t number_of(memory const& m) {
        auto const n = memories_.number(m.key(), m);
        if (n > 0xFFFF) throw std::logic_error("too many memories for their numbers");
        if (n == held_.size()) {
            auto& held = held_.emplace_back();
            for (entry const& e : m.entries)
                held[e.at.value - 1] = {static_cast<std::uint8_t>(e.accepted.round), number_of(e.what)};
            settled_.push_back(0);
            settled_[n] = n; // A settled memory stays itself.
            auto const s = number_of(m.settled());
            settled_[n] = s;
        }
        return n;
    }
    std::uint8_t number_of(value const& v) { return static_cast<std::uint8_t>(values_.number(name(v), v)); }
    std::uint32_t number_of(life l) {
        leader_on_stage(l, first_);
        std::string const k = l.key();
        return lives_.number(k, std::move(l));
    }
    [[nodiscard]] memory const& of(world const& w, std::size_t node) const { return memories_[w.memories[node]]; }
    [[nodiscard]] life const& life_of(world const& w) const { return lives_[w.life]; }
    [[nodiscard]] bool takes_part(std::size_t node) const {
        return first_.has_voter(id_of[node]) || second_.has_voter(id_of[node]);
    }

    // ---- what replicas do, each thing once

    static constexpr std::uint64_t slots_and_more = slots + 1;
    [[nodiscard]] static std::uint64_t packed(std::uint64_t life, std::uint64_t node, std::uint64_t memory) {
        return life << 24 | node << 16 | memory;
    }

    std::uint32_t begun(std::size_t owner, std::uint32_t start, std::uint64_t round, bool changes_voters = false) {
        auto const k = packed(round, owner, start);
        if (auto const it = begun_.find(k); it != begun_.end()) return it->second;
        life l;
        l.owner = owner;
        l.round = round;
        l.start = memories_[start];
        l.changes_voters = changes_voters;
        return begun_[k] = number_of(std::move(l));
    }
    std::uint32_t with(std::uint32_t n, input in) {
        life const& was = lives_[n];
        life l;
        l.owner = was.owner;
        l.round = was.round;
        l.start = was.start;
        l.changes_voters = was.changes_voters;
        l.inputs = was.inputs;
        l.inputs.push_back(std::move(in));
        return number_of(std::move(l));
    }
    promised promise_of(std::uint32_t n, std::size_t node, std::uint32_t m) {
        auto const k = packed(n, node, m);
        if (auto const it = promises_.find(k); it != promises_.end()) return it->second;
        life const& l = lives_[n];
        follower_on_stage f(node, first_, memories_[m]);
        auto const replies = f.hears(l.owner, l.asks);
        promised result{n, number_of(f.remembers(l.number))};
        f.ignores_what_comes_late();
        for (message const& r : replies)
            if (std::holds_alternative<promise>(r)) result.life = with(n, told{node, r});
        return promises_[k] = result;
    }
    std::uint32_t with_acks(std::uint32_t n, acks const& k) {
        std::uint32_t bits = static_cast<std::uint32_t>(k.synced);
        for (slot s : k.upto) bits = bits * 4 + static_cast<std::uint32_t>(s.value);
        std::uint64_t const known = std::uint64_t{n} << 32 | bits;
        auto const it = acked_.find(known);
        if (it != acked_.end()) return it->second;
        std::size_t const before = lives_[n].delivered.size(), sent = lives_[n].accepts.size();
        auto after = with(n, k);
        if (lives_[after].delivered.size() == before && lives_[after].accepts.size() == sent) return acked_[known] = n;
        // What was acknowledged above what is chosen by that will be acknowledged again: it shall not make two lives of one.
        acks enough = k;
        for (slot& s : enough.upto) s = std::min(s, lives_[after].chosen);
        return acked_[known] = with(n, enough);
    }
    /// A message that the owner of the ballot under way sends to those who follow.
    std::uint32_t heard(std::uint32_t n, std::size_t node, std::uint32_t m, std::size_t which) {
        auto const k = packed(n * slots_and_more + which, node, m);
        if (auto const it = heard_.find(k); it != heard_.end()) return it->second;
        life const& l = lives_[n];
        follower_on_stage f(node, first_, memories_[m]);
        (void)f.hears(l.owner, which < l.accepts.size() ? message(l.accepts[which]) : message(chosen_index{l.number, l.chosen}));
        auto const after = number_of(f.remembers(l.number));
        f.ignores_what_comes_late();
        return heard_[k] = after;
    }
    [[nodiscard]] message answer_to_learn(std::size_t node, std::uint32_t m, slot from) const {
        follower_on_stage f(node, first_, memories_[m]);
        for (message& r : f.hears(0, learn{from}))
            if (std::holds_alternative<learned>(r)) return std::move(r);
        throw std::logic_error("no answer");
    }
    std::uint32_t caught_up(std::uint32_t n, std::size_t node, std::uint32_t m, std::size_t source, std::uint32_t theirs) {
        auto const k = packed(m, node * nodes + source, theirs);
        if (auto const it = caught_up_.find(k); it != caught_up_.end()) return it->second;
        auto const answer = answer_to_learn(source, theirs, memories_[m].chosen.next());
        follower_on_stage f(node, first_, memories_[m]);
        (void)f.hears(source, answer);
        return caught_up_[k] = number_of(f.remembers(lives_[n].number));
    }

    /// Who has no vote in what comes next is asked too; its answer changes nothing.
    [[nodiscard]] bool wants_promise(life const& l, std::size_t node) const {
        configuration const& c = l.paused || l.governing == second_.number ? second_ : first_;
        return (l.campaigning || l.paused) && c.has_voter(id_of[node]) && !l.has_promise_of(node);
    }

    // ---- the steps

    void expand(std::size_t at) {
        world const w = worlds_[at].what;
        life const& l = life_of(w);
        bool const last = plan_.reduced && l.round == last_round_;
        if (l.round < last_round_)
            for (std::size_t o = 0; o < nodes; ++o) begin_ballot(w, at, o);
        for (std::size_t x = 0; x < nodes; ++x)
            if (x != l.owner) ask(w, at, x);
        if (last && !l.campaigning) return run_out(w, at);
        auto const take = [&](world const& next, step s) { arrive(next, at, s); };
        // Before the last ballot has a leader the others do nothing that they could not have done in the ballot before.
        last ? own_steps(w, take) : for_each_step(w, take);
    }
    /// In the last ballot it is no loss that everything arrives as soon as it can, when it is settled who promises: more is
    /// accepted than otherwise, never less.
    void run_out(world w, std::size_t at) {
        std::vector<std::pair<world, step>> way;
        for (bool moved = true; moved && !found_.violation;) {
            moved = false;
            for_each_step(w, [&](world const& next, step s) {
                if (std::exchange(moved, true)) return;
                ++found_.transitions;
                way.emplace_back(next, s);
                check(way.back().first);
            });
            if (moved) w = way.back().first;
        }
        if (!found_.violation) return;
        for (auto const& [next, s] : way) {
            worlds_.push_back({next, static_cast<std::uint32_t>(at), s});
            at = worlds_.size() - 1;
        }
        tell(at);
    }
    /// Everything but promises and the next ballot.
    template <class Take>
    void for_each_step(world const& w, Take take) {
        own_steps(w, take);
        for (std::size_t x = 0; x < nodes; ++x)
            if (x != life_of(w).owner && takes_part(x)) reach(w, x, take);
    }
    void begin_ballot(world w, std::size_t at, std::size_t owner) {
        if (!takes_part(owner)) return;
        auto const round = life_of(w).round + 1;
        for (auto& m : w.memories) m = static_cast<std::uint16_t>(settled_[m]);
        if (plan_.reduced) order_equals(w);
        w.life = begun(owner, w.memories[owner], round);
        w.synced = 0;
        if (life_of(w).campaigning || life_of(w).leading) arrive(w, at, {step_kind::campaign, static_cast<std::uint8_t>(owner), 0});
    }
    /// Two nodes that vote in the same configurations may change their names between two ballots.
    void order_equals(world& w) const {
        for (std::size_t x = 0; x < nodes; ++x)
            for (std::size_t y = x + 1; y < nodes; ++y)
                if (first_.has_voter(id_of[x]) == first_.has_voter(id_of[y]) &&
                    second_.has_voter(id_of[x]) == second_.has_voter(id_of[y]) && w.memories[y] < w.memories[x])
                    std::swap(w.memories[x], w.memories[y]);
    }
    /// `x` promises, and tells what it holds. A stop-sign's voters are asked before anything of the ballot arrives anywhere,
    /// if it is the last: that changes nothing in what they hold above the stop-sign.
    void ask(world w, std::size_t at, std::size_t x) {
        if (!wants_promise(life_of(w), x)) return;
        auto const p = promise_of(w.life, x, w.memories[x]);
        if (p.life == w.life) return;
        w.memories[x] = static_cast<std::uint16_t>(p.memory);
        w.life = p.life;
        arrive(w, at, {step_kind::promise, static_cast<std::uint8_t>(x), 0});
    }
    /// What can happen to `x`, which does not own the ballot.
    template <class Take>
    void reach(world const& w, std::size_t x, Take take) {
        auto const node = static_cast<std::uint8_t>(x);
        std::uint32_t const m = w.memories[x];
        auto remembers = [&](std::uint32_t after, step s) {
            if (after == m) return;
            world next = w;
            next.memories[x] = static_cast<std::uint16_t>(after);
            take(next, s);
        };
        for (std::size_t i = 0; i < life_of(w).accepts.size(); ++i)
            remembers(heard(w.life, x, m, i), {step_kind::accept, node, static_cast<std::uint8_t>(i)});
        if (life const& l = life_of(w); l.leading && l.chosen > of(w, x).chosen)
            remembers(heard(w.life, x, m, l.accepts.size()), {step_kind::chosen, node, 0});
        for (std::size_t y = 0; y < nodes; ++y)
            if (y != x && takes_part(y) && of(w, y).chosen > memories_[m].chosen)
                remembers(caught_up(w.life, x, m, y, w.memories[y]), {step_kind::catch_up, node, static_cast<std::uint8_t>(y)});
        if (plan_.forgets && life_of(w).round < last_round_ && memories_[m].chosen > slot{1}) {
            memory past = memories_[m];
            past.chosen = slot{1};
            past.promised = {};
            past.upto = {};
            remembers(number_of(past), {step_kind::forget, node, 0});
        }
    }
    template <class Take>
    void own_steps(world const& w, Take take) {
        std::size_t const o = life_of(w).owner;
        auto const node = static_cast<std::uint8_t>(o);
        if (w.synced < life_of(w).own.size()) {
            world next = w;
            memory m = of(w, o);
            m.put(life_of(w).own[w.synced]);
            next.memories[o] = static_cast<std::uint16_t>(number_of(m));
            ++next.synced;
            take(next, {step_kind::sync, node, 0});
        }
        if (life_of(w).leading) {
            world next = w;
            next.life = hear_acks(w);
            if (next.life != w.life) take(next, {step_kind::acks, node, 0});
        }
        if (auto const y = life_of(w).fetches_from; y && of(w, *y).chosen >= life_of(w).fetches) {
            world next = w;
            next.life = with(w.life, told{*y, answer_to_learn(*y, w.memories[*y], life_of(w).fetches)});
            if (next.life != w.life) take(next, {step_kind::fetch, node, static_cast<std::uint8_t>(*y)});
        }
        remember_own(w, take);
    }
    /// The leader's hint of what is chosen reaches its own disk, behind the entries.
    template <class Take>
    void remember_own(world const& w, Take take) {
        life const& l = life_of(w);
        slot upto = l.chosen;
        for (std::size_t i = w.synced; i < l.own.size(); ++i) upto = std::min(upto, l.own[i].at.prev());
        memory m = of(w, l.owner);
        if (upto <= m.chosen) return;
        m.chosen = upto;
        world next = w;
        next.memories[l.owner] = static_cast<std::uint16_t>(number_of(m));
        take(next, {step_kind::chosen, static_cast<std::uint8_t>(l.owner), 0});
    }
    /// All that can be acknowledged arrives; that less of it arrives is the same as that more is accepted later.
    std::uint32_t hear_acks(world const& w) {
        life const& l = life_of(w);
        acks k;
        k.synced = w.synced;
        auto const count = [&](configuration const& c) {
            std::size_t n = 0;
            for (std::size_t x = 0; x < nodes; ++x) {
                memory const& m = of(w, x);
                // Any accept makes a node tell how far it holds the ballot, counting what it knows to be chosen.
                slot const held = m.promised == l.number ? std::max(m.upto, m.chosen) : m.chosen;
                if (x != l.owner && takes_part(x) && !l.accepts.empty()) k.upto[x] = std::min(held, slot{slots});
                n += c.has_voter(id_of[x]) && (x == l.owner ? w.synced > 0 : k.upto[x] > l.chosen) ? 1 : 0;
            }
            return n >= c.quorum();
        };
        bool const old_majority = count(first_), new_majority = count(second_);
        return old_majority || new_majority ? with_acks(w.life, k) : w.life;
    }

    // ---- what must hold, and what was seen before

    [[nodiscard]] bool brings_voters(std::uint8_t v) const { return values_[v].kind == value_kind::configuration; }

    /// Somebody relies on `v` in slot `s`. Two values there are what must never be.
    void decide(world& w, std::size_t s, std::uint8_t v, char const* why) {
        if (w.decided[s] == 0) w.decided[s] = v;
        if (w.decided[s] != v && !found_.violation)
            found_.violation = "slot " + std::to_string(s + 1) + " holds " + name(values_[w.decided[s]]) + " and " +
                               name(values_[v]) + " (" + why + ")";
    }
    /// A value is chosen when a majority of those who govern its slot now has accepted it in one ballot. A vote for others
    /// than those is none: what the old voters took above a stop-sign says nothing to the new ones.
    void check(world& w) {
        note_epochs(w);
        for (std::size_t s = 0; s < slots; ++s) {
            bool const next = s == 2 && brings_voters(w.decided[1]);
            configuration const& c = next ? second_ : first_;
            for (member const& one : c.voters) {
                auto const& vote = held_[w.memories[index_of(one.id)]][s];
                if (vote.first == 0 || (s == 2 && next != ((w.to_next >> vote.first & 1) != 0))) continue;
                auto const same = std::count_if(c.voters.begin(), c.voters.end(), [&](member const& m) {
                    return held_[w.memories[index_of(m.id)]][s] == vote;
                });
                if (static_cast<std::size_t>(same) >= c.quorum())
                    decide(w, s, vote.second, "a majority of those who govern it has accepted it");
            }
        }
        for (entry const& e : life_of(w).delivered) decide(w, e.at.value - 1, number_of(e.what), "a leader took it for chosen");
        for (std::uint16_t m : w.memories)
            for (std::size_t s = 0; s < memories_[m].chosen.value; ++s)
                decide(w, s, held_[m][s].second, "a node learned that it is chosen");
    }

    /// Only of ballots that somebody still holds something of.
    void note_epochs(world& w) const {
        if (life_of(w).proposes_to_next()) w.to_next = static_cast<std::uint8_t>(w.to_next | 1u << life_of(w).round);
        unsigned held = 1u << life_of(w).round;
        for (auto m : w.memories) held |= 1u << held_[m][2].first;
        w.to_next = static_cast<std::uint8_t>(w.to_next & held);
    }

    [[nodiscard]] static std::uint64_t hash(world const& w) {
        std::uint64_t h = w.life;
        for (auto m : w.memories) h = mix64(h + m);
        for (auto d : w.decided) h = h * 31 + d;
        return mix64(h + w.synced + 64u * w.to_next);
    }
    void arrive(world w, std::size_t parent, step by) {
        ++found_.transitions;
        check(w);
        if (2 * worlds_.size() > table_.size()) grow();
        std::size_t i = hash(w) & (table_.size() - 1);
        for (; table_[i] != 0; i = (i + 1) & (table_.size() - 1))
            if (worlds_[table_[i] - 1].what == w) return;
        worlds_.push_back({w, static_cast<std::uint32_t>(parent), by});
        table_[i] = static_cast<std::uint32_t>(worlds_.size());
        if (found_.violation && found_.trace.empty()) tell(worlds_.size() - 1);
    }
    void grow() {
        table_.assign(table_.size() * 2, 0);
        for (std::size_t n = 0; n < worlds_.size(); ++n) {
            std::size_t i = hash(worlds_[n].what) & (table_.size() - 1);
            while (table_[i] != 0) i = (i + 1) & (table_.size() - 1);
            table_[i] = static_cast<std::uint32_t>(n + 1);
        }
    }

    // ---- where it begins

    /// A step of the prologue: whoever is named takes what the ballot's owner sent.
    void prologue_ballot(world& w, std::size_t owner, std::vector<std::size_t> const& promising,
                         std::vector<std::size_t> const& accepting, bool changes_voters) {
        for (auto& m : w.memories) m = static_cast<std::uint16_t>(settled_[m]);
        std::uint64_t const round = w.life == 0 ? 1 : life_of(w).round + 1;
        w.life = begun(owner, w.memories[owner], round, changes_voters);
        w.synced = 0;
        for (std::size_t x : promising) {
            auto const p = promise_of(w.life, x, w.memories[x]);
            w.life = p.life;
            w.memories[x] = static_cast<std::uint16_t>(p.memory);
        }
        for (; w.synced < life_of(w).own.size(); ++w.synced) {
            memory m = of(w, owner);
            m.put(life_of(w).own[w.synced]);
            w.memories[owner] = static_cast<std::uint16_t>(number_of(m));
        }
        for (std::size_t i = 0; i < life_of(w).accepts.size(); ++i)
            for (std::size_t x : accepting) w.memories[x] = static_cast<std::uint16_t>(heard(w.life, x, w.memories[x], i));
    }
    void prologue_change(world& w, std::vector<std::size_t> const& answering) {
        w.life = hear_acks(w);
        std::size_t const tells = life_of(w).accepts.size();
        for (std::size_t x : answering) w.memories[x] = static_cast<std::uint16_t>(heard(w.life, x, w.memories[x], tells));
        memory m = of(w, life_of(w).owner);
        m.chosen = slot{1};
        w.memories[life_of(w).owner] = static_cast<std::uint16_t>(number_of(m));
        w.life = with(w.life, wanted{second_.voters, answering});
    }
    void stage() {
        (void)number_of(life{});
        world nothing;
        nothing.memories.fill(static_cast<std::uint16_t>(number_of(memory{})));
        if (plan_.from == beginning::calm) {
            prologue_ballot(nothing, 0, {1, 2, 3, 4}, {1, 2, 3, 4}, true);
            prologue_change(nothing, {1, 2, 3, 4});
            return arrive(nothing, 0, {});
        }
        std::vector<std::vector<std::size_t>> told = {{}, {3}}; // d may stand for e
        if (takes_part(4)) told.push_back({3, 4});
        for (auto const& standbys : told) {
            world torn = nothing;
            prologue_ballot(torn, 0, {1}, standbys, false);
            prologue_ballot(torn, 1, {2, 3, 4}, {2, 3, 4}, true);
            prologue_change(torn, {2, 3, 4});
            arrive(torn, 0, {});
        }
    }

    // ---- the way there

    [[nodiscard]] std::string sentence(world const& after, step s) const {
        life const& l = life_of(after);
        std::string const who(1, letter(s.node)), other(1, letter(s.other)), owner(1, letter(l.owner));
        switch (s.kind) {
        case step_kind::begins: return "the stop-sign is proposed by " + owner + " in ballot " + std::to_string(l.round);
        case step_kind::campaign: return "ballot " + std::to_string(l.round) + ": " + who + " campaigns";
        case step_kind::promise: return who + " promises" + (l.leading ? "; " + owner + " leads" : std::string());
        case step_kind::fetch: return owner + " fetches what is chosen from " + other;
        case step_kind::sync: return owner + "'s disk has " + paxos_script::text(l.own[after.synced - 1u]);
        case step_kind::accept: return who + " hears " + paxos_script::text(l.accepts[s.other]);
        case step_kind::acks: return owner + " hears every acknowledgement, chosen up to " + std::to_string(l.chosen.value);
        case step_kind::chosen: return who + " knows to be chosen: up to " + std::to_string(of(after, s.node).chosen.value);
        case step_kind::catch_up: return who + " learns what " + other + " knows to be chosen";
        case step_kind::forget: return who + " restarts and has lost what was chosen";
        }
        return {};
    }
    void tell(std::size_t at) {
        std::vector<std::size_t> way{at};
        while (worlds_[way.back()].by.kind != step_kind::begins) way.push_back(worlds_[way.back()].parent);
        std::reverse(way.begin(), way.end());
        for (std::size_t n : way) {
            found_.trace += "  " + sentence(worlds_[n].what, worlds_[n].by) + "\n     ";
            for (std::size_t x = 0; x < nodes; ++x)
                found_.trace += std::string(" ") + letter(x) + "{" + of(worlds_[n].what, x).key() + "}";
            found_.trace += "\n";
        }
        found_.depth = way.size() - 1;
        found_.ballot = life_of(worlds_[at].what).round;
    }
};

} // namespace exhaustive
