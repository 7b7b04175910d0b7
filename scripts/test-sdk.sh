#!/usr/bin/env bash
# Builds libedgepose, checks what it exports, installs it, and builds the C example against the installed package;
# tests/e2e/test_c_api.py runs them.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
source scripts/build-environment.sh
sdk=$PWD/build/sdk
log=build/sdk.log
mkdir -p build
echo "test-sdk: compiling (log: $log)"
rm -rf "$sdk/install" "$sdk/example"
if ! { cmake --preset sdk -DPython_EXECUTABLE="$PWD/.venv/bin/python" && cmake --build --preset sdk &&
  cmake --install "$sdk" --component sdk --prefix "$sdk/install" &&
  cmake -S runtime_cpp/examples -B "$sdk/example" -DCMAKE_PREFIX_PATH="$sdk/install" &&
  cmake --build "$sdk/example"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  exit 1
fi
for name in ncnn nlohmann-json; do
  [[ -s $sdk/install/share/licenses/edgepose/$name.txt ]] || { echo "test-sdk: the licence of $name is missing" >&2; exit 1; }
done
library=$(readlink -f "$sdk"/install/lib*/libedgepose.so)
readelf -dW "$library" | grep -q NODELETE || { echo "test-sdk: $library can be unloaded under its threads" >&2; exit 1; }
exported=$(nm -D --defined-only "$library" | awk '$2 == "T" {print $3}' | sort | sed 's/@.*//')
others=$(nm -D --defined-only "$library" | awk '$2 != "T" && $2 != "A"')
declared=$(grep -o 'edgepose_[a-z_]*(' "$sdk/install/include/edgepose.h" | tr -d '(' | sort -u)
if [[ "$exported" != "$declared" || -n "$others" ]]; then
  echo "test-sdk: $library does not export what edgepose.h declares:" >&2
  diff <(echo "$exported") <(echo "$declared") >&2 || true
  echo "$others" >&2
  exit 1
fi
echo "test-sdk: $(wc -l <<<"$exported") functions are exported, the example is built"
