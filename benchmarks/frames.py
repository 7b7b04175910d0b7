"""Frames of a video in memory, so that decoding is not measured."""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def read_frames(video: str, count: int) -> list[Image]:
    """Decode the first `count` frames, fewer where the video is shorter; without any, end the program."""
    capture = cv2.VideoCapture(video)
    frames: list[Image] = []
    while len(frames) < count:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(np.ascontiguousarray(frame, dtype=np.uint8))
    if not frames:
        sys.exit(f"{video} cannot be read")
    return frames
