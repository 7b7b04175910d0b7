"""The C++ pre- and post-processing against its definition, over random inputs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracle import numeric as oracle
from oracle.numeric import FloatArray

from edgepose import _core
from edgepose.converters.dcc_file import write_dcc_file
from edgepose.media import MAX_SIDE_PX

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
@given(sides, sides, input_sides, input_sides, seeds)
def test_letterboxes(height: int, width: int, out_height: int, out_width: int, seed: int) -> None:
    image, input_hw = random_image(height, width, seed), (out_height, out_width)
    spec = oracle.preprocess_json("letterbox", input_hw, pad_value=BORDER)
    ours, _ = _core.preprocess(image, None, spec)
    np.testing.assert_array_equal(interleaved(ours), oracle.letterbox(image, input_hw, BORDER))
    spec = oracle.preprocess_json("letterbox_centred", input_hw, pad_value=BORDER)
    ours, transform = _core.preprocess(image, None, spec)
    picture = np.array([0, 0, width, height], np.float32)
    middle, scale = oracle.box_center_scale(picture, input_hw, 1.0)
    expected, ties = oracle.warp(image, middle, scale[0], input_hw, BORDER)
    assert ((interleaved(ours) == expected).all(axis=-1) | ties).all()
    np.testing.assert_allclose(transform[:2], scale / [out_width, out_height], rtol=1e-6)
    np.testing.assert_allclose(transform[2:], middle - scale / 2, rtol=1e-6, atol=1e-4)


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


@few
@given(
    st.sampled_from([(32, 32), (64, 96), (96, 32)]),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([0.0, 0.05, 0.6]),
    st.sampled_from([0.31, 0.613, 1.0]),
    st.sampled_from([1, 7, 1000]),
    seeds,
)
def test_boxes(
    input_hw: tuple[int, int], classes: int, exp: bool, score: float, iou: float, limit: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shapes = [(input_hw[0] // stride, input_hw[1] // stride) for stride in (8, 16, 32)]
    # Few distinct logits: ties come often. Some boxes are empty, some reach over the input.
    logits = [rng.integers(-40, 24, (1, classes, *shape)).astype(np.float32) / 8 for shape in shapes]
    raw = [rng.uniform(-1, 2, (1, 4, *shape)).astype(np.float32) for shape in shapes]
    head = {
        "type": "rtmdet",
        "strides": [8, 16, 32],
        "exp_on_distances": exp,
        "classes": [f"c{n}" for n in range(classes)],
        "score_threshold": score,
        "nms_iou_threshold": iou,
        "max_candidates_per_level": limit,
        "max_detections": limit * 2,
    }
    spec = oracle.preprocess_json("letterbox", input_hw)
    # The picture covers the upper left three quarters of the input, at half its size.
    image_hw = (input_hw[0] * 3 // 2, input_hw[1] * 3 // 2)
    ours = _core.decode_boxes(logits + raw, json.dumps(head), spec, (2.0, 2.0, 0.0, 0.0), image_hw)
    expected = oracle.detect([x[0] for x in logits], [x[0] for x in raw], head, input_hw)
    expected[:, :4] = (expected[:, :4] * 2).clip(0, [image_hw[1], image_hw[0]] * 2)
    expected = expected[(expected[:, 2:4] > expected[:, :2]).all(axis=1)]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)


def classifier_weights(rng: np.random.Generator, points: int, channels: int) -> dict[str, FloatArray]:
    width, attention, inner, periods, x_bins, y_bins = 12, 6, 16, 5, 24, 32
    rows = {
        "pose_weight": (points * width, channels),
        "pose_bias": (points * width,),
        "uv_weight": (2 * inner + attention, width),
        "query_scale": (attention,),
        "query_offset": (points, attention),
        "key_scale": (attention,),
        "key_offset": (points, attention),
        "out_weight": (width, inner),
        "residual_scale": (width,),
        "x_weight": (width, 2 * periods),
        "y_weight": (width, 2 * periods),
    }
    weights = {name: rng.normal(0, 0.35, shape).astype(np.float32) for name, shape in rows.items()}
    return weights | {
        "norm_gain": np.ones(1, np.float32),
        "frequencies": (300.0 ** -(np.arange(periods) / periods)).astype(np.float32),
        "x_bins": np.linspace(-0.5, 0.5, x_bins, dtype=np.float32),
        "y_bins": np.linspace(-0.5, 0.5, y_bins, dtype=np.float32),
    }


@few
@given(
    st.sampled_from([(64, 64), (96, 160)]),
    st.integers(1, 18),
    st.sampled_from([0.0, 0.1, 0.6]),
    st.sampled_from([0.31, 0.653, 1.0]),
    st.sampled_from([1.0, 1.25, 1.6]),
    st.sampled_from([1, 5, 1000]),
    seeds,
)
def test_persons(
    input_hw: tuple[int, int], count: int, score: float, iou: float, padding: float, limit: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    channels = 7
    shapes = [(input_hw[0] // stride, input_hw[1] // stride) for stride in (16, 32)]
    maps = [
        [rng.integers(-40, 24, (1, 1, *shape)).astype(np.float32) / 8 for shape in shapes],
        *(
            [rng.normal(0, 0.7, (1, c, *shape)).astype(np.float32) for shape in shapes]
            for c in (4, count, channels)
        ),
    ]
    weights = classifier_weights(rng, count, channels)
    names = [f"p{i}" for i in range(count)]
    head = {
        "type": "rtmo",
        "strides": [16, 32],
        "points": {
            "name": "test",
            "keypoints": names,
            "skeleton": [],
            "flip_pairs": [],
            "sigmas": [0.1] * count,
        },
        "score_threshold": score,
        "nms_iou_threshold": iou,
        "max_candidates": limit * 3,
        "max_detections": limit,
        "box_padding": padding,
        "x_bins": 24,
        "y_bins": 32,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.dcc"
        write_dcc_file(weights, file)
        spec = oracle.preprocess_json("letterbox_centred", input_hw)
        outputs = [level for kind in maps for level in kind]
        ours, points = _core.decode_rtmo(
            outputs, json.dumps(head), spec, (1.0, 1.0, 0.0, 0.0), input_hw, str(file)
        )
    expected, expected_points = oracle.persons([[level[0] for level in kind] for kind in maps], head, weights)
    boxes = expected[:, :4].clip(0, [input_hw[1], input_hw[0]] * 2)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    np.testing.assert_allclose(ours[:, :4], boxes[inside], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(ours[:, 4], expected[inside, 4], atol=1e-6)
    np.testing.assert_allclose(points, expected_points[inside], rtol=1e-4, atol=2e-2)


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


def test_pictures_have_the_largest_side_that_the_runtime_takes() -> None:
    spec = oracle.preprocess_json("letterbox", (32, 32))
    _core.preprocess(np.zeros((1, MAX_SIDE_PX, 3), np.uint8), None, spec)
    with pytest.raises(_core.CoreError, match=str(MAX_SIDE_PX + 1)):
        _core.preprocess(np.zeros((1, MAX_SIDE_PX + 1, 3), np.uint8), None, spec)
