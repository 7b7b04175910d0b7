#include "edgepose/preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "input_geometry.h"
#include "pixel_gather.h"
#include "preprocess_with.h"

namespace edgepose {
namespace {

// Columns are worked on in tiles, so that all buffers fit on the stack and in the first-level
// cache.
constexpr int kTilePx = PixelGather::kMaxColumns;
constexpr int kNoRow = -2;
constexpr int kBorderRow = -1;

using Quad = std::array<uint8_t, 4>;

enum class Resampling { kWarp, kResize };

Normalisation normalisation_of(const Preprocess& spec, PixelFormat format) {
  const bool picture_is_rgb =
      format == PixelFormat::kRgb || format == PixelFormat::kRgba || is_yuv(format);
  const bool swap = picture_is_rgb != spec.rgb;
  return {{swap ? 2 : 0, 1, swap ? 0 : 2}, spec.mean, spec.std_dev};
}

Quad border_of(const Preprocess& spec, const Normalisation& norm) {
  Quad border = {};
  for (size_t p = 0; p < 3; ++p)
    border[static_cast<size_t>(norm.lane[p])] = static_cast<uint8_t>(spec.pad_value[p]);
  return border;
}

// Interpolates the columns of one tile in any source row, and remembers the last two rows:
// neighbouring output rows share them. kGathers: the rows cannot be read in place.
template <bool kGathers>
class ColumnTile {
 public:
  ColumnTile(const PixelKernels& kernels, const ImageView& image, Quad border,
             Resampling resampling)
      : kernels_(kernels),
        image_(image),
        border_(border),
        resampling_(resampling),
        channels_(kGathers ? 4 : channels_of(image.format)),
        width_px_(upright_width_px(image)),
        height_px_(upright_height_px(image)),
        gather_(kernels, image) {}

  // tap_of(i) is the horizontal tap of the tile's column i; taps rise with i.
  template <typename TapOf>
  void prepare(int count, const TapOf& tap_of) {
    count_ = count;
    const int row_bytes = width_px_ * channels_;
    inside_begin_ = fast_begin_ = fast_end_ = inside_end_ = 0;
    for (int i = 0; i < count; ++i) {
      const Tap tap = tap_of(i);
      offsets_[i] = kGathers ? 8 * i : tap.first * channels_;
      weights_[i] = resampling_ == Resampling::kWarp
                        ? warp_column_weight(tap.second_weight)
                        : resize_column_weight(tap.first_weight, tap.second_weight);
      if (tap.first < -1) inside_begin_ = i + 1;
      if (tap.first < 0) fast_begin_ = i + 1;
      // The kernels read 8 bytes, which must lie within the row.
      if (tap.first < 0 || tap.first * channels_ + 8 <= row_bytes) fast_end_ = i + 1;
      if (tap.first < width_px_) inside_end_ = i + 1;
    }
    if constexpr (kGathers) {
      for (int i = 0; i < count; ++i) gather_.set_column(i, tap_of(i).first);
    }
    fast_begin_ = std::clamp(fast_begin_, inside_begin_, inside_end_);
    fast_end_ = std::clamp(fast_end_, fast_begin_, inside_end_);
    const int scale = resampling_ == Resampling::kWarp ? 32 : 128;
    for (Row* row : {&border_row_, &rows_[0], &rows_[1]}) {
      row->source = kNoRow;
      const bool whole = row == &border_row_;
      for (int i = 0; i < count; ++i) {
        if (!whole && i >= inside_begin_ && i < inside_end_) continue;
        for (size_t c = 0; c < 4; ++c)
          row->quads[4 * static_cast<size_t>(i) + c] = static_cast<int16_t>(border_[c] * scale);
      }
    }
    border_row_.source = kBorderRow;
  }

  // The 8-bit pixels of one output row, given its vertical tap.
  void output_row(const Tap& tap, uint8_t* quads) {
    const int first = row_or_border(tap.first);
    const int second = tap.second_weight == 0 ? first : row_or_border(tap.second);
    if (rows_[newer_ ^ 1].source != first && rows_[newer_].source == first) newer_ ^= 1;
    const int16_t* first_quads = fetch(first, newer_ ^ 1);
    const int16_t* second_quads = second == first ? first_quads : fetch(second, newer_);
    if (resampling_ == Resampling::kWarp) {
      kernels_.warp_rows(first_quads, second_quads, tap.second_weight, count_, quads);
    } else {
      kernels_.resize_rows(first_quads, second_quads, tap.first_weight, tap.second_weight, count_,
                           quads);
    }
  }

 private:
  struct Row {
    int source = kNoRow;
    int16_t quads[4 * kTilePx];
  };

  int row_or_border(int y) const { return y < 0 || y >= height_px_ ? kBorderRow : y; }

  const int16_t* fetch(int y, int slot) {
    if (y == kBorderRow) return border_row_.quads;
    Row& row = rows_[slot];
    if (row.source != y) {
      if constexpr (kGathers) {
        interpolate_gathered(y, row.quads);
      } else {
        interpolate(image_.data + image_.row_stride_bytes * y, row.quads);
      }
      row.source = y;
    }
    return row.quads;
  }

  auto columns_kernel() const {
    return resampling_ == Resampling::kWarp ? kernels_.warp_columns : kernels_.resize_columns;
  }

  void interpolate_gathered(int y, int16_t* quads) {
    gather_.read(y, inside_begin_, inside_end_, pairs_);
    // What lies outside is border instead of the clamped pixel.
    for (int i = inside_begin_; i < fast_begin_; ++i)
      std::copy(border_.begin(), border_.begin() + 3, pairs_ + 8 * i);
    for (int i = fast_end_; i < inside_end_; ++i)
      std::copy(border_.begin(), border_.begin() + 3, pairs_ + 8 * i + 4);
    columns_kernel()(pairs_, offsets_ + inside_begin_, weights_ + inside_begin_,
                     inside_end_ - inside_begin_, channels_, quads + 4 * inside_begin_);
  }

  void interpolate(const uint8_t* source, int16_t* quads) const {
    const auto columns = columns_kernel();
    for (int i = inside_begin_; i < fast_begin_; ++i) edge_column(source, i, quads);
    columns(source, offsets_ + fast_begin_, weights_ + fast_begin_, fast_end_ - fast_begin_,
            channels_, quads + 4 * fast_begin_);
    for (int i = fast_end_; i < inside_end_; ++i) edge_column(source, i, quads);
  }

  // A column of which a tap lies outside, or whose taps end the row.
  void edge_column(const uint8_t* source, int i, int16_t* quads) const {
    uint8_t pair[8] = {};
    const int row_bytes = width_px_ * channels_;
    for (int t = 0; t < 2; ++t) {
      const int offset = offsets_[i] + t * channels_;
      const uint8_t* pixel = offset >= 0 && offset < row_bytes ? source + offset : border_.data();
      std::copy(pixel, pixel + 3, pair + t * channels_);
    }
    const int32_t start = 0;
    const auto columns = resampling_ == Resampling::kWarp ? scalar_pixel_kernels().warp_columns
                                                          : scalar_pixel_kernels().resize_columns;
    columns(pair, &start, &weights_[i], 1, channels_, quads + 4 * i);
  }

  const PixelKernels& kernels_;
  const ImageView& image_;
  const Quad border_;
  const Resampling resampling_;
  const int channels_;
  const int width_px_, height_px_;  // upright
  int count_ = 0;
  // Columns outside [inside_begin_, inside_end_) see the border only.
  int inside_begin_ = 0, fast_begin_ = 0, fast_end_ = 0, inside_end_ = 0;
  int newer_ = 0;
  int32_t offsets_[kTilePx];
  uint64_t weights_[kTilePx];
  Row rows_[2];
  Row border_row_;
  PixelGather gather_;
  uint8_t pairs_[8 * kTilePx];  // what gather_ read
};

struct Planes {
  float* first;
  int width_px;
  int height_px;

  std::array<float*, 3> at(int x, int y) const {
    const size_t plane = static_cast<size_t>(width_px) * static_cast<size_t>(height_px);
    float* start = first + static_cast<size_t>(y) * static_cast<size_t>(width_px) + x;
    return {start, start + plane, start + 2 * plane};
  }
};

template <bool kGathers, typename Map>
void resample_from(const PixelKernels& kernels, const ImageView& image, const Map& map,
                   Resampling resampling, const Normalisation& norm, Quad border, int width_px,
                   int height_px, const Planes& output) {
  ColumnTile<kGathers> tile(kernels, image, border, resampling);
  uint8_t quads[4 * kTilePx];
  for (int x = 0; x < width_px; x += kTilePx) {
    const int count = std::min(kTilePx, width_px - x);
    int64_t prepared = 0;
    for (int y = 0; y < height_px; ++y) {
      const int64_t start = map.row_start(y);
      if (y == 0 || start != prepared) {
        tile.prepare(count, [&](int i) { return map.column(x + i, start); });
        prepared = start;
      }
      tile.output_row(map.row(y), quads);
      kernels.normalise(quads, norm, count, output.at(x, y).data());
    }
  }
}

template <typename Map>
void resample(const PixelKernels& kernels, const ImageView& image, const Map& map,
              Resampling resampling, const Normalisation& norm, Quad border, int width_px,
              int height_px, const Planes& output) {
  const auto& run =
      PixelGather::needed(image) ? resample_from<true, Map> : resample_from<false, Map>;
  run(kernels, image, map, resampling, norm, border, width_px, height_px, output);
}

// Fills what lies right of and below the resized picture.
void pad(const Preprocess& spec, int width_px, int height_px, const Planes& output) {
  for (size_t p = 0; p < 3; ++p) {
    const float value = (static_cast<float>(spec.pad_value[p]) - spec.mean[p]) / spec.std_dev[p];
    for (int y = 0; y < output.height_px; ++y) {
      const int x = y < height_px ? width_px : 0;
      std::fill_n(output.at(x, y)[p], output.width_px - x, value);
    }
  }
}

}  // namespace

Status preprocess(const ImageView& image, const BoxXyxy* box, const Preprocess& spec, float* output,
                  InputTransform* transform) {
  return preprocess_with(**(usable_pixel_kernels().end() - 1), image, box, spec, output, transform);
}

Status preprocess_with(const PixelKernels& kernels, const ImageView& image, const BoxXyxy* box,
                       const Preprocess& spec, float* output, InputTransform* transform) {
  EDGEPOSE_RETURN_IF_ERROR(validate(image));
  const Normalisation norm = normalisation_of(spec, image.format);
  const Quad border = border_of(spec, norm);
  const Planes planes = {output, spec.input_width_px, spec.input_height_px};
  if (spec.resize == Preprocess::Resize::kLetterbox) {
    const LetterboxMap map = letterbox(upright_width_px(image), upright_height_px(image), spec);
    resample(kernels, image, map, Resampling::kResize, norm, border, map.x.output_px,
             map.y.output_px, planes);
    pad(spec, map.x.output_px, map.y.output_px, planes);
    *transform = map.transform;
    return Status();
  }
  if (spec.resize == Preprocess::Resize::kAffine && box == nullptr) {
    return Status(Code::kInvalidArgument,
                  "this network looks at one box at a time, but no box was given",
                  "pass a person's box, or the whole picture as one");
  }
  Result<WarpMap> map = spec.resize == Preprocess::Resize::kAffine
                            ? box_warp(*box, spec)
                            : centred_warp(upright_width_px(image), upright_height_px(image), spec);
  if (!map.ok()) return map.status();
  resample(kernels, image, map.value(), Resampling::kWarp, norm, border, spec.input_width_px,
           spec.input_height_px, planes);
  *transform = map.value().transform;
  return Status();
}

}  // namespace edgepose
