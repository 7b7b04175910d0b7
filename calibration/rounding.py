"""Search the direction in which each weight is rounded, by what the layer's inputs have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Columns at a time, and the damping of the second moments as a share of their mean diagonal.
_BLOCK = 64
_DAMPING = 0.01


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
