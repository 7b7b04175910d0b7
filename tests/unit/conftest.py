"""A stand-in for the compiled runtime, for what is tested without networks."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import edgepose
from edgepose.bundle.manifest import MANIFEST_NAME, encode
from edgepose.skeletons import KEYPOINT_SETS

STAGES = ("detector_preprocess_ns", "detector_ns", "detector_decode_ns", "pose_ns", "total_ns")


class FakeCoreError(Exception):
    """Has what the C++ module's CoreError has."""

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class FakePipeline:
    """One person per box; its keypoints lie on the box's diagonal, with scores from 0.2 to 1."""

    def __init__(self, bundle_dir: str, *, threads: int, device: str = "CPU") -> None:
        self.manifest_json = _read(bundle_dir)
        self.manifest = json.loads(self.manifest_json)
        self.options = {"threads": threads, "device": device}
        self.calls: list[tuple[Any, int, Any]] = []
        FakePipeline.latest = self

    latest: FakePipeline

    def process(self, image: Any, time_ns: int, boxes: Any = None) -> Any:
        if not image.flags.c_contiguous:
            raise TypeError("the module takes contiguous arrays only")
        if boxes is not None and (boxes.dtype != np.float32 or not boxes.flags.c_contiguous):
            raise TypeError("the module takes contiguous float32 boxes only")
        self.calls.append((image, time_ns, boxes))
        height, width = image.shape[:2]
        if boxes is None:
            boxes = np.array([[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]], np.float32)
        count = len(self.manifest["models"]["pose"]["head"]["points"]["keypoints"])
        share = np.linspace(0, 1, count, dtype=np.float32)[None, :, None]
        places = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
        scores = np.broadcast_to(0.2 + 0.8 * share, (len(boxes), count, 1))
        keypoints = np.concatenate([places, scores], axis=2).astype(np.float32)
        scored = np.concatenate([boxes, np.full((len(boxes), 1), 0.5, np.float32)], axis=1)
        ids = np.full(len(boxes), -1, np.int64)
        return keypoints, scored.astype(np.float32), ids, None, dict.fromkeys(STAGES, 2_000_000)

    def detect(self, image: Any) -> Any:
        return np.array([[1, 2, 30, 40, 0.9, 0], [5, 6, 20, 30, 0.8, 1], [5, 6, 20, 30, 0.1, 1]], np.float32)

    def verify_golden(self) -> dict[str, Any]:
        return dict(self.manifest["test_report"])

    def reset(self) -> None:
        self.calls.clear()


class FakeBundle:
    """Opens a folder that holds bundle.json."""

    def __init__(self, path: str) -> None:
        self.path, self.manifest_json = path, _read(path)
        self.digest = json.loads(self.manifest_json)["manifest_sha256"]

    @staticmethod
    def open(path: str) -> FakeBundle:
        return FakeBundle(path)


def _read(bundle_dir: str) -> str:
    manifest = Path(bundle_dir) / "bundle.json"
    if not manifest.exists():
        raise FakeCoreError(2, f"{bundle_dir}: no bundle.json", "make it with edgepose convert")
    return manifest.read_text()


@pytest.fixture
def fake_core(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put the stand-in where `edgepose._core` is."""
    module: Any = ModuleType("edgepose._core")
    module.CoreError = FakeCoreError
    module.Pipeline = FakePipeline
    module.Bundle = FakeBundle
    module.version = lambda: "0.0"
    module.available_backends = lambda: ["fake"]
    monkeypatch.setitem(sys.modules, "edgepose._core", module)
    monkeypatch.setattr(edgepose, "_core", module, raising=False)
    return module


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a client in place of ssh that runs the command line here, and return its folder."""
    client = tmp_path / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/sh -c "$last"\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what is not closed leaves its folder there
    return client.parent


@pytest.fixture
def bundles_v1() -> Path:
    """Give the folder of tests/bundles that the runtime opens without an engine."""
    return Path(__file__).resolve().parent.parent / "bundles" / "v1"


@pytest.fixture
def float_bundle(bundles_v1: Path, tmp_path: Path) -> Path:
    """Give a bundle of a pose network whose dims and input size are written as 2.0, which is valid."""
    folder = shutil.copytree(bundles_v1 / "pose", tmp_path / "floats")
    document = json.loads((folder / MANIFEST_NAME).read_text())
    pose = document["models"]["pose"]
    for tensor in (*pose["inputs"], *pose["outputs"]):
        tensor["dims"] = [float(size) for size in tensor["dims"]]
    preprocess = pose["preprocess"]
    for name in ("input_hw", "pad_value"):
        preprocess[name] = [float(value) for value in preprocess[name]]
    del document["manifest_sha256"]
    (folder / MANIFEST_NAME).write_bytes(encode(document))
    return folder


@pytest.fixture
def fake_bundle(fake_core: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Make bundle folders for the stand-in: fake_bundle(pipeline type)."""

    def make(kind: str = "top_down", **members: Any) -> Path:
        points = KEYPOINT_SETS["coco17"]
        preprocess = {
            "resize": "affine",
            "input_hw": [256, 192],
            "color": "rgb",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "pad_value": [0, 0, 0],
            "box_padding": 1.25,
        }
        pose_head = {
            "type": "simcc",
            "split_ratio": 2.0,
            "score": "min",
            "z_range": None,
            "points": {
                "name": points.name,
                "keypoints": points.keypoints,
                "skeleton": points.skeleton,
                "flip_pairs": points.flip_pairs,
                "sigmas": points.sigmas,
            },
        }
        box_head = {
            "type": "rtmdet",
            "strides": [8, 16, 32],
            "exp_on_distances": False,
            "classes": ["person", "bicycle"],
            "score_threshold": 0.05,
            "nms_iou_threshold": 0.6,
            "max_candidates_per_level": 1000,
            "max_detections": 100,
        }
        models = {
            "detector": {
                "name": "rtmdet-nano",
                "files": {"onnx": "d.onnx"},
                "preprocess": preprocess,
                "head": box_head,
            },
            "pose": {
                "name": "rtmpose-t",
                "files": {"onnx": "p.onnx"},
                "preprocess": preprocess,
                "head": pose_head,
            },
        }
        roles = {"top_down": ("detector", "pose"), "pose": ("pose",), "detect": ("detector",)}[kind]
        manifest: dict[str, Any] = {
            "format": "edgepose-bundle",
            "name": f"test-{kind}",
            "created_by": "edgepose test",
            "backend": "fake",
            "precision": "fp32",
            "pipeline": {
                "type": kind,
                "person_label": 0,
                "box_score_threshold": 0.3,
                "keypoint_score_threshold": 0.3,
            },
            "models": {role: models[role] for role in roles},
            "files": {"d.onnx": {"bytes": 1_000_000, "sha256": "0" * 64}},
            "verification": {
                "stages": [{"model": "rtmpose-t", "stage": "onnx", "engine": "e", "mean_px": 0.012345}]
            },
            "license": {"weights": "Apache-2.0", "notes": ["a note"]},
            "manifest_sha256": "ab" * 32,
            **members,
        }
        folder = tmp_path / f"bundle-{kind}"
        folder.mkdir(exist_ok=True)
        (folder / "bundle.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture(scope="session")
def training() -> Iterator[Any]:
    """Give a function that imports a module of training/, which is no part of the installed package."""
    root = str(Path(__file__).resolve().parents[2])
    sys.path.append(root)
    yield lambda name: importlib.import_module(f"training.{name}")
    sys.path.remove(root)
