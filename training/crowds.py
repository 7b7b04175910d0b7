"""People before people: persons cut out of their pictures stand in front of what a canvas shows."""

from __future__ import annotations

import cv2
import numpy as np

from training.crop import Picture
from training.cutouts import blended
from training.sources import Person, Source

# How many are added, with which share; their height as a share of the canvas, from to, evenly on a log scale.
COUNTS, COUNT_SHARES = (0, 1, 2, 3, 5), (0.4, 0.25, 0.15, 0.12, 0.08)
HEIGHTS = (0.12, 0.9)


def crowd(random: np.random.Generator, canvas: Picture, source: Source, people: list[Person]) -> Picture:
    """Return the canvas (side, side, 3) with some of the people, who have outlines, in front of it.

    Where it is nobody the canvas itself comes back, not a copy.
    """
    for _ in range(int(random.choice(COUNTS, p=COUNT_SHARES))):
        person = people[int(random.integers(len(people)))]
        canvas = _in_front(random, canvas, source.pictures[person.picture], person)
    return canvas


def _in_front(random: np.random.Generator, canvas: Picture, picture: Picture, person: Person) -> Picture:
    assert person.outline is not None
    side = canvas.shape[0]
    x, y, w, h = (float(v) for v in person.box_xywh)
    scale = side * float(np.exp(random.uniform(*np.log(HEIGHTS)))) / max(h, w)
    across = -scale if random.random() < 0.5 else scale
    at = random.uniform(0.0, side, 2)
    matrix = np.array(
        [[across, 0.0, at[0] - across * (x + w / 2)], [0.0, scale, at[1] - scale * (y + h / 2)]]
    )
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    moved = [cv2.warpAffine(p, matrix, (side, side), flags=flags) for p in (picture, person.outline)]
    return blended(np.asarray(moved[0], np.uint8), canvas, np.asarray(moved[1], np.uint8))
