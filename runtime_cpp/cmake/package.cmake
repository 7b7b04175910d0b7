# What find_package(edgepose) reads. There are no dependencies to look for: what the library uses is linked into it, or
# found by its run path. There are no components either: a program that needs one needs another version.
foreach(component IN LISTS edgepose_FIND_COMPONENTS)
  if(edgepose_FIND_REQUIRED_${component})
    set(edgepose_FOUND FALSE)
    set(edgepose_NOT_FOUND_MESSAGE "edgepose ${edgepose_VERSION} has no component \"${component}\"; leave COMPONENTS out")
    return()
  endif()
endforeach()
include("${CMAKE_CURRENT_LIST_DIR}/edgepose-targets.cmake")
