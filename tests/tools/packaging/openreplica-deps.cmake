# What OpenReplica needs. Used by the build and, installed, by openreplica-config.cmake.
#
# Asio has no CMake package of its own and distributions disagree, so the search goes: a target that the program
# already has, a package (vcpkg, Conan), the header.
find_package(Threads REQUIRED)
if(NOT TARGET nlohmann_json::nlohmann_json)
  find_package(nlohmann_json 3.11 REQUIRED)
endif()
if(NOT TARGET openreplica::asio)
  add_library(openreplica::asio INTERFACE IMPORTED GLOBAL)
  if(NOT TARGET asio::asio)
    find_package(asio CONFIG QUIET)
  endif()
  if(TARGET asio::asio)
    set_property(TARGET openreplica::asio PROPERTY INTERFACE_LINK_LIBRARIES asio::asio)
  else()
    find_path(OPENREPLICA_ASIO_INCLUDE_DIR asio.hpp DOC "Folder that holds asio.hpp")
    if(NOT OPENREPLICA_ASIO_INCLUDE_DIR)
      message(FATAL_ERROR "OpenReplica needs standalone Asio 1.22 or newer and found no asio.hpp: install it "
                          "(libasio-dev, vcpkg asio, Conan asio) or set OPENREPLICA_ASIO_INCLUDE_DIR.")
    endif()
    mark_as_advanced(OPENREPLICA_ASIO_INCLUDE_DIR)
    set_property(TARGET openreplica::asio PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${OPENREPLICA_ASIO_INCLUDE_DIR}")
  endif()
endif()
