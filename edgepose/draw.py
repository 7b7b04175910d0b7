"""Draw skeletons, boxes and scores on pictures."""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from edgepose.artifact import KeypointSet
from edgepose.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    Floats = NDArray[np.float32]

Color = tuple[int, int, int]  # blue, green, red
ColorBy = Literal["side", "person"]

LEFT: Color = (0, 165, 255)
RIGHT: Color = (255, 160, 30)
MIDDLE: Color = (90, 220, 90)
FACE: Color = (235, 235, 235)
_FINGERS: tuple[tuple[str, Color], ...] = (
    ("thumb", (60, 60, 240)),
    ("fore", (0, 190, 255)),
    ("index", (0, 190, 255)),
    ("middle_finger", (80, 220, 80)),
    ("ring", (255, 170, 40)),
    ("pinky", (230, 80, 220)),
)
_LEFT_NAME = re.compile(r"(^|[_\-\s.])(left|l)([_\-\s.]|$)", re.IGNORECASE)
_RIGHT_NAME = re.compile(r"(^|[_\-\s.])(right|r)([_\-\s.]|$)", re.IGNORECASE)
_FINE_NAME = re.compile(r"face|kpt-|hand|thumb|finger|pinky", re.IGNORECASE)
_MANY_POINTS = 40
_SUBPIXEL_BITS = 3
_MAX_COORDINATE_PX = 1 << 20  # beyond it, fixed-point drawing coordinates could overflow


@dataclass(frozen=True, slots=True)
class _Style:
    """Colours of the points and limbs of a set, and which of them are small parts drawn thin."""

    point_colors: tuple[Color, ...]
    limb_colors: tuple[Color, ...]
    fine: tuple[bool, ...]


def draw_poses(
    image: Image,
    keypoints: Floats,
    points: KeypointSet,
    *,
    keypoint_threshold: float,
    boxes: Floats | None = None,
    track_ids: Sequence[int] | None = None,
    color_by: ColorBy = "side",
) -> Image:
    """Return a copy of a BGR picture with the persons drawn on it.

    keypoints (N, K, 3): x px, y px, score; boxes (N, 5): x1 y1 x2 y2 px, score. A point whose score is below
    keypoint_threshold or 0, and a limb that ends in one, is not drawn. Lines get thicker with the person. A
    track id below 0 means none. Raises UsageError when K is not the number of points of the set.
    """
    if keypoints.shape[0] and keypoints.shape[1] != len(points.keypoints):
        raise UsageError(
            f"{keypoints.shape[1]} keypoints were given, but {points.name!r} has {len(points.keypoints)}"
        )
    canvas: Image = image.copy()
    ids = [-1] * len(keypoints) if track_ids is None else [int(track_id) for track_id in track_ids]
    # Ids are 0 and above: who has none among others with ids has no colour of theirs.
    first, step = (-1, -1) if any(track_id >= 0 for track_id in ids) else (0, 1)
    numbers = [track_id if track_id >= 0 else first + step * index for index, track_id in enumerate(ids)]
    colors = [person_color(number) for number in numbers]
    extents = boxes if boxes is not None else [_extent(person, keypoint_threshold) for person in keypoints]
    widths = [_thickness(extent) for extent in extents]
    if boxes is not None:  # all of them first, so that no label covers a skeleton
        for box, color, track_id, width in zip(boxes, colors, ids, widths, strict=True):
            draw_box(canvas, box, color=color, label=_label(float(box[4]), track_id), thickness=width)
    for person, color, width in zip(keypoints, colors, widths, strict=True):
        _draw_person(
            canvas, person, points, keypoint_threshold, width, color if color_by == "person" else None
        )
    return canvas


def draw_box(image: Image, box: Floats, *, color: Color, label: str = "", thickness: int = 1) -> None:
    """Draw one box (x1 y1 x2 y2 px, ...) and its label into the picture itself."""
    cv2 = _cv2()
    if not _drawable(*box[:4]):
        return
    x1, y1, x2, y2 = (round(float(v)) for v in box[:4])
    cv2.rectangle(image, (x1, y1), (x2, y2), color, max(1, thickness // 2))
    if not label:
        return
    font, font_scale = cv2.FONT_HERSHEY_SIMPLEX, min(0.9, 0.27 + 0.08 * thickness)
    (width, height), _ = cv2.getTextSize(label, font, font_scale, 1)
    left = max(0, min(x1, image.shape[1] - width - 4))
    bottom = y1 if y1 >= height + 6 else min(image.shape[0], max(y1, 0) + height + 6)
    cv2.rectangle(image, (left, bottom - height - 6), (left + width + 4, bottom), color, -1)
    cv2.putText(image, label, (left + 2, bottom - 3), font, font_scale, (20, 20, 20), 1, cv2.LINE_AA)


def person_color(number: int) -> Color:
    """Return a colour for a person or track; neighbouring numbers differ clearly."""
    hue = (number * 0.618034 + 0.08) % 1.0  # the golden ratio spreads any count of hues evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_person(
    image: Image,
    person: Floats,
    points: KeypointSet,
    threshold: float,
    thickness: int,
    color: Color | None,
) -> None:
    cv2 = _cv2()
    style = _style(points)
    fine_thickness = max(1, thickness // 3)
    unit = 1 << _SUBPIXEL_BITS
    places: list[tuple[int, int] | None] = [
        (round(float(x) * unit), round(float(y) * unit)) if seen and _drawable(x, y) else None
        for (x, y, _), seen in zip(person, _seen(person, threshold), strict=True)
    ]
    for (start, end), limb_color in zip(points.skeleton, style.limb_colors, strict=True):
        from_place, to_place = places[start], places[end]
        if from_place is None or to_place is None:
            continue
        width = fine_thickness if style.fine[start] and style.fine[end] else thickness
        cv2.line(image, from_place, to_place, color or limb_color, width, cv2.LINE_AA, _SUBPIXEL_BITS)
    for place, point_color, fine in zip(places, style.point_colors, style.fine, strict=True):
        if place is None:
            continue
        radius = unit * fine_thickness if fine else unit * (thickness + 1)
        if not fine and thickness > 1:
            cv2.circle(image, place, radius + unit, (30, 30, 30), -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.circle(image, place, radius, color or point_color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


@lru_cache(maxsize=32)
def _style(points: KeypointSet) -> _Style:
    count = len(points.keypoints)
    fine = tuple(count > _MANY_POINTS and bool(_FINE_NAME.search(name)) for name in points.keypoints)
    colors = tuple(_point_color(name) for name in points.keypoints)
    limbs = tuple(_limb_color(colors[start], colors[end]) for start, end in points.skeleton)
    return _Style(colors, limbs, fine)


def _point_color(name: str) -> Color:
    for finger, color in _FINGERS:
        if finger in name.lower():
            return color
    if _LEFT_NAME.search(name):
        return LEFT
    if _RIGHT_NAME.search(name):
        return RIGHT
    return FACE if name.startswith(("face", "kpt-")) else MIDDLE


def _limb_color(start: Color, end: Color) -> Color:
    if start == end:
        return start
    fingers = {color for _, color in _FINGERS}
    if end in fingers:
        return end
    if {start, end} == {LEFT, RIGHT}:
        return MIDDLE
    return start if start in (LEFT, RIGHT) else end


def _thickness(box: Any) -> int:
    side_px = math.sqrt(max(0.0, float(box[2] - box[0])) * max(0.0, float(box[3] - box[1])))
    return max(1, min(8, round(side_px / 100))) if math.isfinite(side_px) else 1


def _seen(person: Floats, threshold: float) -> Any:
    """Tell which points are there: a score of 0 is that of a missing one."""
    return (person[:, 2] > 0) & (person[:, 2] >= threshold)


def _extent(person: Floats, threshold: float) -> Any:
    seen = person[_seen(person, threshold), :2]
    if not len(seen):
        return (0.0, 0.0, 0.0, 0.0)
    return (*seen.min(axis=0), *seen.max(axis=0))


def _label(score: float, track_id: int) -> str:
    return f"#{track_id} {score:.2f}" if track_id >= 0 else f"{score:.2f}"


def _drawable(*coordinates: Any) -> bool:
    return all(math.isfinite(v) and abs(v) < _MAX_COORDINATE_PX for v in coordinates)


def _cv2() -> Any:
    import cv2

    return cv2
