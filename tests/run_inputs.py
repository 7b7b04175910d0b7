"""What tests of `edgepose run` read and look into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgepose import writers


def picture(path: Path, seed: int = 0, *, width: int = 64, height: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    writers.write_picture(path, rng.integers(0, 255, (height, width, 3), np.uint8))
    return path


def video(path: Path, frames: int = 12) -> Path:
    with writers.open_video(path, fps=10) as out:
        for index in range(frames):
            out.write(np.full((48, 64, 3), index * 5, np.uint8))
    return path


def results(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return document
