"""The C++ pre- and post-processing against what the original functions gave (goldens/)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from oracle import numeric as oracle

from edgepose import _core

HERE = Path(__file__).resolve().parent


Arrays = dict[str, np.ndarray[Any, Any]]
SIZES = ["256x192", "384x288", "256x256"]
CROPS = ["192x256_0", "192x256_2", "192x256_4", "288x384_1", "256x256_3"]


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> Arrays:
    with np.load(shared_dir / "goldens" / "vectors.npz", allow_pickle=False) as pack:
        return {name: pack[name] for name in pack.files}


def interleaved(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.moveaxis(planes, 0, 2)


def simcc_head(points: int, z_range: float | None = None) -> str:
    keypoints = {
        "name": "test",
        "keypoints": [f"p{i}" for i in range(points)],
        "skeleton": [],
        "flip_pairs": [],
        "sigmas": [0.1] * points,
    }
    return json.dumps(
        {"type": "simcc", "split_ratio": 2.0, "score": "min", "z_range": z_range, "points": keypoints}
    )


@pytest.mark.parametrize("crop", CROPS)
def test_crops_equal_opencv_in_every_pixel(vectors: Arrays, crop: str) -> None:
    size, index = crop.split("_")
    width, height = map(int, size.split("x"))
    box = tuple(vectors["topdown/xyxy"][int(index)].tolist())
    ours, _ = _core.preprocess(
        vectors["topdown/image"], box, oracle.preprocess_json("affine", (height, width))
    )
    np.testing.assert_array_equal(interleaved(ours), vectors[f"topdown/crop_{crop}"])


@pytest.mark.parametrize("size", ["192x256", "288x384", "256x256"])
@pytest.mark.parametrize("index", range(6))
def test_crops_map_back_as_the_original(vectors: Arrays, size: str, index: int) -> None:
    width, height = map(int, size.split("x"))
    box = tuple(vectors["topdown/xyxy"][index].tolist())
    _, transform = _core.preprocess(
        vectors["topdown/image"], box, oracle.preprocess_json("affine", (height, width))
    )
    center, scale = (vectors[f"topdown/crop_{size}_{index}_{name}"] for name in ("center", "scale"))
    point = np.array([17.5, 200.0], np.float32)
    expected = point / [width, height] * scale + center - 0.5 * scale
    np.testing.assert_allclose(point * transform[:2] + transform[2:], expected, atol=1e-3)


def test_normalisation_is_bit_equal(vectors: Arrays) -> None:
    spec = oracle.preprocess_json(
        "affine", (256, 192), color="rgb", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    )
    ours, _ = _core.preprocess(vectors["topdown/image"], tuple(vectors["topdown/xyxy"][0].tolist()), spec)
    np.testing.assert_array_equal(ours[:, 96:160, 64:128], vectors["topdown/norm_192x256_0"][0])


@pytest.mark.parametrize("index", [3, 5])
def test_letterboxes_equal_opencv_in_every_pixel(vectors: Arrays, index: int) -> None:
    image, pad = vectors[f"letterbox/img{index}"], {"pad_value": [114, 114, 114]}
    ours, _ = _core.preprocess(image, None, oracle.preprocess_json("letterbox_centred", (416, 416), **pad))
    np.testing.assert_array_equal(interleaved(ours), vectors[f"letterbox/rtmo416_{index}"])
    ours, _ = _core.preprocess(image, None, oracle.preprocess_json("letterbox", (320, 320), **pad))
    np.testing.assert_array_equal(interleaved(ours), vectors[f"letterbox/det320_{index}"])


@pytest.mark.parametrize("index", range(7))
def test_letterboxes_map_back_as_the_original(vectors: Arrays, index: int) -> None:
    height, width = vectors["letterbox/sizes_hw"][index].tolist()
    image = np.zeros((height, width, 3), np.uint8)
    for side in (320, 640):
        _, transform = _core.preprocess(image, None, oracle.preprocess_json("letterbox", (side, side)))
        factor = vectors[f"letterbox/det{side}_{index}_scale_factor"]
        np.testing.assert_allclose(transform, [1 / factor[0], 1 / factor[1], 0, 0], rtol=1e-6)
    for side in (416, 640):
        _, transform = _core.preprocess(
            image, None, oracle.preprocess_json("letterbox_centred", (side, side))
        )
        center, scale = (vectors[f"letterbox/rtmo{side}_{index}_{name}"] for name in ("center", "scale"))
        np.testing.assert_allclose(
            transform, [*(scale / side), *(center - 0.5 * scale)], rtol=1e-6, atol=1e-5
        )


@pytest.mark.parametrize("size", SIZES)
def test_simcc(vectors: Arrays, size: str) -> None:
    group = {name: vectors[f"simcc/{size}/{name}"] for name in ("x", "y", "kpts", "scores")}
    for item in range(len(group["x"])):
        head = simcc_head(group["x"].shape[1])
        ours, z = _core.decode_simcc(group["x"][item], group["y"][item], None, head, (1.0, 1.0, 0.0, 0.0))
        assert z is None
        np.testing.assert_array_equal(ours[:, :2], group["kpts"][item])
        np.testing.assert_array_equal(ours[:, 2], np.maximum(group["scores"][item], 0))


def test_simcc_with_depth(vectors: Arrays) -> None:
    x, y, z_rows = (vectors[f"simcc3d/{axis}"][0] for axis in "xyz")
    head = simcc_head(len(x), float(vectors["simcc3d/z_range"]))
    ours, z = _core.decode_simcc(x, y, z_rows, head, (1.0, 1.0, 0.0, 0.0))
    expected = vectors["simcc3d/kpts"][0]
    np.testing.assert_array_equal(ours[:, :2], expected[:, :2])
    np.testing.assert_array_equal(ours[:, 2], np.maximum(vectors["simcc3d/scores"][0], 0))
    assert z is not None
    np.testing.assert_allclose(z, expected[:, 2], atol=1e-6)


@pytest.mark.parametrize("threshold", ["0.3", "0.6", "0.65"])
def test_nms(vectors: Arrays, threshold: str) -> None:
    boxes, scores = vectors["nms/boxes"], vectors["nms/scores"]
    ours = _core.nms(boxes, scores, np.zeros(len(boxes), np.int32), float(threshold), 1000)
    np.testing.assert_array_equal(ours, vectors[f"nms/mmcv_nms_{threshold}"])
    np.testing.assert_array_equal(ours, vectors[f"nms/nms_torch_{threshold}"])


def test_nms_by_label(vectors: Arrays) -> None:
    labels = vectors["nms/labels"].astype(np.int32)
    ours = _core.nms(vectors["nms/boxes"], vectors["nms/scores"], labels, 0.6, 1000)
    np.testing.assert_array_equal(ours, vectors["nms/batched_nms_0.6_keep"])


@pytest.mark.parametrize("pack", ["rtmdet-nano_person_320", "rtmdet-m_person_640"])
def test_rtmdet_maps_decode_to_the_golden_boxes(shared_dir: Path, pack: str) -> None:
    with np.load(shared_dir / "goldens" / f"{pack}.npz", allow_pickle=False) as file:
        meta = json.loads(file["meta"].tobytes())
        golden = {name[2:]: file[name] for name in file.files if name.startswith("y/")}
    strides, side, rules = [8, 16, 32], meta["input_size_wh"][0], meta["test_cfg"]
    assert not meta.get("subsampled")
    # The stored distances are in pixels; a raw output is that divided by the stride, which is exact.
    distances = [golden[f"reg{i}"] / np.float32(stride) for i, stride in enumerate(strides)]
    head = {
        "type": "rtmdet",
        "strides": strides,
        "exp_on_distances": False,
        "classes": ["person"],
        "score_threshold": rules["score_thr"],
        "nms_iou_threshold": rules["nms"]["iou_threshold"],
        "max_candidates_per_level": rules["nms_pre"],
        "max_detections": rules["max_per_img"],
    }
    maps = [golden[f"cls{i}"] for i in range(3)] + distances
    spec = oracle.preprocess_json("letterbox", (side, side))
    ours = _core.decode_boxes(maps, json.dumps(head), spec, (1.0, 1.0, 0.0, 0.0), (side, side))
    np.testing.assert_array_equal(ours[:, :4], golden["det_bboxes"])
    np.testing.assert_allclose(ours[:, 4], golden["det_scores"], atol=1e-6)
    np.testing.assert_array_equal(ours[:, 5], golden["det_labels"])
