// What a handle needs of the node (or client) that it was made on.
#pragma once

#include <openreplica/object/object_space.hpp>
#include <openreplica/runtime/gateway.hpp>

#include <memory>

namespace openreplica::inline v0::object {

/// The way to the group, and this process's replica of its objects. `openreplica_host(x)` gives it for a node or client.
struct host {
    std::shared_ptr<runtime::gateway> gateway{};
    std::shared_ptr<object_space> objects{}; ///< null on a client
};

} // namespace openreplica::inline v0::object
