"""The search of a rounding direction: never worse than the nearest on what it was given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.calibration import rounding
from edgepose.calibration.rounding import round_weights


def error(integers: np.ndarray, exact: np.ndarray, inputs: np.ndarray) -> float:
    return float(np.square(inputs @ (integers - exact).T).mean())


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_inputs_that_go_together_are_made_up_for(seed: int) -> None:
    random = np.random.default_rng(seed)
    features = int(random.integers(2, 150))  # more than one block of columns
    common = random.standard_normal((400, 1))
    inputs = common + 0.3 * random.standard_normal((400, features)) + 2.0
    exact = random.uniform(-60, 60, (5, features)).astype(np.float32)
    found = round_weights(exact, inputs.T @ inputs, -64, 64)
    assert found is not None
    assert (found == np.rint(found)).all()
    assert np.abs(found).max() <= 64
    assert error(found, exact, inputs) < error(np.rint(exact), exact, inputs)


def test_an_error_is_made_up_for_beyond_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    inputs = random.standard_normal((400, 1)) + 0.3 * random.standard_normal((400, 150)) + 2.0
    exact = random.uniform(-60, 60, (5, 150)).astype(np.float32)
    blocks = round_weights(exact, inputs.T @ inputs, -64, 64)
    monkeypatch.setattr(rounding, "_BLOCK", 150)
    whole = round_weights(exact, inputs.T @ inputs, -64, 64)
    assert blocks is not None and whole is not None
    assert (blocks == whole).mean() > 0.99  # but for sums that rounding leaves at a half


def test_independent_inputs_leave_the_nearest() -> None:
    exact = np.random.default_rng(0).uniform(-60, 60, (4, 70)).astype(np.float32)
    found = round_weights(exact, np.eye(70), -64, 64)
    assert found is not None
    assert (found == np.rint(exact)).all()


def test_the_limits_hold() -> None:
    exact = np.array([[90.0, -90.0, 63.6]], np.float32)
    found = round_weights(exact, np.eye(3), -64, 64)
    assert found is not None
    assert found.tolist() == [[64.0, -64.0, 64.0]]


def test_inputs_that_are_always_zero() -> None:
    exact = np.array([[0.4, 1.6]], np.float32)
    found = round_weights(exact, np.zeros((2, 2)), -64, 64)
    assert found is not None
    assert found.tolist() == [[0.0, 2.0]]
