"""Training pictures: photographs with keypoints and synthetic scenes, in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.media import read_picture

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

_TEACHER_FLOOR = 0.3
_TEACHER_TRUST = 0.5


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a picture: keypoints (17, 3: x px, y px, weight 0 to 1) and box (x, y, w, h px).

    outline (H, W) uint8, where it is known: 255 where the picture shows the person.
    """

    picture: int
    keypoints: Floats
    box_xywh: Floats
    outline: Picture | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Pictures (H, W, 3) uint8 B, G, R and the persons in them with labels."""

    pictures: list[Picture]
    persons: list[Person]


def merge_labels(human: Floats, teacher: Floats) -> Floats:
    """Return the training labels from the checked human ones and another network's, both (17, 3).

    Where a joint has both, the mean of the two: the human's are noisy, and the network's follow COCO's idea
    of a hip or an ankle. Where it has only the network's, that at a reduced weight.
    """
    merged = human.astype(np.float32)
    labelled, answered = human[:, 2] > 0, teacher[:, 2] > _TEACHER_FLOOR
    both, alone = labelled & answered, ~labelled & answered
    merged[both, :2] = (human[both, :2] + teacher[both, :2]) / 2
    merged[labelled, 2] = np.clip(human[labelled, 2], 0.5, 1.0)
    merged[alone] = teacher[alone] * np.array([1.0, 1.0, _TEACHER_TRUST], dtype=np.float32)
    merged[alone, 2] = np.clip(merged[alone, 2], 0.0, _TEACHER_TRUST)
    return np.asarray(merged, dtype=np.float32)


def read_photographs(folder: Path) -> Source:
    """Read images.bin and labels.npz (the layout stands in training/README.md)."""
    with np.load(folder / "labels.npz") as labels:
        offsets, boxes = labels["offsets"], labels["boxes_xywh"]
        keypoints = [
            merge_labels(h, t) for h, t in zip(labels["keypoints"], labels["teacher_keypoints"], strict=True)
        ]
    stored = np.fromfile(folder / "images.bin", dtype=np.uint8)
    pictures = [
        np.asarray(cv2.imdecode(stored[a:b], cv2.IMREAD_COLOR), dtype=np.uint8)
        for a, b in pairwise(offsets.tolist())
    ]
    persons = [Person(n, points, boxes[n]) for n, points in enumerate(keypoints) if np.any(points[:, 2] > 0)]
    return Source(pictures, persons)


def read_synthetic(folders: Sequence[Path], *, min_side_px: float = 24.0, min_visible: int = 5) -> Source:
    """Read folders made by `edgepose synth`. Persons that are small or hardly to be seen carry no labels.

    A hidden joint (COCO's flag 1) has the weight 0.5.
    """
    source = Source([], [])
    for folder in folders:
        document = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
        numbers = {}
        for image in document["images"]:
            numbers[image["id"]] = len(source.pictures)
            source.pictures.append(read_picture(folder / image["file_name"]))
        for person in document["annotations"]:
            points = np.array(person["keypoints"], dtype=np.float32).reshape(-1, 3)
            points[:, 2] /= 2
            box = np.array(person["bbox"], dtype=np.float32)
            if min(box[2:]) >= min_side_px and np.count_nonzero(points[:, 2] == 1.0) >= min_visible:
                source.persons.append(Person(numbers[person["image_id"]], points, box))
    return source


def by_picture(source: Source) -> list[list[Person]]:
    """Return the persons of every picture."""
    people: list[list[Person]] = [[] for _ in source.pictures]
    for person in source.persons:
        people[person.picture].append(person)
    return people
