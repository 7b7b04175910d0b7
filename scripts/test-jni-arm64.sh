#!/usr/bin/env bash
# The tests of the Java library on an emulated ARM processor: Debian's JVM for arm64 under QEMU, with -Xcheck:jni.
# Not part of `make test`: it fetches a JVM, which takes minutes when it is emulated.
# Without ncnn, whose kernels tests/device runs under the same emulator.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
fail() { echo "test-jni-arm64: $1" >&2; exit 1; }
for tool in qemu-aarch64-static aarch64-linux-gnu-g++ javac; do
  command -v $tool >/dev/null ||
    fail "$tool is missing: apt-get install qemu-user-static g++-aarch64-linux-gnu default-jdk-headless junit5"
done
root=$PWD/build/arm64/root
jdk=$root/usr/lib/jvm/java-17-openjdk-arm64
if [[ ! -x $jdk/bin/java ]]; then
  echo "test-jni-arm64: fetching a JVM for arm64 from Debian 12"
  bash scripts/fetch-debian.sh bookworm arm64 "$root" openjdk-17-jre-headless zlib1g libc6 libgcc-s1 libstdc++6
fi
log=build/arm64/build.log
cmake --preset jni -B build/arm64/jni -DCMAKE_TOOLCHAIN_FILE="$PWD/runtime_cpp/cmake/toolchains/aarch64-linux.cmake" \
  -DEDGEPOSE_WITH_NCNN=OFF -DEDGEPOSE_WITH_RKNN=OFF -DEDGEPOSE_BUILD_RUNNER=OFF \
  -DPython_EXECUTABLE="$PWD/.venv/bin/python" >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
cmake --build build/arm64/jni --target edgepose_jni >>"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
library=build/arm64/jni/runtime_cpp
readelf -h "$library/libedgepose_jni.so" | grep -q AArch64 || fail "$library/libedgepose_jni.so is not for arm64"

source scripts/java-tests.sh
compile_java build/arm64/java
export QEMU_LD_PREFIX=$root
# The compiler behind the nullability test is not in a JRE, and says nothing about the processor.
run_java_tests build/arm64/java "$library" qemu-aarch64-static "$jdk/bin/java" -Dedgepose.emulated=true \
  -Dedgepose.fuzz="${EDGEPOSE_FUZZ:-10000}" -- --exclude-classname='.*NullabilityTest'
