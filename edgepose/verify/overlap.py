"""Keep the pictures that a bundle was calibrated with out of what it is measured on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgepose.bundle.manifest import MANIFEST_NAME
from edgepose.errors import BundleError, UsageError
from edgepose.hashing import sha256_file


def calibration_pictures(bundle: Path) -> set[str]:
    """Return the SHA-256 of every picture that a bundle was calibrated with or chosen by.

    bundle: a folder that Bundle.open has accepted; empty for one that was not calibrated. Errors: BundleError
    (a record of the pictures that cannot be read; the validator leaves the arguments of a step free).
    """
    manifest = json.loads((bundle / MANIFEST_NAME).read_text(encoding="utf-8"))
    used: set[str] = set()
    for entry in manifest.get("lineage", ()):
        if entry["step"] != "quantise":
            continue
        for half in ("calibration", "held_out"):
            samples = entry["arguments"].get(half, [])
            if not isinstance(samples, list) or not all(
                isinstance(sample, dict) and isinstance(sample.get("sha256"), str) for sample in samples
            ):
                raise BundleError(
                    f"{bundle}: its record of the pictures it was calibrated with ({half}) cannot be read",
                    hint="make it again with edgepose calibrate",
                )
            used.update(sample["sha256"] for sample in samples)
    return used


def refuse_calibration_pictures(bundle: Path, pictures: Sequence[tuple[str, Path]]) -> None:
    """Refuse pictures, given by name and file, that are in the bundle's calibration set.

    Errors: UsageError, BundleError; OSError when a picture cannot be read.
    """
    used = calibration_pictures(bundle)
    shared = [name for name, file in pictures if sha256_file(file) in used] if used else []
    if shared:
        raise UsageError(
            f"{bundle} was calibrated with {len(shared)} of the {len(pictures)} pictures, "
            f"{shared[0]} for example: its figures on them prove nothing",
            hint="measure on other pictures, or calibrate with others (--not-in refuses such pictures "
            "before the work)",
        )
