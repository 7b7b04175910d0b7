"""The work of `edgepose baseline`: record a bundle's results, and tell whether they are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepose import log
from edgepose.progress import Progress
from edgepose.verify.baseline import RECORDED_BOXES, Baseline, rounded
from edgepose.verify.compared import paired
from edgepose.verify.dataset import Dataset
from edgepose.verify.evaluation import box_source, open_data, open_subject
from edgepose.verify.figures import number
from edgepose.verify.other_pixels import warn_of_other_pixels
from edgepose.verify.predictions import BoxSource, Predictions, Recipe, predict
from edgepose.verify.run_info import data_member, skeleton_member

_DEVICE = "CPU"


def recorded_baseline(
    bundle: Path,
    images: Path,
    data_file: Path | None,
    *,
    boxes: BoxSource | None = None,
    device: str | None = None,
    processes: int | None = None,
    max_images: int | None = None,
    repeats: Baseline | None = None,
) -> tuple[dict[str, Any], Dataset, Predictions]:
    """Run a bundle to record it: the header's members, the data, and what it found.

    device: by default that of repeats, else the CPU. repeats: run it anew as this baseline was, whose bundle
    it must be (BundleError).
    """
    subject = open_subject(bundle)
    hint = None
    if repeats is not None:
        repeats.require_bundle(subject.member)
        boxes, hint = repeats.document["settings"]["boxes"], RECORDED_BOXES
        recorded = repeats.document["settings"].get("device", _DEVICE)
        device = device or recorded
        if device != recorded:
            log.warning(
                f"{repeats.path}: was recorded on the device {recorded}, and {device} rounds in its own way"
            )
    device = device or _DEVICE
    data = open_data(subject, images, data_file, max_images=max_images)
    recipe = Recipe(boxes=box_source(subject, data, boxes, hint=hint), device=device)
    with Progress("baseline", stages=1, unit="images") as progress:
        progress.stage(subject.member["name"], total=len(data.pictures))
        found = predict(
            bundle, data, recipe, processes=processes, progress=progress, use_cache=repeats is None
        )
    warn_of_other_pixels(data, found)
    members = {
        "bundle": subject.member,
        "constants": subject.constants,
        "data": data_member(data, found),
        "settings": {"boxes": recipe.boxes, "device": device, "flip_test": False},
        "skeleton": skeleton_member(subject.points),
    }
    return members, data, rounded(found)


def compare_with_baseline(
    baseline: Baseline, members: Mapping[str, Any], data: Dataset, found: Predictions
) -> dict[str, Any]:
    """Tell whether a run repeats a recorded one. Errors: BundleError where bundle or data differ."""
    import numpy as np

    baseline.require_bundle(members["bundle"])
    baseline.require_data(members["data"]["digest"], members["settings"]["boxes"])
    kept = baseline.predictions(data)
    mine, theirs = paired(kept, found, len(data.pictures))
    before, now = kept.keypoints[mine], found.keypoints[theirs]
    distance = np.linalg.norm(now[..., :2] - before[..., :2], axis=2)
    changed_depths = 0
    if kept.depths is not None and found.depths is not None:
        changed_depths = int((found.depths[theirs] != kept.depths[mine]).sum())
    counts = {
        "unmatched_persons": len(kept.boxes) - len(mine),
        "added_persons": len(found.boxes) - len(theirs),
        "changed_keypoints": int((distance > 0).sum()),
        "changed_scores": int((now[..., 2] != before[..., 2]).sum()),
        "changed_depths": changed_depths,
        "changed_boxes": int((found.boxes[theirs] != kept.boxes[mine]).any(axis=1).sum()),
    }
    return {
        "same": not any(counts.values()),
        "persons": len(mine),
        **counts,
        "max_px": number(float(distance.max())) if distance.size else 0.0,
    }
