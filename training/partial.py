"""Persons of whom a part is seen: the photographs show people whole, those of COCO mostly are not.

Keypoints outside the part keep their weight only where the picture still shows them, and a part of it where
a thing in front hides them close by: COCO labels the hips of who sits at a table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.crop import Floats, Picture

MIN_POINTS = 2
SIDES = ("bottom", "left", "right", "top")
SIDE_SHARES = (0.6, 0.15, 0.15, 0.1)
# Keypoints that are seen without the others in close views and behind things.
GROUPS = (
    [*range(5)],
    [*range(7)],
    [*range(11)],
    [5, 7, 9],
    [6, 8, 10],
    [*range(5, 13)],
    [*range(11, 17)],
    [*range(13, 17)],
)
GROUP_SHARES = (0.15, 0.25, 0.25, 0.04, 0.04, 0.1, 0.1, 0.07)
# Shares of what surrounds the part: nothing, another picture; else the picture goes on.
ENDED, HIDDEN = 0.45, 0.3
# Hidden keypoints within this share of the part's larger side have this share of their weight.
CLOSE_BY, HIDDEN_WEIGHT = 0.35, 0.5


def partly_seen(
    random: np.random.Generator, picture: Picture, box_xywh: Floats, keypoints: Floats, other: Picture
) -> tuple[Picture, Floats, Floats]:
    """Show a part of a person: the picture ends around it, or a piece of another one hides the rest.

    Nothing is changed where fewer than two known keypoints would stay.
    """
    cut = _rectangle(random, box_xywh, keypoints)
    if cut is None:
        return picture, box_xywh, keypoints
    part, sides = cut
    inside = _inside(keypoints, part)
    if np.count_nonzero(inside & (keypoints[:, 2] > 0)) < MIN_POINTS:
        return picture, box_xywh, keypoints
    x1, y1, x2, y2 = part
    box = np.array([x1, y1, x2 - x1, y2 - y1], dtype=np.float32)
    draw = random.random()
    if draw >= ENDED + HIDDEN:
        return picture, box, keypoints
    height, width = picture.shape[:2]
    left = min(max(0, round(x1)), width) if "left" in sides else 0
    top = min(max(0, round(y1)), height) if "top" in sides else 0
    right = max(left, min(width, round(x2))) if "right" in sides else width
    bottom = max(top, min(height, round(y2))) if "bottom" in sides else height
    shown = np.zeros_like(picture) if draw < ENDED else _spread(other, height, width)
    shown[top:bottom, left:right] = picture[top:bottom, left:right]
    left_over = keypoints.copy()
    left_over[~_inside(keypoints, (left, top, right, bottom)), 2] = 0.0
    if draw >= ENDED:
        reach = CLOSE_BY * max(x2 - x1, y2 - y1)
        # What lies beyond the picture itself nobody labels.
        around = max(x1 - reach, 0), max(y1 - reach, 0), min(x2 + reach, width), min(y2 + reach, height)
        guessed = (left_over[:, 2] == 0) & _inside(keypoints, around)
        left_over[guessed, 2] = HIDDEN_WEIGHT * keypoints[guessed, 2]
    return shown, box, left_over


def _rectangle(
    random: np.random.Generator, box_xywh: Floats, keypoints: Floats
) -> tuple[tuple[float, float, float, float], set[str]] | None:
    """Draw the part, x1 y1 x2 y2 px, and the sides at which the person goes on."""
    x, y, w, h = (float(v) for v in box_xywh)
    if random.random() < 0.45:
        group = keypoints[GROUPS[int(random.choice(len(GROUPS), p=GROUP_SHARES))]]
        points = group[group[:, 2] > 0, :2]
        if len(points) < MIN_POINTS:
            return None
        low, high = points.min(axis=0), points.max(axis=0)
        margin = random.uniform(0.05, 0.5, 4) * max(float((high - low).max()), 8.0)
        edges = (low[0] - margin[0], low[1] - margin[1], high[0] + margin[2], high[1] + margin[3])
        x1, y1 = max(x, float(edges[0])), max(y, float(edges[1]))
        x2, y2 = min(x + w, float(edges[2])), min(y + h, float(edges[3]))
        sides = {"left"} if x1 > x else set()
        sides |= {"top"} if y1 > y else set()
        sides |= {"right"} if x2 < x + w else set()
        sides |= {"bottom"} if y2 < y + h else set()
        return ((x1, y1, x2, y2), sides) if sides and min(x2 - x1, y2 - y1) >= 4 else None
    x1, y1, x2, y2 = x, y, x + w, y + h
    number = 2 if random.random() < 0.3 else 1
    sides = set(random.choice(SIDES, number, replace=False, p=SIDE_SHARES).tolist())
    for side in sides:
        kept = float(random.uniform(0.25 if number == 1 else 0.5, 0.85))
        if side == "bottom":
            y2 = y + kept * h
        elif side == "top":
            y1 = y + (1 - kept) * h
        elif side == "right":
            x2 = x + kept * w
        else:
            x1 = x + (1 - kept) * w
    return None if min(x2 - x1, y2 - y1) < 4 else ((x1, y1, x2, y2), sides)


def _inside(keypoints: Floats, rectangle: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    places = keypoints[:, :2]
    return np.asarray((places >= rectangle[:2]).all(axis=1) & (places < rectangle[2:]).all(axis=1))


def _spread(picture: Picture, height: int, width: int) -> Picture:
    """Return the picture repeated to a size."""
    rows, columns = -(-height // picture.shape[0]), -(-width // picture.shape[1])
    return np.array(np.tile(picture, (rows, columns, 1))[:height, :width], dtype=np.uint8)
