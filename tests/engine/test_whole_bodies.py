"""Whole bodies are followed by their bodies: face and hands are most of the points, and often not seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import PosePipeline
from edgepose.artifact import SimccHead
from edgepose.bundle.manifest import encode, head_member
from edgepose.bundle.tracking import tracking_member
from edgepose.hashing import sha256_file
from edgepose.skeletons import KEYPOINT_SETS

ov = pytest.importorskip("openvino", reason="openvino is not installed")

BUNDLES = Path(__file__).resolve().parents[1] / "bundles" / "v1"
POINTS = KEYPOINT_SETS["wholebody133"]
SEEN, HIDDEN = 0.8, 0.12


def _write_constants(folder: Path, model: dict[str, Any], values: list[np.ndarray[Any, Any]]) -> None:
    """Write a network that gives the values (1, ...), whatever it sees."""
    ops = ov.opset13
    (height, width), name = model["preprocess"]["input_hw"], model["name"]
    x = ops.parameter([-1, 3, height, width], np.float32)
    nothing = ops.multiply(ops.reduce_mean(x, ops.constant([1, 2, 3]), keep_dims=False), np.float32(0))
    outputs = []
    for entry, value in zip(model["outputs"], values, strict=True):
        shape = ops.constant([-1] + [1] * (value.ndim - 1))
        outputs.append(
            ops.add(ops.constant(value.astype(np.float32)), ops.reshape(nothing, shape, special_zero=False))
        )
        outputs[-1].output(0).get_tensor().set_names({entry["tensor"]})
    x.output(0).get_tensor().set_names({model["inputs"][0]["tensor"]})
    ov.save_model(ov.Model(outputs, [x], name), folder / f"{name}.xml", compress_to_fp16=False)
    model["files"] = {"xml": f"{name}.xml", "bin": f"{name}.bin"}


def _bundle(tmp_path: Path, seen: set[int]) -> Path:
    """Make a bundle that finds one person, always, of whom the points `seen` are."""
    folder = Path(shutil.copytree(BUNDLES / "top_down", tmp_path / "bundle"))
    manifest = json.loads((folder / "bundle.json").read_text())
    detector, pose = manifest["models"]["detector"], manifest["models"]["pose"]
    scores = np.full((1, 2, 8, 12), -9.0)
    scores[0, 0, 4, 6] = 3.0
    boxes = np.full((1, 4, 8, 12), 1.2)
    _write_constants(folder, detector, [scores, scores[:, :, :4, :6] * 0 - 9, boxes, boxes[:, :, :4, :6]])
    pose["head"] = head_member(SimccHead(2.0, POINTS))
    rows = []
    for output, bins in zip(pose["outputs"], (48, 64), strict=True):
        output["dims"] = [-1, len(POINTS.keypoints), bins]
        row = np.zeros((1, len(POINTS.keypoints), bins))
        for k in range(len(POINTS.keypoints)):
            row[0, k, 8 + (k * 7) % (bins - 16)] = SEEN if k in seen else HIDDEN
        rows.append(row)
    _write_constants(folder, pose, rows)
    for fake in folder.glob("*.fake"):
        fake.unlink()
    (folder / "golden.json").write_text(json.dumps({"detections": [], "poses": [[[0.0] * 3] * 133] * 2}))
    paths = [p for p in sorted(folder.iterdir()) if p.name != "bundle.json"]
    manifest |= {
        "backend": "openvino",
        "tracking": tracking_member(0.3),
        "files": {p.name: {"bytes": p.stat().st_size, "sha256": sha256_file(p)} for p in paths},
    }
    manifest["lineage"][0]["outputs"] = {p.name: sha256_file(p) for p in paths}
    (folder / "bundle.json").write_bytes(encode(manifest))
    return folder


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("seen", [{*range(23)}, {*range(7), *range(23, 91)}, {*range(5), *range(23, 91)}])
def test_a_person_is_followed_without_face_and_hands_and_in_close_up(
    seen: set[int], every: int, tmp_path: Path
) -> None:
    bundle = _bundle(tmp_path, seen)
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    with PosePipeline(bundle, threads=1, track=True, detect_every=every) as pipeline:
        frames = [pipeline(image, time_s=i / 30) for i in range(11)]
    assert [f.track_ids.tolist() for f in frames] == [[1]] * 11
    assert [f.timings_ms["detector"] > 0 for f in frames] == [i % every == 0 for i in range(11)]
