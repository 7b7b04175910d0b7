"""Which categories of COCO annotations a network's persons are: those with its keypoints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.artifact import KeypointSet

# How unlike a network's keypoints a category's are.
SAME_NAMES, OF_PERSONS, AS_MANY, OTHERS = range(4)


def nearest(categories: Sequence[Mapping[str, Any]], points: KeypointSet) -> list[Mapping[str, Any]]:
    """Return the categories whose keypoints are most like a network's, all that are equally like.

    Empty where no category lists any.
    """
    listed = [category for category in categories if category.get("keypoints")]
    best = min((unlikeness(category, points) for category in listed), default=OTHERS)
    return [category for category in listed if unlikeness(category, points) == best]


def unlikeness(category: Mapping[str, Any], points: KeypointSet) -> int:
    """Tell how unlike the network's a category's keypoints are: SAME_NAMES to OTHERS (of another number)."""
    names = category.get("keypoints")
    # COCO-WholeBody files name the 17 body points only.
    counts = (len(points.keypoints), 17) if points.name == "wholebody133" else (len(points.keypoints),)
    if not isinstance(names, list) or len(names) not in counts:
        return OTHERS
    if [plain(str(name)) for name in names] == [plain(name) for name in points.keypoints[: len(names)]]:
        return SAME_NAMES
    return OF_PERSONS if is_person(category.get("name")) else AS_MANY


def is_person(name: Any) -> bool:
    """Tell whether a category's name is the persons': "Person" is, too, and counts beside "person"."""
    return isinstance(name, str) and name.lower() == "person"


def plain(name: str) -> str:
    """Return a keypoint's name without what spellings differ in: "Left-Wrist" and "LeftWrist" are one."""
    return re.sub(r"[\s_-]+", "", name.lower())
