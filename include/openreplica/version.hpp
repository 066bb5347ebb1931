// The one place where the version is written: the build files read it from here.
#pragma once

#define OPENREPLICA_VERSION_MAJOR 0
#define OPENREPLICA_VERSION_MINOR 1
#define OPENREPLICA_VERSION_PATCH 0
