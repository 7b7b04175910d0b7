"""The geometry and the looks of a training crop: one random similarity from the picture to the input."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

INPUT_HW = (256, 192)
BOX_PADDING = 1.25
FLIP_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
FLIP_ORDER = [0, *(b for pair in FLIP_PAIRS for b in reversed(pair))]
UPPER = [*range(11)]
LOWER = [*range(11, 17)]


@dataclass(frozen=True, slots=True)
class View:
    """What the input shows of the picture: centre and height in picture pixels, turn and mirroring."""

    centre: tuple[float, float]
    height_px: float
    turn_degrees: float = 0.0
    mirrored: bool = False


def view_of_box(box_xywh: Floats) -> View:
    """Return the view that the runtime takes of a person's box: padded, and widened to the input's aspect."""
    x, y, w, h = (float(v) for v in box_xywh)
    aspect = INPUT_HW[1] / INPUT_HW[0]
    return View((x + w / 2, y + h / 2), max(h, w / aspect) * BOX_PADDING)


def random_view(
    random: np.random.Generator, box_xywh: Floats, keypoints: Floats, spread: float = 1.0
) -> View:
    """Draw a view: sometimes of half a body only; mirrored, and as far off as `spread` says.

    At 1 it is shifted by 6 % of its height, scaled by 20 % and in half of the cases turned by 18 degrees,
    as deviations.
    """
    base = view_of_box(box_xywh)
    if random.random() < 0.2:
        half = _half_body_box(random, keypoints)
        base = view_of_box(half) if half is not None else base
    shift = np.clip(random.normal(0, 0.06, 2), -0.16, 0.16) * spread * base.height_px
    return View(
        centre=(base.centre[0] + float(shift[0]), base.centre[1] + float(shift[1])),
        height_px=base.height_px * float(np.clip(np.exp(spread * random.normal(0, 0.2)), 0.65, 1.5)),
        turn_degrees=float(np.clip(random.normal(0, 18), -60, 60)) * spread if random.random() < 0.5 else 0.0,
        mirrored=bool(random.random() < 0.5),
    )


def _half_body_box(random: np.random.Generator, keypoints: Floats) -> Floats | None:
    """Return a box around the upper or lower body, None where too few of its points are known."""
    chosen = UPPER if random.random() < 0.7 else LOWER
    points = keypoints[chosen]
    points = points[points[:, 2] > 0, :2]
    if len(points) < 4:
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    side = np.maximum(high - low, 16.0)
    return np.array([*(low - 0.1 * side), *(1.2 * side)], dtype=np.float32)


def matrix_of(view: View) -> NDArray[np.float64]:
    """Return the 2x3 matrix from picture to input pixels."""
    height, width = INPUT_HW
    scale = height / view.height_px
    angle = np.deg2rad(view.turn_degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if view.mirrored:
        linear = np.diag([-1.0, 1.0]) @ linear
    offset = np.array([width / 2, height / 2]) - linear @ np.array(view.centre)
    return np.column_stack([linear, offset])


def move_keypoints(keypoints: Floats, view: View) -> Floats:
    """Return the keypoints in input pixels; mirrored ones change sides, those outside lose their weight."""
    matrix = matrix_of(view)
    moved = keypoints.copy()
    moved[:, :2] = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    if view.mirrored:
        moved = moved[FLIP_ORDER]
    height, width = INPUT_HW
    inside = (moved[:, 0] >= 0) & (moved[:, 0] < width) & (moved[:, 1] >= 0) & (moved[:, 1] < height)
    moved[~inside, 2] = 0.0
    return np.asarray(moved, dtype=np.float32)


def cut(picture: Picture, view: View) -> Picture:
    """Return the input (256, 192, 3), black outside the picture."""
    height, width = INPUT_HW
    crop = cv2.warpAffine(picture, matrix_of(view), (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(crop, dtype=np.uint8)


def recolour(random: np.random.Generator, crop: Picture) -> Picture:
    """Change contrast, brightness, colour balance and sharpness, now and then to grey or to poor light."""
    if random.random() < 0.7:
        gain = np.exp(random.normal(0, 0.2)) * np.exp(random.normal(0, 0.07, 3))
        table = np.clip(np.arange(256)[:, None] * gain + random.normal(0, 14), 0, 255)
        table[0] = 0  # what is beyond the picture stays black
        crop = np.asarray(cv2.LUT(crop, table.astype(np.uint8)[None]), dtype=np.uint8)
    if random.random() < 0.25:
        # Dim rooms, back light, haze: what is left between a black that is grey and a white that is dark.
        black = float(random.uniform(0, 80)) if random.random() < 0.5 else 0.0
        span = float(random.uniform(60, 255 - black))
        curve = black + span * (np.arange(256) / 255) ** float(np.exp(random.normal(0, 0.45)))
        curve[0] = 0
        crop = np.asarray(cv2.LUT(crop, curve.astype(np.uint8)), dtype=np.uint8)
    if random.random() < 0.1:
        crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[:, :, None], 3, axis=2)
    if random.random() < 0.15:
        crop = np.asarray(cv2.blur(crop, (3, 3)), dtype=np.uint8)
    return crop


def coarsen(random: np.random.Generator, crop: Picture) -> Picture:
    """Show the person as if it had been small in its picture: fewer pixels, enlarged again."""
    height, width = crop.shape[:2]
    factor = float(random.uniform(1.5, 5.0))
    small = cv2.resize(crop, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def cover(random: np.random.Generator, crop: Picture, other: Picture) -> None:
    """Hide a part of the crop, in place, behind a piece of another one: people are rarely seen whole."""
    height, width = INPUT_HW
    h, w = int(random.uniform(0.1, 0.4) * height), int(random.uniform(0.15, 0.5) * width)
    y, x = int(random.integers(0, height - h)), int(random.integers(0, width - w))
    v, u = int(random.integers(0, height - h)), int(random.integers(0, width - w))
    crop[y : y + h, x : x + w] = other[v : v + h, u : u + w]
