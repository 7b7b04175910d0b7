"""COCO's object keypoint similarity, and the matching of detections to labels by it, picture by picture.

The headline AP and AR come from a library (`coco_library`); this matching exists because a bootstrap needs to
know what each picture adds to AP. A test holds both together to 1e-9. Source of the rules: cocoapi,
PythonAPI/pycocotools/cocoeval.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.dataset import Dataset
    from edgepose.verify.predictions import Predictions

    Floats = NDArray[np.float64]

THRESHOLDS = tuple(round(0.5 + 0.05 * n, 2) for n in range(10))
MAX_DETECTIONS = 20
_TRUE, _FALSE, _IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The D detections of all pictures, best score first, and what each is at the T thresholds.

    picture_of (D,); outcome (T, D): 1 a label's, 0 nobody's, -1 not counted (a crowd's, or an unlabelled
    person's). labels_in (P,): countable labels in each picture.
    """

    picture_of: NDArray[np.int64]
    scores: Floats
    outcome: NDArray[np.int8]
    labels_in: NDArray[np.int64]


def similarity(
    labels: Floats, boxes: Floats, areas: Floats, found: Floats, sigmas: Sequence[float]
) -> Floats:
    """Return OKS (D, G) of keypoints found (D, K, 3) and labels (G, K, 3); boxes (G, 4) x1 y1 x2 y2 px.

    A label without labelled keypoints is a region: points within the doubled box agree fully.
    """
    import numpy as np

    if not len(found) or not len(labels):
        return np.zeros((len(found), len(labels)))
    variances = (np.asarray(sigmas) * 2) ** 2
    seen = labels[:, :, 2] > 0
    bare: NDArray[np.bool_] = np.logical_not(seen.any(axis=1))
    delta = found[:, None, :, :2] - labels[None, :, :, :2]
    if bare.any():
        sides = boxes[bare, 2:] - boxes[bare, :2]
        low, high = boxes[bare, :2] - sides, boxes[bare, :2] + 2 * sides
        points = found[:, None, :, :2]
        outside = np.maximum(0, low[None, :, None] - points) + np.maximum(0, points - high[None, :, None])
        delta[:, bare] = outside
    error = (delta**2).sum(axis=3) / variances / (areas[None, :, None] + np.spacing(1)) / 2
    counted = (seen | bare[:, None])[None]
    agreement = np.where(counted, np.exp(-error), 0).sum(axis=2)
    oks: Floats = agreement / counted.sum(axis=2)
    return oks


def match(data: Dataset, predictions: Predictions, sigmas: Sequence[float]) -> Matches:
    """Match every picture's detections to its labels, at all thresholds."""
    import numpy as np

    pictures = len(data.pictures)
    scores = predictions.scores()
    labels_in = np.zeros(pictures, np.int64)
    kept: list[NDArray[np.int64]] = []
    outcomes: list[NDArray[np.int8]] = []
    label_starts = np.searchsorted(data.picture_of, np.arange(pictures + 1))
    found_starts = np.searchsorted(predictions.picture_of, np.arange(pictures + 1))
    ignored = data.crowd | ~(data.keypoints[..., 2] > 0).any(axis=1)
    for picture in range(pictures):
        label = np.arange(label_starts[picture], label_starts[picture + 1])
        labels_in[picture] = int((~ignored[label]).sum())
        mine = np.arange(found_starts[picture], found_starts[picture + 1])
        if not len(mine):
            continue
        mine = mine[np.argsort(-scores[mine], kind="stable")][:MAX_DETECTIONS]
        label = label[np.argsort(ignored[label], kind="stable")]
        oks = similarity(
            data.keypoints[label], data.boxes[label], data.areas[label], predictions.keypoints[mine], sigmas
        )
        kept.append(mine)
        outcomes.append(_match_picture(oks, ignored[label], data.crowd[label]))
    if not kept:
        return Matches(np.zeros(0, np.int64), np.zeros(0), np.zeros((10, 0), np.int8), labels_in)
    chosen, outcome = np.concatenate(kept), np.concatenate(outcomes, axis=1)
    order = np.argsort(-scores[chosen], kind="stable")
    chosen = chosen[order]
    return Matches(predictions.picture_of[chosen], scores[chosen], outcome[:, order], labels_in)


def _match_picture(oks: Floats, ignored: NDArray[np.bool_], crowd: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Give each detection (row of oks, best first) the best free label; (T, D) outcomes.

    Labels are ordered with the countable ones first: a detection prefers those.
    """
    import numpy as np

    detections, labels = oks.shape
    outcome = np.full((len(THRESHOLDS), detections), _FALSE, np.int8)
    rows = oks.tolist()
    for level, threshold in enumerate(THRESHOLDS):
        taken = [False] * labels
        for detection in range(detections):
            best, best_oks = -1, min(threshold, 1 - 1e-10)
            for label in range(labels):
                if taken[label] and not crowd[label]:
                    continue
                if best > -1 and not ignored[best] and ignored[label]:
                    break
                if rows[detection][label] >= best_oks:
                    best, best_oks = label, rows[detection][label]
            if best > -1:
                taken[best] = True
                outcome[level, detection] = _IGNORED if ignored[best] else _TRUE
    return outcome
