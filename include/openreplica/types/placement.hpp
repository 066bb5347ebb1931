// Failure groups: which hosts should hold the replicas, so that what fails together takes few of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace openreplica::inline v0 {

namespace detail {

/// The failure groups of many hosts as small numbers, so that names are compared once and never again.
class failure_group_table {
    struct text_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
    };
    std::unordered_map<std::string, std::uint32_t, text_hash, std::equal_to<>> numbers_;
    std::vector<std::string const*> names_; ///< a map keeps its keys where they are
    std::vector<std::uint32_t> groups_;     ///< of the first host, the second…
    std::vector<std::size_t> begins_{0};    ///< where those of each host begin

public:
    /// @param hosts a range; `failure_groups(host)` gives a range of text for each
    template <class Hosts, class Groups>
    failure_group_table(Hosts const& hosts, Groups const& failure_groups) {
        begins_.reserve(std::ranges::size(hosts) + 1);
        for (auto const& host : hosts) {
            for (auto&& groups = std::invoke(failure_groups, host); std::string_view name : groups)
                groups_.push_back(number(name));
            // A group that is named twice is one group.
            auto const begin = groups_.begin() + static_cast<std::ptrdiff_t>(begins_.back());
            std::sort(begin, groups_.end());
            groups_.erase(std::unique(begin, groups_.end()), groups_.end());
            begins_.push_back(groups_.size());
        }
    }

    [[nodiscard]] std::size_t hosts() const { return begins_.size() - 1; }
    [[nodiscard]] std::size_t groups() const { return names_.size(); }
    [[nodiscard]] std::string const& name(std::size_t group) const { return *names_[group]; }
    [[nodiscard]] std::span<std::uint32_t const> of(std::size_t host) const {
        return std::span(groups_).subspan(begins_[host], begins_[host + 1] - begins_[host]);
    }

private:
    std::uint32_t number(std::string_view name) {
        auto it = numbers_.find(name);
        if (it == numbers_.end()) {
            it = numbers_.emplace(std::string(name), static_cast<std::uint32_t>(names_.size())).first;
            names_.push_back(&it->first);
        }
        return it->second;
    }
};

/// Chooses host after host by the greedy rule.
///
/// A host's rank only falls while others are chosen: its groups become shared, never unshared. So the rank that was
/// computed last is an upper bound, and a host whose bound does not beat the best so far needs no new look.
class greedy_placement {
    failure_group_table const& table_;
    std::vector<std::uint32_t> chosen_in_; ///< how many chosen hosts each group has
    std::vector<std::uint64_t> bounds_;    ///< of each host's rank; 0: chosen

public:
    explicit greedy_placement(failure_group_table const& table)
        : table_(table), chosen_in_(table.groups()),
          bounds_(table.hosts(), std::numeric_limits<std::uint64_t>::max()) {}

    /// False when it was chosen before.
    bool choose(std::size_t host) {
        if (std::exchange(bounds_.at(host), 0) == 0) return false;
        for (std::uint32_t g : table_.of(host)) ++chosen_in_[g];
        return true;
    }

    /// The best host of those that are left, which it chooses; `table.hosts()` when none is left.
    std::size_t choose_best() {
        std::size_t best = table_.hosts();
        std::uint64_t best_rank = 0;
        for (std::size_t h = 0; h < bounds_.size(); ++h) {
            if (bounds_[h] <= best_rank) continue; // Of equals the first one stays.
            bounds_[h] = rank(h);
            if (bounds_[h] <= best_rank) continue;
            best = h;
            best_rank = bounds_[h];
        }
        if (best < table_.hosts()) choose(best);
        return best;
    }

private:
    /// The rule as one number: shares nothing, then differences, then the fewest chosen hosts behind what is shared.
    [[nodiscard]] std::uint64_t rank(std::size_t host) const {
        std::uint64_t differences = 0, overlap = 0;
        for (std::uint32_t g : table_.of(host)) {
            differences += chosen_in_[g] == 0;
            overlap += chosen_in_[g];
        }
        constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max() - 1;
        std::uint64_t const apart = differences > 0 && overlap == 0;
        return apart << 63 | differences << 32 | (most - std::min(overlap, most) + 1);
    }
};

} // namespace detail

/// Chooses hosts that are unlikely to fail together.
///
/// Each host names the failure groups that it belongs to: whatever takes several hosts down at once when it fails, such
/// as `"rack:7"`, `"pdu:2"`, `"cooling:1"`. Names are compared as text and mean nothing else. The next host is always the
/// one that
/// @li has groups and shares none of them with any host that was chosen before it; among these, or if there is none,
/// @li has the most groups that no chosen host has (the differences from the union of the others' groups); among these
/// @li shares its other groups with the fewest chosen hosts, each counted once for each group that it shares: when
///     there are five replicas and two PDUs, they end up three and two, not four and one; among these
/// @li comes first in `hosts`.
///
/// A host without groups is unknown, not different from all others: it comes after every host that brings a difference,
/// and before those that are known to bring none. A host with fewer groups that shares nothing goes before one with more
/// differences that shares something: it cannot fail together with what was chosen.
///
/// The same function serves whoever must be spread: founders, voters, name servers.
///
/// @param hosts          a sized range of anything
/// @param n              how many to choose; all that are left when they are fewer
/// @param failure_groups gives the groups of a host, a range of text: a function or a pointer to a member. Without it,
///                       `hosts` are lists of groups themselves
/// @param chosen         indices of hosts that hold replicas already; they are no part of the result
/// @return indices into `hosts`, in the order of choice: the first m of n are what `place` gives for m
/// @throws std::out_of_range when an index in `chosen` names no host
///
/// @par Cost
/// O(all groups + n · hosts), each name hashed once.
/// @par Thread safety
/// A pure function: the same arguments give the same answer, everywhere.
/// @par Source
/// Altınbüken and Sirer, "Commodifying Replicated State Machines with OpenReplica" (2012), section 3.4, has the second
/// rule; the others decide where it does not.
template <std::ranges::sized_range Hosts, class Groups = std::identity>
[[nodiscard]] std::vector<std::size_t> place(Hosts const& hosts, std::size_t n, Groups const& failure_groups = {},
                                             std::span<std::size_t const> chosen = {}) {
    detail::failure_group_table const table(hosts, failure_groups);
    detail::greedy_placement placement(table);
    std::size_t left = table.hosts();
    for (std::size_t host : chosen) left -= placement.choose(host);
    std::vector<std::size_t> out(std::min(n, left));
    for (std::size_t& host : out) host = placement.choose_best();
    return out;
}

/// How much of a placement fails at once; see `measure_overlap`.
struct failure_overlap {
    /// How many of the chosen hosts are expected to fail together, when one of the groups that any of them belongs to
    /// fails, each as likely as the others. 1: nothing is shared. 0: none of them names a group, so nobody knows.
    double expected = 0;
    std::size_t worst = 0;   ///< the largest number of chosen hosts that one group takes down
    std::string worst_group; ///< the group that does; of several the one that was named first
    std::size_t unknown = 0; ///< chosen hosts that name no group

    /// Whether a majority of `replicas` is left, whichever single group fails.
    [[nodiscard]] bool keeps_majority(std::size_t replicas) const { return replicas >= worst + replicas / 2 + 1; }
    bool operator==(failure_overlap const&) const = default;
};

/// Tells how many of the chosen hosts one failure takes down: on average, and at worst.
///
/// The average is the number of memberships over the number of different groups among the chosen hosts. Over *all*
/// groups of the data centre it would say nothing: with three groups each, any n hosts have 3n memberships.
///
/// @param chosen indices into `hosts`, none twice
/// @throws std::out_of_range when an index names no host
/// @par Thread safety
/// A pure function.
template <std::ranges::random_access_range Hosts, class Groups = std::identity>
[[nodiscard]] failure_overlap measure_overlap(Hosts const& hosts, std::span<std::size_t const> chosen,
                                              Groups const& failure_groups = {}) {
    std::vector<std::ranges::range_value_t<Hosts> const*> members;
    for (std::size_t host : chosen) {
        if (host >= std::ranges::size(hosts)) throw std::out_of_range("measure_overlap: no host has this index");
        members.push_back(&*(std::ranges::begin(hosts) + static_cast<std::ranges::range_difference_t<Hosts>>(host)));
    }
    detail::failure_group_table const table(
        members, [&](auto const* host) -> decltype(auto) { return std::invoke(failure_groups, *host); });
    failure_overlap out;
    std::vector<std::size_t> sizes(table.groups());
    std::size_t memberships = 0;
    for (std::size_t h = 0; h < table.hosts(); ++h) {
        out.unknown += table.of(h).empty();
        memberships += table.of(h).size();
        for (std::uint32_t g : table.of(h)) ++sizes[g];
    }
    if (sizes.empty()) return out;
    auto const worst = std::max_element(sizes.begin(), sizes.end());
    out.worst = *worst;
    out.worst_group = table.name(static_cast<std::size_t>(worst - sizes.begin()));
    out.expected = static_cast<double>(memberships) / static_cast<double>(sizes.size());
    return out;
}

} // namespace openreplica::inline v0
