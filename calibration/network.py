"""Calibrate one network: observe it, choose its layers, and hold the result against the float one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgepose import log
from edgepose.artifact import Artifact
from edgepose.calibration.agreement import Agreement, compare, figures_json, telling_samples
from edgepose.calibration.base import Calibrator, NetworkQuantiser
from edgepose.calibration.latency import interleaved_ms
from edgepose.calibration.plan import Plan
from edgepose.calibration.samples import Samples
from edgepose.calibration.search import Budget, default_budget, search
from edgepose.calibration.sensitivity import SensitivityReport, sensitivity
from edgepose.converters.engine import engine_label, run_engine
from edgepose.converters.parity import StageResult, compare_stage
from edgepose.errors import CalibrationError
from edgepose.temporary import temporary_space

Mode = Literal["int8", "mixed", "auto"]
MODES: tuple[Mode, ...] = ("int8", "mixed", "auto")

# Enough to rank the layers; the budget is checked on all held-out samples.
SENSITIVITY_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class CalibratedNetwork:
    """A network after calibration: quantised, or left as it was with the reason.

    median_ms: CPU milliseconds of one thread, by turns, of "fp32", "fp16" and, where that was tried, "int8";
    not in a bundle, where equal work gives equal bytes.
    """

    artifact: Artifact
    stage: StageResult | None
    agreement: Agreement | None
    budget: Budget
    report: SensitivityReport | None
    int8_layers: tuple[str, ...]
    layers: int
    median_ms: dict[str, float]
    left_float: str | None

    def stage_member(self) -> dict[str, Any] | None:
        """Return the entry for verification.stages; None where nothing was quantised."""
        if self.stage is None or self.agreement is None:
            return None
        member = self.stage.to_json()
        member["agreement"] = figures_json(self.agreement)
        member["budget"] = self.budget.to_json()
        if self.report is not None:
            member["sensitivity"] = self.report.to_json()
        return member


@temporary_space()
def calibrate_network(
    artifact: Artifact,
    calibrator: Calibrator,
    samples: Samples,
    plan: Plan,
    *,
    mode: Mode,
    budget_changes: Mapping[str, float],
    with_sensitivity: bool,
    work_dir: Path,
    stage: Callable[[str, int | None], None],
    advance: Callable[[], None],
) -> CalibratedNetwork:
    """Quantise a float network into work_dir.

    int8: every layer that can be. mixed: those worth it, without the heads. auto: those of the worthwhile
    that keep to the budget, and, where the result runs here, only if that is faster than fp32 and fp16.
    budget_changes: members of the default budget to replace.
    Errors: CalibrationError (over the limits), EngineError, MissingDependencyError, ConfigurationError.
    """
    name, held_out = artifact.spec.name, samples.held_out.tensors
    stage(f"{name}: observe {len(samples.calibration.tensors)} samples", None)
    quantiser = calibrator.observe(artifact, samples.calibration.tensors, plan)
    chosen = quantiser.names() if mode == "int8" else quantiser.worthwhile()
    if not chosen:
        raise CalibrationError(f"{name} has no layer that can become int8")
    report, budget = None, replace(default_budget(artifact.spec), mean_px=calibrator.max_mean_px)
    budget = replace(budget, **budget_changes)
    if with_sensitivity or mode == "auto":
        stage(f"{name}: sensitivity of {len(chosen)} layers", len(chosen))
        report = sensitivity(
            artifact,
            quantiser,
            telling_samples(artifact, held_out, SENSITIVITY_SAMPLES),
            layers=chosen,
            leave_out=with_sensitivity,  # the search does not need it, and it takes as long again
            advance=advance,
        )
    if mode == "auto":
        assert report is not None
        stage(f"{name}: search", None)
        chosen = _search(artifact, calibrator, quantiser, report, held_out, budget, advance)
    left_float = None if chosen else "no layer in int8 keeps to the budget"
    times: dict[str, float] = {}
    made = quantiser.write(dict.fromkeys(chosen, "int8"), work_dir / "int8") if chosen else None
    stage(f"{name}: measure", None)
    if calibrator.simulator is None:
        times = _times(artifact, quantiser, made, held_out[0], work_dir)
        if mode == "auto" and not left_float:
            left_float = _slower(times)
    layers = len(quantiser.names())
    if made is None or left_float:
        computes = "float32" if calibrator.simulator is None else "half precision"
        log.notice(f"{name} stays float and computes at {computes}: {left_float}")
        if calibrator.simulator is None:
            return CalibratedNetwork(artifact, None, None, budget, report, (), layers, times, left_float)
        # The float network is in a format that the device does not run.
        chosen, made = [], quantiser.half(work_dir / "half")
    references = run_engine(artifact, held_out)
    if calibrator.simulator is None:
        candidates = run_engine(made, held_out)
    else:
        (candidates,) = quantiser.outputs([dict.fromkeys(chosen, "int8")], held_out)
    try:
        result = _checked(made, references, candidates, mode, calibrator)
    except CalibrationError:
        tell_layers(name, report)
        raise
    agreement = compare(artifact.spec, references, candidates)
    entry = made.lineage[-1]
    arguments = {**entry.arguments, "model": name, "mode": mode, **samples.record()}
    made = replace(made, lineage=(*made.lineage[:-1], replace(entry, arguments=arguments)))
    return CalibratedNetwork(
        made, result, agreement, budget, report, tuple(chosen), layers, times, left_float
    )


def _search(
    artifact: Artifact,
    calibrator: Calibrator,
    quantiser: NetworkQuantiser,
    report: SensitivityReport,
    held_out: Sequence[NDArray[np.float32]],
    budget: Budget,
    advance: Callable[[], None],
) -> list[str]:
    """Search on few samples where the calibrator asks for that, and again on all if those disagree."""
    few = calibrator.search_samples
    if few is not None and few < len(held_out):
        first = telling_samples(artifact, held_out, few)
        found = search(artifact, quantiser, report, first, budget, advance=advance)
        (candidates,) = quantiser.outputs([dict.fromkeys(found.int8_layers, "int8")], held_out)
        if budget.allows(compare(artifact.spec, run_engine(artifact, held_out), candidates)):
            return list(found.int8_layers)
    return list(search(artifact, quantiser, report, held_out, budget, advance=advance).int8_layers)


def _checked(
    made: Artifact,
    references: Sequence[list[NDArray[np.float32]]],
    candidates: Sequence[list[NDArray[np.float32]]],
    mode: Mode,
    calibrator: Calibrator,
) -> StageResult:
    from edgepose.errors import ConversionError

    try:
        return compare_stage(
            made.spec,
            made.precision,
            calibrator.simulator or engine_label(made.format),
            precision=made.precision,
            references=references,
            candidates=candidates,
            is_real=[True] * len(references),
        )
    except ConversionError as error:
        hint = "" if mode == "auto" else "the network does not stand it; "
        raise CalibrationError(error.message, hint=hint + other_way(mode, calibrator)) from error


def tell_layers(name: str, report: SensitivityReport | None) -> None:
    """Print the table of layers where a calibration is refused: it says why, and is written nowhere."""
    if report is not None:
        log.notice(f"layers of {name}:\n{report.table()}")


def other_way(mode: Mode, calibrator: Calibrator) -> str:
    """Say what to do where a network that was quantised in a mode is refused."""
    if not calibrator.has_half:
        return "give more pictures, or take a chip with half precision"
    other = "convert with --precision fp16 (or fp32, where the target has it)"
    return other if mode == "auto" else "use --precision auto"


def _times(
    artifact: Artifact,
    quantiser: NetworkQuantiser,
    made: Artifact | None,
    sample: NDArray[np.float32],
    work_dir: Path,
) -> dict[str, float]:
    """Measure the precisions that there are by turns."""
    artifacts = {"fp32": artifact, "fp16": quantiser.half(work_dir / "half")}
    if made is not None:
        artifacts["int8"] = made
    return dict(zip(artifacts, interleaved_ms(list(artifacts.values()), sample), strict=True))


def _slower(times: dict[str, float]) -> str | None:
    """Say so where int8 is not the fastest here."""
    for other in ("fp32", "fp16"):
        if times["int8"] >= times[other]:
            ratio = times[other] / times["int8"]
            return f"int8 is {ratio:.2f} times as fast as {other} on this machine"
    return None
