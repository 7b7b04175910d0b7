"""The learning rate over a budget of wall-clock time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

_WARMUP = 0.02  # of the budget


def learning_rate(share: float, *, peak: float) -> float:
    """Return the rate after `share` (0 to 1) of the budget: a linear rise, then half a cosine to 0."""
    share = min(max(share, 0.0), 1.0)
    if share < _WARMUP:
        return peak * share / _WARMUP
    return peak * 0.5 * (1.0 + math.cos(math.pi * (share - _WARMUP) / (1.0 - _WARMUP)))


@dataclass(slots=True)
class Budget:
    """Seconds to train for, of which some were spent before an interruption."""

    total_s: float
    spent_before_s: float = 0.0
    _start_s: float = field(default_factory=lambda: time.monotonic())

    @property
    def spent_s(self) -> float:
        """Seconds spent so far, in all runs."""
        return self.spent_before_s + time.monotonic() - self._start_s

    @property
    def share(self) -> float:
        """The spent part of the budget, 0 to 1."""
        return min(1.0, self.spent_s / self.total_s)
