#!/usr/bin/env bash
# The main job on what the repository holds: checkpoint -> verified bundles -> annotated pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
edgepose=.venv/bin/edgepose
out=demo-output
precision=fp16
rm -rf "$out"

echo "1/4  convert demo/rtmpose-t-demo.pth to ncnn and OpenVINO ($precision), every stage compared with torch"
"$edgepose" convert demo/rtmpose-t-demo.pth --to ncnn --to openvino --precision "$precision" -o "$out/bundles"
for bundle in "$out"/bundles/*; do
  echo "2/4  verify ${bundle##*/}: recompute its golden result in the C++ runtime"
  "$edgepose" verify "$bundle"
done
bundle=$out/bundles/rtmpose-t.openvino.$precision

if (($#)); then
  echo "3/4  run on $1 (no detector in this bundle: the whole picture is the person)"
  "$edgepose" run "$bundle" "$1" -o "$out/picture"
else
  echo "3/4  run on a portrait"
  "$edgepose" run "$bundle" edgepose/data/astronaut.jpg --boxes demo/astronaut.boxes.json -o "$out/picture"
fi

echo "4/4  render six pictures of synthetic people and run on them, with their boxes in place of a detector's"
"$edgepose" synth --images 6 --persons 2-5 --seed 2 -o "$out/synthetic"
"$edgepose" run "$bundle" "$out/synthetic/images" --boxes "$out/synthetic/annotations.json" -o "$out/people"

echo
echo "Made:"
echo "  bundles            $out/bundles/rtmpose-t.ncnn.$precision and $bundle"
for folder in picture people; do
  find "$out/$folder" -type f | sort | sed 's/^/  annotated, results  /'
done
