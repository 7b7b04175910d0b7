"""The golden results of a bundle: what the torch network gives with the C++ pre- and post-processing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.artifact import BoxHead, ModelSpec, SimccHead
from edgepose.bundle.manifest import preprocess_member
from edgepose.converters.decoded import decode_boxes, decode_persons, decode_simcc
from edgepose.converters.samples import preprocessed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.converters.samples import GoldenPicture

    Array = NDArray[np.float32]

BOX_COUNT = 3

_NAME = "the golden picture"
_DECIMALS = 4
_DEPTH_DECIMALS = 6
# Bins this near to a peak belong to it.
_PEAK_BINS = 12
# A peak that exceeds all others by less than this part of its row's range is undecided.
_CLEAR = 0.03
# Nor does one prove anything that half precision may move by more than this many bins: one on a plateau,
# whose other bins are lower by less than this part of the range.
_NEAR_BINS = 2
_NEAR_CLEAR = 0.002


def expected(
    spec: ModelSpec,
    golden: GoldenPicture,
    run: Callable[[Array], list[Array]],
    *,
    dcc_file: Path | None = None,
) -> dict[str, Any]:
    """Return {"boxes_xyxy": ..., "detections": ..., "poses": ...}, None for what the network does not give.

    run: the torch network on one input; dcc_file: the weights of RTMO's coordinate classifier. Detections:
    [x1, y1, x2, y2, score, label] each. Poses: [x, y, score] per keypoint for each detection of a one-stage
    network, or for each of three boxes, those of the candidates with the most clear keypoints. A point that
    the network has at two nearly equal places proves nothing: its score is 0, as that of a missing point, and
    it is not compared. A 3-D network has "depths", too: metres, for each keypoint of each pose.
    """
    spec_json = json.dumps(preprocess_member(spec.preprocess))
    if isinstance(spec.head, SimccHead):
        tried = []
        for box in golden.candidate_boxes:
            tensor, transform = preprocessed(_NAME, golden.picture, box, spec_json)
            outputs = run(tensor)
            keypoints, depths = decode_simcc(spec, outputs, transform)
            clear = clear_keypoints(outputs)
            keypoints[~clear, 2] = 0
            z = [] if depths is None else [round(float(depth), _DEPTH_DECIMALS) for depth in depths]
            tried.append((int(clear.sum()), box, _listed(keypoints), z))
        best = sorted(tried, key=lambda item: -item[0])[:BOX_COUNT]
        members: dict[str, Any] = {
            "boxes_xyxy": [list(box) for _, box, _, _ in best],
            "detections": None,
            "poses": [pose for _, _, pose, _ in best],
        }
        if spec.head.z_range is not None:
            members["depths"] = [z for _, _, _, z in best]
        return members
    tensor, transform = preprocessed(_NAME, golden.picture, None, spec_json)
    image_hw = (golden.picture.shape[0], golden.picture.shape[1])
    poses_or_none = None
    if isinstance(spec.head, BoxHead):
        boxes = decode_boxes(spec, run(tensor), transform, image_hw)
    else:
        boxes, keypoints = decode_persons(spec, run(tensor), transform, image_hw, dcc_file)
        poses_or_none = [_listed(pose) for pose in keypoints]
    rows = [[*row[:5], int(row[5])] for row in _listed(boxes)]
    return {"boxes_xyxy": [], "detections": rows, "poses": poses_or_none}


def clear_keypoints(outputs: list[Array]) -> NDArray[np.bool_]:
    """Return which keypoints of one item's SimCC outputs [1, K, bins] have one decided peak in each row: [K].

    Where none has, those that are decided best.
    """
    far = _margins(outputs, _PEAK_BINS)
    clear = far >= min(_CLEAR, float(far.max()))
    near = _margins(outputs, _NEAR_BINS)
    kept: NDArray[np.bool_] = clear & (near >= min(_NEAR_CLEAR, float(near[clear].max())))
    return kept


def _margins(outputs: list[Array], hill_bins: int) -> Array:
    """Return by how much each keypoint's peaks exceed all bins farther than hill_bins, in parts of the row's
    range: [K].
    """
    import numpy as np

    smallest = np.ones(outputs[0].shape[1], np.float32)
    for output in outputs:
        for keypoint, row in enumerate(output[0]):
            peak = int(row.argmax())
            rest = np.concatenate([row[: max(0, peak - hill_bins)], row[peak + hill_bins + 1 :]])
            span = float(row[peak] - row.min())
            margin = float(row[peak] - rest.max()) / span if span > 0 and rest.size else 0.0
            smallest[keypoint] = min(smallest[keypoint], margin)
    return smallest


def _listed(values: Array) -> list[list[float]]:
    return [[round(float(v), _DECIMALS) for v in row] for row in values]
