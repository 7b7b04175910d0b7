#ifndef EDGEPOSE_BINDINGS_JNI_TEXT_H_
#define EDGEPOSE_BINDINGS_JNI_TEXT_H_

#include <jni.h>

#include <string>
#include <vector>

#include "edgepose/status.h"

namespace edgepose::jni {

// JNI's own UTF-8 functions speak a dialect that is wrong beyond the basic plane, and undefined for
// bytes that are not UTF-8; messages can quote such bytes. So all text crosses as UTF-16.

// Makes a Java string; what is not UTF-8 becomes U+FFFD. Null with an exception pending where
// memory is short.
jstring to_java(JNIEnv* env, const std::string& utf8);

// The same for several texts.
jobjectArray to_java_texts(JNIEnv* env, const std::vector<std::string>& texts);

// Errors: kInvalidArgument for null (`what` names the argument) and for a string that holds a NUL.
Result<std::string> from_java(JNIEnv* env, jstring text, const char* what);

}  // namespace edgepose::jni

#endif  // EDGEPOSE_BINDINGS_JNI_TEXT_H_
