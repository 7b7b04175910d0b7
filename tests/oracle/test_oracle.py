"""The C++ pre- and post-processing against its definition, over random inputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracle import numeric as oracle

from edgepose import _core

BORDER = (10, 200, 30)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
sides = st.integers(1, 90)
input_sides = st.integers(16, 90)
seeds = st.integers(0, 2**32 - 1)


def random_image(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def interleaved(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.moveaxis(planes, 0, 2)


@few
@given(sides, sides, input_sides, input_sides, seeds)
def test_crop(height: int, width: int, out_height: int, out_width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = random_image(height, width, seed)
    center = rng.uniform(-0.5, 1.5, 2) * [width, height]
    half = np.exp(rng.uniform(np.log(0.5), np.log(400), 2)) / 2
    box = np.concatenate([center - half, center + half]).astype(np.float32)
    spec = oracle.preprocess_json("affine", (out_height, out_width), pad_value=BORDER)
    ours, transform = _core.preprocess(image, tuple(box.tolist()), spec)
    middle, scale = oracle.box_center_scale(box, (out_height, out_width), 1.25)
    expected, ties = oracle.warp(image, middle, scale[0], (out_height, out_width), BORDER)
    assert ((interleaved(ours) == expected).all(axis=-1) | ties).all()
    np.testing.assert_allclose(transform[:2], scale / [out_width, out_height], rtol=1e-6)
    np.testing.assert_allclose(transform[2:], middle - scale / 2, rtol=1e-6, atol=1e-4)


@few
@given(sides, sides, input_sides, seeds)
def test_letterboxes(height: int, width: int, side: int, seed: int) -> None:
    image = random_image(height, width, seed)
    spec = oracle.preprocess_json("letterbox", (side, side), pad_value=BORDER)
    ours, _ = _core.preprocess(image, None, spec)
    np.testing.assert_array_equal(interleaved(ours), oracle.letterbox(image, (side, side), BORDER))
    spec = oracle.preprocess_json("letterbox_centred", (side, side), pad_value=BORDER)
    ours, _ = _core.preprocess(image, None, spec)
    long_side = np.float32(max(height, width))
    middle = np.array([width / 2, height / 2], np.float32)
    expected, ties = oracle.warp(image, middle, long_side, (side, side), BORDER)
    assert ((interleaved(ours) == expected).all(axis=-1) | ties).all()


def test_colours_and_normalisation() -> None:
    image = random_image(40, 30, 1)
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    plain, _ = _core.preprocess(image, (2, 3, 25, 38), oracle.preprocess_json("affine", (32, 24)))
    spec = oracle.preprocess_json("affine", (32, 24), color="rgb", mean=mean, std=std)
    ours, _ = _core.preprocess(image, (2, 3, 25, 38), spec)
    mean32, std32 = (np.array(v, np.float32)[:, None, None] for v in (mean, std))
    np.testing.assert_array_equal(ours, (plain[::-1] - mean32) / std32)


@few
@given(st.integers(1, 30), st.integers(1, 70), st.integers(1, 70), seeds)
def test_simcc(points: int, x_bins: int, y_bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct values: ties and rows without a positive value come often.
    rows = [rng.integers(-3, 3, (points, bins)).astype(np.float32) for bins in (x_bins, y_bins)]
    names = [f"p{i}" for i in range(points)]
    keypoint_set = {
        "name": "test",
        "keypoints": names,
        "skeleton": [],
        "flip_pairs": [],
        "sigmas": [0.1] * points,
    }
    head = {"type": "simcc", "split_ratio": 2.0, "score": "min", "z_range": None, "points": keypoint_set}
    ours, z = _core.decode_simcc(rows[0], rows[1], None, json.dumps(head), (1.0, 1.0, 0.0, 0.0))
    expected, scores = oracle.simcc(rows, 2.0)
    np.testing.assert_array_equal(ours[:, :2], expected)
    np.testing.assert_array_equal(ours[:, 2], scores)
    assert z is None


@few
@given(st.integers(0, 80), st.sampled_from([0.0, 0.3, 0.65, 1.0]), seeds)
def test_nms(count: int, threshold: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 40, (count, 2))], axis=1).astype(np.float32)
    scores = (rng.integers(0, 20, count) / 20).astype(np.float32)
    labels = rng.integers(0, 3, count).astype(np.int32)
    expected = oracle.nms(boxes, scores, labels, threshold)
    assert _core.nms(boxes, scores, labels, threshold, 1000).tolist() == expected
    assert _core.nms(boxes, scores, labels, threshold, 5).tolist() == expected[:5]


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 16000, 3), (16000, 1, 3), (2, 3, 3)])
@pytest.mark.parametrize("resize", ["letterbox", "letterbox_centred", "affine"])
def test_extreme_pictures_give_finite_inputs(shape: tuple[int, ...], resize: str) -> None:
    image = np.full(shape, 77, np.uint8)
    box = (0.0, 0.0, float(shape[1]), float(shape[0])) if resize == "affine" else None
    ours, transform = _core.preprocess(image, box, oracle.preprocess_json(resize, (64, 48)))
    assert np.isfinite(ours).all() and np.isfinite(transform).all()


@pytest.mark.parametrize(
    "box", [(0, 0, float("nan"), 9), (5, 5, 5, 9), (9, 9, 0, 0), (0, 0, float("inf"), 9), None]
)
def test_bad_boxes_are_refused(box: tuple[float, ...] | None) -> None:
    with pytest.raises(_core.CoreError) as error:
        _core.preprocess(random_image(20, 20, 1), box, oracle.preprocess_json("affine", (64, 48)))
    assert _core.code_table()[error.value.code] == "invalid_argument"
    assert error.value.hint
