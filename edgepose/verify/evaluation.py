"""The work of `edgepose eval`: run, compare with labels and with a reference, and write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose import log
from edgepose.bundle.folder import read_manifest
from edgepose.errors import UsageError
from edgepose.pipeline import WHOLE_PICTURE, keypoint_set_of
from edgepose.progress import Progress
from edgepose.verify import bootstrap
from edgepose.verify.checks import MIN_PICTURES
from edgepose.verify.coco_library import average_precision, require_coco_library
from edgepose.verify.compared import Compared, with_labels, with_reference
from edgepose.verify.dataset import Dataset, picture_folder, read_dataset
from edgepose.verify.figures import drift_member, errors_member, number, worst_member
from edgepose.verify.flip_test import require_flip_test, warn_without_pairs
from edgepose.verify.oks import match
from edgepose.verify.other_pixels import warn_of_other_pixels
from edgepose.verify.overlap import refuse_calibration_pictures
from edgepose.verify.predictions import BoxSource, Predictions, Recipe, predict, require_boxes
from edgepose.verify.run_info import (
    CREATED_BY,
    bundle_member,
    constants_of,
    data_member,
    gives_depth,
    seen_score,
    skeleton_member,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.artifact import KeypointSet

    Floats = NDArray[np.float64]

EVAL_FORMAT = "edgepose-eval"
EVAL_VERSION = 1


@dataclass(frozen=True, slots=True)
class EvalRequest:
    """What to evaluate on what. data None: every picture of the folder, without labels.

    boxes None: the labelled ones, or the bundle's own where it takes no boxes or there are none. flip_test:
    of the reference, too.
    """

    bundle: Path
    images: Path
    data: Path | None = None
    reference: Path | None = None
    boxes: BoxSource | None = None
    flip_test: bool = False
    device: str = "CPU"
    processes: int | None = None
    max_images: int | None = None
    samples: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """A bundle that was checked: its description, constants and keypoints. Its networks are not loaded."""

    path: Path
    member: dict[str, Any]
    constants: dict[str, Any]
    points: KeypointSet


def open_subject(path: Path) -> Subject:
    """Check a bundle to learn what it is. Errors: BundleError; UsageError (none, or without keypoints)."""
    manifest = read_manifest(path)
    points = keypoint_set_of(manifest)
    if points is None:
        raise UsageError(
            f"{path}: finds boxes, not keypoints", hint="give a bundle with a pose network or RTMO"
        )
    return Subject(path, bundle_member(manifest), constants_of(manifest), points)


def open_data(subject: Subject, images: Path, data: Path | None, *, max_images: int | None = None) -> Dataset:
    """Read the annotations, or list the folder where there are none."""
    if data is None:
        return picture_folder(images, subject.points, max_pictures=max_images)
    return read_dataset(data, images, subject.points, max_pictures=max_images)


def box_source(
    subject: Subject,
    data: Dataset,
    asked: BoxSource | None,
    *,
    hint: str | None = None,
) -> BoxSource:
    """Decide where the boxes come from. Errors: UsageError, with the hint, for labelled ones where there are
    none."""
    if asked == "labelled" and not len(data.boxed):
        raise UsageError(f"{data.path}: holds no boxes", hint=hint or "give --data, or --boxes detected")
    pipeline = subject.member["pipeline"]
    if asked is not None:
        require_boxes(subject.path, pipeline, asked)
    source = asked or ("detected" if pipeline == "one_stage" or not len(data.boxed) else "labelled")
    if source == "detected" and pipeline == "pose":
        log.notice(f"{WHOLE_PICTURE}; convert a detector with it, or give --data with boxes")
    return source


def require_alike(
    candidate: Subject, reference: Path, keypoints: Sequence[str], constants: Mapping[str, Any]
) -> None:
    """Refuse to compare other keypoints, or depths with none. Errors: UsageError.

    keypoints, constants: of the reference, which is a bundle or a baseline.
    """
    if len(candidate.points.keypoints) != len(keypoints):
        raise UsageError(
            f"{candidate.path} finds {len(candidate.points.keypoints)} keypoints, "
            f"{reference} {len(keypoints)}",
            hint="compare networks of the same keypoints",
        )
    if gives_depth(candidate.constants) != gives_depth(constants):
        flat, deep = reference, candidate.path
        if gives_depth(constants):
            flat, deep = deep, flat
        raise UsageError(
            f"{flat} gives no depths, {deep} does", hint="compare 3-D networks with 3-D networks"
        )


def evaluate(request: EvalRequest) -> dict[str, Any]:
    """Return the document edgepose-eval. Errors: those of PosePipeline, read_dataset and predict."""
    subject = open_subject(request.bundle)
    data = open_data(subject, request.images, request.data, max_images=request.max_images)
    reference = open_subject(request.reference) if request.reference else None
    if reference is not None:
        require_alike(subject, reference.path, reference.points.keypoints, reference.constants)
    boxes = box_source(subject, data, request.boxes)
    if reference is not None:
        require_boxes(reference.path, reference.member["pipeline"], boxes)
    if request.flip_test:
        for path in (subject.path, *([reference.path] if reference else [])):
            manifest = read_manifest(path)
            require_flip_test(path, manifest)
            warn_without_pairs(path, manifest)
    recipe = Recipe(boxes=boxes, device=request.device, flip_test=request.flip_test)
    if not len(data.labelled) and reference is None:
        raise UsageError(
            f"{data.path}: has no labelled keypoints, so there is nothing to measure",
            hint="give --data with keypoints, or --reference BUNDLE for the drift from it",
        )
    if len(data.labelled):
        require_coco_library()
    refuse_calibration_pictures(request.bundle, [(p.name, p.file) for p in data.pictures])
    bare = int((~data.crowd).sum()) - len(data.labelled)
    if bare and len(data.labelled):
        log.info(f"{data.path}: {bare} persons have no labelled keypoint and are left out")
    with Progress("eval", stages=2 if reference else 1, unit="images") as progress:
        progress.stage(subject.member["name"], total=len(data.pictures))
        found = predict(request.bundle, data, recipe, processes=request.processes, progress=progress)
        warn_of_other_pixels(data, found)
        theirs = None
        if reference is not None:
            progress.stage(f"reference {reference.member['name']}", total=len(data.pictures))
            theirs = predict(reference.path, data, recipe, processes=request.processes, progress=progress)
    labels = with_labels(data, found) if len(data.labelled) else None
    drift = None
    if theirs and reference:
        seen = seen_score(reference.constants)
        drift = with_reference(theirs, found, pictures=len(data.pictures), seen=seen)
    names = subject.points.keypoints
    weights = bootstrap.resample(len(data.pictures), request.samples, request.seed)
    worst = drift or labels
    accuracy = drifted = None
    if labels:
        accuracy = _accuracy(data, found, labels, subject.points, weights, request.confidence)
    if drift and reference:
        drifted = {
            "reference": reference.member,
            **drift_document(drift, names, weights, request.confidence),
        }
    return {
        "format": EVAL_FORMAT,
        "format_version": EVAL_VERSION,
        "created_by": CREATED_BY,
        "bundle": subject.member,
        "data": data_member(data, found),
        "settings": {
            "boxes": boxes, "flip_test": request.flip_test, "device": request.device,
            "confidence": request.confidence, "samples": request.samples, "seed": request.seed,
        },
        "skeleton": skeleton_member(subject.points),
        "accuracy": accuracy,
        "drift": drifted,
        "worst": worst_member(worst, data, names) if worst else [],
        "speed": {
            "persons": len(found.boxes), "seconds": number(found.seconds, 2), "processes": found.processes,
            "from_cache": found.from_cache,
        },
    }  # fmt: skip


def _accuracy(
    data: Dataset,
    found: Predictions,
    labels: Compared,
    points: KeypointSet,
    weights: bootstrap.Weights,
    confidence: float,
) -> dict[str, Any]:
    parts = average_precision(data, found, points)
    ap = bootstrap.ApOfWeights(match(data, found, points.sigmas)).of(weights)
    return {
        "parts": {part: {n: number(v, 3) for n, v in figures.items()} for part, figures in parts.items()},
        "AP_interval": _interval(ap, weights, confidence, digits=3),
        **errors_member(labels, points.keypoints, data),
    }


def drift_document(
    drift: Compared, names: tuple[str, ...], weights: bootstrap.Weights, confidence: float
) -> dict[str, Any]:
    """Return "drift" without its reference."""
    import numpy as np

    distance = np.where(drift.counts, drift.distance_input_px, 0).sum(axis=1)
    columns = np.stack([distance, drift.counts.sum(axis=1)], axis=1)
    per_picture = np.zeros((weights.shape[1], 2))
    np.add.at(per_picture, drift.picture_of, columns)
    means = bootstrap.ratios(weights, per_picture[:, :1], per_picture[:, 1:])[:, 0]
    return {
        **drift_member(drift, names),
        "mean_input_px_interval": _interval(means, weights, confidence),
    }


def _interval(
    values: Floats, weights: bootstrap.Weights, confidence: float, *, digits: int = 4
) -> list[float | None]:
    """Return an interval as it is stored; none of so few pictures that their resamplings are too alike."""
    if weights.shape[1] < MIN_PICTURES:
        return [None, None]
    return [number(v, digits) for v in bootstrap.interval(values, confidence)]
