// How a group begins: once, by all its founders, and never by accident.
#pragma once

#include <openreplica/paxos/founding_message.hpp>
#include <openreplica/paxos/record.hpp>
#include <openreplica/types/instant.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::paxos {

struct founding_options {
    std::uint32_t founders = 1; ///< how many members the group starts with; 0: only joins
    bool has_seeds = false;     ///< a lone founder with seeds first asks there whether there is a group
    duration retry = std::chrono::milliseconds(100);
    duration fresh = std::chrono::milliseconds(1000); ///< who was silent for longer does not count as reachable
    duration give_up = std::chrono::seconds(5);       ///< then an offer that not all accepted is abandoned
};

/// A founding message on its way out.
struct founding_outgoing {
    std::optional<node_id> to; ///< empty: everyone this node can reach
    founding_message what;
    bool durable = false; ///< must wait until everything written so far is durable
};

struct founding_output {
    std::vector<record> append;
    std::vector<founding_outgoing> messages;
    bool needs_new_identity = false; ///< this node must go on under a fresh id, as an empty node
};

/// The life of a node until it belongs to a group.
///
/// `founders = n` nodes that reach one another, all empty, found a group: the smallest id offers the first
/// configuration, each member durably accepts one, and only when *all* n have accepted does the group exist. Whoever
/// meets a member of an established group joins it instead. No answer, from DNS or anybody, founds a group by its
/// absence.
///
/// @par Giving up
/// An offer that was not completed is abandoned by its members: each durably refuses that cluster from then on, unless
/// it knows the group to exist. The offer is dead, and those who accepted it are empty again, once so many have refused
/// that the others are no quorum: nothing can have been chosen under it, and nothing ever will be. A node that refused
/// while the others went on waits for the group to be established, and joins it under a fresh id.
///
/// @par Thread safety
/// Distinct objects: safe. Shared objects: unsafe.
class founding {
public:
    founding(member self, founding_options options, durable_state const& recovered, instant now)
        : self_(std::move(self)), options_(options), abandoned_(recovered.abandoned), next_try_(now) {
        if (recovered.group.cluster.empty()) return;
        bound_ = recovered.group;
        bound_at_ = now;
        chosen_ = recovered.group_chosen;
    }

    void step(member const& from, founding_message const& m, instant now) {
        if (from.id == self_.id) return;
        std::visit([&](auto const& body) { on(from, body, now); }, m);
    }

    /// @param fresh_cluster random bits, for an offer that this step may make
    void tick(instant now, std::uint64_t jitter, cluster_id fresh_cluster) {
        if (joined_ || established_) return;
        count_acceptances();
        if (now < next_try_) return;
        next_try_ = now + options_.retry + options_.retry * static_cast<duration::rep>(jitter % 1000) / 1000;
        std::erase_if(heard_, [&](auto const& item) { return now - item.second.at >= options_.fresh; });
        std::vector<member> heard;
        for (auto const& [id, n] : heard_)
            if (is_candidate(n)) heard.push_back(n.self);
        out_.messages.push_back({{}, discover{self_, options_.founders, heard, bound_ ? bound_->cluster : cluster_id{}}});
        if (chosen_) return; // It goes on asking, so that those who refused can say so.
        if (bound_)
            press_on(now);
        else
            consider_offering(now, fresh_cluster);
    }

    /// A seed has led back to this node.
    void met_self(instant now) {
        if (!met_self_) met_self_ = now;
    }
    /// Seeds that have not answered, as a person knows them. A lone founder waits for all of them: whoever is silent may
    /// belong to the group that it would found a second time.
    void seeds_silent(std::vector<std::string> silent) { silent_seeds_ = std::move(silent); }
    /// Everything written so far is durable.
    void persisted() { durable_ = true; }
    /// The group has chosen its first entry: this node's quest is over.
    void established() { established_ = true; }

    [[nodiscard]] founding_output take_output() {
        if (!out_.append.empty()) durable_ = false;
        return std::exchange(out_, {});
    }

    /// The group that this node helped to found, once it exists.
    [[nodiscard]] first_configuration const* group() const { return chosen_ ? &*bound_ : nullptr; }
    /// The existing group that this node met.
    [[nodiscard]] welcome const* joined() const { return joined_ ? &*joined_ : nullptr; }
    /// The first configuration that this node has accepted, chosen or not.
    [[nodiscard]] first_configuration const* bound() const { return bound_ ? &*bound_ : nullptr; }
    [[nodiscard]] bool has_abandoned(cluster_id c) const {
        return std::find(abandoned_.begin(), abandoned_.end(), c) != abandoned_.end();
    }

    /// One sentence on what this node waits for.
    [[nodiscard]] std::string explain() const {
        if (chosen_ || joined_) return {};
        if (bound_) {
            std::string missing;
            for (member const& m : bound_->members.voters)
                if (m.id != self_.id && !heard_.contains(m.id)) missing += " " + to_string(m.address);
            if (missing.empty()) return "a first configuration is accepted here and waits for all its members to accept it";
            return "a first configuration is accepted here, but these of its members are silent:" + missing +
                   "; start them, or if they are gone for good, wipe and restart this node";
        }
        if (options_.founders == 0) return "looking for a group to join: no seed has answered for one yet";
        for (auto const& [id, n] : heard_)
            if (!n.bound.empty())
                return "a group may exist already: " + to_string(n.self.address) +
                       " has accepted a first configuration; this node waits to join it";
        if (options_.founders == 1 && !met_self_)
            return "this node would found a group alone, but no seed has led back to it, so that nobody knows whether there "
                   "is a group already: check the seeds and DNS, or give the founder no seeds";
        if (options_.founders == 1 && !silent_seeds_.empty()) {
            std::string silent;
            for (std::string const& s : silent_seeds_) silent += " " + s;
            return "this node would found a group alone, but these seeds are silent and may belong to one:" + silent +
                   "; start them, or take them out of the seeds or DNS";
        }
        auto const met = 1 + std::count_if(heard_.begin(), heard_.end(), [&](auto const& i) { return is_candidate(i.second); });
        return "founding: " + std::to_string(met) + " of " + std::to_string(options_.founders) +
               " founders have met; check that the others run, and the seeds";
    }

private:
    struct neighbour {
        member self;
        std::set<node_id> hears;
        std::uint32_t founders = 0;
        cluster_id bound;
        instant at;
    };

    [[nodiscard]] bool is_candidate(neighbour const& n) const {
        return n.founders == options_.founders && n.bound.empty();
    }
    /// Somebody nearby takes part in a group that may exist, or come to exist.
    [[nodiscard]] bool hears_of_another(cluster_id than, instant now) const {
        return std::any_of(heard_.begin(), heard_.end(), [&](auto const& item) {
            neighbour const& n = item.second;
            return now - n.at < options_.fresh && !n.bound.empty() && n.bound != than && !has_abandoned(n.bound);
        });
    }

    // ---- offering

    /// The n smallest ids of those that reach one another, if they are enough and all of them see the same.
    [[nodiscard]] std::optional<std::vector<member>> agreed_members() const {
        std::vector<member> all{self_};
        for (auto const& [id, n] : heard_)
            if (is_candidate(n)) all.push_back(n.self);
        std::sort(all.begin(), all.end());
        if (all.size() < options_.founders) return std::nullopt;
        all.resize(options_.founders);
        for (member const& m : all) {
            if (m.id == self_.id) continue;
            std::set<node_id> seen = heard_.at(m.id).hears;
            seen.insert(m.id);
            // What it sees, cut to the n smallest, must be exactly these.
            if (seen.size() < all.size()) return std::nullopt;
            auto it = seen.begin();
            for (member const& expected : all)
                if (*it++ != expected.id) return std::nullopt;
        }
        return all;
    }

    void consider_offering(instant now, cluster_id fresh_cluster) {
        if (options_.founders == 0 || options_.founders > max_voters) return;
        // Silence founds nothing: a lone founder must have been led to itself by its seeds, so that they are known to
        // work, and everybody else there must have said that it has no group either, or another.
        if (options_.founders == 1 && options_.has_seeds &&
            (!met_self_ || now - *met_self_ < 2 * options_.fresh || !silent_seeds_.empty()))
            return;
        if (hears_of_another({}, now)) return;
        auto members = agreed_members();
        if (!members || members->front().id != self_.id) return;
        accept(first_configuration{fresh_cluster, configuration{epoch{1}, std::move(*members)}}, now);
        press_on(now);
    }

    void accept(first_configuration offer, instant now) {
        bound_ = std::move(offer);
        bound_at_ = now;
        accepted_by_.clear();
        abandoned_by_.clear();
        durable_ = false;
        out_.append.push_back(founding_record{founding_record::step::accepted, *bound_});
    }

    /// Repeats what the offer needs: acceptances, or after a while its end.
    void press_on(instant now) {
        bool const proposer = bound_->members.voters.front().id == self_.id;
        for (member const& m : bound_->members.voters) {
            if (m.id == self_.id) continue;
            if (is_hopeless(now))
                out_.messages.push_back({m.id, abandon_first{bound_->cluster}});
            else if (proposer && !accepted_by_.contains(m.id))
                out_.messages.push_back({m.id, propose_first{*bound_}, true});
        }
        count_acceptances();
        count_refusals(now);
    }

    void count_acceptances() {
        if (!bound_ || chosen_ || bound_->members.voters.front().id != self_.id || !durable_) return;
        if (!abandoned_by_.empty() || has_abandoned(bound_->cluster)) return;
        if (accepted_by_.size() + 1 < bound_->members.voters.size()) return;
        choose();
        for (member const& m : bound_->members.voters)
            if (m.id != self_.id) out_.messages.push_back({m.id, first_chosen{*bound_}});
    }

    void choose() {
        chosen_ = true;
        out_.append.push_back(founding_record{founding_record::step::chosen, *bound_});
    }

    // ---- giving up

    [[nodiscard]] bool is_hopeless(instant now) const { return now - bound_at_ > options_.give_up; }

    void refuse(cluster_id cluster) {
        if (has_abandoned(cluster)) return;
        abandoned_.push_back(cluster);
        durable_ = false;
        out_.append.push_back(founding_record{founding_record::step::abandoned, first_configuration{cluster, {}}});
    }

    /// Ends the offer when those who refused leave no quorum.
    void count_refusals(instant now) {
        if (!bound_) return;
        auto const dead_with = [&](std::size_t refusals) {
            return bound_->members.voters.size() - refusals < bound_->members.quorum();
        };
        if (chosen_) {
            // It will never choose anything: what this node believes to belong to does not exist.
            if (!established_ && dead_with(abandoned_by_.size())) out_.needs_new_identity = true;
            return;
        }
        if (!is_hopeless(now) && !has_abandoned(bound_->cluster)) return;
        if (!dead_with(abandoned_by_.size() + 1)) return;
        refuse(bound_->cluster);
        out_.append.push_back(founding_record{founding_record::step::ended, first_configuration{bound_->cluster, {}}});
        bound_.reset();
    }

    // ---- messages

    void on(member const& from, discover const& m, instant now) {
        neighbour& n = heard_[from.id];
        n = {m.self, {}, m.founders, m.bound, now};
        for (member const& h : m.heard) n.hears.insert(h.id);
        // Whoever left this address under another id is not there any more.
        std::erase_if(heard_, [&](auto const& item) {
            return item.first != from.id && item.second.self.address == m.self.address;
        });
        if (!m.bound.empty() && has_abandoned(m.bound))
            out_.messages.push_back({from.id, first_abandoned{m.bound}, true});
    }

    void on(member const& from, propose_first const& m, instant now) {
        first_configuration const& offer = m.offer;
        auto const& voters = offer.members.voters;
        bool const fits = voters.size() == options_.founders && !voters.empty() && voters.front().id == from.id &&
                          offer.members.has_voter(self_.id) && !offer.cluster.empty();
        if (joined_ || !fits) return;
        if (has_abandoned(offer.cluster)) {
            out_.messages.push_back({from.id, first_abandoned{offer.cluster}, true});
            return;
        }
        if (!bound_ && hears_of_another(offer.cluster, now)) return;
        if (!bound_) accept(offer, now);
        if (bound_->cluster == offer.cluster) out_.messages.push_back({from.id, first_accepted{offer.cluster}, true});
    }

    void on(member const& from, first_accepted const& m, instant) {
        if (!bound_ || bound_->cluster != m.cluster || !bound_->members.has_voter(from.id)) return;
        accepted_by_.insert(from.id);
        count_acceptances();
    }

    void on(member const&, first_chosen const& m, instant) { exists(m.chosen.cluster); }

    /// Somebody knows that the group exists.
    void exists(cluster_id cluster) {
        if (bound_ && !chosen_ && bound_->cluster == cluster && !has_abandoned(cluster)) choose();
    }

    void on(member const& from, abandon_first const& m, instant now) {
        bool const mine = bound_ && bound_->cluster == m.cluster;
        if (mine && chosen_) {
            // It was completed: the asker learns that instead.
            out_.messages.push_back({from.id, first_chosen{*bound_}});
            return;
        }
        if (joined_ && joined_->cluster == m.cluster) return; // Its next discover is answered with a welcome.
        // Whoever still hopes does not refuse yet: its news may be on the way.
        if (mine && !is_hopeless(now) && !has_abandoned(m.cluster)) return;
        refuse(m.cluster);
        out_.messages.push_back({from.id, first_abandoned{m.cluster}, true});
        count_refusals(now);
    }

    void on(member const& from, first_abandoned const& m, instant now) {
        if (!bound_ || bound_->cluster != m.cluster || !bound_->members.has_voter(from.id)) return;
        abandoned_by_.insert(from.id);
        count_refusals(now);
    }

    void on(member const& from, welcome const& m, instant now) {
        if (has_abandoned(m.cluster)) out_.messages.push_back({from.id, first_abandoned{m.cluster}, true});
        exists(m.cluster);
        if (chosen_ || joined_ || !m.established) return;
        // A group that lives without this node's vote: whoever owes a refusal, or waits in vain, joins it under
        // another id.
        if (has_abandoned(m.cluster) || (bound_ && (is_hopeless(now) || has_abandoned(bound_->cluster))))
            out_.needs_new_identity = true;
        else if (!bound_)
            joined_ = m;
    }

    member self_;
    founding_options options_;
    std::map<node_id, neighbour> heard_;
    std::optional<first_configuration> bound_; ///< the one first configuration that this node has accepted
    instant bound_at_;
    bool chosen_ = false;
    bool established_ = false;
    std::set<node_id> accepted_by_;  ///< other members that accepted it, as the proposer knows
    std::set<node_id> abandoned_by_; ///< other members that refused it
    std::vector<cluster_id> abandoned_; ///< refused for ever
    std::optional<welcome> joined_;
    bool durable_ = true;
    std::optional<instant> met_self_;
    std::vector<std::string> silent_seeds_;
    instant next_try_;
    founding_output out_;
};

} // namespace openreplica::inline v0::paxos
