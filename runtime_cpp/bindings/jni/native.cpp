// The native methods of dev.edgepose.Native.

#include <jni.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench.h"
#include "guard.h"
#include "session.h"
#include "text.h"

namespace edgepose::jni {
namespace {

// Raised with every change of the native methods or of the result buffer; Native.java has the same.
constexpr jint kInterfaceVersion = 3;

SessionTable& sessions() {
  static SessionTable table;
  return table;
}

struct Bytes {
  uint8_t* data = nullptr;
  size_t count = 0;
};

// The memory of a direct buffer; a null reference gives no memory.
Result<Bytes> bytes_of(JNIEnv* env, jobject buffer, const char* what) {
  if (buffer == nullptr) return Bytes();
  auto* data = static_cast<uint8_t*>(env->GetDirectBufferAddress(buffer));
  const jlong count = env->GetDirectBufferCapacity(buffer);
  if (data == nullptr || count <= 0) {
    return Status(Code::kInvalidArgument, std::string(what) + " is not a direct buffer, or empty",
                  "use ByteBuffer.allocateDirect, or the planes of a camera image");
  }
  return Bytes{data, static_cast<size_t>(count)};
}

jintArray to_java_array(JNIEnv* env, const std::vector<jint>& values) {
  const jintArray array = env->NewIntArray(static_cast<jsize>(values.size()));
  if (array != nullptr)
    env->SetIntArrayRegion(array, 0, static_cast<jsize>(values.size()), values.data());
  return array;
}

jint interface_version(JNIEnv*, jclass) { return kInterfaceVersion; }

jstring library_version(JNIEnv* env, jclass) {
  return guarded<jstring>(env, nullptr,
                          [&]() -> Result<jstring> { return to_java(env, EDGEPOSE_VERSION); });
}

// Verifies a bundle without loading its networks.
void check(JNIEnv* env, jclass, jstring folder) {
  guarded<bool>(env, false, [&]() -> Result<bool> {
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string path, from_java(env, folder, "bundle"));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bundle bundle, Bundle::open(path));
    const std::vector<std::string>& known = available_backends();
    if (std::find(known.begin(), known.end(), bundle.backend()) != known.end()) return true;
    return Status(Code::kUnsupported,
                  "the bundle is for " + bundle.backend() + ", which this build does not have",
                  "convert the checkpoint with --to ncnn");
  });
}

jlong open(JNIEnv* env, jclass, jstring bundle, jint threads, jstring device, jboolean track,
           jboolean smooth, jint detect_every, jint detect_delay) {
  return guarded<jlong>(env, 0, [&]() -> Result<jlong> {
    PipelineOptions options;
    options.threads = threads;
    options.track = track == JNI_TRUE;
    options.smooth = smooth == JNI_TRUE;
    options.detect_every = detect_every;
    options.detect_delay = detect_delay;
    EDGEPOSE_ASSIGN_OR_RETURN(options.device, from_java(env, device, "device"));
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string folder, from_java(env, bundle, "bundle"));
    EDGEPOSE_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, Session::open(folder, options));
    return static_cast<jlong>(sessions().add(std::move(session)));
  });
}

void close(JNIEnv* env, jclass, jlong handle) {
  guarded<bool>(env, false, [&]() -> Result<bool> {
    sessions().remove(handle);
    return true;
  });
}

// {name, backend, precision, digest}
jobjectArray facts(JNIEnv* env, jclass, jlong handle) {
  return guarded<jobjectArray>(env, nullptr, [&]() -> Result<jobjectArray> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    const Bundle& bundle = session->bundle();
    return to_java_texts(env,
                         {bundle.name(), bundle.backend(), bundle.precision(), bundle.digest()});
  });
}

jobjectArray keypoint_names(JNIEnv* env, jclass, jlong handle) {
  return guarded<jobjectArray>(env, nullptr, [&]() -> Result<jobjectArray> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    return to_java_texts(env, session->bundle().keypoints().keypoints);
  });
}

// Pairs of keypoint numbers, one after the other.
jintArray skeleton(JNIEnv* env, jclass, jlong handle) {
  return guarded<jintArray>(env, nullptr, [&]() -> Result<jintArray> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    std::vector<jint> ends;
    for (const auto& [from, to] : session->bundle().keypoints().skeleton) {
      ends.push_back(from);
      ends.push_back(to);
    }
    return to_java_array(env, ends);
  });
}

// {words of the header, words per person, words of a person's box, words per keypoint}
jintArray layout(JNIEnv* env, jclass, jlong handle) {
  return guarded<jintArray>(env, nullptr, [&]() -> Result<jintArray> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    return to_java_array(
        env,
        {static_cast<jint>(Session::kHeaderWords), static_cast<jint>(session->words_per_person()),
         static_cast<jint>(Session::kBoxWords), static_cast<jint>(session->words_per_keypoint())});
  });
}

jfloat keypoint_threshold(JNIEnv* env, jclass, jlong handle) {
  return guarded<jfloat>(env, 0, [&]() -> Result<jfloat> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    return session->bundle().pipeline().keypoint_score_threshold;
  });
}

jint process(JNIEnv* env, jclass, jlong handle, jobject data, jobject u, jobject v, jint format,
             jint width_px, jint height_px, jint row_stride_bytes, jint chroma_row_stride_bytes,
             jint chroma_pixel_stride_bytes, jint colour, jint rotation_deg, jboolean mirrored,
             jlong time_ns, jobject results) {
  return guarded<jint>(env, 0, [&]() -> Result<jint> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bytes data_bytes, bytes_of(env, data, "the first plane"));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bytes u_bytes, bytes_of(env, u, "the second plane"));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bytes v_bytes, bytes_of(env, v, "the third plane"));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bytes words, bytes_of(env, results, "the result buffer"));
    ImageView image;
    image.data = data_bytes.data;
    image.data_bytes = data_bytes.count;
    image.u = u_bytes.data;
    image.u_bytes = u_bytes.count;
    image.v = v_bytes.data;
    image.v_bytes = v_bytes.count;
    image.format = static_cast<PixelFormat>(format);
    image.width_px = width_px;
    image.height_px = height_px;
    image.row_stride_bytes = row_stride_bytes;
    image.chroma_row_stride_bytes = chroma_row_stride_bytes;
    image.chroma_pixel_stride_bytes = chroma_pixel_stride_bytes;
    image.colour = static_cast<YuvColour>(colour);
    image.rotation_deg = rotation_deg;
    image.mirrored = mirrored == JNI_TRUE;
    return session->process(image, time_ns, words.data, words.count / 4);
  });
}

void reset(JNIEnv* env, jclass, jlong handle) {
  guarded<bool>(env, false, [&]() -> Result<bool> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    EDGEPOSE_RETURN_IF_ERROR(session->reset());
    return true;
  });
}

// {1 where the golden results are reproduced, tolerance, mean and largest distance of boxes, of
// keypoints; px}
jdoubleArray verify(JNIEnv* env, jclass, jlong handle) {
  return guarded<jdoubleArray>(env, nullptr, [&]() -> Result<jdoubleArray> {
    EDGEPOSE_ASSIGN_OR_RETURN(const auto session, sessions().find(handle));
    EDGEPOSE_ASSIGN_OR_RETURN(const GoldenReport r, session->verify());
    const jdouble values[] = {r.passed ? 1.0 : 0.0, r.tolerance_px,     r.box_mean_px,
                              r.box_max_px,         r.keypoint_mean_px, r.keypoint_max_px};
    constexpr jsize kCount = sizeof(values) / sizeof(values[0]);
    const jdoubleArray array = env->NewDoubleArray(kCount);
    if (array != nullptr) env->SetDoubleArrayRegion(array, 0, kCount, values);
    return array;
  });
}

template <typename Function>
JNINativeMethod method(const char* name, const char* signature, Function* function) {
  return {const_cast<char*>(name), const_cast<char*>(signature), reinterpret_cast<void*>(function)};
}

bool register_methods(JNIEnv* env, jclass native, const std::vector<JNINativeMethod>& methods) {
  return env->RegisterNatives(native, methods.data(), static_cast<jint>(methods.size())) == JNI_OK;
}

jint on_load(JNIEnv* env) {
  const jclass native = env->FindClass("dev/edgepose/Native");
  if (native == nullptr || !load_exception_class(env)) return JNI_ERR;
  const std::vector<JNINativeMethod> versions = {
      method("interfaceVersion", "()I", interface_version),
      method("libraryVersion", "()Ljava/lang/String;", library_version)};
  if (!register_methods(env, native, versions)) return JNI_ERR;
  const std::vector<JNINativeMethod> methods = {
      method("check", "(Ljava/lang/String;)V", check),
      method("open", "(Ljava/lang/String;ILjava/lang/String;ZZII)J", open),
      method("close", "(J)V", close),
      method("facts", "(J)[Ljava/lang/String;", facts),
      method("keypointNames", "(J)[Ljava/lang/String;", keypoint_names),
      method("skeleton", "(J)[I", skeleton),
      method("layout", "(J)[I", layout),
      method("keypointThreshold", "(J)F", keypoint_threshold),
      method("process",
             "(JLjava/nio/ByteBuffer;Ljava/nio/ByteBuffer;Ljava/nio/ByteBuffer;IIIIIIIIZJ"
             "Ljava/nio/ByteBuffer;)I",
             process),
      method("reset", "(J)V", reset),
      method("verify", "(J)[D", verify),
      method("benchPlan", "(Ljava/lang/String;IZ)Ljava/lang/String;", bench_plan),
      method("benchRun",
             "(Ljava/lang/String;Ljava/lang/String;Ldev/edgepose/Benchmark$Listener;)"
             "Ljava/lang/String;",
             bench_run),
      method("benchResult",
             "(Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;[Ljava/lang/String;)"
             "[Ljava/lang/String;",
             bench_result)};
  // Where these do not match, the Java side is of another version and says so when it compares.
  if (!register_methods(env, native, methods)) env->ExceptionClear();
  return JNI_VERSION_1_6;
}

JNIEnv* environment(JavaVM* vm) {
  void* env = nullptr;
  return vm->GetEnv(&env, JNI_VERSION_1_6) == JNI_OK ? static_cast<JNIEnv*>(env) : nullptr;
}

}  // namespace
}  // namespace edgepose::jni

extern "C" JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* vm, void*) {
  JNIEnv* env = edgepose::jni::environment(vm);
  if (env == nullptr) return JNI_ERR;
  return edgepose::jni::guarded<jint>(
      env, JNI_ERR, [&]() -> edgepose::Result<jint> { return edgepose::jni::on_load(env); });
}

extern "C" JNIEXPORT void JNICALL JNI_OnUnload(JavaVM* vm, void*) {
  JNIEnv* env = edgepose::jni::environment(vm);
  if (env != nullptr) edgepose::jni::unload_exception_class(env);
}
