"""Detector recall on real pictures: the C++ pipeline against the torch network with a decoder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tolerances import RECALL_POINTS

Boxes = NDArray[np.float32]


def letterbox(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], float]:
    import cv2

    height, width = image.shape[:2]
    factor = side / max(height, width)
    resized = cv2.resize(image, (int(width * factor + 0.5), int(height * factor + 0.5)))
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[: resized.shape[0], : resized.shape[1]] = resized
    mean, std = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
    return (((canvas - mean) / std).transpose(2, 0, 1)[None]).astype(np.float32), factor


def overlaps(boxes: Boxes, box: Boxes) -> Boxes:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:4], box[2:4])
    inter = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)
    return inter / (areas + np.prod(box[2:4] - box[:2]) - inter + 1e-9)


def torch_detections(network: Any, image: NDArray[np.uint8]) -> Boxes:
    import torch

    tensor, factor = letterbox(image, 320)
    with torch.inference_mode():
        maps = [m[0].numpy() for m in network(torch.from_numpy(tensor))]
    found = []
    for stride, logits, raw in zip((8, 16, 32), maps[:3], maps[3:], strict=True):
        rows, columns = np.nonzero(logits[0] > np.log(0.05 / 0.95))
        left, top, right, bottom = raw[:, rows, columns] * stride
        x, y = columns * stride, rows * stride
        scores = 1 / (1 + np.exp(-logits[0, rows, columns]))
        found.append(np.stack([x - left, y - top, x + right, y + bottom, scores], axis=1))
    boxes = np.concatenate(found)
    height, width = image.shape[:2]
    boxes[:, :4] = np.clip(boxes[:, :4] / factor, 0, [width, height, width, height])
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    kept: list[Boxes] = []
    while len(boxes) and len(kept) < 100:
        kept.append(boxes[0])
        boxes = boxes[1:][overlaps(boxes[1:], boxes[0]) <= 0.6]
    result = np.array(kept, np.float32).reshape(-1, 5)
    return result[result[:, 4] >= 0.3]


def matched(found: Boxes, wanted: list[Boxes]) -> int:
    """Count the labelled boxes that have a detection with IoU of at least 0.5 of their own."""
    free, count = list(range(len(found))), 0
    for box in wanted:
        if not free:
            break
        iou = overlaps(found[free], box)
        best = int(np.argmax(iou))
        if iou[best] >= 0.5:
            free.pop(best)
            count += 1
    return count


@pytest.mark.parametrize(("target", "precision"), [("ncnn", "fp32"), ("openvino", "fp32"), ("ncnn", "fp16")])
def test_recall_equals_torch(
    bundles: dict[tuple[str, str], Path], shared_dir: Path, target: str, precision: str
) -> None:
    import cv2

    from edgepose import PosePipeline
    from edgepose.models import load_model

    network = load_model(shared_dir / "weights" / "rtmdet_nano_320-person.pth").network
    data = json.loads((shared_dir / "data/coco_dev/person_keypoints.json").read_text())
    labelled: dict[int, list[Boxes]] = {}
    for item in data["annotations"]:
        x, y, w, h = item["bbox"]
        labelled.setdefault(item["image_id"], []).append(np.array([x, y, x + w, y + h], np.float32))
    total = torch_hits = core_hits = 0
    with PosePipeline(bundles[target, precision], threads=2) as pipeline:
        for entry in data["images"]:
            image = cv2.imread(str(shared_dir / "data/coco_dev/images" / entry["file_name"]))
            wanted = labelled.get(entry["id"], [])
            total += len(wanted)
            torch_hits += matched(torch_detections(network, image), wanted)
            core_hits += matched(pipeline(image).boxes, wanted)
    assert torch_hits / total > 0.6  # the comparison means something
    assert abs(core_hits - torch_hits) / total * 100 <= RECALL_POINTS
