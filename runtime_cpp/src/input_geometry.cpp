#include "input_geometry.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

namespace edgepose {
namespace {

constexpr int kCoordinateScale = 1024;
constexpr int kWarpWeights = 32;
constexpr int kResizeWeights = 2048;

struct PointF {
  float x, y;
};

// Rounds half to even, within a range that the sums below cannot leave.
int64_t round_clamped(double value) {
  constexpr double kLimit = 1e15;
  return std::llrint(std::clamp(value, -kLimit, kLimit));
}

Tap warp_tap(int64_t coordinate_1024) {
  const int64_t coordinate_32 =
      (coordinate_1024 + kCoordinateScale / kWarpWeights / 2) >> 5;  // 1024 / 32 = 1 << 5
  // One beyond a side of 32767 pixels is as far outside as any.
  const int64_t pixel = std::clamp<int64_t>(coordinate_32 >> 5, -2, 32767);
  const int fraction = static_cast<int>(coordinate_32 & (kWarpWeights - 1));
  const int first = static_cast<int>(pixel);
  return {first, first + 1, kWarpWeights - fraction, fraction};
}

using Matrix6 = std::array<std::array<double, 7>, 6>;

// Gaussian elimination with partial pivoting, in the order of operations of cv::solve, so that the
// last bits of the coefficients are the same. The right-hand side is the last column; it becomes
// the solution.
bool solve(Matrix6* system) {
  Matrix6& a = *system;
  constexpr double kSingular = 2.220446049250313e-14;
  for (size_t i = 0; i < 6; ++i) {
    size_t pivot = i;
    for (size_t j = i + 1; j < 6; ++j) {
      if (std::abs(a[j][i]) > std::abs(a[pivot][i])) pivot = j;
    }
    if (!(std::abs(a[pivot][i]) >= kSingular)) return false;
    std::swap(a[i], a[pivot]);
    const double inverse = -1 / a[i][i];
    for (size_t j = i + 1; j < 6; ++j) {
      const double factor = a[j][i] * inverse;
      for (size_t k = i + 1; k < 7; ++k) a[j][k] += factor * a[i][k];
    }
  }
  for (size_t i = 6; i-- > 0;) {
    double sum = a[i][6];
    for (size_t k = i + 1; k < 6; ++k) sum -= a[i][k] * a[k][6];
    a[i][6] = sum / a[i][i];
  }
  return true;
}

// mmpose's get_warp_matrix without rotation, then the inverse that cv2.warpAffine takes of it. Only
// the width of the scale counts.
Result<WarpMap> warp_of(PointF center, PointF scale_px, const Preprocess& spec) {
  const float half = scale_px.x * -0.5f;
  const std::array<PointF, 2> from_2 = {center, {center.x, center.y + half}};
  const float reach = from_2[0].y - from_2[1].y;
  const std::array<PointF, 3> from = {from_2[0], from_2[1], {from_2[1].x - reach, from_2[1].y}};
  const float width = static_cast<float>(spec.input_width_px);
  const float height = static_cast<float>(spec.input_height_px);
  const float top = height * 0.5f - width * 0.5f;
  const std::array<PointF, 3> to = {{{width * 0.5f, height * 0.5f}, {width * 0.5f, top}, {0, top}}};

  Matrix6 system = {};
  for (size_t i = 0; i < 3; ++i) {
    system[2 * i] = {from[i].x, from[i].y, 1, 0, 0, 0, to[i].x};
    system[2 * i + 1] = {0, 0, 0, from[i].x, from[i].y, 1, to[i].y};
  }
  const bool solved = solve(&system);
  const double m[6] = {system[0][6], system[1][6], system[2][6],
                       system[3][6], system[4][6], system[5][6]};
  const double determinant = m[0] * m[4] - m[1] * m[3];
  if (!solved || !(std::abs(determinant) > 0) || !std::isfinite(determinant)) {
    return Status(Code::kInvalidArgument,
                  "the box is too small for its place: it has no area in 32-bit floats",
                  "drop boxes that lie far outside the picture");
  }
  const double inverse = 1 / determinant;
  WarpMap map;
  const double a11 = m[4] * inverse, a22 = m[0] * inverse;
  const double a12 = m[1] * -inverse, a21 = m[3] * -inverse;
  map.scale_x = a11;
  map.scale_y = a22;
  map.shear = a12;
  map.offset_x = -a11 * m[2] - a12 * m[5];
  map.offset_y = -a21 * m[2] - a22 * m[5];
  map.transform = {scale_px.x / width, scale_px.y / height, center.x - 0.5f * scale_px.x,
                   center.y - 0.5f * scale_px.y};
  const InputTransform& t = map.transform;
  for (float edge :
       {t.offset_x, t.offset_y, t.offset_x + 2 * scale_px.x, t.offset_y + 2 * scale_px.y}) {
    if (!std::isfinite(edge)) {
      return Status(Code::kInvalidArgument, "the box is too large for 32-bit floats",
                    "drop such boxes");
    }
  }
  return map;
}

// Widens a box to the aspect ratio of the input.
PointF widen(PointF scale_px, const Preprocess& spec) {
  const float aspect =
      static_cast<float>(static_cast<double>(spec.input_width_px) / spec.input_height_px);
  if (scale_px.x > scale_px.y * aspect) return {scale_px.x, scale_px.x / aspect};
  return {scale_px.y * aspect, scale_px.y};
}

}  // namespace

int64_t WarpMap::row_start(int y) const {
  return round_clamped((shear * y + offset_x) * kCoordinateScale);
}

Tap WarpMap::column(int x, int64_t row_start) const {
  return warp_tap(row_start + round_clamped(scale_x * x * kCoordinateScale));
}

Tap WarpMap::row(int y) const {
  return warp_tap(round_clamped((scale_y * y + offset_y) * kCoordinateScale));
}

Result<WarpMap> box_warp(const BoxXyxy& box, const Preprocess& spec) {
  const PointF center = {(box.x1 + box.x2) * 0.5f, (box.y1 + box.y2) * 0.5f};
  const PointF scale = {(box.x2 - box.x1) * spec.box_padding, (box.y2 - box.y1) * spec.box_padding};
  if (!std::isfinite(center.x) || !std::isfinite(center.y) || !std::isfinite(scale.x) ||
      !std::isfinite(scale.y) || !(scale.x > 0) || !(scale.y > 0)) {
    const auto text = [](float v) { return std::to_string(v); };
    return Status(Code::kInvalidArgument,
                  "the box (" + text(box.x1) + ", " + text(box.y1) + ", " + text(box.x2) + ", " +
                      text(box.y2) + ") has no area or is not finite",
                  "boxes are x1, y1, x2, y2 in pixels with x1 < x2 and y1 < y2");
  }
  return warp_of(center, widen(scale, spec), spec);
}

Result<WarpMap> centred_warp(int width_px, int height_px, const Preprocess& spec) {
  const PointF picture = {static_cast<float>(width_px), static_cast<float>(height_px)};
  return warp_of({picture.x * 0.5f, picture.y * 0.5f}, widen(picture, spec), spec);
}

ResizeAxis::ResizeAxis(int source_side_px, int output_side_px)
    : source_px(source_side_px),
      output_px(output_side_px),
      // Twice inverted, as cv::resize does it.
      scale(1.0 / (static_cast<double>(output_side_px) / source_side_px)) {}

Tap ResizeAxis::column(int x) const {
  const float position = static_cast<float>((x + 0.5) * scale - 0.5);
  const int pixel = static_cast<int>(std::floor(position));
  if (pixel < 0) return {0, std::min(1, source_px - 1), kResizeWeights, 0};
  if (pixel >= source_px - 1) return {source_px - 1, source_px - 1, kResizeWeights, 0};
  const float fraction = position - static_cast<float>(pixel);
  return {pixel, pixel + 1, static_cast<int>(std::lrint((1.0f - fraction) * kResizeWeights)),
          static_cast<int>(std::lrint(fraction * kResizeWeights))};
}

Tap ResizeAxis::row(int y) const {
  const float position = static_cast<float>((y + 0.5) * scale - 0.5);
  const int pixel = static_cast<int>(std::floor(position));
  const float fraction = position - static_cast<float>(pixel);
  // Rows are clipped, their weights are not.
  return {std::clamp(pixel, 0, source_px - 1), std::clamp(pixel + 1, 0, source_px - 1),
          static_cast<int>(std::lrint((1.0f - fraction) * kResizeWeights)),
          static_cast<int>(std::lrint(fraction * kResizeWeights))};
}

LetterboxMap letterbox(int width_px, int height_px, const Preprocess& spec) {
  const double fit = std::min(static_cast<double>(spec.input_width_px) / width_px,
                              static_cast<double>(spec.input_height_px) / height_px);
  const auto side = [fit](int px, int limit) {
    return std::clamp(static_cast<int>(px * fit + 0.5), 1, limit);
  };
  const ResizeAxis x(width_px, side(width_px, spec.input_width_px));
  const ResizeAxis y(height_px, side(height_px, spec.input_height_px));
  return {x, y, {static_cast<float>(x.scale), static_cast<float>(y.scale), 0, 0}};
}

}  // namespace edgepose
