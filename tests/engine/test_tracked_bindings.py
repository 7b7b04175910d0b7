"""Tracking through the Python module, with settings in place of the bundle's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose import _core
from edgepose.bundle.tracking import tracking_member

BUNDLE = str(Path(__file__).resolve().parents[1] / "bundles" / "v1" / "top_down")
FRAME_NS = 33_000_000
# Nobody is lost, for the fake network's scores mean nothing.
SETTINGS = {"match_similarity": 0.0, "nms_oks": 1.0, "birth_box_score": 0.0, "loss_keypoint_score": 0.0}

Image = np.ndarray[Any, np.dtype[np.uint8]]


def _open(**options: Any) -> _core.Pipeline:
    tracking = {**tracking_member(), **SETTINGS, "scene_change_levels": 255.0}
    return _core.Pipeline(BUNDLE, threads=1, tracking_json=json.dumps(tracking), **options)


def _pictures(count: int) -> list[Image]:
    """Give frames of a scene that hardly changes."""
    noise = np.random.default_rng(1).integers(0, 256, (count, 48, 64, 3), np.uint8)
    return [noise[0] // 4 * 3 + frame // 4 for frame in noise]


def _run(**options: Any) -> list[Any]:
    pipeline = _open(track=True, **options)
    return [pipeline.process(image, i * FRAME_NS) for i, image in enumerate(_pictures(10))]


def test_persons_keep_their_numbers() -> None:
    pipeline = _open(track=True)
    image = _pictures(1)[0]
    ids = [pipeline.process(image, i * FRAME_NS)[2].tolist() for i in range(10)]
    assert ids[5] == ids[9] and len(set(ids[9])) == len(ids[9]) > 1 and min(ids[9]) == 1
    with pytest.raises(_core.CoreError) as caught:
        pipeline.process(image, 9 * FRAME_NS)
    assert caught.value.code == 1
    pipeline.process(image, 9 * FRAME_NS + 1)  # one nanosecond is enough
    pipeline.reset()
    again = [pipeline.process(image, i * FRAME_NS)[2].tolist() for i in range(10)]
    assert again == ids


def test_a_bundle_without_settings_needs_some() -> None:
    for options in (
        {"track": True},
        {"tracking_json": json.dumps(tracking_member())},
        {"track": True, "tracking_json": "{}"},
        {"track": True, "tracking_json": "{"},
    ):
        with pytest.raises(_core.CoreError):
            _core.Pipeline(BUNDLE, threads=1, **options)


def test_smoothing_changes_later_frames() -> None:
    plain, smooth = _run(), _run(smooth=True)
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(plain, smooth, strict=True))


def test_the_detector_runs_on_every_nth_frame() -> None:
    pipeline, image = _open(track=True, detect_every=3), _pictures(1)[0]
    ran = [pipeline.process(image, i * FRAME_NS)[-1]["detector_ns"] > 0 for i in range(10)]
    # Until the persons count as such, the detector is asked more often.
    assert ran[3:] == [True, False, False, True, False, False, True]


def test_a_detection_of_an_earlier_frame_counts_later() -> None:
    prompt, late = _run(detect_every=3), _run(detect_every=3, detect_delay=2)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(prompt, late, strict=True))
