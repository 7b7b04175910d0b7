"""`edgepose run` on a video gives what PosePipeline gives: ids, smoothing, interval, delay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import PosePipeline
from edgepose.bundle.manifest import encode
from edgepose.bundle.tracking import tracking_member
from edgepose.cli.main import main
from edgepose.media import open_source
from edgepose.writers import open_video

BUNDLES = Path(__file__).resolve().parents[1] / "bundles" / "v1"
FRAMES = 10
# Nobody is lost, for the fake network's scores mean nothing.
SETTINGS = {"match_similarity": 0.0, "nms_oks": 1.0, "birth_box_score": 0.0, "loss_keypoint_score": 0.0}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(BUNDLES / "top_down", tmp_path / "bundle"))
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["tracking"] = {**tracking_member(), **SETTINGS, "scene_change_levels": 255.0}
    (folder / "bundle.json").write_bytes(encode(manifest))
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A scene that hardly changes."""
    noise = np.random.default_rng(1).integers(0, 256, (FRAMES, 48, 64, 3), np.uint8)
    with open_video(tmp_path / "v.mp4", fps=12.5) as out:
        for frame in noise:
            out.write(noise[0] // 4 * 3 + frame // 4)
    return tmp_path / "v.mp4"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"track": True, "smooth": True}),
        (["--track"], {"track": True, "smooth": True}),
        (["--no-smooth"], {"track": True}),
        (["--no-track"], {"track": False}),
        (["--detect-every", "3"], {"smooth": True, "detect_every": 3}),
        (
            ["--detect-every", "3", "--detect-delay", "2"],
            {"smooth": True, "detect_every": 3, "detect_delay": 2},
        ),
    ],
    ids=lambda value: " ".join(value) or "default" if isinstance(value, list) else "",
)
def test_it_tracks_as_the_pipeline_does(
    bundle: Path, video: Path, tmp_path: Path, arguments: list[str], options: dict[str, Any]
) -> None:
    assert main(["run", str(bundle), str(video), "-o", str(tmp_path / "out"), "--no-draw", *arguments]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["annotations"]
    expected = []
    with PosePipeline(bundle, threads=1, **options) as pipeline:
        for index, frame in enumerate(open_source(str(video))):
            result = pipeline(frame.image, time_s=index / 12.5)
            rows = zip(result.track_ids.tolist(), result.keypoints, strict=True)
            expected += [(index + 1, track, points.ravel()) for track, points in rows]
    assert [(p["image_id"], p.get("track_id", -1)) for p in found] == [e[:2] for e in expected]
    assert (max(e[1] for e in expected) > 1) == options.get("track", True)
    for person, (_, _, points) in zip(found, expected, strict=True):
        np.testing.assert_allclose(person["keypoints"], points, atol=0.01)
