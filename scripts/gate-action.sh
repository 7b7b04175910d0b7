#!/usr/bin/env bash
# The work of action.yml: convert $CHECKPOINT, gate the bundle against $REFERENCE, exit as the gate does.
# Writes the verdict to $GITHUB_OUTPUT and the comment to $GITHUB_STEP_SUMMARY.
set -euo pipefail
: "${GITHUB_OUTPUT:?}" "${GITHUB_STEP_SUMMARY:?}"
error() { printf '### ⚠️ Accuracy gate: ERROR\n\nNo verdict: the log of this step says why.\n' >>"$GITHUB_STEP_SUMMARY"; }
# One for each gate of a job.
temp=${RUNNER_TEMP:-${TMPDIR:-/tmp}}
mkdir -p "$temp"
folder=$(mktemp -d "$temp/edgepose-gate.XXXXXX")
echo "folder=$folder" >>"$GITHUB_OUTPUT"

# GitHub does not look whether an input is given that is "required".
need() {
  [[ -n "${2//[[:space:]]/}" ]] && return
  echo "::error::the input $1 is empty (docs/ci.md)"
  echo "verdict=ERROR" >>"$GITHUB_OUTPUT"
  error
  exit 2
}
need checkpoint "${CHECKPOINT:-}"
need target "${TARGET:-}"
need precision "${PRECISION:-}"
need reference "${REFERENCE:-}"
need images "${IMAGES:-}"

# Variables of the environment hold lists, one item a line; empty lines do not count.
list() { grep -v '^[[:space:]]*$' <<<"$1" || true; }
mapfile -t checkpoints < <(list "$CHECKPOINT")
mapfile -t budgets < <(list "${BUDGET:-}")

conversion=(--to "$TARGET" --precision "$PRECISION")
[[ -z "${CALIB:-}" ]] || conversion+=(--calib "$CALIB")
[[ -z "${KEYPOINTS:-}" ]] || conversion+=(--keypoints "$KEYPOINTS")
[[ -z "${INPUT_SIZE:-}" ]] || conversion+=(--input-size "$INPUT_SIZE")
[[ -z "${BOX_CLASS:-}" ]] || conversion+=(--box-class "$BOX_CLASS")
edgepose convert "${checkpoints[@]}" "${conversion[@]}" -o "$folder/bundles" ||
  { code=$?; echo "verdict=ERROR" >>"$GITHUB_OUTPUT"; error; exit "$code"; }
bundles=("$folder"/bundles/*)

options=(--reference "$REFERENCE" --images "$IMAGES")
[[ -z "${DATA:-}" ]] || options+=(--data "$DATA")
[[ -z "${BOXES:-}" ]] || options+=(--boxes "$BOXES")
[[ -z "${VIDEO:-}" ]] || options+=(--video "$VIDEO")
[[ -z "${LIMITS:-}" ]] || options+=(--limits "$LIMITS")
for budget in "${budgets[@]}"; do options+=(--budget "$budget"); done

code=0
edgepose gate "${bundles[0]}" "${options[@]}" \
  --json "$folder/gate.json" --junit "$folder/gate.xml" --markdown "$folder/gate.md" || code=$?
case $code in
  0) verdict=PASS ;;
  10) verdict=FAIL ;;
  11) verdict=INCONCLUSIVE ;;
  *) verdict=ERROR ;;
esac
echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
if [[ -s "$folder/gate.md" ]]; then cat "$folder/gate.md" >>"$GITHUB_STEP_SUMMARY"; else error; fi
exit "$code"
