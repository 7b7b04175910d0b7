#ifndef EDGEPOSE_PREPROCESS_H_
#define EDGEPOSE_PREPROCESS_H_

#include "edgepose/image.h"
#include "edgepose/spec.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose {

// Maps network-input pixels to source pixels: x_src = x_in * scale_x + offset_x.
struct InputTransform {
  float scale_x = 1, scale_y = 1, offset_x = 0, offset_y = 0;
};

// Fills output (3 x input_height_px x input_width_px floats, planar) with the network input for the
// whole picture (letterbox kinds) or for one box (affine), resized, padded, colour-converted and
// normalised in one pass. Equals OpenCV 4 followed by (value - mean) / std. Errors:
// kInvalidArgument for a bad picture, and for a box that is not finite, has no area, or for resize
// kAffine without a box.
Status preprocess(const ImageView& image, const BoxXyxy* box, const Preprocess& spec, float* output,
                  InputTransform* transform);

}  // namespace edgepose

#endif  // EDGEPOSE_PREPROCESS_H_
