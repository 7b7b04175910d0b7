#!/usr/bin/env bash
# Builds the Java library with its native half and runs its tests on a desktop JVM: with -Xcheck:jni, then under
# ASan and UBSan.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
source scripts/build-environment.sh
if ! command -v javac >/dev/null || [[ ! -e /usr/share/java/junit-platform-console.jar ]]; then
  [[ "${CI:-}" == true ]] && { echo "test-jni: a JDK and junit5 are missing" >&2; exit 1; }
  echo "test-jni: skipped, no JDK or no junit5 (apt-get install default-jdk-headless junit5)"
  exit 0
fi
out=build/java
echo "test-jni: compiling (logs: build/jni.log, build/jni-asan.log)"
build jni
build jni-asan

library=build/jni/runtime_cpp/libedgepose_jni.so
exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sort | xargs)
[[ "$exported" == "JNI_OnLoad JNI_OnUnload" ]] || { echo "test-jni: $library exports: $exported" >&2; exit 1; }
if readelf -lW "$library" | awk '$1 == "LOAD" && $NF != "0x4000" {wrong = 1} END {exit !wrong}'; then
  echo "test-jni: $library is not aligned for pages of 16 kB" >&2
  exit 1
fi

readelf -dW "$library" | grep -q NODELETE || { echo "test-jni: $library can be unloaded under its threads" >&2; exit 1; }

source scripts/java-tests.sh
compile_java "$out"
echo "test-jni: on the JVM with -Xcheck:jni"
run_java_tests "$out" build/jni/runtime_cpp java
echo "test-jni: the same under ASan and UBSan"
export LD_PRELOAD="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libubsan.so)"
export ASAN_OPTIONS=handle_segv=0:detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
run_java_tests "$out" build/jni-asan/runtime_cpp java -Dedgepose.asan=true
