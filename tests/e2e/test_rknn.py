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


def test_bad_requests_are_one_line(tmp_path: Path) -> None:
    env = {"EDGEPOSE_CACHE": str(tmp_path / "cache")}
    network = ROOT / "demo" / "rtmpose-t-demo.pth"
    for args, code, words in (
        (["--to", "rknn", "--precision", "fp16"], 2, "needs a chip"),
        (["--to", "rknn", "--soc", "rk3589", "--precision", "fp16"], 2, "did you mean rk3588"),
        (["--to", "rknn", "--soc", "rv1106", "--precision", "fp16"], 2, "integers only"),
        (["--to", "ncnn", "--soc", "rk3588"], 2, "for the target rknn only"),
        (["--to", "rknn", "--soc", "rk3588", "--precision", "fp16"], 4, "edgepose setup rknn"),
    ):
        outcome = _edgepose("convert", network, *args, "-o", tmp_path / "out", env=env)
        lines = outcome.stderr.splitlines()
        assert outcome.returncode == code, outcome.stderr
        assert lines[0].startswith("error: ") and len(lines) == 2 and words in outcome.stderr
    assert not (tmp_path / "out").exists()
