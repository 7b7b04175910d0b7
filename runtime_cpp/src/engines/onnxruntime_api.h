#ifndef EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_API_H_
#define EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_API_H_

#include <cstddef>
#include <cstdint>

// What the engine uses of ONNX Runtime's C API: own declarations, from its public documentation. A
// version of the API only appends functions, so a place in the table means the same in all later
// ones.

namespace edgepose::ort {

struct Env;
struct Answer;  // null: success
struct MemoryInfo;
struct Session;
struct SessionOptions;
struct RunOptions;
struct Value;
struct TypeInfo;
struct TensorInfo;  // belongs to its TypeInfo
struct Allocator;
struct ProviderOptions;  // of CUDA or of TensorRT

constexpr uint32_t kApiVersion = 11;  // ONNX Runtime 1.11: the first with CUDA's options by name
constexpr int kFloat32 = 1;
constexpr int kLogFatal = 4;
constexpr int kOptimiseAll = 99;
constexpr int kArenaAllocator = 1;
constexpr int kDefaultMemory = 0;

using Logger = void (*)(void*, int severity, const char* category, const char* id,
                        const char* place, const char* message);

// The table of functions; `at` gives one by its place.
struct Api;

struct ApiBase {
  const Api* (*get)(uint32_t version);
  const char* (*version)();
};

template <int kPlace, typename Function>
struct Entry {
  static Function of(const Api* api) {
    const void* const* table = reinterpret_cast<const void* const*>(api);
    return reinterpret_cast<Function>(const_cast<void*>(table[kPlace]));
  }
};

using GetErrorMessage = Entry<2, const char* (*)(const Answer*)>;
using CreateEnvWithLogger =
    Entry<4, Answer* (*)(Logger, void*, int severity, const char* id, Env**)>;
using CreateSession =
    Entry<7, Answer* (*)(const Env*, const char* path, const SessionOptions*, Session**)>;
using Run = Entry<9, Answer* (*)(Session*, const RunOptions*, const char* const* in_names,
                                 const Value* const* in, size_t in_count,
                                 const char* const* out_names, size_t out_count, Value** out)>;
using CreateSessionOptions = Entry<10, Answer* (*)(SessionOptions**)>;
using SetOptimisation = Entry<23, Answer* (*)(SessionOptions*, int level)>;
using SetIntraOpThreads = Entry<24, Answer* (*)(SessionOptions*, int count)>;
using SetInterOpThreads = Entry<25, Answer* (*)(SessionOptions*, int count)>;
using InputCount = Entry<30, Answer* (*)(const Session*, size_t*)>;
using OutputCount = Entry<31, Answer* (*)(const Session*, size_t*)>;
using InputType = Entry<33, Answer* (*)(const Session*, size_t, TypeInfo**)>;
using OutputType = Entry<34, Answer* (*)(const Session*, size_t, TypeInfo**)>;
using InputName = Entry<36, Answer* (*)(const Session*, size_t, Allocator*, char**)>;
using OutputName = Entry<37, Answer* (*)(const Session*, size_t, Allocator*, char**)>;
using CreateTensor = Entry<49, Answer* (*)(const MemoryInfo*, void* data, size_t bytes,
                                           const int64_t* dims, size_t rank, int type, Value**)>;
using AsTensorInfo = Entry<55, Answer* (*)(const TypeInfo*, const TensorInfo**)>;
using ElementType = Entry<60, Answer* (*)(const TensorInfo*, int*)>;
using DimsCount = Entry<61, Answer* (*)(const TensorInfo*, size_t*)>;
using Dims = Entry<62, Answer* (*)(const TensorInfo*, int64_t*, size_t count)>;
using CreateCpuMemoryInfo = Entry<69, Answer* (*)(int allocator, int memory, MemoryInfo**)>;
using AllocatorFree = Entry<76, Answer* (*)(Allocator*, void*)>;
using DefaultAllocator = Entry<78, Answer* (*)(Allocator**)>;
using ReleaseStatus = Entry<93, void (*)(Answer*)>;
using ReleaseSession = Entry<95, void (*)(Session*)>;
using ReleaseValue = Entry<96, void (*)(Value*)>;
using ReleaseTypeInfo = Entry<98, void (*)(TypeInfo*)>;
using ReleaseSessionOptions = Entry<100, void (*)(SessionOptions*)>;
using AddConfigEntry = Entry<130, Answer* (*)(SessionOptions*, const char* key, const char* value)>;
using AppendTensorrt = Entry<170, Answer* (*)(SessionOptions*, const ProviderOptions*)>;
using CreateTensorrtOptions = Entry<171, Answer* (*)(ProviderOptions**)>;
using UpdateTensorrtOptions = Entry<172, Answer* (*)(ProviderOptions*, const char* const* keys,
                                                     const char* const* values, size_t count)>;
using ReleaseTensorrtOptions = Entry<174, void (*)(ProviderOptions*)>;
using AppendCuda = Entry<204, Answer* (*)(SessionOptions*, const ProviderOptions*)>;
using CreateCudaOptions = Entry<205, Answer* (*)(ProviderOptions**)>;
using UpdateCudaOptions = Entry<206, Answer* (*)(ProviderOptions*, const char* const* keys,
                                                 const char* const* values, size_t count)>;
using ReleaseCudaOptions = Entry<208, void (*)(ProviderOptions*)>;

}  // namespace edgepose::ort

#endif  // EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_API_H_
