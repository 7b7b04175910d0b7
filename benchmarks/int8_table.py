"""Write docs/quantization.md's table: size, speed, drift and AP at every precision.

    python benchmarks/int8_table.py WEIGHTS POSE_TRAIN COCO_DEV -o TABLE.md --keep FOLDER

WEIGHTS holds the checkpoints, POSE_TRAIN images.bin and labels.npz (calibration), COCO_DEV images/ and
person_keypoints.json (evaluation; not one of its pictures is calibrated with). A change of a detector's
AP comes with the 95 % interval of a paired bootstrap over the pictures. --keep holds the bundles and
the rows; what is there already is not made again. Times: one thread, medians of turns taken in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgepose.artifact import Artifact
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.agreement import compare
from edgepose.calibration.calibrate import CalibrationRequest, calibrate
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.latency import interleaved_ms
from edgepose.converters import convert
from edgepose.converters.engine import run_engine
from edgepose.core import load_core
from edgepose.errors import CalibrationError
from edgepose.media import read_picture
from edgepose.person_boxes import read_coco_boxes
from edgepose.pipeline import PosePipeline

NETWORKS = {
    "rtmpose-t": ("pose", "rtmpose-t-demo.pth"),
    "rtmdet-nano": ("detector", "rtmdet_nano_320-person.pth"),
}
TARGETS = ("ncnn", "openvino")
MODES = ("int8", "mixed", "auto")
RESAMPLES = 500
HEAD = (
    "| network | engine | precision | int8 layers | size, MB | speed | mean px | p95 px | similarity | AP |"
)


@dataclass(frozen=True)
class Row:
    """One precision of one network: a bundle, or the reason why there is none."""

    precision: str
    bundle: Path | None
    reason: str = ""


def calibration_set(source: Path, folder: Path, count: int) -> Path:
    """Write evenly taken training pictures and their boxes as COCO annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    with np.load(source / "labels.npz") as labels, (source / "images.bin").open("rb") as stream:
        offsets, boxes = labels["offsets"], labels["boxes_xywh"]
        for index in np.linspace(0, len(offsets) - 2, count, dtype=int).tolist():
            stream.seek(int(offsets[index]))
            (folder / f"{index}.jpg").write_bytes(stream.read(int(offsets[index + 1] - offsets[index])))
            images.append({"id": index, "file_name": f"{index}.jpg"})
            annotations.append({"image_id": index, "category_id": 1, "bbox": boxes[index].tolist()})
    path = folder / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def rows(
    checkpoint: Path, name: str, target: str, calib: Path, evaluation: Path, keep: Path, samples: int
) -> list[Row]:
    """Make the bundles of one network for one target, those that are not there yet."""
    found = []
    for precision in ("fp32", "fp16"):
        path = keep / f"{name}.{target}.{precision}"
        if not path.is_dir():
            convert([checkpoint], [target], precision=precision, out_dir=keep)
        found.append(Row(precision, path))
    for mode in MODES:
        path, refused = keep / f"{name}.{target}.{mode}", keep / f"{name}.{target}.{mode}.refused"
        if not path.is_dir() and not refused.is_file():
            request = CalibrationRequest(calib, mode=mode, samples=samples, evaluation=evaluation)
            try:
                calibrate(keep / f"{name}.{target}.fp32", request, out_dir=keep)
            except CalibrationError as error:
                refused.write_text(error.message)
        reason = refused.read_text() if refused.is_file() else ""
        found.append(Row(mode, None if reason else path, reason))
    return found


def inputs(artifact: Artifact, coco: Path) -> list[Any]:
    """Make the network's inputs of the evaluation set, with the labelled boxes."""
    spec_json = json.dumps(preprocess_member(artifact.spec.preprocess))
    made = []
    for name, boxes in sorted(read_coco_boxes(coco).items()):
        picture = read_picture(coco.parent / "images" / name)
        for box in boxes if artifact.spec.task == "pose" else [None]:
            tensor, _ = load_core().preprocess(picture, box, spec_json)
            made.append(tensor[None].copy())
    return made


def pose_ap(bundle: Path, coco: Path) -> float:
    """Return AP by OKS with the labelled boxes, as edgepose eval does."""
    from edgepose.verify.evaluation import EvalRequest, evaluate

    document = evaluate(
        EvalRequest(bundle, coco.parent / "images", coco, boxes="labelled", processes=1, samples=10)
    )
    return float(document["accuracy"]["parts"]["body"]["AP"])


def box_results(bundle: Path, coco: Path) -> list[dict[str, Any]]:
    """Return the persons' boxes that a detector finds, as COCO has results."""
    results = []
    with PosePipeline(bundle, threads=1) as pipeline:
        for image in json.loads(coco.read_text())["images"]:
            picture = cv2.imread(str(coco.parent / "images" / Path(image["file_name"]).name))
            for x1, y1, x2, y2, score, _ in pipeline.detect(picture).tolist():
                box = [x1, y1, x2 - x1, y2 - y1]
                results.append({"image_id": image["id"], "category_id": 1, "bbox": box, "score": score})
    return results


def box_ap(labels: dict[str, Any], results: list[dict[str, Any]], pictures: Sequence[int]) -> float:
    """Return AP of boxes over pictures by their ids; one that is named twice counts twice."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": labels["categories"]}
    found = []
    for number, picture in enumerate(pictures, start=1):
        truth["images"].append({"id": number})
        for label in labels["annotations"]:
            if label["image_id"] == picture:
                name = len(truth["annotations"]) + 1
                truth["annotations"].append({**label, "id": name, "image_id": number})
        found += [{**result, "image_id": number} for result in results if result["image_id"] == picture]
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set = COCO(truth)
        evaluation = COCOeval_faster(truth_set, truth_set.loadRes(found), "bbox", print_function=print)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * float(evaluation.stats[0])


def box_ap_cell(bundle: Path, reference: Path, coco: Path) -> str:
    """Return AP, and against the reference what it changes, with a paired bootstrap's interval."""
    labels = json.loads(coco.read_text())
    pictures = [image["id"] for image in labels["images"]]
    results = box_results(bundle, coco)
    ap = box_ap(labels, results, pictures)
    if bundle == reference:
        return f"{ap:.1f}"
    before = box_results(reference, coco)
    random = np.random.default_rng(0)
    changes = []
    for _ in range(RESAMPLES):
        drawn = random.choice(pictures, len(pictures)).tolist()
        changes.append(box_ap(labels, results, drawn) - box_ap(labels, before, drawn))
    low, high = np.percentile(changes, [2.5, 97.5])
    return f"{ap:.1f} ({ap - box_ap(labels, before, pictures):+.1f}: {low:+.1f} to {high:+.1f})"


def lines(name: str, role: str, target: str, made: list[Row], coco: Path) -> list[str]:
    """Measure one network on one engine."""
    artifacts = {row.precision: artifact_of(row.bundle, role) for row in made if row.bundle}
    samples = inputs(artifacts["fp32"], coco)
    times = dict(
        zip(artifacts, interleaved_ms(list(artifacts.values()), samples[0], rounds=200), strict=True)
    )
    references = run_engine(artifacts["fp32"], samples)
    written = []
    for row in made:
        start = f"| {name} | {target} | {row.precision} | "
        if row.bundle is None:
            written.append(f"{start}refused: {row.reason} | | | | | | |")
            continue
        artifact = artifacts[row.precision]
        drift = compare(artifact.spec, references, run_engine(artifact, samples))
        reference = next(other.bundle for other in made if other.precision == "fp32" and other.bundle)
        pose = role == "pose"
        ap = f"{pose_ap(row.bundle, coco):.1f}" if pose else box_ap_cell(row.bundle, reference, coco)
        size = sum(path.stat().st_size for path in artifact.files.values()) / 1e6
        layers = len(artifact.lineage[-1].arguments.get("int8_layers", ()))
        speed = times["fp32"] / times[row.precision]
        written.append(
            f"{start}{layers} | {size:.2f} | {speed:.2f} | {drift.mean_px:.3f} | {drift.p95_px:.2f} | "
            f"{drift.similarity:.4f} | {ap} |"
        )
    return written


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("weights", "pose_train", "coco_dev"):
        parser.add_argument(name, type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument(
        "--only", metavar="NETWORK.TARGET", help="make the bundles of one part, measure nothing"
    )
    args = parser.parse_args()
    coco = args.coco_dev / "person_keypoints.json"
    calib = args.keep / "pictures" / "boxes.json"
    if not calib.is_file():
        calib = calibration_set(args.pose_train, args.keep / "pictures", 4 * args.samples)
    table = [HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    for name, (role, checkpoint) in NETWORKS.items():
        for target in TARGETS:
            if args.only not in (None, f"{name}.{target}"):
                continue
            if args.only:
                rows(args.weights / checkpoint, name, target, calib, coco, args.keep, args.samples)
                return
            part = args.keep / f"{name}.{target}.rows"
            if not part.is_file():
                made = rows(args.weights / checkpoint, name, target, calib, coco, args.keep, args.samples)
                part.write_text("\n".join(lines(name, role, target, made, coco)) + "\n", encoding="utf-8")
            print(part.read_text(encoding="utf-8"), end="", flush=True)
            table += part.read_text(encoding="utf-8").splitlines()
    if args.only:
        parser.error(f"--only {args.only}: no such part")
    args.output.write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
