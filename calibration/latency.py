"""Measure how fast artifacts of one network run beside each other."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import Artifact
from edgepose.converters.engine import open_engine
from edgepose.core import core_errors


def interleaved_ms(
    artifacts: Sequence[Artifact], sample: NDArray[np.float32], *, rounds: int = 100
) -> list[float]:
    """Return the median time of each artifact on one sample [1, 3, H, W], in CPU milliseconds of one thread.

    The artifacts take turns, so that what else the machine does falls on all of them alike; time that other
    programs take is not counted.
    Errors: MissingDependencyError, EngineError.
    """
    engines = [open_engine(artifact) for artifact in artifacts]
    times_ns: list[list[int]] = [[] for _ in engines]
    with core_errors():
        for engine in engines:
            engine.run([sample])
        for _ in range(rounds):
            for engine, times in zip(engines, times_ns, strict=True):
                started = time.thread_time_ns()
                engine.run([sample])
                times.append(time.thread_time_ns() - started)
    return [float(np.median(times)) / 1e6 for times in times_ns]
