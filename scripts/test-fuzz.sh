#!/usr/bin/env bash
# Builds the libFuzzer targets with ASan and UBSan and lets each run for a while: test-fuzz.sh [SECONDS], 12 by
# default. They start from tests/fuzz/corpus; what they find anew stays in build/fuzz/corpus, an input that
# fails in build/fuzz.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
source scripts/build-environment.sh
seconds=${1:-12}
library='lib/linux/libclang_rt.fuzzer-*.a'
if ! command -v clang++ >/dev/null || ! compgen -G "$(clang++ -print-resource-dir)/$library" >/dev/null; then
  [[ "${CI:-}" == true ]] && { echo "test-fuzz: clang or libclang-rt is missing" >&2; exit 1; }
  echo "test-fuzz: skipped, no clang with libFuzzer (apt-get install clang libclang-rt-dev)"
  exit 0
fi
out=build/fuzz
echo "test-fuzz: compiling (log: build/fuzz.log)"
build fuzz

fuzz() {
  local name=$1
  mkdir -p "$out/corpus/$name"
  if ! "$out/tests/fuzz/edgepose_fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
    -max_len=16384 -print_final_stats=1 -artifact_prefix="$out/$name-" "$out/corpus/$name" "tests/fuzz/corpus/$name" \
    >"$out/$name.log" 2>&1; then
    tail -n 60 "$out/$name.log" >&2
    echo "test-fuzz: $name failed; the input is beside $out/$name.log" >&2
    return 1
  fi
  echo "test-fuzz: $name, $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.log") inputs in $seconds s"
}
export -f fuzz
export out seconds
printf '%s\n' manifest ncnn_param dcc image decoders | "${unscattered[@]}" xargs -P "$(nproc)" -I{} bash -euc 'fuzz {}'
