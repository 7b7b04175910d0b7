"""Pictures and a video that tests of reading and writing share."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from edgepose import writers
from edgepose.media import load_cv2

cv2 = load_cv2()


def scene(width: int = 64, height: int = 48, seed: int = 0) -> Any:
    """Make a smooth picture with a bright top-left corner."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(
        rng.integers(0, 120, (6, 8, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    image[: height // 4, : width // 4] = 250
    return image


def write_video(path: Path, frames: int, *, fps: float = 12.5, size: tuple[int, int] = (64, 48)) -> Path:
    with writers.open_video(path, fps=fps) as video:
        for index in range(frames):
            image = scene(*size)
            image[:, :8] = index * 10
            video.write(image)
    return path


def jpeg_with_orientation(path: Path, image: Any, orientation: int) -> None:
    """Put an EXIF block with one tag, 0x0112, behind the start of a JPEG."""
    data = cv2.imencode(".jpg", image)[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    block = b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
