"""A real video through JNI as YUV planes, against the same bundle in Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose import PosePipeline

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build/jni/runtime_cpp/libedgepose_jni.so"
CLASSES = [ROOT / "build/java/classes", ROOT / "build/java/test-classes"]
FRAMES = 12
STEP = 60


def test_poses_of_a_video_through_jni_equal_pythons(
    ncnn_bundle: Path, shared_dir: Path, tmp_path: Path
) -> None:
    if shutil.which("java") is None or not LIBRARY.exists():
        pytest.skip("the Java library is not built (scripts/test-jni.sh)")
    video = cv2.VideoCapture(str(shared_dir / "data/video/vtest.avi"))
    expected: list[Any] = []
    raw = tmp_path / "frames.i420"
    with raw.open("wb") as file, PosePipeline(ncnn_bundle, threads=1) as pipeline:
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
    command = ["java", "-Xcheck:jni", f"-Djava.library.path={LIBRARY.parent}", "-cp"]
    command += [":".join(map(str, CLASSES)), "dev.edgepose.RunFrames"]
    command += [str(ncnn_bundle), str(raw), str(width), str(height)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stdout, result.stdout
    rows = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("pose ")]
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
    overhead = next(line for line in result.stdout.splitlines() if line.startswith("overhead_ms"))
    print(f"largest distance {largest} px; {overhead}")
