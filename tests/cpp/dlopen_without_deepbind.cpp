// AddressSanitizer ends a program that loads a library with RTLD_DEEPBIND, as OpenVINO's TBB does.

#include <dlfcn.h>

extern "C" void* dlopen(const char* path, int flags) noexcept {
  using Dlopen = void* (*)(const char*, int);
  static const auto next = reinterpret_cast<Dlopen>(dlsym(RTLD_NEXT, "dlopen"));
  return next(path, flags & ~RTLD_DEEPBIND);
}
