"""Compare a converted network with the torch float32 one, on what it puts out and on what that decodes to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.artifact import BoxHead, ModelSpec, Precision
from edgepose.converters.decoded import Comparison, compare_decoded
from edgepose.converters.limits import DEAD_SHARE, LIMITS, Limits
from edgepose.errors import ConversionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StageResult:
    """How far one stage's output is from the torch float32 network, with the limits that it had to meet.

    depth_mean_px: mean shift of the confident keypoints' depths, of 3-D networks. recall and false_boxes: of
    detectors, the share of the reference's boxes found, and of its own that the reference has not.
    """

    model: str
    stage: str
    engine: str
    precision: Precision
    real_samples: int
    random_samples: int
    max_abs: float
    relative: float
    cosine: float
    compared: int
    mean_px: float | None
    p95_px: float | None
    max_px: float | None
    depth_mean_px: float | None
    ambiguous: float
    recall: float | None
    false_boxes: float | None
    limits: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the member of a manifest's verification.stages."""
        return dataclasses.asdict(self)


class ParityError(ConversionError):
    """A converted network is off; `stages` are the results so far, the bad one last."""

    def __init__(self, message: str, *, hint: str | None = None, stages: Sequence[StageResult] = ()) -> None:
        super().__init__(message, hint=hint)
        self.stages = tuple(stages)


def compare_stage(
    spec: ModelSpec,
    stage: str,
    engine: str,
    *,
    precision: Precision,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    is_real: Sequence[bool],
    dcc_file: Path | None = None,
) -> StageResult:
    """Compare the outputs of all samples and hold them against the limits.

    references and candidates: per sample, the outputs in the order of the head, each [1, ...]. dcc_file: the
    weights of RTMO's coordinate classifier.
    Errors: ParityError that names the stage, the value and the limit.
    """
    limits = LIMITS[precision]
    where = f"{spec.name}, stage {stage} ({precision})"
    _check_shapes(where, references, candidates)
    _check_values(spec, where, references, candidates)
    max_abs, relative, cosine = _raw_differences(references, candidates)
    real = [i for i, flag in enumerate(is_real) if flag]
    decoded = compare_decoded(
        spec, [references[i] for i in real], [candidates[i] for i in real], limits, dcc_file=dcc_file
    )
    limit_px = limits.box_mean_px if isinstance(spec.head, BoxHead) else limits.mean_px
    shifts = sorted(decoded.shifts_px)
    compared = len(shifts) + decoded.ambiguous
    result = StageResult(
        model=spec.name,
        stage=stage,
        engine=engine,
        precision=precision,
        real_samples=len(real),
        random_samples=len(is_real) - len(real),
        max_abs=three_digits(max_abs),
        relative=three_digits(relative),
        cosine=round(cosine, 7),
        compared=compared,
        mean_px=three_digits(sum(shifts) / len(shifts)) if shifts else None,
        p95_px=three_digits(shifts[int(0.95 * len(shifts))]) if shifts else None,
        max_px=three_digits(shifts[-1]) if shifts else None,
        depth_mean_px=three_digits(sum(decoded.depths_px) / len(decoded.depths_px))
        if decoded.depths_px
        else None,
        ambiguous=three_digits(decoded.ambiguous / compared) if compared else 0.0,
        recall=None if decoded.recall is None else three_digits(decoded.recall),
        false_boxes=None if decoded.false_boxes is None else three_digits(decoded.false_boxes),
        limits={
            "mean_px": limit_px,
            "depth_mean_px": limits.mean_px,
            "cosine": limits.cosine,
            "recall": limits.recall,
            "false_boxes": limits.false_boxes,
        },
    )
    problem = _first_violation(spec, result, decoded, limits)
    if problem:
        raise ParityError(
            f"{where}: {problem}",
            hint=("no bundle was written; " + ("" if precision == "fp32" else "try --precision fp32, and "))
            + "please report it with the checkpoint's name and --json's output",
            stages=[result],
        )
    return result


def _first_violation(spec: ModelSpec, result: StageResult, decoded: Comparison, limits: Limits) -> str | None:
    if result.cosine < limits.cosine:
        return f"cosine {result.cosine:.6f} is below the limit {limits.cosine}"
    if decoded.tied_peaks is not None and decoded.tied_peaks > limits.tied_peaks:
        return (
            f"tied peaks: {decoded.tied_peaks:.1f} equal maxima in a row, over the limit {limits.tied_peaks}"
        )
    if result.mean_px is not None and result.mean_px > result.limits["mean_px"]:
        what = "boxes" if isinstance(spec.head, BoxHead) else "keypoints"
        limit_px = result.limits["mean_px"]
        return f"{what} shift by {result.mean_px:.3f} px in the mean, over the limit {limit_px} px"
    if result.depth_mean_px is not None and result.depth_mean_px > limits.mean_px:
        return (
            f"depths shift by {result.depth_mean_px:.3f} px in the mean (a bin of z counted as one of x), "
            f"over the limit {limits.mean_px} px"
        )
    if result.ambiguous > limits.ambiguous:
        share, limit = f"{result.ambiguous:.1%}", f"{limits.ambiguous:.0%}"
        return f"{share} of the keypoints jump to an equal peak, over the limit {limit}"
    if result.recall is not None and result.recall < limits.recall:
        return f"recall {result.recall:.3f} is below the limit {limits.recall}"
    if result.false_boxes is not None and result.false_boxes > limits.false_boxes:
        return (
            f"false boxes: {result.false_boxes:.1%} of those found are none of the reference's, "
            f"over the limit {limits.false_boxes:.0%}"
        )
    return None


def _check_shapes(
    where: str, references: Sequence[Sequence[Array]], candidates: Sequence[Sequence[Array]]
) -> None:
    for reference, candidate in zip(references, candidates, strict=True):
        wanted = [tuple(a.shape) for a in reference]
        got = [tuple(a.shape) for a in candidate]
        if wanted != got:
            raise ParityError(f"{where}: output shapes are {got}, where torch has {wanted}")


def _check_values(
    spec: ModelSpec, where: str, references: Sequence[Sequence[Array]], candidates: Sequence[Sequence[Array]]
) -> None:
    """Name what makes every later figure meaningless: NaN, infinity, and outputs that are all about zero."""
    import numpy as np

    for index, name in enumerate(spec.output_names):
        got = [candidate[index] for candidate in candidates]
        bad = sum(int(np.count_nonzero(~np.isfinite(a))) for a in got)
        if bad:
            total = sum(a.size for a in got)
            raise ParityError(
                f"{where}: output {name} has {bad} of {total} values that are NaN or infinite (limit 0)",
                hint="a value left the range of half precision" if "fp16" in where else None,
            )
        largest = max(float(np.abs(a).max()) for a in got)
        wanted = max(float(np.abs(reference[index]).max()) for reference in references)
        if largest < DEAD_SHARE * wanted:
            raise ParityError(
                f"{where}: all scores ~ 0: output {name} is at most {largest:.2g}, torch has {wanted:.2g}"
            )


def _raw_differences(
    references: Sequence[Sequence[Array]], candidates: Sequence[Sequence[Array]]
) -> tuple[float, float, float]:
    """Return the largest difference, the largest relative to its output's range, and the smallest cosine."""
    import numpy as np

    max_abs, relative, cosine = 0.0, 0.0, 1.0
    for reference, candidate in zip(references, candidates, strict=True):
        for wanted, got in zip(reference, candidate, strict=True):
            difference = float(np.abs(wanted - got).max())
            max_abs = max(max_abs, difference)
            size = float(np.abs(wanted).max())
            relative = max(relative, difference / size if size > 0 else difference)
            a, b = wanted.ravel().astype(np.float64), got.ravel().astype(np.float64)
            norms = float(np.linalg.norm(a) * np.linalg.norm(b))
            if norms > 0:
                cosine = min(cosine, float(a @ b) / norms)
            elif difference > 0:
                cosine = min(cosine, 0.0)
    return max_abs, relative, cosine


def three_digits(value: float) -> float:
    """Round a value: the rest is noise of the machine, and a bundle is to be the same when made again."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, 2 - math.floor(math.log10(abs(value))))
