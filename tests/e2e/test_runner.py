"""edgepose_run, the stand-alone program: JSON on stdout, errors in one line, the exit codes of edgepose."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import cases

from edgepose import PosePipeline, _core, errors

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "tests" / "bundles" / "v1"
PROGRAMS = [ROOT / "build" / preset / "runtime_cpp" / "edgepose_run" for preset in ("asan", "dev")]


Image = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def program() -> Path:
    """Give the newest build of the program."""
    built = [path for path in PROGRAMS if path.exists()]
    if not built:
        pytest.skip("edgepose_run is not built (make test-cpp)")
    return max(built, key=lambda path: path.stat().st_mtime)


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)


def _run(program: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _fails(program: Path, code: int, *arguments: Any) -> str:
    outcome = _run(program, *arguments)
    assert outcome.returncode == code, outcome.stderr
    assert outcome.stdout == "" and outcome.stderr.count("\n") == 1
    assert outcome.stderr.startswith("edgepose_run: ")
    return outcome.stderr


def _ppm(path: Path, image: Image, header: str = "P6\n# a comment\n{w} {h}\n255\n") -> Path:
    height, width = image.shape[:2]
    path.write_bytes(header.format(w=width, h=height).encode() + image[..., ::-1].tobytes())
    return path


@pytest.mark.parametrize("kind", ["top_down", "detect", "pose", "pose_3d", "one_stage"])
@pytest.mark.parametrize("threads", [1, 2])
def test_it_gives_what_python_gives(
    program: Path, image: Image, tmp_path: Path, kind: str, threads: int
) -> None:
    outcome = _run(program, BUNDLES / kind, _ppm(tmp_path / "p.ppm", image), "--threads", threads)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == "" and outcome.stdout.count("\n") == 1
    document = json.loads(outcome.stdout)
    keypoints, boxes, _, z, _ = _core.Pipeline(str(BUNDLES / kind), threads=1).process(image, 0)
    assert (document["width_px"], document["height_px"]) == (64, 48)
    manifest = json.loads((BUNDLES / kind / "bundle.json").read_bytes())
    assert document["digest"] == manifest["manifest_sha256"]  # as edgepose run and info show it
    persons = document["persons"]
    assert len(persons) == len(boxes) > 0
    for index, person in enumerate(persons):
        assert "track_id" not in person
        np.testing.assert_allclose([*person["box_xyxy"], person["box_score"]], boxes[index], atol=1e-4)
        np.testing.assert_allclose(np.reshape(person["keypoints"], (-1, 3)), keypoints[index], atol=1e-4)
        assert ("z" in person) == (z is not None)
        if z is not None:
            np.testing.assert_allclose(person["z"], z[index], atol=1e-4)
    assert document["timings"]["total_ns"] > 0


def test_a_tracked_video_is_what_python_gives(program: Path, tmp_path: Path) -> None:
    case = next(case for case in cases.VALID if case["name"] == "with tracking")
    cases.build(case, tmp_path / "bundle")
    random = np.random.default_rng(3)
    frames = [random.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(3)]
    frames = [frames[i] for i in (0, 0, 1, 1, 0, 2, 2, 2)]
    paths = [_ppm(tmp_path / f"{i}.ppm", frame) for i, frame in enumerate(frames)]
    options = ["--smooth", "--detect-every", "2", "--detect-delay", "1", "--interval-ms", "40"]
    outcome = _run(program, tmp_path / "bundle", *paths, *options)
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(outcome.stdout)["frames"]
    assert len(found) == len(frames)
    ids = set()
    same = {"smooth": True, "detect_every": 2, "detect_delay": 1}
    with PosePipeline(tmp_path / "bundle", threads=1, **same) as pipeline:
        for i, (frame, image) in enumerate(zip(found, frames, strict=True)):
            expected = pipeline(image, time_s=i * 0.04)
            assert [person["track_id"] for person in frame["persons"]] == expected.track_ids.tolist()
            keypoints = np.array([person["keypoints"] for person in frame["persons"]]).reshape(-1, 3, 3)
            np.testing.assert_allclose(keypoints, expected.keypoints, atol=1e-4)
            ids.update(expected.track_ids.tolist())
    assert len(ids) > 1 and min(ids) >= 1
    # What is repeated goes on in time.
    for option in ("--track", "--smooth"):
        again = _run(program, tmp_path / "bundle", *paths, option, "--repeat", "2")
        assert again.returncode == 0, again.stderr
        frames_json = json.loads(again.stdout)["frames"]
        assert all("track_id" in person for frame in frames_json for person in frame["persons"])


def test_the_defaults_of_detection_can_be_given_and_need_no_tracking(
    program: Path, image: Image, tmp_path: Path
) -> None:
    picture = _ppm(tmp_path / "p.ppm", image)
    for defaults in (["--detect-every", "1"], ["--detect-delay", "0"]):
        outcome = _run(program, BUNDLES / "top_down", picture, *defaults)
        assert outcome.returncode == 0, outcome.stderr


def test_raw_pictures_and_boxes(program: Path, image: Image, tmp_path: Path) -> None:
    raw = tmp_path / "p.bgr"
    raw.write_bytes(image.tobytes())
    boxes = ["--boxes", "4,5,30,40", "--boxes", "10.5,3,60,44"]
    outcome = _run(program, BUNDLES / "top_down", raw, "--raw", "64x48", *boxes, "--repeat", "3")
    assert outcome.returncode == 0, outcome.stderr
    given = np.array([[4, 5, 30, 40], [10.5, 3, 60, 44]], np.float32)
    want = _core.Pipeline(str(BUNDLES / "top_down"), threads=1).process(image, 0, given)[0]
    got = [person["keypoints"] for person in json.loads(outcome.stdout)["persons"]]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_verification(program: Path) -> None:
    outcome = _run(program, BUNDLES / "top_down", "--verify")
    assert outcome.returncode == 0 and json.loads(outcome.stdout)["verification"]["passed"] is True


def test_a_bundle_that_does_not_reproduce_its_results(program: Path, tmp_path: Path) -> None:
    golden = json.loads((BUNDLES / "pose" / "golden.json").read_text())
    golden["poses"][0][0][0] += 5
    cases.build({"base": "pose", "golden": golden}, tmp_path / "bundle")
    outcome = _run(program, tmp_path / "bundle", "--verify")
    assert outcome.returncode == errors.VerificationError.exit_code
    assert outcome.stderr.count("\n") == 1 and "does not reproduce its golden results" in outcome.stderr
    found = json.loads(outcome.stdout)["verification"]
    assert found["passed"] is False and found["keypoint_max_px"] == pytest.approx(5, abs=0.1)


def test_help_is_no_error(program: Path) -> None:
    outcome = _run(program, "--help")
    assert outcome.returncode == 0 and outcome.stdout.startswith("usage: edgepose_run BUNDLE")


def test_wrong_arguments(program: Path, tmp_path: Path) -> None:
    usage = errors.UsageError.exit_code
    bundle = BUNDLES / "pose"
    for arguments in (
        [],
        [bundle],
        [bundle, "--verify", "--threads"],
        [bundle, "--verify", "--threads", "0"],
        [bundle, "--verify", "--threads", "two"],
        [bundle, "--verify", "--threads", "1000"],
        [bundle, "a", "--raw", "64"],
        [bundle, "a", "--raw", "-4x4"],
        [bundle, "a", "--raw", "99999x4"],
        [bundle, "a", "--raw", "4294967360x48"],
        [bundle, "a", "--raw", "64x48x"],
        [bundle, "a", "--raw", " 64x+48"],
        [bundle, "a", "--boxes", "1,2,3"],
        [bundle, "a", "--boxes", "1,2,3,4,5"],
        [bundle, "--verify", "--fast"],
        [bundle, "a", "--detect-every", "0"],
        [bundle, "a", "--detect-every", "2", "--boxes", "1,2,30,40"],
        [bundle, "a", "--detect-delay", "-1"],
        [bundle, "a", "--interval-ms", "x"],
        [bundle, "a", "--track"],
    ):
        assert _fails(program, usage, *arguments).endswith(")\n")  # with a hint
    for option in ("--json", "--threads=4"):
        assert f"unknown option {option}" in _fails(program, usage, bundle, "a", option)
    assert "--threads needs a value" in _fails(program, usage, bundle, "a", "--threads")


def test_unreadable_pictures(program: Path, image: Image, tmp_path: Path) -> None:
    usage = errors.UsageError.exit_code
    path = _ppm(tmp_path / "p.ppm", image)
    whole = path.read_bytes()
    assert "absent.ppm" in _fails(program, usage, BUNDLES / "pose", tmp_path / "absent.ppm")
    assert "is a folder" in _fails(program, usage, BUNDLES / "pose", tmp_path)
    assert "is a folder" in _fails(program, usage, BUNDLES / "pose", tmp_path, "--raw", "4x4")
    for content in (
        b"",
        b"P6",
        b"P5" + whole[2:],
        b"JFIF",
        whole[:-1],
        whole + b"x",
        b"P6 64 48 65535\n",
        whole.replace(b"\n255\n", b"\n254\n"),
        b"P6 0 48 255\n",
        b"P6 99999999999999999999 48 255\n",
        b"P6 # never ends",
    ):
        path.write_bytes(content)
        _fails(program, usage, BUNDLES / "pose", path)
    path.write_bytes(whole)
    _fails(program, usage, BUNDLES / "pose", path, "--raw", "64x48")
    _fails(program, usage, BUNDLES / "pose", path, "--boxes", "5,5,5,9")


def test_bad_bundles(program: Path, tmp_path: Path) -> None:
    _fails(program, errors.ConfigurationError.exit_code, tmp_path / "absent", "--verify")
    _fails(program, errors.BundleError.exit_code, tmp_path, "--verify")
    copy = tmp_path / "copy"
    shutil.copytree(BUNDLES / "top_down", copy)
    for name in ("bundle.json", "golden.json", "golden.bgr", "tiny-pose.fake"):
        whole = (copy / name).read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        (copy / name).write_bytes(bytes(flipped))
        _fails(program, errors.BundleError.exit_code, copy, "--verify")
        (copy / name).write_bytes(whole)
    assert _run(program, copy, "--verify").returncode == 0


def test_an_unknown_device_and_a_missing_engine(program: Path) -> None:
    missing = errors.MissingDependencyError.exit_code
    _fails(program, missing, BUNDLES / "pose", "--verify", "--device", "TPU")


def test_a_network_that_its_engine_refuses(program: Path, tmp_path: Path) -> None:
    text, file = "no network", "tiny-pose.fake"
    listed = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    patch = [{"op": "replace", "path": f"/files/{file}", "value": listed}]
    cases.build({"base": "pose", "patch": patch, "folder": {"write": {file: text}}}, tmp_path / "bundle")
    message = _fails(program, errors.EngineError.exit_code, tmp_path / "bundle", "--verify")
    assert f"{file} is no network of the fake engine" in message


def test_a_full_disk(program: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [str(program), str(BUNDLES / "pose"), "--verify"]
        outcome = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert outcome.returncode == errors.ConfigurationError.exit_code
    assert outcome.stderr.count("\n") == 1
