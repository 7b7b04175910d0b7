"""How far the keypoints of one run are from those of another on the same persons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgepose.artifact import Precision
from edgepose.converters.limits import LIMITS
from edgepose.errors import LimitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keypoints = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Shifts between two runs: `reference` and `candidate` name them.

    per_keypoint_px: mean shift of each of the K keypoints over the persons where it is confident, NaN where
    it never is. Confident: the reference's score is in the upper half of all its scores, and positive.
    """

    reference: str
    candidate: str
    persons: int
    compared: int
    mean_px: float
    p95_px: float
    max_px: float
    per_keypoint_px: tuple[float, ...]
    limit_mean_px: float

    def violations(self) -> list[str]:
        """List what exceeds its limit, one sentence each."""
        if self.compared == 0:
            return [f"{self.candidate}: no confident keypoint to compare with {self.reference}"]
        if not self.mean_px <= self.limit_mean_px:
            shift = f"{self.mean_px:.3f} px from {self.reference} in the mean"
            return [f"{self.candidate} is {shift}, over the limit {self.limit_mean_px} px"]
        return []

    def require(self) -> None:
        """Raise LimitError where a limit is exceeded."""
        problems = self.violations()
        if problems:
            raise LimitError(problems[0])


def measure_drift(
    reference: Keypoints,
    candidate: Keypoints,
    *,
    precision: Precision,
    names: tuple[str, str] = ("reference", "candidate"),
) -> DriftReport:
    """Compare keypoints [N, K, 3] (x px, y px, score) of the same N persons.

    Errors: ValueError for other shapes, or shapes that differ.
    """
    import numpy as np

    if reference.shape != candidate.shape or reference.ndim != 3 or reference.shape[2] != 3:
        raise ValueError(f"keypoints are {reference.shape} and {candidate.shape}, not both [N, K, 3]")
    scores = reference[..., 2]
    confident = (scores >= np.median(scores)) & (scores > 0) if scores.size else np.zeros(scores.shape, bool)
    shifts = np.linalg.norm(candidate[..., :2].astype(np.float64) - reference[..., :2], axis=2)
    chosen = shifts[confident]
    per_keypoint = tuple(
        float(shifts[confident[:, k], k].mean()) if confident[:, k].any() else float("nan")
        for k in range(reference.shape[1])
    )
    return DriftReport(
        reference=names[0],
        candidate=names[1],
        persons=len(reference),
        compared=int(chosen.size),
        mean_px=float(chosen.mean()) if chosen.size else float("nan"),
        p95_px=float(np.percentile(chosen, 95)) if chosen.size else float("nan"),
        max_px=float(chosen.max()) if chosen.size else float("nan"),
        per_keypoint_px=per_keypoint,
        limit_mean_px=LIMITS[precision].mean_px,
    )
