// From `srv:NAME` to addresses to try, in order.
#pragma once

#include <openreplica/dns/resolver.hpp>
#include <openreplica/error.hpp>

#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace openreplica::inline v0::dns {

/// How discovery asks.
struct discovery_options {
    /// `host` or `host:port`. Empty: the servers of `/etc/resolv.conf`, read anew for every lookup, and the system's
    /// own resolver for the addresses of targets, so that `/etc/hosts` counts.
    std::string dns_server;
    std::optional<std::chrono::milliseconds> timeout; ///< per query; else resolv.conf's, else 1 s
    std::optional<int> attempts;                      ///< rounds over the servers; else resolv.conf's, else 2
    bool require_same_domain = true; ///< refuse targets outside the service's domain (`in_same_domain`)
    entropy_source entropy = system_entropy();
};

/// One address of one member, as DNS tells it.
struct service_endpoint {
    endpoint address; ///< an IP literal and a port
    std::string target;
    std::uint16_t priority = 0;
    std::uint16_t weight = 0;

    bool operator==(service_endpoint const&) const = default;
};

/// What a lookup of seeds gave: endpoints in the order to try them, or a failure and a sentence about it.
struct lookup_result {
    std::vector<service_endpoint> endpoints; ///< distinct; empty exactly when there is a failure
    std::chrono::seconds ttl{1};             ///< how long to wait before asking again: 1–300 s
    std::optional<lookup_error> failure;
    std::string text; ///< with a failure: what happened, to what, and what to do; else targets without address, if any
};

using seeds_handler = unique_function<void(lookup_result)>;

namespace detail {

[[nodiscard]] inline std::string address_text(a_data const& d) { return asio::ip::address_v4(d.address).to_string(); }
[[nodiscard]] inline std::string address_text(aaaa_data const& d) {
    return asio::ip::make_address_v6(asio::ip::address_v6::bytes_type(d.address)).to_string();
}

/// One call of `async_lookup_seeds`.
class seeds_lookup : public std::enable_shared_from_this<seeds_lookup> {
    struct target_state {
        srv_data srv;
        std::array<std::vector<std::string>, 2> addresses; // IPv4, then IPv6
        int pending = 0;
        std::optional<lookup_error> trouble; // a failure that may pass, unlike the absence of an address
        std::string text;
    };
    // Sockets of a lookup in flight, two per target; a list of 64 targets does not take 128 descriptors at once.
    static constexpr std::size_t max_targets_in_flight = 8;

public:
    seeds_lookup(asio::any_io_executor const& executor, resolver_options servers, discovery_options const& options,
                 bool ask_system, name srv_name, seeds_handler h)
        : executor_(executor), resolver_(executor, std::move(servers)), system_(executor), entropy_(options.entropy),
          same_domain_(options.require_same_domain), ask_system_(ask_system), srv_name_(std::move(srv_name)),
          handler_(std::move(h)) {}

    void start() {
        resolver_.async_resolve(srv_name_, record_type::srv,
                                [self = shared_from_this()](answer a) { self->on_services(std::move(a)); });
    }

    void fail_later(lookup_error e, std::string text) {
        asio::post(executor_,
                   [self = shared_from_this(), e, t = std::move(text)]() mutable { self->fail(e, std::move(t)); });
    }
    void cancel() {
        if (!handler_) return;
        fail_later(lookup_error::cancelled, explain(srv_name_.to_string(), lookup_error::cancelled));
        cancelled_ = true;
        resolver_.cancel();
        system_.cancel();
    }

private:
    void on_services(answer a) {
        if (cancelled_) return;
        ttl_ = a.ttl;
        if (a.failure) return fail(*a.failure, std::move(a.text));
        auto usable = usable_targets(a.records, srv_name_, same_domain_);
        if (usable.failure)
            return fail(*usable.failure, explain(srv_name_.to_string(), *usable.failure, usable.reason));
        auto ordered = order_targets(std::move(usable.targets), entropy_);
        if (ordered.size() > max_targets) ordered.resize(max_targets);
        for (auto& srv : ordered) {
            target_state t;
            t.srv = std::move(srv);
            take_additional(t, a.additional);
            targets_.push_back(std::move(t));
        }
        ask_more();
    }

    /// Addresses that came with the answer. They count only for targets that the answer named.
    void take_additional(target_state& t, std::vector<record> const& additional) {
        for (auto type : {record_type::a, record_type::aaaa})
            for (auto const& rr : select(additional, t.srv.target, type)) {
                add_address(t, rr);
                ttl_ = std::min(ttl_, clamp_ttl(sane_ttl(rr.ttl)));
            }
    }
    static void add_address(target_state& t, record const& rr) {
        if (auto const* v4 = std::get_if<a_data>(&rr.data)) add_address(t, 0, address_text(*v4));
        if (auto const* v6 = std::get_if<aaaa_data>(&rr.data)) add_address(t, 1, address_text(*v6));
    }
    static void add_address(target_state& t, std::size_t family, std::string text) {
        auto& list = t.addresses[family];
        if (t.addresses[0].size() + t.addresses[1].size() == max_addresses_per_target) return;
        if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
    }
    [[nodiscard]] static bool has_address(target_state const& t) {
        return !t.addresses[0].empty() || !t.addresses[1].empty();
    }

    void ask_more() {
        while (next_ < targets_.size() && in_flight_ < max_targets_in_flight) {
            std::size_t const index = next_++;
            if (has_address(targets_[index])) continue;
            ++in_flight_;
            if (ask_system_)
                ask_system(index);
            else
                ask_servers(index);
        }
        if (in_flight_ == 0) complete();
    }

    void ask_servers(std::size_t index) {
        targets_[index].pending = 2;
        for (auto type : {record_type::a, record_type::aaaa})
            resolver_.async_resolve(targets_[index].srv.target, type, [self = shared_from_this(), index](answer a) {
                if (self->cancelled_) return;
                auto& t = self->targets_[index];
                bool const absent = a.failure == lookup_error::nodata || a.failure == lookup_error::nxdomain;
                if (a.failure && !absent) {
                    t.trouble = a.failure;
                    t.text = std::move(a.text);
                }
                for (auto const& rr : a.records) add_address(t, rr);
                if (!a.failure) self->ttl_ = std::min(self->ttl_, a.ttl);
                self->on_target_part(t);
            });
    }

    void ask_system(std::size_t index) {
        targets_[index].pending = 1;
        auto const on_found = [self = shared_from_this(), index](asio::error_code e,
                                                                 asio::ip::tcp::resolver::results_type const& found) {
            if (self->cancelled_) return;
            auto& t = self->targets_[index];
            if (e && e != asio::error::host_not_found && e != asio::error::no_data) {
                t.trouble = lookup_error::servfail;
                t.text = explain(t.srv.target.to_string(), lookup_error::servfail, "system resolver: " + e.message());
            }
            for (auto const& entry : found) {
                auto const address = entry.endpoint().address();
                add_address(t, address.is_v6() ? 1 : 0, address.to_string());
            }
            self->on_target_part(t);
        };
        // No flags: with "address configured", a host that has only its loopback interface would find nothing.
        system_.async_resolve(targets_[index].srv.target.to_string(), "", asio::ip::resolver_base::flags(), on_found);
    }

    void on_target_part(target_state& t) {
        if (--t.pending > 0) return;
        --in_flight_;
        ask_more();
    }

    void complete() {
        lookup_result out;
        std::string without;
        std::optional<lookup_error> trouble;
        std::string trouble_text;
        for (auto const& t : targets_) {
            if (!has_address(t)) {
                without += (without.empty() ? "" : ", ") + t.srv.target.to_string();
                if (t.trouble && !trouble) {
                    trouble = t.trouble;
                    trouble_text = t.text;
                }
            }
            for (auto const& family : t.addresses)
                for (auto const& address : family) add_endpoint(out, t.srv, address);
        }
        out.ttl = ttl_;
        if (out.endpoints.empty()) {
            if (trouble) return fail(*trouble, std::move(trouble_text));
            return fail(lookup_error::no_address, explain(srv_name_.to_string(), lookup_error::no_address, without));
        }
        if (!without.empty()) out.text = srv_name_.to_string() + ": no address for " + without;
        finish(std::move(out));
    }

    static void add_endpoint(lookup_result& out, srv_data const& srv, std::string const& address) {
        endpoint at{address, srv.port};
        for (auto const& known : out.endpoints)
            if (known.address == at) return;
        out.endpoints.push_back({std::move(at), srv.target.to_string(), srv.priority, srv.weight});
    }

    void fail(lookup_error e, std::string text) {
        lookup_result out;
        out.failure = e;
        out.text = std::move(text);
        // A failure of our own making, or one that may pass, says nothing about when to ask again.
        bool const lasting = e == lookup_error::nxdomain || e == lookup_error::nodata || e == lookup_error::not_offered;
        out.ttl = lasting ? ttl_ : min_ttl;
        finish(std::move(out));
    }
    void finish(lookup_result out) {
        if (!handler_) return;
        auto h = std::move(handler_);
        handler_ = {};
        h(std::move(out));
    }

    asio::any_io_executor executor_;
    resolver resolver_;
    asio::ip::tcp::resolver system_;
    entropy_source entropy_;
    bool same_domain_;
    bool ask_system_;
    name srv_name_;
    seeds_handler handler_;
    std::vector<target_state> targets_;
    std::size_t next_ = 0;
    std::size_t in_flight_ = 0;
    bool cancelled_ = false;
    std::chrono::seconds ttl_ = min_ttl;
};

} // namespace detail

/// Turns the name of a service into addresses: SRV records in the order of RFC 2782, then A and AAAA of their targets.
///
/// Addresses come from the additional section when the server sent them for a target, otherwise from a query: to the
/// configured `dns_server`, or without one to the system's resolver. IPv4 addresses of a target stand before its IPv6
/// ones. Targets that have no address are left out while another has one. At most 64 targets with 8
/// addresses each are used.
///
/// What it finds is a hint whom to ask to join, never proof of membership, and no failure permits founding a group.
///
/// @par Thread safety
/// Unsafe, like `resolver`: every call is made on the executor, which must not run two handlers at once.
///
/// @par Lifetime
/// Destroying it cancels; handlers then run later, with `lookup_error::cancelled`. The system's resolver blocks a
/// thread of the `io_context`'s own, and the destructor of an `io_context` waits for it.
class discovery {
public:
    /// @throws openreplica::error with `errc::bad_option` when `dns_server` is neither a host nor a host and a port.
    discovery(asio::any_io_executor executor, discovery_options options)
        : executor_(std::move(executor)), options_(std::move(options)) {
        if (options_.dns_server.empty()) return;
        server_ = parse_dns_server(options_.dns_server);
        if (!server_)
            throw error(errc::bad_option, "dns_server \"" + options_.dns_server +
                                              "\" is neither a host nor host:port; write for example 192.0.2.1:53");
    }
    discovery(discovery const&) = delete;
    discovery& operator=(discovery const&) = delete;
    ~discovery() { cancel(); }

    /// Looks up `NAME` or `srv:NAME`. The handler, `void(lookup_result)`, is called once, on the executor, never from
    /// inside.
    void async_lookup_seeds(std::string_view seed, seeds_handler handler) {
        std::erase_if(running_, [](auto const& l) { return l.expired(); });
        auto srv_name = srv_query_name(seed);
        auto const made =
            std::make_shared<detail::seeds_lookup>(executor_, make_resolver_options(), options_, !server_.has_value(),
                                                   srv_name.value_or(name{}), std::move(handler));
        running_.push_back(made);
        if (srv_name) return made->start();
        made->fail_later(lookup_error::malformed, "\"" + std::string(seed) +
                                                      "\" is no domain name; labels have 1 to 63 bytes "
                                                      "and a name at most 255; write for example srv:bank.example.org");
    }

    /// Ends all lookups in flight with `cancelled`.
    void cancel() {
        for (auto const& l : std::exchange(running_, {}))
            if (auto const alive = l.lock()) alive->cancel();
    }

private:
    [[nodiscard]] resolver_options make_resolver_options() const {
        resolver_options out;
        out.entropy = options_.entropy;
        if (server_) {
            out.servers.push_back(*server_);
        } else {
            auto conf = read_resolv_conf();
            out.servers = std::move(conf.servers);
            out.timeout = conf.timeout.value_or(std::chrono::seconds(1));
            out.attempts = conf.attempts.value_or(out.attempts);
        }
        out.timeout = options_.timeout.value_or(out.timeout);
        out.attempts = options_.attempts.value_or(out.attempts);
        return out;
    }

    asio::any_io_executor executor_;
    discovery_options options_;
    std::optional<endpoint> server_;
    std::vector<std::weak_ptr<detail::seeds_lookup>> running_;
};

} // namespace openreplica::inline v0::dns
