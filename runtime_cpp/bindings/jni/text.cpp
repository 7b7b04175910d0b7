#include "text.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgepose::jni {
namespace {

constexpr char32_t kReplacement = 0xfffd;

// Takes one code point from the front of [at, end).
char32_t next_code_point(const unsigned char** at, const unsigned char* end) {
  const unsigned char first = *(*at)++;
  if (first < 0x80) return first;
  const int more = first >= 0xf0 && first < 0xf5   ? 3
                   : first >= 0xe0 && first < 0xf0 ? 2
                   : first >= 0xc2 && first < 0xe0 ? 1
                                                   : 0;
  if (more == 0 || end - *at < more) return kReplacement;
  char32_t point = first & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const unsigned char byte = (*at)[i];
    if ((byte & 0xc0) != 0x80) return kReplacement;
    point = point << 6 | (byte & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
    return kReplacement;
  *at += more;
  return point;
}

void append_utf8(char32_t point, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | (point >> shift & 0x3f)));
  };
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out->push_back(static_cast<char>(0xc0 | point >> 6));
    tail(0);
  } else if (point < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | point >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xf0 | point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

jstring to_java(JNIEnv* env, const std::string& utf8) {
  std::vector<jchar> units;
  units.reserve(utf8.size() + 1);
  const auto* at = reinterpret_cast<const unsigned char*>(utf8.data());
  const unsigned char* end = at + utf8.size();
  while (at != end) {
    const char32_t point = next_code_point(&at, end);
    if (point < 0x10000) {
      units.push_back(static_cast<jchar>(point));
    } else {
      units.push_back(static_cast<jchar>(0xd800 + ((point - 0x10000) >> 10)));
      units.push_back(static_cast<jchar>(0xdc00 + ((point - 0x10000) & 0x3ff)));
    }
  }
  // JNI wants an address even for no characters.
  const jsize length = static_cast<jsize>(units.size());
  units.push_back(0);
  return env->NewString(units.data(), length);
}

jobjectArray to_java_texts(JNIEnv* env, const std::vector<std::string>& texts) {
  const jclass type = env->FindClass("java/lang/String");
  if (type == nullptr) return nullptr;
  const jobjectArray array = env->NewObjectArray(static_cast<jsize>(texts.size()), type, nullptr);
  for (size_t i = 0; array != nullptr && i < texts.size(); ++i) {
    const jstring text = to_java(env, texts[i]);
    if (text == nullptr) return nullptr;
    env->SetObjectArrayElement(array, static_cast<jsize>(i), text);
    if (env->ExceptionCheck()) return nullptr;
    env->DeleteLocalRef(text);
  }
  return array;
}

Result<std::string> from_java(JNIEnv* env, jstring text, const char* what) {
  if (text == nullptr)
    return Status(Code::kInvalidArgument, std::string(what) + " is null", "pass a string");
  const jsize length = env->GetStringLength(text);
  std::vector<jchar> units(static_cast<size_t>(length) + 1);
  env->GetStringRegion(text, 0, length, units.data());
  if (env->ExceptionCheck()) return Status(Code::kInternal, std::string(what) + " cannot be read");
  std::string utf8;
  utf8.reserve(static_cast<size_t>(length));
  for (size_t i = 0; i < static_cast<size_t>(length); ++i) {
    char32_t point = units[i];
    if (point == 0) {
      return Status(Code::kInvalidArgument, std::string(what) + " holds a NUL character",
                    "pass a plain string");
    }
    if (point >= 0xd800 && point < 0xe000) {
      const char32_t low = units[i + 1];
      const bool pair = point < 0xdc00 && low >= 0xdc00 && low < 0xe000;
      point = pair ? 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00) : kReplacement;
      if (pair) ++i;
    }
    append_utf8(point, &utf8);
  }
  return utf8;
}

}  // namespace edgepose::jni
