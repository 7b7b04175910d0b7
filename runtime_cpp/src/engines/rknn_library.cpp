#include "engines/rknn_library.h"

#include <dlfcn.h>

#include <cstdlib>

namespace edgepose::rknn {
namespace {

constexpr char kHint[] =
    "install librknnrt 2.x from Rockchip on the board, or let EDGEPOSE_RKNN_LIBRARY name the file";

template <typename Function>
bool find(void* handle, const char* name, Function* function) {
  // POSIX: an object pointer from dlsym may be read as a function pointer.
  *function = reinterpret_cast<Function>(dlsym(handle, name));
  return *function != nullptr;
}

}  // namespace

Library::~Library() {
  if (handle != nullptr) dlclose(handle);
}

Result<std::shared_ptr<Library>> load_library() {
  const char* own = std::getenv("EDGEPOSE_RKNN_LIBRARY");
  auto library = std::make_shared<Library>();
  library->path = own != nullptr && *own != '\0' ? own : "librknnrt.so";
  library->handle = dlopen(library->path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr) {
    const char* reason = dlerror();
    return Status(Code::kUnsupported,
                  "the NPU's runtime " + library->path +
                      " cannot be loaded: " + (reason != nullptr ? reason : "no reason given"),
                  kHint);
  }
  void* const handle = library->handle;
  const char* missing = nullptr;
  const auto need = [&](const char* name, auto* function) {
    if (!find(handle, name, function) && missing == nullptr) missing = name;
  };
  need("rknn_init", &library->init);
  need("rknn_destroy", &library->destroy);
  need("rknn_query", &library->query);
  need("rknn_inputs_set", &library->inputs_set);
  need("rknn_run", &library->run);
  need("rknn_outputs_get", &library->outputs_get);
  need("rknn_outputs_release", &library->outputs_release);
  if (missing != nullptr) {
    return Status(Code::kUnsupported,
                  library->path + " has no function " + missing + "; it is not librknnrt", kHint);
  }
  find(handle, "rknn_set_core_mask", &library->set_core_mask);
  const bool zero_copy = find(handle, "rknn_create_mem", &library->create_mem) &&
                         find(handle, "rknn_destroy_mem", &library->destroy_mem) &&
                         find(handle, "rknn_set_io_mem", &library->set_io_mem);
  if (!zero_copy) library->set_io_mem = nullptr;
  find(handle, "rknn_mem_sync", &library->mem_sync);
  return library;
}

std::string answer_text(int answer) {
  switch (answer) {
    case kFail:
      return "it failed";
    case kTimeout:
      return "the NPU did not answer in time";
    case kDeviceUnavailable:
      return "the NPU is not available";
    case kOutOfMemory:
      return "out of memory";
    case kBadParameter:
      return "a parameter is invalid";
    case kBadModel:
      return "the library cannot read the network";
    case kBadContext:
      return "the context is invalid";
    case kBadInput:
      return "an input is invalid";
    case kBadOutput:
      return "an output is invalid";
    case kOtherDevice:
      return "the runtime and the NPU do not fit together";
    case kOldPrecompiledModel:
    case kOldOptimisationLevel:
      return "the network was compiled for another version of the runtime";
    case kOtherPlatform:
      return "the network was compiled for another chip";
    default:
      return "error " + std::to_string(answer);
  }
}

}  // namespace edgepose::rknn
