#include "engines/onnxruntime_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "engines/engines.h"

namespace edgepose::ort {
namespace {

constexpr char kHint[] =
    "pip install onnxruntime, or let EDGEPOSE_ONNXRUNTIME_LIBRARY name libonnxruntime.so";

// What it would print is in the answers of its functions.
void be_silent(void*, int, const char*, const char*, const char*, const char*) {}

Result<Library> load(const std::vector<std::string>& paths) {
  void* handle = nullptr;
  std::string reason;
  Library library;
  for (const std::string& path : paths) {
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    library.path = path;
    if (handle != nullptr) break;
    const char* text = dlerror();
    if (reason.empty()) reason = text != nullptr ? text : "no reason given";
  }
  if (handle == nullptr) {
    return Status(Code::kUnsupported, "ONNX Runtime cannot be loaded: " + reason, kHint);
  }
  // POSIX: an object pointer from dlsym may be read as a function pointer.
  const auto get_base = reinterpret_cast<const ApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  const ApiBase* const base = get_base != nullptr ? get_base() : nullptr;
  if (base == nullptr) {
    dlclose(handle);
    return Status(Code::kUnsupported, library.path + " is not ONNX Runtime", kHint);
  }
  library.version = base->version();
  library.api = base->get(kApiVersion);
  if (library.api == nullptr) {
    dlclose(handle);
    return Status(
        Code::kUnsupported,
        library.path + " is ONNX Runtime " + library.version + "; 1.11 is the oldest that will do",
        kHint);
  }
  EDGEPOSE_RETURN_IF_ERROR(library.check(
      CreateEnvWithLogger::of(library.api)(be_silent, nullptr, kLogFatal, "edgepose", &library.env),
      library.path));
  EDGEPOSE_RETURN_IF_ERROR(library.check(
      CreateCpuMemoryInfo::of(library.api)(kArenaAllocator, kDefaultMemory, &library.memory),
      library.path));
  return library;
}

}  // namespace

bool Library::is_at_least(int minor) const {
  int found_major = 0;
  int found_minor = 0;
  return std::sscanf(version.c_str(), "%d.%d", &found_major, &found_minor) == 2 &&
         (found_major > 1 || (found_major == 1 && found_minor >= minor));
}

Status Library::check(Answer* answer, const std::string& what) const {
  if (answer == nullptr) return {};
  const std::string text = GetErrorMessage::of(api)(answer);
  ReleaseStatus::of(api)(answer);
  return Status(Code::kBackendFailure, what + ": " + one_line(text));
}

Result<const Library*> load_library() {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<const Library>>* const loaded =
      new std::map<std::string, std::unique_ptr<const Library>>();
  const char* own = std::getenv("EDGEPOSE_ONNXRUNTIME_LIBRARY");
  const std::string named = own != nullptr ? own : "";
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<const Library>& kept = (*loaded)[named];
  if (kept == nullptr) {
    std::vector<std::string> paths = {"libonnxruntime.so.1", "libonnxruntime.so"};
    if (!named.empty()) paths = {named};
    EDGEPOSE_ASSIGN_OR_RETURN(Library library, load(paths));
    kept = std::make_unique<const Library>(std::move(library));
  }
  return kept.get();
}

}  // namespace edgepose::ort
