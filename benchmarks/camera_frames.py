"""Measure what camera frames cost over BGR pictures, and what JNI costs over the C++ call.

python benchmarks/camera_frames.py [--rounds 200]

The ways take turns; medians in milliseconds, one thread, frames of 1280x720. The JNI part needs what
scripts/test-jni.sh builds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1280, 720
NV12, LIMITED = 4, 1


def _ways(spec: str, box: tuple[float, ...] | None) -> dict[str, Callable[[], Any]]:
    import cv2
    import numpy as np

    from edgepose import _core

    cv2.setNumThreads(1)
    data = np.random.default_rng(0).integers(0, 256, (HEIGHT * 3 // 2, WIDTH), dtype=np.uint8)
    planes = [data[:HEIGHT].ravel(), data[HEIGHT:].ravel()]
    bgr: Any = cv2.cvtColor(data, cv2.COLOR_YUV2BGR_NV12)

    def camera(rotation: int) -> Any:
        return _core.preprocess_camera(
            planes, NV12, WIDTH, HEIGHT, WIDTH, box, spec,
            chroma_row_stride_bytes=WIDTH, colour=LIMITED, rotation_deg=rotation,
        )  # fmt: skip

    def converted(turn: int | None) -> Any:
        picture: Any = cv2.cvtColor(data, cv2.COLOR_YUV2BGR_NV12)
        return _core.preprocess(picture if turn is None else cv2.rotate(picture, turn), box, spec)

    return {
        "BGR": lambda: _core.preprocess(bgr, box, spec),
        "NV12": lambda: camera(0),
        "NV12 turned by 90": lambda: camera(90),
        "cvtColor, then BGR": lambda: converted(None),
        "cvtColor and rotate, then BGR": lambda: converted(cv2.ROTATE_90_CLOCKWISE),
    }


def _medians_ms(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            samples[name].append((time.perf_counter() - start) * 1e3)
    return {name: round(statistics.median(values), 3) for name, values in samples.items()}


def _jni_overhead_ms(frames: int) -> float | str:
    library = ROOT / "build/jni/runtime_cpp"
    classes = [ROOT / "build/java/classes", ROOT / "build/java/test-classes"]
    if not (library / "libedgepose_jni.so").exists() or not all(map(Path.exists, classes)):
        return "not built: scripts/test-jni.sh"
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frames"
        raw.write_bytes(os.urandom(WIDTH * HEIGHT * 3 // 2) * frames)
        command = ["java", f"-Djava.library.path={library}", "-cp", ":".join(map(str, classes))]
        command += ["dev.edgepose.RunFrames", str(ROOT / "tests/bundles/v1/top_down"), str(raw)]
        output = subprocess.run(
            [*command, str(WIDTH), str(HEIGHT)], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    return round(float(output.rsplit(maxsplit=1)[-1]), 4)


def main() -> None:
    """Print the figures as one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    common = {
        "color": "rgb",
        "mean": [124.0, 116.0, 104.0],
        "std": [58.0, 57.0, 57.0],
        "pad_value": [114] * 3,
    }
    detector = {"resize": "letterbox", "input_hw": [320, 320], "box_padding": 1.0, **common}
    person = {"resize": "affine", "input_hw": [256, 192], "box_padding": 1.25, **common}
    result = {
        "letterbox to 320": _medians_ms(_ways(json.dumps(detector), None), rounds),
        "crop 256x192": _medians_ms(_ways(json.dumps(person), (200.0, 100.0, 500.0, 700.0)), rounds),
        "JNI over the C++ call": _jni_overhead_ms(100),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
