#!/usr/bin/env bash
# The main job on what the repository holds: checkpoints -> verified bundles at fp16 and int8 -> gate ->
# annotated video -> report. With the name of a picture: that one in place of the portrait.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
edgepose=.venv/bin/edgepose
out=${EDGEPOSE_DEMO_OUTPUT:-demo-output}
SECONDS=0
if (($#)); then
  # Before minutes of work, whose output takes the place of what lies there.
  .venv/bin/python - "$1" "$out" <<'CHECK' || exit 2
"""Refuse a picture that cannot be used."""
import os
import sys
from pathlib import Path

from edgepose.errors import EdgePoseError
from edgepose.media import PICTURE_SUFFIXES, read_picture

picture, out = Path(sys.argv[1]), Path(sys.argv[2])
if not os.path.isfile(picture):  # false, too, for a name that is too long and where no look is allowed
    sys.exit(f"demo: {picture}: no such picture")
if out.resolve() in picture.resolve().parents:
    sys.exit(f"demo: {picture}: lies in {out}, which is made anew; move it elsewhere")
if picture.suffix.lower() not in PICTURE_SUFFIXES:
    sys.exit(f"demo: {picture}: is none of {' '.join(PICTURE_SUFFIXES)}; export it as one of these")
try:
    read_picture(picture)
except (EdgePoseError, OSError) as error:
    sys.exit(f"demo: {error}")
CHECK
fi
rm -rf "$out"

networks=(demo/rtmdet-nano-demo.pth demo/rtmpose-t-demo.pth)

step() { echo; echo "[$((++count))/7] $*"; }
count=0

step "render synthetic people: a video, 120 pictures to measure on, and others to calibrate with"
"$edgepose" synth --video 5 --persons 3 --seed 4 -o "$out/synthetic"
"$edgepose" synth --images 120 --persons 1-3 --size 384x288 --seed 5 -o "$out/people" | head -n 1
"$edgepose" synth --images 40 --persons 3 --size 320x240 --seed 104 -o "$out/calibration" | head -n 1

step "convert ${networks[*]} to ncnn and OpenVINO, every stage compared with torch"
"$edgepose" convert "${networks[@]}" --to ncnn --to openvino --precision fp16 -o "$out/bundles"
"$edgepose" convert "${networks[@]}" --to ncnn --to openvino --precision fp32 -o "$out/bundles" | tail -n 2

bundle=$(find "$out/bundles" -maxdepth 1 -name '*.openvino.fp16')
name=${bundle%.openvino.fp16}
step "calibrate on synthetic people: the layers go to int8 that keep to the budget"
candidates=()
for each in ncnn.auto openvino.mixed; do  # auto takes minutes on OpenVINO, for it tries each layer alone
  target=${each%.*} calibrated=0
  "$edgepose" calibrate "$name.$target.fp32" --precision "${each#*.}" --calib "$out/calibration/annotations.json" --samples 48 \
    --not-in "$out/people/annotations.json" -o "$out/bundles" >"$out/calibrate.$target.txt" || calibrated=$?
  case $calibrated in
    0) tail -n 2 "$out/calibrate.$target.txt"; candidates+=("$name.$each") ;;
    # The network does not stand it, or int8 is not faster on this machine: an answer, too.
    5 | 6) candidates+=("$name.$target.fp16") ;;
    *) exit "$calibrated" ;;
  esac
done

step "verify every bundle: recompute its golden result in the C++ runtime"
for each in "$out"/bundles/*; do "$edgepose" verify "$each"; done

data=(--images "$out/people" --data "$out/people/annotations.json")
step "evaluate on the 120 pictures, whose labels are exact; may what calibration made replace fp32?"
"$edgepose" eval "$bundle" "${data[@]}" --json "$out/eval.json" | head -n 8
gates=()
for candidate in "${candidates[@]}"; do
  reference=${candidate%.*}.fp32 gate=$out/gate.${#gates[@]}.json verdict=0
  "$edgepose" gate "$candidate" --reference "$reference" "${data[@]}" --json "$gate" || verdict=$?
  # 10 is a decision against the candidate, 11 too few pictures to decide: both are answers.
  ((verdict == 0 || verdict == 10 || verdict == 11)) || exit "$verdict"
  gates+=("$gate")
done

step "run on the video and a picture"
"$edgepose" run "$bundle" "$out/synthetic/video.mp4" -o "$out/video"
if (($#)); then
  "$edgepose" run "$bundle" "$1" -o "$out/picture"
else
  # So large a face is too much for the small detector.
  "$edgepose" run "$bundle" edgepose/data/astronaut.jpg --boxes demo/astronaut.boxes.json -o "$out/picture"
fi

step "put all of it on one page"
shown=("$name.ncnn.fp32" "${candidates[@]}")
[[ " ${candidates[*]} " == *" $bundle "* ]] || shown+=("$bundle")
files=()
for gate in "${gates[@]}"; do files+=(--gate "$gate"); done
"$edgepose" report "${shown[@]}" "${data[@]}" --eval "$out/eval.json" "${files[@]}" -o "$out/report.html"

echo
.venv/bin/python - "$out" "${gates[@]}" <<'SUMMARY'
"""Print what the demo made and found."""
import json
import sys
from pathlib import Path

out = Path(sys.argv[1])
accuracy = json.loads((out / "eval.json").read_text())["accuracy"]
gates = [json.loads(Path(file).read_text()) for file in sys.argv[2:]]
video = json.loads((out / "video/results.json").read_text())
frames, persons = len(video["images"]), len(video["annotations"])
made = [p for folder in ("video", "picture") for p in sorted((out / folder).iterdir()) if p.suffix != ".json"]
print("bundles   ", *sorted(str(path) for path in (out / "bundles").iterdir()))
print("look at   ", *made, out / "report.html")
print(f"people     {persons} skeletons in {frames} frames")
print(
    f"accuracy   AP {accuracy['parts']['body']['AP']:.1f}, mean error {accuracy['error_px']['mean']:.1f} px"
    " on synthetic pictures with labelled boxes (demo quality; says little about photographs)"
)
verdicts = (f"{g['candidate']['backend']} {g['candidate']['precision']} {g['verdict']}" for g in gates)
print(f"gate       {', '.join(verdicts)} against fp32")
SUMMARY
echo "took       $SECONDS s"
