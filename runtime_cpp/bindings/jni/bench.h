#ifndef EDGEPOSE_BINDINGS_JNI_BENCH_H_
#define EDGEPOSE_BINDINGS_JNI_BENCH_H_

#include <jni.h>

namespace edgepose::jni {

// The native methods behind dev.edgepose.Benchmark. Everything is text, as `edgepose bench` and its
// runner exchange it (docs/devices.md).

// The plan of `edgepose bench --threads N [--quick]` for this bundle.
jstring bench_plan(JNIEnv* env, jclass, jstring folder, jint threads, jboolean quick);

// Works through a plan; gives the journal. listener: a Benchmark.Listener or null.
jstring bench_run(JNIEnv* env, jclass, jstring folder, jstring plan, jobject listener);

// {the result document, the same in a few lines of text}. device: names and values, one after the
// other.
jobjectArray bench_result(JNIEnv* env, jclass, jstring folder, jstring plan, jstring journal,
                          jobjectArray device);

}  // namespace edgepose::jni

#endif  // EDGEPOSE_BINDINGS_JNI_BENCH_H_
