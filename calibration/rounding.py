"""What both quantisers try before they round weights: even channels, and the direction of each rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Columns at a time, and the damping of the second moments as a share of their mean diagonal.
_BLOCK = 64
_DAMPING = 0.01

# How a channel's range is divided between the input and the weights (1: the input alone is made even).
_MIGRATIONS = (0.25, 0.5, 0.75, 1.0)


def channel_factors(
    ranges: NDArray[np.floating], weights: NDArray[np.floating], largest: float
) -> list[Floats]:
    """Propose what to divide each input channel by, and to multiply its weights by.

    ranges, weights [channels]: the largest size of the channel's inputs and of its weights. No factor is over
    `largest`, or under its reciprocal.
    """
    is_alive = (ranges > 0) & (weights > 0)
    made = []
    for migration in _MIGRATIONS:
        raw = np.ones(len(ranges))
        raw[is_alive] = ranges[is_alive] ** migration / weights[is_alive] ** (1 - migration)
        raw /= np.exp(np.log(raw[is_alive]).mean()) if is_alive.any() else 1.0
        made.append(np.clip(raw, 1 / largest, largest).astype(np.float32))
    return made


def round_weights(exact: Floats, moments: NDArray[np.float64], low: int, high: int) -> Floats | None:
    """Round weights one input at a time, each next one making up for the error so far.

    exact: [rows, features], in units of their steps. moments: the mean of x x^T over the layer's inputs x, in
    integers; [features, features], and changed here. Returns whole numbers from low to high, or None where
    the moments cannot be inverted.
    Source: E. Frantar et al., GPTQ, 2022: the inverse of the input's second moments says how.
    """
    diagonal = np.diag(moments)
    moments[np.diag_indices_from(moments)] += _DAMPING * max(float(diagonal.mean()), 1e-12)
    try:
        # The upper Cholesky factor of the inverse.
        factor = np.linalg.cholesky(np.linalg.inv(moments)).T.astype(np.float32)
    except np.linalg.LinAlgError:
        return None
    rest = exact.copy()
    integers: Floats = np.empty_like(rest)
    features = rest.shape[1]
    for begin in range(0, features, _BLOCK):
        end = min(begin + _BLOCK, features)
        errors = np.empty((len(rest), end - begin), np.float32)
        for column in range(begin, end):
            rounded = np.clip(np.rint(rest[:, column]), low, high)
            integers[:, column] = rounded
            error = (rest[:, column] - rounded) / factor[column, column]
            rest[:, column + 1 : end] -= error[:, None] * factor[column, column + 1 : end]
            errors[:, column - begin] = error
        rest[:, end:] -= errors @ factor[begin:end, end:]
    return integers
