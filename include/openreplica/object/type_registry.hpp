// The types that this program can replicate, by their names on the wire.
#pragma once

#include <openreplica/error.hpp>
#include <openreplica/object/type_entry.hpp>
#include <openreplica/runtime/state_machine.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace openreplica::inline v0::object {

/// Types and their constructors by name.
///
/// A program that names `replicated<T>` anywhere has `T` in `global()` before `main` begins.
///
/// @par Thread safety
/// Distinct and shared objects: safe. Entries are never removed.
class type_registry {
    mutable std::shared_mutex mutex_;
    std::map<std::string, type_entry const*, std::less<>> types_;
    std::map<std::string, std::unique_ptr<constructor_entry const>, std::less<>> constructors_;

public:
    [[nodiscard]] static type_registry& global() {
        static type_registry registry;
        return registry;
    }

    /// Adds `T` and its constructor from arguments of types `A`; adding again changes nothing.
    /// @throws error (`type_mismatch`) when another C++ type has the name: one of them must be renamed.
    template <class T, class... A>
    void add() {
        type_entry const& entry = type_entry_of<T>();
        std::unique_lock const lock(mutex_);
        auto const [at, is_new] = types_.emplace(entry.name, &entry);
        if (!is_new && (at->second->cpp_type != entry.cpp_type || at->second->fingerprint != entry.fingerprint))
            throw error(errc::type_mismatch,
                        "two C++ types of this program are called \"" + entry.name +
                            "\" on the wire; rename one, with a name in openreplica::describe<type>");
        if constexpr (std::is_default_constructible_v<T>) add_constructor<T>();
        if constexpr (sizeof...(A) > 0) add_constructor<T, A...>();
    }

    /// Null when the program does not know the type.
    [[nodiscard]] type_entry const* find_type(std::string_view name) const {
        std::shared_lock const lock(mutex_);
        auto const at = types_.find(name);
        return at == types_.end() ? nullptr : at->second;
    }
    /// `name` is `constructor_entry::name`. Null when the program does not know it.
    [[nodiscard]] constructor_entry const* find_constructor(std::string_view name) const {
        std::shared_lock const lock(mutex_);
        auto const at = constructors_.find(name);
        return at == constructors_.end() ? nullptr : at->second.get();
    }
    /// True when any type has a method of this name.
    [[nodiscard]] bool knows_method(std::string_view name) const {
        std::shared_lock const lock(mutex_);
        return std::ranges::any_of(types_, [name](auto const& t) { return t.second->find(name) != nullptr; });
    }
    /// Types and constructors with arguments, sorted by name; a constructor has its type's fingerprint.
    [[nodiscard]] std::vector<runtime::state_machine::type_print> catalogue() const {
        std::shared_lock const lock(mutex_);
        std::map<std::string, std::uint64_t> prints;
        for (auto const& [name, entry] : types_) prints.emplace(name, entry->fingerprint);
        for (auto const& [name, entry] : constructors_) prints.emplace(name, entry->type->fingerprint);
        std::vector<runtime::state_machine::type_print> out;
        for (auto const& [name, print] : prints) out.push_back({name, print});
        return out;
    }

private:
    template <class T, class... A>
    void add_constructor() {
        auto entry = std::make_unique<constructor_entry const>(make_constructor_entry<T, A...>());
        constructors_.emplace(entry->name, std::move(entry));
    }
};

/// Registers before `main`; a conflict is left for `require_registered`, which can be caught.
template <class T, class... A>
bool try_register() noexcept {
    try {
        type_registry::global().add<T, A...>();
        return true;
    } catch (...) {
        return false;
    }
}

/// Naming this variable anywhere in a program registers `T` and its constructor from `A` before `main`.
template <class T, class... A>
inline bool const registered = try_register<T, A...>();

/// What the constructor of a handle calls: makes sure that `T` is registered. @throws error (`type_mismatch`)
template <class T, class... A>
void require_registered() {
    if (!registered<T, A...>) type_registry::global().add<T, A...>();
}
template <class T, class... A>
void require_registered(type_list<A...>) {
    require_registered<T, A...>();
}

} // namespace openreplica::inline v0::object
