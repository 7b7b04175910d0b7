"""The tracking constants that new bundles carry.

They were chosen on synthetic videos with `benchmarks/tracking.py`; docs/bundle-format.md says what each does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgepose.artifact import USUAL_KEYPOINT_SCORE


def tracking_member(loss_keypoint_score: float = USUAL_KEYPOINT_SCORE) -> dict[str, Any]:
    """Return the "tracking" member of a new bundle.

    loss_keypoint_score: the score from which a keypoint of its network counts as seen.
    """
    return {
        "match_similarity": 0.2,
        "keypoint_weight": 0.5,
        "nms_oks": 0.85,
        "birth_box_score": 0.4,
        "loss_keypoint_score": loss_keypoint_score,
        "max_lost_s": 1.0,
        "max_prediction_s": 0.7,
        "velocity_time_s": 0.2,
        "uncertainty_time_s": 0.4,
        "pose_box_padding": 1.2,
        "pose_box_pull": 0.1,
        "scene_change_levels": 30.0,
        "smoothing": {
            "min_cutoff_hz": 0.6,
            "cutoff_per_speed": 6.0,
            "derivative_cutoff_hz": 1.0,
            "hold_s": 0.1,
        },
    }


def flat_tracking(tracking: Mapping[str, Any]) -> dict[str, Any]:
    """Return a "tracking" member, flat: {"tracking.smoothing.min_cutoff_hz": 1.0, ...}."""
    return dict(_flat("tracking", tracking))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value
