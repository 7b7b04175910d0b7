#include "dcc_kernels.h"

#if defined(__x86_64__) || defined(__i386__)

#define EDGEPOSE_DCC_LANES 8

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace edgepose {
namespace {

#include "dcc_kernels_body.h"

constexpr DccKernels kAvx2 = table("avx2");

}  // namespace
}  // namespace edgepose

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace edgepose {

const DccKernels* avx2_dcc_kernels() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kAvx2 : nullptr;
}

}  // namespace edgepose

#else

namespace edgepose {

const DccKernels* avx2_dcc_kernels() { return nullptr; }

}  // namespace edgepose

#endif
