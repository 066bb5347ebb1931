// Which voters a leader replaces, and when it asks for more, by itself.
#pragma once

#include <openreplica/paxos/configuration.hpp>
#include <openreplica/types/instant.hpp>
#include <openreplica/types/placement.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

struct healing_options {
    std::size_t voters = 0; ///< as many as there shall be; 0: nothing happens by itself
    duration replace_after = std::chrono::seconds(10); ///< a voter that is silent for longer is replaced
};

/// What a leader knows of its group.
struct group_view {
    struct node {
        paxos::member who;
        std::vector<std::string> failure_groups{};
        bool caught_up = false;          ///< its log is as long as the leader's, nearly
        duration silent{};               ///< since its last answer to the leader
        bool silent_to_majority = false; ///< a majority of the voters has not heard it either
    };
    std::vector<node> voters;
    std::vector<node> standbys; ///< those that may be given a vote
};

/// What a leader decides about the voters: to swap one that is silent for a standby, and to grow towards the target.
///
/// @par Rules
/// @li A voter is replaced when the leader has not heard it for `replace_after` and a majority of the voters has not
///     either. Always a swap: the number of voters, and what a majority is, stay as they are. It never shrinks a group.
/// @li Below the target the group grows, to an odd size, when there are enough standbys.
/// @li Only standbys that have kept up for a while are chosen: those that share the fewest failure groups with the rest.
/// @li One change at a time, and a rest between two.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe.
class healing {
public:
    struct decision {
        std::vector<paxos::member> voters;
        std::string why;          ///< one sentence
        bool is_failure = false;  ///< somebody is silent
    };
    /// No standby can take a silent voter's place.
    struct shortage {
        std::vector<std::string> silent;         ///< where the voters were that need replacing
        std::vector<std::string> failure_groups; ///< of those that remain: a new node had better share none
    };

    explicit healing(healing_options o) : options_(o) {}

    /// Whether anything happens by itself.
    [[nodiscard]] bool is_on() const { return options_.voters > 0; }

    /// What to do now, if anything. Call it now and then while this node leads and no change is under way.
    [[nodiscard]] std::optional<decision> decide(group_view const& group, instant now) {
        if (!is_on()) return std::nullopt;
        note_standbys(group, now);
        auto const silent = find_silent(group);
        missing_.reset();
        if (now < rests_until_) return std::nullopt;
        std::vector<group_view::node> kept = group.voters;
        if (silent) kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(*silent));
        std::size_t const wanted = silent ? 1 : growth(group.voters.size());
        if (wanted == 0) return std::nullopt;
        auto const chosen = choose(kept, steady(group, now), wanted);
        if (chosen.size() < wanted) {
            if (silent) missing_ = lack(group, kept);
            return std::nullopt;
        }
        return carry_out(group, silent, kept, chosen, now);
    }

    /// After `decide` gave nothing: a voter needs replacing and nobody can take its place. Once per `replace_after`.
    [[nodiscard]] std::optional<shortage> take_shortage(instant now) {
        if (!missing_ || now < complains_again_) return std::nullopt;
        complains_again_ = now + options_.replace_after;
        return std::exchange(missing_, std::nullopt);
    }

private:
    [[nodiscard]] duration settling() const {
        return std::clamp<duration>(options_.replace_after / 10, std::chrono::milliseconds(100), std::chrono::seconds(5));
    }

    void note_standbys(group_view const& group, instant now) {
        std::map<node_id, instant> steady;
        for (group_view::node const& n : group.standbys) {
            if (!n.caught_up) continue;
            auto const it = steady_since_.find(n.who.id);
            steady.emplace(n.who.id, it == steady_since_.end() ? now : it->second);
        }
        steady_since_ = std::move(steady);
    }

    [[nodiscard]] std::vector<group_view::node> steady(group_view const& group, instant now) const {
        std::vector<group_view::node> all;
        for (group_view::node const& n : group.standbys)
            if (n.caught_up && now - steady_since_.at(n.who.id) >= settling()) all.push_back(n);
        return all;
    }

    /// Whoever has been silent for longest goes first.
    [[nodiscard]] std::optional<std::size_t> find_silent(group_view const& group) const {
        std::optional<std::size_t> worst;
        for (std::size_t i = 0; i < group.voters.size(); ++i) {
            group_view::node const& v = group.voters[i];
            bool const gone = v.silent >= options_.replace_after && v.silent_to_majority;
            if (gone && (!worst || v.silent > group.voters[*worst].silent)) worst = i;
        }
        return worst;
    }

    /// An even number of voters survives no more failures than one less.
    [[nodiscard]] std::size_t growth(std::size_t voters) const {
        if (voters >= options_.voters) return 0;
        return std::min<std::size_t>(voters % 2 == 0 ? 1 : 2, options_.voters - voters);
    }

    [[nodiscard]] static std::vector<group_view::node> choose(std::vector<group_view::node> const& kept,
                                                              std::vector<group_view::node> const& standbys, std::size_t n) {
        std::vector<group_view::node> all = kept;
        all.insert(all.end(), standbys.begin(), standbys.end());
        std::vector<std::size_t> fixed(kept.size());
        for (std::size_t i = 0; i < fixed.size(); ++i) fixed[i] = i;
        std::vector<group_view::node> chosen;
        for (std::size_t i : place(all, n, &group_view::node::failure_groups, fixed)) chosen.push_back(all[i]);
        return chosen;
    }

    decision carry_out(group_view const& group, std::optional<std::size_t> silent, std::vector<group_view::node> const& kept,
                       std::vector<group_view::node> const& chosen, instant now) {
        rests_until_ = now + std::max<duration>(options_.replace_after / 2, std::chrono::milliseconds(500));
        decision d;
        for (group_view::node const& n : kept) d.voters.push_back(n.who);
        std::string fresh;
        for (group_view::node const& n : chosen) {
            d.voters.push_back(n.who);
            fresh += (fresh.empty() ? "" : " and ") + to_string(n.who.address);
        }
        std::sort(d.voters.begin(), d.voters.end());
        if (silent) {
            group_view::node const& gone = group.voters[*silent];
            d.is_failure = true;
            d.why = "the voter at " + to_string(gone.who.address) + " has been silent for " +
                    std::to_string(gone.silent / std::chrono::milliseconds(1)) + " ms: " + fresh + " takes its place";
        } else {
            d.why = "the group grows to " + std::to_string(d.voters.size()) + " voters, with " + fresh;
        }
        return d;
    }

    [[nodiscard]] shortage lack(group_view const& group, std::vector<group_view::node> const& kept) const {
        shortage s;
        for (group_view::node const& v : group.voters)
            if (v.silent >= options_.replace_after && v.silent_to_majority) s.silent.push_back(to_string(v.who.address));
        for (group_view::node const& n : kept) {
            bool const gone = std::find(s.silent.begin(), s.silent.end(), to_string(n.who.address)) != s.silent.end();
            if (!gone) s.failure_groups.insert(s.failure_groups.end(), n.failure_groups.begin(), n.failure_groups.end());
        }
        std::sort(s.failure_groups.begin(), s.failure_groups.end());
        s.failure_groups.erase(std::unique(s.failure_groups.begin(), s.failure_groups.end()), s.failure_groups.end());
        return s;
    }

    healing_options options_;
    std::map<node_id, instant> steady_since_; ///< standbys that have caught up, and since when without a break
    instant rests_until_{};
    instant complains_again_{};
    std::optional<shortage> missing_;
};

} // namespace openreplica::inline v0::runtime
