"""Write docs/rockchip.md's table: drift and AP at fp16 and auto in rknn-toolkit2's simulator.

    python benchmarks/rknn_simulator.py WEIGHTS POSE_TRAIN COCO_DEV --keep FOLDER [--only NETWORK]

The folders are those of int8_table.py: calibrated on POSE_TRAIN, measured on COCO_DEV, every labelled person
or every picture of it. --keep holds the bundles; what is there already is not made again. A .rknn file does
not run in the simulator, so its network is compiled again, with the blocks in int8 that its bundle names.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from int8_table import NETWORKS, calibration_set

from edgepose.artifact import Artifact
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.agreement import Outputs, compare
from edgepose.calibration.base import PrecisionMap, calibrator
from edgepose.calibration.calibrate import CalibrationRequest
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.from_checkpoints import convert_calibrated
from edgepose.calibration.pictures import read_pictures
from edgepose.calibration.plan import load_plan
from edgepose.calibration.samples import make_samples
from edgepose.converters import convert
from edgepose.converters.decoded import decode_boxes, decode_simcc
from edgepose.converters.engine import run_engine
from edgepose.core import load_core
from edgepose.media import read_picture

SOC = "rk3588"


def inputs(artifact: Artifact, coco: Path) -> tuple[list[Any], list[dict[str, Any]]]:
    """Make the inputs of the set, and say of each which image it is of and how it maps back to that."""
    labels = json.loads(coco.read_text())
    spec_json = json.dumps(preprocess_member(artifact.spec.preprocess))
    boxes: dict[int, list[Any]] = {image["id"]: [] for image in labels["images"]}
    for person in labels["annotations"]:
        if person["num_keypoints"] and not person["iscrowd"]:
            x, y, width, height = person["bbox"]
            boxes[person["image_id"]].append((x, y, x + width, y + height))
    samples, about = [], []
    for image in labels["images"]:
        picture = read_picture(coco.parent / "images" / Path(image["file_name"]).name)
        for box in boxes[image["id"]] if artifact.spec.task == "pose" else [None]:
            tensor, transform = load_core().preprocess(picture, box, spec_json)
            samples.append(tensor[None].copy())
            about.append({"image": image["id"], "transform": transform, "hw": picture.shape[:2]})
    return samples, about


def average_precision(
    artifact: Artifact, outputs: Sequence[Outputs], about: Sequence[dict[str, Any]], coco: Path
) -> float:
    """Return COCO's AP in percent: of keypoints with the labelled boxes, or of persons' boxes."""
    from faster_coco_eval import COCO, COCOeval_faster

    results = []
    kind = "keypoints" if artifact.spec.task == "pose" else "bbox"
    for made, of in zip(outputs, about, strict=True):
        entry = {"image_id": of["image"], "category_id": 1}
        if kind == "keypoints":
            points, _ = decode_simcc(artifact.spec, made, of["transform"])
            flat = [float(value) for value in points.ravel()]
            results.append({**entry, "keypoints": flat, "score": float(points[:, 2].mean())})
            continue
        for x1, y1, x2, y2, score, _ in decode_boxes(artifact.spec, made, of["transform"], of["hw"]).tolist():
            results.append({**entry, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(json.loads(coco.read_text()))
        evaluation = COCOeval_faster(truth, truth.loadRes(results), kind, print_function=print)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * float(evaluation.stats[0])


def bundles(
    checkpoint: Path, name: str, calib: Path, coco: Path, keep: Path, samples: int
) -> dict[str, Path]:
    """Make the bundles of one network that are not there yet."""
    paths = {"fp32": keep / f"{name}.onnx.fp32"}
    paths |= {mode: keep / f"{name}.rknn-{SOC}.{mode}" for mode in ("fp16", "auto")}
    if not paths["fp32"].is_dir():
        convert([checkpoint], ["onnx"], out_dir=keep)
    if not paths["fp16"].is_dir():
        convert([checkpoint], ["rknn"], soc=SOC, precision="fp16", out_dir=keep)
    if not paths["auto"].is_dir():
        request = CalibrationRequest(calib, mode="auto", samples=samples, evaluation=coco)
        convert_calibrated([checkpoint], ["rknn"], request, soc=SOC, out_dir=keep)
    return paths


def lines(name: str, role: str, paths: dict[str, Path], calib: Path, coco: Path, samples: int) -> list[str]:
    """Measure one network."""
    artifact = artifact_of(paths["fp32"], role)
    int8 = artifact_of(paths["auto"], role).lineage[-1].arguments["int8_layers"]
    ranges = make_samples(read_pictures(calib), artifact.spec.preprocess, count=samples).calibration.tensors
    quantiser = calibrator("rknn", SOC).observe(artifact, ranges, load_plan("accurate"))
    tensors, about = inputs(artifact, coco)
    references = run_engine(artifact, tensors)
    unchanged = average_precision(artifact, references, about, coco)
    rows = [f"| {name} | fp32 (ONNX) | - | {len(tensors)} | - | - | - | {unchanged:.1f} |"]
    maps: dict[str, PrecisionMap] = {"fp16": {}, "auto": dict.fromkeys(int8, "int8")}
    for precision, made in zip(maps, quantiser.outputs(list(maps.values()), tensors), strict=True):
        drift = compare(artifact.spec, references, made)
        ap = average_precision(artifact, made, about, coco)
        chosen = f"{len(maps[precision])} of {len(quantiser.names())}"
        rows.append(
            f"| {name} | {precision} | {chosen} | {len(tensors)} | {drift.mean_px:.3f} | "
            f"{drift.p95_px:.2f} | {drift.similarity:.4f} | {ap:.1f} |"
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("weights", "pose_train", "coco_dev"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--only", choices=NETWORKS)
    args = parser.parse_args()
    coco = args.coco_dev / "person_keypoints.json"
    calib = args.keep / "pictures" / "boxes.json"
    if not calib.is_file():
        calib = calibration_set(args.pose_train, args.keep / "pictures", 4 * args.samples)
    print("| network | precision | blocks in int8 | inputs | mean px | p95 px | similarity | AP |")
    for name, (role, checkpoint) in NETWORKS.items():
        if args.only in (None, name):
            paths = bundles(args.weights / checkpoint, name, calib, coco, args.keep, args.samples)
            print("\n".join(lines(name, role, paths, calib, coco, args.samples)), flush=True)


if __name__ == "__main__":
    main()
