"""Which categories of COCO annotations a network's persons are: those with its keypoints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgepose.artifact import KeypointSet
from edgepose.skeletons import KEYPOINT_SETS

# A person's points name two of the first or more: bottles have shoulders, too, and pipes elbows. An animal's
# name one of the second.
_PERSON_POINT = re.compile("(?:left|right|[lr])?(shoulder|elbow|hip|knee|ankle)")
_ANIMAL_POINTS = {"paw", "forepaw", "hindpaw", "hoof", "tail", "tailbase", "wing", "beak", "snout", "withers"}
_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NUMBERED_POINT = "point_"  # as skeletons.numbered_points names what is not known

# How unlike a network's keypoints a category's are.
SAME_NAMES, OF_PERSONS, AS_MANY, WITH_MORE, OTHERS = range(5)


def nearest(categories: Sequence[Mapping[str, Any]], points: KeypointSet) -> list[Mapping[str, Any]]:
    """Return the categories whose keypoints are most like a network's, all that are equally like.

    Empty where no category lists any.
    """
    listed = [category for category in categories if category.get("keypoints")]
    best = min((unlikeness(category, points) for category in listed), default=OTHERS)
    return [category for category in listed if unlikeness(category, points) == best]


def unlikeness(category: Mapping[str, Any], points: KeypointSet) -> int:
    """Tell how unlike the network's a category's keypoints are: SAME_NAMES to OTHERS (of another number).

    WITH_MORE names the network's first, and others after them, as Human-Art does.
    """
    names = category.get("keypoints")
    # COCO-WholeBody files name the 17 body points only.
    counts = (len(points.keypoints), 17) if is_whole_body(points) else (len(points.keypoints),)
    if not isinstance(names, list):
        return OTHERS
    own = [plain(name) for name in points.keypoints]
    named = [plain(str(name)) for name in names]
    if len(names) not in counts:
        return WITH_MORE if named[: len(own)] == own else OTHERS
    if named == own[: len(named)]:
        return SAME_NAMES
    return OF_PERSONS if is_person(category.get("name")) else AS_MANY


def is_person(name: Any) -> bool:
    """Tell whether a category's name is the persons': "Person" is, too, and counts beside "person"."""
    return isinstance(name, str) and name.lower() == "person"


def is_whole_body(points: KeypointSet) -> bool:
    """Tell whether keypoints are COCO-WholeBody's 133, whatever their set is called."""
    whole = KEYPOINT_SETS["wholebody133"].keypoints
    return len(points.keypoints) == len(whole) and [*map(plain, points.keypoints)] == [*map(plain, whole)]


def are_numbered(points: KeypointSet) -> bool:
    """Tell whether nobody named the keypoints, whoever's they are."""
    return all(name.casefold().startswith(_NUMBERED_POINT) for name in points.keypoints)


def of_no_person(points: KeypointSet) -> bool:
    """Tell by their names whether keypoints are those of an animal, a hand, a face or a thing."""
    if are_numbered(points):
        return False
    words = {word.casefold() for name in points.keypoints for word in _WORD.findall(name)}
    if words & _ANIMAL_POINTS:
        return True
    return len({found[1] for found in map(_PERSON_POINT.fullmatch, words) if found}) < 2


def plain(name: str) -> str:
    """Return a keypoint's name without what spellings differ in: "Left-Wrist" and "LeftWrist" are one."""
    return re.sub(r"[\s_-]+", "", name.lower())
