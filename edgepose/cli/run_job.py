"""The work of `edgepose run`: read ahead, run the pipeline, draw and write behind it."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from edgepose import __version__, interrupts, log
from edgepose.background import Background
from edgepose.bundle.manifest import MANIFEST_NAME
from edgepose.cli.options import check_output_folder
from edgepose.cli.run_guard import (
    RESULTS_NAME,
    input_of,
    output_folder,
    refuse_overwriting,
    video_of,
    video_path,
)
from edgepose.coco_json import CocoResults, open_results
from edgepose.draw import ColorBy, draw_box, draw_poses, person_color
from edgepose.errors import UsageError
from edgepose.media import Frame, Source, is_pictures, open_source
from edgepose.openpose_json import OpenPoseWriter
from edgepose.person_boxes import PersonBoxes, read_person_boxes
from edgepose.pipeline import WHOLE_PICTURE, PoseFrame, PosePipeline, box_class_of
from edgepose.progress import Progress
from edgepose.read_ahead import ReadAhead
from edgepose.writers import VideoWriter, open_video, write_picture

OPENPOSE_NAME = "openpose"
_DEFAULT_FPS = 30.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The command line of `edgepose run`."""

    bundle: Path
    target: str
    output: Path | None = None
    boxes: Path | None = None
    threads: int | None = None
    device: str = "CPU"
    detect_every: int = 1
    detect_delay: int = 0
    track: bool | None = None
    smooth: bool | None = None
    max_frames: int | None = None
    draw: bool = True
    color_by: ColorBy = "side"
    keypoint_threshold: float | None = None
    openpose: bool = False
    as_json: bool = False

    @property
    def follows(self) -> bool:
        """Whether persons are followed between detections."""
        return self.detect_every > 1 or self.detect_delay > 0


@dataclass(frozen=True, slots=True)
class _Done:
    frame: Frame
    result: PoseFrame
    labels: tuple[int, ...]


def run_job(options: RunOptions) -> None:
    """Run and print what came out. Errors: those of PosePipeline and the readers; UsageError at the end when
    some pictures of a folder could not be read."""
    if options.boxes and options.follows:
        raise UsageError(
            "--boxes says where persons are in every frame, so nobody is followed between detections",
            hint="leave out --detect-every and --detect-delay, or --boxes",
        )
    with _open_pipeline(options) as pipeline:
        persons = (pipeline.keypoint_set, box_class_of(pipeline.manifest))
        boxes = read_person_boxes(options.boxes, *persons) if options.boxes else None
        if boxes and pipeline.pipeline_type not in ("top_down", "pose"):
            raise UsageError(
                f"the pipeline of {options.bundle} is {pipeline.pipeline_type!r} and takes no boxes",
                hint="leave out --boxes",
            )
        if pipeline.tracks and pipeline.pipeline_type == "detect":
            raise UsageError(
                f"{options.bundle} finds boxes alone, which are not tracked here",
                hint="leave out --track, --smooth, --detect-every and --detect-delay",
            )
        source = open_source(options.target)
        if boxes is None and pipeline.pipeline_type == "pose":
            log.notice(f"{WHOLE_PICTURE}; convert a detector with it, or give --boxes")
        folder = options.output or Path("edgepose-run") / source.name
        check_output_folder(folder)
        with output_folder(folder):
            job = _Job(options, pipeline, source, boxes, folder)
            summary = job.run()
    if options.as_json:
        _copy_to_stdout(folder / RESULTS_NAME)
    else:
        click.echo(_summary_text(summary))
    if source.unreadable:
        names = ", ".join(source.unreadable[:5]) + (", ..." if len(source.unreadable) > 5 else "")
        raise UsageError(
            f"{len(source.unreadable)} of {source.frame_count} pictures could not be read: {names}",
            hint="the results hold the others",
        )


def _open_pipeline(options: RunOptions) -> PosePipeline:
    """Open the bundle; a video is tracked and smoothed unless told otherwise or the bundle cannot."""
    track, smooth = options.track, options.smooth
    if is_pictures(options.target):
        if track or smooth or options.follows:
            raise UsageError(
                f"{options.target}: pictures are not followed from one to the next",
                hint="--track, --smooth, --detect-every and --detect-delay are for videos and cameras",
            )
        track = False
    elif track is False and (smooth or options.follows):
        raise UsageError(
            "--no-track leaves nobody to follow",
            hint="leave it out, or --smooth, --detect-every and --detect-delay",
        )
    if options.detect_delay > options.detect_every:
        raise UsageError(
            f"--detect-delay {options.detect_delay} is more than --detect-every {options.detect_every}",
            hint="give the detector as many frames between two of its runs, with --detect-every",
        )
    if track is None:
        track = _can_track(options)
    return PosePipeline(
        options.bundle,
        threads=options.threads,
        device=options.device,
        detect_every=options.detect_every,
        detect_delay=options.detect_delay,
        track=track,
        smooth=track if smooth is None else smooth,
    )


def _can_track(options: RunOptions) -> bool:
    """Tell whether to track where the user does not say."""
    if options.smooth or options.follows:
        return True
    try:
        manifest = json.loads((options.bundle / MANIFEST_NAME).read_text(encoding="utf-8"))
        found = "tracking" in manifest
        if manifest["pipeline"]["type"] == "detect":
            return False
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False  # opening the bundle says what is wrong with it
    if not found:
        log.warning(
            f"{options.bundle} was made before tracking: no ids, no smoothing (convert again for them)"
        )
    return found


class _Job:
    def __init__(
        self,
        options: RunOptions,
        pipeline: PosePipeline,
        source: Source,
        boxes: PersonBoxes | None,
        folder: Path,
    ) -> None:
        self._options = options
        self._pipeline = pipeline
        self._source = source
        self._boxes = boxes
        self._folder = folder
        self._points = pipeline.keypoint_set
        threshold = options.keypoint_threshold
        self._threshold = pipeline.keypoint_threshold if threshold is None else threshold
        self._classes = _classes(pipeline.manifest)
        self._frames = 0
        self._pictures = 0
        self._dropped = 0
        self._total_ms: dict[str, float] = defaultdict(float)
        self._video_path: Path | None = None
        self._openpose: OpenPoseWriter | None = None

    def run(self) -> dict[str, Any]:
        """Process every frame and return the summary."""
        options, source = self._options, self._source
        refuse_overwriting(self._folder, source, options.target, boxes=options.boxes, draws=options.draw)
        total = source.frame_count
        if options.max_frames:
            total = min(total, options.max_frames) if total else options.max_frames
        started_s = time.perf_counter()
        # Behind the last frame no signal comes before results and video have their names.
        with ExitStack() as held, ExitStack() as stack:
            reader = stack.enter_context(ReadAhead(source, limit=options.max_frames))
            # Before the results, so that it gets its name after them: without them it would be nobody's.
            video = self._open_video(stack)
            results = stack.enter_context(
                open_results(
                    self._folder / RESULTS_NAME,
                    info=self._info(),
                    points=self._points,
                    classes=self._classes,
                    rescore=self._pipeline.pipeline_type in ("top_down", "pose"),
                )
            )
            if options.openpose:
                self._openpose = stack.enter_context(self._open_openpose())
            progress = stack.enter_context(Progress(f"run {source.name}", total=total, unit="frames"))
            with Background[_Done](lambda done: self._write(done, results, video)) as writer:
                given = 0
                try:
                    for frame in reader:
                        writer.put(self._analyse(frame))
                        given += 1
                        progress.advance()
                    held.enter_context(interrupts.deferred())
                except (KeyboardInterrupt, interrupts.Terminated):
                    if source.kind != "camera" or not given:
                        raise
                    held.enter_context(interrupts.deferred())
                    interrupts.forget()
                    log.notice("camera stopped")
            self._dropped = reader.dropped
            if self._boxes:
                self._boxes.check_used()
            if not self._frames:
                raise UsageError(f"{source.name}: not one frame could be read")
            results.summary = self._summary(results.persons, time.perf_counter() - started_s)
            if video:  # no results of a video that failed
                video.release()
                video.check_complete()
            return results.summary

    def _analyse(self, frame: Frame) -> _Done:
        pipeline, boxes = self._pipeline, None
        if self._boxes:
            boxes = self._boxes.of(frame.name, frame.index)
        if pipeline.pipeline_type == "detect":
            result, labels = self._detect(frame)
        else:
            result = pipeline(frame.image, boxes=boxes, time_s=frame.time_ns / 1e9)
            labels = (0,) * len(result)
        return _Done(frame, result, labels)

    def _detect(self, frame: Frame) -> tuple[PoseFrame, tuple[int, ...]]:
        started_s = time.perf_counter()
        rows = self._pipeline.detect(frame.image)
        elapsed_ms = (time.perf_counter() - started_s) * 1e3
        rows = rows[rows[:, 4] >= self._pipeline.manifest["pipeline"]["box_score_threshold"]]
        count = len(rows)
        result = PoseFrame(
            np.zeros((count, 0, 3), np.float32),
            np.ascontiguousarray(rows[:, :5]),
            np.full(count, -1, np.int64),
            None,
            {"total": elapsed_ms},
        )
        return result, tuple(int(label) for label in rows[:, 5])

    def _write(self, done: _Done, results: CocoResults, video: VideoWriter | None) -> None:
        frame, result = done.frame, done.result
        self._frames += 1
        for stage, milliseconds in result.timings_ms.items():
            self._total_ms[stage] += milliseconds
        height_px, width_px = frame.image.shape[:2]
        time_ns = None if self._source.kind == "pictures" else frame.time_ns
        image_id = results.add_image(frame.name, width_px=width_px, height_px=height_px, time_ns=time_ns)
        for number, label in enumerate(done.labels):
            results.add_person(
                image_id,
                result.keypoints[number],
                result.boxes[number],
                track_id=int(result.track_ids[number]),
                z_m=None if result.z is None else result.z[number],
                category_id=label + 1,
            )
        if self._openpose:
            self._openpose.add_image(frame.name, width_px=width_px, height_px=height_px)
            for number, keypoints in enumerate(result.keypoints):
                self._openpose.add_person(image_id, keypoints, track_id=int(result.track_ids[number]))
        if not self._options.draw:
            return
        canvas = self._draw(done)
        if video:
            # A file's frames keep their number; a camera's are as many as the pipeline had time for.
            video.write(canvas, time_s=frame.time_ns / 1e9 if self._source.kind == "camera" else None)
        else:
            write_picture(self._folder / frame.name, canvas)
            self._pictures += 1

    def _draw(self, done: _Done) -> Any:
        result = done.result
        if self._points:
            return draw_poses(
                done.frame.image,
                result.keypoints,
                self._points,
                keypoint_threshold=self._threshold,
                boxes=result.boxes,
                track_ids=result.track_ids.tolist(),
                color_by=self._options.color_by,
            )
        canvas = done.frame.image.copy()
        for box, label in zip(result.boxes, done.labels, strict=True):
            name = self._classes[label] if label < len(self._classes) else f"class {label}"
            draw_box(canvas, box, color=person_color(label), label=f"{name} {box[4]:.2f}", thickness=2)
        return canvas

    def _open_video(self, stack: ExitStack) -> VideoWriter | None:
        if self._source.kind == "pictures" or not self._options.draw:
            return None
        fps = self._source.fps
        if fps is None:
            log.warning(f"{self._source.name}: no frame rate is given; the video gets {_DEFAULT_FPS:g}")
        self._video_path = video_path(self._folder, self._source)
        return stack.enter_context(open_video(self._video_path, fps=fps or _DEFAULT_FPS))

    def _open_openpose(self) -> OpenPoseWriter:
        if self._points is None:
            raise UsageError(f"{self._options.bundle} finds no keypoints", hint="leave out --format openpose")
        folder, seen = self._folder / OPENPOSE_NAME, self._pipeline.keypoint_threshold
        return OpenPoseWriter(folder, points=self._points, score_threshold=self._threshold, seen_score=seen)

    def _info(self) -> dict[str, Any]:
        manifest = self._pipeline.manifest
        return {
            "description": "EdgePose results",
            "edgepose": __version__,
            **input_of(self._source, self._options.target),
            "video": video_of(self._folder, self._source, draws=self._options.draw),
            "bundle": self._pipeline.name,
            "bundle_digest": self._pipeline.digest,
            "backend": manifest["backend"],
            "precision": manifest["precision"],
            "threads": self._pipeline.threads,
            "boxes": self._options.boxes.name if self._options.boxes else None,
        }

    def _summary(self, persons: int, elapsed_s: float) -> dict[str, Any]:
        total_ms = self._total_ms["total"]
        files = [str(self._folder / RESULTS_NAME)]
        if self._openpose:
            files.append(str(self._folder / OPENPOSE_NAME))
        if self._video_path:
            files.insert(0, str(self._video_path))
        return {
            "frames": self._frames,
            "frames_expected": self._source.frame_count,
            "frames_dropped": self._dropped,
            "unreadable": self._source.unreadable,
            "persons": persons,
            "pipeline_fps": round(self._frames / total_ms * 1e3, 2) if total_ms > 0 else None,
            "overall_fps": round(self._frames / elapsed_s, 2),
            "mean_ms": {stage: round(ms / self._frames, 3) for stage, ms in self._total_ms.items()},
            "folder": str(self._folder),
            "pictures": self._pictures,
            "files": files,
        }


def _classes(manifest: dict[str, Any]) -> tuple[str, ...]:
    if manifest["pipeline"]["type"] != "detect":
        return (box_class_of(manifest) or "person",)
    return tuple(manifest["models"]["detector"]["head"]["classes"])


def _summary_text(summary: dict[str, Any]) -> str:
    frames, persons, fps = summary["frames"], summary["persons"], summary["pipeline_fps"]
    counts = f"{frames} frame{'s' * (frames != 1)}, {persons} person{'s' * (persons != 1)}"
    speed = f"pipeline {fps:.1f} frames/s ({1e3 / fps:.1f} ms a frame), " if fps else ""
    lines = [f"{counts}; {speed}whole run {summary['overall_fps']:.1f} frames/s"]
    if summary["frames_dropped"]:
        lines.append(f"{summary['frames_dropped']} frames came while the pipeline was busy and were dropped")
    if summary["pictures"]:
        pictures = summary["pictures"]
        lines.append(f"{pictures} annotated picture{'s' * (pictures != 1)} in {summary['folder']}")
    lines += summary["files"]
    return "\n".join(lines)


def _copy_to_stdout(path: Path) -> None:
    sys.stdout.flush()
    data = path.read_bytes()
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(data)  # JSON is UTF-8, whatever stdout's own encoding
    else:  # a stand-in, as in notebooks
        sys.stdout.write(data.decode())
