"""Bundles opened and checked for a report or a comparison; their networks are read, not run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.bundle.folder import read_manifest
from edgepose.errors import BundleError
from edgepose.media import require_utf8
from edgepose.report.inventory import Inventory, read_inventory


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
    require_utf8(path)
    manifest = read_manifest(path)
    # The validator leaves the members of a stage free.
    if not all(isinstance(stage.get("model"), str) for stage in manifest["verification"]["stages"]):
        raise BundleError(
            f"{path}: a stage of its verification names no model", hint="make it again with edgepose convert"
        )
    inventories = {
        role: read_inventory(manifest["backend"], {k: path / name for k, name in model["files"].items()})
        for role, model in manifest["models"].items()
    }
    return OpenedBundle(path, manifest, inventories)
