"""Another person close by: in photographs of crowds the box of one person shows parts of the next one."""

from __future__ import annotations

import cv2
import numpy as np

from training.crop import INPUT_HW, Floats, Picture, View, cut, view_of_box
from training.cutouts import blended


def beside(
    random: np.random.Generator,
    crop: Picture,
    keypoints: Floats,
    other: Picture,
    other_box_xywh: Floats,
    outline: Picture | None = None,
) -> tuple[Picture, Floats]:
    """Return the crop with the person of another picture at its left or right, and the keypoints.

    With the other person's outline (H, W) they stand in front; else a slanted line between both persons parts
    the two pictures. Keypoints (17, 3: input px, weight) behind are hidden: half their weight.
    """
    height, width = INPUT_HW
    side = -1.0 if random.random() < 0.5 else 1.0
    # Who is cut out hides no more than themselves, and may come closer.
    offset_px = side * random.uniform(0.35, 0.85) * width * (1.0 if outline is None else 0.8)
    base = view_of_box(other_box_xywh)
    size_px = base.height_px * float(np.exp(random.normal(0.0, 0.2)))
    shift = np.array([-offset_px, random.normal(0.0, 0.08) * height]) * size_px / height
    view = View((base.centre[0] + float(shift[0]), base.centre[1] + float(shift[1])), size_px)
    hidden = _beyond_a_line(random, offset_px) if outline is None else cut(outline, view)
    changed = keypoints.copy()
    at = np.clip(np.rint(changed[:, :2]).astype(np.int64), 0, (width - 1, height - 1))
    changed[hidden[at[:, 1], at[:, 0]] > 127, 2] *= 0.5
    return blended(cut(other, view), crop, hidden), changed


def _beyond_a_line(random: np.random.Generator, offset_px: float) -> Picture:
    """Return what of the input, (H, W) 0 or 255, lies beyond a line on the way to the other person."""
    height, width = INPUT_HW
    line_px = width / 2 + offset_px * random.uniform(0.35, 0.65)
    slant = np.tan(np.deg2rad(random.normal(0.0, 12.0)))
    ends = [line_px - slant * height / 2, line_px + slant * height / 2]
    border = width * 3 if offset_px > 0 else -2 * width
    hidden = np.zeros((height, width), dtype=np.uint8)
    corners = np.array([[ends[0], 0], [ends[1], height], [border, height], [border, 0]])
    cv2.fillPoly(hidden, [np.rint(corners).astype(np.int32)], 255)
    return hidden
