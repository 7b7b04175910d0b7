# ccache, where it is installed, makes the build of ncnn a matter of seconds. Paths in the build folder are hashed
# relative to it, so that the presets share their results.
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(EDGEPOSE_CCACHE ccache)
  mark_as_advanced(EDGEPOSE_CCACHE)
  if(EDGEPOSE_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_BINARY_DIR}" CCACHE_NOHASHDIR=1
                                    "${EDGEPOSE_CCACHE}")
    set(CMAKE_C_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
  endif()
endif()
