# A finding ends the program: UBSan alone would print and go on.
add_library(edgepose_sanitizers INTERFACE)
if(EDGEPOSE_SANITIZE)
  target_compile_options(edgepose_sanitizers INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                       -fno-omit-frame-pointer -O1)
  target_link_options(edgepose_sanitizers INTERFACE -fsanitize=address,undefined)
endif()
