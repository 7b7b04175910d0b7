"""The gate on a video: jitter, lag and identity switches of tracked and smoothed poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.bundle.tracking import flat_tracking
from edgepose.converters.decoded import confident
from edgepose.errors import UsageError
from edgepose.hashing import sha256_file
from edgepose.media import Source, open_source
from edgepose.pipeline import PosePipeline
from edgepose.progress import Progress
from edgepose.read_ahead import ReadAhead
from edgepose.verify import bootstrap
from edgepose.verify.checks import MIN_SECONDS, Check, share_check
from edgepose.verify.compared import overlapping
from edgepose.verify.figures import number
from edgepose.verify.gate_limits import GateLimits
from edgepose.verify.predictions import Predictions, input_scales
from edgepose.verify.run_info import SEEN_SCORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_DEFAULT_FPS = 30.0
# Tracking constants of frames without a detection, of which `track` has none.
_BETWEEN_DETECTIONS = ("loss_keypoint_score", "pose_box_padding", "pose_box_pull")
# Lag shows in motion only: points that are slower do not count, and so few points say nothing.
_MIN_SPEED_INPUT_PX = 0.5
_MIN_POINTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The N persons of a video's frames in order: persons.picture_of is the frame; ids (N,): their tracks.

    seen: the bundle's keypoint score threshold.
    """

    persons: Predictions
    ids: Integers
    frames: int
    fps: float
    tracking: dict[str, Any]
    seen: float

    @property
    def block_frames(self) -> int:
        """How many frames make one second."""
        return max(1, round(self.fps))

    def constants(self) -> dict[str, Any]:
        """Return the constants that `track` used, flat: {"tracking.smoothing.min_cutoff_hz": 1.0, ...}."""
        tracking = {name: value for name, value in self.tracking.items() if name not in _BETWEEN_DETECTIONS}
        return {**flat_tracking(tracking), SEEN_SCORE: self.seen}

    @property
    def seconds(self) -> int:
        """How many whole seconds there are to resample; frames after the last count with it."""
        return self.frames // self.block_frames


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What two runs over a video give, summed by second (S,), and the figures of the whole.

    persons: of the reference; lost: those that the candidate lacks; added: those that it alone has; pairs:
    those in both; named: of these, with an id in both; switches: of these, whose candidate id is not that of
    the last one of the same reference id. What follows is of persons with an id in the reference.
    jitter (S, 2): of reference and candidate, input px, over `points`. behind, motion: their ratio is the lag
    in frames, over moving_points. block_frames: the frames of a second.
    """

    persons: Floats
    lost: Floats
    added: Floats
    pairs: Floats
    named: Floats
    switches: Floats
    jitter: Floats
    points: Floats
    behind: Floats
    motion: Floats
    moving_points: int
    block_frames: int = round(_DEFAULT_FPS)


def track(bundle: Path, video: Path, *, device: str, progress: Progress | None = None) -> Tracks:
    """Run a bundle over a video as `edgepose run` does: each frame detected, tracked and smoothed.

    Errors: those of PosePipeline; UsageError for what is no video or is shorter than MIN_SECONDS.
    """
    import numpy as np

    rows: list[tuple[int, Any, Any, Any, Any]] = []
    source = _open_video(video)
    with PosePipeline(bundle, device=device, track=True, smooth=True) as pipeline, ReadAhead(source) as read:
        frames = 0
        for frame in read:
            found = pipeline(frame.image, time_s=frame.time_ns / 1e9)
            scale = input_scales(pipeline.manifest, found.boxes, frame.image.shape[:2])
            rows.append((len(found), found.track_ids, found.boxes, found.keypoints, scale))
            frames += 1
            if progress:
                progress.advance(1)
        tracking = dict(pipeline.manifest.get("tracking", {}))
        seen = pipeline.keypoint_threshold
    keypoints = np.concatenate([row[3] for row in rows]).astype(np.float64)
    keypoints[~np.isfinite(keypoints).all(axis=-1)] = 0
    count = sum(row[0] for row in rows)
    persons = Predictions(
        picture_of=np.repeat(np.arange(frames), [row[0] for row in rows]),
        person_of=np.full(count, -1, np.int64),
        boxes=np.concatenate([row[2] for row in rows]).astype(np.float64),
        keypoints=keypoints,
        input_scale=np.concatenate([row[4] for row in rows]),
        picture_digests=(),
    )
    ids = np.concatenate([row[1] for row in rows])
    tracks = Tracks(persons, ids, frames, source.fps or _DEFAULT_FPS, tracking, seen)
    if tracks.seconds < MIN_SECONDS:
        raise UsageError(
            f"{video}: {frames} frames at {tracks.fps:g} a second are too few to judge motion by",
            hint=f"give {MIN_SECONDS} seconds or more; a PASS takes 99 at the limits of int8, 149 of fp16",
        )
    return tracks


def frame_count(video: Path) -> int | None:
    """Return how many frames a video claims to hold. Errors: UsageError for what is no video."""
    source = _open_video(video)
    source.close()
    return source.frame_count


def _open_video(video: Path) -> Source:
    source = open_source(str(video))
    if source.kind != "video":
        source.close()
        raise UsageError(f"{video}: not a video", hint="--video takes a video file")
    return source


def compare(reference: Tracks, candidate: Tracks) -> Motion:
    """Pair the persons of both runs frame by frame and sum up how they move."""
    import numpy as np

    mine, theirs = overlapping(reference.persons, candidate.persons, reference.frames)
    frame = reference.persons.picture_of[mine]
    last = reference.seconds - 1
    second = np.minimum(np.arange(reference.frames) // reference.block_frames, last)

    def by_second(frames: Integers, values: Any = None) -> Floats:
        weights = None if values is None else np.asarray(values, np.float64)
        return np.bincount(second[frames], weights, minlength=last + 1).astype(np.float64)

    persons = by_second(reference.persons.picture_of)
    pairs = by_second(frame)
    # All persons without an id have -1: together they are no track. A candidate that names nobody may still
    # be late, and trembles where the reference smooths.
    order = np.lexsort((frame, reference.ids[mine]))
    order = order[reference.ids[mine][order] >= 0]
    mine, theirs, frame = mine[order], theirs[order], frame[order]
    first_id, second_id = reference.ids[mine], candidate.ids[theirs]
    other, found = reference.persons.keypoints[mine], candidate.persons.keypoints[theirs]
    scale = reference.persons.input_scale[mine]
    named = np.flatnonzero(second_id >= 0)
    exchanged = (first_id[named][1:] == first_id[named][:-1]) & (
        second_id[named][1:] != second_id[named][:-1]
    )
    switched = named[1:][exchanged]

    # Three frames in a row of one person, in both runs.
    steady = (
        (first_id[1:] == first_id[:-1]) & (second_id[1:] == second_id[:-1]) & (frame[1:] == frame[:-1] + 1)
    )
    middle = np.flatnonzero(steady[1:] & steady[:-1]) + 1
    sure = confident(other[..., 2], reference.seen)
    sure = sure[middle - 1] & sure[middle] & sure[middle + 1]
    # The middle frame's scale for all three: a box that breathes is no motion of the points.
    inner = scale[middle, None, None]
    paths = [[run[middle + step, :, :2] * inner for step in (-1, 0, 1)] for run in (other, found)]
    bends = [np.linalg.norm(after - 2 * now + before, axis=2) * sure for before, now, after in paths]
    speed = (paths[0][2] - paths[0][0]) / 2
    moving = sure & (np.linalg.norm(speed, axis=2) >= _MIN_SPEED_INPUT_PX)
    behind = ((paths[0][1] - paths[1][1]) * speed).sum(axis=2) * moving
    motion = (speed**2).sum(axis=2) * moving
    at = frame[middle]
    return Motion(
        persons=persons,
        lost=persons - pairs,
        added=by_second(candidate.persons.picture_of) - pairs,
        pairs=pairs,
        named=by_second(frame[named]),
        switches=by_second(frame[switched]),
        jitter=np.stack([by_second(at, bend.sum(axis=1)) for bend in bends], axis=1),
        points=by_second(at, sure.sum(axis=1)),
        behind=by_second(at, behind.sum(axis=1)),
        motion=by_second(at, motion.sum(axis=1)),
        moving_points=int(moving.sum()),
        block_frames=reference.block_frames,
    )


def video_checks(
    motion: Motion, limits: GateLimits, *, samples: int, confidence: float, seed: int
) -> tuple[Check, ...]:
    """Check lost and added persons, identity switches, and, where there is enough to see, jitter and lag."""
    seconds = len(motion.persons)
    weights = bootstrap.resample(seconds, samples, seed)

    def check(
        name: str, title: str, unit: str, limit: float, factor: float, part: Floats, whole: Floats
    ) -> Check:
        total = float(whole.sum())
        estimate = factor * float(part.sum()) / total if total else float("nan")
        values = factor * bootstrap.ratios(weights, part[:, None], whole[:, None])[:, 0]
        low, high = bootstrap.interval(values, confidence)
        shown = int((whole > 0).sum())
        return Check(name, title, unit, estimate, low, high, limit, seconds=seconds, shown=shown)

    checks = [
        share_check(
            "video_unmatched", "video: persons not found again", "%", motion.lost, motion.persons,
            limits.unmatched_persons, weights, confidence, video=True,
        ),
        share_check(
            "video_added", "video: persons added", "%", motion.added, motion.added + motion.pairs,
            limits.unmatched_persons, weights, confidence, video=True,
        ),
        # In a second that is bad everybody is exchanged once.
        share_check(
            "id_switches", "video: identity switches", "a 1,000 persons", motion.switches, motion.named,
            limits.id_switches, weights, confidence, factor=1000.0, most=1 / motion.block_frames, video=True,
        ),
    ]  # fmt: skip
    first, second = motion.jitter[:, 0], motion.jitter[:, 1]
    # Where nothing moves at all, in neither run, no jitter is added.
    if motion.points.sum() >= _MIN_POINTS and motion.jitter.any():
        checks.append(
            check("jitter", "video: jitter added", "%", limits.jitter_increase, 100.0, second - first, first)
        )
    if motion.moving_points >= _MIN_POINTS:
        checks.append(
            check("lag", "video: lag added", "frames", limits.lag_frames, 1.0, motion.behind, motion.motion)
        )
    return tuple(checks)


def video_member(video: Path, tracks: Tracks, motion: Motion) -> dict[str, Any]:
    """Return "video"."""
    points = float(motion.points.sum())
    jitter = motion.jitter.sum(axis=0) / points if points >= _MIN_POINTS else [float("nan")] * 2
    lag = float(motion.behind.sum() / motion.motion.sum()) if motion.moving_points >= _MIN_POINTS else None
    return {
        "name": video.name,
        "sha256": sha256_file(video),
        "frames": tracks.frames,
        "fps": number(tracks.fps, 3),
        "persons": int(motion.persons.sum()),
        "unmatched_persons": int(motion.lost.sum()),
        "added_persons": int(motion.added.sum()),
        "reference": {"jitter_input_px": number(jitter[0])},
        "candidate": {"jitter_input_px": number(jitter[1])},
        "id_switches": int(motion.switches.sum()),
        "lag_frames": None if lag is None else number(lag),
    }
