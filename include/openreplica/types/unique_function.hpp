// A callable that is called once and need not be copyable: what a completion is.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0 {

template <class Signature>
class unique_function;

/// Owns a move-only callable. Calling an empty one is a defect of the caller.
template <class R, class... A>
class unique_function<R(A...)> {
    struct base {
        virtual ~base() = default;
        virtual R call(A... a) = 0;
    };
    template <class F>
    struct holder final : base {
        F f;
        template <class G>
        explicit holder(G&& g) : f(std::forward<G>(g)) {}
        R call(A... a) override { return f(std::forward<A>(a)...); }
    };
    std::unique_ptr<base> target_;

public:
    unique_function() = default;
    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, unique_function> && std::is_invocable_r_v<R, F&, A...>)
    unique_function(F&& f) // NOLINT(google-explicit-constructor): a lambda is a completion
        : target_(std::make_unique<holder<std::decay_t<F>>>(std::forward<F>(f))) {}

    explicit operator bool() const { return target_ != nullptr; }
    R operator()(A... a) { return target_->call(std::forward<A>(a)...); }
};

} // namespace openreplica::inline v0
