"""`edgepose setup rknn` and a conversion with the real toolkit and its simulator."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgepose.calibration.agreement import compare
from edgepose.calibration.base import PrecisionMap, calibrator
from edgepose.calibration.from_bundle import artifact_of
from edgepose.calibration.pictures import read_pictures
from edgepose.calibration.plan import load_plan
from edgepose.calibration.samples import make_samples
from edgepose.converters import convert
from edgepose.converters.engine import run_engine
from edgepose.errors import UsageError

pytest.importorskip("torch", reason="optional: the extra convert is not installed")

ROOT = Path(__file__).resolve().parents[2]


def _edgepose(*args: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-P", "-m", "edgepose", *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=900, env={**os.environ, **env})


@pytest.fixture(scope="module")
def toolkit() -> dict[str, str]:
    """Set up the toolkit below build/, where a later run finds it again."""
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("optional: the toolkit exists for x86_64 and aarch64")
    env = {"EDGEPOSE_CACHE": str(ROOT / "build" / "rknn-cache")}
    outcome = _edgepose("setup", "rknn", env=env)
    assert outcome.returncode == 0, outcome.stderr
    assert Path(outcome.stdout.strip()).name == "environment"
    return env


def test_doctor_shows_the_toolkit(toolkit: dict[str, str], tmp_path: Path) -> None:
    facts = json.loads(_edgepose("doctor", "--json", env=toolkit).stdout)["rknn"]
    assert facts["state"] == "ready" and facts["toolkit"] == "2.5.0" and facts["megabytes"] < 800
    elsewhere = _edgepose("doctor", env={"EDGEPOSE_CACHE": str(tmp_path)})
    assert "absent: it is not set up; edgepose setup rknn" in elsewhere.stdout


def test_a_pose_network_is_compiled_and_simulated(toolkit: dict[str, str], tmp_path: Path) -> None:
    outcome = _edgepose(
        *("convert", ROOT / "demo" / "rtmpose-t-demo.pth", "--to", "rknn", "--soc", "RK3588"),
        *("--precision", "fp16", "--no-cache", "-o", tmp_path, "--json"),
        env=toolkit,
    )
    assert outcome.returncode == 0, outcome.stderr
    (bundle,) = json.loads(outcome.stdout)["bundles"]
    assert Path(bundle["path"]).name == "rtmpose-t.rknn-rk3588.fp16"
    stage = bundle["stages"][-1]
    assert stage["engine"].startswith("rknn-simulator (not hardware)")
    # Half precision moves peaks by a bin (half a pixel) now and then; never is everything equal to torch.
    assert stage["max_abs"] > 0 and stage["cosine"] > 0.9999 and stage["mean_px"] < 0.2
    manifest: dict[str, Any] = json.loads((Path(bundle["path"]) / "bundle.json").read_text())
    assert manifest["backend"] == "rknn" and manifest["precision"] == "fp16"
    assert manifest["models"]["pose"]["files"] == {"rknn": "pose.rknn"}
    assert (Path(bundle["path"]) / "pose.rknn").read_bytes()[:4] == b"RKNN"
    compiled = manifest["lineage"][-1]
    assert compiled["arguments"]["target_platform"] == "rk3588"
    assert compiled["arguments"]["layers"].endswith("layers run on the NPU")


def test_a_choice_of_blocks_becomes_int8(
    toolkit: dict[str, str], shared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The toolkit's two hybrid steps and its simulator, with nothing, one block and all in int8."""
    monkeypatch.setenv("EDGEPOSE_CACHE", toolkit["EDGEPOSE_CACHE"])
    source = shared_dir / "data" / "coco_dev" / "person_keypoints.json"
    (float_bundle,) = convert([ROOT / "demo" / "rtmpose-t-demo.pth"], ["onnx"], out_dir=tmp_path)
    artifact = artifact_of(float_bundle.path, "pose")
    samples = make_samples(read_pictures(source), artifact.spec.preprocess, count=4)
    held_out = samples.held_out.tensors
    quantiser = calibrator("rknn", "rk3588").observe(
        artifact, samples.calibration.tensors, load_plan("accurate")
    )
    names = quantiser.names()
    assert names[0] == "backbone/stem/stem.0" and not any(name.startswith("head") for name in names)
    assert quantiser.kind(names[-1]).startswith("Conv x")
    maps: list[PrecisionMap] = [{}, {names[0]: "int8"}, dict.fromkeys(names, "int8")]
    references = run_engine(artifact, held_out)
    nothing, one, every = (
        compare(artifact.spec, references, outputs).output_error
        for outputs in quantiser.outputs(maps, held_out)
    )
    assert nothing < 1e-4 and 2 * nothing < one < every
    made = quantiser.write(maps[1], tmp_path / "made")
    assert made.files["rknn"].read_bytes()[:4] == b"RKNN" and made.precision == "mixed"
    arguments = made.lineage[-1].arguments
    assert arguments["int8_layers"] == {names[0]: []} and names[1] in arguments["fp16_layers"]
    assert arguments["layers"].endswith("layers run on the NPU")
    with pytest.raises(UsageError, match="no layer 'head/cls_x' that can become int8"):
        quantiser.write({"head/cls_x": "int8"}, tmp_path / "other")


@pytest.mark.skipif(
    not os.environ.get("EDGEPOSE_RKNN_AUTO"), reason="optional: minutes; EDGEPOSE_RKNN_AUTO=1 runs it"
)
@pytest.mark.parametrize("network", ["rtmpose-t-demo.pth", "rtmdet_nano_320-person.pth"])
def test_auto_keeps_to_its_budget(
    toolkit: dict[str, str], shared_dir: Path, tmp_path: Path, network: str
) -> None:
    outcome = _edgepose(
        *("convert", shared_dir / "weights" / network, "--to", "rknn", "--soc", "rk3588"),
        *("--precision", "auto", "--calib", shared_dir / "data" / "coco_dev" / "person_keypoints.json"),
        *("--samples", "60", "-o", tmp_path, "--json"),
        env=toolkit,
    )
    assert outcome.returncode == 0, outcome.stderr
    (bundle,) = json.loads(outcome.stdout)["bundles"]
    (made,) = bundle["networks"].values()
    assert made["result"]["engine"].startswith("rknn-simulator (not hardware)")
    assert 0 < len(made["int8_layers"]) < made["layers"]
    assert made["result"]["agreement"]["mean_px"] <= 0.5
    assert made["result"]["agreement"]["p95_px"] <= made["result"]["budget"]["p95_px"]


def test_bad_requests_are_one_line(tmp_path: Path) -> None:
    env = {"EDGEPOSE_CACHE": str(tmp_path / "cache")}
    network = ROOT / "demo" / "rtmpose-t-demo.pth"
    (tmp_path / "boxes.json").write_text('{"images": [], "annotations": []}')
    calibrated = ["--precision", "auto", "--calib", tmp_path / "boxes.json"]
    for args, code, words in (
        (["--to", "rknn", "--precision", "fp16"], 2, "needs a chip"),
        (["--to", "rknn", "--soc", "rk3589", "--precision", "fp16"], 2, "did you mean rk3588"),
        (["--to", "rknn", "--soc", "rv1106", "--precision", "fp16"], 2, "integers only"),
        (["--to", "ncnn", "--soc", "rk3588"], 2, "for the target rknn only"),
        (["--to", "ncnn", "--soc", "rk3588", *calibrated], 2, "for the target rknn only"),
        (["--to", "rknn", *calibrated], 2, "needs a chip"),
        (["--to", "rknn", "--soc", "rk3588", *calibrated], 4, "edgepose setup rknn"),
        (["--to", "rknn", "--soc", "rk3588", "--precision", "fp16"], 4, "edgepose setup rknn"),
    ):
        outcome = _edgepose("convert", network, *args, "-o", tmp_path / "out", env=env)
        lines = outcome.stderr.splitlines()
        assert outcome.returncode == code, outcome.stderr
        assert lines[0].startswith("error: ") and len(lines) == 2 and words in outcome.stderr
    assert not (tmp_path / "out").exists()
