"""Find the cheapest precision map that keeps to a budget."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import Artifact, BoxHead, ModelSpec
from edgepose.calibration.agreement import Agreement, Outputs, compare
from edgepose.calibration.base import NetworkQuantiser
from edgepose.calibration.sensitivity import SensitivityReport
from edgepose.converters.engine import run_engine
from edgepose.errors import UsageError

Floats = NDArray[np.float32]

# OKS and pixels at this input; a larger input has larger pixels' worth of shift.
_REFERENCE_HEIGHT = 256
_MAX_TAKEN_BACK = 12


@dataclass(frozen=True, slots=True)
class Budget:
    """What int8 may cost: the least mean similarity (OKS, IoU) to the float network, the largest 95th
    percentile of the shifts in pixels of the network's input, and, where it is given, their largest mean.
    """

    similarity: float
    p95_px: float
    mean_px: float | None = None

    def allows(self, agreement: Agreement) -> bool:
        """Tell whether figures keep to the budget."""
        kept = agreement.similarity >= self.similarity and agreement.p95_px <= self.p95_px
        return kept and (self.mean_px is None or agreement.mean_px <= self.mean_px)

    def to_json(self) -> dict[str, Any]:
        """Return the budget as a bundle keeps it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def default_budget(spec: ModelSpec) -> Budget:
    """Return OKS 0.995 and 1 px at 256x192 for poses; IoU 0.98 and 1.5 px at 320 for the boxes of a detector.

    A detector's boxes are widened by a quarter before the pose network sees them.
    """
    height = spec.preprocess.input_hw[0]
    if isinstance(spec.head, BoxHead):
        return Budget(similarity=0.98, p95_px=1.5 * height / 320)
    return Budget(similarity=0.995, p95_px=1.0 * max(1.0, height / _REFERENCE_HEIGHT))


def budget_changes(budgets: Sequence[str]) -> dict[str, float]:
    """Read changes of the default budget, each "NAME=VALUE" with a member of Budget. Errors: UsageError."""
    names = [field.name for field in fields(Budget)]
    changes: dict[str, float] = {}
    for text in budgets:
        name, _, value = text.partition("=")
        hint = f"write NAME=VALUE; NAME is one of {', '.join(names)}"
        if name not in names:
            raise UsageError(f"--budget {text}: there is no limit {name!r}", hint=hint)
        try:
            changes[name] = float(value)
        except ValueError:
            raise UsageError(f"--budget {text}: {value!r} is not a number", hint=hint) from None
        largest = 1.0 if name == "similarity" else sys.float_info.max
        if not 0 < changes[name] <= largest:
            limits = "above 0 and at most 1" if name == "similarity" else "a number above 0"
            raise UsageError(f"--budget {text}: {name} is not {limits}", hint=hint)
    return changes


@dataclass(frozen=True, slots=True)
class Found:
    """The layers in int8 that keep to the budget, the figures with them, and how many maps were tried."""

    int8_layers: tuple[str, ...]
    agreement: Agreement | None
    tried: int


def search(
    artifact: Artifact,
    quantiser: NetworkQuantiser,
    report: SensitivityReport,
    samples: Sequence[Floats],
    budget: Budget,
    *,
    advance: Callable[[], None] | None = None,
) -> Found:
    """Leave layers in float, those first that cost most for what they compute, until the budget is kept; then
    take back what proves harmless.

    report: the sensitivity of the layers to choose from. samples: the held-out ones. The result depends on
    nothing but the arguments; no layer in int8 is left where none keeps to the budget.
    Errors: CalibrationError, EngineError.
    """
    tries = _Tries(artifact, quantiser, samples, advance)
    every = [layer.layer for layer in report.layers]
    bad = set(report.bad_layers())
    # A large layer is worth more damage than a small one.
    by_worth = sorted(
        report.layers,
        key=lambda layer: (-layer.alone_int8.output_error / max(quantiser.work(layer.layer), 1), layer.layer),
    )
    worst = [layer.layer for layer in by_worth]
    left: list[str] = [name for name in worst if name in bad]
    given = len(left)
    chosen = [name for name in every if name not in left]
    agreement: Agreement | None = None
    while chosen:
        figures = tries.measure(chosen)
        if budget.allows(figures):
            agreement = figures
            break
        # The damage of single layers adds up: steps grow, or a network of hundreds of layers takes hours.
        step = max(1, (len(left) - given) // 4)
        rest = [name for name in worst if name not in left]
        left += rest[:step]
        chosen = [name for name in every if name not in left]
    # The least harmful of those left in float first; each is kept where the budget still holds.
    for name in [name for name in reversed(worst) if name in left and name not in bad][:_MAX_TAKEN_BACK]:
        wider = [other for other in every if other in chosen or other == name]
        figures = tries.measure(wider)
        if budget.allows(figures):
            chosen, agreement = wider, figures
    return Found(tuple(chosen), agreement, tries.count)


class _Tries:
    def __init__(
        self,
        artifact: Artifact,
        quantiser: NetworkQuantiser,
        samples: Sequence[Floats],
        advance: Callable[[], None] | None,
    ) -> None:
        self.count = 0
        self._spec, self._quantiser, self._samples = artifact.spec, quantiser, samples
        self._advance = advance
        self._references: list[Outputs] = run_engine(artifact, samples)

    def measure(self, chosen: Sequence[str]) -> Agreement:
        self.count += 1
        if self._advance:
            self._advance()
        (made,) = self._quantiser.outputs([dict.fromkeys(chosen, "int8")], self._samples)
        return compare(self._spec, self._references, made)
