#!/usr/bin/env bash
# Builds the C++ tests with ASan and UBSan and runs them.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
if [[ ! -e /usr/include/gtest/gtest.h ]]; then
  [[ "${CI:-}" == true ]] && { echo "test-cpp: libgtest-dev is missing" >&2; exit 1; }
  echo "test-cpp: skipped, libgtest-dev is not installed (apt-get install libgtest-dev)"
  exit 0
fi
log=build/asan.log
mkdir -p build
echo "test-cpp: compiling with ASan and UBSan (log: $log)"
if ! { cmake --preset asan -DPython_EXECUTABLE="$PWD/.venv/bin/python" && cmake --build --preset asan; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  exit 1
fi
ctest --preset asan
