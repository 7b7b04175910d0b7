"""`edgepose run`, `info` and `verify` as a user calls them, on real bundles and on those of tests/bundles."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgepose.media import open_source, read_picture
from edgepose.pipeline import WHOLE_PICTURE

GOOD_BUNDLES = sorted((Path(__file__).resolve().parent.parent / "bundles" / "v1").glob("*/bundle.json"))
PICTURE = "000000000785.jpg"


def edgepose(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "edgepose", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)


@pytest.fixture(params=["ncnn_bundle", "openvino_bundle"])
def bundle(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(params=GOOD_BUNDLES, ids=lambda path: path.parent.name)
def small_bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a copy of a bundle whose networks are made up, but which runs anywhere."""
    return Path(shutil.copytree(request.param.parent, tmp_path / "bundle"))


@pytest.fixture
def demo_picture() -> Path:
    import edgepose as package

    return Path(package.__file__).parent / "data" / "astronaut.jpg"


def overlap(a: list[float], b: list[float]) -> float:
    """Return the intersection over union of two boxes, x y width height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    return inside / (a[2] * a[3] + b[2] * b[3] - inside)


def test_a_picture_with_a_person(bundle: Path, shared_dir: Path, tmp_path: Path) -> None:
    coco = shared_dir / "data" / "coco_dev"
    labels = json.loads((coco / "person_keypoints.json").read_text())
    source = coco / "images" / PICTURE
    outcome = edgepose("run", bundle, source, "-o", tmp_path / "out", "--json")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    document = json.loads(outcome.stdout)
    assert document == json.loads((tmp_path / "out" / "results.json").read_text())
    assert (
        document["info"]["bundle_digest"]
        == json.loads((bundle / "bundle.json").read_text())["manifest_sha256"]
    )
    drawn = read_picture(tmp_path / "out" / PICTURE)
    assert drawn.shape == read_picture(source).shape
    (truth,) = [a for a in labels["annotations"] if a["image_id"] == 785]
    best = max(document["annotations"], key=lambda person: person["score"])
    assert overlap(best["bbox"], truth["bbox"]) > 0.7
    assert len(best["keypoints"]) == 51


def test_onnx_bundles_run_in_both_engines(
    bundles: dict[tuple[str, str], Path], demo_picture: Path, tmp_path: Path
) -> None:
    bundle, documents = bundles["onnx", "fp32"], []
    for device in ("CPU", "ORT"):
        outcome = edgepose("run", bundle, demo_picture, "-o", tmp_path / device, "--json", "--device", device)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        documents.append(json.loads(outcome.stdout))
    ours, theirs = (document["annotations"] for document in documents)
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert b["bbox"] == pytest.approx(a["bbox"], abs=0.2)
        assert b["score"] == pytest.approx(a["score"], abs=1e-3)
    outcome = edgepose("run", bundle, demo_picture, "-o", tmp_path / "gpu", "--device", "CUDA")
    assert outcome.returncode == 4 and "CUDA" in outcome.stderr and "onnxruntime-gpu" in outcome.stderr


def test_a_video(bundle: Path, shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data" / "video" / "vtest.avi"
    outcome = edgepose("run", bundle, source, "-o", tmp_path / "out", "--max-frames", 20)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("20 frames, ")
    made = open_source(str(tmp_path / "out" / "vtest.mp4"))
    assert (made.frame_count, made.fps) == (20, 10)
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    persons = [
        sum(p["image_id"] == image["id"] for p in document["annotations"]) for image in document["images"]
    ]
    # Four to six people walk through these frames.
    assert len(persons) == 20 and min(persons) >= 3 and 4 <= sum(persons) / 20 <= 7
    for person in document["annotations"]:
        x, y, width, height = person["bbox"]
        xs, ys = person["keypoints"][0::3], person["keypoints"][1::3]
        # The crop has the network's 3:4, holds the box, and is a quarter larger.
        crop_width, crop_height = 1.25 * max(width, height * 3 / 4), 1.25 * max(height, width * 4 / 3)
        assert all(abs(px - x - width / 2) <= crop_width / 2 + 1 for px in xs)
        assert all(abs(py - y - height / 2) <= crop_height / 2 + 1 for py in ys)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, -2, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_in_the_middle_of_a_video(
    number: signal.Signals, code: int, word: str, ncnn_bundle: Path, shared_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made" / "out"
    source = shared_dir / "data" / "video" / "vtest.avi"
    command = [sys.executable, "-P", "-m", "edgepose", "run", str(ncnn_bundle), str(source), "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (out.exists() and len(list(out.iterdir())) == 2) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (code, "", f"error: {word}\n")
    assert not out.parent.exists()


def test_verify_and_info(bundle: Path) -> None:
    outcome = edgepose("verify", bundle, "--json")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    report = json.loads(outcome.stdout)
    assert report["passed"] is True and report["keypoints_compared"] > 0
    outcome = edgepose("info", bundle)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert report["digest"] in outcome.stdout and "rtmdet" in outcome.stdout


class TestSmallBundles:
    """Every good bundle of the format runs, and every flipped byte is found."""

    def test_info(self, small_bundle: Path) -> None:
        outcome = edgepose("info", small_bundle)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        outcome = edgepose("info", small_bundle, "--json")
        assert json.loads(outcome.stdout) == json.loads((small_bundle / "bundle.json").read_text())

    def test_verify(self, small_bundle: Path) -> None:
        outcome = edgepose("verify", small_bundle)
        assert (outcome.returncode, outcome.stderr) == (0, "")

    def test_run(self, small_bundle: Path, demo_picture: Path, tmp_path: Path) -> None:
        outcome = edgepose("run", small_bundle, demo_picture, "-o", tmp_path / "out")
        manifest = json.loads((small_bundle / "bundle.json").read_text())
        alone = manifest["pipeline"]["type"] == "pose"
        assert (outcome.returncode, WHOLE_PICTURE in outcome.stderr) == (0, alone)
        assert len(outcome.stderr.splitlines()) == alone
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [demo_picture.name, "results.json"]
        document: dict[str, Any] = json.loads((tmp_path / "out" / "results.json").read_text())
        if alone:
            height, width = read_picture(demo_picture).shape[:2]
            assert [person["bbox"] for person in document["annotations"]] == [[0, 0, width, height]]

    def test_a_flipped_byte(self, small_bundle: Path, demo_picture: Path, tmp_path: Path) -> None:
        for path in sorted(small_bundle.iterdir()):
            data = path.read_bytes()
            flipped = bytearray(data)
            flipped[len(data) // 2] ^= 1
            path.write_bytes(bytes(flipped))
            outcome = edgepose("run", small_bundle, demo_picture, "-o", tmp_path / "out")
            assert outcome.returncode == 7, path.name
            assert outcome.stderr.startswith("error: ") and len(outcome.stderr.splitlines()) <= 2
            assert outcome.stdout == "" and not (tmp_path / "out").exists()
            path.write_bytes(data)


def test_good_bundles_are_there() -> None:
    assert GOOD_BUNDLES


def test_reading_continues_when_the_working_folder_is_read_only(
    ncnn_bundle: Path, demo_picture: Path
) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("optional: needs a folder in which nobody can write")
    outcome = edgepose("run", ncnn_bundle, demo_picture, cwd=Path("/proc"))
    assert outcome.returncode == 3
    assert outcome.stderr.startswith("error: edgepose-run") and len(outcome.stderr.splitlines()) <= 2


def test_threads_change_nothing(ncnn_bundle: Path, demo_picture: Path, tmp_path: Path) -> None:
    found = []
    for threads in (1, min(2, os.cpu_count() or 1)):
        outcome = edgepose(
            "run", ncnn_bundle, demo_picture, "-o", tmp_path, "--threads", threads, "--json", "--no-draw"
        )
        assert outcome.returncode == 0
        found.append(json.loads(outcome.stdout)["annotations"])
    assert [p["keypoints"] for p in found[0]] == [pytest.approx(p["keypoints"], abs=0.05) for p in found[1]]
