#ifndef EDGEPOSE_SRC_PIXEL_KERNELS_SIMD_H_
#define EDGEPOSE_SRC_PIXEL_KERNELS_SIMD_H_

#include <array>

#include "pixel_kernels.h"

namespace edgepose {

// The vector tables that this processor can run, slowest first; unused places are null.
std::array<const PixelKernels*, 3> simd_pixel_kernels();

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_PIXEL_KERNELS_SIMD_H_
