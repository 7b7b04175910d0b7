# libedgepose, the C ABI as a shared library, and its CMake package: find_package(edgepose), then link
# edgepose::edgepose. Install it with: cmake --install BUILD --component sdk --prefix FOLDER
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The one place of the number is the header.
file(STRINGS include/edgepose.h abi REGEX "define EDGEPOSE_ABI_VERSION [0-9]+")
string(REGEX MATCH "[0-9]+$" abi "${abi}")

add_library(edgepose SHARED bindings/c/edgepose.cpp)
target_include_directories(edgepose INTERFACE "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>"
                                              "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_link_libraries(edgepose PRIVATE "$<BUILD_INTERFACE:edgepose_core>" "$<BUILD_INTERFACE:edgepose_warnings>")
# Nothing but the ABI is visible: the program may have an ncnn of its own. OpenMP's threads outlive the pipelines
# that they worked for, so the code under them has to stay after a dlclose.
set(exports "${CMAKE_CURRENT_SOURCE_DIR}/bindings/c/exports.map")
target_link_options(edgepose PRIVATE LINKER:--exclude-libs,ALL LINKER:--version-script=${exports}
                                     LINKER:-z,nodelete)
set_target_properties(
  edgepose
  PROPERTIES VERSION ${abi}.${PROJECT_VERSION}
             SOVERSION ${abi}
             CXX_VISIBILITY_PRESET hidden
             VISIBILITY_INLINES_HIDDEN ON
             LINK_DEPENDS "${exports}")
if(EDGEPOSE_WITH_OPENVINO)  # found where it was at build time
  set_target_properties(edgepose PROPERTIES INSTALL_RPATH "$<TARGET_FILE_DIR:openvino::runtime>")
endif()

install(TARGETS edgepose EXPORT edgepose COMPONENT sdk)
install(FILES include/edgepose.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT sdk)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/edgepose")
install(EXPORT edgepose NAMESPACE edgepose:: FILE edgepose-targets.cmake DESTINATION "${package_dir}" COMPONENT sdk)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/edgepose-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES cmake/package.cmake DESTINATION "${package_dir}" COMPONENT sdk RENAME edgepose-config.cmake)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/edgepose-config-version.cmake" DESTINATION "${package_dir}" COMPONENT sdk)
