// What lies around a node or a client: where it runs.
#pragma once

#include <openreplica/config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/system_executor.hpp>
#include <asio/thread_pool.hpp>

#include <functional>
#include <memory>
#include <thread>

namespace openreplica::inline v0 {

namespace runtime {

/// Where handlers run and which threads must not block.
struct surroundings {
    asio::any_io_executor protocol; ///< runs the strand
    asio::any_io_executor handlers; ///< runs handlers that have no executor of their own
    asio::any_io_executor afterwards; ///< the same once the node has stopped, when nobody may run `handlers` any more
    std::function<bool()> needed;   ///< true on a thread that the executors need to make progress
    std::shared_ptr<void> contexts; ///< what the executors belong to, if nobody else keeps it: handles outlive nodes
};

} // namespace runtime

namespace detail {

/// True when this thread is running handlers of the context behind `e`: to block on it could wait for ever.
[[nodiscard]] inline bool runs_in_this_thread(asio::any_io_executor const& e) {
    if (auto const* io = e.target<asio::io_context::executor_type>()) return io->running_in_this_thread();
    if (auto const* pool = e.target<asio::thread_pool::executor_type>()) return pool->running_in_this_thread();
    if (auto const* s = e.target<asio::strand<asio::io_context::executor_type>>())
        return s->get_inner_executor().running_in_this_thread();
    if (auto const* s = e.target<asio::strand<asio::any_io_executor>>()) return runs_in_this_thread(s->get_inner_executor());
    return false;
}

/// The two threads of a node or client that was given no executor: one for the protocol, one for handlers, so that no
/// handler ever delays a heartbeat.
class own_threads {
    struct lane {
        asio::io_context context{1};
        asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(context);
        std::thread thread{};

        /// The thread owns its lane too: when a handler ends its own node, the context outlives that handler.
        static std::shared_ptr<lane> start() {
            auto const l = std::make_shared<lane>();
            l->thread = std::thread([l] { l->context.run(); });
            return l;
        }
        void join() {
            guard.reset();
            if (thread.get_id() == std::this_thread::get_id())
                thread.detach(); // A handler ends its own node; the thread ends when the handler returns.
            else if (thread.joinable())
                thread.join();
        }
    };
    std::shared_ptr<lane> protocol_ = lane::start();
    std::shared_ptr<lane> handlers_ = lane::start();

public:
    [[nodiscard]] runtime::surroundings surroundings() const {
        return {protocol_->context.get_executor(), handlers_->context.get_executor(), asio::system_executor(),
                [p = std::weak_ptr(protocol_), h = std::weak_ptr(handlers_)] {
                    auto const here = [](std::shared_ptr<lane> const& l) {
                        return l && l->context.get_executor().running_in_this_thread();
                    };
                    return here(p.lock()) || here(h.lock());
                },
                std::make_shared<own_threads>(*this)};
    }
    /// Runs what is queued for handlers, then ends both threads.
    void finish() {
        asio::post(handlers_->context, [h = handlers_] { h->context.stop(); });
        handlers_->join();
        protocol_->join();
    }
};

} // namespace detail

} // namespace openreplica::inline v0
