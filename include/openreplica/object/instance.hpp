// A live replicated object and the lock that separates updates from reads.
#pragma once

#include <openreplica/types/ids.hpp>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <type_traits>
#include <utility>

namespace openreplica::inline v0::object {

struct type_entry;

/// An object of a type that only its `type_entry` knows.
///
/// @par Thread safety
/// The thread that applies holds `mutex()` exclusively while a method changes the object; readers hold it shared.
class instance_base {
    type_entry const* type_;
    std::string name_;
    slot changed_at_;
    mutable std::shared_mutex mutex_;

public:
    explicit instance_base(type_entry const& type) : type_(&type) {}
    virtual ~instance_base() = default;
    instance_base(instance_base const&) = delete;
    instance_base& operator=(instance_base const&) = delete;

    [[nodiscard]] type_entry const& type() const { return *type_; }
    [[nodiscard]] std::string const& name() const { return name_; }
    [[nodiscard]] std::shared_mutex& mutex() const { return mutex_; }
    /// The last slot that may have changed the object; under the lock.
    [[nodiscard]] slot changed_at() const { return changed_at_; }
    void set_changed_at(slot at) { changed_at_ = at; }
    /// Called once, before the object can be found.
    void set_name(std::string name) { name_ = std::move(name); }
};

/// Holds a `T`.
template <class T>
class instance final : public instance_base {
    T value_;

public:
    template <class... A>
    explicit instance(type_entry const& type, A&&... a) : instance_base(type), value_(std::forward<A>(a)...) {}
    struct from_value {};
    instance(type_entry const& type, from_value, T&& value) : instance_base(type), value_(std::move(value)) {}

    /// Only for the thread that applies, under the exclusive lock.
    [[nodiscard]] T& value() { return value_; }
    /// Under the lock.
    [[nodiscard]] T const& value() const { return value_; }

    /// Runs `f(T const&)` under the shared lock, on the caller's thread.
    template <class F>
    decltype(auto) read(F&& f) const {
        std::shared_lock const lock(mutex());
        return std::forward<F>(f)(std::as_const(value_));
    }
};

} // namespace openreplica::inline v0::object
