// Asks DNS servers for the records of a name, without blocking.
#pragma once

#include <openreplica/dns/exchange.hpp>
#include <openreplica/dns/resolv_conf.hpp>
#include <openreplica/dns/srv.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace openreplica::inline v0::dns {

/// Whom to ask, and how patiently.
struct resolver_options {
    std::vector<endpoint> servers;           ///< asked in this order; IP literals, or names for the system's resolver
    std::chrono::milliseconds timeout{1000}; ///< for each query, and again for its repetition over TCP
    int attempts = 2;                        ///< rounds over all servers
    entropy_source entropy = system_entropy();
};

/// What a name gave: records, or a failure with a sentence.
struct answer {
    std::optional<lookup_error> failure;
    std::string text;               ///< with a failure: what happened, to what, and what to do
    std::vector<record> records;    ///< distinct, all of the type asked for, all of `owner`
    std::vector<record> additional; ///< as the server sent them; to be used only for hosts that `records` name
    name owner;                     ///< the name at the end of the alias chain
    std::chrono::seconds ttl{1};    ///< how long the records, or their absence, may be relied on: 1–300 s
};

using answer_handler = unique_function<void(answer)>;

namespace detail {

/// One call of `async_resolve`: goes from server to server and from alias to alias.
///
/// Its exchange owns it; it only observes the exchange, so that an `io_context` that dies with operations pending frees
/// both.
class lookup : public std::enable_shared_from_this<lookup> {
public:
    lookup(asio::any_io_executor executor, std::shared_ptr<resolver_options const> options, name qname,
           record_type type, answer_handler h)
        : executor_(std::move(executor)), options_(std::move(options)), asked_(std::move(qname)), current_(asked_),
          type_(type), handler_(std::move(h)) {}

    void ask() {
        auto const& servers = options_->servers;
        if (servers.empty() || options_->attempts < 1) {
            failure_ = lookup_error::unreachable;
            detail_ = "no DNS server is configured";
            return post_failure();
        }
        auto const& server = servers[try_ % servers.size()];
        auto const made = std::make_shared<exchange>(
            executor_, server, make_query(current_, type_, options_->entropy, edns_), options_->timeout,
            [self = shared_from_this()](exchange_result r) { self->on_result(std::move(r)); });
        exchange_ = made;
        made->start();
    }

    /// The handler is called with `cancelled`, later.
    void cancel() {
        if (auto const e = exchange_.lock()) e->cancel();
        failure_ = lookup_error::cancelled;
        detail_.clear();
        post_failure();
    }

private:
    void on_result(exchange_result r) {
        if (r.wants_no_edns) {
            edns_ = false;
            return ask();
        }
        if (!r.reply) return try_next(r.failure, std::move(r.detail));
        auto reading = read_reply(*r.reply, current_, type_, aliases_);
        switch (reading.is) {
        case reading::failed:
            return try_next(reading.failure, std::string(reading.reason));
        case reading::negative:
            failure_ = reading.failure;
            ttl_ = clamp_ttl(std::min(reading.ttl, chain_ttl_));
            return complete_failed();
        case reading::follow:
            current_ = reading.owner;
            aliases_ = reading.aliases;
            chain_ttl_ = std::min(chain_ttl_, reading.ttl);
            return ask();
        case reading::found:
            break;
        }
        answer out;
        out.records = std::move(reading.records);
        out.additional = std::move(r.reply->additional);
        out.owner = std::move(reading.owner);
        out.ttl = clamp_ttl(std::min(reading.ttl, chain_ttl_));
        complete(std::move(out));
    }

    void try_next(lookup_error e, std::string detail) {
        // What a server said tells more than the silence of another one.
        auto const weight = [](lookup_error x) {
            return x == lookup_error::unreachable ? 0
                   : x == lookup_error::timeout   ? 1
                   : x == lookup_error::malformed ? 2
                                                  : 3;
        };
        if (try_ == 0 || weight(e) >= weight(failure_)) {
            failure_ = e;
            detail_ = "DNS server " + to_string(options_->servers[try_ % options_->servers.size()]);
            if (!detail.empty()) detail_ += ": " + detail;
        }
        edns_ = true;
        if (++try_ < options_->servers.size() * static_cast<std::size_t>(options_->attempts)) return ask();
        complete_failed();
    }

    [[nodiscard]] answer failed_answer() const {
        answer out;
        out.failure = failure_;
        std::string what = asked_.to_string();
        if (current_ != asked_) what += " (alias of " + current_.to_string() + ")";
        out.text = explain(what, failure_, detail_);
        out.ttl = ttl_;
        return out;
    }
    void complete_failed() { complete(failed_answer()); }
    void complete(answer out) {
        if (!handler_) return;
        auto h = std::move(handler_);
        handler_ = {};
        h(std::move(out));
    }
    void post_failure() {
        asio::post(executor_,
                   [self = shared_from_this(), out = failed_answer()]() mutable { self->complete(std::move(out)); });
    }

    asio::any_io_executor executor_;
    std::shared_ptr<resolver_options const> options_;
    name asked_;
    name current_;
    record_type type_;
    answer_handler handler_;
    std::weak_ptr<exchange> exchange_;
    std::size_t try_ = 0;
    int aliases_ = 0;
    std::uint32_t chain_ttl_ = 0x7fffffff;
    bool edns_ = true;
    lookup_error failure_{};
    std::string detail_;
    std::chrono::seconds ttl_ = min_ttl;
};

} // namespace detail

/// A stub resolver: asks recursive (or authoritative) servers over UDP with EDNS, and over TCP when an answer is cut.
///
/// Every query has a random id, a fresh socket with a random port, and random letter case in its name; a reply must
/// match all of it. The next server is asked after SERVFAIL, REFUSED, a timeout, an unreachable address or malformed
/// answers; "no such name" and "no such record" are final. Aliases are followed, eight at most. Names are absolute:
/// there is no search list. Nothing is cached. DNSSEC is not checked: an answer is a hint, never a proof.
///
/// @par Thread safety
/// Unsafe: every call is made on the executor given, which must not run two handlers at once (a strand, or an
/// `io_context` run by one thread).
///
/// @par Lifetime
/// Destroying it cancels what is in flight; handlers then run later, with `lookup_error::cancelled`. No handler
/// outlives the `io_context`: what is pending when that is destroyed is destroyed uncalled.
class resolver {
public:
    resolver(asio::any_io_executor executor, resolver_options options)
        : executor_(std::move(executor)), options_(std::make_shared<resolver_options const>(std::move(options))) {}
    resolver(resolver const&) = delete;
    resolver& operator=(resolver const&) = delete;
    ~resolver() { cancel(); }

    /// Looks up the records of one type. The handler, `void(answer)`, is called once, on the executor, never from
    /// inside.
    void async_resolve(name const& qname, record_type type, answer_handler handler) {
        std::erase_if(running_, [](auto const& l) { return l.expired(); });
        auto const made = std::make_shared<detail::lookup>(executor_, options_, qname, type, std::move(handler));
        running_.push_back(made);
        made->ask();
    }

    /// Ends all lookups in flight with `cancelled`.
    void cancel() {
        for (auto const& l : std::exchange(running_, {}))
            if (auto const alive = l.lock()) alive->cancel();
    }

private:
    asio::any_io_executor executor_;
    std::shared_ptr<resolver_options const> options_;
    std::vector<std::weak_ptr<detail::lookup>> running_;
};

} // namespace openreplica::inline v0::dns
