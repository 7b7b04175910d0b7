#ifndef EDGEPOSE_SRC_ENGINES_RKNN_API_H_
#define EDGEPOSE_SRC_ENGINES_RKNN_API_H_

#include <cstdint>

// The part of librknnrt's C interface (version 2) that the engine calls, declared here so that
// nothing of Rockchip's is needed to build. Sizes and offsets are those of 64-bit Linux and
// Android; rknn_test.cpp pins them.

namespace edgepose::rknn {

#if defined(__arm__)
using Context = uint32_t;
#else
using Context = uint64_t;
#endif

enum Answer : int {
  kSuccess = 0,
  kFail = -1,
  kTimeout = -2,
  kDeviceUnavailable = -3,
  kOutOfMemory = -4,
  kBadParameter = -5,
  kBadModel = -6,
  kBadContext = -7,
  kBadInput = -8,
  kBadOutput = -9,
  kOtherDevice = -10,
  kOldPrecompiledModel = -11,
  kOldOptimisationLevel = -12,
  kOtherPlatform = -13,
};

enum Query : int {
  kQueryCounts = 0,
  kQueryInput = 1,
  kQueryOutput = 2,
  kQueryVersions = 5,
  kQueryNativeInput = 8,
  kQueryNativeOutput = 9,
};

enum Type : int32_t { kFloat32 = 0, kFloat16 = 1, kInt8 = 2, kUint8 = 3, kInt16 = 4 };
enum Layout : int32_t { kNchw = 0, kNhwc = 1, kNc1hwc2 = 2, kUndefined = 3 };
enum Quantisation : int32_t { kNone = 0, kDynamicFixedPoint = 1, kAffine = 2 };
enum Sync : int { kToDevice = 1, kFromDevice = 2 };

constexpr int kMaxDims = 16;

struct Counts {
  uint32_t inputs;
  uint32_t outputs;
};

struct Versions {
  char api[256];
  char driver[256];
};

struct TensorAttr {
  uint32_t index;
  uint32_t rank;
  uint32_t dims[kMaxDims];
  char name[256];
  uint32_t elements;
  uint32_t bytes;
  int32_t layout;
  int32_t type;
  int32_t quantisation;
  int8_t fraction_bits;
  int32_t zero_point;
  float scale;
  uint32_t row_stride;  // elements; 0: the width
  uint32_t bytes_with_stride;
  uint8_t pass_through;
  uint32_t column_stride;
};

struct Memory {
  void* data;
  uint64_t physical;
  int32_t descriptor;
  int32_t offset;
  uint32_t bytes;
  uint32_t flags;
  void* opaque;
};

struct Input {
  uint32_t index;
  void* data;
  uint32_t bytes;
  uint8_t pass_through;
  int32_t type;
  int32_t layout;
};

struct Output {
  uint8_t want_float;
  uint8_t is_preallocated;
  uint32_t index;
  void* data;
  uint32_t bytes;
};

}  // namespace edgepose::rknn

#endif  // EDGEPOSE_SRC_ENGINES_RKNN_API_H_
