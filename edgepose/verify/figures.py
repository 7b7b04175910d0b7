"""The figures of a comparison as members of the JSON documents of docs/accuracy.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.compared import Compared
    from edgepose.verify.dataset import Dataset

    Floats = NDArray[np.float64]

PCK_SHARES = (0.05, 0.1, 0.2)
WORST_PERSONS = 12


def number(value: float, digits: int = 4) -> float | None:
    """Return a figure as JSON can hold it: rounded; None where there is none."""
    return round(float(value), digits) if math.isfinite(value) else None


def spread(values: Floats) -> dict[str, float | None]:
    """Return {"mean", "p95", "max"} of some distances."""
    import numpy as np

    if not values.size:
        return {"mean": None, "p95": None, "max": None}
    return {
        "mean": number(values.mean()),
        "p95": number(float(np.percentile(values, 95))),
        "max": number(values.max()),
    }


def errors_member(labels: Compared, names: Sequence[str], data: Dataset) -> dict[str, Any]:
    """Return the members "pck", "error_px", "unmatched_persons" and "per_keypoint" of "accuracy".

    The labelled keypoints of persons that were not found count in PCK, as missed; errors are of those found.
    """
    import numpy as np

    lost = np.setdiff1d(data.labelled, labels.person_of)
    missed = (data.keypoints[lost, :, 2] > 0).sum(axis=0)
    distance, counts = labels.distance_px, labels.counts
    sides = (labels.boxes[:, 2:] - labels.boxes[:, :2]).max(axis=1)
    relative = distance / sides[:, None]
    chosen = relative[counts]
    rows = []
    for index, name in enumerate(names):
        seen = counts[:, index]
        labelled = int(seen.sum() + missed[index])
        near = int((relative[seen, index] <= 0.1).sum())
        rows.append(
            {
                "name": name,
                "compared": int(seen.sum()),
                **{f"{key}_px": value for key, value in spread(distance[seen, index]).items()},
                "pck_0.1": number(100 * near / labelled) if labelled else None,
            }
        )
    total = chosen.size + int(missed.sum())
    return {
        "pck": {
            str(share): number(100 * int((chosen <= share).sum()) / total) if total else None
            for share in PCK_SHARES
        },
        "unmatched_persons": len(lost),
        "error_px": {**spread(distance[counts]), "compared": int(counts.sum())},
        "per_keypoint": rows,
    }


def drift_member(drift: Compared, names: Sequence[str]) -> dict[str, Any]:
    """Return "drift" without its reference and its interval."""
    distance, in_input, counts = drift.distance_px, drift.distance_input_px, drift.counts
    shift = drift.shift_input_px
    rows = []
    for index, name in enumerate(names):
        seen = counts[:, index]
        inner = spread(in_input[seen, index])
        bias = shift[seen, index].mean(axis=0).tolist() if seen.any() else [math.nan, math.nan]
        rows.append(
            {
                "name": name,
                "compared": int(seen.sum()),
                **{f"{key}_px": value for key, value in spread(distance[seen, index]).items()},
                "mean_input_px": inner["mean"],
                "p95_input_px": inner["p95"],
                "bias_input_px": [number(value) for value in bias],
            }
        )
    return {
        "persons": len(drift.other),
        "unmatched_persons": int(drift.unmatched.sum()),
        "added_persons": int(drift.added.sum()),
        "compared": int(counts.sum()),
        "px": spread(distance[counts]),
        "input_px": spread(in_input[counts]),
        "depth_mm": None if drift.depth_mm is None else spread(drift.depth_mm[counts]),
        "per_keypoint": rows,
    }


def worst_member(pairs: Compared, data: Dataset, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return "worst": the persons with the farthest points, one entry each."""
    import numpy as np

    distance = np.where(pairs.counts, pairs.distance_px, -1)
    if not distance.size:
        return []
    farthest = distance.max(axis=1)
    entries = []
    for person in np.argsort(-farthest, kind="stable")[:WORST_PERSONS]:
        if not farthest[person] > 0:
            break
        picture = data.pictures[int(pairs.picture_of[person])]
        labelled = int(pairs.person_of[person])
        entries.append(
            {
                "image": picture.name,
                "image_id": picture.id,
                "annotation_id": int(data.annotation_ids[labelled]) if labelled >= 0 else None,
                "keypoint": names[int(distance[person].argmax())],
                "distance_px": number(farthest[person]),
                "against": pairs.against,
                "box_xyxy": [number(v, 2) for v in pairs.boxes[person]],
                "candidate": [[number(v, 3) for v in point] for point in pairs.candidate[person]],
                "other": [[number(v, 3) for v in point] for point in pairs.other[person]],
            }
        )
    return entries
