"""Put converted networks of one target together as a bundle, and check it as a reader will."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgepose import __version__
from edgepose.artifact import BoxHead, Precision, SimccHead
from edgepose.bundle.folder import golden_keypoints
from edgepose.bundle.manifest import (
    FORMAT,
    FORMAT_VERSION,
    head_member,
    lineage_member,
    pipeline_type,
    preprocess_member,
)
from edgepose.bundle.tracking import tracking_member
from edgepose.categories import are_numbered, of_no_person
from edgepose.converters.engine import tensors
from edgepose.converters.limits import LIMITS
from edgepose.converters.steps import Converted
from edgepose.core import core_errors, load_core
from edgepose.errors import ConversionError, EdgePoseError, UsageError

BOX_SCORE_THRESHOLD = 0.3

# Backends whose bundles do not run here.
SIMULATED_BACKENDS = ("rknn",)

# What classes of persons are called, in any case; the first that a detector has is taken.
_PERSON_WORDS = ("person", "people", "human", "pedestrian")
# What classes are called that are no person's for sure: parts, and animals (COCO's and any).
_OTHER_WORDS = {
    *("hand", "face", "head", "animal", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear"),
    *("zebra", "giraffe"),
}

_NAMED_CLASSES = 100

_ROLES = ("detector", "pose", "one_stage")


def in_order(parts: Sequence[Converted]) -> list[Converted]:
    """Sort networks as a pipeline runs them."""
    return sorted(parts, key=lambda part: _ROLES.index(part.canonical.role))


def manifest(
    name: str,
    target: str,
    precision: Precision,
    parts: Sequence[Converted],
    *,
    box_class: str | None = None,
) -> tuple[dict[str, Any], dict[str, Path | bytes]]:
    """Compose bundle.json (without checksums) and list the files of the bundle.

    box_class: the detector's class to look for, in place of persons. Errors: UsageError (there is none).
    """
    parts = in_order(parts)
    heads = [part.artifact.spec.head for part in parts]
    # The last has the keypoints, where there are any.
    keypoint_score = parts[-1].artifact.spec.keypoint_score_threshold
    files: dict[str, Path | bytes] = {}
    for part in parts:
        files |= {path.name: path for path in part.artifact.files.values()}
    golden, expected = _golden(parts, precision)
    files["golden.bgr"] = parts[0].canonical.golden_file
    files["golden.json"] = (json.dumps(expected, allow_nan=False) + "\n").encode("ascii")
    members = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "created_by": f"edgepose {__version__}",
        "backend": target,
        "precision": precision,
        "pipeline": {
            "type": pipeline_type([part.canonical.role for part in parts]),
            "person_label": next((person_label(h, box_class) for h in heads if isinstance(h, BoxHead)), 0),
            "box_score_threshold": BOX_SCORE_THRESHOLD,
            "keypoint_score_threshold": keypoint_score,
        },
        "tracking": tracking_member(keypoint_score),
        "models": {part.canonical.role: _model(part) for part in parts},
        "files": {},
        "golden": golden,
        "lineage": [entry for part in parts for entry in lineage_member(part.artifact.lineage)],
        "verification": {
            "stages": [stage.to_json() for part in parts for stage in (part.canonical.stage, part.stage)]
        },
        "license": {
            "weights": _license(parts),
            "notes": [
                f"{part.artifact.spec.name}: {note}"
                for part in parts
                for note in (*part.canonical.notes, *person_notes(part, parts, box_class))
            ],
        },
    }
    return members, files


def check_bundle(folder: Path) -> None:
    """Open a bundle with the C++ validator and, where it runs here, run its golden picture.

    Errors: ConversionError, with the reason of either.
    """
    try:
        with core_errors():
            members = json.loads(load_core().Bundle.open(str(folder)).manifest_json)
            if members["backend"] in SIMULATED_BACKENDS:
                return  # it runs on its device only; its networks were compared in the simulator
            report = load_core().Pipeline(str(folder), threads=1).verify_golden()
    except EdgePoseError as error:
        raise ConversionError(f"the finished bundle is refused: {error.message}", hint=error.hint) from error
    if not report["passed"]:
        boxes = f"{report['detections_matched']} of {report['detections_expected']} boxes found"
        keypoints = f"{golden_keypoints(folder, members)} {report['keypoint_mean_px']:.3f} px"
        shifts = f"{keypoints}, boxes {report['box_mean_px']:.3f} px off"
        raise ConversionError(
            f"the finished bundle does not reproduce its golden results: {boxes}, {shifts}, "
            f"limit {report['tolerance_px']:g} px",
            hint="no bundle was written",
        )


def _model(part: Converted) -> dict[str, Any]:
    spec = part.artifact.spec
    return {
        "name": spec.name,
        "family": spec.family,
        "task": spec.task,
        "files": {role: path.name for role, path in part.artifact.files.items()},
        "inputs": _tensor_members(part, inputs=True),
        "outputs": _tensor_members(part, inputs=False),
        "preprocess": preprocess_member(spec.preprocess),
        "head": head_member(spec.head),
    }


def _tensor_members(part: Converted, *, inputs: bool) -> list[dict[str, Any]]:
    return [
        {"name": name, "tensor": tensor, "dims": dims}
        for name, tensor, dims in tensors(part.artifact, inputs=inputs)
    ]


def _golden(parts: Sequence[Converted], precision: Precision) -> tuple[dict[str, Any], dict[str, Any]]:
    first: Mapping[str, Any] = parts[0].canonical.golden
    expected: dict[str, Any] = {"detections": None, "poses": None}
    for part in parts:
        for kind in ("detections", "poses", "depths"):
            if part.canonical.golden.get(kind) is not None:
                expected[kind] = part.canonical.golden[kind]
    boxes: list[list[float]] = next(
        (p.canonical.golden["boxes_xyxy"] for p in parts if p.canonical.role == "pose"), []
    )
    golden = {
        "picture": "golden.bgr",
        "width_px": first["width_px"],
        "height_px": first["height_px"],
        "boxes_xyxy": boxes,
        "expected": "golden.json",
        "tolerance_px": LIMITS[precision].mean_px,
    }
    return golden, expected


def person_label(head: BoxHead, box_class: str | None = None) -> int:
    """Return the detector's class to look for: the named one, else the one called a person, else the first.

    Errors: UsageError (no class has the name).
    """
    names = [name.strip().casefold() for name in head.classes]
    if box_class is None:
        return next((names.index(word) for word in _PERSON_WORDS if word in names), 0)
    asked = box_class.strip().casefold()
    if asked not in names:
        more = len(names) - _NAMED_CLASSES
        raise UsageError(
            f"the detector has no class {box_class[:60]!r}",
            hint=f"its classes: {', '.join(head.classes[:_NAMED_CLASSES])}"
            + (f" and {more} more" if more > 0 else ""),
        )
    return names.index(asked)


def person_notes(part: Converted, parts: Sequence[Converted], box_class: str | None) -> list[str]:
    """Say so where a detector's class to look for is a guess among several, or not what the points are of.

    parts: of the whole bundle.
    """
    head = part.artifact.spec.head
    if not isinstance(head, BoxHead) or box_class is not None:
        return []
    is_only = len(head.classes) == 1
    heads = (other.artifact.spec.head for other in parts)
    points = next((other.points for other in heads if isinstance(other, SimccHead)), None)
    chosen = head.classes[person_label(head)]
    word = chosen.strip().casefold()
    if word not in _PERSON_WORDS and not is_only:
        return [
            f"none of its {len(head.classes)} classes is called {', '.join(_PERSON_WORDS[:-1])} or "
            f"{_PERSON_WORDS[-1]}: the first, {chosen[:60]!r}, is taken for persons"
            + ("; --box-class names another" if points else "")
        ]
    if points is None or are_numbered(points):
        return []
    pair = f"the pose network gets the boxes of {chosen[:60]!r}, and its keypoints ({points.name[:60]})"
    if word in _PERSON_WORDS and of_no_person(points):
        remedy = "it needs a detector of that" if is_only else "--box-class names the class"
        return [f"{pair} are not a person's, by their names: if they are another's, {remedy}"]
    if word in _OTHER_WORDS and not of_no_person(points):
        return [f"{pair} are a person's, by their names: it needs a detector of persons"]
    return []


def _license(parts: Sequence[Converted]) -> str:
    licenses = {part.canonical.role: part.artifact.spec.license for part in parts}
    if len(set(licenses.values())) == 1:
        return next(iter(licenses.values()))
    return "; ".join(f"{role}: {text}" for role, text in licenses.items())
