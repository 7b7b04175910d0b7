# Linked by our own targets only: third-party code is not ours to warn about.
add_library(edgepose_warnings INTERFACE)
target_compile_options(
  edgepose_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor
                              -Wcast-align -Wunused -Woverloaded-virtual>)
option(EDGEPOSE_WERROR "Make warnings errors" OFF)
if(EDGEPOSE_WERROR)
  target_compile_options(edgepose_warnings INTERFACE -Werror)
endif()
