"""Networks of every family, converted from their golden packs, against the outputs of the original code.

RTMW3D, which alone has three outputs, is a small random network, against what torch gives.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import packs
import pytest
from numpy.typing import NDArray
from tolerances import ARTIFACT_RELATIVE

from edgepose import PosePipeline, _core
from edgepose.artifact import Artifact, ModelSpec, OneStageHead, SimccHead
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.from_bundle import artifact_of
from edgepose.converters import base, convert, decoded, to_onnx
from edgepose.converters.engine import run_engine
from edgepose.converters.samples import Sample

pytest.importorskip("torch", reason="optional: the extra convert is not installed")

from checkpoint_files import save, small_depth_state

Array = NDArray[np.float32]

# One network of each shape of graph; the others of a family differ in widths and depths only.
# EDGEPOSE_ALL_PACKS=1 takes every pack there is.
PACKS = (
    "rtmpose-t_body17_256x192",
    "rtmpose-t_wholebody133_256x192",
    "rtmdet-nano_person_320",
    "rtmw-m_256x192",
    "rtmo-t_body7_416x416",
)
if os.environ.get("EDGEPOSE_ALL_PACKS"):
    PACKS = tuple(packs.pack_names())


class Exported:
    """A network of a pack as canonical ONNX, its input and the torch outputs."""

    def __init__(self, pack: str, folder: Path) -> None:
        import torch

        from edgepose.models import load_model

        golden = packs.load_pack(pack)
        checkpoint = folder / f"{pack}.pth"
        torch.save({"state_dict": golden.state_dict()}, checkpoint)
        loaded = load_model(checkpoint)
        checkpoint.unlink()
        self.pack = golden
        self.spec: ModelSpec = loaded.spec
        self.sample = Sample(pack, np.ascontiguousarray(golden.input), is_real=True)
        references = to_onnx.run_reference(loaded.network, self.spec, [self.sample])
        self.reference: list[Array] = references.outputs[0]
        self.artifact: Artifact = to_onnx.export_canonical(
            loaded.network,
            self.spec,
            checkpoint_sha256=loaded.sha256,
            references=references,
            context=base.Context(folder, "fp32"),
        )


@pytest.fixture(scope="module", params=PACKS)
def exported(
    request: pytest.FixtureRequest,
    shared_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    folder = tmp_path_factory.mktemp("family")
    return Exported(request.param, folder)


def _relative(reference: list[Array], found: list[Array]) -> float:
    assert [a.shape for a in reference] == [b.shape for b in found]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(reference, found, strict=True))


def _run(exported: Exported, target: str, folder: Path) -> list[Array]:
    artifact = base.exporter(target).run(exported.artifact, base.Context(folder, "fp32"))
    (outputs,) = run_engine(artifact, [exported.sample.tensor])
    return outputs


@pytest.mark.parametrize("target", ["ncnn", "openvino", "onnx"])
def test_a_converted_network_gives_what_torch_gives(exported: Exported, target: str, tmp_path: Path) -> None:
    assert _relative(exported.reference, _run(exported, target, tmp_path)) < ARTIFACT_RELATIVE


@pytest.mark.parametrize("target", ["ncnn", "openvino"])
def test_it_decodes_to_what_the_original_code_decodes_to(
    exported: Exported, target: str, tmp_path: Path
) -> None:
    outputs = _run(exported, target, tmp_path)
    spec, y = exported.spec, exported.pack.outputs
    if isinstance(spec.head, SimccHead):
        keypoints, _ = decoded.decode_simcc(spec, outputs)
        np.testing.assert_allclose(keypoints[:, :2], y["dec_keypoints"][0, :, :2], atol=1e-3)
        # The decoder states a missing point as score 0, the original as its maximum, which is not positive.
        np.testing.assert_allclose(keypoints[:, 2], np.maximum(y["dec_scores"][0], 0), rtol=1e-3, atol=1e-3)
    elif isinstance(spec.head, OneStageHead):
        boxes, keypoints = decoded.decode_persons(
            spec, outputs, decoded.IDENTITY, spec.preprocess.input_hw, exported.artifact.files["dcc"]
        )
        _equal_persons(boxes, keypoints, y)
    else:
        boxes = decoded.decode_boxes(spec, outputs, decoded.IDENTITY, spec.preprocess.input_hw)
        pairs = decoded.match_boxes(
            np.concatenate([y["det_bboxes"], y["det_scores"][:, None], y["det_labels"][:, None]], axis=1),
            boxes,
        )
        assert len(pairs) >= 0.95 * len(y["det_bboxes"]) > 0


def _equal_persons(boxes: Array, keypoints: Array, y: Any) -> None:
    wanted = np.concatenate(
        [y["pred_bboxes"], y["pred_bbox_scores"][:, None], np.zeros((len(y["pred_bboxes"]), 1))], axis=1
    )
    pairs = decoded.match_boxes(wanted, boxes)
    assert len(pairs) == len(wanted) > 0
    a, b = (list(side) for side in zip(*pairs, strict=True))
    np.testing.assert_allclose(boxes[b, :4], wanted[a, :4], atol=0.1)
    np.testing.assert_allclose(boxes[b, 4], wanted[a, 4], atol=1e-3)
    shifts = np.linalg.norm(keypoints[b, :, :2] - y["pred_keypoints"][a], axis=2)
    assert float(shifts.mean()) < 0.1
    np.testing.assert_allclose(keypoints[b, :, 2], y["pred_keypoint_scores"][a], atol=1e-3)


@pytest.fixture(scope="module")
def depth_network(cache_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """Convert a small random RTMW3D: its checkpoint, and its bundles by target."""
    folder = tmp_path_factory.mktemp("depth")
    checkpoint = save(folder / "rtmw3d.pth", small_depth_state())
    made = convert([checkpoint], ["ncnn", "openvino", "onnx"], out_dir=folder / "bundles")
    return checkpoint, {bundle.backend: bundle.path for bundle in made}


@pytest.mark.parametrize("target", ["ncnn", "openvino", "onnx"])
def test_a_3d_network_gives_the_depths_that_torch_gives(
    depth_network: tuple[Path, dict[str, Path]], target: str
) -> None:
    from edgepose.models import load_model

    checkpoint, bundles = depth_network
    loaded = load_model(checkpoint)
    height, width = loaded.spec.preprocess.input_hw
    picture = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    box = (0.0, 0.0, float(width), float(height))
    spec = json.dumps(preprocess_member(loaded.spec.preprocess))
    tensor = np.ascontiguousarray(_core.preprocess(picture, box, spec)[0][None])
    reference = to_onnx.run_torch(loaded.network, tensor)
    assert len(reference) == 3
    (outputs,) = run_engine(artifact_of(bundles[target], "pose"), [tensor])
    assert _relative(reference, outputs) < ARTIFACT_RELATIVE

    with PosePipeline(bundles[target], threads=1) as pipeline:
        frame = pipeline(picture)
    assert frame.z is not None and isinstance(loaded.spec.head, SimccHead) and loaded.spec.head.z_range
    depths = (reference[2][0].argmax(axis=1) / (reference[2].shape[2] / 2) - 1) * loaded.spec.head.z_range
    np.testing.assert_allclose(frame.z[0], depths, atol=1e-5)
