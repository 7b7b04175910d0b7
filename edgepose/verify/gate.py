"""The work of `edgepose gate`: may this candidate replace that reference?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.errors import InconclusiveError, LimitError, UsageError
from edgepose.hashing import sha256_file
from edgepose.paths import refuse_lfs_pointer
from edgepose.progress import Progress
from edgepose.verify import bootstrap
from edgepose.verify.baseline import RECORDED_BOXES, Baseline, read_baseline, rounded
from edgepose.verify.checks import Verdict
from edgepose.verify.compared import Compared, with_reference
from edgepose.verify.dataset import Dataset
from edgepose.verify.decision import decide
from edgepose.verify.diagnosis import diagnose, differing_constants
from edgepose.verify.evaluation import (
    Subject,
    box_source,
    drift_document,
    open_data,
    open_subject,
    require_alike,
)
from edgepose.verify.figures import worst_member
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.gate_members import accuracy_of, scores_of, summary_of
from edgepose.verify.other_pixels import warn_of_other_pixels
from edgepose.verify.overlap import refuse_calibration_pictures
from edgepose.verify.predictions import (
    BoxSource,
    Predictions,
    Recipe,
    data_digest,
    predict,
    require_boxes,
    subset,
)
from edgepose.verify.run_info import CREATED_BY, data_member, seen_score, skeleton_member
from edgepose.verify.video import Tracks, compare, frame_count, track, video_checks, video_member

GATE_FORMAT = "edgepose-gate"
GATE_VERSION = 1
EXIT_CODES: dict[Verdict, int] = {
    "PASS": 0,
    "FAIL": LimitError.exit_code,
    "INCONCLUSIVE": InconclusiveError.exit_code,
}

# The experiments of the diagnosis run on this many pictures.
_EXPERIMENT_PICTURES = 24


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What to compare on what. reference: a bundle's folder, or a baseline's file.

    baseline: a file that says which bundle, data and preprocessing the reference must have.
    limits_file, budgets: see limits_for; precision: whose limits hold, the candidate's by default.
    video: what both are tracked on, too; it needs a bundle as the reference.
    """

    candidate: Path
    reference: Path
    images: Path
    data: Path | None = None
    baseline: Path | None = None
    boxes: BoxSource | None = None
    limits_file: Path | None = None
    budgets: tuple[str, ...] = ()
    precision: str | None = None
    video: Path | None = None
    device: str = "CPU"
    processes: int | None = None
    max_images: int | None = None
    samples: int = bootstrap.DEFAULT_SAMPLES
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Reference:
    """What the candidate is compared with; path is a bundle's, or None for a baseline."""

    member: Mapping[str, Any]
    constants: Mapping[str, Any]
    keypoints: Sequence[str]
    path: Path | None
    recorded: Baseline | None

    @property
    def kind(self) -> str:
        return "bundle" if self.path else "baseline"


def _open_reference(request: GateRequest) -> _Reference:
    recorded = read_baseline(request.baseline) if request.baseline else None
    if not request.reference.is_dir():
        baseline = read_baseline(request.reference)
        if recorded is not None:
            raise UsageError(
                f"{request.reference} is a baseline itself",
                hint="--baseline goes with a bundle as --reference",
            )
        document = baseline.document
        names = document["skeleton"]["keypoints"]
        return _Reference(document["bundle"], document["constants"], names, None, baseline)
    subject = open_subject(request.reference)
    if recorded is not None:
        recorded.require_bundle(subject.member)
    names = subject.points.keypoints
    return _Reference(subject.member, subject.constants, names, subject.path, recorded)


def gate(request: GateRequest) -> dict[str, Any]:
    """Return the document edgepose-gate; its verdict is no error.

    Errors: those of PosePipeline, read_dataset, predict and read_baseline; BundleError where bundle, data or
    preprocessing are not those of the baseline.
    """
    candidate = open_subject(request.candidate)
    points = candidate.points
    limits = limits_for(
        request.precision or candidate.member["precision"], file=request.limits_file, budgets=request.budgets
    )
    reference = _open_reference(request)
    if request.video and reference.path is None:
        raise UsageError(
            f"{request.reference} is a baseline, which holds no video",
            hint="--video needs a bundle as --reference",
        )
    require_alike(candidate, request.reference, reference.keypoints, reference.constants)
    data = open_data(candidate, request.images, request.data, max_images=request.max_images)
    asked, hint = request.boxes, None
    if asked is None and reference.recorded:
        asked, hint = reference.recorded.document["settings"]["boxes"], RECORDED_BOXES
    recipe = Recipe(boxes=box_source(candidate, data, asked, hint=hint), device=request.device)
    # Whatever can be refused is, before the candidate runs, which may take long.
    if reference.path:
        require_boxes(reference.path, reference.member["pipeline"], recipe.boxes)
    refuse_calibration_pictures(candidate.path, [(p.name, p.file) for p in data.pictures])
    if reference.recorded:
        for picture in data.pictures:  # else they would be other data
            refuse_lfs_pointer(picture.file)
        digests = [sha256_file(picture.file) for picture in data.pictures]
        reference.recorded.require_data(data_digest(data, digests), recipe.boxes)
    settings = {
        "boxes": recipe.boxes, "flip_test": False, "device": request.device,
        "confidence": request.confidence, "samples": request.samples, "seed": request.seed,
    }  # fmt: skip
    seen = seen_score(reference.constants)
    theirs, mine, tracks = _run(request, candidate, reference, data, recipe)
    decision = decide(
        data, theirs, mine, limits, names=points.keypoints, sigmas=points.sigmas,
        samples=request.samples, confidence=request.confidence, seed=request.seed, seen=seen,
    )  # fmt: skip
    video = None
    causes = []
    if tracks and request.video:
        motion = compare(*tracks)
        judged = video_checks(
            motion, limits, samples=request.samples, confidence=request.confidence, seed=request.seed
        )
        video = video_member(request.video, tracks[0], motion)
        if any(check.may_exceed for check in judged):
            tracking = (tracked.constants() for tracked in tracks)
            causes += [cause.as_member() for cause in differing_constants(*tracking)]
    if any(check.may_exceed for check in decision.checks):
        found = diagnose(
            decision.drift,
            names=points.keypoints,
            constants=(reference.constants, candidate.constants),
            split_ratio=candidate.member["split_ratio"],
            precision=candidate.member["precision"],
            again=None
            if recipe.boxes != "labelled"
            else _experimenter(candidate.path, data, theirs, recipe, seen),
            boxes=recipe.boxes,
        )
        causes += [cause.as_member() for cause in found]
    if video is not None:
        decision = dataclasses.replace(decision, checks=(*decision.checks, *judged))
    drift = drift_document(decision.drift, points.keypoints, decision.weights, request.confidence)
    summary = summary_of(decision, data, points.keypoints, causes)
    has_detector = candidate.member["pipeline"] == "top_down"
    if decision.verdict == "PASS" and has_detector and recipe.boxes == "labelled" and video is None:
        summary += "; the detector was not run, which --boxes detected judges"
    return {
        "format": GATE_FORMAT,
        "format_version": GATE_VERSION,
        "created_by": CREATED_BY,
        "verdict": decision.verdict,
        "exit_code": EXIT_CODES[decision.verdict],
        "summary": summary,
        "candidate": candidate.member,
        "reference": {**reference.member, "kind": reference.kind},
        "data": data_member(data, mine),
        "settings": settings,
        "skeleton": skeleton_member(points),
        "limits": limits.as_member(),
        "checks": [check.as_member(len(data.pictures)) for check in decision.checks],
        "accuracy": accuracy_of(data, theirs, mine, points.sigmas, decision, request.confidence),
        "drift": {"reference": reference.member, **drift},
        "scores": scores_of(decision, request.confidence),
        "diagnosis": causes,
        "video": video,
        "worst": worst_member(decision.drift, data, points.keypoints),
    }  # fmt: skip


def _run(
    request: GateRequest, candidate: Subject, reference: _Reference, data: Dataset, recipe: Recipe
) -> tuple[Predictions, Predictions, tuple[Tracks, Tracks] | None]:
    """Return the reference's run and the candidate's, and how both tracked the video."""
    frames = frame_count(request.video) if request.video else None
    stages = (2 if reference.path else 1) + (2 if request.video else 0)
    with Progress("gate", stages=stages, unit="images") as progress:
        progress.stage(f"candidate {candidate.member['name']}", total=len(data.pictures))
        mine = predict(candidate.path, data, recipe, processes=request.processes, progress=progress)
        warn_of_other_pixels(data, mine)
        if reference.path:
            progress.stage(f"reference {reference.member['name']}", total=len(data.pictures))
            theirs = predict(reference.path, data, recipe, processes=request.processes, progress=progress)
            tracks = []
            if request.video:
                for path in (reference.path, candidate.path):
                    progress.stage(f"{request.video.name} by {path.name}", total=frames)
                    tracks.append(track(path, request.video, device=request.device, progress=progress))
            return theirs, mine, (tracks[0], tracks[1]) if tracks else None
    assert reference.recorded is not None
    return reference.recorded.predictions(data), rounded(mine), None


def _experimenter(
    bundle: Path, data: Dataset, reference: Predictions, recipe: Recipe, seen: float
) -> Callable[[Recipe], tuple[Compared, Compared]]:
    """Give a function that runs the candidate in another way on some pictures: drift before and after."""
    import numpy as np

    pictures = np.unique(reference.picture_of)[:_EXPERIMENT_PICTURES].tolist()
    few = subset(reference, pictures)

    def drift(changed: Recipe) -> Compared:
        found = predict(bundle, data, changed, processes=1, only=pictures)
        return with_reference(few, found, pictures=len(data.pictures), seen=seen)

    before: list[Compared] = []

    def again(changed: Recipe) -> tuple[Compared, Compared]:
        if not before:
            before.append(drift(recipe))
        return before[0], drift(dataclasses.replace(changed, boxes=recipe.boxes, device=recipe.device))

    return again
