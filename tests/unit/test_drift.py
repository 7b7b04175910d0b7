"""The drift between two runs on the same persons."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.errors import LimitError
from edgepose.verify.drift import measure_drift

Array = NDArray[np.float32]


def _keypoints(persons: int = 10, count: int = 4) -> Array:
    """Make keypoints whose scores rise with the index of the keypoint."""
    random = np.random.default_rng(1)
    keypoints = random.uniform(0, 100, (persons, count, 3)).astype(np.float32)
    keypoints[..., 2] = 0.1 + 0.2 * np.arange(count)
    return keypoints


def test_equal_runs_do_not_drift() -> None:
    report = measure_drift(_keypoints(), _keypoints(), precision="fp32")
    assert (report.mean_px, report.p95_px, report.max_px) == (0, 0, 0)
    assert (report.persons, report.compared) == (10, 20)
    assert report.violations() == []
    report.require()


def test_only_confident_keypoints_count_and_each_is_reported() -> None:
    moved = _keypoints()
    moved[:, 0, 0] += 50
    moved[:, 3, :2] += [3, 4]
    report = measure_drift(_keypoints(), moved, precision="fp32", names=("torch", "ncnn"))
    assert report.mean_px == pytest.approx(2.5)
    assert report.max_px == pytest.approx(5)
    assert report.per_keypoint_px[2:] == pytest.approx((0, 5))
    assert np.isnan(report.per_keypoint_px[:2]).all()
    assert report.violations() == ["ncnn is 2.500 px from torch in the mean, over the limit 0.1 px"]
    with pytest.raises(LimitError, match=r"2\.500 px from torch"):
        report.require()


def test_the_limit_is_that_of_the_precision() -> None:
    moved = _keypoints()
    moved[..., 0] += 0.2
    assert measure_drift(_keypoints(), moved, precision="fp32").violations()
    assert measure_drift(_keypoints(), moved, precision="fp16").violations() == []


def test_nothing_confident_is_a_violation() -> None:
    silent = _keypoints()
    silent[..., 2] = 0
    assert "no confident keypoint" in measure_drift(silent, silent, precision="fp32").violations()[0]
    empty = np.zeros((0, 17, 3), np.float32)
    assert measure_drift(empty, empty, precision="fp32").compared == 0


def test_a_nan_is_a_violation() -> None:
    broken = _keypoints()
    broken[0, 3, 0] = np.nan
    assert measure_drift(_keypoints(), broken, precision="fp16").violations()


@pytest.mark.parametrize("shape", [(10, 4, 2), (9, 4, 3), (40, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not both \[N, K, 3\]"):
        measure_drift(_keypoints(), np.zeros(shape, np.float32), precision="fp32")
