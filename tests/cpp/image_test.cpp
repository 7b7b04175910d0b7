#include "edgepose/image.h"

#include <gtest/gtest.h>

#include <vector>

namespace edgepose {
namespace {

TEST(Image, AcceptsPaddedRows) {
  const std::vector<uint8_t> pixels(64);
  EXPECT_TRUE(validate({pixels.data(), 4, 4, 16, PixelFormat::kBgr}).ok());
  EXPECT_TRUE(validate({pixels.data(), 1, 1, 4, PixelFormat::kRgba}).ok());
}

TEST(Image, RefusesWhatCannotBeRead) {
  const std::vector<uint8_t> pixels(64);
  const ImageView good = {pixels.data(), 4, 4, 12, PixelFormat::kBgr};
  const auto code_with = [&](auto change) {
    ImageView view = good;
    change(&view);
    const Status status = validate(view);
    EXPECT_FALSE(status.hint().empty());
    return status.code();
  };
  EXPECT_EQ(code_with([](ImageView* v) { v->data = nullptr; }), Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->width_px = 0; }), Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->height_px = -3; }), Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->height_px = 32768; }), Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->row_stride_bytes = 11; }), Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->row_stride_bytes = -12; }), Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->format = PixelFormat::kBgra; }),
            Code::kInvalidArgument);
  EXPECT_EQ(code_with([](ImageView* v) { v->format = static_cast<PixelFormat>(9); }),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace edgepose
