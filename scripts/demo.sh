#!/usr/bin/env bash
# The main job on what the repository holds: checkpoints -> verified bundles -> accuracy -> annotated video.
# With the name of a picture: that one too, with one person filling the frame unless there is a detector.
set -euo pipefail
cd "$(dirname "$0")/.."
edgepose=.venv/bin/edgepose
out=demo-output
precision=fp16
SECONDS=0
rm -rf "$out"

networks=(demo/rtmpose-t-demo.pth)
detector=
if [[ -f demo/rtmdet-nano-demo.pth ]]; then
  detector=yes
  networks=(demo/rtmdet-nano-demo.pth "${networks[@]}")
fi

echo "1/5  render synthetic people: a video of three persons, and twelve pictures"
"$edgepose" synth --video 5 --images 12 --persons 3 --seed 5 -o "$out/synthetic"

echo "2/5  convert ${networks[*]} to ncnn and OpenVINO ($precision), every stage compared with torch"
"$edgepose" convert "${networks[@]}" --to ncnn --to openvino --precision "$precision" -o "$out/bundles"
bundles=("$out"/bundles/*)
bundle=$(find "$out/bundles" -maxdepth 1 -name '*.openvino.*')
for each in "${bundles[@]}"; do
  echo "3/5  verify ${each##*/}: recompute its golden result in the C++ runtime"
  "$edgepose" verify "$each"
done

echo "4/5  evaluate on the twelve pictures, whose labels are exact"
"$edgepose" eval "$bundle" --images "$out/synthetic" --data "$out/synthetic/annotations.json" --json "$out/eval.json"

# Without a detector the labelled boxes stand in for it.
boxes=(--boxes "$out/synthetic/video.json")
[[ -z "$detector" ]] || boxes=()
echo "5/5  run on the video"
"$edgepose" run "$bundle" "$out/synthetic/video.mp4" "${boxes[@]}" -o "$out/video"
if (($#)); then
  "$edgepose" run "$bundle" "$1" -o "$out/picture"
else
  portrait=(--boxes demo/astronaut.boxes.json)
  [[ -z "$detector" ]] || portrait=()
  "$edgepose" run "$bundle" edgepose/data/astronaut.jpg "${portrait[@]}" -o "$out/picture"
fi

echo
.venv/bin/python - "$out" "${detector:-}" <<'SUMMARY'
"""Print what the demo made and found."""
import json
import sys
from pathlib import Path

out, detector = Path(sys.argv[1]), sys.argv[2]
accuracy = json.loads((out / "eval.json").read_text())["accuracy"]
video = json.loads((out / "video/results.json").read_text())
frames, persons = len(video["images"]), len(video["annotations"])
print("bundles   ", *sorted(str(path) for path in (out / "bundles").iterdir()))
print("video     ", *(p for p in sorted((out / "video").iterdir()) if p.suffix != ".json"))
print("picture   ", *(p for p in sorted((out / "picture").iterdir()) if p.suffix != ".json"))
print(f"people     {persons} skeletons in {frames} frames; boxes from the", "detector" if detector else "labels")
print(
    f"accuracy   AP {accuracy['parts']['body']['AP']:.1f}, mean error {accuracy['error_px']['mean']:.1f} px"
    " on synthetic pictures with labelled boxes (demo quality, says little about photographs)"
)
SUMMARY
echo "took       $SECONDS s; the figures of eval are in $out/eval.json"
