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


def sigmoid(values: NDArray[Any]) -> FloatArray:
    """Return 1 / (1 + exp(-v)) in float32."""
    return (1 / (1 + np.exp(-values.astype(np.float64)))).astype(np.float32)


def detect(
    logits: list[FloatArray], raw: list[FloatArray], head: dict[str, Any], input_hw: tuple[int, int]
) -> FloatArray:
    """Decode maps [C, h, w] and [4, h, w] of every stride: [M, 6], x1 y1 x2 y2 in input pixels, score, label.

    As RTMDet's head: the best of every stride above the threshold, cells at their index * stride, boxes
    clipped to the input, none of no area, NMS within a class, the best of all.
    """
    found = []
    for stride, scores, sides in zip(head["strides"], logits, raw, strict=True):
        flat = sigmoid(scores).reshape(len(scores), -1).T.ravel()  # by cell, then by class
        above = np.flatnonzero(flat > np.float32(head["score_threshold"]))
        best = above[np.argsort(-flat[above], kind="stable")][: head["max_candidates_per_level"]]
        for index in best.tolist():
            cell, label = divmod(index, len(scores))
            row, column = divmod(cell, scores.shape[2])
            side = np.exp(sides[:, row, column]) if head["exp_on_distances"] else sides[:, row, column]
            x, y = column * stride, row * stride
            box = np.array([x, y, x, y], np.float32) + side * np.float32(stride) * [-1, -1, 1, 1]
            box = box.clip(0, [input_hw[1], input_hw[0]] * 2)
            if (box[2:] > box[:2]).all():
                found.append([*box, flat[index], label])
    table = np.array(found, np.float32).reshape(-1, 6)
    kept = nms(table[:, :4], table[:, 4], table[:, 5].astype(np.int32), head["nms_iou_threshold"])
    return table[kept[: head["max_detections"]]]


def persons(
    maps: list[list[FloatArray]], head: dict[str, Any], weights: dict[str, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Decode RTMO's maps cls, box, vis, pose of every stride, each [C, h, w], in float64.

    Returns boxes [M, 5], x1 y1 x2 y2 score, not clipped, and points [M, K, 3], x y visibility, input pixels.
    """
    cells = []
    for level, stride in enumerate(head["strides"]):
        cls, box, vis, pose = (kind[level].astype(np.float64) for kind in maps)
        for row, column in np.ndindex(*cls.shape[1:]):
            prior = np.array([column, row]) * stride + (stride - 1) / 2
            center, half = box[:2, row, column] * stride + prior, np.exp(box[2:, row, column]) * stride / 2
            score = sigmoid(cls[0, row, column])
            if score > np.float32(head["score_threshold"]):
                corners = np.concatenate([center - half, center + half])
                cells.append((score, corners, vis[:, row, column], pose[:, row, column], prior))
    order = np.argsort([-score for score, *_ in cells], kind="stable")[: head["max_candidates"]]
    cells = [cells[index] for index in order]
    boxes = np.array([[*corners, score] for score, corners, *_ in cells]).reshape(-1, 5)
    kept = nms(boxes[:, :4], boxes[:, 4], np.zeros(len(boxes), np.int32), head["nms_iou_threshold"])
    kept = kept[: head["max_detections"]]
    points = [
        np.column_stack([classify(pose, corners, prior, head["box_padding"], weights), sigmoid(vis)])
        for _, corners, vis, pose, prior in (cells[index] for index in kept)
    ]
    return boxes[kept], np.array(points).reshape(len(kept), len(weights["query_offset"]), 3)


def classify(
    pose: NDArray[Any],
    box: NDArray[Any],
    prior: NDArray[Any],
    padding: float,
    weights: dict[str, FloatArray],
) -> NDArray[Any]:
    """Return the points [K, 2] of one cell, as the text of edgepose.nets.dcc has it."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    width, inner = w["out_weight"].shape
    tokens = (w["pose_weight"] @ pose + w["pose_bias"]).reshape(-1, width)
    norm = tokens / np.maximum(np.sqrt((tokens**2).mean(1, keepdims=True)), 1e-5) * w["norm_gain"]
    gate = norm @ w["uv_weight"].T
    gate = gate / (1 + np.exp(-gate))
    u, v, base = gate[:, :inner], gate[:, inner : 2 * inner], gate[:, 2 * inner :]
    q, k = (base * w[f"{name}_scale"] + w[f"{name}_offset"] for name in ("query", "key"))
    tokens = w["residual_scale"] * tokens + (u * (np.maximum(q @ k.T, 0) ** 2 @ v)) @ w["out_weight"].T
    axes = []
    for axis, name in enumerate("xy"):
        bins = w[f"{name}_bins"] * (box[axis + 2] - box[axis]) * padding + (box[axis] + box[axis + 2]) / 2
        phase = np.outer(bins - prior[axis], w["frequencies"])
        code = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) @ w[f"{name}_weight"].T
        logits = tokens @ code.T
        heat = np.exp(logits - logits.max(axis=1, keepdims=True))
        axes.append((heat * bins).sum(1) / heat.sum(1))
    return np.stack(axes, axis=1)
