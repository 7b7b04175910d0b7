#!/usr/bin/env bash
# Runs the Python tests: with arguments those that they name, without in two processes at once, of which the second
# shows its output when the first is done. What builds programs or talks to emulated devices is all in the second.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
# Doubles of devices and programs write their paths into scripts and settings.
[[ "${TMPDIR:-}" == *[[:space:]:,]* ]] && export TMPDIR=/tmp
pytest=(.venv/bin/python -P -m pytest)
if (($#)) || (($(nproc) < 2)); then
  exec "${pytest[@]}" "$@"
fi
second=(tests/device tests/e2e tests/engine tests/jni)
mapfile -t first < <(printf '%s\n' tests/*/ | sed 's#/$##' | grep -vxF -f <(printf '%s\n' "${second[@]}"))
log=build/test-python-2.log
mkdir -p build
# Each has a core: what takes every core by itself would wait for the other's threads more than it gains.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
"${pytest[@]}" "${second[@]}" >"$log" 2>&1 &
beside=$!
trap 'kill "$beside" 2>/dev/null || true' EXIT
failed=0
echo "test-python: ${first[*]}; beside them ${second[*]} (log: $log)"
"${pytest[@]}" "${first[@]}" || failed=$?
wait "$beside" || failed=$?
cat "$log"
exit "$failed"
