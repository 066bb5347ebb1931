// What is refused before it is proposed. Included by object_space.hpp.
#pragma once

#include <openreplica/object/object_space.hpp>

#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace openreplica::inline v0::object {

inline call_outcome object_space::check(envelope const& command) const {
    if (command.body.size() > limits_.command_bytes)
        return failed(errc::too_large, "the command has " + std::to_string(command.body.size()) +
                                           " bytes, the node takes " + std::to_string(limits_.command_bytes) +
                                           "; send it in parts");
    try {
        return check_body(command);
    } catch (json_error const& e) {
        return failed(errc::bad_arguments, e.sentence());
    } catch (std::bad_alloc const&) {
        return failed(errc::overloaded, "out of memory while checking the command; try again later");
    }
}

inline std::string object_space::needed_type(envelope const& command) const {
    if (command.kind != command_kind::create && command.kind != command_kind::reset) return {};
    try {
        json_reader reader(command.body);
        json_scope scope = reader.begin_array();
        reader.expect_element(scope, "the object's name is missing");
        (void)reader.read_string();
        reader.expect_element(scope, "the object's type is missing");
        return reader.read_string();
    } catch (json_error const&) {
        return {}; // `check` says what is wrong with it.
    }
}

inline call_outcome object_space::check_body(envelope const& command) const {
    switch (command.kind) {
    case command_kind::call:
        return check_call(command);
    case command_kind::create:
    case command_kind::reset:
        return check_birth(command);
    default:
        break;
    }
    if (command.kind != command_kind::open_session && command.body != "[]")
        throw json_error("the body of this kind of command is []");
    json_reader reader(command.body);
    auto scope = reader.begin_array();
    if (reader.next_element(scope)) {
        (void)reader.read_integer<std::uint64_t>();
        reader.expect_end_of_array(scope, "opening a session takes one number");
    }
    reader.expect_end();
    return {};
}

inline call_outcome object_space::check_call(envelope const& command) const {
    json_reader reader(command.body);
    std::string scratch;
    json_scope scope = reader.begin_array();
    reader.expect_element(scope, "a call begins with the method's name");
    std::string_view const name = reader.read_string_view(scratch);
    auto const object = find(command.object);
    // An object whose creation may be on its way: a method that no type has is refused all the same.
    if (!object && !registry_.knows_method(name))
        return failed(errc::no_such_method, "no type of this program has a method \"" + printable(name, 64) + "\"");
    if (object && object->type().find(name) == nullptr)
        return failed(errc::no_such_method,
                      "type \"" + object->type().name + "\" has no method \"" + printable(name, 64) + "\"");
    // Whether the arguments fit is decided when the call is applied, by every replica alike: user code reads them.
    while (reader.next_element(scope)) reader.skip_value();
    reader.expect_end();
    return {};
}

inline call_outcome object_space::check_birth(envelope const& command) const {
    json_reader reader(command.body);
    std::string scratch;
    json_scope scope = reader.begin_array();
    reader.expect_element(scope, "the object's name is missing");
    std::string const name = reader.read_string();
    reader.expect_element(scope, "the object's type is missing");
    constructor_entry const* const entry = registry_.find_constructor(reader.read_string_view(scratch));
    if (name.empty() || name.size() > max_name_bytes || object_id_of(name) != command.object)
        throw json_error("the command's object id is not that of the name \"" + printable(name, 64) + "\"");
    if (entry == nullptr)
        return failed(errc::needs_upgrade, "this program does not know the type or constructor of \"" +
                                               printable(name, 64) + "\"; run a version that names it");
    while (reader.next_element(scope)) reader.skip_value();
    reader.expect_end();
    return {};
}

} // namespace openreplica::inline v0::object
