#ifndef EDGEPOSE_SRC_PREPROCESS_WITH_H_
#define EDGEPOSE_SRC_PREPROCESS_WITH_H_

#include "edgepose/preprocess.h"
#include "pixel_kernels.h"

namespace edgepose {

// preprocess() with a given table of inner loops; tests compare the tables.
Status preprocess_with(const PixelKernels& kernels, const ImageView& image, const BoxXyxy* box,
                       const Preprocess& spec, float* output, InputTransform* transform);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_PREPROCESS_WITH_H_
