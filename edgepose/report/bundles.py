"""Bundles opened and checked for a report or a comparison; their networks are read, not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.bundle.folder import read_manifest
from edgepose.errors import BundleError
from edgepose.report.inventory import Inventory, read_inventory

_FIGURES = (
    "max_abs", "relative", "cosine", "mean_px", "p95_px", "max_px", "depth_mean_px", "ambiguous", "recall",
    "false_boxes", "real_samples", "random_samples",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """A bundle whose checksums were right; inventories: what each role's network is made of."""

    path: Path
    manifest: dict[str, Any]
    inventories: dict[str, Inventory]

    @property
    def name(self) -> str:
        """The bundle's name."""
        return str(self.manifest["name"])

    @property
    def label(self) -> str:
        """Name, backend and precision."""
        return f"{self.name} ({self.manifest['backend']}, {self.manifest['precision']})"

    @property
    def digest(self) -> str:
        """The SHA-256 that stands for the whole bundle."""
        return str(self.manifest["manifest_sha256"])

    @property
    def total_bytes(self) -> int:
        """The size of its files without bundle.json."""
        return sum(int(file["bytes"]) for file in self.manifest["files"].values())

    @property
    def golden_files(self) -> set[str]:
        """The files that no runtime needs: golden picture and results."""
        golden = self.manifest["golden"]
        return {golden["picture"], golden["expected"]}

    def identity(self) -> dict[str, Any]:
        """Return what names the bundle in a document."""
        return {
            "name": self.name,
            "digest": self.digest,
            "backend": self.manifest["backend"],
            "precision": self.manifest["precision"],
            "pipeline": self.manifest["pipeline"]["type"],
        }


def open_bundle(path: Path) -> OpenedBundle:
    """Open a bundle and list its layers. Errors: UsageError (no bundle), BundleError."""
    manifest = read_manifest(path)
    for stage in manifest["verification"]["stages"]:
        _check_stage(path, stage)
    inventories = {
        role: read_inventory(manifest["backend"], {k: path / name for k, name in model["files"].items()})
        for role, model in manifest["models"].items()
    }
    return OpenedBundle(path, manifest, inventories)


def _check_stage(path: Path, stage: Mapping[str, Any]) -> None:
    """Look at what is shown of a stage, whose members the validator leaves free. Errors: BundleError."""
    limits = stage.get("limits")
    found = {name: stage.get(name) for name in _FIGURES}
    if isinstance(limits, Mapping):
        found.update({f"limits.{name}": limit for name, limit in limits.items()})
    texts = ("stage", "engine", "precision")
    wrong = [
        *([] if isinstance(stage.get("model"), str) else ["model"]),
        *(name for name in texts if not isinstance(stage.get(name, ""), str)),
        *([] if limits is None or isinstance(limits, Mapping) else ["limits"]),
        *(name for name, value in found.items() if not _is_figure(value)),
    ]
    if wrong:
        raise BundleError(
            f"{path}: a stage of its verification cannot be read: {wrong[0]} is missing or of a wrong type",
            hint="make it again with edgepose convert",
        )


def _is_figure(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
