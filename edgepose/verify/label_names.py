"""Whether the keypoints that a category of the labels names are the network's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgepose import log
from edgepose.artifact import KeypointSet
from edgepose.categories import WITH_MORE, is_whole_body, plain, unlikeness
from edgepose.errors import UsageError


def check_names(path: Path, category: Mapping[str, Any], points: KeypointSet) -> None:
    """Warn of keypoints whose names the network does not have: they are taken in order.

    Errors: UsageError where they are in another order, or of another number.
    """
    if not isinstance(category["keypoints"], list):
        raise UsageError(
            f"{path}: keypoints of the category {category['id']!r} is no list of names",
            hint="name the keypoints in their order",
        )
    if unlikeness(category, points) == WITH_MORE:  # whose annotations must hold the network's alone
        return
    names = [str(name) for name in category["keypoints"]]
    # COCO-WholeBody files name the 17 body points only; the others are in members of their own.
    whole = is_whole_body(points) and len(names) == 17
    if len(names) != len(points.keypoints) and not whole:
        raise UsageError(
            f"{path}: labels {len(names)} keypoints, the network finds {len(points.keypoints)} "
            f"({points.name})",
            hint="give data that is labelled with the network's own keypoints",
        )
    places = [_place(name, index, points.keypoints) for index, name in enumerate(names)]
    for index, name in enumerate(names):
        if places[index] not in (None, index):
            raise UsageError(
                f"{path}: has the network's keypoints in another order (first at {name!r})",
                hint="reorder the labels; only where the bundle's names were assumed, convert with "
                "--keypoints FILE in the labels' order",
            )
    unknown = [index for index, found in enumerate(places) if found is None]
    if unknown:
        first = unknown[0]
        more = f", and {len(unknown) - 1} more" if unknown[1:] else ""
        log.warning(
            f"{path}: {names[first]} is taken as {points.keypoints[first]}{more}, by their order: "
            f"the network ({points.name}) has no keypoints of these names"
        )


def _place(name: str, index: int, own: Sequence[str]) -> int | None:
    """Return where the network has the keypoint that the labels have at `index`; None where it has none."""
    if name in own:
        return own.index(name)
    # The spellings of several may be one: "x1" and "x-1".
    places = [place for place, other in enumerate(own) if plain(other) == plain(name)]
    return index if index in places else next(iter(places), None)
