"""Compare what the outputs of two networks decode to: keypoints of poses, boxes of detectors, or both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    shifts_px: one per confident keypoint or matched box. depths_px: the shifts of the same keypoints' depths,
    of 3-D networks. ambiguous: keypoints that jumped between two peaks that the reference has equal; not
    among the shifts. recall: share of the reference's boxes found, where there are any. false_boxes: share of
    the candidate's boxes that are false, where there are any.
    """

    shifts_px: list[float]
    depths_px: list[float] | None = None
    ambiguous: int = 0
    recall: float | None = None
    false_boxes: float | None = None
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
        return _compare_simcc(spec, spec.head, references, candidates, limits)
    if isinstance(spec.head, BoxHead):
        return _compare_boxes(spec, references, candidates, limits)
    return _compare_persons(spec, references, candidates, limits, dcc_file)


def decode_simcc(
    spec: ModelSpec, outputs: Sequence[Array], transform: Sequence[float] = IDENTITY
) -> tuple[Array, Array | None]:
    """Decode one person's SimCC outputs [1, K, bins] with the C++ decoder.

    Returns keypoints [K, 3], x px, y px, score, and, of a 3-D network, depths [K] in metres.
    """
    import numpy as np

    rows = [np.ascontiguousarray(a[0]) for a in outputs]
    depth = rows[2] if len(rows) > 2 else None
    with core_errors():
        decoded: tuple[Array, Array | None] = load_core().decode_simcc(
            rows[0], rows[1], depth, json.dumps(head_member(spec.head)), _four(transform)
        )
    return decoded


def decode_axes(spec: ModelSpec, head: SimccHead, outputs: Sequence[Array]) -> tuple[Array, Array]:
    """Decode one person's SimCC outputs into places [K, 2 or 3], one column an axis, and scores [K].

    All in pixels of the network input: a bin of the depth is as long as one of x and y.
    """
    import numpy as np

    keypoints, depths = decode_simcc(spec, outputs)
    places = keypoints[:, :2]
    if depths is not None and head.z_range:
        half = outputs[2].shape[2] / head.split_ratio / 2
        places = np.concatenate([places, ((depths / head.z_range + 1) * half)[:, None]], axis=1)
    return places, keypoints[:, 2]


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


def confident(scores: NDArray[np.floating[Any]], seen: float) -> NDArray[np.bool_]:
    """Tell of which points a network is sure, scores [M, K] of M persons: their score is positive, and in the
    upper half of all, or `seen` (the keypoint score threshold) and in the upper half of its joint.

    Half of all alone would leave out whole groups of a large set, such as the hands, whose scores are lower
    than the body's. Half of each joint alone would let in joints that are out of sight in every picture,
    whose places are noise.
    """
    import numpy as np

    if not scores.size:
        return np.zeros(scores.shape, bool)
    least = np.minimum(np.median(scores), np.maximum(np.median(scores, axis=0), seen))
    chosen: NDArray[np.bool_] = (scores >= least) & (scores > 0)
    return chosen


def _four(transform: Sequence[float]) -> tuple[float, float, float, float]:
    scale_x, scale_y, offset_x, offset_y = transform
    return scale_x, scale_y, offset_x, offset_y


def _compare_simcc(
    spec: ModelSpec,
    head: SimccHead,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    limits: Limits,
) -> Comparison:
    import numpy as np

    decoded = [decode_axes(spec, head, outputs) for outputs in references]
    wanted = np.stack([places for places, _ in decoded])
    scores = np.stack([found for _, found in decoded])
    got = np.stack([decode_axes(spec, head, outputs)[0] for outputs in candidates])
    shifts: list[float] = []
    depths: list[float] = []
    ambiguous, tied = 0, []
    sure = confident(scores, spec.keypoint_score_threshold)
    for sample, keypoint in zip(*np.nonzero(sure), strict=True):
        difference = wanted[sample, keypoint] - got[sample, keypoint]
        shift = float(np.hypot(difference[0], difference[1]))
        depth = float(np.abs(difference[2:]).sum())
        if max(shift, depth) > _JUMP_PX and all(
            _is_tie(reference[0, keypoint], candidate[0, keypoint], limits.tie)
            for reference, candidate in zip(references[sample], candidates[sample], strict=True)
        ):
            ambiguous += 1
        else:
            shifts.append(shift)
            depths.append(depth)
        tied += [
            int(np.count_nonzero(a[0, keypoint] == a[0, keypoint].max())) for a in candidates[sample][:2]
        ]
    return Comparison(
        shifts,
        depths if wanted.shape[2] > 2 else None,
        ambiguous,
        tied_peaks=float(np.mean(tied)) if tied else None,
    )


def _is_tie(reference: Array, candidate: Array, tie: float) -> bool:
    """Tell whether the candidate's peak is, in the reference's row, as high as its own within `tie`."""
    peak = float(reference.max())
    span = peak - float(reference.min())
    return peak - float(reference[int(candidate.argmax())]) <= tie * span


def unsuppressed(spec: ModelSpec, score: float) -> ModelSpec:
    """Return a specification whose decoder gives every box above a score.

    Which of two overlapping boxes survives suppression may hang on the last bit of their scores; where the
    network has boxes does not.
    """
    head = spec.head
    everything: dict[str, Any] = {
        "score_threshold": score,
        "nms_iou_threshold": 1.0,
        "max_detections": _ALL_BOXES,
    }
    if isinstance(head, BoxHead):
        head = dataclasses.replace(head, max_candidates_per_level=_ALL_BOXES, **everything)
    elif isinstance(head, OneStageHead):
        head = dataclasses.replace(head, max_candidates=_ALL_BOXES, **everything)
    return dataclasses.replace(spec, head=head)


def findable(spec: ModelSpec, margin: float) -> ModelSpec:
    """Return the specification for boxes among which those of a reference are looked for.

    A checkpoint may state a score threshold of BOX_SCORE or more: its boxes would hang on a last bit, too.
    """
    head = spec.head
    stated = BOX_SCORE if isinstance(head, SimccHead) else head.score_threshold
    return unsuppressed(spec, min(stated, BOX_SCORE - margin))


def count_false_boxes(
    spec: ModelSpec,
    reference: Sequence[Array],
    candidate: Sequence[Array],
    margin: float,
    decode: Callable[..., Array] = decode_boxes,
) -> tuple[int, int]:
    """Count the boxes that the reference has not, and all that are looked at. decode: as decode_boxes.

    These are the candidate's whose score is over BOX_SCORE by more than the margin, so that one at the
    threshold does not hang on a last bit; each is looked for among all of the reference's that are under
    it by less than the margin.
    """
    input_hw = spec.preprocess.input_hw
    sure = decode(spec, candidate, IDENTITY, input_hw)
    sure = sure[sure[:, 4] > BOX_SCORE + margin]
    if not len(sure):
        return 0, 0
    known = decode(unsuppressed(spec, BOX_SCORE - margin), reference, IDENTITY, input_hw)
    return len(sure) - len(match_boxes(sure, known)), len(sure)


def _compare_boxes(
    spec: ModelSpec,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    limits: Limits,
) -> Comparison:
    """Look for every box of the reference among all boxes of the candidate, and the other way round."""
    import numpy as np

    shifts: list[float] = []
    wanted_count = false_count = sure_count = 0
    input_hw = spec.preprocess.input_hw
    for reference, candidate in zip(references, candidates, strict=True):
        wanted = decode_boxes(spec, reference, IDENTITY, input_hw)
        wanted = wanted[wanted[:, 4] > BOX_SCORE]
        got = decode_boxes(findable(spec, limits.score_margin), candidate, IDENTITY, input_hw)
        wanted_count += len(wanted)
        for box, found in match_boxes(wanted, got):
            shifts.append(float(np.abs(wanted[box, :4] - got[found, :4]).max()))
        false, sure = count_false_boxes(spec, reference, candidate, limits.score_margin)
        false_count, sure_count = false_count + false, sure_count + sure
    return Comparison(
        shifts, recall=_share(len(shifts), wanted_count), false_boxes=_share(false_count, sure_count)
    )


def _compare_persons(
    spec: ModelSpec,
    references: Sequence[Sequence[Array]],
    candidates: Sequence[Sequence[Array]],
    limits: Limits,
    dcc_file: Path | None,
) -> Comparison:
    """Look for every person as for boxes; shifts are those of keypoints."""
    import numpy as np

    def boxes_of(
        spec: ModelSpec, outputs: Sequence[Array], transform: Sequence[float], image_hw: tuple[int, int]
    ) -> Array:
        return decode_persons(spec, outputs, transform, image_hw, dcc_file)[0]

    pairs: list[tuple[Array, Array]] = []
    wanted_count = false_count = sure_count = 0
    input_hw = spec.preprocess.input_hw
    margin = limits.score_margin
    for reference, candidate in zip(references, candidates, strict=True):
        boxes, points = decode_persons(spec, reference, IDENTITY, input_hw, dcc_file)
        sure = boxes[:, 4] > BOX_SCORE
        boxes, points = boxes[sure], points[sure]
        found_boxes, found_points = decode_persons(
            findable(spec, margin), candidate, IDENTITY, input_hw, dcc_file
        )
        wanted_count += len(boxes)
        pairs += [(points[a], found_points[b]) for a, b in match_boxes(boxes, found_boxes)]
        false, sure_boxes = count_false_boxes(spec, reference, candidate, margin, boxes_of)
        false_count, sure_count = false_count + false, sure_count + sure_boxes
    recall, false_boxes = _share(len(pairs), wanted_count), _share(false_count, sure_count)
    if not pairs:
        return Comparison([], recall=recall, false_boxes=false_boxes)
    wanted, got = (np.stack(side) for side in zip(*pairs, strict=True))
    counts = confident(wanted[..., 2], spec.keypoint_score_threshold)
    shifts = np.linalg.norm(wanted[..., :2] - got[..., :2], axis=2)[counts]
    return Comparison([float(shift) for shift in shifts], recall=recall, false_boxes=false_boxes)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


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
