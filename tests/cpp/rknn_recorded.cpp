// A library with librknnrt's C interface that gives recorded outputs for recorded inputs, float32
// and by copying, and refuses any other input. Its "network" file holds them; rknn_double.py writes
// it, little-endian:
//   "RKNNREC1", samples, outputs, the input, each output, then each sample's input and outputs;
//   a tensor is its name[64], rank and dims[8].

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "engines/rknn_api.h"

namespace {

using namespace edgepose::rknn;  // NOLINT: the whole file is about it

// What differs between processors in the last bit is still the same picture.
constexpr float kTolerance = 1e-4F;

struct Tensor {
  char name[64];
  uint32_t rank;
  uint32_t dims[8];

  [[nodiscard]] size_t size() const {
    size_t size = 1;
    for (uint32_t i = 0; i < std::min(rank, 8U); ++i) size *= dims[i];
    return size;
  }
};

struct State {
  std::vector<Tensor> tensors;  // the input, then the outputs
  std::vector<float> samples;
  size_t sample_size = 0;
  std::vector<float> given;
  const float* answer = nullptr;
};

State* state(Context context) { return reinterpret_cast<State*>(context); }

bool read(const unsigned char* file, size_t bytes, State* made) {
  uint32_t counts[2];
  constexpr size_t kHead = 8 + sizeof(counts);
  if (bytes < kHead || std::memcmp(file, "RKNNREC1", 8) != 0) return false;
  std::memcpy(counts, file + 8, sizeof(counts));
  if (counts[1] > 16 || bytes < kHead + (1 + counts[1]) * sizeof(Tensor)) return false;
  made->tensors.resize(1 + counts[1]);
  std::memcpy(made->tensors.data(), file + kHead, made->tensors.size() * sizeof(Tensor));
  for (const Tensor& tensor : made->tensors) made->sample_size += tensor.size();
  const size_t body = kHead + made->tensors.size() * sizeof(Tensor);
  if (bytes - body != counts[0] * made->sample_size * sizeof(float)) return false;
  made->samples.resize(counts[0] * made->sample_size);
  std::memcpy(made->samples.data(), file + body, bytes - body);
  return made->tensors[0].rank == 4;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int rknn_init(Context* context, void* model, uint32_t bytes, uint32_t, void*) {
  auto made = std::make_unique<State>();
  if (!read(static_cast<const unsigned char*>(model), bytes, made.get())) return kBadModel;
  *context = reinterpret_cast<Context>(made.release());
  return kSuccess;
}

EXPORTED int rknn_destroy(Context context) {
  delete state(context);
  return kSuccess;
}

EXPORTED int rknn_query(Context context, int what, void* answer, uint32_t bytes) {
  const State& s = *state(context);
  if (what == kQueryCounts && bytes == sizeof(Counts)) {
    *static_cast<Counts*>(answer) = {1, static_cast<uint32_t>(s.tensors.size() - 1)};
    return kSuccess;
  }
  if (what == kQueryVersions && bytes == sizeof(Versions)) {
    auto* versions = static_cast<Versions*>(answer);
    std::strcpy(versions->api, "2.3.2 (a recording)");
    std::strcpy(versions->driver, "0.9.8");
    return kSuccess;
  }
  if ((what != kQueryInput && what != kQueryOutput) || bytes != sizeof(TensorAttr))
    return kBadParameter;
  auto* attr = static_cast<TensorAttr*>(answer);
  const uint32_t number = attr->index;
  const size_t place = what == kQueryInput ? number : size_t{1} + number;
  if (place >= s.tensors.size() || (what == kQueryInput && number != 0)) return kBadParameter;
  const Tensor& tensor = s.tensors[place];
  *attr = TensorAttr{};
  attr->index = number;
  std::memcpy(attr->name, tensor.name, sizeof(tensor.name));
  attr->rank = tensor.rank;
  std::copy_n(tensor.dims, tensor.rank, attr->dims);
  attr->layout = kNchw;
  if (what == kQueryInput) {
    const uint32_t* dims = tensor.dims;
    const uint32_t turned[] = {dims[0], dims[2], dims[3], dims[1]};
    std::copy_n(turned, 4, attr->dims);
    attr->layout = kNhwc;
  }
  attr->type = kFloat32;
  attr->elements = static_cast<uint32_t>(tensor.size());
  attr->bytes = attr->elements * static_cast<uint32_t>(sizeof(float));
  return kSuccess;
}

EXPORTED int rknn_set_core_mask(Context, int) { return kSuccess; }

EXPORTED int rknn_inputs_set(Context context, uint32_t count, Input* inputs) {
  State& s = *state(context);
  const Tensor& tensor = s.tensors[0];
  if (count != 1 || inputs[0].type != kFloat32 || inputs[0].layout != kNhwc ||
      inputs[0].bytes != tensor.size() * sizeof(float))
    return kBadInput;
  const auto* data = static_cast<const float*>(inputs[0].data);
  const size_t channels = tensor.dims[1], pixels = tensor.size() / channels;
  s.given.resize(tensor.size());
  for (size_t i = 0; i < pixels; ++i) {
    for (size_t c = 0; c < channels; ++c) s.given[c * pixels + i] = data[i * channels + c];
  }
  return kSuccess;
}

EXPORTED int rknn_run(Context context, void*) {
  State& s = *state(context);
  const auto same = [](float a, float b) { return std::fabs(a - b) <= kTolerance; };
  for (size_t begin = 0; begin < s.samples.size(); begin += s.sample_size) {
    const float* sample = s.samples.data() + begin;
    if (std::equal(s.given.begin(), s.given.end(), sample, same)) {
      s.answer = sample + s.given.size();
      return kSuccess;
    }
  }
  return kBadInput;
}

EXPORTED int rknn_outputs_get(Context context, uint32_t count, Output* outputs, void*) {
  const State& s = *state(context);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t index = outputs[i].index;
    const float* from = s.answer;
    for (uint32_t before = 0; before < index; ++before) from += s.tensors[1 + before].size();
    const size_t size = s.tensors[1 + index].size();
    if (outputs[i].want_float != 1 || outputs[i].is_preallocated != 1 ||
        outputs[i].bytes != size * sizeof(float))
      return kBadOutput;
    std::copy_n(from, size, static_cast<float*>(outputs[i].data));
  }
  return kSuccess;
}

EXPORTED int rknn_outputs_release(Context, uint32_t, Output*) { return kSuccess; }
