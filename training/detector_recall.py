"""Recall of a detector bundle in the C++ runtime: python -m training.detector_recall BUNDLE IMAGES DATA."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepose.media import read_picture
from edgepose.pipeline import PosePipeline

Floats = NDArray[np.float32]


def overlaps(a: Floats, b: Floats) -> Floats:
    """Return the IoU of every box of a (N, 4: x1 y1 x2 y2) with every box of b (M, 4), as (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inner = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(boxes[:, 2:4] - boxes[:, :2], axis=-1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - inner
    return np.asarray(inner / np.maximum(union, 1e-9), dtype=np.float32)


def found(detections: Floats, labels: Floats, *, iou: float = 0.5) -> int:
    """Count the labels with a detection of their own: the surest detection (5th column) chooses first."""
    table = overlaps(detections, labels)
    taken = np.zeros(len(labels), dtype=bool)
    for row in np.argsort(-detections[:, 4], kind="stable"):
        free = np.where(taken, 0.0, table[row])
        if len(free) and free.max() >= iou:
            taken[int(free.argmax())] = True
    return int(taken.sum())


def read_labels(data: Path) -> dict[str, Floats]:
    """Return the boxes (N, 4: x1 y1 x2 y2) of the persons with keypoints, by picture name."""
    document = json.loads(data.read_text(encoding="utf-8"))
    names = {image["id"]: Path(image["file_name"]).name for image in document["images"]}
    boxes: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for person in document["annotations"]:
        flags = person.get("keypoints", [])[2::3]
        if person.get("num_keypoints", sum(flag > 0 for flag in flags)) and not person.get("iscrowd"):
            x, y, w, h = person["bbox"]
            boxes[names[person["image_id"]]].append([x, y, x + w, y + h])
    return {name: np.array(rows, dtype=np.float32).reshape(-1, 4) for name, rows in boxes.items()}


def main() -> None:
    """Print the recall at IoU 0.5 and the detections a picture, at four scores."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    labels = read_labels(options.data)
    total = sum(len(boxes) for boxes in labels.values())
    if not total:
        parser.error(f"{options.data} labels no persons with keypoints")
    answers = {}
    with PosePipeline(options.bundle, threads=1) as pipeline:
        for name in labels:
            found_boxes = pipeline.detect(read_picture(options.images / name))[:, :5]
            answers[name] = np.asarray(found_boxes, dtype=np.float32)
    for score in (0.05, 0.2, 0.3, 0.5):
        kept = {name: boxes[boxes[:, 4] >= score] for name, boxes in answers.items()}
        hits = sum(found(kept[name], labels[name]) for name in labels)
        count = sum(len(boxes) for boxes in kept.values()) / max(1, len(kept))
        print(f"score {score:.2f}: recall {hits / total:.3f} ({hits}/{total}), {count:.1f} boxes a picture")


if __name__ == "__main__":
    main()
