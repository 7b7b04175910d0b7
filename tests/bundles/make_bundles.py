"""Write the small good bundles of tests/bundles/v1 (backend "fake"): `python make_bundles.py`.

They are committed as they were written by the first version of the format, and every later version must open
them: write new ones for a new version instead of running this again.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose import _core

Array = NDArray[np.float32]

HERE = Path(__file__).resolve().parent
NETWORK = b"edgepose-fake 1\n"
WIDTH_PX, HEIGHT_PX = 40, 30
BOXES = [[4.0, 2.0, 24.0, 28.0], [10.5, 1.25, 39.0, 29.5]]
UNSIGNED = "0" * 64

POINTS = {
    "name": "three",
    "keypoints": ["nose", "left_eye", "right_eye"],
    "skeleton": [[0, 1], [0, 2]],
    "flip_pairs": [[1, 2]],
    "sigmas": [0.026, 0.025, 0.025],
}


def sign(manifest: dict[str, Any]) -> bytes:
    """Return the bytes of bundle.json: its manifest_sha256 is that of these bytes with the digits zeroed."""
    text = json.dumps({**manifest, "manifest_sha256": UNSIGNED}, indent=1) + "\n"
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return digest.join(text.rsplit(UNSIGNED, 1)).encode("ascii")


def fake_outputs(x: Array, model: dict[str, Any]) -> list[Array]:
    """Do what the fake engine does: element j of output o is input element o * 104729 + j * 7919, wrapped."""
    flat = x.reshape(-1)
    outputs = []
    for index, tensor in enumerate(model["outputs"]):
        dims = [1, *tensor["dims"][1:]]
        chosen = (index * 104729 + np.arange(np.prod(dims)) * 7919) % flat.size
        outputs.append(np.ascontiguousarray(flat[chosen].reshape(dims)))
    return outputs


def preprocess(resize: str, height: int, width: int) -> dict[str, Any]:
    """Return a "preprocess" member."""
    return {
        "resize": resize,
        "input_hw": [height, width],
        "color": "rgb" if resize == "affine" else "bgr",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "pad_value": [0, 0, 0] if resize == "affine" else [114, 114, 114],
        "box_padding": 1.25 if resize == "affine" else 1.0,
    }


def model(
    name: str, family: str, task: str, outputs: list[tuple[str, list[int]]], **members: Any
) -> dict[str, Any]:
    """Return one entry of "models"."""
    files = {"fake": f"{name}.fake"} | ({"dcc": f"{name}.dcc"} if task == "one_stage" else {})
    height, width = members["preprocess"]["input_hw"]
    return {
        "name": name,
        "family": family,
        "task": task,
        "files": files,
        "inputs": [{"name": "input", "tensor": "in0", "dims": [-1, 3, height, width]}],
        "outputs": [
            {"name": tensor, "tensor": f"out{i}", "dims": [-1, *dims]}
            for i, (tensor, dims) in enumerate(outputs)
        ],
        **members,
    }


def detector() -> dict[str, Any]:
    """Return a detector of two classes for 64x96 pixels."""
    shapes = {8: [8, 12], 16: [4, 6]}
    outputs = [(f"{kind}_{s}", [n, *hw]) for kind, n in (("cls", 2), ("box", 4)) for s, hw in shapes.items()]
    head = {
        "type": "rtmdet",
        "strides": [8, 16],
        "exp_on_distances": True,
        "classes": ["person", "dog"],
        "score_threshold": 0.5,
        "nms_iou_threshold": 0.6,
        "max_candidates_per_level": 100,
        "max_detections": 10,
    }
    spec = preprocess("letterbox", 64, 96)
    return model("tiny-detector", "rtmdet", "detect", outputs, preprocess=spec, head=head)


def pose(name: str = "tiny-pose", z_range: float | None = None) -> dict[str, Any]:
    """Return a pose network of three points for 32x24 pixels."""
    outputs = [("simcc_x", [3, 48]), ("simcc_y", [3, 64])] + ([("simcc_z", [3, 64])] if z_range else [])
    head = {"type": "simcc", "split_ratio": 2.0, "score": "min", "z_range": z_range, "points": POINTS}
    return model(name, "rtmpose", "pose", outputs, preprocess=preprocess("affine", 32, 24), head=head)


def one_stage() -> dict[str, Any]:
    """Return a one-stage network of three points for 64x64 pixels."""
    shapes = {16: [4, 4], 32: [2, 2]}
    channels = {"cls": 1, "box": 4, "vis": 3, "pose": 8}
    outputs = [(f"{kind}_{s}", [count, *hw]) for kind, count in channels.items() for s, hw in shapes.items()]
    head = {
        "type": "rtmo",
        "strides": [16, 32],
        "points": POINTS,
        "score_threshold": 0.1,
        "nms_iou_threshold": 0.65,
        "max_candidates": 100,
        "max_detections": 10,
        "box_padding": 1.25,
        "x_bins": 6,
        "y_bins": 8,
    }
    spec = preprocess("letterbox_centred", 64, 64)
    return model("tiny-rtmo", "rtmo", "one_stage", outputs, preprocess=spec, head=head)


def detections(entry: dict[str, Any], picture: NDArray[np.uint8]) -> list[list[float]]:
    """Return what the detector gives for the picture."""
    spec, head = json.dumps(entry["preprocess"]), json.dumps(entry["head"])
    tensor, transform = _core.preprocess(picture, None, spec)
    rows = _core.decode_boxes(fake_outputs(tensor, entry), head, spec, transform, (HEIGHT_PX, WIDTH_PX))
    return [[*(float(v) for v in row[:5]), int(row[5])] for row in rows]


def poses(entry: dict[str, Any], picture: NDArray[np.uint8]) -> list[list[list[float]]]:
    """Return what the pose network gives for the boxes."""
    found = []
    for box in BOXES:
        tensor, transform = _core.preprocess(picture, box, json.dumps(entry["preprocess"]))
        x, y, *z = (output[0] for output in fake_outputs(tensor, entry))
        keypoints, _ = _core.decode_simcc(x, y, z[0] if z else None, json.dumps(entry["head"]), transform)
        found.append(keypoints.tolist())
    return found


def classifier() -> bytes:
    """Return small random weights of the coordinate classifier, as runtime_cpp/src/dcc_file.h says."""
    points, channels, width, attention, inner, periods, x_bins, y_bins = dims = (3, 8, 8, 4, 8, 4, 6, 8)
    shapes: list[tuple[int, ...]] = [
        *((points * width, channels), (points * width,), (1,), (2 * inner + attention, width)),
        *((attention,), (points, attention), (attention,), (points, attention)),
        *((width, inner), (width,), (width, 2 * periods), (width, 2 * periods)),
    ]
    rng = np.random.default_rng(1)
    arrays = [rng.uniform(-0.5, 0.5, shape) for shape in shapes]
    arrays += [300.0 ** (-np.arange(periods) / periods)]
    arrays += [np.linspace(-0.5, 0.5, bins) for bins in (x_bins, y_bins)]
    return struct.pack("<8s8I", b"EPDCC001", *dims) + b"".join(a.astype("<f4").tobytes() for a in arrays)


def persons(entry: dict[str, Any], picture: NDArray[np.uint8]) -> dict[str, Any]:
    """Return what the one-stage network gives for the picture."""
    spec, head = json.dumps(entry["preprocess"]), json.dumps(entry["head"])
    tensor, transform = _core.preprocess(picture, None, spec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dcc"
        path.write_bytes(classifier())
        outputs = fake_outputs(tensor, entry)
        rows, keypoints = _core.decode_rtmo(outputs, head, spec, transform, (HEIGHT_PX, WIDTH_PX), str(path))
    found = [[*(float(v) for v in row[:5]), int(row[5])] for row in rows]
    return {"detections": found, "poses": keypoints.tolist()}


def write(folder: Path, kind: str, models: dict[str, dict[str, Any]]) -> None:
    """Write one bundle folder."""
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    expected: dict[str, Any] = {"detections": None, "poses": None}
    if "detector" in models:
        expected["detections"] = detections(models["detector"], picture)
    if "pose" in models:
        expected["poses"] = poses(models["pose"], picture)
    if "one_stage" in models:
        expected = persons(models["one_stage"], picture)
    contents = {"golden.bgr": picture.tobytes(), "golden.json": (json.dumps(expected) + "\n").encode("ascii")}
    for entry in models.values():
        for role, name in entry["files"].items():
            contents[name] = NETWORK if role == "fake" else classifier()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    manifest = {
        "format": "edgepose-bundle",
        "format_version": 1,
        "name": folder.name,
        "created_by": "edgepose 0.1.0",
        "backend": "fake",
        "precision": "fp32",
        "pipeline": {
            "type": kind,
            "person_label": 0,
            "box_score_threshold": 0.6,
            "keypoint_score_threshold": 0.3,
        },
        "models": models,
        "files": {name: {"bytes": len(contents[name]), "sha256": digest} for name, digest in digests.items()},
        "golden": {
            "picture": "golden.bgr",
            "width_px": WIDTH_PX,
            "height_px": HEIGHT_PX,
            "boxes_xyxy": BOXES if "pose" in models else [],
            "expected": "golden.json",
            "tolerance_px": 0.01,
        },
        "lineage": [
            {
                "step": "make",
                "tool": "make_bundles.py",
                "version": "1",
                "arguments": {"seed": 0, "boxes": BOXES, "note": None},
                "inputs": {},
                "outputs": digests,
            }
        ],
        "verification": {"stages": [{"model": entry["name"], "mean_px": 0.0} for entry in models.values()]},
        "license": {"weights": "Apache-2.0", "notes": ["no weights: the networks are made up"]},
    }
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "bundle.json").write_bytes(sign(manifest))


def main() -> None:
    """Write every bundle."""
    out = HERE / "v1"
    write(out / "top_down", "top_down", {"detector": detector(), "pose": pose()})
    write(out / "detect", "detect", {"detector": detector()})
    write(out / "pose", "pose", {"pose": pose()})
    write(out / "pose_3d", "pose", {"pose": pose("tiny-pose-3d", z_range=2.17)})
    write(out / "one_stage", "one_stage", {"one_stage": one_stage()})


if __name__ == "__main__":
    main()
