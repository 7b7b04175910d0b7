"""What the documents of `eval` and `gate` say about bundle, data and skeleton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgepose import __version__
from edgepose.artifact import KeypointSet
from edgepose.hashing import sha256_json

if TYPE_CHECKING:
    from edgepose.verify.dataset import Dataset
    from edgepose.verify.predictions import Predictions

CREATED_BY = f"edgepose {__version__}"
# The constant that is a bundle's keypoint score threshold.
SEEN_SCORE = "pipeline.keypoint_score_threshold"


def bundle_member(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return "bundle": what identifies a bundle, and how its input is made."""
    models = manifest["models"]
    constants = {role: model["preprocess"] for role, model in models.items()}
    head = (models.get("pose") or models.get("one_stage") or {}).get("head", {})
    return {
        "name": manifest["name"],
        "digest": manifest["manifest_sha256"],
        "backend": manifest["backend"],
        "precision": manifest["precision"],
        "pipeline": manifest["pipeline"]["type"],
        "preprocess_digest": sha256_json(constants),
        "split_ratio": head.get("split_ratio"),
    }


def constants_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return every constant that a result depends on, flat: {"pose.preprocess.color": "rgb", ...}."""
    found: dict[str, Any] = {}
    for role, model in manifest["models"].items():
        for part in ("preprocess", "head"):
            for name, value in model[part].items():
                if name == "points":
                    found[f"{role}.{part}.keypoints"] = value["keypoints"]
                else:
                    found[f"{role}.{part}.{name}"] = value
    for name, value in manifest["pipeline"].items():
        found[f"pipeline.{name}"] = value
    return found


def seen_score(constants: Mapping[str, Any]) -> float:
    """Return the keypoint score threshold among the constants that `constants_of` returned."""
    return float(constants[SEEN_SCORE])


def gives_depth(constants: Mapping[str, Any]) -> bool:
    """Tell whether a bundle of these constants gives a depth for every keypoint."""
    return constants.get("pose.head.z_range") is not None


def data_member(data: Dataset, predictions: Predictions) -> dict[str, Any]:
    """Return "data"."""
    labelled = data.keypoints[data.labelled]
    return {
        "annotations": data.path.name,
        "digest": predictions.data_digest(data),
        "images": len(data.pictures),
        "persons": int((~data.crowd).sum()),
        "labelled_keypoints": int((labelled[..., 2] > 0).sum()),
    }


def skeleton_member(points: KeypointSet) -> dict[str, Any]:
    """Return "skeleton"."""
    return {
        "name": points.name,
        "keypoints": list(points.keypoints),
        "links": [list(link) for link in points.skeleton],
        "flip_pairs": [list(pair) for pair in points.flip_pairs],
    }
