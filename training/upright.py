"""Turning persons upright.

In half of the photographs, which show sports, the torso leans by more than 30 degrees; elsewhere few do.
"""

from __future__ import annotations

import cv2
import numpy as np

from training.crop import Floats, Picture

SHOULDERS, HIPS = [5, 6], [11, 12]
# Persons who lean less stay as they are; the others stand with this deviation afterwards.
LEANING_DEGREES, DEVIATION_DEGREES = 25.0, 15.0


def lean_degrees(keypoints: Floats) -> float | None:
    """Return by how much the torso leans to the picture's right, -180 to 180; None where not known."""
    ends = []
    for pair in (SHOULDERS, HIPS):
        known = keypoints[pair][keypoints[pair][:, 2] > 0, :2]
        if not len(known):
            return None
        ends.append(known.mean(axis=0))
    x, y = ends[0] - ends[1]
    return float(np.rad2deg(np.arctan2(x, -y)))


def stand_up(
    random: np.random.Generator, picture: Picture, box_xywh: Floats, keypoints: Floats
) -> tuple[Picture, Floats, Floats]:
    """Turn the picture so that a leaning person stands; return it with the new box and keypoints (17, 3).

    The new picture reaches about a person's size beyond the box; what the old one does not show is mirrored.
    """
    lean = lean_degrees(keypoints)
    known = keypoints[:, 2] > 0
    if lean is None or abs(lean) < LEANING_DEGREES or np.count_nonzero(known) < 4:
        return picture, box_xywh, keypoints
    turn = np.deg2rad(-lean + random.normal(0.0, DEVIATION_DEGREES))
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    low, high = keypoints[known, :2].min(axis=0), keypoints[known, :2].max(axis=0)
    margin = max(0.0, float((box_xywh[2:] - (high - low)).mean()) / 2)
    turned = keypoints[known, :2] @ linear.T
    corner = turned.min(axis=0) - margin
    size = turned.max(axis=0) + margin - corner
    beyond = float(size.max())
    matrix = np.column_stack([linear, beyond - corner])
    width, height = (int(side) for side in np.ceil(size + 2 * beyond))
    shown = cv2.warpAffine(
        picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    moved = keypoints.copy()
    moved[:, :2] = keypoints[:, :2] @ linear.T + matrix[:, 2]
    return np.asarray(shown, dtype=np.uint8), np.array([beyond, beyond, *size], dtype=np.float32), moved
