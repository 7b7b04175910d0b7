"""Pre- and post-processing written from their definitions in NumPy: slow, plain, and only for tests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Image = NDArray[np.uint8]


def preprocess_json(resize: str, input_hw: tuple[int, int], **changes: Any) -> str:
    """Return a "preprocess" member that leaves grey levels as they are, with the given changes."""
    member = {
        "resize": resize,
        "input_hw": list(input_hw),
        "color": "bgr",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "pad_value": [0, 0, 0],
        "box_padding": 1.25 if resize == "affine" else 1.0,
    }
    return json.dumps(member | changes)


def box_center_scale(
    box: FloatArray, input_hw: tuple[int, int], padding: float
) -> tuple[FloatArray, FloatArray]:
    """Return centre and sides of the padded box, widened to the aspect ratio of the input."""
    box = np.asarray(box, np.float32)
    center = (box[:2] + box[2:]) * np.float32(0.5)
    width, height = (box[2:] - box[:2]) * np.float32(padding)
    aspect = np.float32(input_hw[1] / input_hw[0])
    if width > height * aspect:
        return center, np.array([width, width / aspect], np.float32)
    return center, np.array([height * aspect, height], np.float32)


def warp(
    image: Image, center: FloatArray, width_px: np.float32, input_hw: tuple[int, int], border: tuple[int, ...]
) -> tuple[Image, NDArray[np.bool_]]:
    """Crop around a centre as OpenCV 4's warpAffine does; also mark pixels whose rounding is a tie.

    Coordinates are rounded to 1/1024, then to 1/32 pixel; four neighbours are blended with weights in 1/1024.
    A tie of the first rounding depends on the last bit of the matrix.
    """
    height, width = input_hw
    upper = np.float32(center[1] + width_px * np.float32(-0.5))
    step = float(center[1] - upper) / (width / 2)
    corner = np.array([float(center[0]) - step * width / 2, float(center[1]) - step * height / 2], np.float64)

    def to_32nds(unrounded: NDArray[np.float64]) -> NDArray[np.int64]:
        return (np.rint(unrounded * 1024).astype(np.int64) + 16) >> 5

    def is_tie(unrounded: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.abs(np.abs(unrounded * 1024 % 1 - 0.5)) < 1e-6

    columns: NDArray[np.float64] = step * np.arange(width, dtype=np.float64)
    rows: NDArray[np.float64] = step * np.arange(height, dtype=np.float64) + corner[1]
    x = (np.rint(columns * 1024).astype(np.int64) + np.rint(corner[:1] * 1024).astype(np.int64) + 16) >> 5
    y = to_32nds(rows)
    ties = (is_tie(columns) | is_tie(corner[:1]))[None, :] | is_tie(rows)[:, None]
    left, top = (x >> 5)[None, :], (y >> 5)[:, None]
    right_weight, lower_weight = (x & 31)[None, :], (y & 31)[:, None]
    total = np.zeros((height, width, 3), np.int64)
    for dy, row_weight in ((0, 32 - lower_weight), (1, lower_weight)):
        for dx, column_weight in ((0, 32 - right_weight), (1, right_weight)):
            total += pixels_or(image, top + dy, left + dx, border) * (row_weight * column_weight)[..., None]
    return ((total + 512) >> 10).astype(np.uint8), ties


def pixels_or(
    image: Image, y: NDArray[np.int64], x: NDArray[np.int64], border: tuple[int, ...]
) -> NDArray[np.int64]:
    """Look pixels up; those outside have the border's colour."""
    height, width = image.shape[:2]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    found = image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)].astype(np.int64)
    return np.where(inside[..., None], found, np.array(border, np.int64))


def letterbox(image: Image, input_hw: tuple[int, int], border: tuple[int, ...]) -> Image:
    """Resize to fit as OpenCV's INTER_LINEAR does for 8 bits, put at the top left of a filled picture."""
    height, width = image.shape[:2]
    fit = min(input_hw[0] / height, input_hw[1] / width)
    new_height, new_width = (max(1, int(side * fit + 0.5)) for side in (height, width))

    def taps(count: int, source: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        scale = 1.0 / (count / source)
        position = ((np.arange(count) + 0.5) * scale - 0.5).astype(np.float32)
        first = np.floor(position).astype(np.int64)
        return first, position - first.astype(np.float32)

    def weights(fraction: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        pair = (np.float32(1) - fraction) * np.float32(2048), fraction * np.float32(2048)
        return np.rint(pair[0]).astype(np.int64), np.rint(pair[1]).astype(np.int64)

    x, x_fraction = taps(new_width, width)
    x_fraction = np.where((x < 0) | (x >= width - 1), np.float32(0), x_fraction)
    y, y_fraction = taps(new_height, height)
    left, right = weights(x_fraction)
    upper, lower = weights(y_fraction)
    source = image.astype(np.int64)
    x0, x1 = np.clip(x, 0, width - 1), np.clip(x + 1, 0, width - 1)
    lines = source[:, x0] * left[None, :, None] + source[:, x1] * right[None, :, None]
    first, second = lines[np.clip(y, 0, height - 1)], lines[np.clip(y + 1, 0, height - 1)]
    blend = ((upper[:, None, None] * (first >> 4)) >> 16) + ((lower[:, None, None] * (second >> 4)) >> 16)
    output = np.empty((*input_hw, 3), np.uint8)
    output[:] = border
    output[:new_height, :new_width] = (blend + 2) >> 2
    return output


def iou(a: FloatArray, b: FloatArray) -> float:
    """Return intersection over union of two boxes x1 y1 x2 y2, 0 for no overlap."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    both = sides[0] * sides[1]
    return float(both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))


def nms(boxes: FloatArray, scores: FloatArray, labels: NDArray[np.int32], threshold: float) -> list[int]:
    """Return the indices that greedy class-wise suppression keeps, best first."""
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable").tolist():
        rivals = [i for i in kept if labels[i] == labels[candidate]]
        if all(iou(boxes[i], boxes[candidate]) <= np.float32(threshold) for i in rivals):
            kept.append(candidate)
    return kept


def simcc(rows: list[FloatArray], split: float) -> tuple[FloatArray, FloatArray]:
    """Decode rows [K, bins] of x and y: points [K, 2], input pixels, and scores; bin -1 where no score."""
    bins = np.stack([r.argmax(axis=1) for r in rows], axis=1).astype(np.float32)
    score = np.minimum(*[r.max(axis=1) for r in rows])
    bins[score <= 0] = -1
    return bins / np.float32(split), np.maximum(score, 0)
