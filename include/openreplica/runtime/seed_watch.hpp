// Where a node looks for its group: its seeds, and what DNS last told of them.
#pragma once

#include <openreplica/config.hpp>
#include <openreplica/dns/discovery.hpp>
#include <openreplica/options.hpp>
#include <openreplica/runtime/line_limiter.hpp>
#include <openreplica/types/endpoint.hpp>
#include <openreplica/types/instant.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace openreplica::inline v0::runtime {

/// How long a node waits between two lookups of a seed.
struct lookup_pauses {
    using milliseconds = std::chrono::milliseconds;
    milliseconds founding{1000}; ///< while there is no group
    milliseconds least{30000};   ///< afterwards the answer's own time to live, but not less than this
    milliseconds most{300000};   ///< nor more than this
    milliseconds spread{250};    ///< up to this much longer, at random, so that nodes do not ask in step

    [[nodiscard]] milliseconds next(bool settled, std::chrono::seconds ttl, std::uint64_t random) const {
        milliseconds const wait = settled ? std::min(std::max<milliseconds>(ttl, least), most) : founding;
        return wait + milliseconds(random % (static_cast<std::uint64_t>(spread.count()) + 1));
    }
};

/// Read whenever a node is opened. Tests shorten it; it is no option, because haste only loads DNS servers.
inline lookup_pauses seed_lookup_pauses{};

/// Looks up `srv:` seeds again and again, and tells which endpoints the seeds name.
///
/// A failed or empty answer takes no endpoint away. An endpoint is omitted when a later successful answer of the seed
/// that named it lacks it, and no other seed names it.
///
/// @par Thread safety
/// One strand, the one given at construction. Events are called on it, until `stop`.
class seed_watch : public std::enable_shared_from_this<seed_watch> {
public:
    struct events {
        std::function<void(endpoint const&)> named;   ///< by a seed; again with every answer that names it
        std::function<void(endpoint const&)> omitted; ///< no seed names it any more
        std::function<bool()> settled;                ///< the node belongs to a group that serves it
        std::function<std::uint64_t()> random;
        std::function<instant()> now;
        std::function<void(log_level, std::string const&)> log;
    };

    seed_watch(asio::any_io_executor strand, std::vector<std::string> const& seeds, dns::discovery_options options,
               lookup_pauses pauses, events e)
        : strand_(strand), pauses_(pauses), events_(std::move(e)), discovery_(strand, std::move(options)) {
        for (std::string const& text : seeds) seeds_.emplace_back(strand_, text);
    }

    void start() {
        for (seed& s : seeds_) {
            if (s.text.starts_with("srv:")) {
                look_up(s);
            } else {
                s.named.push_back(*parse_endpoint(s.text));
                s.answered = true;
                events_.named(s.named.front());
            }
        }
    }
    void stop() {
        stopped_ = true;
        for (seed& s : seeds_) s.timer.cancel();
        discovery_.cancel();
    }

    /// Nobody who is known answers: looks again as soon as one looks while there is no group, and not at the answers' leisure.
    void hurry() {
        for (seed& s : seeds_)
            if (s.leisurely && !stopped_) wait(s, pauses_.next(false, {}, events_.random()));
    }

    /// Seeds whose latest lookup failed, or has not ended yet.
    [[nodiscard]] std::vector<std::string> unanswered() const {
        std::vector<std::string> all;
        for (seed const& s : seeds_)
            if (!s.answered) all.push_back(s.text);
        return all;
    }

private:
    struct seed {
        seed(asio::any_io_executor const& strand, std::string t) : text(std::move(t)), timer(strand) {}

        std::string text;
        asio::steady_timer timer;
        std::vector<endpoint> named; ///< by the latest successful answer
        bool answered = false;
        bool leisurely = false; ///< its next lookup may be far away
        line_limiter warnings;
    };

    [[nodiscard]] bool names(endpoint const& e) const {
        return std::any_of(seeds_.begin(), seeds_.end(), [&](seed const& s) {
            return std::find(s.named.begin(), s.named.end(), e) != s.named.end();
        });
    }

    void look_up(seed& s) {
        // The seeds stay where they are, and as long as this object.
        discovery_.async_lookup_seeds(s.text, [weak = weak_from_this(), &s](dns::lookup_result found) {
            if (auto const self = weak.lock(); self && !self->stopped_) self->on_answer(s, found);
        });
    }

    void on_answer(seed& s, dns::lookup_result const& found) {
        s.answered = !found.failure;
        if (found.failure)
            complain(s, found);
        else
            take(s, found);
        bool const settled = events_.settled();
        wait(s, pauses_.next(settled, found.ttl, events_.random()));
        s.leisurely = settled;
    }

    void wait(seed& s, lookup_pauses::milliseconds pause) {
        s.leisurely = false;
        s.timer.expires_after(pause);
        s.timer.async_wait([weak = weak_from_this(), &s](asio::error_code failure) {
            auto const self = weak.lock();
            if (failure || !self || self->stopped_) return;
            s.leisurely = false;
            self->look_up(s);
        });
    }

    void take(seed& s, dns::lookup_result const& found) {
        std::vector<endpoint> now;
        for (auto const& e : found.endpoints) now.push_back(e.address);
        std::vector<endpoint> const before = std::exchange(s.named, now);
        for (endpoint const& e : now) events_.named(e);
        for (endpoint const& e : before)
            if (!names(e)) events_.omitted(e);
    }

    void complain(seed& s, dns::lookup_result const& found) {
        if (!s.warnings.lets_through(dns::to_string(*found.failure), events_.now())) return;
        events_.log(events_.settled() ? log_level::info : log_level::warning, s.text + ": " + found.text);
    }

    asio::any_io_executor strand_;
    lookup_pauses pauses_;
    events events_;
    dns::discovery discovery_;
    std::deque<seed> seeds_;
    bool stopped_ = false;
};

} // namespace openreplica::inline v0::runtime
