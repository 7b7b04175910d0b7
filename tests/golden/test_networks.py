"""Every network against the outputs that the original code computed from the same weights and input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import packs
import pytest
import tolerances
from oracle import numeric as oracle

torch = pytest.importorskip("torch")

HERE = Path(__file__).resolve().parent


PACKS = packs.pack_names()


def on(*families: str) -> pytest.MarkDecorator:
    """Run a test on the packs whose names begin with one of the families (all without any)."""
    names: list[Any] = [name for name in PACKS if not families or name.startswith(families)]
    if not PACKS:
        names = [pytest.param("none", marks=pytest.mark.skip(reason="../shared is absent"))]
    return pytest.mark.parametrize("run", names, indirect=True)


SIMCC = ("rtmpose", "dwpose", "rtmw")


@dataclass
class Run:
    """One pack: its golden, the loaded model and the network's named outputs in both precisions."""

    golden: Any
    model: Any
    float64: tuple[Any, ...]
    float32: tuple[Any, ...]


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Write the pack's checkpoint, load it through the public function and run it once per precision."""
    from edgepose.models import load_model

    golden = packs.load_pack(request.param)
    path = tmp_path_factory.mktemp("golden") / f"{request.param}.pth"
    packs.reader().write_checkpoint(golden, str(path), "plain")
    model = load_model(path)
    path.unlink()
    picture = torch.from_numpy(golden.input)
    float32 = model.network(picture)
    float64 = model.network.double()(picture.double())
    return Run(golden=golden, model=model, float64=float64, float32=float32)


def reference_outputs(run: Run, outputs: tuple[Any, ...]) -> dict[str, np.ndarray]:
    """Name a network's outputs as the packs do, and thin them out or decode them alike."""
    if run.model.spec.family == "rtmdet":
        distances = run.model.network.distances(outputs[3:])
        named = {f"cls{i}": y for i, y in enumerate(outputs[:3])}
        named |= {f"reg{i}": y for i, y in enumerate(distances)}
    elif run.model.spec.family == "rtmo":
        kinds = ("cls", "bbox", "vis", "pose")
        named = {f"{kinds[i // 2]}{i % 2}": y for i, y in enumerate(outputs)}
        named = {
            (f"{k}_every16ch" if k[:4] == "pose" else k): (y[:, ::16] if k[:4] == "pose" else y)
            for k, y in named.items()
        }
    else:
        named = dict(zip(run.model.spec.output_names, outputs, strict=True))
    return {name: y.numpy() for name, y in named.items()}


def largest_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return max|ours - theirs| / max|theirs|."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max())


@on()
def test_spec_states_the_packs_facts(run: Run) -> None:
    """Size, keypoints, preprocessing and head constants come out as the official configuration has them."""
    meta, spec = run.golden.meta, run.model.spec
    assert spec.parameters == meta["params"]
    width, height = meta["input_size_wh"]
    assert spec.preprocess.input_hw == (height, width)
    assert spec.preprocess.mean == tuple(meta["preprocess"]["mean"])
    assert spec.preprocess.std == tuple(meta["preprocess"]["std"])
    assert (spec.preprocess.color == "rgb") == meta["preprocess"]["bgr_to_rgb"]
    expected_name = meta["name"].split("_")[0].replace("dwpose", "rtmpose")
    assert spec.name == expected_name
    if spec.family == "rtmdet":
        test = meta["test_cfg"]
        assert spec.head.exp_on_distances == meta["exp_on_reg"]
        assert len(spec.head.classes) == meta["num_classes"]
        assert spec.head.strides == tuple(meta["strides"])
        assert spec.head.score_threshold == test["score_thr"]
        assert spec.head.nms_iou_threshold == test["nms"]["iou_threshold"]
        assert spec.head.max_candidates_per_level == test["nms_pre"]
        assert spec.head.max_detections == test["max_per_img"]
        return
    points = spec.head.points
    assert len(points.keypoints) == meta["dataset"]["num_keypoints"]
    flips = meta["dataset"]["flip_indices"]
    assert sorted(points.flip_pairs) == [(i, j) for i, j in enumerate(flips) if i < j]
    np.testing.assert_allclose(points.sigmas, meta["dataset"]["sigmas"], atol=1e-6)
    if spec.family == "rtmo":
        assert spec.head.score_threshold == meta["test_cfg"]["score_thr"]
        assert spec.head.nms_iou_threshold == meta["test_cfg"]["nms_thr"]
        assert spec.head.box_padding == meta["bbox_padding"]
    else:
        assert spec.head.split_ratio == meta["codec"]["simcc_split_ratio"]


@on()
def test_float64_agrees_with_the_original(run: Run) -> None:
    for name, ours in reference_outputs(run, run.float64).items():
        assert largest_error(ours, run.golden.outputs[name]) < tolerances.FLOAT64_RELATIVE, name


@on()
def test_float32_agrees_within_the_originals_noise(run: Run) -> None:
    noise = run.golden.meta["noise"]
    for name, ours in reference_outputs(run, run.float32).items():
        limit = tolerances.FLOAT32_NOISE_FACTOR * noise[name.split("_every")[0]]
        assert largest_error(ours, run.golden.outputs[name]) < limit, name


@on(*SIMCC)
def test_simcc_decodes_to_the_same_keypoints(run: Run) -> None:
    """Decoded here by arg-max over the bins (first index on ties); the score is the smaller of two maxima."""
    for outputs in (run.float64, run.float32):
        bins = [y.numpy()[0] for y in outputs]
        maxima = np.minimum(bins[0].max(axis=-1), bins[1].max(axis=-1))
        places = np.stack([y.argmax(axis=-1) for y in bins], axis=-1).astype(np.float64)
        places[maxima <= 0] = -1
        ratio = run.model.spec.head.split_ratio
        decoded = places / ratio
        if len(bins) == 3:
            decoded[:, 2] = (decoded[:, 2] / (bins[2].shape[1] / ratio / 2) - 1) * run.model.spec.head.z_range
        np.testing.assert_allclose(decoded, run.golden.outputs["dec_keypoints"][0], rtol=0, atol=1e-5)
        scores = run.golden.outputs["dec_scores"][0]
        np.testing.assert_allclose(maxima, scores, rtol=0, atol=1e-3 * np.abs(scores).max())


@on("rtmdet")
def test_rtmdet_first_detections(run: Run) -> None:
    """The cell with the best class score, decoded, is the best stored detection."""
    logits = run.float64[:3]
    distances = run.model.network.distances(run.float64[3:])
    level = int(np.argmax([float(y.max()) for y in logits]))
    stride = run.model.spec.head.strides[level]
    row, column = np.unravel_index(int(logits[level][0, 0].argmax()), logits[level].shape[2:])
    left, top, right, bottom = distances[level][0, :, row, column].tolist()
    width, height = run.golden.meta["input_size_wh"]
    box = [column * stride - left, row * stride - top, column * stride + right, row * stride + bottom]
    box = np.clip(box, 0, [width, height, width, height])
    np.testing.assert_allclose(box, run.golden.outputs["det_bboxes"][0], atol=1e-3)
    score = 1 / (1 + np.exp(-float(logits[level].max())))
    np.testing.assert_allclose(score, run.golden.outputs["det_scores"][0], atol=1e-6)


@on("rtmo-")
def test_rtmo_cells(run: Run) -> None:
    """Priors, strides, all boxes, and the keypoints of 128 fixed cells."""
    outputs, network = run.golden.outputs, run.model.network
    priors, strides, boxes = network.decode_cells(run.float64)
    np.testing.assert_array_equal(priors.numpy(), outputs["grid_priors"])
    np.testing.assert_array_equal(strides.numpy(), outputs["grid_strides"])
    assert largest_error(boxes[0].numpy(), outputs["grid_bboxes"]) < tolerances.FLOAT64_RELATIVE
    cells = torch.from_numpy(outputs["grid_idx"].astype(np.int64))
    vectors = torch.cat([y.flatten(2).transpose(1, 2) for y in run.float64[6:]], dim=1)[0, cells]
    assert largest_error(vectors.numpy(), outputs["grid_pose_vecs"]) < tolerances.FLOAT64_RELATIVE
    points = network.head.dcc(vectors, boxes[0, cells], priors[cells])
    assert largest_error(points.numpy(), outputs["grid_keypoints"]) < tolerances.FLOAT64_RELATIVE


@on("rtmo-")
def test_rtmo_classifier_follows_its_description(run: Run) -> None:
    """The formula in edgepose.nets.dcc, in NumPy over dcc_weights(), gives the stored keypoints."""
    outputs = run.golden.outputs
    weights = run.model.network.dcc_weights()
    priors = outputs["grid_priors"].astype(np.float64)
    few = slice(None, None, 4)
    vectors, cells = outputs["grid_pose_vecs"][few].astype(np.float64), outputs["grid_idx"][few]
    found = np.stack(
        [
            oracle.classify(
                vector, outputs["grid_bboxes"][cell].astype(np.float64), priors[cell], 1.25, weights
            )
            for vector, cell in zip(vectors, cells, strict=True)
        ]
    )
    # The stored boxes and vectors are float32, which a soft arg-max between two peaks multiplies.
    shift = np.abs(found - outputs["grid_keypoints"][few])
    limits = run.golden.meta["fp32_grid_kpt_diff_px"]
    assert np.median(shift) < limits["median"] and shift.max() < limits["max"]
