// A library with librknnrt's C interface that computes a 1x1 convolution and its mean, in the types
// and layouts that its "network" file asks for. What the file or a DOUBLE_ definition says can
// fail.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engines/rknn_api.h"

namespace {

using namespace edgepose::rknn;  // NOLINT: the whole file is about it

constexpr int kSide = 8;
constexpr int kIn = 3;
constexpr int kOut = 2;
constexpr uint32_t kBlock = 8;
constexpr uint32_t kRowStride = 12;

enum Behaviour : int32_t { kGood, kRunTimesOut, kOther, kNoMemory, kNoCores, kOddType, kInitFails };

// The whole file; rknn_double.py and rknn_test.cpp write it.
struct Network {
  char magic[8];
  int32_t in_type, in_layout, out_type, out_layout, behaviour;
  float in_scale, out_scale;
  int32_t zero_point;
  float weights[kOut][kIn];
  float bias[kOut];
  uint32_t checksum;
};

struct State {
  Network network;
  Memory* memory[3] = {};  // the input, the map, the mean
  std::vector<float> given;
};

uint32_t checksum(const Network& network) {
  uint32_t hash = 2166136261U;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&network);
  for (size_t i = 0; i < offsetof(Network, checksum); ++i) hash = (hash ^ bytes[i]) * 16777619U;
  return hash;
}

float half_value(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) return fraction != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

uint16_t half_bits(float value) {
  if (std::isnan(value)) return 0x7E00;
  const int sign = std::signbit(value) ? 0x8000 : 0;
  const float size = std::fabs(value);
  if (size >= 65520.0F) return static_cast<uint16_t>(sign | 0x7C00);
  int exponent = 0;
  std::frexp(size, &exponent);
  exponent = std::max(exponent - 1, -14);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return static_cast<uint16_t>(sign | ((exponent + 14) * 1024 + steps));
}

uint32_t width_of(int32_t type) { return type == kFloat32 ? 4 : type == kInt8 ? 1 : 2; }

struct Port {
  int32_t type, layout;
  int channels, side;
  float scale;
};

Port port(const Network& n, int index) {
  if (index == 0) return {n.in_type, n.in_layout, kIn, kSide, n.in_scale};
  return {n.out_type, n.out_layout, kOut, index == 1 ? kSide : 1, n.out_scale};
}

size_t place(const Port& p, int c, int y, int x) {
  const int row = p.layout == kNhwc && p.side == kSide ? static_cast<int>(kRowStride) : p.side;
  const int block = static_cast<int>(kBlock);
  if (p.layout == kNhwc) return static_cast<size_t>((y * row + x) * p.channels + c);
  if (p.layout == kNc1hwc2)
    return static_cast<size_t>((((c / block) * p.side + y) * p.side + x) * block + c % block);
  return static_cast<size_t>((c * p.side + y) * p.side + x);
}

float get(const void* data, const Port& p, int zero, size_t at) {
  if (p.type == kFloat32) return static_cast<const float*>(data)[at];
  if (p.type == kFloat16) return half_value(static_cast<const uint16_t*>(data)[at]);
  return static_cast<float>(static_cast<const int8_t*>(data)[at] - zero) * p.scale;
}

void put(void* data, const Port& p, int zero, size_t at, float value) {
  if (p.type == kFloat32) {
    static_cast<float*>(data)[at] = value;
  } else if (p.type == kFloat16) {
    static_cast<uint16_t*>(data)[at] = half_bits(value);
  } else {
    const float level = std::nearbyint(value / p.scale) + static_cast<float>(zero);
    static_cast<int8_t*>(data)[at] = static_cast<int8_t>(std::clamp(level, -128.0F, 127.0F));
  }
}

void compute(const float* in, const Network& n, std::vector<float>* map, std::vector<float>* mean) {
  constexpr int kPixels = kSide * kSide;
  map->assign(kOut * kPixels, 0.0F);
  mean->assign(kOut, 0.0F);
  for (int o = 0; o < kOut; ++o) {
    double sum = 0;
    for (int i = 0; i < kPixels; ++i) {
      float value = n.bias[o];
      for (int c = 0; c < kIn; ++c) value += n.weights[o][c] * in[c * kPixels + i];
      (*map)[static_cast<size_t>(o * kPixels + i)] = value;
      sum += static_cast<double>(value);
    }
    (*mean)[static_cast<size_t>(o)] = static_cast<float>(sum / kPixels);
  }
}

void describe(const Network& n, int index, bool native, TensorAttr* attr) {
  const Port p = port(n, index);
  const uint32_t number = attr->index;
  *attr = TensorAttr{};
  attr->index = number;
  const char* names[] = {"in0", "out0", "out1"};
  std::strcpy(attr->name, names[index]);
  const uint32_t channels = static_cast<uint32_t>(p.channels), side = static_cast<uint32_t>(p.side);
  attr->elements = channels * side * side;
  attr->type = n.behaviour == kOddType && index == 2 ? 9 : p.type;
  attr->quantisation = p.type == kInt8 ? kAffine : kNone;
  attr->zero_point = n.zero_point;
  attr->scale = p.scale;
  attr->layout = index == 0 ? kNhwc : kNchw;
  attr->rank = index == 2 ? 2 : 4;
  const uint32_t plain[] = {1, channels, side, side};
  const uint32_t turned[] = {1, side, side, channels};
  std::copy_n(index == 0 ? turned : plain, attr->rank, attr->dims);
  attr->bytes = attr->elements * width_of(p.type);
  if (!native) return;
  attr->layout = p.layout;
  if (p.layout == kNc1hwc2) {
    const uint32_t blocks = (channels + kBlock - 1) / kBlock;
    const uint32_t blocked[] = {1, blocks, side, side, kBlock};
    std::copy_n(blocked, 5, attr->dims);
    attr->rank = 5;
    attr->bytes = blocks * kBlock * side * side * width_of(p.type);
  } else if (p.layout == kNhwc && p.side == kSide) {
    attr->row_stride = kRowStride;
    attr->bytes_with_stride = kRowStride * side * channels * width_of(p.type);
  }
  attr->bytes_with_stride = std::max(attr->bytes_with_stride, attr->bytes);
}

State* state(Context context) { return reinterpret_cast<State*>(context); }

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int rknn_init(Context* context, void* model, uint32_t bytes, uint32_t, void*) {
  Network network;
  if (bytes != sizeof(network)) return kBadModel;
  std::memcpy(&network, model, sizeof(network));
  if (std::memcmp(network.magic, "RKNNDBL1", 8) != 0) return kBadModel;
  if (network.checksum != checksum(network)) return kBadModel;
  if (network.behaviour == kOther) return kOtherPlatform;
  if (network.behaviour == kInitFails) return kFail;
#ifdef DOUBLE_OLD
  return kBadModel;  // "Invalid RKNN model version 6"
#endif
  auto made = std::make_unique<State>();
  made->network = network;
  *context = reinterpret_cast<Context>(made.release());
  return kSuccess;
}

EXPORTED int rknn_destroy(Context context) {
  delete state(context);
  return kSuccess;
}

EXPORTED int rknn_query(Context context, int what, void* answer, uint32_t bytes) {
  const Network& n = state(context)->network;
  if (what == kQueryCounts && bytes == sizeof(Counts)) {
    *static_cast<Counts*>(answer) = {1, 2};
    return kSuccess;
  }
  if (what == kQueryVersions && bytes == sizeof(Versions)) {
    auto* versions = static_cast<Versions*>(answer);
#ifdef DOUBLE_BEFORE_2
    std::strcpy(versions->api, "1.6.0 (a double)");
    std::strcpy(versions->driver, "0.9.3");
#else
    std::strcpy(versions->api, "2.3.2 (a double)");
    std::strcpy(versions->driver, "0.9.8");
#endif
    return kSuccess;
  }
  if (bytes != sizeof(TensorAttr)) return kBadParameter;
  auto* attr = static_cast<TensorAttr*>(answer);
  const bool input = what == kQueryInput || what == kQueryNativeInput;
  const bool native = what == kQueryNativeInput || what == kQueryNativeOutput;
  if (!input && !native && what != kQueryOutput) return kBadParameter;
  if (attr->index >= (input ? 1U : 2U)) return kBadParameter;
  describe(n, input ? 0 : 1 + static_cast<int>(attr->index), native, attr);
  return kSuccess;
}

EXPORTED int rknn_set_core_mask(Context context, int) {
  return state(context)->network.behaviour == kNoCores ? kBadParameter : kSuccess;
}

EXPORTED int rknn_inputs_set(Context context, uint32_t count, Input* inputs) {
  const bool fits = count == 1 && inputs[0].type == kFloat32 && inputs[0].layout == kNhwc &&
                    inputs[0].bytes == kIn * kSide * kSide * sizeof(float);
  if (!fits) return kBadInput;
  const float* data = static_cast<const float*>(inputs[0].data);
  std::vector<float>& given = state(context)->given;
  given.resize(kIn * kSide * kSide);
  for (size_t i = 0; i < kSide * kSide; ++i) {
    for (size_t c = 0; c < kIn; ++c) given[c * kSide * kSide + i] = data[i * kIn + c];
  }
  return kSuccess;
}

#ifdef DOUBLE_WITHOUT_RUN
#define rknn_run rknn_run_under_another_name
#endif

EXPORTED int rknn_run(Context context, void*) {
  State& s = *state(context);
  const Network& n = s.network;
  if (n.behaviour == kRunTimesOut) return kTimeout;
  if (s.memory[0] == nullptr) return s.given.empty() ? kBadInput : kSuccess;
  std::vector<float> in, results[2];
  for (int c = 0; c < kIn; ++c) {
    for (int i = 0; i < kSide * kSide; ++i) {
      const Port p = port(n, 0);
      in.push_back(get(s.memory[0]->data, p, n.zero_point, place(p, c, i / kSide, i % kSide)));
    }
  }
  compute(in.data(), n, &results[0], &results[1]);
  for (int o = 0; o < 2; ++o) {
    const Port p = port(n, o + 1);
    size_t next = 0;
    for (int c = 0; c < p.channels; ++c) {
      for (int y = 0; y < p.side; ++y) {
        for (int x = 0; x < p.side; ++x)
          put(s.memory[o + 1]->data, p, n.zero_point, place(p, c, y, x), results[o][next++]);
      }
    }
  }
  return kSuccess;
}
EXPORTED int rknn_outputs_get(Context context, uint32_t count, Output* outputs, void*) {
  State& s = *state(context);
  std::vector<float> results[2];
  compute(s.given.data(), s.network, &results[0], &results[1]);
  for (uint32_t o = 0; o < count; ++o) {
    const std::vector<float>& result = results[outputs[o].index];
    const bool fits = outputs[o].want_float == 1 && outputs[o].is_preallocated == 1 &&
                      outputs[o].bytes == result.size() * sizeof(float);
    if (!fits) return kBadOutput;
    std::copy(result.begin(), result.end(), static_cast<float*>(outputs[o].data));
  }
  return kSuccess;
}

EXPORTED int rknn_outputs_release(Context, uint32_t, Output*) { return kSuccess; }

#ifndef DOUBLE_WITHOUT_ZERO_COPY
EXPORTED Memory* rknn_create_mem(Context context, uint32_t bytes) {
  if (state(context)->network.behaviour == kNoMemory) return nullptr;
  auto memory = std::make_unique<Memory>();
  memory->bytes = bytes;
  memory->data = std::malloc(bytes);
  return memory.release();
}

EXPORTED int rknn_destroy_mem(Context, Memory* memory) {
  std::free(memory->data);
  delete memory;
  return kSuccess;
}

EXPORTED int rknn_set_io_mem(Context context, Memory* memory, TensorAttr* attr) {
  const bool input = std::strcmp(attr->name, "in0") == 0;
  if (input && attr->pass_through != 1) return kBadParameter;
  if (memory->bytes < std::max(attr->bytes, attr->bytes_with_stride)) return kBadParameter;
  state(context)->memory[input ? 0 : 1 + attr->index] = memory;
  return kSuccess;
}

EXPORTED int rknn_mem_sync(Context, Memory*, int mode) {
  return mode == kToDevice || mode == kFromDevice ? kSuccess : kBadParameter;
}
#endif
