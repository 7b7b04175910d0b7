"""Properties of the activation histograms and of the thresholds chosen from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgepose.calibration.observers import (
    BINS,
    LEVELS,
    OBSERVERS,
    Histogram,
    Observer,
    threshold,
    weight_scales,
)
from edgepose.errors import CalibrationError, UsageError

SEEDS = st.integers(0, 2**32 - 1)


def histogram_of(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.update(part.astype(np.float32))
    return histogram


def sample(seed: int, count: int = 3000) -> np.ndarray:
    random = np.random.default_rng(seed)
    kind = random.integers(3)
    values = [random.standard_normal(count), random.laplace(size=count), random.exponential(size=count)][kind]
    return (values * 10.0 ** random.integers(-6, 6)).astype(np.float32)


@given(SEEDS, st.permutations(range(6)))
def test_the_order_of_the_samples_does_not_matter(seed: int, order: list[int]) -> None:
    parts = np.array_split(sample(seed), 6)
    for index, part in enumerate(parts):
        part *= np.float32(3.0**index)
    forward, shuffled = histogram_of(*parts), histogram_of(*(parts[i] for i in order))
    assert forward.width == shuffled.width
    assert np.array_equal(forward.counts, shuffled.counts)
    assert forward.maximum == shuffled.maximum


@given(SEEDS)
def test_the_histogram_holds_every_value_in_bounded_memory(seed: int) -> None:
    values = sample(seed)
    histogram = histogram_of(*np.array_split(values, 10))
    assert histogram.counts.sum() == histogram.count == values.size
    assert histogram.counts.size == BINS
    assert histogram.maximum == np.abs(values).max()
    assert histogram.lowest == min(values.min(), 0)
    # At least half of the bins are below the largest value.
    assert BINS / 2 <= histogram.maximum / histogram.width <= BINS
    assert math.isclose(histogram.absolute_sum, float(np.abs(values.astype(np.float64)).sum()), rel_tol=1e-6)


@pytest.mark.parametrize("observer", OBSERVERS)
@given(seed=SEEDS, power=st.integers(-20, 20))
def test_thresholds_are_in_range_and_scale_with_the_data(observer: Observer, seed: int, power: int) -> None:
    values = sample(seed)
    found = threshold(histogram_of(values), observer)
    assert 0 < found <= np.abs(values).max()
    assert math.isclose(
        threshold(histogram_of(values * np.float32(2.0**power)), observer), found * 2.0**power
    )


@given(SEEDS)
def test_mse_is_the_best_in_its_own_measure(seed: int) -> None:
    values = np.abs(sample(seed, 20000))
    histogram = histogram_of(values)

    def error(limit: float) -> float:
        scale = LEVELS / limit
        return float(np.square(np.minimum(np.rint(values * scale), LEVELS) / scale - values).mean())

    chosen = error(threshold(histogram, "mse"))
    for observer in OBSERVERS:
        assert chosen <= error(threshold(histogram, observer)) * 1.02


def test_percentile_ignores_a_rare_outlier() -> None:
    values = np.append(np.linspace(0, 1, 99999), 1000.0)
    assert threshold(histogram_of(values), "minmax") == 1000
    assert threshold(histogram_of(values), "percentile") <= 1.5


def test_aciq_clips_where_its_formula_is_smallest() -> None:
    # R. Banner's expected error of a clipped Gaussian: the quantiser's noise and what is cut off.
    def gaussian(a: float) -> float:
        density = math.sqrt(2 / math.pi) * math.exp(-a * a / 2)
        tail = (1 + a * a) * (1 - math.erf(a / math.sqrt(2))) - a * density
        return tail + a * a / (3 * 4**8)

    def laplacian(a: float) -> float:
        return 2 * math.exp(-a) + a * a / (3 * 4**8)

    random = np.random.default_rng(3)
    for values, expected in (
        (random.standard_normal(400000), gaussian),
        (random.laplace(size=400000), laplacian),
    ):
        histogram = histogram_of(values * 0.25, np.array([5.0]))
        chosen = threshold(histogram, "aciq") / 0.25
        best = min(expected(a) for a in np.arange(2, 14, 0.05))
        assert expected(chosen) <= best * 1.02


def test_kl_keeps_the_bulk_and_drops_a_far_outlier() -> None:
    values = np.append(np.random.default_rng(5).standard_normal(100000), 60.0)
    assert 2.5 < threshold(histogram_of(values), "kl") < 10


def test_kl_clips_nothing_of_a_level_distribution() -> None:
    """Each of its levels holds the same values, so that any clipping would pile up at the end."""
    histogram = histogram_of(np.linspace(0, 1, 2**18))
    assert threshold(histogram, "kl") == histogram.maximum == 1


def test_zeros_and_bad_values() -> None:
    assert threshold(histogram_of(np.zeros(10)), "mse") == 1
    mixed = histogram_of(np.zeros(10), np.full(10, 1e-42), np.ones(10))
    assert mixed.counts.sum() == 30
    with pytest.raises(CalibrationError, match="no activation"):
        threshold(Histogram(), "mse")
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(CalibrationError, match="NaN or infinite"):
            histogram_of(np.array([1.0, bad]))
    with pytest.raises(UsageError, match="unknown observer"):
        threshold(histogram_of(np.ones(3)), "best")  # type: ignore[arg-type]


@given(SEEDS)
def test_weight_scales_fill_the_range_of_each_row(seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = (random.standard_normal((5, 7, 3)) * 10.0 ** random.integers(-8, 8, (5, 1, 1))).astype(
        np.float32
    )
    weights[2] = 0
    assume(np.abs(weights).max() > 0)
    scales = weight_scales(weights)
    largest = np.abs(weights).reshape(5, -1).max(axis=1) * scales
    assert scales[2] == 1
    assert np.allclose(np.delete(largest, 2), LEVELS, rtol=1e-6)
