"""Another person close by: in photographs of crowds the box of one person shows parts of the next one."""

from __future__ import annotations

import cv2
import numpy as np

from training.crop import INPUT_HW, Floats, Picture, View, cut, view_of_box


def beside(
    random: np.random.Generator, crop: Picture, keypoints: Floats, other: Picture, other_box_xywh: Floats
) -> tuple[Picture, Floats]:
    """Return the crop with the person of another picture at its left or right, and the keypoints.

    A slanted line between both persons parts the two pictures. Keypoints (17, 3: input px, weight) behind it
    are hidden: half their weight.
    """
    height, width = INPUT_HW
    side = -1.0 if random.random() < 0.5 else 1.0
    offset_px = side * random.uniform(0.35, 0.85) * width
    base = view_of_box(other_box_xywh)
    size_px = base.height_px * float(np.exp(random.normal(0.0, 0.2)))
    shift = np.array([-offset_px, random.normal(0.0, 0.08) * height]) * size_px / height
    view = View((base.centre[0] + float(shift[0]), base.centre[1] + float(shift[1])), size_px)
    line_px = width / 2 + offset_px * random.uniform(0.35, 0.65)
    slant = np.tan(np.deg2rad(random.normal(0.0, 12.0)))
    ends = [line_px - slant * height / 2, line_px + slant * height / 2]
    border = width * 3 if side > 0 else -2 * width
    hidden = np.zeros((height, width), dtype=np.uint8)
    corners = np.array([[ends[0], 0], [ends[1], height], [border, height], [border, 0]])
    cv2.fillPoly(hidden, [np.rint(corners).astype(np.int32)], 1)
    shown = np.where(hidden[..., None] != 0, cut(other, view), crop)
    changed = keypoints.copy()
    edge = ends[0] + (ends[1] - ends[0]) * changed[:, 1] / height
    changed[(changed[:, 0] - edge) * side > 0, 2] *= 0.5
    return np.asarray(shown, dtype=np.uint8), changed
