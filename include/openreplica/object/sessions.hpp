// The replicated table of sessions: what makes a call run at most once.
#pragma once

#include <openreplica/types/envelope.hpp>
#include <openreplica/types/ids.hpp>
#include <openreplica/types/mutation.hpp>
#include <openreplica/types/outcome.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace openreplica::inline v0::object {

// Format constants: every replica must decide alike.

using v0::session_window; // A caller that holds further calls back by itself never meets it here.
/// Bytes of stored results at which a session's calls are refused until some are acknowledged.
inline constexpr std::size_t session_bytes = std::size_t{8} << 20;
/// Sessions open at one time.
inline constexpr std::size_t max_sessions = 65536;
/// Log time without any command after which a session may be expired; the opener can choose another within the bounds.
inline constexpr log_time default_session_timeout{10'000'000};
inline constexpr log_time min_session_timeout{100'000};
inline constexpr log_time max_session_timeout{86'400'000'000};

/// One session: the outcomes that its caller has not acknowledged, by number.
///
/// @par Invariants
/// @li `acked_below()` never decreases.
/// @li An outcome is stored at most once per number, and dropped only when `acked_below()` passes it.
class session {
    struct cell {
        bool used = false;
        call_outcome outcome;
    };
    std::vector<cell> ring_; // Indexed by the number modulo its size, a power of two.
    sequence acked_below_{1};
    std::size_t bytes_ = 0;

public:
    log_time timeout;
    log_time last_activity;

    [[nodiscard]] sequence acked_below() const { return acked_below_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] log_time deadline() const {
        return log_time{std::max(last_activity.value, last_activity.value + timeout.value)};
    }
    /// Whether a number can be stored at all.
    [[nodiscard]] bool holds(sequence seq) const {
        return seq >= acked_below_ && seq.since(acked_below_) < session_window;
    }

    [[nodiscard]] call_outcome const* find(sequence seq) const {
        if (OPENREPLICA_MUTANT(forget_session_result)) return nullptr;
        if (seq < acked_below_ || seq.since(acked_below_) >= ring_.size()) return nullptr;
        cell const& c = ring_[seq.value & (ring_.size() - 1)];
        return c.used ? &c.outcome : nullptr;
    }

    /// @pre `holds(seq)` and no outcome is stored.
    call_outcome const& store(sequence seq, call_outcome outcome) {
        if (seq.since(acked_below_) >= ring_.size()) grow(seq.since(acked_below_) + 1);
        cell& c = ring_[seq.value & (ring_.size() - 1)];
        bytes_ += outcome.text.size() + outcome.result.size();
        c.used = true;
        c.outcome = std::move(outcome);
        return c.outcome;
    }

    /// Drops the outcomes below `below`, each once: the cost is spread over the calls that stored them.
    void acknowledge(sequence below) {
        if (below <= acked_below_) return;
        std::uint64_t const passed = std::min<std::uint64_t>(below.since(acked_below_), ring_.size());
        for (std::uint64_t i = 0; i < passed; ++i) {
            cell& c = ring_[(acked_below_.value + i) & (ring_.size() - 1)];
            if (!c.used) continue;
            bytes_ -= c.outcome.text.size() + c.outcome.result.size();
            c = cell{};
        }
        acked_below_ = below;
    }

    /// Calls `f(sequence, call_outcome const&)` in the order of the numbers.
    template <class F>
    void for_each(F&& f) const {
        for (std::uint64_t i = 0; i < ring_.size(); ++i)
            if (auto const* outcome = find(acked_below_.plus(i))) f(acked_below_.plus(i), *outcome);
    }

private:
    void grow(std::uint64_t needed) {
        std::size_t size = std::max<std::size_t>(ring_.size(), 16);
        while (size < needed) size *= 2;
        std::vector<cell> wider(size);
        for (std::uint64_t i = 0; i < ring_.size(); ++i) {
            std::uint64_t const number = acked_below_.value + i;
            wider[number & (size - 1)] = std::move(ring_[number & (ring_.size() - 1)]);
        }
        ring_ = std::move(wider);
    }
};

/// All open sessions.
///
/// @par Thread safety
/// Unsafe: it belongs to the thread that applies.
class session_table {
    std::unordered_map<session_id, session> open_;
    // Not later than the earliest deadline: a session in use moves its own without telling. A tick finds the truth.
    std::optional<log_time> earliest_;

public:
    [[nodiscard]] std::size_t size() const { return open_.size(); }
    [[nodiscard]] session* find(session_id id) {
        auto const at = open_.find(id);
        return at == open_.end() ? nullptr : &at->second;
    }

    [[nodiscard]] session const* find(session_id id) const {
        auto const at = open_.find(id);
        return at == open_.end() ? nullptr : &at->second;
    }

    /// Opens a session named after the slot of its opening entry. False when there are too many.
    [[nodiscard]] bool open(slot at, log_time now, log_time timeout) {
        if (open_.size() >= max_sessions) return false;
        session s;
        s.timeout = timeout;
        s.last_activity = now;
        return insert(session_id{at.value}, std::move(s));
    }
    /// Puts a session of a snapshot in place. False when its id is taken.
    [[nodiscard]] bool insert(session_id id, session s) {
        auto const deadline = s.deadline();
        if (!open_.emplace(id, std::move(s)).second) return false;
        earliest_ = std::min(earliest_.value_or(deadline), deadline);
        return true;
    }
    [[nodiscard]] bool close(session_id id) {
        bool const was_open = open_.erase(id) > 0;
        if (open_.empty()) earliest_.reset();
        return was_open;
    }

    /// Ends the sessions that are due at `now`; returns them in the order of their ids.
    std::vector<session_id> expire(log_time now) {
        std::vector<session_id> ended;
        earliest_.reset();
        for (auto const& [id, s] : open_) {
            if (s.deadline() <= now)
                ended.push_back(id);
            else
                earliest_ = std::min(earliest_.value_or(s.deadline()), s.deadline());
        }
        std::ranges::sort(ended);
        for (session_id const id : ended) open_.erase(id);
        return ended;
    }

    /// When a tick may find something to expire; never later than the truth.
    [[nodiscard]] std::optional<log_time> next_deadline() const { return open_.empty() ? std::nullopt : earliest_; }

    /// The ids in ascending order: hash tables must not decide the order of a snapshot.
    [[nodiscard]] std::vector<session_id> ids() const {
        std::vector<session_id> out;
        out.reserve(open_.size());
        for (auto const& [id, s] : open_) out.push_back(id);
        std::ranges::sort(out);
        return out;
    }
};

} // namespace openreplica::inline v0::object
