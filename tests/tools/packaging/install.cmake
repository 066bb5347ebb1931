# Installs the headers, the CMake package and the pkg-config file. Nothing here depends on the architecture.
#
# Components: `headers` (include/openreplica and the package files) and `single_header` (the generated file, in a folder
# of its own because both are included as <openreplica/openreplica.hpp>).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(openreplica_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/openreplica")
set(openreplica_pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")
set(openreplica_single_dir "${CMAKE_INSTALL_INCLUDEDIR}/openreplica-single")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/openreplica" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        COMPONENT headers FILES_MATCHING PATTERN "*.hpp")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/single_include/openreplica" DESTINATION "${openreplica_single_dir}"
        COMPONENT single_header FILES_MATCHING PATTERN "*.hpp")
target_include_directories(openreplica INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_include_directories(openreplica_single_header INTERFACE "$<INSTALL_INTERFACE:${openreplica_single_dir}>")
install(TARGETS openreplica openreplica_single_header EXPORT openreplica-targets)
install(EXPORT openreplica-targets NAMESPACE openreplica:: DESTINATION "${openreplica_package_dir}" COMPONENT headers)

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/openreplica-config.cmake.in"
  "${PROJECT_BINARY_DIR}/openreplica-config.cmake" INSTALL_DESTINATION "${openreplica_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/openreplica-config-version.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/openreplica-config.cmake" "${PROJECT_BINARY_DIR}/openreplica-config-version.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/openreplica-deps.cmake"
        DESTINATION "${openreplica_package_dir}" COMPONENT headers)

# The .pc file finds its prefix from its own place, so that an installed tree can be moved.
file(RELATIVE_PATH openreplica_pc_to_prefix "/p/${openreplica_pkgconfig_dir}" "/p")
string(REGEX REPLACE "/$" "" openreplica_pc_to_prefix "${openreplica_pc_to_prefix}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(openreplica_pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(openreplica_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/openreplica.pc.in" "${PROJECT_BINARY_DIR}/openreplica.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/openreplica.pc" DESTINATION "${openreplica_pkgconfig_dir}" COMPONENT headers)
