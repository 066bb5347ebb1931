// The service's members that deal with clients. Included by service.hpp.
#pragma once

#include <openreplica/runtime/service.hpp>

namespace openreplica::inline v0::runtime {

inline guests::surroundings service::guest_surroundings() {
    return {.send = [this](net::guest_id to, net::client_reply const& what) { if (transport_) transport_->send(to, what); },
            .close = [this](net::guest_id guest) { if (transport_) transport_->close(guest); },
            .propose = [this](net::guest_id from,
                              net::client_commands&& m) { engine_.on_commands(from, std::move(m)); },
            .ask = [this](std::vector<pending_read>&& reads) {
                engine_.add_reads(std::move(reads));
                engine_.flush();
            },
            .look = [this] { return look(); },
            .wake = [this] { wake(); },
            .now = [this] { return now(); },
            .question =
                [this](std::string what, std::string argument, guests::completion done) {
                    if (inspector_) return inspector_(std::move(what), std::move(argument), std::move(done));
                    done(failed(errc::not_supported, "this node answers no questions"));
                },
            .order =
                [this](std::string order, guests::completion done) {
                    if (operator_) return operator_(std::move(order), std::move(done));
                    done(failed(errc::not_supported, "this node takes no orders"));
                }};
}

inline net::view service::look() const {
    engine_status const s = engine_.status();
    net::view v;
    v.cluster = s.cluster;
    v.current = s.governing.number;
    v.members = s.governing.voters;
    v.leader = s.leader.value_or(node_id{});
    v.promised = s.promised;
    v.serving = !s.cluster.empty() && s.healthy && s.problem.empty();
    v.applied = s.applied;
    v.clock = calls_.clock_at(now());
    return v;
}

inline std::vector<paxos::entry> service::log_tail(std::size_t count) const {
    std::vector<paxos::entry> tail;
    auto const* core = engine_.core();
    if (core == nullptr) return tail;
    auto const& entries = core->entries();
    std::uint64_t const held = entries.chosen().since(entries.trimmed());
    for (slot s = entries.trimmed().plus(held - std::min<std::uint64_t>(held, count)).next(); s <= entries.chosen();
         s = s.next())
        tail.push_back(entries.entry_at(s));
    return tail;
}

inline void service::run_where_applied(unique_function<void()> work) {
    apply_batch batch;
    batch.finished.push_back({[work = std::move(work)](call_outcome&&) mutable { work(); }, {}});
    apply_.post(std::move(batch));
}

} // namespace openreplica::inline v0::runtime
