#ifndef EDGEPOSE_SRC_INPUT_GEOMETRY_H_
#define EDGEPOSE_SRC_INPUT_GEOMETRY_H_

#include <cstdint>

#include "edgepose/preprocess.h"
#include "edgepose/spec.h"
#include "edgepose/status.h"
#include "edgepose/types.h"

namespace edgepose {

// Where an output pixel lies between two source pixels, along one axis. Warping: the second pixel
// follows the first, either may lie outside, weights in 1/32. Resizing: both lie inside, weights in
// 1/2048.
struct Tap {
  int first;
  int second;
  int first_weight;
  int second_weight;
};

// cv2.warpAffine of OpenCV 4, INTER_LINEAR: source = output * scale + offset, rounded to 1/1024 and
// then to 1/32 pixel.
struct WarpMap {
  double scale_x, scale_y, offset_x, offset_y;
  // What the solution of the matrix leaves where a 0 belongs, some 1e-17: it decides ties of
  // rounding.
  double shear;
  InputTransform transform;

  // The start of row y in 1/1024 source pixels; the columns of rows with one start are the same.
  int64_t row_start(int y) const;
  Tap column(int x, int64_t row_start) const;
  Tap row(int y) const;
};

// The crop of a padded, widened box (mmpose's GetBBoxCenterScale and TopdownAffine) or of the
// centred whole picture (mmpose's BottomupResize, mode "fit").
Result<WarpMap> box_warp(const BoxXyxy& box, const Preprocess& spec);
Result<WarpMap> centred_warp(int width_px, int height_px, const Preprocess& spec);

// One axis of cv2.resize (INTER_LINEAR, 8 bits).
struct ResizeAxis {
  int source_px;
  int output_px;
  double scale;

  ResizeAxis(int source_side_px, int output_side_px);
  Tap column(int x) const;
  Tap row(int y) const;
};

// The resized picture at the top left of the input (mmdet's Resize with keep_ratio, and Pad).
struct LetterboxMap {
  ResizeAxis x, y;
  InputTransform transform;

  int64_t row_start(int) const { return 0; }
  Tap column(int column_x, int64_t) const { return x.column(column_x); }
  Tap row(int row_y) const { return y.row(row_y); }
};
LetterboxMap letterbox(int width_px, int height_px, const Preprocess& spec);

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_INPUT_GEOMETRY_H_
