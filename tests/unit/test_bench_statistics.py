"""Percentiles, their intervals and ratios of bench: what is drawn, and how often it holds the truth."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from edgepose.bench.compare import verdict
from edgepose.bench.statistics import median_of_few, median_ratio, summarise


def test_percentiles_are_those_of_all_samples() -> None:
    values = np.random.default_rng(1).gamma(4, 1e6, 2000)
    values[7] = 1e9  # an outlier stays
    summary = summarise(values)
    assert summary["max"] == 1e9 and summary["count"] == 2000
    for p in (50, 90, 95, 99):
        entry = summary[f"p{p}"]
        assert entry["value"] == pytest.approx(np.percentile(values, p))
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert summarise([5])["p99"] == {"value": 5.0, "low": 5.0, "high": 5.0}


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(100):
        median = summarise(rng.exponential(1.0, 200))["p50"]
        inside += median["low"] <= np.log(2) <= median["high"]
    assert 88 <= inside <= 100


def test_intervals_are_wider_where_frames_resemble_each_other() -> None:
    rng = np.random.default_rng(3)
    single = rng.normal(100, 10, 1024)
    runs = np.repeat(rng.normal(100, 10, 64), 16)
    width = [summarise(v)["p50"]["high"] - summarise(v)["p50"]["low"] for v in (single, runs)]
    assert width[1] > 2 * width[0]


def test_many_samples_are_not_drawn_at_once() -> None:
    values = np.random.default_rng(5).normal(2e6, 1e5, 400_000)
    tracemalloc.start()
    summarise(values)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20 * values.nbytes


def test_ratios_of_medians() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(100, 5, 500), rng.normal(110, 5, 500)
    ratio, low, high = median_ratio(b, a)
    assert low < 1.1 < high and ratio == pytest.approx(1.1, abs=0.01)
    assert verdict(low, high, 0.05) == "SLOWER" and verdict(1 / high, 1 / low, 0.05) == "FASTER"
    assert verdict(0.99, 1.01, 0.05) == "SAME" and verdict(0.9, 1.2, 0.05) == "INCONCLUSIVE"


def test_the_median_of_a_few_rounds() -> None:
    assert median_of_few([6, 2, 3, 5, 4, 1]) == (3.5, 1, 6)
    # The ranks that tables of the sign test give.
    for count, rank in ((8, 1), (9, 2), (10, 2), (11, 2), (12, 3), (15, 4), (20, 6), (25, 8), (100, 40)):
        assert median_of_few(range(1, count + 1))[1:] == (rank, count + 1 - rank)
    with pytest.raises(ValueError, match="too few"):
        median_of_few([1.0] * 5)
    rng = np.random.default_rng(6)
    inside = sum(
        low <= np.log(2) <= high for _, low, high in map(median_of_few, rng.exponential(1, (400, 10)))
    )
    assert 0.95 <= inside / 400 <= 1.0


def test_a_stage_of_every_second_frame_has_a_ratio() -> None:
    """The median of 610 such times is half of one, and that of a draw may be 0."""
    times = [0, 1000] * 305
    ratio, low, high = median_ratio(times, times)
    assert ratio == 1 and 0 <= low <= 1 <= high < math.inf
