#!/usr/bin/env bash
# Builds the C++ tests with ASan and UBSan and runs them; then those that use threads with TSan.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
source scripts/build-environment.sh
if [[ ! -e /usr/include/gtest/gtest.h ]]; then
  [[ "${CI:-}" == true ]] && { echo "test-cpp: libgtest-dev is missing" >&2; exit 1; }
  echo "test-cpp: skipped, libgtest-dev is not installed (apt-get install libgtest-dev)"
  exit 0
fi
echo "test-cpp: compiling with ASan and UBSan (log: build/asan.log)"
build asan
"${unscattered[@]}" ctest --preset asan
echo "test-cpp: compiling with TSan (log: build/tsan.log)"
build tsan
for name in worker_pool pipeline tracked_pipeline c_api; do
  TSAN_OPTIONS=halt_on_error=1 "${unscattered[@]}" "build/tsan/tests/cpp/edgepose_test_$name" --gtest_brief=1
done
