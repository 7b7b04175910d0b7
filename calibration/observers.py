"""Where to clip an activation for int8: one-pass histograms of bounded size, and five ways to choose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import CalibrationError, UsageError

Observer = Literal["minmax", "percentile", "mse", "kl", "aciq"]
OBSERVERS: tuple[Observer, ...] = get_args(Observer)

LEVELS = 127  # ncnn quantises to -127..127
BINS = 4096

# Optimal clipping of an 8-bit uniform quantiser, in standard deviations (Gaussian) and in mean absolute
# deviations (Laplacian): R. Banner et al., Post training 4-bit quantization of convolutional networks, 2019,
# equations 5 and 6.
_GAUSSIAN_CLIP = 3.92403714
_LAPLACIAN_CLIP = 9.89675982
_PERCENTILE = 99.99
_MSE_CANDIDATES = 160
_KL_BINS = 2048
_KL_STEP = 16


class Histogram:
    """The distribution of |x| over everything that update() has seen, in BINS bins.

    The width of a bin is a power of two and doubles, merging pairs of bins, when a larger value arrives: the
    result does not depend on the order of the samples.
    """

    __slots__ = ("absolute_sum", "count", "counts", "highest", "lowest", "maximum", "square_sum", "width")

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.width = 0.0
        self.maximum = 0.0
        self.lowest = 0.0  # min(x, 0)
        self.highest = 0.0  # max(x, 0)
        self.count = 0
        self.absolute_sum = 0.0
        self.square_sum = 0.0

    def update(self, values: NDArray[np.float32]) -> None:
        """Add values of any shape. Errors: CalibrationError where one is NaN or infinite."""
        if values.size == 0:
            return
        lowest, highest = float(values.min()), float(values.max())
        largest = max(highest, -lowest)
        if not math.isfinite(largest):
            raise CalibrationError("an activation is NaN or infinite")
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        self.count += magnitudes.size
        self.absolute_sum += float(magnitudes.sum())
        self._cover(largest)
        if self.width == 0.0:
            self.counts[0] += magnitudes.size
            return
        magnitudes *= np.float32(1.0 / self.width)
        counts = np.bincount(magnitudes.astype(np.intp), minlength=BINS + 1)
        self.counts += counts[:BINS]
        self.counts[BINS - 1] += counts[BINS]
        np.square(magnitudes, out=magnitudes)
        self.square_sum += float(magnitudes.sum()) * self.width**2

    def _cover(self, largest: float) -> None:
        self.maximum = max(self.maximum, largest)
        if largest == 0.0:
            return
        # Not below the smallest power of two whose reciprocal is a float32.
        wanted = 2.0 ** max(math.ceil(math.log2(largest / BINS)), -120)
        if self.width == 0.0:
            self.width = wanted
        elif wanted > self.width:
            factor = min(int(wanted / self.width), BINS)
            merged = self.counts.reshape(-1, factor).sum(axis=1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[: merged.size] = merged
            self.width = wanted

    def centres(self) -> NDArray[np.float64]:
        """Return the middle of each bin."""
        middles: NDArray[np.float64] = (np.arange(BINS, dtype=np.float64) + 0.5) * self.width
        return middles


def threshold(histogram: Histogram, observer: Observer, *, levels: int = LEVELS) -> float:
    """Choose the value that becomes `levels` steps; 1 where all values are zero.

    Errors: CalibrationError for an empty histogram, UsageError for an unknown observer.
    """
    if observer not in OBSERVERS:
        raise UsageError(f"unknown observer {observer!r}", hint=f"choose from: {', '.join(OBSERVERS)}")
    if histogram.count == 0:
        raise CalibrationError("no activation was observed", hint="give at least one calibration sample")
    if histogram.maximum == 0.0:
        return 1.0
    return min(_CHOICES[observer](histogram, levels), histogram.maximum)


def weight_scales(weights: NDArray[Any]) -> NDArray[np.float32]:
    """Return the int8 scale of each row [rows, ...]: 127 by its largest magnitude, 1 for a row of zeros."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1).astype(np.float64)
    with np.errstate(over="ignore"):
        scales = (LEVELS / np.where(largest > 0, largest, LEVELS)).astype(np.float32)
    # A row of denormals has no finite scale; as zeros it is as right as fp32 arithmetic would make it.
    scales[~np.isfinite(scales)] = 1
    return scales


def _minmax(histogram: Histogram, _levels: int) -> float:
    return histogram.maximum


def _percentile(histogram: Histogram, _levels: int) -> float:
    cumulative = np.cumsum(histogram.counts)
    index = int(np.searchsorted(cumulative, histogram.count * (_PERCENTILE / 100)))
    return (min(index, BINS - 1) + 1) * histogram.width


def _mse(histogram: Histogram, levels: int) -> float:
    counts, centres = _occupied(histogram)
    best, best_error = histogram.maximum, math.inf
    for step in range(_MSE_CANDIDATES, 0, -1):
        candidate = histogram.maximum * step / _MSE_CANDIDATES
        scale = levels / candidate
        error = np.minimum(np.rint(centres * scale), levels) / scale - centres
        total = float((counts * error * error).sum())
        if total < best_error:
            best, best_error = candidate, total
    return best


def _aciq(histogram: Histogram, _levels: int) -> float:
    deviation = histogram.absolute_sum / histogram.count
    sigma = math.sqrt(histogram.square_sum / histogram.count)
    # sigma / deviation is 1.253 for a Gaussian and 1.414 for a Laplacian.
    is_gaussian = sigma / deviation < (math.sqrt(math.pi / 2) + math.sqrt(2)) / 2
    return _GAUSSIAN_CLIP * sigma if is_gaussian else _LAPLACIAN_CLIP * deviation


def _kl(histogram: Histogram, _levels: int) -> float:
    """Minimise the divergence between the clipped distribution and its 128 levels (S. Migacz, 2017)."""
    counts = histogram.counts.reshape(_KL_BINS, -1).sum(axis=1).astype(np.float64)
    width = histogram.width * (BINS // _KL_BINS)
    used = int(np.flatnonzero(counts)[-1]) + 1
    best, best_divergence = used, math.inf
    for end in range(LEVELS + 1, used + _KL_STEP, _KL_STEP):
        end = min(end, used)
        divergence = _divergence(counts, end)
        if divergence < best_divergence:
            best, best_divergence = end, divergence
    return best * width


def _divergence(counts: NDArray[np.float64], end: int) -> float:
    clipped = counts[:end].copy()
    clipped[-1] += counts[end:].sum()
    is_used = counts[:end] > 0
    level = np.arange(end) * (LEVELS + 1) // end
    sums = np.bincount(level, counts[:end], LEVELS + 1)
    members = np.bincount(level, is_used, LEVELS + 1)
    coarse = np.where(is_used, (sums / np.maximum(members, 1))[level], 0)
    p = clipped / clipped.sum()
    q = coarse / max(float(coarse.sum()), 1e-30)
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())


def _occupied(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    used = np.flatnonzero(histogram.counts)
    return histogram.counts[used].astype(np.float64), histogram.centres()[used]


_CHOICES: dict[Observer, Callable[[Histogram, int], float]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _mse,
    "kl": _kl,
    "aciq": _aciq,
}
