"""`edgepose info` and `edgepose verify`, with a stand-in for the runtime."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundles import cases

from edgepose.cli.main import main
from edgepose.cli.verify import _text
from edgepose.writers import write_picture

V1 = Path(__file__).resolve().parents[1] / "bundles" / "v1"
GOOD = {
    "passed": True,
    "tolerance_px": 0.1,
    "detections_expected": 2,
    "detections_matched": 2,
    "detections_unexpected": 0,
    "box_mean_px": 0.001,
    "box_max_px": 0.002,
    "keypoints_compared": 17,
    "keypoint_mean_px": 0.003,
    "keypoint_max_px": 0.004,
}


def test_info_says_what_matters(fake_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(fake_bundle())]) == 0
    out = capsys.readouterr().out
    for text in (
        "test-top_down",
        "top_down",
        "fp32",
        "256x192",
        "17 (coco17)",
        "Apache-2.0",
        "ab" * 32,
        "0.0123",
    ):
        assert text in out


def test_info_does_not_round_a_cosine_to_1(
    fake_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [{"model": "m", "stage": "onnx", "engine": "e", "cosine": c} for c in (0.9996, 0.99999871)]
    assert main(["info", str(fake_bundle(verification={"stages": stages}))]) == 0
    out = capsys.readouterr().out
    assert " 0.9996 " in out and " 0.9999987 " in out


def test_info_json_is_the_manifest(
    fake_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fake_bundle("pose")
    assert main(["info", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((bundle / "bundle.json").read_text())


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_missing_bundle(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'}: no such bundle\nhint: ")


COMMANDS = [
    ["info", "PATH"],
    ["verify", "PATH"],
    ["run", "PATH", "picture.png"],
    ["diff", "PATH", "PATH"],
    ["report", "PATH"],
    ["eval", "PATH", "--images", "pictures", "--reference", "PATH"],
    ["gate", "PATH", "--reference", "PATH", "--images", "pictures"],
    ["bench", "PATH"],
    ["calibrate", "PATH", "--calib", "pictures"],
    ["android", "install", "PATH", "--push"],
]


@pytest.mark.parametrize("kind", ["none", "file", "folder"])
@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_a_path_that_is_no_bundle(
    command: list[str],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "picture.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "pictures").mkdir()
    write_picture(tmp_path / "pictures" / "a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "file").write_text("no bundle")
    (tmp_path / "folder").mkdir()
    assert main([word.replace("PATH", kind) for word in command]) == 2
    said = "no such bundle" if kind == "none" else "is no bundle, it has no bundle.json"
    assert capsys.readouterr().err.startswith(f"error: {kind}: {said}\nhint: a bundle is a folder")


def test_a_damaged_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle.json").write_text("{")
    assert main(["info", str(tmp_path)]) == 7
    assert "bundle.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["info", "BAD"],
        ["verify", "BAD"],
        ["diff", "GOOD", "BAD"],
        ["diff", "BAD", "GOOD"],
        ["report", "GOOD", "BAD", "-o", "r.html"],
        ["bench", "compare", "BAD", "GOOD"],
        ["gate", "GOOD", "--reference", "BAD", "--images", "."],
    ],
    ids=" ".join,
)
def test_of_several_bundles_the_damaged_one_is_named(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GOOD", "BAD"):
        shutil.copytree(V1 / "pose", tmp_path / name)
    with (tmp_path / "BAD" / "golden.json").open("a") as file:
        file.write(" ")
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    assert main(command) == 7
    assert capsys.readouterr().err.startswith('error: BAD: files["golden.json"]')


def test_verify(fake_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(fake_bundle(test_report=GOOD))]) == 0
    out = capsys.readouterr().out
    assert "passed" in out and "max 0.004 px" in out and "2 of 2 found" in out


def test_verify_fails_with_7_when_off(
    fake_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fake_bundle(test_report={**GOOD, "passed": False, "keypoint_max_px": 7.5})
    assert main(["verify", str(bundle), "--json"]) == 7
    out, err = capsys.readouterr()
    assert json.loads(out)["keypoint_max_px"] == 7.5
    assert "does not reproduce its golden results" in err and len(err.splitlines()) == 2
    assert "--device CPU" in err
    npu = fake_bundle(test_report={**GOOD, "passed": False}, backend="rknn")
    assert main(["verify", str(npu)]) == 7
    assert "--device CPU" not in capsys.readouterr().err  # which the engine takes for the NPU


def test_depths_that_are_off_are_not_taken_for_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = json.loads((V1 / "pose_3d" / "golden.json").read_text()) | {"depths": [[9.0] * 3] * 2}
    cases.build({"base": "pose_3d", "golden": golden}, tmp_path / "b")
    assert main(["verify", str(tmp_path / "b")]) == 7
    assert "\n  keypoints (places or depths)  4 compared; difference mean " in capsys.readouterr().out
    assert main(["verify", str(V1 / "pose_3d")]) == 0  # without depths, as older bundles of such networks
    assert "\n  keypoints  4 compared; difference mean 0 px" in capsys.readouterr().out


def test_boxes_that_are_not_expected_are_told_where_none_are() -> None:
    report = {
        "passed": False, "tolerance_px": 0.1, "detections_expected": 0, "detections_matched": 0,
        "detections_unexpected": 2, "box_mean_px": 0.0, "box_max_px": 0.0, "keypoints_compared": 0,
    }  # fmt: skip
    text = _text(Path("b"), report, "keypoints")
    assert "0 of 0 found, 2 not expected" in text and "difference" not in text
