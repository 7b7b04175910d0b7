"""Calibrated bundles: verified, recorded, the same again, and refused where they are off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgepose import PosePipeline
from edgepose.calibration import network as network_module
from edgepose.calibration.base import NetworkQuantiser, calibrator
from edgepose.calibration.calibrate import CalibrationRequest, calibrate, describe
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.plan import load_plan
from edgepose.calibration.search import Budget, default_budget, search
from edgepose.calibration.sensitivity import sensitivity
from edgepose.cli.main import cli
from edgepose.errors import CalibrationError, UsageError
from edgepose.hashing import sha256_file

pytest.importorskip("ncnn")

COUNT = 8


@pytest.fixture(scope="module")
def pictures(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a few training pictures with their boxes as COCO annotations."""
    folder = tmp_path_factory.mktemp("calibration")
    source = shared_dir / "data" / "pose_train"
    images, annotations = [], []
    with np.load(source / "labels.npz") as labels, (source / "images.bin").open("rb") as stream:
        offsets, boxes = labels["offsets"], labels["boxes_xywh"]
        for index in range(0, 2 * COUNT * 50, 50):
            stream.seek(int(offsets[index]))
            (folder / f"{index}.jpg").write_bytes(stream.read(int(offsets[index + 1] - offsets[index])))
            images.append({"id": index, "file_name": f"{index}.jpg"})
            annotations.append({"image_id": index, "category_id": 1, "bbox": boxes[index].tolist()})
    path = folder / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.fixture(scope="module")
def pose_bundles(
    bundles: dict[tuple[str, str], Path], shared_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Give the demo pose network alone, for both formats; its conversion is cached."""
    from edgepose.converters import convert

    made = convert(
        [shared_dir / "weights" / "rtmpose-t-demo.pth"],
        ["ncnn", "openvino"],
        out_dir=tmp_path_factory.mktemp("pose"),
    )
    return {bundle.backend: bundle.path for bundle in made}


def manifest_of(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "bundle.json").read_text())
    return found


@pytest.mark.parametrize("target", ["ncnn", "openvino"])
def test_mixed_bundles_are_verified_and_the_same_again(
    pose_bundles: dict[str, Path], pictures: Path, tmp_path: Path, target: str
) -> None:
    if target == "openvino":
        pytest.importorskip("nncf")
    request = CalibrationRequest(pictures, mode="mixed", samples=COUNT, plan="plain")
    first = calibrate(pose_bundles[target], request, out_dir=tmp_path / "a")
    again = calibrate(pose_bundles[target], request, out_dir=tmp_path / "b")
    assert first.path.name == f"rtmpose-t.{target}.mixed"
    manifest = manifest_of(first.path)
    assert first.digest == again.digest == manifest["manifest_sha256"]
    assert (first.path / "bundle.json").read_bytes() == (again.path / "bundle.json").read_bytes()
    assert manifest["precision"] == "mixed"
    entry = manifest["lineage"][-1]
    assert entry["step"] == "quantise"
    assert entry["arguments"]["mode"] == "mixed"
    digests = {sha256_file(path) for path in pictures.parent.glob("*.jpg")}
    shown = [*entry["arguments"]["calibration"], *entry["arguments"]["held_out"]]
    assert {item["sha256"] for item in shown} == digests
    assert set(entry["arguments"]["int8_layers"]) == set(first.networks["pose"].int8_layers)
    stage = manifest["verification"]["stages"][-1]
    assert stage["precision"] == "mixed"
    assert stage["agreement"]["similarity"] > 0.95
    assert "sensitivity" not in stage
    with PosePipeline(first.path, threads=1) as pipeline:
        assert pipeline.verify_golden()["passed"]
        picture = cv2.imread(str(next(pictures.parent.glob("*.jpg"))))
        assert np.isfinite(pipeline(picture).keypoints).all()
    small, large = (
        sum(path.stat().st_size for path in folder.glob("pose.*"))
        for folder in (first.path, pose_bundles[target])
    )
    assert small < 0.8 * large
    json.dumps(describe(first), allow_nan=False)


def test_the_command_writes_the_sensitivity(
    pose_bundles: dict[str, Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "SENSITIVITY_SAMPLES", 1)
    arguments = ["calibrate", str(pose_bundles["ncnn"]), "--calib", str(pictures), "--precision", "mixed"]
    arguments += ["--samples", "4", "--plan", "plain", "--sensitivity", "--json", "-o", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    table = manifest_of(Path(report["path"]))["verification"]["stages"][-1]["sensitivity"]
    assert [row["layer"] for row in table["layers"]] == report["networks"]["pose"]["int8_layers"]
    assert all(row["alone_int8"]["output_error"] > 0 for row in table["layers"])
    assert all(row["left_float"]["output_error"] > 0 for row in table["layers"])
    assert table["similarity"] == "OKS"


def test_what_cannot_be_calibrated_is_refused(
    bundles: dict[tuple[str, str], Path], pose_bundles: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    mixed = CalibrationRequest(pictures, mode="mixed", samples=4, plan="plain")
    with pytest.raises(UsageError, match="onnx networks cannot be calibrated"):
        calibrate(bundles["onnx", "fp32"], mixed, out_dir=tmp_path)
    with pytest.raises(UsageError, match="is fp16; only fp32"):
        calibrate(bundles["ncnn", "fp16"], mixed, out_dir=tmp_path)
    with pytest.raises(UsageError, match="unknown precision 'int4'"):
        calibrate(
            pose_bundles["ncnn"],
            CalibrationRequest(pictures, mode="int4"),  # type: ignore[arg-type]
            out_dir=tmp_path,
        )
    overlapping = CalibrationRequest(pictures, mode="mixed", samples=4, evaluation=pictures)
    with pytest.raises(CalibrationError, match="are also in the evaluation set"):
        calibrate(pose_bundles["ncnn"], overlapping, out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "auto"], "needs pictures to calibrate with"),
        (["--precision", "fp16", "--calib", "here"], "--calib has no effect with --precision fp16"),
        (["--precision", "mixed", "--calib", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_convert_refuses_what_does_not_go_together(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(
            cli,
            ["convert", "a.pth", "--to", "ncnn", *arguments],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_convert_calibrates(
    pose_bundles: dict[str, Path], shared_dir: Path, pictures: Path, tmp_path: Path
) -> None:
    checkpoint = shared_dir / "weights" / "rtmpose-t-demo.pth"
    arguments = ["convert", str(checkpoint), "--to", "ncnn", "--precision", "mixed", "--calib", str(pictures)]
    arguments += ["--samples", "4", "--plan", "plain", "-o", str(tmp_path)]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["rtmpose-t.ncnn.mixed"]
    assert "26 of 43 layers in int8" in result.stdout


def samples_of(bundle: Path, pictures: Path) -> list[np.ndarray]:
    from edgepose.calibration.pictures import read_pictures
    from edgepose.calibration.samples import make_samples

    preprocess = artifact_of(bundle, "pose").spec.preprocess
    made = make_samples(read_pictures(pictures), preprocess, count=COUNT)
    return [*made.calibration.tensors, *made.held_out.tensors]


def quantiser_of(bundle: Path, samples: list[np.ndarray]) -> NetworkQuantiser:
    artifact = artifact_of(bundle, "pose")
    return calibrator(artifact.format).observe(artifact, samples[:COUNT], load_plan("plain"))


def test_the_search_keeps_to_the_budget(pose_bundles: dict[str, Path], pictures: Path) -> None:
    bundle = pose_bundles["ncnn"]
    samples = samples_of(bundle, pictures)
    artifact, quantiser = artifact_of(bundle, "pose"), quantiser_of(bundle, samples)
    held_out = samples[COUNT:]
    report = sensitivity(artifact, quantiser, held_out[:2], layers=quantiser.worthwhile(), leave_out=False)
    budget = default_budget(artifact.spec)
    assert budget == Budget(similarity=0.995, p95_px=1.0)
    found = search(artifact, quantiser, report, held_out, budget)
    assert found.agreement is not None
    assert budget.allows(found.agreement)
    assert 0 < len(found.int8_layers) <= len(report.layers)
    # A budget that nothing meets leaves nothing in int8.
    none = search(artifact, quantiser, report, held_out[:1], Budget(1.1, 0.0))
    assert none.int8_layers == () and none.agreement is None


@pytest.fixture(scope="module")
def accurate(pose_bundles: dict[str, Path], pictures: Path) -> NetworkQuantiser:
    """Give OpenVINO's quantiser with the plan of real calibrations, which takes half a minute to make."""
    pytest.importorskip("nncf")
    bundle = pose_bundles["openvino"]
    artifact = artifact_of(bundle, "pose")
    return calibrator("openvino").observe(artifact, samples_of(bundle, pictures)[:2], load_plan("accurate"))


def test_openvino_weights_cannot_overflow_where_there_is_no_vnni(
    accurate: NetworkQuantiser, tmp_path: Path
) -> None:
    """Two products of 8-bit inputs with weights of 7 bits fit the 16 bits of AVX2's sums."""
    import openvino

    made = accurate.write(dict.fromkeys(accurate.worthwhile(), "int8"), tmp_path / "all")
    network = openvino.Core().read_model(made.files["xml"])
    weights = [
        op.data
        for op in network.get_ordered_ops()
        if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i8"
    ]
    assert len(weights) > 25  # products of two activations have none
    assert max(abs(int(value)) for weight in weights for value in (weight.min(), weight.max())) == 64


def test_the_float_ops_of_openvino_come_back(
    accurate: NetworkQuantiser, pose_bundles: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    """Without any layer in int8 nncf's network is the float one again, biases included."""
    from edgepose.calibration.agreement import compare
    from edgepose.converters.engine import run_engine

    bundle = pose_bundles["openvino"]
    samples = samples_of(bundle, pictures)[: COUNT + 2]
    artifact = artifact_of(bundle, "pose")
    references = run_engine(artifact, samples[COUNT:])
    nothing = accurate.write({}, tmp_path / "none")
    assert compare(artifact.spec, references, run_engine(nothing, samples[COUNT:])).output_error < 1e-6
    one = accurate.write({accurate.worthwhile()[3]: "int8"}, tmp_path / "one")
    assert compare(artifact.spec, references, run_engine(one, samples[COUNT:])).output_error > 1e-6
    with pytest.raises(UsageError, match="no layer 'x'"):
        accurate.write({"x": "int8"}, tmp_path / "two")
    products = {name for name in accurate.names() if accurate.kind(name) in ("Convolution", "MatMul")}
    # What stays float is half precision in the file, and one layer less of it with every integer one.
    sizes = [made.files["bin"].stat().st_size for made in (artifact, nothing, one)]
    assert sizes[1] < 0.55 * sizes[0]
    assert sizes[2] < sizes[1]
    heads = products - set(accurate.worthwhile())
    assert any("head" in name for name in heads)
    assert not any("backbone" in name for name in heads)
