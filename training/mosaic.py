"""Pictures for the detector: several training pictures on one canvas, so that there are many sizes."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

PAD = 114  # what the runtime's letterbox fills with
GRIDS = (1, 2, 3, 4)
GRID_SHARES = (0.30, 0.35, 0.25, 0.10)


def grid_lines(random: np.random.Generator, side_px: int, cells: int) -> list[int]:
    """Return where a side of the canvas is cut into cells, ends included; no cell is under half the mean."""
    mean = side_px / cells
    inner = [mean * n + random.uniform(-0.25, 0.25) * mean for n in range(1, cells)]
    return [0, *(round(line) for line in inner), side_px]


def fit(random: np.random.Generator, picture: Picture, height: int, width: int) -> Picture:
    """Return a cell that shows the whole picture with a grey rest, or a part that fills the cell."""
    picture_h, picture_w = picture.shape[:2]
    scales = (height / picture_h, width / picture_w)
    scale = min(scales) if random.random() < 0.5 else max(scales) * random.uniform(1.0, 1.5)
    size = (max(1, round(picture_w * scale)), max(1, round(picture_h * scale)))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if random.random() < 0.5:
        resized = resized[:, ::-1]
    y = int(random.integers(0, max(1, resized.shape[0] - height + 1)))
    x = int(random.integers(0, max(1, resized.shape[1] - width + 1)))
    part = resized[y : y + height, x : x + width]
    cell = np.full((height, width, 3), PAD, dtype=np.uint8)
    cell[: part.shape[0], : part.shape[1]] = part
    return cell


def compose(random: np.random.Generator, pictures: list[Picture], side_px: int) -> Picture:
    """Return a canvas (side, side, 3) of a random grid of random pictures."""
    cells = int(random.choice(GRIDS, p=GRID_SHARES))
    rows, columns = grid_lines(random, side_px, cells), grid_lines(random, side_px, cells)
    canvas = np.empty((side_px, side_px, 3), dtype=np.uint8)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            picture = pictures[int(random.integers(len(pictures)))]
            canvas[top:bottom, left:right] = fit(random, picture, bottom - top, right - left)
    return canvas
