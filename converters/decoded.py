"""Compare what the outputs of two networks decode to: keypoints of poses, boxes of detectors, or both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.artifact import BoxHead, ModelSpec, OneStageHead, SimccHead
from edgepose.bundle.manifest import head_member, preprocess_member
from edgepose.converters.limits import BOX_IOU, BOX_SCORE, Limits
from edgepose.core import core_errors, load_core

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

IDENTITY = (1.0, 1.0, 0.0, 0.0)

_ALL_BOXES = 10000
# A shift above this is a jump to another peak, not a peak that moved.
_JUMP_PX = 2.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The decoded differences of one network over all real samples.

    shifts_px: one per confident keypoint or matched box. ambiguous: keypoints that jumped between two peaks
    that the reference has equal; not among the shifts. recall: share of the reference's boxes found, where
    there are any.
    """

    shifts_px: list[float]
    ambiguous: int = 0
    recall: float | None = None
    tied_peaks: float | None = None


def compare_decoded(
    spec: ModelSpec,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    limits: Limits,
    *,
    dcc_file: Path | None = None,
) -> Comparison:
    """Compare per sample, in pixels of the network input. Errors: those of the C++ decoders."""
    if isinstance(spec.head, SimccHead):
        return _compare_simcc(spec, references, candidates, limits)
    if isinstance(spec.head, BoxHead):
        return _compare_boxes(spec, references, candidates)
    return _compare_persons(spec, references, candidates, dcc_file)


def decode_simcc(spec: ModelSpec, outputs: Sequence[Array], transform: Sequence[float] = IDENTITY) -> Array:
    """Decode one person's SimCC outputs [1, K, bins] with the C++ decoder into [K, 3]: x px, y px, score."""
    import numpy as np

    rows = [np.ascontiguousarray(a[0]) for a in outputs]
    depth = rows[2] if len(rows) > 2 else None
    keypoints: Array
    with core_errors():
        keypoints, _ = load_core().decode_simcc(
            rows[0], rows[1], depth, json.dumps(head_member(spec.head)), _four(transform)
        )
    return keypoints


def decode_boxes(
    spec: ModelSpec, outputs: Sequence[Array], transform: Sequence[float], image_hw: tuple[int, int]
) -> Array:
    """Decode one picture's detector outputs with the C++ decoder into [M, 6]: corners, score, label."""
    import numpy as np

    with core_errors():
        boxes: Array = load_core().decode_boxes(
            [np.ascontiguousarray(a) for a in outputs],
            json.dumps(head_member(spec.head)),
            json.dumps(preprocess_member(spec.preprocess)),
            _four(transform),
            image_hw,
        )
    return boxes


def decode_persons(
    spec: ModelSpec,
    outputs: Sequence[Array],
    transform: Sequence[float],
    image_hw: tuple[int, int],
    dcc_file: Path | None,
) -> tuple[Array, Array]:
    """Decode one picture's RTMO outputs with the C++ decoder into boxes [M, 6] and keypoints [M, K, 3]."""
    import numpy as np

    if dcc_file is None:
        raise ValueError(f"{spec.name}: the coordinate classifier's weights are missing")
    with core_errors():
        persons: tuple[Array, Array] = load_core().decode_rtmo(
            [np.ascontiguousarray(a) for a in outputs],
            json.dumps(head_member(spec.head)),
            json.dumps(preprocess_member(spec.preprocess)),
            _four(transform),
            image_hw,
            str(dcc_file),
        )
    return persons


def _four(transform: Sequence[float]) -> tuple[float, float, float, float]:
    scale_x, scale_y, offset_x, offset_y = transform
    return scale_x, scale_y, offset_x, offset_y


def _compare_simcc(
    spec: ModelSpec,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    limits: Limits,
) -> Comparison:
    import numpy as np

    wanted = np.stack([decode_simcc(spec, outputs) for outputs in references])
    got = np.stack([decode_simcc(spec, outputs) for outputs in candidates])
    confident = (wanted[..., 2] >= np.median(wanted[..., 2])) & (wanted[..., 2] > 0)
    shifts, ambiguous, tied = [], 0, []
    for sample, keypoint in zip(*np.nonzero(confident), strict=True):
        difference = wanted[sample, keypoint, :2] - got[sample, keypoint, :2]
        shift = float(np.hypot(difference[0], difference[1]))
        if shift > _JUMP_PX and all(
            _is_tie(reference[0, keypoint], candidate[0, keypoint], limits.tie)
            for reference, candidate in zip(references[sample], candidates[sample], strict=True)
        ):
            ambiguous += 1
        else:
            shifts.append(shift)
        tied += [
            int(np.count_nonzero(a[0, keypoint] == a[0, keypoint].max())) for a in candidates[sample][:2]
        ]
    return Comparison(shifts, ambiguous, tied_peaks=float(np.mean(tied)) if tied else None)


def _is_tie(reference: Array, candidate: Array, tie: float) -> bool:
    """Tell whether the candidate's peak is, in the reference's row, as high as its own within `tie`."""
    peak = float(reference.max())
    span = peak - float(reference.min())
    return peak - float(reference[int(candidate.argmax())]) <= tie * span


def _unsuppressed(spec: ModelSpec) -> ModelSpec:
    """Return a specification whose decoder gives every box above the score threshold.

    Which of two overlapping boxes survives suppression may hang on the last bit of their scores; where the
    network has boxes does not.
    """
    head = spec.head
    if isinstance(head, BoxHead):
        head = dataclasses.replace(
            head, nms_iou_threshold=1.0, max_candidates_per_level=_ALL_BOXES, max_detections=_ALL_BOXES
        )
    elif isinstance(head, OneStageHead):
        head = dataclasses.replace(
            head, nms_iou_threshold=1.0, max_candidates=_ALL_BOXES, max_detections=_ALL_BOXES
        )
    return dataclasses.replace(spec, head=head)


def _compare_boxes(
    spec: ModelSpec, references: Sequence[Sequence[Array]], candidates: Sequence[Sequence[Array]]
) -> Comparison:
    """Look for every box of the reference among all boxes of the candidate."""
    import numpy as np

    shifts: list[float] = []
    wanted_count = 0
    input_hw = spec.preprocess.input_hw
    for reference, candidate in zip(references, candidates, strict=True):
        wanted = decode_boxes(spec, reference, IDENTITY, input_hw)
        wanted = wanted[wanted[:, 4] > BOX_SCORE]
        got = decode_boxes(_unsuppressed(spec), candidate, IDENTITY, input_hw)
        wanted_count += len(wanted)
        for box, found in match_boxes(wanted, got):
            shifts.append(float(np.abs(wanted[box, :4] - got[found, :4]).max()))
    return Comparison(shifts, recall=len(shifts) / wanted_count if wanted_count else None)


def _compare_persons(
    spec: ModelSpec,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    dcc_file: Path | None,
) -> Comparison:
    """Look for every person of the reference among all of the candidate; shifts are those of keypoints."""
    import numpy as np

    pairs: list[tuple[Array, Array]] = []
    wanted_count = 0
    input_hw = spec.preprocess.input_hw
    for reference, candidate in zip(references, candidates, strict=True):
        boxes, points = decode_persons(spec, reference, IDENTITY, input_hw, dcc_file)
        sure = boxes[:, 4] > BOX_SCORE
        boxes, points = boxes[sure], points[sure]
        found_boxes, found_points = decode_persons(
            _unsuppressed(spec), candidate, IDENTITY, input_hw, dcc_file
        )
        wanted_count += len(boxes)
        pairs += [(points[a], found_points[b]) for a, b in match_boxes(boxes, found_boxes)]
    if not pairs:
        return Comparison([], recall=0.0 if wanted_count else None)
    wanted, got = (np.stack(side) for side in zip(*pairs, strict=True))
    confident = wanted[..., 2] >= np.median(wanted[..., 2])
    shifts = np.linalg.norm(wanted[..., :2] - got[..., :2], axis=2)[confident]
    return Comparison([float(shift) for shift in shifts], recall=len(pairs) / wanted_count)


def match_boxes(wanted: Array, got: Array) -> list[tuple[int, int]]:
    """Find, for each box [M, 6], the one of its label with the largest IoU; return the pairs of indices."""
    import numpy as np

    pairs = []
    for index, box in enumerate(wanted):
        same = np.flatnonzero(got[:, 5] == box[5])
        overlaps = iou(box, got[same])
        if len(same) and overlaps.max() >= BOX_IOU:
            pairs.append((index, int(same[overlaps.argmax()])))
    return pairs


def iou(box: Array, others: Array) -> Array:
    """Return the intersection over union of a box (x1, y1, x2, y2, ...) with each row of `others`."""
    import numpy as np

    sides = np.minimum(box[2:4], others[:, 2:4]) - np.maximum(box[:2], others[:, :2])
    inner = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(others[:, 2:4] - others[:, :2], axis=1)
    union = areas + np.prod(box[2:4] - box[:2]) - inner
    overlaps: Array = np.where(union > 0, inner / np.where(union > 0, union, 1), 0)
    return overlaps
