#ifndef EDGEPOSE_SRC_ENGINES_RKNN_LIBRARY_H_
#define EDGEPOSE_SRC_ENGINES_RKNN_LIBRARY_H_

#include <memory>
#include <string>

#include "edgepose/status.h"
#include "engines/rknn_api.h"

namespace edgepose::rknn {

// librknnrt, loaded at run time and unloaded with the last engine that uses it. The members are its
// functions; those of the zero-copy part are null where the library lacks one of them.
struct Library {
  ~Library();

  int (*init)(Context*, void* model, uint32_t bytes, uint32_t flags, void*) = nullptr;
  int (*destroy)(Context) = nullptr;
  int (*query)(Context, int what, void* answer, uint32_t bytes) = nullptr;
  int (*inputs_set)(Context, uint32_t count, Input*) = nullptr;
  int (*run)(Context, void*) = nullptr;
  int (*outputs_get)(Context, uint32_t count, Output*, void*) = nullptr;
  int (*outputs_release)(Context, uint32_t count, Output*) = nullptr;

  int (*set_core_mask)(Context, int mask) = nullptr;  // null before version 1.3

  Memory* (*create_mem)(Context, uint32_t bytes) = nullptr;
  int (*destroy_mem)(Context, Memory*) = nullptr;
  int (*set_io_mem)(Context, Memory*, TensorAttr*) = nullptr;
  int (*mem_sync)(Context, Memory*, int mode) = nullptr;

  bool zero_copy() const { return set_io_mem != nullptr; }

  std::string path;
  void* handle = nullptr;
};

// Loads $EDGEPOSE_RKNN_LIBRARY or, without it, librknnrt.so from where the system looks.
// kUnsupported names a library that cannot be loaded or a function that it lacks.
Result<std::shared_ptr<Library>> load_library();

// What an answer of the library means, for messages.
std::string answer_text(int answer);

}  // namespace edgepose::rknn

#endif  // EDGEPOSE_SRC_ENGINES_RKNN_LIBRARY_H_
