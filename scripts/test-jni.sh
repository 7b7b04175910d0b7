#!/usr/bin/env bash
# Builds the Java library with its native half and runs its tests on a desktop JVM: with -Xcheck:jni, then under
# ASan and UBSan.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
jars=/usr/share/java
if ! command -v javac >/dev/null || [[ ! -e $jars/junit-platform-console.jar ]]; then
  [[ "${CI:-}" == true ]] && { echo "test-jni: a JDK and junit5 are missing" >&2; exit 1; }
  echo "test-jni: skipped, no JDK or no junit5 (apt-get install default-jdk-headless junit5)"
  exit 0
fi
out=build/java
log=build/jni.log
mkdir -p "$out"
echo "test-jni: compiling (log: $log)"
for preset in jni jni-asan; do
  if ! { cmake --preset $preset -DPython_EXECUTABLE="$PWD/.venv/bin/python" && cmake --build --preset $preset; } \
    >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 1
  fi
done

library=build/jni/runtime_cpp/libedgepose_jni.so
exported=$(nm -D --defined-only "$library" | awk '{print $3}' | sort | xargs)
[[ "$exported" == "JNI_OnLoad JNI_OnUnload" ]] || { echo "test-jni: $library exports: $exported" >&2; exit 1; }
if readelf -lW "$library" | awk '$1 == "LOAD" && $NF != "0x4000" {wrong = 1} END {exit !wrong}'; then
  echo "test-jni: $library is not aligned for pages of 16 kB" >&2
  exit 1
fi

junit=$(printf '%s:' $jars/junit-platform-{console,reporting,launcher,engine,commons}.jar \
  $jars/junit-jupiter-{api,params,engine}.jar $jars/{opentest4j,opentest4j-reporting-events,apiguardian-api,picocli}.jar \
  $jars/{univocity-parsers,opentest4j-reporting-schema}.jar)
rm -rf "$out/classes" "$out/test-classes"
# The language level of Android's oldest tools.
mapfile -t sources < <(find android_demo/*/src/main/java -name '*.java' ! -path '*/dev/edgepose/demo/android/*')
javac --release 8 -Xlint:all,-options,-serial,-path -Werror -d "$out/classes" "${sources[@]}"
mapfile -t tests < <(find tests/jni/java -name '*.java')
javac -Xlint:all,-options,-serial,-path -Werror -d "$out/test-classes" -cp "$out/classes:$junit" "${tests[@]}"

run() {  # run LIBRARY_FOLDER JAVA_OPTION...
  local folder=$1
  shift
  java "$@" -Xcheck:jni -Xms64m -Xmx64m -XX:+UseSerialGC -XX:+AlwaysPreTouch -Djava.library.path="$folder" -Dedgepose.tests="$PWD/tests" \
    -cp "$out/classes:$out/test-classes:$junit" org.junit.platform.console.ConsoleLauncher \
    --scan-classpath "$out/test-classes" --disable-banner --fail-if-no-tests --details=tree \
    --disable-ansi-colors >"$out/run.log" 2>&1 || { cat "$out/run.log" >&2; return 1; }
  if grep -E 'WARNING in native|FATAL ERROR in native|WARNING: JNI' "$out/run.log" >&2; then return 1; fi
  grep -E '^fuzz:|tests successful' "$out/run.log"
}
echo "test-jni: on the JVM with -Xcheck:jni"
run build/jni/runtime_cpp
echo "test-jni: the same under ASan and UBSan"
export LD_PRELOAD="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libubsan.so)"
export ASAN_OPTIONS=handle_segv=0:detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
run build/jni-asan/runtime_cpp -Dedgepose.asan=true
