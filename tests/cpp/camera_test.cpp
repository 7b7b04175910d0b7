// Turned, mirrored and YUV pictures against the same picture made upright RGB beforehand.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "preprocess_with.h"

namespace edgepose {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes noise(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  return bytes;
}

// A camera frame that owns its planes. Each plane ends with its last sample, so that the address
// sanitizer sees a read beyond it.
struct Frame {
  Bytes data, u, v;
  ImageView view;

  Frame(PixelFormat format, int width_px, int height_px, int gap_bytes, int chroma_step,
        unsigned seed) {
    const int row = width_px * channels_of(format);
    view.format = format;
    view.width_px = width_px;
    view.height_px = height_px;
    view.row_stride_bytes = row + gap_bytes;
    data = noise(static_cast<size_t>(view.row_stride_bytes * (height_px - 1) + row), seed);
    if (is_yuv(format)) {
      const int columns = (width_px + 1) / 2, rows = (height_px + 1) / 2;
      const bool planar = format == PixelFormat::kYuv420;
      const int chroma_row = planar ? (columns - 1) * chroma_step + 1 : 2 * columns;
      view.chroma_row_stride_bytes = chroma_row + gap_bytes;
      view.chroma_pixel_stride_bytes = planar ? chroma_step : 0;
      const auto bytes =
          static_cast<size_t>(view.chroma_row_stride_bytes * (rows - 1) + chroma_row);
      u = noise(bytes, seed + 1);
      if (planar) v = noise(bytes, seed + 2);
    }
    point();
  }

  void point() {
    view.data = data.data();
    view.data_bytes = data.size();
    view.u = u.empty() ? nullptr : u.data();
    view.u_bytes = u.size();
    view.v = v.empty() ? nullptr : v.data();
    view.v_bytes = v.size();
  }
};

double clamped(double x) { return std::clamp(x, 0.0, 255.0); }

// Red, green and blue of a stored pixel, in floating point.
std::vector<double> colour_at(const ImageView& f, int x, int y) {
  const uint8_t* row = f.data + f.row_stride_bytes * y;
  if (!is_yuv(f.format)) {
    const uint8_t* p = row + x * channels_of(f.format);
    const bool rgb = f.format == PixelFormat::kRgb || f.format == PixelFormat::kRgba;
    return {static_cast<double>(p[rgb ? 0 : 2]), static_cast<double>(p[1]),
            static_cast<double>(p[rgb ? 2 : 0])};
  }
  const ptrdiff_t chroma_row = f.chroma_row_stride_bytes * (y / 2);
  double u = 0, v = 0;
  if (f.format == PixelFormat::kYuv420) {
    u = f.u[chroma_row + f.chroma_pixel_stride_bytes * (x / 2)];
    v = f.v[chroma_row + f.chroma_pixel_stride_bytes * (x / 2)];
  } else {
    const uint8_t* pair = f.u + chroma_row + x / 2 * 2;
    u = pair[f.format == PixelFormat::kNv12 ? 0 : 1];
    v = pair[f.format == PixelFormat::kNv12 ? 1 : 0];
  }
  const bool full = f.colour == YuvColour::kBt601Full;
  const double kr = f.colour == YuvColour::kBt709Limited ? 0.2126 : 0.299;
  const double kb = f.colour == YuvColour::kBt709Limited ? 0.0722 : 0.114;
  const double luma = full ? row[x] : std::max(0.0, row[x] - 16.0) * 255 / 219;
  const double chroma = full ? 1.0 : 255.0 / 224;
  const double b = 2 * (1 - kb) * (u - 128) * chroma, r = 2 * (1 - kr) * (v - 128) * chroma;
  return {clamped(luma + r), clamped(luma - (kr * r + kb * b) / (1 - kr - kb)), clamped(luma + b)};
}

// Where the upright pixel (x, y) is stored: turned back, after the mirror is undone.
std::pair<int, int> stored_at(const ImageView& f, int x, int y) {
  const int width = upright_width_px(f);
  if (f.mirrored) x = width - 1 - x;
  for (int turn = 0; turn < f.rotation_deg; turn += 90) {
    // A clockwise turn moves (x, y) of a picture of height h to (h - 1 - y, x).
    const int height_before = (f.rotation_deg - turn) % 180 == 0 ? f.width_px : f.height_px;
    const int old_x = y, old_y = height_before - 1 - x;
    x = old_x;
    y = old_y;
  }
  return {x, y};
}

const std::vector<Preprocess> kSpecs = {
    {Preprocess::Resize::kAffine, 24, 16, true, {0, 0, 0}, {1, 1, 1}, {10, 200, 30}, 1},
    {Preprocess::Resize::kLetterbox, 20, 28, false, {0, 0, 0}, {1, 1, 1}, {10, 200, 30}, 1},
    {Preprocess::Resize::kLetterboxCentred, 64, 64, true, {0, 0, 0}, {1, 1, 1}, {7, 8, 9}, 1},
};

std::vector<float> run(const PixelKernels& kernels, const ImageView& view, const BoxXyxy& box,
                       const Preprocess& spec) {
  std::vector<float> output(3 * static_cast<size_t>(spec.input_height_px) *
                            static_cast<size_t>(spec.input_width_px));
  InputTransform transform;
  const Status status = preprocess_with(kernels, view, &box, spec, output.data(), &transform);
  EXPECT_TRUE(status.ok()) << status.message();
  return output;
}

// The upright RGB picture of a frame, each value rounded to a byte.
Bytes upright_rgb(const ImageView& f) {
  Bytes rgb;
  for (int y = 0; y < upright_height_px(f); ++y) {
    for (int x = 0; x < upright_width_px(f); ++x) {
      const auto [sx, sy] = stored_at(f, x, y);
      for (const double value : colour_at(f, sx, sy)) {
        rgb.push_back(static_cast<uint8_t>(value + 0.5));
      }
    }
  }
  return rgb;
}

std::vector<Frame> frames() {
  std::vector<Frame> all;
  for (const auto& [width, height] : {std::pair{37, 23}, std::pair{20, 44}, std::pair{1, 1}}) {
    const auto seed = static_cast<unsigned>(width);
    for (const PixelFormat format : {PixelFormat::kBgr, PixelFormat::kRgba, PixelFormat::kNv12,
                                     PixelFormat::kNv21, PixelFormat::kYuv420}) {
      all.emplace_back(format, width, height, 3, 1, seed);
    }
    all.emplace_back(PixelFormat::kYuv420, width, height, 0, 2, seed);
  }
  return all;
}

TEST(Camera, EqualsTheUprightPicture) {
  for (Frame& frame : frames()) {
    for (const int rotation : {0, 90, 180, 270}) {
      for (const bool mirrored : {false, true}) {
        frame.point();
        ImageView view = frame.view;
        view.rotation_deg = rotation;
        view.mirrored = mirrored;
        const Bytes rgb = upright_rgb(view);
        const int width = upright_width_px(view), height = upright_height_px(view);
        const ImageView upright = {rgb.data(), width, height, static_cast<ptrdiff_t>(3) * width,
                                   PixelFormat::kRgb};
        const BoxXyxy box = {-3, 2, static_cast<float>(width), static_cast<float>(height) + 4};
        for (const Preprocess& spec : kSpecs) {
          const auto& kernels = scalar_pixel_kernels();
          const std::vector<float> expected = run(kernels, upright, box, spec);
          const std::vector<float> found = run(kernels, view, box, spec);
          // Fixed point and floating point round a tie to different sides.
          const float tolerance = is_yuv(view.format) ? 1.0F : 0.0F;
          for (size_t i = 0; i < found.size(); ++i) {
            ASSERT_NEAR(found[i], expected[i], tolerance)
                << "format " << static_cast<int>(view.format) << ", rotation " << rotation
                << ", mirrored " << mirrored << ", element " << i;
          }
        }
      }
    }
  }
}

TEST(Camera, ColoursAreThoseOfTheStandards) {
  Frame frame(PixelFormat::kNv12, 64, 48, 0, 0, 5);
  const Preprocess copy = {
      Preprocess::Resize::kAffine, 48, 64, true, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}, 1};
  for (const YuvColour colour :
       {YuvColour::kBt601Full, YuvColour::kBt601Limited, YuvColour::kBt709Limited}) {
    frame.point();
    frame.view.colour = colour;
    const std::vector<float> found = run(scalar_pixel_kernels(), frame.view, {0, 0, 64, 48}, copy);
    for (int y = 0; y < 48; ++y) {
      for (int x = 0; x < 64; ++x) {
        const std::vector<double> rgb = colour_at(frame.view, x, y);
        for (size_t c = 0; c < 3; ++c) {
          const size_t i = (c * 48 + static_cast<size_t>(y)) * 64 + static_cast<size_t>(x);
          // Half a step of rounding, and the digits that OpenCV's constants lack.
          EXPECT_NEAR(found[i], rgb[c], 0.65);
        }
      }
    }
  }
}

TEST(Camera, EveryKernelTableGivesTheSameBits) {
  for (Frame& frame : frames()) {
    frame.point();
    ImageView view = frame.view;
    view.rotation_deg = 90;
    for (const YuvColour colour :
         {YuvColour::kBt601Full, YuvColour::kBt601Limited, YuvColour::kBt709Limited}) {
      view.colour = colour;
      for (const Preprocess& spec : kSpecs) {
        const BoxXyxy box = {1, 2, 15, 20};
        const std::vector<float> expected = run(scalar_pixel_kernels(), view, box, spec);
        for (const PixelKernels* kernels : usable_pixel_kernels()) {
          EXPECT_EQ(run(*kernels, view, box, spec), expected) << kernels->name;
        }
      }
    }
  }
}

TEST(Camera, EveryKernelTableConvertsEveryColourAlike) {
  const Bytes y = noise(4099, 1), u = noise(4099, 2), v = noise(4099, 3);
  const YuvMatrix matrix = {16, 1220542, 1673527, -409993, -852492, 2116026};
  Bytes expected(y.size() * 4);
  const int count = static_cast<int>(y.size());
  scalar_pixel_kernels().yuv_to_quads(y.data(), u.data(), v.data(), matrix, count, expected.data());
  for (const PixelKernels* kernels : usable_pixel_kernels()) {
    Bytes found(expected.size(), 1);
    kernels->yuv_to_quads(y.data(), u.data(), v.data(), matrix, count, found.data());
    EXPECT_EQ(found, expected) << kernels->name;
  }
}

TEST(Camera, RefusesWhatCannotBeRead) {
  const auto refused = [](PixelFormat format, auto change) {
    Frame frame(format, 9, 7, 2, 2, 1);
    frame.point();
    EXPECT_TRUE(validate(frame.view).ok());
    change(&frame.view);
    const Status status = validate(frame.view);
    EXPECT_FALSE(status.hint().empty());
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << status.message();
  };
  for (const PixelFormat f : {PixelFormat::kNv12, PixelFormat::kNv21, PixelFormat::kYuv420}) {
    refused(f, [](ImageView* v) { v->data = nullptr; });
    refused(f, [](ImageView* v) { v->u = nullptr; });
    refused(f, [](ImageView* v) { v->width_px = 0; });
    refused(f, [](ImageView* v) { v->height_px = -7; });
    refused(f, [](ImageView* v) { v->row_stride_bytes = -11; });
    refused(f, [](ImageView* v) { v->row_stride_bytes = 8; });
    refused(f, [](ImageView* v) {
      v->row_stride_bytes = 400000000;
      v->data_bytes = 0;
    });
    refused(f, [](ImageView* v) { v->chroma_row_stride_bytes = -16; });
    refused(f, [](ImageView* v) { v->chroma_row_stride_bytes = 4; });
    refused(f, [](ImageView* v) { v->data_bytes -= 1; });
    refused(f, [](ImageView* v) { v->u_bytes -= 1; });
    refused(f, [](ImageView* v) { v->rotation_deg = 45; });
    refused(f, [](ImageView* v) { v->rotation_deg = -90; });
    refused(f, [](ImageView* v) { v->rotation_deg = 360; });
    refused(f, [](ImageView* v) { v->colour = static_cast<YuvColour>(3); });
  }
  refused(PixelFormat::kYuv420, [](ImageView* v) { v->v = nullptr; });
  refused(PixelFormat::kYuv420, [](ImageView* v) { v->v_bytes -= 1; });
  refused(PixelFormat::kYuv420, [](ImageView* v) { v->chroma_pixel_stride_bytes = 0; });
  refused(PixelFormat::kYuv420, [](ImageView* v) { v->chroma_pixel_stride_bytes = -2; });
  refused(PixelFormat::kRgba, [](ImageView* v) { v->data_bytes -= 1; });
  refused(PixelFormat::kRgba, [](ImageView* v) { v->rotation_deg = 91; });
}

}  // namespace
}  // namespace edgepose
