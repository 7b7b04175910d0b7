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
    for (const DccKernels* kernels : {portable_dcc_kernels(), avx2_dcc_kernels()}) {
      if (kernels != nullptr) tables[count++] = kernels;
    }
  }
};

}  // namespace

const DccKernels* portable_dcc_kernels() { return &kPortable; }

Span<const DccKernels* const> usable_dcc_kernels() {
  static const KernelList list;
  return {list.tables, list.count};
}

}  // namespace edgepose
