"""int8 networks for ncnn: exact round trips, equal results in both runtimes, accuracy, and planted faults."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import _core
from edgepose.artifact import Artifact
from edgepose.bundle.manifest import preprocess_member
from edgepose.calibration.agreement import compare
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.ncnn_activations import ActivationStatistics, WheelNetwork, collect
from edgepose.calibration.ncnn_int8 import Quantiser, default_map, layers_of
from edgepose.calibration.ncnn_layers import quantisable_layers
from edgepose.calibration.ncnn_model import raw, read_model, tagged, write_model
from edgepose.calibration.plan import load_plan
from edgepose.calibration.search import Budget, search
from edgepose.calibration.sensitivity import sensitivity
from edgepose.converters.engine import run_engine
from edgepose.converters.ncnn_param import NcnnModelError
from edgepose.errors import CalibrationError, EngineError, UsageError

pytest.importorskip("ncnn")

ROLES = ("pose", "detector")
CALIBRATION, HELD_OUT = 32, 16


@pytest.fixture(scope="module")
def artifacts(ncnn_bundle: Path) -> dict[str, Artifact]:
    return {role: artifact_of(ncnn_bundle, role) for role in ROLES}


@pytest.fixture(scope="module")
def samples(shared_dir: Path, artifacts: dict[str, Artifact]) -> dict[str, list[np.ndarray]]:
    """Give person crops for the pose network and letterboxes for the detector."""
    specs = {role: json.dumps(preprocess_member(a.spec.preprocess)) for role, a in artifacts.items()}
    found: dict[str, list[np.ndarray]] = {role: [] for role in ROLES}
    for picture, box in pictures(shared_dir, CALIBRATION + HELD_OUT):
        for role in ROLES:
            tensor, _ = _core.preprocess(picture, box if role == "pose" else None, specs[role])
            found[role].append(tensor[None].copy())
    return found


@pytest.fixture(scope="module")
def statistics(
    artifacts: dict[str, Artifact], samples: dict[str, list[np.ndarray]]
) -> dict[str, ActivationStatistics]:
    return {role: collect(artifacts[role], samples[role][:CALIBRATION]) for role in ROLES}


def pictures(shared_dir: Path, count: int) -> Iterator[tuple[Any, tuple[float, float, float, float]]]:
    import cv2

    folder = shared_dir / "data" / "pose_train"
    with np.load(folder / "labels.npz") as labels, (folder / "images.bin").open("rb") as images:
        offsets, boxes = labels["offsets"], labels["boxes_xywh"]
        for index in np.linspace(0, len(offsets) - 2, count, dtype=int):
            images.seek(int(offsets[index]))
            encoded = np.frombuffer(images.read(int(offsets[index + 1] - offsets[index])), np.uint8)
            x, y, width, height = (float(v) for v in boxes[index])
            yield cv2.imdecode(encoded, cv2.IMREAD_COLOR), (x, y, x + width, y + height)


def all_layers(artifact: Artifact) -> dict[str, Any]:
    return {layer.name: "int8" for layer in layers_of(artifact)}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("role", ROLES)
def test_converted_files_round_trip(bundles: dict[tuple[str, str], Path], precision: str, role: str) -> None:
    param, weights = (bundles["ncnn", precision] / f"{role}.{end}" for end in ("param", "bin"))
    model = read_model(param, weights)
    assert model.param_bytes() == param.read_bytes()
    assert model.bin_bytes() == weights.read_bytes()


@pytest.mark.parametrize("plan", ["plain", "accurate"])
@pytest.mark.parametrize("role", ROLES)
def test_int8_files_run_equally_in_the_wheel_and_in_the_runtime(
    artifacts: dict[str, Artifact],
    samples: dict[str, list[np.ndarray]],
    statistics: dict[str, ActivationStatistics],
    tmp_path: Path,
    role: str,
    plan: str,
) -> None:
    artifact = artifacts[role]
    made = Quantiser(artifact, statistics[role], load_plan(plan)).write(all_layers(artifact), tmp_path)
    assert made.precision == "int8"
    kinds = {layer.type for layer in read_model(made.files["param"], made.files["bin"]).layers}
    assert {"Convolution", "ConvolutionDepthWise", "InnerProduct"} <= kinds
    assert read_model(made.files["param"], made.files["bin"]).bin_bytes() == made.files["bin"].read_bytes()
    assert not quantisable_layers(read_model(made.files["param"], made.files["bin"]))
    wheel = WheelNetwork(made.files["param"], made.files["bin"], keep_blobs=False, int8=True)
    tensors = [made.tensor_names[name] for name in made.spec.output_names]
    means = []
    for sample in samples[role][:8]:
        for ours, theirs in zip(
            run_engine(made, [sample])[0], wheel.run("in0", sample, tensors), strict=True
        ):
            scale = float(np.abs(theirs).max())
            apart = np.abs(ours.ravel() - theirs.ravel()) / scale
            assert apart.max() <= 0.02
            means.append(float(apart.mean()))
    # Float layers may sum in another order. Where that flips a rounding, it is a step of an activation, and
    # all that follows on it moves: few pictures may have one.
    assert np.mean(means) <= 0.001


def test_the_accurate_plan_is_near_the_float_network(
    artifacts: dict[str, Artifact],
    samples: dict[str, list[np.ndarray]],
    statistics: dict[str, ActivationStatistics],
    tmp_path: Path,
) -> None:
    for role, similarity in (("pose", 0.99), ("detector", 0.95)):
        artifact = artifacts[role]
        held_out = samples[role][CALIBRATION:]
        references = run_engine(artifact, held_out)
        found = {}
        for name in ("plain", "accurate"):
            chosen = default_map(layers_of(artifact))
            made = Quantiser(artifact, statistics[role], load_plan(name)).write(
                chosen, tmp_path / role / name
            )
            assert made.precision == "mixed"
            found[name] = compare(made.spec, references, run_engine(made, held_out))
        assert found["accurate"].similarity >= similarity
        assert found["accurate"].output_error < 0.7 * found["plain"].output_error


def test_the_same_inputs_give_the_same_bytes(
    artifacts: dict[str, Artifact], samples: dict[str, list[np.ndarray]], tmp_path: Path
) -> None:
    digests = set()
    for attempt in ("first", "second"):
        found = collect(artifacts["pose"], iter(samples["pose"][:4]))
        quantiser = Quantiser(artifacts["pose"], found, load_plan("accurate"))
        made = quantiser.write(default_map(layers_of(artifacts["pose"])), tmp_path / attempt)
        digests.add(json.dumps(made.lineage[-1].outputs))
    assert len(digests) == 1


def test_a_planted_bad_layer_is_found(
    artifacts: dict[str, Artifact], samples: dict[str, list[np.ndarray]], tmp_path: Path
) -> None:
    """Scale one channel between two layers by 1,000: int8 cannot hold the others beside it."""
    artifact = plant(artifacts["pose"], tmp_path / "planted")
    held_out = samples["pose"][CALIBRATION : CALIBRATION + 6]
    chosen = [name for name, value in default_map(layers_of(artifact)).items() if value == "int8"]
    found = collect(artifact, samples["pose"][:8])
    report = sensitivity(
        artifact, Quantiser(artifact, found, load_plan("plain")), held_out, layers=chosen, leave_out=False
    )
    assert report.bad_layers() == [PLANTED_READER]
    assert report.worst_first()[0].layer == PLANTED_READER
    assert report.table().splitlines()[1].startswith(PLANTED_READER)
    assert report.to_json()["bad_layers"] == [PLANTED_READER]
    # The search leaves it in float, and little else.
    plain = Quantiser(artifact, found, load_plan("plain"))
    kept = search(artifact, plain, report, held_out, Budget(0.98, 3.0))
    assert PLANTED_READER not in kept.int8_layers
    assert len(kept.int8_layers) >= len(chosen) // 2
    # A scale for each channel cures it.
    accurate = Quantiser(artifact, found, load_plan("accurate"))
    cured = sensitivity(artifact, accurate, held_out, layers=[PLANTED_READER], leave_out=False)
    before = next(layer for layer in report.layers if layer.layer == PLANTED_READER).alone_int8
    assert cured.layers[0].alone_int8.output_error < 0.05 * before.output_error


PLANTED_READER = "conv_75"


def plant(artifact: Artifact, folder: Path) -> Artifact:
    """Multiply a channel of PLANTED_READER's input by 1,000, and divide the weights that read it."""
    model = read_model(artifact.files["param"], artifact.files["bin"])
    layer = model.layer(PLANTED_READER)
    channels = next(q.channels for q in quantisable_layers(model) if q.name == PLANTED_READER)
    scale = raw(np.where(np.arange(channels) == 7, 1000.0, 1.0))
    planted = type(layer)(
        "Scale", "planted", [layer.bottoms[0]], ["planted"], {0: str(channels)}, {"scale": scale}
    )
    weight = layer.weights["weight"].floats().reshape(layer.integer(0), channels, -1)
    weight[:, 7] /= 1000
    layer.weights["weight"] = tagged(weight)
    layer.bottoms = ["planted"]
    model.layers.insert(model.layers.index(layer), planted)
    folder.mkdir()
    files = {"param": folder / "pose.param", "bin": folder / "pose.bin"}
    write_model(model, files["param"], files["bin"])
    return dataclasses.replace(artifact, files=files)


def test_bad_input_is_refused(
    artifacts: dict[str, Artifact],
    samples: dict[str, list[np.ndarray]],
    statistics: dict[str, ActivationStatistics],
    tmp_path: Path,
) -> None:
    pose = artifacts["pose"]
    with pytest.raises(CalibrationError, match="no calibration sample"):
        collect(pose, [])
    with pytest.raises(CalibrationError, match="sample 1 is"):
        collect(pose, [samples["pose"][0], samples["detector"][0]])
    with pytest.raises(CalibrationError, match=r"sample 0, blob .* NaN or infinite"):
        collect(pose, [np.full_like(samples["pose"][0], np.nan)])
    with pytest.raises(UsageError, match="no layer 'conv_x'"):
        Quantiser(pose, statistics["pose"], load_plan("plain")).write({"conv_x": "int8"}, tmp_path)
    with pytest.raises(CalibrationError, match="was not observed"):
        Quantiser(pose, ActivationStatistics(1, {}, {}), load_plan("plain")).write(all_layers(pose), tmp_path)
    bare = ActivationStatistics(1, statistics["pose"].blobs, {})
    with pytest.raises(CalibrationError, match="needs columns"):
        Quantiser(pose, bare, load_plan("accurate")).write(all_layers(pose), tmp_path)


def test_a_damaged_int8_file_is_refused_by_both_readers(
    artifacts: dict[str, Artifact], statistics: dict[str, ActivationStatistics], tmp_path: Path
) -> None:
    pose = artifacts["pose"]
    made = Quantiser(pose, statistics["pose"], load_plan("plain")).write(all_layers(pose), tmp_path)
    made.files["bin"].write_bytes(made.files["bin"].read_bytes()[:-4])
    with pytest.raises(NcnnModelError, match="end in the middle"):
        read_model(made.files["param"], made.files["bin"])
    with pytest.raises(EngineError):
        run_engine(made, [np.zeros((1, 3, 256, 192), np.float32)])
