#ifndef EDGEPOSE_BINDINGS_JNI_GUARD_H_
#define EDGEPOSE_BINDINGS_JNI_GUARD_H_

#include <jni.h>

#include <exception>
#include <utility>

#include "edgepose/status.h"

namespace edgepose::jni {

// Looks up dev.edgepose.EdgePoseException. False with a Java exception pending where it is absent.
bool load_exception_class(JNIEnv* env);
void unload_exception_class(JNIEnv* env);

// Makes an EdgePoseException pending, unless an exception already is.
void throw_status(JNIEnv* env, const Status& status) noexcept;

// Runs body() -> Result<T>. Whatever goes wrong in it becomes a Java exception, and `otherwise` is
// returned: no C++ exception crosses into the virtual machine.
template <typename T, typename Body>
T guarded(JNIEnv* env, T otherwise, const Body& body) noexcept {
  try {
    Result<T> result = body();
    if (result.ok()) return std::move(result).value();
    throw_status(env, result.status());
  } catch (const std::exception& error) {
    throw_status(env, Status(Code::kInternal, error.what()));
  } catch (...) {
    throw_status(env, Status(Code::kInternal, "an unknown C++ exception"));
  }
  return otherwise;
}

}  // namespace edgepose::jni

#endif  // EDGEPOSE_BINDINGS_JNI_GUARD_H_
