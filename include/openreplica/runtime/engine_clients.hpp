// The engine's members that deal with commands of clients. Included by engine.hpp.
#pragma once

#include <openreplica/runtime/engine.hpp>
#include <openreplica/runtime/engine_work.hpp>

namespace openreplica::inline v0::runtime {

/// What a client may ask of the log. The clock is the leader's: a client's tick could end sessions too early.
[[nodiscard]] constexpr bool is_for_clients(command_kind kind) { return kind != command_kind::tick; }

inline void engine::on_commands(net::guest_id client, net::client_commands&& m) {
    instant const now = env_.now();
    if (parked_.empty() && parked_commands_.empty()) parked_since_ = now;
    bool const waits = !stopped_ && replica_ && must_wait(now) && parked_commands_.size() < options_.protocol.window_entries;
    if (waits)
        parked_commands_.emplace_back(client, std::move(m));
    else
        take_commands(client, std::move(m));
}

inline void engine::take_commands(net::guest_id client, net::client_commands&& m) {
    instant const now = env_.now();
    // Nobody counts on an answer to number 0: sessions are kept that way, also while the disks are full.
    auto const refuse = [&](call_outcome const& why) {
        if (m.number != 0) env_.refuse(client, m.number, {}, why);
    };
    if (stopped_ || !replica_) return refuse(failed(errc::not_executed, "the replica belongs to no group yet"));
    if (!replica_->is_leader()) {
        auto const to = replica_->route(now);
        if (!to) return refuse(failed(errc::not_executed, "the replica knows no leader"));
        std::uint64_t const number = m.number == 0 ? 0 : next_forward_++;
        if (number != 0) sent_for_clients_.emplace(number, sent_for_client{*to, client, m.number});
        if (sent_for_clients_.size() > 4096) sent_for_clients_.erase(sent_for_clients_.begin());
        return env_.send(std::span(&*to, 1), paxos::message(paxos::forward{number, 0, std::move(m.commands)}));
    }
    if (call_outcome const full = check_room(); !full.ok() && m.number != 0) return refuse(full);
    if (!replica_->has_room(m.commands))
        return refuse(failed(errc::overloaded, "the leader's window is full; nothing was executed, try again later"));
    std::vector<shared_bytes> good;
    for (std::uint32_t i = 0; i < m.commands.size(); ++i) {
        if (call_outcome const why = check(m.commands[i], true); why.ok())
            good.push_back(std::move(m.commands[i]));
        else if (m.number != 0)
            env_.refuse(client, m.number, {i}, why);
    }
    (void)replica_->propose(good, now);
}

/// The leader's refusal of what a client sent through here is the client's. False: it refuses something else.
inline bool engine::pass_on_refusal(node_id from, paxos::forward_refused const& m) {
    auto const it = sent_for_clients_.find(m.number);
    if (it == sent_for_clients_.end() || it->second.to != from) return false;
    auto const code = static_cast<errc>(m.reason);
    if (!is_refusal(code)) return true;
    env_.refuse(it->second.client, it->second.number, m.which, failed(code, m.text));
    if (m.which.empty()) sent_for_clients_.erase(it);
    return true;
}

} // namespace openreplica::inline v0::runtime
