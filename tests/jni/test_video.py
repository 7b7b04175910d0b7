"""Videos through JNI as YUV planes, against the same bundles in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose import PosePipeline
from edgepose.bundle.manifest import encode
from edgepose.bundle.tracking import tracking_member

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build/jni/runtime_cpp/libedgepose_jni.so"
BUNDLES = ROOT / "tests/bundles/v1"
CLASSES = [ROOT / "build/java/classes", ROOT / "build/java/test-classes"]
pytestmark = pytest.mark.skipif(
    shutil.which("java") is None or not LIBRARY.exists(),
    reason="the Java library is not built (scripts/test-jni.sh)",
)
FRAMES = 12
STEP = 60


def _java(*arguments: object) -> list[list[str]]:
    """Run RunFrames; give the words of its lines."""
    command = ["java", "-Xcheck:jni", f"-Djava.library.path={LIBRARY.parent}", "-cp"]
    command += [":".join(map(str, CLASSES)), "dev.edgepose.RunFrames", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stdout, result.stdout
    return [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("kind", "detect_every"),
    [(kind, None) for kind in ("top_down", "pose", "pose_3d", "one_stage", "detect")]
    + [("top_down", 2), ("pose", 1), ("pose_3d", 1), ("one_stage", 1)],
)
def test_every_number_through_jni_equals_pythons(kind: str, detect_every: int | None, tmp_path: Path) -> None:
    manifest = json.loads((BUNDLES / kind / "bundle.json").read_text())
    settings = {"match_similarity": 0.0, "loss_keypoint_score": 0.0, "birth_box_score": 0.0}
    manifest["tracking"] = {**tracking_member(), **settings, "scene_change_levels": 255.0}
    bundle = tmp_path / kind
    shutil.copytree(BUNDLES / kind, bundle)
    (bundle / "bundle.json").write_bytes(encode(manifest))
    height, width = 48, 64
    frames = np.random.default_rng(3).integers(0, 256, (8, height * 3 // 2, width), dtype=np.uint8)
    frames[1:] = frames[0] // 4 * 3 + frames[1:] // 4  # a scene that hardly changes
    (tmp_path / "frames.i420").write_bytes(frames.tobytes())
    options: dict[str, Any] = {}
    if detect_every is not None:
        options = {"smooth": True, "detect_every": detect_every, "detect_delay": detect_every - 1}
    expected, more = [], []
    with PosePipeline(bundle, threads=1, **options) as pipeline:
        for index, yuv in enumerate(frames):
            frame = pipeline(cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420), time_s=index * 0.1)
            depths = np.zeros(frame.keypoints.shape[:2]) if frame.z is None else frame.z
            for person, box in enumerate(frame.boxes):
                expected.append([index, *box, *frame.keypoints[person].ravel()])
                more.append([frame.track_ids[person], *depths[person]])
    assert (max(row[0] for row in more) > 0) == (detect_every is not None)
    assert any(any(row[1:]) for row in more) == (kind == "pose_3d")
    lines = _java(bundle, tmp_path / "frames.i420", width, height, *filter(None, [detect_every]))
    for name, numbers in (("pose", expected), ("track", more)):
        found = [line[1:] for line in lines if line[0] == name]
        np.testing.assert_array_equal(np.array(found, np.float32), np.array(numbers, np.float32))


def test_poses_of_a_video_through_jni_equal_pythons(
    cache_root: Path, shared_dir: Path, tmp_path: Path
) -> None:
    """With the demo networks, as they are converted for a phone."""
    from edgepose.converters import convert

    networks = [ROOT / "demo" / f"{name}-demo.pth" for name in ("rtmdet-nano", "rtmpose-t")]
    bundle = convert(networks, ["ncnn"], precision="fp16", out_dir=tmp_path)[0].path
    video = cv2.VideoCapture(str(shared_dir / "data/video/vtest.avi"))
    expected: list[Any] = []
    raw = tmp_path / "frames.i420"
    with raw.open("wb") as file, PosePipeline(bundle, threads=1) as pipeline:
        for index in range(FRAMES):
            video.set(cv2.CAP_PROP_POS_FRAMES, index * STEP)
            found, picture = video.read()
            assert found
            height, width = picture.shape[:2]
            yuv = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
            file.write(yuv.tobytes())
            # What the planes hold is the picture that both must see.
            bgr: Any = cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420)
            expected.append(pipeline(bgr, time_s=index * 0.1))
    lines = _java(bundle, raw, width, height)
    rows = [line[1:] for line in lines if line[0] == "pose"]
    numbers = np.array(rows, float)
    assert len(numbers) == sum(map(len, expected)) > FRAMES
    largest = 0.0
    for index, frame in enumerate(expected):
        mine = numbers[numbers[:, 0] == index][:, 1:]
        assert len(mine) == len(frame)
        largest = max(largest, float(np.abs(mine[:, :4] - frame.boxes[:, :4]).max()))
        points = mine[:, 5:].reshape(len(frame), -1, 3)
        largest = max(largest, float(np.abs(points[..., :2] - frame.keypoints[..., :2]).max()))
        np.testing.assert_allclose(points[..., 2], frame.keypoints[..., 2], atol=1e-4)
    assert largest <= 0.05
    overhead = next(line[1] for line in lines if line[0] == "overhead_ms")
    print(f"largest distance {largest} px; overhead_ms {overhead}")
