// The replicated state once more, done plainly: one list, and sessions that keep their results.
#pragma once

#include "votes.hpp"

#include <openreplica/error.hpp>
#include <openreplica/object/sessions.hpp>
#include <openreplica/types/envelope.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace simulation {

using openreplica::errc;

/// Replays the chosen log. What it says of a slot is what every replica must have done there.
class twin {
public:
    /// What the command of one slot did.
    struct deed {
        errc code{};
        std::string result{};
        slot at{};             ///< where it was executed, if it was
        bool repeated = false; ///< a stored outcome was given again
        std::string appended{}; ///< what the list got here
        std::uint32_t length = 0; ///< of the list after this slot
    };

    /// The next entry of the log; no-ops move the clock only.
    void apply(paxos::entry const& e) {
        using openreplica::command_kind;
        at_ = e.at;
        clock_ = std::max(clock_, e.what.stamp.value);
        deed d;
        if (e.what.kind == paxos::value_kind::command) run(*openreplica::decode_envelope(e.what.body.view()), d);
        d.length = static_cast<std::uint32_t>(items_.size());
        deeds_.push_back(std::move(d));
    }
    [[nodiscard]] slot at() const { return at_; }
    [[nodiscard]] deed const& deed_at(slot s) const { return deeds_[s.value - 1]; }
    [[nodiscard]] std::vector<std::string> const& items() const { return items_; }
    [[nodiscard]] std::size_t length_at(slot s) const { return s == slot{} ? 0 : deeds_[s.value - 1].length; }

    /// True when `list` is what the list held after slot `s`.
    [[nodiscard]] bool held(slot s, std::vector<std::string> const& list) const {
        return list.size() == length_at(s) && std::equal(list.begin(), list.end(), items_.begin());
    }
    /// The first thing in which a snapshot of slot `at()` differs from this state; empty when nothing does.
    [[nodiscard]] std::string difference(std::string const& snapshot) const {
        auto const all = nlohmann::json::parse(snapshot);
        auto const& objects = all.at(4);
        if (objects.size() != (created_ ? 1u : 0u)) return "the directory of objects";
        if (created_ && objects.at(0).at(2).at("items").get<std::vector<std::string>>() != items_) return "the list";
        auto const& open = all.at(5);
        if (open.size() != sessions_.size()) return "the number of open sessions";
        std::size_t i = 0;
        for (auto const& [id, mine] : sessions_) {
            auto const& theirs = open.at(i++);
            bool const same = theirs.at(0) == id && theirs.at(1) == mine.timeout && theirs.at(2) == mine.last &&
                              theirs.at(3) == mine.acked && results_agree(theirs.at(4), mine);
            if (!same) return "session " + std::to_string(id);
        }
        return {};
    }

private:
    struct session {
        std::uint64_t timeout = 0, last = 0, acked = 1;
        std::map<std::uint64_t, deed> results{};
    };

    static bool results_agree(nlohmann::json const& theirs, session const& mine) {
        if (theirs.size() != mine.results.size()) return false;
        std::size_t i = 0;
        for (auto const& [seq, d] : mine.results) {
            auto const& t = theirs.at(i++);
            if (t.at(0) != seq || t.at(1) != static_cast<int>(d.code) || t.at(3) != d.result) return false;
        }
        return true;
    }

    void run(openreplica::envelope const& c, deed& d) {
        using openreplica::command_kind;
        if (c.kind == command_kind::open_session) {
            auto const asked = nlohmann::json::parse(c.body).at(0).get<std::uint64_t>();
            std::uint64_t const low = openreplica::object::min_session_timeout.value;
            sessions_[at_.value] = session{std::max(asked, low), clock_};
            return;
        }
        if (c.kind == command_kind::tick) {
            std::erase_if(sessions_, [&](auto const& s) { return s.second.last + s.second.timeout <= clock_; });
            return;
        }
        auto const found = sessions_.find(c.session.value);
        if (found == sessions_.end()) {
            d.code = errc::session_expired;
            return;
        }
        session& s = found->second;
        s.last = clock_;
        s.acked = std::max(s.acked, c.acked_below.value);
        s.results.erase(s.results.begin(), s.results.lower_bound(s.acked));
        if (c.kind == command_kind::keep_alive) return;
        if (auto const stored = s.results.find(c.seq.value); stored != s.results.end()) {
            d = stored->second;
            d.repeated = true;
            d.appended.clear();
        } else if (c.seq.value < s.acked) {
            d.code = errc::outcome_unknown;
        } else {
            run_once(c, d);
            s.results[c.seq.value] = d;
        }
    }
    void run_once(openreplica::envelope const& c, deed& d) {
        if (c.deadline.value != 0 && clock_ > c.deadline.value) {
            d.code = errc::not_executed;
        } else if (c.kind == openreplica::command_kind::create) {
            d.result = created_ ? "false" : "true";
            created_ = true;
        } else if (!created_) {
            d.code = errc::no_such_object;
        } else {
            auto const call = nlohmann::json::parse(c.body);
            d.appended = call.at(1).get<std::string>();
            items_.push_back(d.appended);
            d.at = at_;
            if (call.at(0) == "append")
                d.result = std::to_string(items_.size());
            else
                d.code = errc::method_threw;
        }
    }

    slot at_;
    std::uint64_t clock_ = 0;
    bool created_ = false;
    std::vector<std::string> items_;
    std::map<std::uint64_t, session> sessions_;
    std::vector<deed> deeds_;
};

} // namespace simulation
