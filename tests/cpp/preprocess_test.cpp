#include "edgepose/preprocess.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "preprocess_with.h"

namespace edgepose {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Preprocess plain(Preprocess::Resize resize, int height_px, int width_px) {
  return {resize, height_px, width_px, false, {0, 0, 0}, {1, 1, 1}, {10, 200, 30}, 1};
}

struct Picture {
  std::vector<uint8_t> bytes;
  ImageView view;
};

// Random pixels with junk between the rows. The vector ends with the last pixel, so that the
// address sanitizer sees a read beyond it.
Picture random_picture(int width_px, int height_px, PixelFormat format, int gap_bytes,
                       unsigned seed) {
  Picture picture;
  const int channels = channels_of(format);
  const int stride = width_px * channels + gap_bytes;
  picture.bytes.resize(static_cast<size_t>(stride) * static_cast<size_t>(height_px - 1) +
                       static_cast<size_t>(width_px * channels));
  std::mt19937 random(seed);
  for (uint8_t& b : picture.bytes) b = static_cast<uint8_t>(random());
  picture.view = {picture.bytes.data(), width_px, height_px, stride, format};
  return picture;
}

// The same colours in another format and without gaps.
Picture converted(const Picture& from, PixelFormat format) {
  const int width = from.view.width_px, height = from.view.height_px,
            channels = channels_of(format);
  const bool from_rgb =
      from.view.format == PixelFormat::kRgb || from.view.format == PixelFormat::kRgba;
  const bool to_rgb = format == PixelFormat::kRgb || format == PixelFormat::kRgba;
  Picture to = random_picture(width, height, format, 0, 99);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const uint8_t* source =
          from.view.data + from.view.row_stride_bytes * y + channels_of(from.view.format) * x;
      uint8_t* target = to.bytes.data() + (static_cast<size_t>(y) * static_cast<size_t>(width) +
                                           static_cast<size_t>(x)) *
                                              static_cast<size_t>(channels);
      for (int c = 0; c < 3; ++c) target[c] = source[from_rgb == to_rgb ? c : 2 - c];
    }
  }
  return to;
}

std::vector<float> run(const ImageView& image, const BoxXyxy* box, const Preprocess& spec,
                       InputTransform* transform = nullptr) {
  const size_t count =
      3 * static_cast<size_t>(spec.input_height_px) * static_cast<size_t>(spec.input_width_px);
  std::vector<float> output(count, kNan);
  InputTransform unused;
  const Status status =
      preprocess(image, box, spec, output.data(), transform != nullptr ? transform : &unused);
  EXPECT_TRUE(status.ok()) << status.message();
  for (float v : output) EXPECT_TRUE(std::isfinite(v));
  return output;
}

Code failure(const ImageView& image, const BoxXyxy* box, const Preprocess& spec) {
  std::vector<float> output(3 * static_cast<size_t>(spec.input_height_px) *
                            static_cast<size_t>(spec.input_width_px));
  InputTransform transform;
  return preprocess(image, box, spec, output.data(), &transform).code();
}

TEST(Preprocess, CopiesPixelsWhereTheBoxIsTheInput) {
  const Picture picture = random_picture(40, 30, PixelFormat::kBgr, 5, 1);
  const Preprocess spec = plain(Preprocess::Resize::kAffine, 16, 8);
  const BoxXyxy box = {12, 7, 20, 23};
  InputTransform transform;
  const std::vector<float> output = run(picture.view, &box, spec, &transform);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 16; ++y) {
      for (int x = 0; x < 8; ++x) {
        EXPECT_EQ(output[static_cast<size_t>((c * 16 + y) * 8 + x)],
                  picture.view.data[picture.view.row_stride_bytes * (y + 7) + 3 * (x + 12) + c]);
      }
    }
  }
  EXPECT_EQ(transform.scale_x, 1);
  EXPECT_EQ(transform.scale_y, 1);
  EXPECT_EQ(transform.offset_x, 12);
  EXPECT_EQ(transform.offset_y, 7);
}

// Wider than what is worked on at a time, of a row that all tiles have in common.
TEST(Preprocess, CopiesEveryTileOfAWideInput) {
  const Picture picture = random_picture(700, 1, PixelFormat::kRgb, 0, 13);
  Preprocess spec = plain(Preprocess::Resize::kAffine, 1, 700);
  spec.rgb = true;
  const BoxXyxy box = {0, 0, 700, 1};
  for (const bool mirrored : {false, true}) {
    ImageView view = picture.view;
    view.mirrored = mirrored;
    const std::vector<float> output = run(view, &box, spec);
    for (int i = 0; i < 700 * 3; ++i) {
      const int c = i / 700, x = mirrored ? 699 - i % 700 : i % 700;
      ASSERT_EQ(output[static_cast<size_t>(i)], view.data[3 * x + c]) << i;
    }
  }
}

TEST(Preprocess, PadsAndWidensTheBox) {
  const Picture picture = random_picture(200, 200, PixelFormat::kBgr, 0, 2);
  Preprocess spec = plain(Preprocess::Resize::kAffine, 256, 192);
  spec.box_padding = 1.25f;
  const BoxXyxy tall = {80, 40, 100, 160};
  InputTransform t;
  run(picture.view, &tall, spec, &t);
  EXPECT_FLOAT_EQ(t.scale_y, 150.0f / 256);
  EXPECT_FLOAT_EQ(t.scale_x, 150.0f * 0.75f / 192);
  EXPECT_FLOAT_EQ(t.offset_x + 96 * t.scale_x, 90);
  EXPECT_FLOAT_EQ(t.offset_y + 128 * t.scale_y, 100);
}

TEST(Preprocess, BlendsWithTheBorderInNetworkOrder) {
  const std::vector<uint8_t> white(3, 255);
  const ImageView dot = {white.data(), 1, 1, 3, PixelFormat::kBgr};
  Preprocess spec = plain(Preprocess::Resize::kAffine, 2, 2);
  spec.rgb = true;
  const BoxXyxy box = {-0.5f, -0.5f, 1.5f, 1.5f};
  const std::vector<float> output = run(dot, &box, spec);
  // Every output pixel lies half a pixel off in x and y: a quarter of white, three quarters of the
  // border.
  const int border[3] = {10, 200, 30};
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(output[4 * c + i], (255 + 3 * border[c] + 2) / 4);
  }
}

TEST(Preprocess, NormalisesExactly) {
  const Picture picture = random_picture(33, 21, PixelFormat::kRgb, 0, 3);
  Preprocess spec = plain(Preprocess::Resize::kLetterbox, 64, 64);
  const std::vector<float> values = run(picture.view, nullptr, spec);
  spec.mean = {123.675f, 116.28f, 103.53f};
  spec.std_dev = {58.395f, 57.12f, 57.375f};
  const std::vector<float> output = run(picture.view, nullptr, spec);
  for (size_t i = 0; i < output.size(); ++i) {
    const size_t c = i / (64 * 64);
    EXPECT_EQ(output[i], (values[i] - spec.mean[c]) / spec.std_dev[c]);
  }
}

TEST(Preprocess, FormatsOfOnePictureAgree) {
  const Picture bgr = random_picture(61, 47, PixelFormat::kBgr, 7, 4);
  const BoxXyxy box = {-10, 5, 55, 60};
  for (auto resize : {Preprocess::Resize::kLetterbox, Preprocess::Resize::kLetterboxCentred,
                      Preprocess::Resize::kAffine}) {
    for (bool rgb : {false, true}) {
      Preprocess spec = plain(resize, 40, 40);
      spec.rgb = rgb;
      const std::vector<float> expected = run(bgr.view, &box, spec);
      for (PixelFormat format : {PixelFormat::kRgb, PixelFormat::kBgra, PixelFormat::kRgba}) {
        EXPECT_EQ(run(converted(bgr, format).view, &box, spec), expected);
      }
    }
  }
}

TEST(Preprocess, ColourOrderSwapsPlanes) {
  const Picture picture = random_picture(50, 40, PixelFormat::kBgr, 0, 5);
  Preprocess spec = plain(Preprocess::Resize::kAffine, 24, 24);
  spec.pad_value = {7, 7, 7};
  const BoxXyxy box = {5, 5, 60, 35};
  const std::vector<float> bgr = run(picture.view, &box, spec);
  spec.rgb = true;
  const std::vector<float> rgb = run(picture.view, &box, spec);
  const size_t plane = 24 * 24;
  for (size_t i = 0; i < plane; ++i) {
    EXPECT_EQ(bgr[i], rgb[2 * plane + i]);
    EXPECT_EQ(bgr[plane + i], rgb[plane + i]);
    EXPECT_EQ(bgr[2 * plane + i], rgb[i]);
  }
}

TEST(Preprocess, LetterboxPadsRightAndBelow) {
  const Picture wide = random_picture(100, 50, PixelFormat::kBgr, 0, 6);
  InputTransform t;
  const std::vector<float> output =
      run(wide.view, nullptr, plain(Preprocess::Resize::kLetterbox, 64, 64), &t);
  EXPECT_EQ(t.offset_x, 0);
  EXPECT_EQ(t.offset_y, 0);
  EXPECT_FLOAT_EQ(t.scale_x, 100.0f / 64);
  EXPECT_FLOAT_EQ(t.scale_y, 50.0f / 32);
  const float pad[3] = {10, 200, 30};
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 32 * 64; i < 64 * 64; ++i) EXPECT_EQ(output[c * 64 * 64 + i], pad[c]);
  }
  const Picture tall = random_picture(30, 90, PixelFormat::kBgr, 0, 6);
  run(tall.view, nullptr, plain(Preprocess::Resize::kLetterbox, 96, 64), &t);
  EXPECT_FLOAT_EQ(t.scale_x, 30.0f / 32);
  EXPECT_FLOAT_EQ(t.scale_y, 90.0f / 96);
}

TEST(Preprocess, CentredLetterboxPutsTheCentreInTheCentre) {
  const Picture tall = random_picture(30, 90, PixelFormat::kBgr, 0, 7);
  InputTransform t;
  const std::vector<float> output =
      run(tall.view, nullptr, plain(Preprocess::Resize::kLetterboxCentred, 64, 64), &t);
  EXPECT_FLOAT_EQ(32 * t.scale_x + t.offset_x, 15);
  EXPECT_FLOAT_EQ(32 * t.scale_y + t.offset_y, 45);
  EXPECT_FLOAT_EQ(t.scale_x, 90.0f / 64);
  for (size_t y = 0; y < 64; ++y) {
    EXPECT_EQ(output[y * 64], 10);
    EXPECT_EQ(output[y * 64 + 63], 10);
  }
}

TEST(Preprocess, VectorTablesEqualTheScalarOne) {
  std::mt19937 random(8);
  const auto between = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const PixelFormat formats[] = {PixelFormat::kBgr, PixelFormat::kRgb, PixelFormat::kBgra,
                                 PixelFormat::kRgba};
  for (int round = 0; round < 150; ++round) {
    const bool tiny = round % 3 == 0;
    const Picture picture =
        random_picture(between(1, tiny ? 4 : 300), between(1, tiny ? 4 : 200),
                       formats[between(0, 3)], between(0, 9), static_cast<unsigned>(round));
    Preprocess spec =
        plain(static_cast<Preprocess::Resize>(between(0, 2)), between(1, 90), between(1, 90));
    if (round % 10 == 0) spec.input_width_px = 600;
    spec.rgb = between(0, 1) == 1;
    spec.mean = {123.675f, 116.28f, 103.53f};
    spec.std_dev = {58.395f, 57.12f, 57.375f};
    const float x = static_cast<float>(between(-100, 300)),
                y = static_cast<float>(between(-100, 200));
    const BoxXyxy box = {x, y, x + static_cast<float>(between(1, 4000)) / 9,
                         y + static_cast<float>(between(1, 400))};
    const size_t count = 3 * static_cast<size_t>(spec.input_height_px * spec.input_width_px);
    std::vector<float> expected(count, kNan), output(count, kNan);
    InputTransform t;
    ASSERT_TRUE(
        preprocess_with(scalar_pixel_kernels(), picture.view, &box, spec, expected.data(), &t)
            .ok());
    for (const PixelKernels* kernels : usable_pixel_kernels()) {
      ASSERT_TRUE(preprocess_with(*kernels, picture.view, &box, spec, output.data(), &t).ok());
      ASSERT_EQ(std::memcmp(output.data(), expected.data(), count * sizeof(float)), 0)
          << kernels->name << round;
    }
  }
}

TEST(Preprocess, VectorTablesAreTested) {
#if defined(__x86_64__) || defined(__aarch64__)
  EXPECT_GE(usable_pixel_kernels().size(), 2u);
#endif
}

TEST(Preprocess, BoxesOutsideGiveTheBorder) {
  const Picture picture = random_picture(64, 48, PixelFormat::kBgr, 0, 9);
  const Preprocess spec = plain(Preprocess::Resize::kAffine, 32, 24);
  for (const BoxXyxy& box : {BoxXyxy{1000, 1000, 1100, 1200}, BoxXyxy{-5000, 0, -4000, 40},
                             BoxXyxy{2e9f, 2e9f, 3e9f, 3e9f}, BoxXyxy{0, -1e9f, 40, -9e8f}}) {
    const std::vector<float> output = run(picture.view, &box, spec);
    for (size_t i = 0; i < 32 * 24; ++i) EXPECT_EQ(output[i], 10);
  }
}

TEST(Preprocess, HugeAndTinyBoxesAreFinite) {
  const Picture picture = random_picture(64, 48, PixelFormat::kBgra, 0, 10);
  const Preprocess spec = plain(Preprocess::Resize::kAffine, 32, 24);
  for (const BoxXyxy& box : {BoxXyxy{-1e9f, -1e9f, 1e9f, 1e9f}, BoxXyxy{-1e20f, 0, 1e20f, 1},
                             BoxXyxy{30, 20, 30.001f, 20.001f}, BoxXyxy{0, 0, 64, 1e-20f}}) {
    run(picture.view, &box, spec);
  }
}

TEST(Preprocess, ExtremePictures) {
  for (auto resize : {Preprocess::Resize::kLetterbox, Preprocess::Resize::kLetterboxCentred,
                      Preprocess::Resize::kAffine}) {
    for (PixelFormat format : {PixelFormat::kBgr, PixelFormat::kRgba}) {
      for (auto [width, height] :
           {std::pair{1, 1}, {1, 300}, {300, 1}, {2, 2}, {32767, 1}, {16000, 3}, {1, 32767}}) {
        const Picture picture = random_picture(width, height, format, 0, 11);
        const BoxXyxy whole = {0, 0, static_cast<float>(width), static_cast<float>(height)};
        run(picture.view, &whole, plain(resize, 64, 48));
      }
    }
  }
}

TEST(Preprocess, RefusesBadBoxesAndPictures) {
  const Picture picture = random_picture(64, 48, PixelFormat::kBgr, 0, 12);
  const Preprocess spec = plain(Preprocess::Resize::kAffine, 32, 24);
  for (const BoxXyxy& box :
       {BoxXyxy{kNan, 0, 10, 10}, BoxXyxy{0, 0, kInf, 10}, BoxXyxy{0, -kInf, 10, 10},
        BoxXyxy{10, 0, 10, 10}, BoxXyxy{0, 10, 10, 10}, BoxXyxy{10, 10, 0, 0},
        BoxXyxy{-3e38f, 0, 3e38f, 10}, BoxXyxy{1e9f, 1e9f, 1e9f + 64, 1e9f + 64}}) {
    EXPECT_EQ(failure(picture.view, &box, spec), Code::kInvalidArgument);
  }
  EXPECT_EQ(failure(picture.view, nullptr, spec), Code::kInvalidArgument);
  ImageView empty = picture.view;
  empty.data = nullptr;
  const BoxXyxy box = {0, 0, 10, 10};
  EXPECT_EQ(failure(empty, &box, spec), Code::kInvalidArgument);
}

}  // namespace
}  // namespace edgepose
