"""The picture that every bundle carries: what torch gives for it, and what the bundle gives here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgepose.errors import BundleError, EngineError, MissingDependencyError
from edgepose.pipeline import PosePipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.artifact import KeypointSet
    from edgepose.report.bundles import OpenedBundle

    Image = NDArray[np.uint8]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRun:
    """expected and found (N, K, 3): the same persons, N is 0 for a detector.

    expected_boxes and found_boxes (M, 5): torch's and this machine's, M is 0 for a pose network.
    outcome: what verify_golden says; None, with the reason in `note`, where the bundle was not run.
    """

    picture: Image
    expected: Floats
    found: Floats | None
    expected_boxes: Floats
    found_boxes: Floats | None
    points: KeypointSet | None
    outcome: dict[str, Any] | None
    note: str | None = None

    def per_keypoint_px(self) -> list[float | None]:
        """Return the mean shift of each joint where the expected score is positive; None without one."""
        import numpy as np

        if self.found is None or not self.found.size:
            return [None] * self.expected.shape[1]
        distance = np.linalg.norm(self.found[..., :2] - self.expected[..., :2], axis=2)
        seen = self.expected[..., 2] > 0
        return [
            float(distance[seen[:, k], k].mean()) if seen[:, k].any() else None
            for k in range(distance.shape[1])
        ]


def run_golden(bundle: OpenedBundle, *, run: bool = True) -> GoldenRun:
    """Read the golden picture and, where this machine has the engine, run it.

    Errors: BundleError (an unreadable golden file); an engine that is missing or fails becomes a note.
    """
    import numpy as np

    golden = bundle.manifest["golden"]
    shape = (int(golden["height_px"]), int(golden["width_px"]), 3)
    data = (bundle.path / golden["picture"]).read_bytes()
    try:
        picture = np.frombuffer(data, np.uint8).reshape(shape)
        stored = json.loads((bundle.path / golden["expected"]).read_text(encoding="utf-8"))
        expected = np.array(stored["poses"] or [], np.float64)
        rows = np.array([row[:5] for row in stored["detections"] or []], np.float64).reshape(-1, 5)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{bundle.path}: the golden files cannot be read ({error})",
            hint="make it again with edgepose convert",
        ) from error
    if expected.ndim != 3:
        expected = np.zeros((0, 0, 3))
    if bundle.manifest["pipeline"]["type"] == "one_stage":
        kept = rows[:, 4] >= float(bundle.manifest["pipeline"]["box_score_threshold"])
        expected, rows = expected[kept], rows[kept]
    if not run:
        return GoldenRun(picture, expected, None, rows, None, None, None, "not run: --no-run")
    try:
        with PosePipeline(bundle.path, threads=1) as pipeline:
            outcome = pipeline.verify_golden()
            found = _find(pipeline, picture, golden["boxes_xyxy"], expected)
            boxes = np.zeros((0, 5))
            if pipeline.pipeline_type != "pose":
                boxes = pipeline.detect(picture)[:, :5].astype(np.float64)
            return GoldenRun(picture, expected, found, rows, boxes, pipeline.keypoint_set, outcome)
    except (MissingDependencyError, EngineError) as error:
        note = f"not run here: {error.message}"
        return GoldenRun(picture, expected, None, rows, None, None, None, note)


def box_text(outcome: Mapping[str, Any]) -> str | None:
    """Say which boxes were found; None where none was expected and none came up."""
    expected, unexpected = outcome["detections_expected"], outcome["detections_unexpected"]
    if not expected and not unexpected:
        return None
    return f"{outcome['detections_matched']} of {expected} boxes found, {unexpected} not expected"


def compared(outcome: Mapping[str, Any]) -> list[str]:
    """List what the outcome has differences of, "box" and "keypoint": those of the other say 0 px."""
    counts = {"box": "detections_matched", "keypoint": "keypoints_compared"}
    return [what for what, count in counts.items() if outcome[count]]


def _find(
    pipeline: PosePipeline, picture: Image, boxes: list[list[float]], expected: Floats
) -> Floats | None:
    """Return this machine's answer for each expected person, or None where there is none to give."""
    import numpy as np

    if not len(expected):
        return None
    takes_boxes = pipeline.pipeline_type in ("top_down", "pose")
    frame = pipeline(picture, boxes=boxes) if takes_boxes else pipeline(picture)
    keypoints = frame.keypoints.astype(np.float64)
    if takes_boxes:
        return keypoints if keypoints.shape == expected.shape else None
    if not len(keypoints):
        return None
    centres = np.linalg.norm(expected[:, None, :, :2] - keypoints[None, :, :, :2], axis=3).mean(axis=2)
    nearest: Floats = keypoints[centres.argmin(axis=1)]
    return nearest
