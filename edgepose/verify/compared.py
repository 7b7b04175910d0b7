"""Persons of two runs side by side: a candidate with a reference (drift) or with labels (error)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgepose.converters.decoded import confident

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.dataset import Dataset
    from edgepose.verify.predictions import Predictions

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

# Two detections are one person from this overlap of their boxes on.
_SAME_PERSON_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """M persons, each in both runs. other and candidate (M, K, 3) px; counts (M, K): which points compare.

    picture_of, person_of (M,): indices into the data (-1: a detected person); boxes (M, 4) px; input_scale
    (M,). unmatched: persons of the other run that the candidate lacks, added: those that it alone has; both
    by picture. depths: the other run's and the candidate's, (M, K) m, where both have them.
    """

    against: Literal["label", "reference"]
    other: Floats
    candidate: Floats
    counts: Bools
    picture_of: NDArray[np.int64]
    person_of: NDArray[np.int64]
    boxes: Floats
    input_scale: Floats
    unmatched: NDArray[np.int64]
    added: NDArray[np.int64]
    depths: tuple[Floats, Floats] | None = None

    @property
    def shift_px(self) -> Floats:
        """The vector from the other run's point to the candidate's, (M, K, 2), in px of the picture."""
        shift: Floats = self.candidate[..., :2] - self.other[..., :2]
        return shift

    @property
    def distance_px(self) -> Floats:
        """Its length, (M, K)."""
        import numpy as np

        distance: Floats = np.linalg.norm(self.shift_px, axis=2)
        return distance

    @property
    def shift_input_px(self) -> Floats:
        """The vector in pixels of the network's input."""
        return self.shift_px * self.input_scale[:, None, None]

    @property
    def distance_input_px(self) -> Floats:
        """The distance in pixels of the network's input."""
        return self.distance_px * self.input_scale[:, None]

    @property
    def depth_mm(self) -> Floats | None:
        """How far the depths are apart, (M, K)."""
        import numpy as np

        if self.depths is None:
            return None
        other, candidate = self.depths
        apart: Floats = 1000 * np.abs(candidate - other)
        return apart

    def point_pictures(self) -> NDArray[np.int64]:
        """The picture of each point that compares, in the order of `values[counts]`."""
        import numpy as np

        pictures: NDArray[np.int64] = np.repeat(self.picture_of, self.counts.sum(axis=1))
        return pictures


def with_reference(reference: Predictions, candidate: Predictions, *, pictures: int, seen: float) -> Compared:
    """Pair the persons of two runs: by label where both ran on the labelled boxes, else by overlap.

    seen: the reference's keypoint score threshold.
    """
    import numpy as np

    mine, theirs = paired(reference, candidate, pictures)
    lost = np.setdiff1d(np.arange(len(reference.picture_of)), mine)
    more = np.setdiff1d(np.arange(len(candidate.picture_of)), theirs)
    other = reference.keypoints[mine]
    depths = None
    if reference.depths is not None and candidate.depths is not None:
        depths = reference.depths[mine], candidate.depths[theirs]
    return Compared(
        against="reference",
        other=other,
        candidate=candidate.keypoints[theirs],
        counts=confident(other[..., 2], seen),
        picture_of=reference.picture_of[mine],
        person_of=reference.person_of[mine],
        boxes=reference.boxes[mine, :4],
        input_scale=reference.input_scale[mine],
        unmatched=np.bincount(reference.picture_of[lost], minlength=pictures),
        added=np.bincount(candidate.picture_of[more], minlength=pictures),
        depths=depths,
    )


def with_labels(data: Dataset, candidate: Predictions) -> Compared:
    """Pair the labelled persons with what was found: the same box, or else the best overlap."""
    import numpy as np

    pictures = len(data.pictures)
    persons = data.labelled
    if len(candidate.person_of) and (candidate.person_of >= 0).all():
        row_of = {int(person): row for row, person in enumerate(candidate.person_of)}
        pairs = [(int(p), row_of[int(p)]) for p in persons]
    else:
        pairs = []
        for picture in range(pictures):
            mine = persons[data.picture_of[persons] == picture]
            found = np.flatnonzero(candidate.picture_of == picture)
            pairs += [
                (int(mine[a]), int(found[b])) for a, b in _greedy(data.boxes[mine], candidate.boxes[found])
            ]
    first = np.array([a for a, _ in pairs], np.int64)
    second = np.array([b for _, b in pairs], np.int64)
    lost = np.setdiff1d(persons, first)
    more = np.setdiff1d(np.arange(len(candidate.picture_of)), second)
    other = data.keypoints[first]
    return Compared(
        against="label",
        other=other,
        candidate=candidate.keypoints[second],
        counts=other[..., 2] > 0,
        picture_of=data.picture_of[first],
        person_of=first,
        boxes=data.boxes[first],
        input_scale=candidate.input_scale[second],
        unmatched=np.bincount(data.picture_of[lost], minlength=pictures),
        added=np.bincount(candidate.picture_of[more], minlength=pictures),
    )


def paired(
    reference: Predictions, candidate: Predictions, pictures: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the persons of two runs as `with_reference` does: indices into each."""
    import numpy as np

    labelled = bool(len(reference.person_of)) and bool((reference.person_of >= 0).all())
    if labelled and np.array_equal(reference.person_of, candidate.person_of):
        pairs = np.arange(len(reference.person_of))
        return pairs, pairs
    return overlapping(reference, candidate, pictures)


def overlapping(
    reference: Predictions, candidate: Predictions, pictures: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair the persons of two runs whose boxes overlap most, picture by picture: indices into each."""
    import numpy as np

    mine: list[int] = []
    theirs: list[int] = []
    for picture in range(pictures):
        first = np.flatnonzero(reference.picture_of == picture)
        second = np.flatnonzero(candidate.picture_of == picture)
        for a, b in _greedy(reference.boxes[first], candidate.boxes[second]):
            mine.append(int(first[a]))
            theirs.append(int(second[b]))
    return np.array(mine, np.int64), np.array(theirs, np.int64)


def _greedy(wanted: Floats, found: Floats) -> list[tuple[int, int]]:
    """Pair boxes (x1 y1 x2 y2 px, ...), the largest overlap first, each once; in the order of `wanted`."""
    import numpy as np

    if not len(wanted) or not len(found):
        return []
    low = np.maximum(wanted[:, None, :2], found[None, :, :2])
    high = np.minimum(wanted[:, None, 2:4], found[None, :, 2:4])
    inner = np.maximum(high - low, 0).prod(axis=2)
    areas = [np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (wanted, found)]
    overlap = inner / np.maximum(areas[0][:, None] + areas[1][None] - inner, 1e-9)
    pairs = []
    while overlap.max() >= _SAME_PERSON_IOU:
        a, b = divmod(int(overlap.argmax()), len(found))
        pairs.append((a, b))
        overlap[a, :] = overlap[:, b] = -1
    return sorted(pairs)
