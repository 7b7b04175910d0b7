"""Pictures for networks that see a whole scene: several training pictures on one canvas, for many sizes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from training.crop import FLIP_ORDER
from training.sources import Floats, Person, Picture

PAD = 114  # what the runtime's letterbox fills with
GRIDS = (1, 2, 3, 4)
GRID_SHARES = (0.30, 0.35, 0.25, 0.10)
LEAST_SEEN = 0.5  # of a person's box, and
LEAST_SIDE_PX = 14.0  # on the canvas, or the person is not labelled


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture is on the canvas: its number, the scales of x (below 0: mirrored) and y, the offset.

    A point p of the picture is at p * scale + offset, px; what lies outside `cell` (x1 y1 x2 y2) is cut off.
    """

    picture: int
    scale_xy: tuple[float, float]
    offset_xy: tuple[float, float]
    cell: tuple[int, int, int, int]


def grid_lines(random: np.random.Generator, side_px: int, cells: int) -> list[int]:
    """Return where a side of the canvas is cut into cells, ends included; no cell is under half the mean."""
    mean = side_px / cells
    inner = [mean * n + random.uniform(-0.25, 0.25) * mean for n in range(1, cells)]
    return [0, *(round(line) for line in inner), side_px]


def fit(
    random: np.random.Generator, picture: Picture, height: int, width: int
) -> tuple[Picture, tuple[float, float], tuple[float, float]]:
    """Return a cell, with the whole picture and a grey rest or full of a part, its scales and offset."""
    picture_h, picture_w = picture.shape[:2]
    scales = (height / picture_h, width / picture_w)
    scale = min(scales) if random.random() < 0.5 else max(scales) * random.uniform(1.0, 1.5)
    size = (max(1, round(picture_w * scale)), max(1, round(picture_h * scale)))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mirrored = random.random() < 0.5
    if mirrored:
        resized = resized[:, ::-1]
    y = int(random.integers(0, max(1, resized.shape[0] - height + 1)))
    x = int(random.integers(0, max(1, resized.shape[1] - width + 1)))
    part = resized[y : y + height, x : x + width]
    cell = np.full((height, width, 3), PAD, dtype=np.uint8)
    cell[: part.shape[0], : part.shape[1]] = part
    # Whole numbers are the middles of pixels, in the picture and on the canvas.
    across, down = size[0] / picture_w, size[1] / picture_h
    offset_xy = ((across - 1) / 2 - x, (down - 1) / 2 - y)
    if not mirrored:
        return cell, (across, down), offset_xy
    return cell, (-across, down), (size[0] - 1 - (across - 1) / 2 - x, offset_xy[1])


def compose(
    random: np.random.Generator, pictures: list[Picture], side_px: int
) -> tuple[Picture, list[Placement]]:
    """Return a canvas (side, side, 3) of a random grid of random pictures, and where they are."""
    cells = int(random.choice(GRIDS, p=GRID_SHARES))
    rows, columns = grid_lines(random, side_px, cells), grid_lines(random, side_px, cells)
    canvas = np.empty((side_px, side_px, 3), dtype=np.uint8)
    placements = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            number = int(random.integers(len(pictures)))
            cell, scale, offset = fit(random, pictures[number], bottom - top, right - left)
            canvas[top:bottom, left:right] = cell
            placements.append(
                Placement(number, scale, (offset[0] + left, offset[1] + top), (left, top, right, bottom))
            )
    return canvas, placements


def place(person: Person, where: Placement) -> tuple[Floats, Floats] | None:
    """Return a person's box x1 y1 x2 y2 and keypoints on the canvas; None where most of it is cut off."""
    scale, offset = np.array(where.scale_xy), np.array(where.offset_xy)
    x, y, w, h = person.box_xywh
    # Edges of boxes lie between pixels, points in their middles.
    corners = np.sort(np.array([[x, y], [x + w, y + h]]) * scale + offset + (1 - scale) / 2, axis=0)
    low, high = np.array(where.cell[:2]), np.array(where.cell[2:])
    kept = np.clip(corners, low, high)
    seen = np.prod(kept[1] - kept[0])
    if seen < LEAST_SEEN * np.prod(corners[1] - corners[0]) or seen < LEAST_SIDE_PX**2:
        return None
    points = person.keypoints.copy()
    points[:, :2] = points[:, :2] * scale + offset
    if where.scale_xy[0] < 0:
        points = points[FLIP_ORDER]
    points[((points[:, :2] < low) | (points[:, :2] >= high)).any(axis=1), 2] = 0.0
    return kept.ravel().astype(np.float32), np.asarray(points, dtype=np.float32)


def labelled(people: list[list[Person]], placements: list[Placement]) -> list[tuple[Floats, Floats]]:
    """Return what `place` gives for the persons of the placed pictures, who are listed by picture."""
    placed = (place(person, where) for where in placements for person in people[where.picture])
    return [labels for labels in placed if labels is not None]
