#ifndef EDGEPOSE_SRC_PIXEL_GATHER_H_
#define EDGEPOSE_SRC_PIXEL_GATHER_H_

#include <cstdint>

#include "edgepose/image.h"
#include "pixel_kernels.h"

namespace edgepose {

// Reads the pixels that resampling looks at, and no others, from pictures that are turned, mirrored
// or YUV. Coordinates are those of the upright picture. Nothing but the pixels of one tile row is
// ever copied.
class PixelGather {
 public:
  static constexpr int kMaxColumns = 512;

  PixelGather(const PixelKernels& kernels, const ImageView& image);

  // Whether the rows of a picture can not be read in place.
  static bool needed(const ImageView& image);

  // Column i will show the pixels x and x + 1, clamped to the picture.
  void set_column(int i, int x);

  // Writes columns [begin, end) of row y: two pixels of four bytes each, in RGB order for YUV and
  // in that of the picture otherwise. The fourth byte is 0.
  void read(int y, int begin, int end, uint8_t* pairs);

 private:
  // The byte offset of a pixel is the sum of one that its column gives and one that its row gives.
  struct Axis {
    int first;  // source coordinate of upright coordinate 0
    int step;   // 1 or -1
    int length_px;
    int32_t stride_bytes;
    int32_t chroma_stride_bytes;

    int source(int upright) const { return first + step * upright; }
  };

  void read_yuv(int y, int begin, int end, uint8_t* pairs);
  void read_packed(int y, int begin, int end, uint8_t* pairs) const;

  const PixelKernels& kernels_;
  const ImageView& image_;
  const int channels_;
  Axis columns_, rows_;
  YuvMatrix matrix_ = {};
  const uint8_t* u_ = nullptr;
  const uint8_t* v_ = nullptr;
  int32_t offsets_[2 * kMaxColumns];
  int32_t chroma_offsets_[2 * kMaxColumns];
  uint8_t samples_[3][2 * kMaxColumns];
};

}  // namespace edgepose

#endif  // EDGEPOSE_SRC_PIXEL_GATHER_H_
