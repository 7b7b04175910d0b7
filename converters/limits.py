"""How far a converted network may be from the torch float32 one; docs/accuracy.md lists the figures, too."""

from __future__ import annotations

from dataclasses import dataclass

from edgepose.artifact import Precision


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one precision.

    mean_px: mean shift of the confident keypoints, and apart from it of their depths; box_mean_px: of the
    matched boxes' corners; all in pixels of the network input. cosine: smallest cosine between an output and
    its reference. recall: share of the reference's boxes found again. ambiguous: share of confident keypoints
    that may jump between two peaks which the reference itself has equal within `tie` (a fraction of the row's
    range). tied_peaks: mean number of equal maxima in a row. score_margin: how far scores may be off; a box
    is false where the candidate's score is over BOX_SCORE by more and the reference's under it by more.
    """

    mean_px: float
    box_mean_px: float
    cosine: float
    recall: float
    ambiguous: float
    tie: float
    tied_peaks: float
    score_margin: float

    @property
    def false_boxes(self) -> float:
        """Return the largest share of false boxes among the candidate's: as many as may be lost."""
        return round(1 - self.recall, 6)


LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(
        mean_px=0.1,
        box_mean_px=0.25,
        cosine=0.999,
        recall=0.99,
        ambiguous=0.05,
        tie=2e-2,
        tied_peaks=1.5,
        score_margin=0.02,
    ),
    "fp16": Limits(
        mean_px=0.3,
        box_mean_px=1.0,
        cosine=0.99,
        recall=0.97,
        ambiguous=0.25,
        tie=3e-2,
        tied_peaks=2.5,
        score_margin=0.02,
    ),
    "bf16": Limits(
        mean_px=0.5,
        box_mean_px=2.0,
        cosine=0.99,
        recall=0.95,
        ambiguous=0.25,
        tie=5e-2,
        tied_peaks=2.5,
        score_margin=0.03,
    ),
    # Integers are compared with the float network of the same bundle, on held-out calibration samples.
    "mixed": Limits(
        mean_px=1.0,
        box_mean_px=3.0,
        cosine=0.95,
        recall=0.95,
        ambiguous=0.3,
        tie=5e-2,
        tied_peaks=2.5,
        score_margin=0.05,
    ),
    "int8": Limits(
        mean_px=2.0,
        box_mean_px=5.0,
        cosine=0.9,
        recall=0.9,
        ambiguous=0.4,
        tie=1e-1,
        tied_peaks=4.0,
        score_margin=0.05,
    ),
}

# A score above which a box of either network must be found in the other, and the IoU that counts as found.
BOX_SCORE = 0.3
BOX_IOU = 0.5

# Outputs whose largest absolute value is below this share of the reference's count as dead.
DEAD_SHARE = 1e-3
