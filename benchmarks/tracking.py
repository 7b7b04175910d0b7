"""Measure tracking and smoothing: identities, jitter, lag, and what a detection interval saves.

python benchmarks/tracking.py identity BUNDLE        id switches on synthetic videos of crossing people
python benchmarks/tracking.py smoothing BUNDLE       jitter at rest, lag and error in motion
python benchmarks/tracking.py interval BUNDLE VIDEO  frames a second and agreement of detection intervals

BUNDLE is a detector with a pose network. The videos of the first two are rendered with known people and
points, so no data is needed. Rendered frames stay in the cache folder that --frames names.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from frames import read_frames
from numpy.typing import NDArray

from edgepose import PosePipeline
from edgepose.synth.video import render_video

Image = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Truth = list[tuple[int, Floats, Floats]]  # identity, keypoints (K, 3), box x1 y1 x2 y2

FPS = 30.0
SHORT_GAP_FRAMES = 10


def video(seed: int, seconds: float, folder: Path, **options: Any) -> list[tuple[Image, Truth]]:
    """Render a video, or read it from the folder."""
    name = "-".join(str(v) for v in (seed, seconds, *options.values())).replace(" ", "")
    path = folder / f"{name}.npz"
    if path.exists():
        data = np.load(path, allow_pickle=False)
        people = zip(data["frame"], data["identity"], data["points"], data["box"], strict=True)
        truths: list[Truth] = [[] for _ in data["images"]]
        for frame, identity, points, box in people:
            truths[frame].append((int(identity), points, box))
        return list(zip(data["images"], truths, strict=True))
    frames: list[tuple[Image, Truth]] = []
    for picture in render_video(seed, seconds=seconds, fps=FPS, **options):
        truth: Truth = []
        for person in picture.annotations:
            x, y, width, height = person.box_xywh
            box = np.array([x, y, x + width, y + height])
            truth.append((person.identity, np.asarray(person.keypoints, float), box))
        frames.append((picture.image, truth))
    rows = [(i, *person) for i, (_, truth) in enumerate(frames) for person in truth]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        images=np.stack([image for image, _ in frames]),
        frame=np.array([row[0] for row in rows], int),
        identity=np.array([row[1] for row in rows], int),
        points=np.array([row[2] for row in rows]),
        box=np.array([row[3] for row in rows]),
    )
    return frames


def similarity(points: Floats, found: Floats, box: Floats, sigmas: Floats) -> float:
    """Return the OKS of a found person with labelled points."""
    seen = points[:, 2] > 0
    if not seen.any():
        return 0.0
    area = 0.53 * (box[2] - box[0]) * (box[3] - box[1])
    distance2 = ((points[seen, :2] - found[seen, :2]) ** 2).sum(axis=1)
    return float(np.exp(-distance2 / (2 * area * (2 * sigmas[seen]) ** 2)).mean())


def pairs(truth: Truth, keypoints: Floats, sigmas: Floats) -> list[tuple[int, int]]:
    """Pair labelled people with found ones, most alike first: index in truth, index of the person."""
    ranked = sorted(
        (
            (similarity(points, person, box, sigmas), t, p)
            for t, (_, points, box) in enumerate(truth)
            for p, person in enumerate(keypoints)
        ),
        reverse=True,
    )
    taken_t, taken_p, chosen = set(), set(), []
    for alike, t, p in ranked:
        if alike >= 0.4 and t not in taken_t and p not in taken_p:
            taken_t.add(t)
            taken_p.add(p)
            chosen.append((t, p))
    return chosen


def crowded(truth: Truth, index: int) -> bool:
    """Tell whether another person's box covers more than a tenth of this one's."""
    box = truth[index][2]
    for other in (person[2] for i, person in enumerate(truth) if i != index):
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        if max(0.0, width) * max(0.0, height) > 0.1 * (box[2] - box[0]) * (box[3] - box[1]):
            return True
    return False


def identity(args: argparse.Namespace) -> None:
    """Count id switches: a person who stands free under another id than when last free."""
    for every in args.detect_every:
        short = long = people = matched = labelled = 0
        for seed in args.seeds:
            with PosePipeline(args.bundle, threads=args.threads, detect_every=every, track=True) as pipeline:
                sigmas = np.asarray(pipeline.keypoint_set.sigmas)  # type: ignore[union-attr]
                last: dict[int, tuple[int, int]] = {}
                for i, (image, truth) in enumerate(video(seed, args.seconds, args.frames, persons=3)):
                    frame = pipeline(image, time_s=i / FPS)
                    labelled += len(truth)
                    for t, p in pairs(truth, frame.keypoints, sigmas):
                        who, track = truth[t][0], int(frame.track_ids[p])
                        matched += 1
                        if track < 0 or crowded(truth, t):  # nobody can tell whose pose it is
                            continue
                        if who in last and last[who][1] != track:
                            gap = i - last[who][0] - 1
                            short += gap <= SHORT_GAP_FRAMES
                            long += gap > SHORT_GAP_FRAMES
                            print(
                                f"  seed {seed} frame {i}: person {who} {last[who][1]} -> {track}, gap {gap}"
                            )
                        last[who] = (i, track)
                people += len(last)
        print(
            f"detect_every {every}: {people} people, {matched} of {labelled} labels matched, "
            f"switches after gaps of {SHORT_GAP_FRAMES} frames or fewer: {short}, after longer ones: {long}"
        )


def smoothing(args: argparse.Namespace) -> None:
    """Compare raw and smoothed points with the labels, at rest (noise of a camera) and in motion."""
    for name, frames in (
        ("rest", _noisy_still(args)),
        *((motion, _moving(args, motion)) for motion in args.motions),
    ):
        results: dict[bool, list[Floats]] = {}
        truth: list[Floats] = []
        for smooth in (False, True):
            with PosePipeline(args.bundle, threads=args.threads, track=True, smooth=smooth) as pipeline:
                results[smooth], truth = [], []
                for i, (image, points) in enumerate(frames):
                    frame = pipeline(image, time_s=i / FPS)
                    results[smooth].append(
                        frame.keypoints[0] if len(frame) else np.full((17, 3), np.nan, np.float32)
                    )
                    truth.append(points)
        raw, smoothed, labels = np.array(results[False]), np.array(results[True]), np.array(truth, float)
        labels[labels[..., 2] == 0] = np.nan  # out of the picture
        certain = (raw[..., 2] >= 0.3).mean(axis=0) > 0.95
        raw, smoothed, labels = raw[15:, certain, :2], smoothed[15:, certain, :2], labels[15:, certain, :2]
        steps = [np.linalg.norm(np.diff(v, axis=0), axis=2) for v in (raw, smoothed)]
        if name == "rest":
            step = [float(np.sqrt(np.nanmean(s**2))) for s in steps]
            spread = [float(np.sqrt(np.nanmean(np.nanvar(v, axis=0).sum(axis=1)))) for v in (raw, smoothed)]
            print(
                f"{name}: step a frame {step[0]:.3f} -> {step[1]:.3f} px ({step[0] / step[1]:.1f}x), "
                f"spread {spread[0]:.3f} -> {spread[1]:.3f} px ({spread[0] / spread[1]:.1f}x)"
            )
            continue
        errors = [float(np.nanmean(np.linalg.norm(v - labels, axis=2))) for v in (raw, smoothed)]
        print(
            f"{name}: lag {lag_frames(raw, smoothed):.2f} frames behind the raw points, "
            f"mean error {errors[0]:.2f} -> {errors[1]:.2f} px"
        )


def lag_frames(raw: Floats, smoothed: Floats, limit: float = 5.0) -> float:
    """Return the delay of the raw points that is closest to the smoothed ones, in frames."""
    times = np.arange(len(raw), dtype=float)
    delays = np.arange(0, limit, 0.05)
    costs = []
    inner = slice(int(limit) + 1, None)
    for delay in delays:
        delayed = np.empty_like(raw)
        for k, axis in itertools.product(range(raw.shape[1]), range(2)):
            delayed[:, k, axis] = np.interp(times - delay, times, raw[:, k, axis])
        costs.append(np.nanmean(((delayed - smoothed)[inner]) ** 2))
    return float(delays[int(np.argmin(costs))])


def _noisy_still(args: argparse.Namespace) -> list[tuple[Image, Floats]]:
    image, truth = video(5, 1 / FPS, args.frames, persons=1, motion="idle", clean=True)[0]
    random = np.random.default_rng(0)
    frames = []
    for _ in range(args.rest_frames):
        noisy = image + random.normal(0, args.noise_levels, image.shape)
        frames.append((np.clip(np.rint(noisy), 0, 255).astype(np.uint8), truth[0][1]))
    return frames


def _moving(args: argparse.Namespace, motion: str) -> list[tuple[Image, Floats]]:
    frames = video(5, args.seconds, args.frames, persons=1, motion=motion)
    return [(image, truth[0][1] if truth else np.full((17, 3), np.nan)) for image, truth in frames]


def interval(args: argparse.Namespace) -> None:
    """Run the modes in turn and compare speed and poses with those of the first one."""
    images = read_frames(args.video, args.count)
    seconds: dict[str, list[float]] = defaultdict(list)
    poses: dict[str, list[Any]] = {}
    stages: dict[str, dict[str, float]] = {}
    for _ in range(args.rounds):
        for mode in args.modes:
            every, _, delay = mode.partition(":")
            intervals = {"detect_every": int(every), "detect_delay": int(delay or 0)}
            with PosePipeline(args.bundle, threads=args.threads, track=True, **intervals) as pipeline:
                sigmas = np.asarray(pipeline.keypoint_set.sigmas)  # type: ignore[union-attr]
                for image in images[:5]:
                    pipeline(image, time_s=time.monotonic())
                pipeline.reset()
                poses[mode], total = [], defaultdict(float)
                started_s = time.perf_counter()
                for i, image in enumerate(images):
                    frame = pipeline(image, time_s=i / 10)
                    poses[mode].append(frame)
                    for stage, ms in frame.timings_ms.items():
                        total[stage] += ms / len(images)
                seconds[mode].append(time.perf_counter() - started_s)
                stages[mode] = total
    fps = {mode: len(images) / statistics.median(s) for mode, s in seconds.items()}
    for mode in fps:
        persons = statistics.mean(len(frame) for frame in poses[mode])
        detections = statistics.mean(frame.timings_ms["detector"] > 0 for frame in poses[mode])
        total_ms = [frame.timings_ms["total"] for frame in poses[mode]]
        p50, p99 = np.percentile(total_ms, [50, 99])
        shown = ", ".join(f"{stage} {ms:.2f}" for stage, ms in stages[mode].items())
        print(
            f"detect_every {mode}: {fps[mode]:.1f} frames/s, a frame {p50:.1f} ms (p99 {p99:.1f}), "
            f"{persons:.2f} persons a frame, detector on {detections:.0%} of the frames; mean ms: {shown}"
        )
    for mode in args.modes[1:]:
        alike, first, both = _agreement(poses[args.modes[0]], poses[mode], sigmas)
        print(
            f"{mode}: {fps[mode] / fps[args.modes[0]]:.2f} times the frames a second; mean OKS {alike:.4f} "
            f"on {both} matched persons ({first} with {args.modes[0]})"
        )


def _agreement(first: Sequence[Any], second: Sequence[Any], sigmas: Floats) -> tuple[float, int, int]:
    """Return the mean OKS of matched persons, how many there are in the first and how many matched."""
    alike, count = [], 0
    for a, b in zip(first, second, strict=True):
        count += len(a)
        truth: Truth = []
        for i, (points, box) in enumerate(zip(a.keypoints, a.boxes, strict=True)):
            seen = np.where(points[:, 2] >= 0.3, 2.0, 0.0)
            truth.append((i, np.column_stack([points[:, :2], seen]).astype(float), box[:4].astype(float)))
        for t, p in pairs(truth, b.keypoints, sigmas):
            alike.append(similarity(truth[t][1], b.keypoints[p], truth[t][2], sigmas))
    return float(np.mean(alike)), count, len(alike)


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["identity", "smoothing", "interval"])
    parser.add_argument("bundle")
    parser.add_argument("video", nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=Path, default=Path("build/tracking-frames"))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--detect-every", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--motions", nargs="+", default=["walk", "wave", "squat", "jack"])
    parser.add_argument("--rest-frames", type=int, default=120)
    parser.add_argument("--noise-levels", type=float, default=4.0)
    parser.add_argument("--modes", nargs="+", default=["1", "5"], help="detect_every[:detect_delay]")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.what == "interval" and args.video is None:
        parser.error("interval needs a VIDEO")
    {"identity": identity, "smoothing": smoothing, "interval": interval}[args.what](args)


if __name__ == "__main__":
    main()
