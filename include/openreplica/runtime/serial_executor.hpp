// A strand that another thread may step into.
#pragma once

#include <openreplica/config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/prefer.hpp>
#include <asio/query.hpp>
#include <asio/require.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0::runtime {

/// Runs what is given to it one after the other, on the threads of another executor.
///
/// Unlike an `asio::strand` it can be entered by a thread that is none of that executor's, when nobody is inside: a
/// caller that is going to wait anyway then does the work itself instead of waking a thread that does it.
///
/// @par Order
/// Work that is posted from one thread runs in that order where the other executor keeps it (an `io_context` run by one
/// thread does); otherwise only one at a time is promised.
///
/// @par Thread safety
/// Distinct and shared objects: safe.
class serial_executor {
    struct place {
        std::mutex mutex;
        std::atomic<std::thread::id> inside;

        template <class F>
        void run(F& f) {
            inside.store(std::this_thread::get_id(), std::memory_order_relaxed);
            f();
            inside.store(std::thread::id(), std::memory_order_relaxed);
        }
        [[nodiscard]] bool is_mine() const {
            return inside.load(std::memory_order_relaxed) == std::this_thread::get_id();
        }
    };

    asio::any_io_executor inner_;
    std::shared_ptr<place> place_;

    serial_executor(asio::any_io_executor inner, std::shared_ptr<place> p)
        : inner_(std::move(inner)), place_(std::move(p)) {}

public:
    /// A new one. (No converting constructor: the conversion to `any_io_executor` would ask for it, and so for itself.)
    [[nodiscard]] static serial_executor over(asio::any_io_executor inner) {
        return {std::move(inner), std::make_shared<place>()};
    }

    /// True on the thread that is inside.
    [[nodiscard]] bool is_mine() const { return place_->is_mine(); }

    /// Runs `f` here and now if nobody is inside; says whether it did.
    template <class F>
    [[nodiscard]] bool try_run(F f) const {
        if (place_->is_mine()) return false;
        std::unique_lock const lock(place_->mutex, std::try_to_lock);
        if (!lock) return false;
        place_->run(f);
        return true;
    }

    // What Asio asks of an executor.

    bool operator==(serial_executor const& other) const noexcept {
        return place_ == other.place_ && inner_ == other.inner_;
    }
    template <class F>
    void execute(F&& f) const {
        inner_.execute([p = place_, f = std::decay_t<F>(std::forward<F>(f))]() mutable {
            if (p->is_mine()) return f(); // Dispatched from inside: it need not wait for itself.
            std::lock_guard const lock(p->mutex);
            p->run(f);
        });
    }
    template <class Property>
        requires asio::can_query_v<asio::any_io_executor const&, Property>
    [[nodiscard]] decltype(auto) query(Property const& p) const {
        return asio::query(inner_, p);
    }
    template <class Property>
        requires asio::can_require_v<asio::any_io_executor const&, Property>
    [[nodiscard]] serial_executor require(Property const& p) const {
        return {asio::require(inner_, p), place_};
    }
    template <class Property>
        requires asio::can_prefer_v<asio::any_io_executor const&, Property>
    [[nodiscard]] serial_executor prefer(Property const& p) const {
        return {asio::prefer(inner_, p), place_};
    }
};

} // namespace openreplica::inline v0::runtime
