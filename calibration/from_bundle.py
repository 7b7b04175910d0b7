"""Take a network out of a bundle again, to calibrate it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepose.artifact import Artifact, LineageEntry
from edgepose.bundle.folder import read_manifest
from edgepose.bundle.manifest import spec_from_json
from edgepose.errors import UsageError


def artifact_of(bundle_dir: Path, role: str) -> Artifact:
    """Return a network as it lies in a bundle, which is checked first.

    role: "detector", "pose" or "one_stage". Its lineage is the bundle's; the number of parameters is not
    recorded there and is 0.
    Errors: BundleError, UsageError (no bundle, no such role).
    """
    manifest = read_manifest(bundle_dir)
    if role not in manifest["models"]:
        raise UsageError(f"{bundle_dir} has no {role}", hint=f"it has: {', '.join(manifest['models'])}")
    model = manifest["models"][role]
    inputs, outputs = model["inputs"], model["outputs"]
    spec = spec_from_json(
        {
            "name": model["name"],
            "family": model["family"],
            "task": model["task"],
            "preprocess": model["preprocess"],
            "head": model["head"],
            "input_names": [tensor["name"] for tensor in inputs],
            "output_names": [tensor["name"] for tensor in outputs],
            "license": manifest["license"]["weights"],
            "parameters": 0,
            "keypoint_score_threshold": manifest["pipeline"]["keypoint_score_threshold"],
        }
    )
    return Artifact(
        spec=spec,
        format=manifest["backend"],
        precision=manifest["precision"],
        files={name: bundle_dir / file for name, file in model["files"].items()},
        input_shapes={tensor["name"]: _dims(tensor) for tensor in inputs},
        output_shapes={tensor["name"]: _dims(tensor) for tensor in outputs},
        tensor_names={tensor["name"]: tensor["tensor"] for tensor in (*inputs, *outputs)},
        lineage=tuple(LineageEntry(**{"seconds": 0.0, **entry}) for entry in manifest["lineage"]),
    )


def _dims(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor["dims"])  # JSON may have them as 2.0
