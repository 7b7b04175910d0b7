#include "guard.h"

#include "text.h"

namespace edgepose::jni {
namespace {

// Set when the library is loaded; the virtual machine runs that alone.
jclass exception_class = nullptr;
jmethodID constructor = nullptr;

}  // namespace

bool load_exception_class(JNIEnv* env) {
  const jclass found = env->FindClass("dev/edgepose/EdgePoseException");
  if (found == nullptr) return false;
  constructor = env->GetMethodID(found, "<init>", "(ILjava/lang/String;Ljava/lang/String;)V");
  if (constructor == nullptr) return false;
  exception_class = static_cast<jclass>(env->NewGlobalRef(found));
  return exception_class != nullptr;
}

void unload_exception_class(JNIEnv* env) {
  if (exception_class != nullptr) env->DeleteGlobalRef(exception_class);
  exception_class = nullptr;
}

void throw_status(JNIEnv* env, const Status& status) noexcept {
  if (env->ExceptionCheck()) return;
  try {
    const jstring message = to_java(env, status.message());
    if (message == nullptr) return;
    const jstring hint = to_java(env, status.hint());
    if (hint == nullptr) return;
    const jobject error = env->NewObject(exception_class, constructor,
                                         static_cast<jint>(status.code()), message, hint);
    if (error != nullptr && !env->ExceptionCheck()) env->Throw(static_cast<jthrowable>(error));
  } catch (...) {
    const jclass out_of_memory = env->FindClass("java/lang/OutOfMemoryError");
    if (out_of_memory != nullptr) env->ThrowNew(out_of_memory, "EdgePose: no memory for an error");
  }
}

}  // namespace edgepose::jni
