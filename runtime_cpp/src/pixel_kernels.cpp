#include "pixel_kernels.h"

#include <algorithm>

#include "pixel_kernels_simd.h"

namespace edgepose {
namespace {

void warp_columns(const uint8_t* source, const int32_t* offsets, const uint64_t* weights, int count,
                  int channels, int16_t* quads) {
  for (int i = 0; i < count; ++i, quads += 4) {
    const uint8_t* pixel = source + offsets[i];
    const int first = static_cast<int>(weights[i] & 0xff);
    const int second = static_cast<int>(weights[i] >> 8 & 0xff);
    for (int c = 0; c < 3; ++c) {
      quads[c] = static_cast<int16_t>(pixel[c] * first + pixel[channels + c] * second);
    }
    quads[3] = 0;
  }
}

void resize_columns(const uint8_t* source, const int32_t* offsets, const uint64_t* weights,
                    int count, int channels, int16_t* quads) {
  for (int i = 0; i < count; ++i, quads += 4) {
    const uint8_t* pixel = source + offsets[i];
    const int first = static_cast<int>(weights[i] & 0xffff);
    const int second = static_cast<int>(weights[i] >> 16 & 0xffff);
    for (int c = 0; c < 3; ++c) {
      quads[c] = static_cast<int16_t>((pixel[c] * first + pixel[channels + c] * second) >> 4);
    }
    quads[3] = 0;
  }
}

void warp_rows(const int16_t* first, const int16_t* second, int fraction_of_32, int count,
               uint8_t* quads) {
  for (int i = 0; i < 4 * count; ++i) {
    quads[i] = static_cast<uint8_t>(
        (first[i] * (32 - fraction_of_32) + second[i] * fraction_of_32 + 512) >> 10);
  }
}

void resize_rows(const int16_t* first, const int16_t* second, int first_weight, int second_weight,
                 int count, uint8_t* quads) {
  for (int i = 0; i < 4 * count; ++i) {
    quads[i] = static_cast<uint8_t>(
        ((first[i] * first_weight >> 16) + (second[i] * second_weight >> 16) + 2) >> 2);
  }
}

void normalise(const uint8_t* quads, const Normalisation& norm, int count, float* const planes[3]) {
  for (int p = 0; p < 3; ++p) {
    const uint8_t* lane = quads + norm.lane[static_cast<size_t>(p)];
    const float mean = norm.mean[static_cast<size_t>(p)];
    const float std_dev = norm.std_dev[static_cast<size_t>(p)];
    for (int i = 0; i < count; ++i)
      planes[p][i] = (static_cast<float>(lane[4 * i]) - mean) / std_dev;
  }
}

void yuv_to_quads(const uint8_t* y, const uint8_t* u, const uint8_t* v, const YuvMatrix& matrix,
                  int count, uint8_t* quads) {
  const auto byte = [](int32_t value) {
    return static_cast<uint8_t>(std::clamp(value >> YuvMatrix::kShift, 0, 255));
  };
  constexpr int32_t kHalf = 1 << (YuvMatrix::kShift - 1);
  for (int i = 0; i < count; ++i, quads += 4) {
    const int32_t luma = std::max(y[i] - matrix.black, 0) * matrix.luma + kHalf;
    const int32_t blue = u[i] - 128, red = v[i] - 128;
    quads[0] = byte(luma + matrix.red_v * red);
    quads[1] = byte(luma + matrix.green_u * blue + matrix.green_v * red);
    quads[2] = byte(luma + matrix.blue_u * blue);
    quads[3] = 0;
  }
}

constexpr PixelKernels kScalar = {"scalar",    warp_columns, resize_columns, warp_rows,
                                  resize_rows, normalise,    yuv_to_quads};

struct KernelList {
  const PixelKernels* tables[4];
  size_t count = 0;

  KernelList() {
    tables[count++] = &kScalar;
    for (const PixelKernels* table : simd_pixel_kernels()) {
      if (table != nullptr) tables[count++] = table;
    }
  }
};

}  // namespace

#if !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__)
std::array<const PixelKernels*, 3> simd_pixel_kernels() { return {}; }
#endif

const PixelKernels& scalar_pixel_kernels() { return kScalar; }

Span<const PixelKernels* const> usable_pixel_kernels() {
  static const KernelList list;
  return {list.tables, list.count};
}

}  // namespace edgepose
