"""Percentiles of samples with bootstrap intervals. Nothing is clipped, nothing thrown away."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float64]

PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.95
MIN_FEW = 6
# Draws, fewer for many samples: their intervals are narrow, and time is finite.
_RESAMPLES = 500
_MIN_RESAMPLES = 100
_MAX_DRAWN = 4_000_000
_SEED = 20


def summarise(values: Sequence[int] | Samples) -> dict[str, Any]:
    """Return count, mean, min, max and percentiles, each percentile with its 95 % interval.

    The unit is that of the values. Successive frames resemble each other, so blocks of them are drawn, not
    single ones: otherwise the intervals would be too narrow.
    """
    import numpy as np

    samples = np.asarray(values, np.float64)
    draws = np.array([_percentiles(draw) for draw in _resampled(samples)])
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    summary: dict[str, Any] = {
        "count": int(samples.size),
        "mean": float(samples.mean()),
        "min": float(samples.min()),
        "max": float(samples.max()),
    }
    for index, (percentile, value) in enumerate(zip(PERCENTILES, _percentiles(samples), strict=True)):
        # The interval holds the value itself also where few samples make the draws lopsided.
        summary[f"p{percentile}"] = {
            "value": float(value),
            "low": float(min(low[index], value)),
            "high": float(max(high[index], value)),
        }
    return summary


def median_ratio(
    candidate: Sequence[int] | Samples, reference: Sequence[int] | Samples
) -> tuple[float, float, float]:
    """Return the ratio of the medians, candidate over reference, and its 95 % interval."""
    import numpy as np

    above, below = np.asarray(candidate, np.float64), np.asarray(reference, np.float64)
    ratio = float(np.median(above) / np.median(below))
    medians = [
        np.array([np.median(draw) for draw in _resampled(v, seed=_SEED + i)])
        for i, v in enumerate((above, below))
    ]
    count = min(map(len, medians))
    positive = medians[1][:count] > 0  # a stage that runs in half of the frames may have none in a draw
    draws = medians[0][:count][positive] / medians[1][:count][positive]
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return ratio, float(min(low, ratio)), float(max(high, ratio))


def median_of_few(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of at least MIN_FEW independent values and its 95 % interval.

    It holds for any distribution. The ends are the k-th smallest and largest value: the median is outside
    with twice the probability that fewer than k of n coins show heads.
    """
    ordered, n = sorted(values), len(values)
    if n < MIN_FEW:
        raise ValueError(f"{n} values are too few")
    k, outside = 0, 0.0
    while (outside := outside + 2 * math.comb(n, k) / 2**n) <= 1 - CONFIDENCE:
        k += 1
    return statistics.median(ordered), ordered[k - 1], ordered[n - k]


def _percentiles(samples: Samples) -> Samples:
    import numpy as np

    result: Samples = np.moveaxis(np.percentile(samples, PERCENTILES, axis=-1), 0, -1)
    return result


def _resampled(samples: Samples, *, seed: int = _SEED) -> Iterator[Samples]:
    """Draw circular blocks of about the square root of n, n samples each time."""
    import numpy as np

    count = samples.size
    block = max(1, round(count**0.5))
    blocks = -(-count // block)
    draws = max(_MIN_RESAMPLES, min(_RESAMPLES, _MAX_DRAWN // count))
    random = np.random.default_rng(seed)
    for _ in range(draws):  # one by one: a soak of an hour has millions of samples
        starts = random.integers(0, count, (blocks, 1))
        yield samples[((starts + np.arange(block)) % count).ravel()[:count]]
