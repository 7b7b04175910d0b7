# ccache, where it is installed, makes the build of ncnn a matter of seconds. Paths in the build folder are hashed
# relative to it, so that the presets share their results.
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(EDGEPOSE_CCACHE ccache)
  mark_as_advanced(EDGEPOSE_CCACHE)
  if(EDGEPOSE_CCACHE)
    # Where its folder cannot be written, it would fail every compilation.
    file(WRITE "${CMAKE_BINARY_DIR}/ccache-probe.cpp" "")
    execute_process(
      COMMAND "${EDGEPOSE_CCACHE}" "${CMAKE_CXX_COMPILER}" -c "${CMAKE_BINARY_DIR}/ccache-probe.cpp" -o
              "${CMAKE_BINARY_DIR}/ccache-probe.o" RESULT_VARIABLE unusable OUTPUT_QUIET ERROR_QUIET)
    if(unusable)
      message(STATUS "ccache cannot write its cache: compiling without it")
    endif()
  endif()
  if(EDGEPOSE_CCACHE AND NOT unusable)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_BINARY_DIR}" CCACHE_NOHASHDIR=1
                                    "${EDGEPOSE_CCACHE}")
    set(CMAKE_C_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
  endif()
endif()
