// Programs that know different types, in one process or in several.
#pragma once

#include <openreplica/openreplica.hpp>

#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

namespace typed_program {

using namespace std::chrono_literals;

template <class... T>
constexpr std::type_identity<void (*)(T...)> knows{};

/// A whole node with a catalogue of its own: what `openreplica::node` is, for programs that differ. The types of a process
/// are one list otherwise.
class program {
    openreplica::detail::own_threads threads_;
    openreplica::object::type_registry registry_;
    std::shared_ptr<openreplica::runtime::service> service_;
    mutable std::mutex mutex_;
    std::string said_;
    std::map<std::string, std::shared_ptr<openreplica::runtime::object_birth>> births_;

public:
    template <class... T>
    program(std::type_identity<void (*)(T...)>, openreplica::node_options o) {
        (registry_.add<T>(), ...);
        o.logger = [this](openreplica::log_level, std::string_view line) {
            std::lock_guard const lock(mutex_);
            said_ += line;
        };
        service_ = std::make_shared<openreplica::runtime::service>(
            threads_.surroundings(), std::move(o), std::make_shared<openreplica::object::object_space>(registry_));
        service_->start();
    }
    program(program const&) = delete;
    program& operator=(program const&) = delete;
    ~program() {
        std::promise<void> closed;
        service_->stop([&] { closed.set_value(); });
        closed.get_future().wait();
        service_->join();
        threads_.finish();
    }

    bool wait_ready(std::chrono::nanoseconds timeout = 20s) { return service_->wait_ready(timeout); }
    [[nodiscard]] bool has_said(std::string const& words) const {
        std::lock_guard const lock(mutex_);
        return said_.find(words) != std::string::npos;
    }
    [[nodiscard]] openreplica::runtime::engine_status status() const { return service_->status(); }
    [[nodiscard]] std::string address() const { return to_string(service_->endpoint()); }
    /// One call of a method on the object that is named after its type.
    openreplica::call_outcome call(std::string const& type, std::string const& body) {
        std::promise<openreplica::call_outcome> outcome;
        service_->submit({openreplica::command_kind::call, birth_of(type), body, 10s},
                         [&](openreplica::call_outcome&& o) { outcome.set_value(std::move(o)); });
        return outcome.get_future().get();
    }

    openreplica::call_outcome add_voter(std::string const& who) {
        std::promise<openreplica::call_outcome> outcome;
        openreplica::paxos::voter_change change;
        change.add = {who};
        service_->wish(std::move(change), 10s, [&](openreplica::call_outcome&& o) { outcome.set_value(std::move(o)); });
        return outcome.get_future().get();
    }

private:
    std::shared_ptr<openreplica::runtime::object_birth> birth_of(std::string const& type) {
        std::lock_guard const lock(mutex_);
        auto& birth = births_[type];
        if (!birth) {
            birth = std::make_shared<openreplica::runtime::object_birth>();
            birth->id = openreplica::object::object_id_of(type);
            birth->body = "[\"" + type + "\",\"" + type + "\"]";
        }
        return birth;
    }
};

} // namespace typed_program
