#ifndef EDGEPOSE_BOXES_H_
#define EDGEPOSE_BOXES_H_

#include <utility>
#include <vector>

#include "edgepose/preprocess.h"
#include "edgepose/span.h"
#include "edgepose/spec.h"
#include "edgepose/status.h"
#include "edgepose/tensor.h"
#include "edgepose/types.h"

namespace edgepose {

// A smaller box cannot be cropped and is not a person: clipping to the picture can leave a sliver.
constexpr float kMinBoxSide_px = 1.0F;

// Intersection over union, areas without the + 1 pixel; 0 where the boxes do not overlap.
float iou(const BoxXyxy& a, const BoxXyxy& b);

// Greedy class-wise non-maximum suppression: takes boxes by falling score (equal scores: by index),
// skips those whose IoU with a kept one of their label exceeds the threshold, and those that are
// not finite, and stops at max_detections. *kept receives the indices; its memory is reused.
void nms_indices(Span<const Detection> detections, float iou_threshold, int max_detections,
                 std::vector<int>* kept);

// Memory of decode_boxes, reused between calls so that a steady state allocates nothing.
struct BoxScratch {
  std::vector<std::pair<float, int>> ranked;
  std::vector<Detection> candidates;
  std::vector<int> kept;
};

// Decodes the RTMDet maps of one picture (item `batch_index` of the tensors; the order is that of
// BoxHead) into detections in source pixels, best first, clipped to the picture. Cells with a value
// that is not finite are skipped. Errors: kInvalidArgument for maps that do not fit the head or the
// input.
Status decode_boxes(Span<const Tensor> outputs, int batch_index, const BoxHead& head,
                    const Preprocess& preprocess, const InputTransform& transform,
                    int image_width_px, int image_height_px, BoxScratch* scratch,
                    std::vector<Detection>* detections);

}  // namespace edgepose

#endif  // EDGEPOSE_BOXES_H_
