"""Depths of 3-D networks in eval, gate and baseline: compared in millimetres, and never silently left out."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose import writers
from edgepose.bundle.manifest import MANIFEST_NAME, encode
from edgepose.cli.main import main
from edgepose.hashing import sha256_json
from edgepose.verify import bootstrap
from edgepose.verify.checks import Check, drift_checks
from edgepose.verify.compared import with_reference
from edgepose.verify.diagnosis import Cause, diagnose
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.predictions import Predictions, subset

Floats = NDArray[np.float64]
PICTURES, JOINTS = 99, 4


def run(depths: Floats | None) -> Predictions:
    """Make a person in each picture; the score of the last joint is too low to count."""
    keypoints = np.full((PICTURES, JOINTS, 3), 10.0)
    keypoints[..., 2] = [0.9, 0.9, 0.9, 0.1]
    boxes = np.tile([0.0, 0.0, 100.0, 100.0, 1.0], (PICTURES, 1))
    persons = np.arange(PICTURES)
    return Predictions(persons, persons, boxes, keypoints, np.ones(PICTURES), (), depths)


def checks(reference: Floats | None, candidate: Floats | None) -> dict[str, Check]:
    """Give the checks that all joints share, by name."""
    drift = with_reference(run(reference), run(candidate), pictures=PICTURES, seen=0.3)
    weights = bootstrap.resample(PICTURES, 200, 0)
    found = drift_checks(drift, weights, limits_for("fp16"), 0.95, [f"j{n}" for n in range(JOINTS)])
    return {check.name: check for check in found if check.keypoint is None}


def test_depths_are_checked_in_millimetres() -> None:
    depths = np.random.default_rng(0).uniform(-1, 1, (PICTURES, JOINTS))
    same = checks(depths, depths)
    assert (same["depth_mean"].estimate, same["depth_mean"].verdict) == (0.0, "PASS")
    assert same["depth_p95"].verdict == "PASS"
    moved = checks(depths, depths + 0.02)["depth_mean"]
    assert moved.estimate == pytest.approx(20) and moved.verdict == "FAIL" and moved.unit == "mm"
    rare = depths.copy()
    rare[::12, 0] -= 0.05  # 9 persons of 99: 3 % of the points, below the 95th percentile
    found = checks(depths, rare)
    assert found["depth_p95"].estimate == 0 and 0 < found["depth_mean"].estimate < 3


def test_depths_of_points_that_do_not_count_do_not_matter() -> None:
    depths = np.zeros((PICTURES, JOINTS))
    other = depths.copy()
    other[:, 3] = 1.0
    assert checks(depths, other)["depth_mean"].estimate == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: -z, "the depths point the other way: they are -1.00 times the reference's"),
        (lambda z: 1.15 * z, "the depths are 1.150 times the reference's: another range of depths"),
        (lambda z: z + 0.0302, "all depths are moved by +30.2 mm"),
    ],
)
def test_a_common_change_of_the_depths_is_named(change: Callable[[Floats], Floats], message: str) -> None:
    depths = np.random.default_rng(0).uniform(-1, 1, (PICTURES, JOINTS))
    found = causes(depths, change(depths))
    assert [(cause.cause, cause.message) for cause in found] == [("depth", message)]


def test_noise_in_the_depths_is_no_common_change() -> None:
    random = np.random.default_rng(0)
    depths = random.uniform(-1, 1, (PICTURES, JOINTS))
    (cause,) = causes(depths, depths + random.normal(0, 0.02, depths.shape))
    assert cause.cause == "unknown" and "no common direction, and depths by 1" in cause.message


def causes(reference: Floats, candidate: Floats) -> list[Cause]:
    drift = with_reference(run(reference), run(candidate), pictures=PICTURES, seen=0.3)
    names = [f"j{n}" for n in range(JOINTS)]
    return diagnose(drift, names=names, constants=({}, {}), split_ratio=2.0, precision="fp16", again=None)


def test_networks_without_a_depth_have_no_such_check() -> None:
    assert not {"depth_mean", "depth_p95"} & set(checks(None, None))


def test_a_subset_keeps_its_depths() -> None:
    depths = np.arange(float(PICTURES * JOINTS)).reshape(PICTURES, JOINTS)
    few = subset(run(depths), [2, 5])
    assert few.depths is not None and np.array_equal(few.depths, depths[[2, 5]])
    assert dataclasses.replace(few, depths=None).depths is None


@pytest.fixture
def deep(bundles_v1: Path) -> str:
    """Give a bundle of three axes."""
    return str(bundles_v1 / "pose_3d")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the options for 12 pictures, of which the last has no person; results are kept here."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for number in range(12):
        image = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        writers.write_picture(tmp_path / "images" / f"{number}.png", image)
    persons = [
        {"id": n + 1, "image_id": n, "category_id": 1, "area": 700.0, "iscrowd": 0, "bbox": [8, 8, 36, 40]}
        for n in range(11)
    ]
    document = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(12)],
        "annotations": persons,
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    return ["--data", str(tmp_path / "boxes.json"), "--images", str(tmp_path / "images"), "--processes", "1"]


def with_range(bundle: str, target: Path, z_range: float) -> str:
    """Copy a bundle with another range of depths, signed anew: a conversion that got a constant wrong."""
    shutil.copytree(bundle, target)
    manifest = json.loads((target / MANIFEST_NAME).read_text())
    manifest["models"]["pose"]["head"]["z_range"] = z_range
    del manifest["manifest_sha256"]
    (target / MANIFEST_NAME).write_bytes(encode(manifest))
    return str(target)


def decision(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["gate", *arguments, "--json", "-", "--samples", "200"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_wrong_range_of_depths_fails_and_is_named(
    deep: str, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    equal = decision([deep, "--reference", deep, *data], capsys, 11)  # 11 pictures are too few for a PASS
    figures = {check["name"]: check for check in equal["checks"]}
    assert figures["depth_mean"]["interval"] == [0.0, 0.0] and equal["diagnosis"] == []
    assert equal["drift"]["depth_mm"] == {"mean": 0.0, "p95": 0.0, "max": 0.0}
    wrong = with_range(deep, tmp_path / "wrong", 2.5)
    found = decision([wrong, "--reference", deep, *data], capsys, 10)
    failed = [check["name"] for check in found["checks"] if check["verdict"] == "FAIL"]
    assert failed == ["depth_mean", "depth_p95"] and "change of the depth" in found["summary"]
    assert "pose.head.z_range is 2.5 in the candidate, 2.17 in the reference" in found["summary"]
    assert main(["eval", wrong, "--reference", deep, *data]) == 0
    assert "  depth mm    mean " in capsys.readouterr().out


def test_depths_against_none_are_refused(
    deep: str, bundles_v1: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    flat = str(bundles_v1 / "pose")
    for command in ("gate", "eval"):
        for first, second in ((deep, flat), (flat, deep)):
            assert main([command, first, "--reference", second, *data]) == 2
            assert f"{flat} gives no depths, {deep} does" in capsys.readouterr().err


def edited(path: Path, edit: Callable[[dict[str, Any]], Any]) -> str:
    document = json.loads(path.read_text())
    edit(document)
    del document["sha256"]
    path.write_text(json.dumps({**document, "sha256": sha256_json(document)}))
    return str(path)


def test_a_baseline_keeps_depths(
    deep: str, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    assert main(["baseline", "record", deep, "-o", str(path), *data]) == 0
    assert main(["baseline", "compare", str(path), deep, *data]) == 0
    equal = decision([deep, "--reference", str(path), *data], capsys, 11)
    assert equal["drift"]["depth_mm"]["max"] == 0.0
    edited(path, lambda document: document["persons"][3]["depths"].__setitem__(0, 9.0))
    assert main(["baseline", "compare", str(path), deep, *data]) == 7
    assert "1 of their depths" in capsys.readouterr().err
    edited(path, lambda document: document["persons"][3].pop("depths"))
    assert main(["gate", deep, "--reference", str(path), *data]) == 7
    assert "the recorded persons do not fit ('depths')" in capsys.readouterr().err
