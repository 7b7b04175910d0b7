"""Which networks get a flip test, and what is said where their keypoints name no pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import writers
from edgepose.artifact import KeypointSet
from edgepose.cli.main import main
from edgepose.errors import UsageError
from edgepose.skeletons import KEYPOINT_SETS, numbered_points
from edgepose.verify import evaluation
from edgepose.verify.flip_test import require_flip_test, warn_without_pairs


def with_points(bundle: Path, points: KeypointSet) -> dict[str, Any]:
    """Give the manifest of a pose network whose keypoints are others."""
    manifest: dict[str, Any] = json.loads((bundle / "bundle.json").read_text())
    members = {"name": points.name, "keypoints": points.keypoints, "skeleton": (), "sigmas": points.sigmas}
    manifest["models"]["pose"]["head"]["points"] = {**members, "flip_pairs": points.flip_pairs}
    return manifest


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (KEYPOINT_SETS["coco17"], False),
        (KEYPOINT_SETS["hand21"], False),  # a hand has no sides
        (numbered_points(9), True),
        (KeypointSet("arm", ("left_wrist", "left_elbow"), (), (), (0.1, 0.1)), True),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_points_without_sides_have_a_flip_test(
    points: KeypointSet, told: bool, bundles_v1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = with_points(bundles_v1 / "pose", points)
    require_flip_test(Path("tool"), manifest)
    warn_without_pairs(Path("tool"), manifest)
    said = f"tool: its keypoint set {points.name} has no flip_pairs"
    assert (said in capsys.readouterr().err) == told


def test_eval_says_that_no_points_change_places(
    bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    bundle, images = str(bundles_v1 / "pose"), tmp_path / "images"
    images.mkdir()
    writers.write_picture(images / "a.png", np.zeros((60, 80, 3), np.uint8))
    manifest = with_points(bundles_v1 / "pose", KeypointSet("tool", ("a", "b", "c"), (), (), (0.1,) * 3))
    monkeypatch.setattr(evaluation, "read_manifest", lambda _: manifest)
    assert main(["eval", bundle, "--images", str(images), "--reference", bundle, "--flip-test"]) == 0
    assert capsys.readouterr().err.count("its keypoint set tool has no flip_pairs") == 1


def test_a_flip_test_needs_the_pairs_of_sides(bundles_v1: Path) -> None:
    points = KeypointSet("face", ("nose", "LeftEye", "RightEye"), (), (), (0.1,) * 3)
    with pytest.raises(UsageError, match=r"keypoint set face does not say which points .* such as lefteye"):
        require_flip_test(Path("faces"), with_points(bundles_v1 / "pose", points))
