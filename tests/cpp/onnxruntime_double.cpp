// ONNX Runtime as it would be on a device with a GPU: the real library's functions, but for those
// of CUDA and TensorRT, which are written down in $EDGEPOSE_DOUBLE_LOG; the CPU computes. With
// EDGEPOSE_DOUBLE_OLD=1 it is a version that lacks them; EDGEPOSE_DOUBLE_VERSION is what it calls
// itself. EDGEPOSE_DOUBLE_OF names the real library.

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engines/onnxruntime_api.h"

namespace {

using edgepose::ort::Answer;
using edgepose::ort::Api;
using edgepose::ort::ApiBase;
using edgepose::ort::ProviderOptions;
using edgepose::ort::RunOptions;
using edgepose::ort::Session;
using edgepose::ort::SessionOptions;
using edgepose::ort::Value;

constexpr int kPlaces = 209;
const void* table[kPlaces];
const ApiBase* real_base = nullptr;
const Api* real = nullptr;

void note(const char* text, const char* value = "") {
  const char* path = std::getenv("EDGEPOSE_DOUBLE_LOG");
  std::FILE* log = path != nullptr ? std::fopen(path, "a") : nullptr;
  if (log == nullptr) return;
  std::fprintf(log, "%s%s%s\n", text, *value != '\0' ? "=" : "", value);
  std::fclose(log);
}

Answer* create(ProviderOptions** out) {
  static char something = 0;
  *out = reinterpret_cast<ProviderOptions*>(&something);
  return nullptr;
}

Answer* update(ProviderOptions*, const char* const* keys, const char* const* values, size_t count) {
  for (size_t i = 0; i < count; ++i) note(keys[i], values[i]);
  return nullptr;
}

Answer* append_cuda(SessionOptions*, const ProviderOptions*) {
  note("append CUDA");
  return nullptr;
}

Answer* append_tensorrt(SessionOptions*, const ProviderOptions*) {
  note("append TensorRT");
  return nullptr;
}

void release(ProviderOptions*) {}

// Without a GPU the real library could not do without the CPU.
Answer* add_config(SessionOptions*, const char* key, const char* value) {
  note(key, value);
  return nullptr;
}

Answer* run(Session* session, const RunOptions* options, const char* const* in_names,
            const Value* const* in, size_t in_count, const char* const* out_names, size_t out_count,
            Value** out) {
  note("run");
  return edgepose::ort::Run::of(real)(session, options, in_names, in, in_count, out_names,
                                      out_count, out);
}

const Api* get(uint32_t version) {
  if (std::getenv("EDGEPOSE_DOUBLE_OLD") != nullptr) return nullptr;
  real = real_base->get(version);
  std::memcpy(table, real, sizeof(table));
  const auto set = [](int place, auto* function) {
    table[place] = reinterpret_cast<const void*>(function);
  };
  set(9, run);
  set(130, add_config);
  set(170, append_tensorrt);
  set(171, create);
  set(172, update);
  set(174, release);
  set(204, append_cuda);
  set(205, create);
  set(206, update);
  set(208, release);
  return reinterpret_cast<const Api*>(table);
}

const char* version() {
  const char* const given = std::getenv("EDGEPOSE_DOUBLE_VERSION");
  return given != nullptr ? given : "1.31.0";
}

const ApiBase base = {get, version};

}  // namespace

extern "C" const ApiBase* OrtGetApiBase() {
  const char* path = std::getenv("EDGEPOSE_DOUBLE_OF");
  void* handle = path != nullptr ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (handle == nullptr) return nullptr;
  real_base = reinterpret_cast<const ApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"))();
  return &base;
}
