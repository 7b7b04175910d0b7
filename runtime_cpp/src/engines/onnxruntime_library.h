#ifndef EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_LIBRARY_H_
#define EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_LIBRARY_H_

#include <memory>
#include <string>

#include "edgepose/status.h"
#include "engines/onnxruntime_api.h"

namespace edgepose::ort {

// ONNX Runtime, loaded at run time; it stays loaded to the end of the process, for its threads do
// not survive an unloading.
struct Library {
  const Api* api = nullptr;
  Env* env = nullptr;
  MemoryInfo* memory = nullptr;  // the CPU's
  std::string path;
  std::string version;

  // Whether it is version 1.`minor` or a later one.
  bool is_at_least(int minor) const;
  // The edgepose status of an answer, which is released; `what` begins the message.
  Status check(Answer* answer, const std::string& what) const;
};

// Loads $EDGEPOSE_ONNXRUNTIME_LIBRARY or, without it, libonnxruntime.so.1 or libonnxruntime.so from
// where the system looks. kUnsupported names a library that cannot be loaded or is too old.
Result<const Library*> load_library();

// Releases what the API made, with its own function.
template <typename Release>
struct Deleter {
  const Api* api = nullptr;
  template <typename T>
  void operator()(T* object) const {
    Release::of(api)(object);
  }
};
template <typename T, typename Release>
using Owned = std::unique_ptr<T, Deleter<Release>>;

template <typename Release, typename T>
Owned<T, Release> own(const Library& library, T* object) {
  return Owned<T, Release>(object, Deleter<Release>{library.api});
}

}  // namespace edgepose::ort

#endif  // EDGEPOSE_SRC_ENGINES_ONNXRUNTIME_LIBRARY_H_
