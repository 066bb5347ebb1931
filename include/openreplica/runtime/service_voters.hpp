// The service's members that change the group's voters and its leader. Included by service.hpp.
#pragma once

#include <openreplica/runtime/service.hpp>

#include <asio/post.hpp>

#include <future>
#include <utility>

namespace openreplica::inline v0::runtime {

inline call_ticket service::wish(engine::change_wish what, std::chrono::nanoseconds timeout, completion done) {
    call_ticket const ticket{next_ticket_.fetch_add(1, std::memory_order_relaxed)};
    auto begin = [self = shared_from_this(), ticket, what = std::move(what), deadline = deadline_for(timeout),
                  done = std::move(done)]() mutable {
        if (self->shut_down_) return done(failed(errc::stopped, "the node was stopped"));
        self->engine_.wish(ticket, std::move(what), deadline, std::move(done));
        self->engine_.flush();
    };
    if (stopped_)
        begin();
    else
        asio::post(strand_, std::move(begin));
    return ticket;
}

inline void service::hand_over() {
    if (stopped_ || would_deadlock() || !status().leading) return;
    std::promise<bool> asked;
    asio::post(strand_, [&] {
        bool const somebody = !shut_down_ && engine_.step_aside();
        if (somebody) engine_.flush();
        asked.set_value(somebody);
    });
    if (!asked.get_future().get()) return;
    std::unique_lock lock(status_mutex_);
    ready_changed_.wait_for(lock, options_.election_timeout, [this] { return !status_.leading && status_.leader; });
}

} // namespace openreplica::inline v0::runtime
