// OpenReplica: any C++ object, replicated. Include this one header.
#pragma once

#include <openreplica/client.hpp>
#include <openreplica/config.hpp>
#include <openreplica/error.hpp>
#include <openreplica/force_new_cluster.hpp>
#include <openreplica/node.hpp>
#include <openreplica/object/macros.hpp>
#include <openreplica/options.hpp>
#include <openreplica/replicated.hpp>
#include <openreplica/status.hpp>
#include <openreplica/types/placement.hpp>
#include <openreplica/version.hpp>
