"""Exact labels of a rendering: keypoints with visibility, boxes, areas; and COCO documents of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.synth.body import BONE, KEYPOINTS
from edgepose.synth.camera import Camera
from edgepose.synth.numeric import FloatArray
from edgepose.synth.render import PosedActor, Rendering

SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10),
    (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip

MIN_VISIBLE_PX = 40

# The surfaces that may cover a keypoint without hiding it, and by how many metres they may stand out of it.
_HEAD = ("head",)
_COVERS: dict[str, tuple[tuple[str, ...], float]] = {
    "nose": (_HEAD, 0.035), "eye": (_HEAD, 0.030), "ear": (_HEAD, 0.075),
    "shoulder": (("upper_arm", "clavicle", "chest", "neck"), 0.125),
    "elbow": (("upper_arm", "forearm"), 0.095), "wrist": (("forearm", "hand"), 0.08),
    "hip": (("thigh", "pelvis", "spine"), 0.215), "knee": (("thigh", "shin", "pelvis"), 0.16),
    "ankle": (("shin", "foot"), 0.12),
}  # fmt: skip


def _cover_tables() -> tuple[NDArray[np.bool_], FloatArray]:
    allowed = np.zeros((len(KEYPOINTS), 256), dtype=np.bool_)
    margins = np.zeros(len(KEYPOINTS))
    for index, keypoint in enumerate(KEYPOINTS):
        side, _, joint = keypoint.rpartition("_")
        names, margins[index] = _COVERS[joint]
        for name in names:
            for bone in (name, f"{name}_{side[:1]}"):
                if bone in BONE:
                    allowed[index, BONE[bone]] = True
    return allowed, margins


_ALLOWED, _MARGINS = _cover_tables()
_MOST_OF_A_PIXEL = 0.02  # m; eyes are 0.064 apart
# A pixel, then its neighbours: rows, columns.
_AROUND = ((0, 0), *((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j))


@dataclass(frozen=True, slots=True)
class PersonLabel:
    """One person in one picture.

    keypoints (17, 3): x, y in pixels (whole numbers at pixel centres) and the visibility flag of COCO: 0 not
    in the picture, 1 hidden, 2 visible. box_xywh is tight around the visible pixels and area_px counts them.
    """

    identity: int
    keypoints: FloatArray
    box_xywh: tuple[float, float, float, float]
    area_px: int


def label(rendering: Rendering, actors: Sequence[PosedActor], camera: Camera) -> list[PersonLabel]:
    """Label the persons of whom at least MIN_VISIBLE_PX pixels can be seen."""
    labels = []
    for number, actor in enumerate(actors):
        mask = rendering.owners == number
        columns = np.flatnonzero(mask.any(axis=0))
        if len(columns) == 0:
            continue
        rows = np.flatnonzero(mask.any(axis=1))
        area = int(np.count_nonzero(mask))
        if area < MIN_VISIBLE_PX:
            continue
        x0, x1, y0, y1 = int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])
        labels.append(
            PersonLabel(
                identity=number,
                keypoints=_keypoints(rendering, actor, number, camera),
                box_xywh=(float(x0), float(y0), float(x1 - x0 + 1), float(y1 - y0 + 1)),
                area_px=area,
            )
        )
    return labels


def _keypoints(rendering: Rendering, actor: PosedActor, number: int, camera: Camera) -> FloatArray:
    height, width = rendering.owners.shape
    xy, depth = camera.project(actor.posture.keypoints)
    x, y = np.floor(xy[:, 0] + 0.5), np.floor(xy[:, 1] + 0.5)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (depth > 0.05)
    xi = np.where(inside, x, 0).astype(np.int64)
    yi = np.where(inside, y, 0).astype(np.int64)
    # A joint at the rim of a small figure may fall beside its pixels by rounding: the margin covers a pixel,
    # too, but not the width of a head.
    pixel = np.minimum(depth / camera.focal_px, _MOST_OF_A_PIXEL)
    margin = _MARGINS * actor.figure.skeleton.scale + pixel
    shows = np.zeros((len(_AROUND), len(KEYPOINTS)), dtype=bool)
    for place, (down, right) in enumerate(_AROUND):
        at = np.clip(yi + down, 0, height - 1), np.clip(xi + right, 0, width - 1)
        surface = 1.0 / np.maximum(rendering.inverse_depth[at].astype(np.float64), 1e-6)
        own = (rendering.owners[at] == number) & _ALLOWED[np.arange(len(KEYPOINTS)), rendering.bones[at]]
        shows[place] = own & (np.abs(depth - surface) <= margin)
        if place == 0:
            is_beside = surface > depth + margin
    # The tip of the nose lies on the outline of a face from the side, where the pixel shows what is behind.
    visible = shows[0] | (is_beside & shows.any(axis=0))
    flags = np.where(inside, np.where(visible, 2.0, 1.0), 0.0)
    out = np.stack([xy[:, 0], xy[:, 1], flags], axis=1)
    out[~inside] = 0.0
    return out


def person_category() -> dict[str, Any]:
    """Return the COCO category of a person."""
    return {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": list(KEYPOINTS),
        "skeleton": [list(pair) for pair in SKELETON],
    }  # fmt: skip


def coco_annotation(
    person: PersonLabel, annotation_id: int, image_id: int, track_id: int | None
) -> dict[str, Any]:
    """Return the COCO annotation of a person; coordinates are rounded to a hundredth of a pixel."""
    flat: list[float | int] = []
    for x, y, flag in person.keypoints.tolist():
        flat += [round(x, 2), round(y, 2), int(flag)]
    annotation: dict[str, Any] = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": list(person.box_xywh),
        "area": float(person.area_px),
        "keypoints": flat,
        "num_keypoints": sum(1 for flag in flat[2::3] if flag),
    }
    if track_id is not None:
        annotation["track_id"] = track_id
    return annotation


def coco_document(seed: int, extra: dict[str, Any]) -> dict[str, Any]:
    """Return a COCO document without pictures that says it is synthetic, and with which seed it was made."""
    info = {
        "description": "Synthetic people rendered by EdgePose",
        "source": "synthetic",
        "seed": seed,
        **extra,
    }
    return {"info": info, "images": [], "annotations": [], "categories": [person_category()]}
