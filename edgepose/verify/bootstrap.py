"""Intervals by resampling pictures: of AP, of means and of percentiles, all from the same resamplings.

Both runs of a comparison see the same resampled pictures, so that what makes a picture hard cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.oks import Matches

    Floats = NDArray[np.float64]
    Weights = NDArray[np.uint8]

DEFAULT_SAMPLES = 10_000
# A picture is drawn this often at most; its chance is below 1e-300.
_MAX_WEIGHT = 255
_ROWS_AT_ONCE = 256


def resample(pictures: int, samples: int, seed: int) -> Weights:
    """Draw `samples` times as many pictures as there are; (samples, pictures): how often each was drawn."""
    import numpy as np

    random = np.random.default_rng(seed)
    weights = np.empty((samples, pictures), np.uint8)
    for row in range(samples):
        counts = np.bincount(random.integers(0, pictures, pictures), minlength=pictures)
        weights[row] = np.minimum(counts, _MAX_WEIGHT)
    return weights


class ApOfWeights:
    """COCO's AP of one run when pictures count several times, or not at all."""

    def __init__(self, matches: Matches) -> None:
        import numpy as np

        self._labels_in = matches.labels_in.astype(np.int64)
        self._picture_of = matches.picture_of
        self._levels = [_Level(matches.picture_of, outcome) for outcome in matches.outcome]

    def of(self, weights: Weights) -> Floats:
        """Return AP in percent for each row of weights (samples, pictures); NaN where no label was drawn."""
        import numpy as np

        recalls = np.linspace(0, 1, 101)
        result = np.empty(len(weights))
        for row, weight in enumerate(weights):
            counts = weight.astype(np.int32)
            labels = int(counts @ self._labels_in)
            if labels == 0:
                result[row] = np.nan
                continue
            drawn = np.cumsum(counts[self._picture_of])
            total = 0.0
            for level in self._levels:
                total += level.precision_sum(counts, drawn, labels, recalls)
            result[row] = total
        return result * (100 / (101 * len(self._levels)))


class _Level:
    """The detections at one OKS threshold.

    Precision peaks where a right detection is counted, so only those places are looked at.
    """

    def __init__(self, picture_of: NDArray[np.int64], outcome: NDArray[np.int8]) -> None:
        import numpy as np

        self._right = np.flatnonzero(outcome == 1)
        self._right_picture = picture_of[self._right]
        ignored = np.flatnonzero(outcome == -1)
        self._ignored_picture = picture_of[ignored]
        self._ignored_before = np.searchsorted(ignored, self._right)

    def precision_sum(
        self, counts: NDArray[np.int32], drawn: NDArray[np.int64], labels: int, recalls: Floats
    ) -> float:
        """Return the sum of the interpolated precision at the recalls; drawn counts all detections so far."""
        import numpy as np

        if not len(self._right):
            return 0.0
        right = np.cumsum(counts[self._right_picture])
        all_so_far = drawn[self._right]
        if len(self._ignored_picture):
            ignored = np.concatenate([[0], np.cumsum(counts[self._ignored_picture])])
            all_so_far = all_so_far - ignored[self._ignored_before]
        precision = right / (all_so_far + np.spacing(1))
        first = np.searchsorted(right / labels, recalls, side="left")
        first = first[: np.searchsorted(first, len(right))]
        if not len(first):
            return 0.0
        # reduceat gives the maximum between one recall and the next, accumulate that from there on.
        between = np.maximum.reduceat(precision, first)
        return float(np.maximum.accumulate(between[::-1]).sum())


def ratios(weights: Weights, sums: Floats, counts: Floats) -> Floats:
    """Return the mean of each column over the drawn pictures, (samples, columns).

    sums, counts (pictures, columns): what each picture adds. NaN where a column has nothing.
    """
    import numpy as np

    result = np.empty((len(weights), sums.shape[1]))
    for rows in _slices(len(weights)):
        drawn = weights[rows].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            result[rows] = (drawn @ sums) / (drawn @ counts)
    return result


def percentiles_95(weights: Weights, values: Floats, picture_of: NDArray[np.int64]) -> Floats:
    """Return the 95th percentile of the values, one of each compared point, for each drawing, (samples,)."""
    import numpy as np

    order = np.argsort(values, kind="stable")[::-1]
    values, picture_of = values[order], picture_of[order]
    per_picture = np.bincount(picture_of, minlength=weights.shape[1]).astype(np.float64)
    share = 1 - 0.95
    # Only the upper end is summed up: twice the share sought holds the percentile but for freak draws.
    head = min(len(values), int(len(values) * 2 * share) + 50)
    result = np.empty(len(weights))
    for row, weight in enumerate(weights):
        above = share * float(weight @ per_picture)
        part = np.cumsum(weight[picture_of[:head]], dtype=np.int64)
        if part[-1] <= above < len(values):
            part = np.cumsum(weight[picture_of], dtype=np.int64)
        index = int(np.searchsorted(part, above, side="right"))
        result[row] = values[min(index, len(values) - 1)]
    return result


def interval(samples: Floats, confidence: float) -> tuple[float, float]:
    """Return the two-sided percentile interval of a statistic's resamplings; NaN samples are left out."""
    import numpy as np

    finite = samples[np.isfinite(samples)]
    if not len(finite):
        return float("nan"), float("nan")
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(finite, [tail, 100 - tail])
    return float(low), float(high)


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)
