#include "dcc_kernels.h"

// SSE2 and NEON registers; other processors emulate them.
#define EDGEPOSE_DCC_LANES 4

namespace edgepose {
namespace {

#include "dcc_kernels_body.h"

constexpr DccKernels kPortable = table("portable");

struct KernelList {
  const DccKernels* tables[2];
  size_t count = 0;

  KernelList() {
    tables[count++] = &kPortable;
    if (const DccKernels* avx2 = avx2_dcc_kernels()) tables[count++] = avx2;
  }
};

}  // namespace

Span<const DccKernels* const> usable_dcc_kernels() {
  static const KernelList list;
  return {list.tables, list.count};
}

}  // namespace edgepose
