"""The C example, built against the installed package, gives what Python and edgepose_run give, bit by bit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import PosePipeline
from edgepose.synth.scene import render_scene

SDK = Path(__file__).resolve().parents[2] / "build" / "sdk"
HEIGHT_PX, WIDTH_PX = 288, 480
FPS = 25

Image = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def example() -> Path:
    """Give the program of runtime_cpp/examples."""
    path = SDK / "example" / "poses"
    if not path.exists():
        pytest.skip("the example is not built (make test-sdk)")
    return path


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    """Pan over a rendered picture of three people: a video with motion, births and losses."""
    size_hw = (HEIGHT_PX, WIDTH_PX * 2)
    wide = render_scene(8, size_hw=size_hw, persons=3, shot="group", pose="stand", clean=True).image
    return [np.ascontiguousarray(wide[:, 24 * i : 24 * i + WIDTH_PX]) for i in range(14)]


@pytest.mark.parametrize("target", ["ncnn", "openvino"])
def test_three_ways_to_the_same_poses(
    bundles: dict[tuple[str, str], Path], frames: list[Image], example: Path, tmp_path: Path, target: str
) -> None:
    bundle = bundles[target, "fp32"]
    expected = []
    with PosePipeline(bundle, threads=2, smooth=True, detect_every=2) as pipeline:
        for index, image in enumerate(frames):
            frame = pipeline(image, time_s=index / FPS)
            persons = zip(frame.track_ids, frame.boxes, frame.keypoints, strict=True)
            expected += [(index, int(i), np.concatenate([box, points.ravel()])) for i, box, points in persons]
    assert len({track for _, track, _ in expected}) >= 2 and len(expected) > len(frames)

    pixels = b"".join(image.tobytes() for image in frames)
    size = [str(WIDTH_PX), str(HEIGHT_PX)]
    command = [example, bundle, *size, str(FPS)]
    outcome = subprocess.run(command, input=pixels, capture_output=True, timeout=120, check=False)
    assert outcome.returncode == 0, outcome.stderr
    from_c = []
    for line in outcome.stdout.decode().splitlines():
        index, track, *numbers = line.split()
        from_c.append((int(index), int(track), np.array(numbers, np.float32)))
    _expect_equal(from_c, expected)

    paths = [tmp_path / f"{index}.bgr" for index in range(len(frames))]
    for path, image in zip(paths, frames, strict=True):
        path.write_bytes(image.tobytes())
    options = ["--smooth", "--detect-every", "2", "--interval-ms", str(1000 // FPS), "--threads", "2"]
    runner = SDK / "runtime_cpp" / "edgepose_run"
    command = [runner, bundle, *paths, "--raw", "x".join(size), *options]
    outcome = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert outcome.returncode == 0, outcome.stderr
    from_runner = []
    for index, frame_json in enumerate(json.loads(outcome.stdout)["frames"]):
        for person in frame_json["persons"]:
            numbers = [*person["box_xyxy"], person["box_score"], *np.ravel(person["keypoints"])]
            from_runner.append((index, person.get("track_id", -1), np.array(numbers, np.float32)))
    _expect_equal(from_runner, expected)


Persons = list[tuple[int, int, np.ndarray[Any, np.dtype[np.float32]]]]


def _expect_equal(found: Persons, expected: Persons) -> None:
    assert [person[:2] for person in found] == [person[:2] for person in expected]
    for person, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(person[2], other[2])


def test_errors_are_one_line(example: Path, tmp_path: Path) -> None:
    for arguments, code, text in (
        ([], 2, "usage: poses"),
        ([tmp_path, "0", "5", "25"], 2, "usage: poses"),
        ([tmp_path / "absent", "8", "8", "25"], 1, "absent"),
    ):
        outcome = subprocess.run(
            [example, *map(str, arguments)], input="", capture_output=True, text=True, timeout=60, check=False
        )
        assert outcome.returncode == code and outcome.stdout == ""
        assert text in outcome.stderr and outcome.stderr.count("\n") == 1
