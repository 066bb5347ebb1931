// Reads of the replicated state by those who do not have its types. Included by object_space.hpp.
#pragma once

#include <openreplica/object/object_space.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

namespace openreplica::inline v0::object {

/// A reader may see what a slot did before that slot counts as applied. So the outcome names the later of the two: a
/// client that is shown an effect must never be shown a state without it.
inline call_outcome object_space::query(runtime::state_query const& q) const {
    std::shared_ptr<instance_base const> object;
    slot at;
    {
        std::shared_lock const lock(directory_mutex_);
        at = std::max(directory_changed_at_, read_context().slot());
        if (auto const found = objects_.find(object_id_of(q.name)); found != objects_.end()) object = found->second;
    }
    if (object && object->name() != q.name) object = nullptr; // Another name with the same hash.
    call_outcome outcome;
    if (q.exists)
        outcome.result = object ? "true" : "false";
    else if (!object)
        outcome = failed(errc::no_such_object, "\"" + printable(q.name, 64) + "\" is not in the replica's state; it was "
                                               "destroyed, or its creation is not applied there yet");
    else if (!q.type.empty() && object->type().name != q.type)
        outcome = failed(errc::type_mismatch, "\"" + printable(q.name, 64) + "\" exists with type " + object->type().name +
                                                  ", not " + printable(q.type, 64));
    else
        outcome = query_method(*object, q.body);
    outcome.at = std::max(outcome.at, at);
    return outcome;
}

/// `at` of the outcome is the object's last change.
inline call_outcome object_space::query_method(instance_base const& object, std::string_view body) const {
    try {
        json_reader reader(body);
        std::string scratch;
        json_scope scope = reader.begin_array();
        reader.expect_element(scope, "a call begins with the method's name");
        std::string_view const name = reader.read_string_view(scratch);
        method_entry const* const method = object.type().find(name);
        if (method == nullptr)
            return failed(errc::no_such_method,
                          "type \"" + object.type().name + "\" has no method \"" + printable(name, 64) + "\"");
        if (!method->is_read)
            return failed(errc::bad_arguments, "\"" + printable(name, 64) + "\" changes the object: it goes through the log, "
                                               "and is no read");
        context ctx = read_context();
        std::shared_lock const lock(object.mutex());
        // A method that is a read takes the object as it is: const.
        call_outcome outcome = method->invoke(const_cast<instance_base&>(object), ctx, {reader, scope});
        outcome.at = object.changed_at();
        return outcome;
    } catch (json_error const& e) {
        return failed(errc::bad_arguments, e.sentence());
    } catch (std::bad_alloc const&) {
        return failed(errc::overloaded, "out of memory while reading the object; try again later");
    }
}

inline std::vector<std::shared_ptr<instance_base const>> object_space::list() const {
    std::vector<std::shared_ptr<instance_base const>> all;
    {
        std::shared_lock const lock(directory_mutex_);
        for (auto const& [id, object] : objects_) all.push_back(object);
    }
    std::ranges::sort(all, {}, [](auto const& o) -> std::string const& { return o->name(); });
    return all;
}

} // namespace openreplica::inline v0::object
