"""Tracking and smoothing with real networks, on videos whose people and paths are known.

The people are cut out of rendered pictures and moved over another one, so every identity and shift is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose import PosePipeline
from edgepose.errors import UsageError
from edgepose.synth.scene import SyntheticImage, render_scene

Image = NDArray[np.uint8]

FPS = 30.0
HEIGHT_PX, WIDTH_PX = 288, 480


@pytest.fixture(scope="module")
def people() -> list[SyntheticImage]:
    """Render people who stand free."""
    size_hw = (HEIGHT_PX, WIDTH_PX // 2)
    return [
        render_scene(seed, size_hw=size_hw, persons=1, shot="group", pose="stand", clean=True)
        for seed in (3, 8)
    ]


@pytest.fixture(scope="module")
def backdrop() -> Image:
    picture = render_scene(1, size_hw=(HEIGHT_PX, WIDTH_PX), persons=0, clean=True).image
    return picture


def paste(canvas: Image, person: SyntheticImage, x_px: float) -> NDArray[np.float64]:
    """Put the person's middle at x_px (rounded) and return the labelled box, x1 y1 x2 y2."""
    box_x, y, width, height = person.annotations[0].box_xywh
    shift = round(x_px - box_x - width / 2)
    rows, columns = np.nonzero(person.owners == 0)
    moved = columns + shift
    inside = (moved >= 0) & (moved < canvas.shape[1])
    canvas[rows[inside], moved[inside]] = person.image[rows[inside], columns[inside]]
    return np.array([box_x + shift, y, box_x + shift + width, y + height])


def noisy(image: Image, random: np.random.Generator, levels: float = 4.0) -> Image:
    return np.clip(np.rint(image + random.normal(0, levels, image.shape)), 0, 255).astype(np.uint8)


def overlap(a: NDArray[Any], b: NDArray[Any]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(0.0, float(width)) * max(0.0, float(height))
    area_a, area_b = ((v[2] - v[0]) * (v[3] - v[1]) for v in (a, b))
    return inside / float(area_a + area_b - inside)


def crossing(
    people: list[SyntheticImage], backdrop: Image, speed_px: float
) -> Iterator[tuple[Image, list[NDArray[np.float64]]]]:
    random = np.random.default_rng(1)
    steps = round(150 / speed_px)
    for step in range(-steps, steps + 1):
        canvas = backdrop.copy()
        middle = WIDTH_PX / 2
        behind = paste(canvas, people[0], middle - speed_px * step)
        front = paste(canvas, people[1], middle + speed_px * step)
        yield noisy(canvas, random, 2.0), [behind, front]


@pytest.mark.parametrize(("detect_every", "detect_delay"), [(1, 0), (5, 0), (1, 1), (5, 2)])
def test_ids_survive_a_crossing(
    ncnn_bundle: Path, people: list[SyntheticImage], backdrop: Image, detect_every: int, detect_delay: int
) -> None:
    intervals = {"detect_every": detect_every, "detect_delay": detect_delay}
    with PosePipeline(ncnn_bundle, threads=2, smooth=True, **intervals) as pipeline:
        ids: list[set[int]] = [set(), set()]
        apart, seen_apart = False, 0
        for index, (image, boxes) in enumerate(crossing(people, backdrop, 7.0)):
            frame = pipeline(image, time_s=index / FPS)
            assert len(set(frame.track_ids.tolist())) == len(frame)
            # Who is who cannot be told by the box, nor by a followed one until they are detected apart.
            apart = overlap(*boxes) <= 0.1 and (apart or frame.timings_ms["detector"] > 0)
            if not apart:
                continue
            seen_apart += 1
            for person, box in enumerate(boxes):
                found = [i for i, other in enumerate(frame.boxes) if overlap(box, other) > 0.5]
                # A box around both, seen once, has no id yet.
                ids[person].update(int(frame.track_ids[i]) for i in found if frame.track_ids[i] >= 0)
    assert [len(seen) for seen in ids] == [1, 1], ids
    assert seen_apart >= 30  # before and after
    assert ids[0] != ids[1]


def test_jitter_at_rest_and_lag_in_motion(
    ncnn_bundle: Path, people: list[SyntheticImage], backdrop: Image
) -> None:
    random = np.random.default_rng(0)
    rest, motion = [], []
    for index in range(36):
        for frames, x_px in ((rest, 150.0), (motion, 100.0 + 5.0 * index)):
            canvas = backdrop.copy()
            paste(canvas, people[0], x_px)
            frames.append(noisy(canvas, random))
    points: dict[tuple[str, bool], NDArray[np.float32]] = {}
    for smooth in (False, True):
        for name, frames in (("rest", rest), ("motion", motion)):
            with PosePipeline(ncnn_bundle, threads=2, track=True, smooth=smooth) as pipeline:
                found = [pipeline(image, time_s=i / FPS) for i, image in enumerate(frames)]
            assert [len(frame) for frame in found] == [1] * len(frames)
            points[name, smooth] = np.array([frame.keypoints[0] for frame in found])[10:]
    certain = (points["rest", False][..., 2] > 0.3).all(axis=0)
    assert certain.sum() >= 8
    step = [
        float(np.square(np.diff(points["rest", s][:, certain, :2], axis=0)).mean()) ** 0.5
        for s in (False, True)
    ]
    assert step[0] > 0.05 and step[1] < step[0] / 5, step
    behind_px = (points["motion", False] - points["motion", True])[:, certain, 0].mean()
    assert 0 < behind_px / 5.0 <= 2, f"{behind_px / 5:.2f} frames"


def test_wrong_times_are_refused(ncnn_bundle: Path, backdrop: Image) -> None:
    with PosePipeline(ncnn_bundle, threads=1, track=True) as pipeline:
        with pytest.raises(UsageError, match="needs its time"):
            pipeline(backdrop)
        with pytest.raises(UsageError, match="time_s is nan"):
            pipeline(backdrop, time_s=float("nan"))
        pipeline(backdrop, time_s=1.0)
        with pytest.raises(UsageError, match="not after that of the last one"):
            pipeline(backdrop, time_s=0.5)
        pipeline.reset()
        pipeline(backdrop, time_s=0.5)
