"""The tracking constants that new bundles carry.

They were chosen on synthetic videos with `benchmarks/tracking.py`; docs/bundle-format.md says what each does.
"""

from __future__ import annotations

from typing import Any


def tracking_member() -> dict[str, Any]:
    """Return the "tracking" member of a new bundle."""
    return {
        "match_similarity": 0.2,
        "keypoint_weight": 0.5,
        "nms_oks": 0.85,
        "birth_box_score": 0.4,
        "loss_keypoint_score": 0.3,
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
