"""How near a quantised network is to the float one, in what its outputs decode to."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.artifact import Artifact, BoxHead, ModelSpec, SimccHead
from edgepose.converters.decoded import (
    IDENTITY,
    confident,
    count_false_boxes,
    decode_axes,
    decode_boxes,
    findable,
    iou,
)
from edgepose.converters.engine import open_engine, run_engine
from edgepose.converters.limits import BOX_SCORE, LIMITS
from edgepose.converters.parity import three_digits
from edgepose.core import core_errors
from edgepose.errors import CalibrationError

Floats = NDArray[np.float32]
Outputs = list[Floats]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The decoded difference to a reference on the same samples, in pixels of the network's input.

    Poses: shifts of the keypoints that are confident() in the reference, of 3-D networks in x, y and z, and
    the mean over samples of the object keypoint similarity of these to the reference's, the person being the
    input without its border. Detectors: largest corner shifts of the reference's boxes to the nearest of the
    same label, and the mean of their IoU, 0 for a lost one and for each of the false_boxes, which the
    reference does not have. output_error: mean square error of the raw outputs relative to their mean square,
    which moves smoothly where decoded figures jump.
    """

    compared: int
    mean_px: float
    p95_px: float
    max_px: float
    similarity: float
    output_error: float
    false_boxes: int | None = None


def figures_json(agreement: Agreement) -> dict[str, float | int | None]:
    """Return the figures as a JSON value, to three digits; None for what is infinite."""
    false_boxes = {} if agreement.false_boxes is None else {"false_boxes": agreement.false_boxes}
    return {
        "compared": agreement.compared,
        "mean_px": rounded(agreement.mean_px),
        "p95_px": rounded(agreement.p95_px),
        "max_px": rounded(agreement.max_px),
        "similarity": None if not math.isfinite(agreement.similarity) else round(agreement.similarity, 5),
        "output_error": rounded(agreement.output_error),
        **false_boxes,
    }


def rounded(value: float) -> float | None:
    """Keep three digits: the rest is noise of the machine. None for what is not finite."""
    return three_digits(value) if math.isfinite(value) else None


def telling_samples(artifact: Artifact, samples: Sequence[Floats], count: int) -> list[Floats]:
    """Return `count` of the samples: the first in which the float network finds a box, then the first others.

    A set may begin with pictures that show nobody, which say nothing of a detector. Errors: as open_engine.
    """
    if not isinstance(artifact.spec.head, BoxHead) or len(samples) <= count:
        return list(samples[:count])
    engine = open_engine(artifact)
    telling: list[Floats] = []
    others: list[Floats] = []
    for sample in samples:
        with core_errors():
            outputs = engine.run([sample])
        boxes = decode_boxes(artifact.spec, outputs, IDENTITY, artifact.spec.preprocess.input_hw)
        (telling if (boxes[:, 4] > BOX_SCORE).any() else others).append(sample)
        if len(telling) == count:
            break
    return [*telling, *others][:count]


def written_outputs(
    write: Callable[[Any, Path], Artifact], maps: Sequence[Any], samples: Sequence[Floats]
) -> Iterator[list[Outputs]]:
    """Run samples with what `write` makes of each of the maps, in a folder that is removed again.

    Errors: those of write() and run_engine().
    """
    with tempfile.TemporaryDirectory(prefix="edgepose-candidate-", ignore_cleanup_errors=True) as folder:
        for number, precision_map in enumerate(maps):
            candidate = Path(folder) / str(number)
            made = run_engine(write(precision_map, candidate), samples)
            shutil.rmtree(candidate)
            yield made


def compare(spec: ModelSpec, references: Sequence[Outputs], candidates: Sequence[Outputs]) -> Agreement:
    """Compare the outputs of two networks on the same samples.

    Errors: CalibrationError where there is nothing to compare, or for a head that is not decoded here.
    """
    if not references or len(references) != len(candidates):
        raise CalibrationError(f"{len(references)} samples cannot be compared with {len(candidates)}")
    false_boxes = None
    if isinstance(spec.head, SimccHead):
        shifts, similarities = _pose_differences(spec, spec.head, references, candidates)
    elif isinstance(spec.head, BoxHead):
        shifts, similarities = _box_differences(spec, references, candidates)
        # A false box is as bad as a lost one: the pose network finds a person in either.
        false_boxes = _false_boxes(spec, references, candidates)
    else:
        raise CalibrationError(f"{spec.name}: heads of type {spec.head.type} are not compared yet")
    if not similarities:
        raise CalibrationError(
            f"{spec.name}: the float network finds nothing in the {len(references)} samples to compare by",
            hint="give pictures that show people",
        )
    similarities += [0.0] * (false_boxes or 0)
    return Agreement(
        compared=len(shifts),
        mean_px=float(np.mean(shifts)) if shifts else float("inf"),
        p95_px=float(np.percentile(shifts, 95)) if shifts else float("inf"),
        max_px=max(shifts, default=float("inf")),
        similarity=float(np.mean(similarities)),
        output_error=output_error(references, candidates),
        false_boxes=false_boxes,
    )


def _pose_differences(
    spec: ModelSpec, head: SimccHead, references: Sequence[Outputs], candidates: Sequence[Outputs]
) -> tuple[list[float], list[float]]:
    decoded = [decode_axes(spec, head, outputs) for outputs in references]
    wanted = np.stack([places for places, _ in decoded]).astype(np.float64)
    got = np.stack([decode_axes(spec, head, outputs)[0] for outputs in candidates]).astype(np.float64)
    scores = np.stack([found for _, found in decoded])
    counts = confident(scores, spec.keypoint_score_threshold)
    shifts = np.linalg.norm(wanted - got, axis=2)
    height, width = spec.preprocess.input_hw
    area = height * width / spec.preprocess.box_padding**2
    # COCO's similarity: exp(-d^2 / (2 area k^2)), k = 2 sigma.
    spread = 2 * area * np.square(2 * np.asarray(head.points.sigmas))
    similarity = np.exp(-np.square(shifts) / spread)
    per_sample = [float(similarity[i, sure].mean()) for i, sure in enumerate(counts) if sure.any()]
    return shifts[counts].tolist(), per_sample


def _box_differences(
    spec: ModelSpec, references: Sequence[Outputs], candidates: Sequence[Outputs]
) -> tuple[list[float], list[float]]:
    shifts: list[float] = []
    overlaps: list[float] = []
    loose = findable(spec, LIMITS["int8"].score_margin)
    for reference, candidate in zip(references, candidates, strict=True):
        wanted = decode_boxes(spec, reference, IDENTITY, spec.preprocess.input_hw)
        got = decode_boxes(loose, candidate, IDENTITY, spec.preprocess.input_hw)
        for box in wanted[wanted[:, 4] > BOX_SCORE]:
            same = got[got[:, 5] == box[5]]
            overlap = iou(box, same)
            best = int(overlap.argmax()) if len(same) else -1
            if best < 0 or overlap[best] <= 0:
                overlaps.append(0.0)
                continue
            overlaps.append(float(overlap[best]))
            shifts.append(float(np.abs(box[:4] - same[best, :4]).max()))
    return shifts, overlaps


def _false_boxes(spec: ModelSpec, references: Sequence[Outputs], candidates: Sequence[Outputs]) -> int:
    """Count the candidates' boxes that the references have not, scores being as exact as int8 leaves them."""
    pairs = zip(references, candidates, strict=True)
    margin = LIMITS["int8"].score_margin
    return sum(count_false_boxes(spec, wanted, got, margin)[0] for wanted, got in pairs)


def output_error(references: Sequence[Outputs], candidates: Sequence[Outputs]) -> float:
    """Average the relative error over the outputs; infinite where a candidate is not finite."""
    errors = []
    for index in range(len(references[0])):
        power = sum(float(np.square(r[index], dtype=np.float64).sum()) for r in references)
        with np.errstate(over="ignore", invalid="ignore"):
            error = sum(
                float(np.square(r[index] - c[index], dtype=np.float64).sum())
                for r, c in zip(references, candidates, strict=True)
            )
        errors.append(error / power if power > 0 else error)
    mean = float(np.mean(errors))
    return mean if np.isfinite(mean) else float("inf")
