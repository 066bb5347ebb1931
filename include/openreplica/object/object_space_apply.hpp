// How the replicated state applies one command. Included by object_space.hpp.
#pragma once

#include <openreplica/object/object_space.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace openreplica::inline v0::object {

/// Sorts a command by its kind: commands about sessions here, commands of a session in `run_once`.
/// False: it cannot be applied by this program.
inline bool object_space::run(slot at, envelope const& command, runtime::applied_command& done) {
    if (command.kind == command_kind::open_session) {
        open_session(at, command, done);
        return true;
    }
    if (command.kind == command_kind::tick) {
        sessions_.expire(clock_);
        return true;
    }
    session* const s = sessions_.find(command.session);
    if (s == nullptr) {
        done.outcome = failed(errc::session_expired, "session " + std::to_string(command.session.value) +
                                                         " is not open: it was closed, or unused for longer than its "
                                                         "timeout; the call was not executed");
        return true;
    }
    s->last_activity = clock_;
    s->acknowledge(command.acked_below);
    if (command.kind == command_kind::keep_alive) return true;
    if (command.kind == command_kind::close_session) {
        (void)sessions_.close(command.session);
        return true;
    }
    if (call_outcome const* stored = s->find(command.seq)) {
        done.outcome = *stored;
        return true;
    }
    if (command.seq < s->acked_below()) {
        done.outcome = failed(errc::outcome_unknown, "call " + std::to_string(command.seq.value) +
                                                         " was acknowledged before, so its outcome is no longer kept");
        return true;
    }
    if (!s->holds(command.seq)) {
        done.stored = false;
        done.outcome =
            failed(errc::overloaded, "too many calls of the session are not acknowledged; take outcomes first");
        return true;
    }
    if (s->bytes() >= session_bytes)
        done.outcome = failed(errc::overloaded, "the session's stored results are full; take outcomes first");
    else if (!run_once(at, command, done.outcome))
        return false;
    s->store(command.seq, done.outcome);
    return true;
}

inline bool object_space::run_once(slot at, envelope const& command, call_outcome& outcome) {
    if (command.deadline.value != 0 && clock_ > command.deadline && !OPENREPLICA_MUTANT(ignore_deadline)) {
        outcome = failed(errc::not_executed, "the call's deadline had passed when the log ordered it");
        return true;
    }
    try {
        return run_object_command(at, command, outcome);
    } catch (json_error const& e) {
        outcome = failed(errc::bad_arguments, e.sentence());
        return true;
    }
}

inline bool object_space::run_object_command(slot at, envelope const& command, call_outcome& outcome) {
    switch (command.kind) {
    case command_kind::call:
        return call(at, command, outcome);
    case command_kind::create:
    case command_kind::reset:
        return create(at, command, outcome);
    default:
        destroy(at, command, outcome);
        return true;
    }
}

inline bool object_space::call(slot at, envelope const& command, call_outcome& outcome) {
    auto const found = objects_.find(command.object);
    if (found == objects_.end()) {
        outcome = failed(errc::no_such_object, "the object does not exist; it was destroyed, or never created");
        return true;
    }
    instance_base& object = *found->second;
    json_reader reader(command.body);
    std::string scratch;
    json_scope scope = reader.begin_array();
    reader.expect_element(scope, "a call begins with the method's name");
    std::string_view const name = reader.read_string_view(scratch);
    method_entry const* const method = object.type().find(name);
    if (method == nullptr) {
        // Members agree on the methods of every type that two of them know, or refuse one another: so they agree here.
        // The object may have been replaced by one of another type since the leader looked.
        outcome = failed(errc::no_such_method,
                         "type \"" + object.type().name + "\" has no method \"" + printable(name, 64) + "\"");
        return true;
    }
    context ctx(at, clock_, command.session);
    std::unique_lock const lock(object.mutex());
    object.set_changed_at(at);
    outcome = method->invoke(object, ctx, {reader, scope});
    return true;
}

/// `create` and `reset`: they differ in what happens to an object that is there.
inline bool object_space::create(slot at, envelope const& command, call_outcome& outcome) {
    json_reader reader(command.body);
    std::string scratch;
    json_scope scope = reader.begin_array();
    reader.expect_element(scope, "the object's name is missing");
    std::string name = reader.read_string();
    reader.expect_element(scope, "the object's type is missing");
    std::string_view const constructor = reader.read_string_view(scratch);
    if (object_id_of(name) != command.object || name.empty() || name.size() > max_name_bytes)
        throw json_error("the command's object id is not that of the name \"" + printable(name, 64) + "\"");
    auto const found = objects_.find(command.object);
    if (found != objects_.end()) {
        instance_base const& object = *found->second;
        if (object.name() != name) {
            outcome =
                failed(errc::bad_arguments, "the name \"" + name + "\" has the same hash as the existing object \"" +
                                                object.name() + "\"; choose another name");
            return true;
        }
        // A constructor is named `type(argument types)`.
        std::string_view const type = constructor.substr(0, constructor.find('('));
        if (object.type().name != type) {
            outcome = failed(errc::type_mismatch, "\"" + name + "\" exists with type " + object.type().name + ", not " +
                                                      printable(type, 64));
            return true;
        }
        if (command.kind == command_kind::create) {
            outcome.result = "false";
            return true;
        }
    }
    return construct(at, command, std::move(name), constructor, {reader, scope}, outcome);
}

inline bool object_space::construct(slot at, envelope const& command, std::string name,
                                    std::string_view constructor, argument_list args, call_outcome& outcome) {
    constructor_entry const* const entry = registry_.find_constructor(constructor);
    if (entry == nullptr) return needs_upgrade("type \"" + printable(constructor, 128) + "\"");
    note_use(entry->name);
    bool decoded = false;
    std::shared_ptr<instance_base> object;
    try {
        object = entry->construct(*entry->type, args, decoded);
    } catch (...) {
        outcome = outcome_of_exception(decoded ? call_phase::method : call_phase::arguments, entry->name, slot{});
        return true;
    }
    object->set_name(std::move(name));
    put(at, command.object, std::move(object));
    outcome.result = "true";
    return true;
}

inline void object_space::put(slot at, object_id id, std::shared_ptr<instance_base> object) {
    object->set_changed_at(at);
    {
        std::unique_lock const lock(directory_mutex_);
        directory_changed_at_ = at;
        objects_[id].swap(object);
    }
    // The object that was replaced ends here, outside the lock: its destructor is user code.
}

/// Also when the constructor throws: whoever applies this entry must know it.
inline void object_space::note_use(std::string const& constructor) {
    if (used_types_.contains(constructor)) return; // Nobody else changes it, so this needs no lock.
    std::unique_lock const lock(directory_mutex_);
    used_types_.insert(constructor);
}

inline void object_space::destroy(slot at, envelope const& command, call_outcome& outcome) {
    std::shared_ptr<instance_base> object;
    std::unique_lock const lock(directory_mutex_);
    if (auto const found = objects_.find(command.object); found != objects_.end()) {
        directory_changed_at_ = at;
        object = std::move(found->second);
        objects_.erase(found);
        outcome.result = "true";
    } else {
        outcome.result = "false";
    }
}

/// The body is `[]` or `[timeout in microseconds]`.
inline void object_space::open_session(slot at, envelope const& command, runtime::applied_command& done) {
    done.session = session_id{at.value};
    done.opener = command.object.value;
    try {
        json_reader reader(command.body);
        log_time timeout = default_session_timeout;
        auto scope = reader.begin_array();
        if (reader.next_element(scope)) {
            timeout =
                std::clamp(log_time{reader.read_integer<std::uint64_t>()}, min_session_timeout, max_session_timeout);
            reader.expect_end_of_array(scope, "opening a session takes one number");
        }
        reader.expect_end();
        if (!sessions_.open(at, clock_, timeout))
            done.outcome = failed(errc::overloaded, "the group has " + std::to_string(max_sessions) +
                                                        " open sessions; close some, or wait until some expire");
        else
            done.outcome.at = at;
    } catch (json_error const& e) {
        done.outcome = failed(errc::bad_arguments, e.sentence());
    }
}

/// The text of a failure stays out: it may differ between versions of a library that throws it.
inline void object_space::extend_digest(slot at, log_time stamp, envelope const& command, call_outcome const& outcome) {
    std::uint64_t h = mix64(digest_ ^ at.value);
    for (std::uint64_t const v : {stamp.value, static_cast<std::uint64_t>(command.kind), command.object.value,
                                  command.session.value, command.seq.value, command.acked_below.value,
                                  command.deadline.value, static_cast<std::uint64_t>(outcome.code), outcome.at.value})
        h = mix64((h + 0x9E3779B97F4A7C15u) ^ v);
    digest_ = hash64(outcome.result, hash64(command.body, h));
}

inline bool object_space::needs_upgrade(std::string what) {
    stop_reason_ = failed(errc::needs_upgrade,
                          "this program does not know " + what + ", which the log uses; run a version that names it");
    return false;
}

} // namespace openreplica::inline v0::object
