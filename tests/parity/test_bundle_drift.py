"""Bundles through the C++ pipeline against torch float32, on labelled persons of real pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tolerances import DRIFT_MEAN_PX

from edgepose.artifact import Precision
from edgepose.bundle.manifest import MANIFEST_NAME
from edgepose.converters.decoded import confident
from edgepose.converters.limits import LIMITS
from edgepose.core import load_core
from edgepose.pipeline import PosePipeline
from edgepose.verify.flip_test import FlipTest

torch = pytest.importorskip("torch", reason="optional: the extra convert is not installed")
onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")

Array = NDArray[np.float32]
TARGETS = ("ncnn", "openvino", "onnx")


@pytest.fixture(scope="module")
def pictures(shared_dir: Path) -> list[tuple[NDArray[np.uint8], Array]]:
    """Give every picture of coco_dev that has persons, and their boxes, x1 y1 x2 y2."""
    import cv2

    folder = shared_dir / "data" / "coco_dev"
    data = json.loads((folder / "person_keypoints.json").read_text())
    found = []
    for entry in data["images"]:
        sides = [a["bbox"] for a in data["annotations"] if a["image_id"] == entry["id"] and not a["iscrowd"]]
        if sides:
            x, y, w, h = np.array(sides, np.float32).T
            image = cv2.imread(str(folder / "images" / entry["file_name"]))
            found.append((np.ascontiguousarray(image), np.stack([x, y, x + w, y + h], axis=1)))
    return found


@pytest.fixture(scope="module")
def torch_keypoints(shared_dir: Path, pictures: list[tuple[NDArray[np.uint8], Array]]) -> Array:
    """Give the torch network's keypoints of every person, [N, 17, 3], decoded without EdgePose's decoder."""
    from edgepose.bundle.manifest import preprocess_member
    from edgepose.models import load_model

    loaded = load_model(shared_dir / "weights" / "rtmpose-t-demo.pth")
    spec_json = json.dumps(preprocess_member(loaded.spec.preprocess))
    persons = []
    for image, boxes in pictures:
        for box in boxes:
            tensor, (scale_x, scale_y, offset_x, offset_y) = load_core().preprocess(
                image, tuple(float(v) for v in box), spec_json
            )
            with torch.inference_mode():
                x, y = (rows[0].numpy() for rows in loaded.network(torch.from_numpy(tensor[None])))
            place = np.stack(
                [x.argmax(1) / 2 * scale_x + offset_x, y.argmax(1) / 2 * scale_y + offset_y], axis=1
            )
            scores = np.minimum(x.max(1), y.max(1))
            persons.append(np.concatenate([place, scores[:, None]], axis=1))
    return np.stack(persons).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("target", TARGETS)
def test_keypoints_of_labelled_persons_stay_where_torch_has_them(
    bundles: dict[tuple[str, str], Path],
    pictures: list[tuple[NDArray[np.uint8], Array]],
    torch_keypoints: Array,
    target: str,
    precision: Precision,
) -> None:
    pipeline: Any = load_core().Pipeline(str(bundles[target, precision]), threads=2)
    found = np.concatenate([pipeline.process(image, 0, boxes)[0] for image, boxes in pictures])
    assert found.shape == torch_keypoints.shape and len(found) >= 100
    manifest = json.loads((bundles[target, precision] / MANIFEST_NAME).read_text())
    sure = confident(torch_keypoints[..., 2], manifest["pipeline"]["keypoint_score_threshold"])
    assert np.count_nonzero(sure) >= len(found) * 17 // 2
    shifts = np.linalg.norm(found[..., :2] - torch_keypoints[..., :2], axis=2)
    assert shifts[sure].mean() <= min(DRIFT_MEAN_PX[precision], LIMITS[precision].mean_px)
    np.testing.assert_allclose(
        found[..., 2], torch_keypoints[..., 2], atol=1e-3 if precision == "fp32" else 0.05
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_bundle_reproduces_its_golden_results(
    bundles: dict[tuple[str, str], Path], target: str, precision: str
) -> None:
    report = load_core().Pipeline(str(bundles[target, precision]), threads=2).verify_golden()
    assert report["passed"]
    assert report["keypoints_compared"] >= 10
    assert report["detections_expected"] >= 1
    assert report["keypoint_mean_px"] <= DRIFT_MEAN_PX[precision]


@pytest.mark.parametrize("target", TARGETS)
def test_a_bundle_tells_how_far_each_stage_was_from_torch(
    bundles: dict[tuple[str, str], Path], target: str
) -> None:
    manifest = json.loads((bundles[target, "fp16"] / "bundle.json").read_text())
    stages = [(s["model"], s["stage"], s["precision"]) for s in manifest["verification"]["stages"]]
    assert stages == [
        ("rtmdet-nano", "onnx", "fp32"),
        ("rtmdet-nano", target, "fp16"),
        ("rtmpose-t", "onnx", "fp32"),
        ("rtmpose-t", target, "fp16"),
    ]
    for stage in manifest["verification"]["stages"]:
        assert stage["mean_px"] <= stage["limits"]["mean_px"]
        assert stage["real_samples"] >= 4 and stage["random_samples"] >= 1
        assert stage["compared"] >= 4


@pytest.mark.parametrize("target", TARGETS)
def test_lineage_leads_from_the_checkpoint_to_the_bundles_files(
    bundles: dict[tuple[str, str], Path], shared_dir: Path, target: str
) -> None:
    from edgepose.hashing import sha256_file

    manifest = json.loads((bundles[target, "fp16"] / "bundle.json").read_text())
    given = {digest for entry in manifest["lineage"] for digest in entry["inputs"].values()}
    made = {digest for entry in manifest["lineage"] for digest in entry["outputs"].values()}
    for name in ("rtmdet_nano_320-person.pth", "rtmpose-t-demo.pth"):
        assert sha256_file(shared_dir / "weights" / name) in given
    for model in manifest["models"].values():
        for name in model["files"].values():
            assert manifest["files"][name]["sha256"] in made
    steps = [entry["step"] for entry in manifest["lineage"]]
    assert steps[:2] == ["export", "simplify"]
    assert all(entry["version"] for entry in manifest["lineage"])


def test_half_precision_halves_the_weights(bundles: dict[tuple[str, str], Path]) -> None:
    for target in TARGETS:
        sizes = []
        for precision in ("fp32", "fp16"):
            manifest = json.loads((bundles[target, precision] / "bundle.json").read_text())
            roles = manifest["models"]["pose"]["files"]
            weights = roles.get("bin") or roles["onnx"]
            sizes.append(manifest["files"][weights]["bytes"])
        assert sizes[1] < 0.53 * sizes[0]


def test_onnx_bundles_compute_no_sizes(bundles: dict[tuple[str, str], Path]) -> None:
    """A GPU's session refuses what would run on the CPU, as arithmetic on sizes does."""
    files = [path for name in ("fp32", "fp16") for path in bundles["onnx", name].glob("*.onnx")]
    assert len(files) == 4
    for path in files:
        assert not {node.op_type for node in onnx.load(path).graph.node} & {"Shape", "Gather"}, path


@pytest.mark.parametrize("target", TARGETS)
def test_the_flip_test_decodes_the_mean_of_both_answers_of_torch(
    bundles: dict[tuple[str, str], Path],
    shared_dir: Path,
    pictures: list[tuple[NDArray[np.uint8], Array]],
    target: str,
) -> None:
    from edgepose.bundle.manifest import preprocess_member
    from edgepose.models import load_model

    loaded = load_model(shared_dir / "weights" / "rtmpose-t-demo.pth")
    spec_json = json.dumps(preprocess_member(loaded.spec.preprocess))
    names = loaded.spec.head.points.keypoints
    sides = {"left": "right", "right": "left"}
    other = [names.index("_".join([sides.get(part, part) for part in name.split("_")])) for name in names]
    assert other[:3] == [0, 2, 1] and other[15:] == [16, 15]
    bundle, distances, plain = bundles[target, "fp32"], [], []
    with PosePipeline(bundle, threads=1) as pipeline:
        flip_test = FlipTest(bundle, pipeline, device="CPU")
        for image, boxes in pictures[:8]:
            found = flip_test.keypoints(image, boxes)
            plain += [np.abs(found - pipeline(image, boxes=boxes).keypoints).max()]
            for box, keypoints in zip(boxes.tolist(), found, strict=True):
                tensor, (scale_x, scale_y, offset_x, offset_y) = load_core().preprocess(image, box, spec_json)
                inputs = torch.from_numpy(tensor[None])
                with torch.inference_mode():
                    (x, y), (mirrored_x, mirrored_y) = loaded.network(inputs), loaded.network(inputs.flip(3))
                x = (x + mirrored_x[:, other].flip(2))[0].numpy() / 2
                y = (y + mirrored_y[:, other])[0].numpy() / 2
                place = np.stack(
                    [x.argmax(1) / 2 * scale_x + offset_x, y.argmax(1) / 2 * scale_y + offset_y], axis=1
                )
                distances += (np.linalg.norm(keypoints[:, :2] - place, axis=1) / scale_x).tolist()
                scores = np.minimum(x.max(1), y.max(1))
                np.testing.assert_allclose(keypoints[:, 2], scores, atol=2e-4)
    assert len(distances) > 200 and np.mean(distances) < DRIFT_MEAN_PX["fp32"]
    assert np.quantile(distances, 0.98) < 0.1
    assert max(plain) > 5  # a mirrored look changes something
