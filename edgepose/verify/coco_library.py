"""AP and AR by a library that repeats COCO's own evaluation: faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgepose.artifact import KeypointSet
from edgepose.categories import is_whole_body
from edgepose.extras import missing_package

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.dataset import Dataset
    from edgepose.verify.predictions import Predictions

    Floats = NDArray[np.float64]

STATISTICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")

_WHOLEBODY = {
    "body": range(17),
    "foot": range(17, 23),
    "face": range(23, 91),
    "left_hand": range(91, 112),
    "right_hand": range(112, 133),
}


def parts_of(points: KeypointSet) -> dict[str, Sequence[int]]:
    """Return the parts that get an AP of their own; the first stands for the network."""
    count = len(points.keypoints)
    if is_whole_body(points):
        return {"wholebody": range(133), **_WHOLEBODY}
    return {"hand" if points.name == "hand21" else "body": range(count)}


def average_precision(
    data: Dataset, predictions: Predictions, points: KeypointSet
) -> dict[str, dict[str, float]]:
    """Return the ten COCO figures of each part, in percent; -1 where there is nothing to measure.

    A part's labels count where at least one of its own points is labelled; OKS takes the person's area. The
    size of a result is the extent of its points, and of any part of a whole body that of the 17 body points.
    """
    body = _WHOLEBODY["body"] if is_whole_body(points) else None
    return {
        part: _evaluate(*_documents(data, predictions, chosen, body), [points.sigmas[k] for k in chosen])
        for part, chosen in parts_of(points).items()
    }


def _documents(
    data: Dataset, predictions: Predictions, chosen: Sequence[int], body: Sequence[int] | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import numpy as np

    columns = list(chosen)
    annotations = []
    for person in range(len(data.annotation_ids)):
        keypoints = data.keypoints[person, columns]
        x1, y1, x2, y2 = data.boxes[person].tolist()
        annotations.append(
            {
                # The library marks a match by the label's id: 0 or less would read as none. It keeps a
                # picture's as a float, where large ones that lie close together are one.
                "id": person + 1,
                "image_id": int(data.picture_of[person]) + 1,
                "category_id": 1,
                "iscrowd": int(data.crowd[person]),
                "area": float(data.areas[person]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "keypoints": keypoints.ravel().tolist(),
                "num_keypoints": int((keypoints[:, 2] > 0).sum()),
            }
        )
    labels = {
        "info": {},
        "images": [{"id": number + 1} for number in range(len(data.pictures))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    scores = predictions.scores()
    results = [
        {
            "image_id": int(predictions.picture_of[row]) + 1,
            "category_id": 1,
            "keypoints": np.nan_to_num(predictions.keypoints[row, columns]).ravel().tolist(),
            "score": float(scores[row]),
            # Without one the library takes the extent of the keypoints above.
            **({} if body is None else {"bbox": _extent(predictions.keypoints[row, list(body)])}),
        }
        for row in range(len(scores))
    ]
    return labels, results


def _extent(keypoints: Floats) -> list[float]:
    """Return the box x, y, width, height of points (K, 3)."""
    import numpy as np

    places = np.nan_to_num(keypoints[:, :2])
    low = places.min(axis=0)
    return [*low.tolist(), *(places.max(axis=0) - low).tolist()]


def require_coco_library() -> None:
    """Tell at once where the library is missing. Errors: MissingDependencyError."""
    try:
        import faster_coco_eval  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing_package("faster_coco_eval", purpose="compute AP") from error


def _evaluate(
    labels: dict[str, Any], results: list[dict[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    import numpy as np

    require_coco_library()
    from faster_coco_eval import COCO, COCOeval_faster

    if not results:
        areas = [a["area"] for a in labels["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
        return {name: 0.0 if _any_within(areas, name) else -1.0 for name in STATISTICS}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(labels)
        evaluation = COCOeval_faster(truth, truth.loadRes(results), "keypoints", print_function=_silent)
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(STATISTICS)]]
    return {name: 100 * value if value >= 0 else -1.0 for name, value in zip(STATISTICS, values, strict=True)}


def _any_within(areas: Sequence[float], name: str) -> bool:
    """Tell whether a figure has a label to find: M is of areas of 32 to 96 px squared, L of larger ones."""
    if name.endswith("M"):
        return any(32**2 <= area <= 96**2 for area in areas)
    return any(area >= (96**2 if name.endswith("L") else 0) for area in areas)


def _silent(*_: Any) -> None:
    """Take what the library would print."""
