#include "bench.h"

#include <dlfcn.h>

#include <fstream>
#include <string>
#include <vector>

#include "../../tools/bench.h"
#include "../../tools/bench_result.h"
#include "edgepose/sha256.h"
#include "guard.h"
#include "text.h"

namespace edgepose::jni {
namespace {

using tools::Json;

// Asks a Benchmark.Listener whether to go on. It may throw: then nothing of Java is called any
// more.
class Progress {
 public:
  Progress(JNIEnv* env, jobject listener) : env_(env), listener_(listener) {
    if (listener_ == nullptr) return;
    const jclass type = env_->GetObjectClass(listener_);
    method_ = env_->GetMethodID(type, "onProgress", "(Ljava/lang/String;J)Z");
    env_->DeleteLocalRef(type);
    stopped_ = method_ == nullptr;
  }

  // Takes a line of the journal.
  void see(const std::string& line) {
    if (listener_ == nullptr || stopped_) return;
    const Json entry = Json::parse(line);
    if (entry.at("event") != "samples") return;
    const jstring phase = to_java(env_, entry.at("phase").get<std::string>());
    if (phase == nullptr) {
      stopped_ = true;
      return;
    }
    const auto frames =
        entry.at("first").get<int64_t>() + static_cast<int64_t>(entry.at("rows").size());
    const jboolean more =
        env_->CallBooleanMethod(listener_, method_, phase, static_cast<jlong>(frames));
    stopped_ = env_->ExceptionCheck() == JNI_TRUE || more != JNI_TRUE;
    env_->DeleteLocalRef(phase);
  }

  std::string stop_reason() const { return stopped_ ? "it was stopped" : ""; }

 private:
  JNIEnv* env_;
  jobject listener_;
  jmethodID method_ = nullptr;
  bool stopped_ = false;
};

// Of this library; both are null where it lies inside an APK.
Json library_file() {
  Json file = {{"sha256", nullptr}, {"bytes", nullptr}};
  Dl_info found{};
  if (dladdr(reinterpret_cast<void*>(&bench_plan), &found) == 0) return file;
  std::ifstream in(found.dli_fname, std::ios::binary);
  Sha256 hash;
  int64_t bytes = 0;
  std::vector<char> buffer(1 << 16);
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.update(buffer.data(), static_cast<size_t>(in.gcount()));
    bytes += in.gcount();
  }
  if (bytes == 0) return file;
  return {{"sha256", hash.hex_digest()}, {"bytes", bytes}};
}

Result<Json> device_of(JNIEnv* env, jobjectArray pairs) {
  Json device = {{"name", ""}, {"title", ""}, {"transport", "app"}, {"verified_profile", false}};
  const jsize count = pairs == nullptr ? 0 : env->GetArrayLength(pairs);
  for (jsize i = 0; i + 1 < count; i += 2) {
    std::string texts[2];
    for (jsize part = 0; part < 2; ++part) {
      const auto text = static_cast<jstring>(env->GetObjectArrayElement(pairs, i + part));
      EDGEPOSE_ASSIGN_OR_RETURN(texts[part], from_java(env, text, "a fact of the device"));
      env->DeleteLocalRef(text);
    }
    device[texts[0]] = texts[1];
  }
  return device;
}

}  // namespace

jstring bench_plan(JNIEnv* env, jclass, jstring folder, jint threads, jboolean quick) {
  return guarded<jstring>(env, nullptr, [&]() -> Result<jstring> {
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string path, from_java(env, folder, "bundle"));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bundle bundle, Bundle::open(path));
    return to_java(env,
                   tools::usual_plan(bundle.pipeline().type, threads, quick == JNI_TRUE).dump());
  });
}

jstring bench_run(JNIEnv* env, jclass, jstring folder, jstring plan, jobject listener) {
  return guarded<jstring>(env, nullptr, [&]() -> Result<jstring> {
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string path, from_java(env, folder, "bundle"));
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string plan_text, from_java(env, plan, "plan"));
    EDGEPOSE_ASSIGN_OR_RETURN(const tools::BenchPlan wanted,
                              tools::parse_plan(plan_text, "the plan"));
    Progress progress(env, listener);
    std::string lines;
    EDGEPOSE_ASSIGN_OR_RETURN(const auto journal, tools::BenchJournal::open(
                                                      [&](const std::string& line) {
                                                        lines += line;
                                                        progress.see(line);
                                                        return true;
                                                      },
                                                      ""));
    tools::Bench bench(wanted, journal.get(), [&] { return progress.stop_reason(); });
    EDGEPOSE_RETURN_IF_ERROR(bench.run(path));
    if (env->ExceptionCheck()) return Status(Code::kInternal, "the listener failed");
    return to_java(env, lines);
  });
}

jobjectArray bench_result(JNIEnv* env, jclass, jstring folder, jstring plan, jstring journal,
                          jobjectArray device) {
  return guarded<jobjectArray>(env, nullptr, [&]() -> Result<jobjectArray> {
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string path, from_java(env, folder, "bundle"));
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string plan_text, from_java(env, plan, "plan"));
    EDGEPOSE_ASSIGN_OR_RETURN(const std::string lines, from_java(env, journal, "journal"));
    tools::BenchPlace place;
    EDGEPOSE_ASSIGN_OR_RETURN(place.device, device_of(env, device));
    EDGEPOSE_ASSIGN_OR_RETURN(const Bundle bundle, Bundle::open(path));
    place.runner = library_file();
    place.command = {"dev.edgepose.Benchmark", bundle.path()};
    EDGEPOSE_ASSIGN_OR_RETURN(const Json document,
                              tools::result_document(bundle, plan_text, lines, place));
    constexpr auto kReplace = Json::error_handler_t::replace;
    return to_java_texts(env, {document.dump(-1, ' ', false, kReplace), tools::describe(document)});
  });
}

}  // namespace edgepose::jni
