"""What is known of each official checkpoint; models.json holds the facts of the upstream tables."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgepose.errors import UsageError
from edgepose.hashing import sha256_file


@dataclass(frozen=True, slots=True)
class ZooModel:
    """One official checkpoint.

    keypoints: name of the keypoint set, None for detectors and backbones; ap: in percent, of the kind that
    `metric` says; gflops: thousand million multiply-adds of one picture; sha256_prefix: the first 7 or 8 hex
    digits of the file's SHA-256, None where upstream gives none; convertible: EdgePose has this network.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    task: str
    keypoints: str | None
    input_hw: tuple[int, int]
    ap: float | None
    metric: str | None
    other_metrics: str | None
    params_m: float | None
    gflops: float | None
    data: str
    convertible: bool
    config: str | None
    file: str
    url: str
    sha256_prefix: str | None
    license: str
    note: str | None

    @property
    def keypoint_count(self) -> int | None:
        """How many keypoints the network has: the number that the name of the set ends with."""
        return int(self.keypoints[len(self.keypoints.rstrip("0123456789")) :]) if self.keypoints else None

    def as_dict(self) -> dict[str, Any]:
        """Return the members as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@cache
def models() -> tuple[ZooModel, ...]:
    """Return all checkpoints, by family and in upstream's order."""
    text = Path(__file__).with_name("models.json").read_text(encoding="utf-8")
    return tuple(
        ZooModel(**{**entry, "aliases": tuple(entry["aliases"]), "input_hw": tuple(entry["input_hw"])})
        for entry in json.loads(text)
    )


def lookup(name: str) -> ZooModel | None:
    """Return the checkpoint of a name, alias or official file name, or None; case and _ or - don't matter."""
    return _by_name().get(_key(name))


def find(name: str) -> ZooModel:
    """Return the checkpoint of a name, alias or official file name. Errors: UsageError with close names."""
    model = lookup(name)
    if model is None:
        # Only names are offered: file names are long, and close to everything.
        names = [spelling for model in models() for spelling in (model.name, *model.aliases)]
        close = difflib.get_close_matches(_key(name), names, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else "see edgepose zoo list"
        raise UsageError(f"the zoo has no model {name!r}", hint=hint)
    return model


def known_license(path: Path, sha256: str) -> str | None:
    """Return the licence of an official checkpoint; None for any other file.

    It is known by its SHA-256, or, where upstream gives none, by its name.
    """
    model = _official(path, sha256)
    return license_text(model.license) if model else None


def _official(path: Path, sha256: str) -> ZooModel | None:
    for model in models():
        prefix = model.sha256_prefix
        if sha256.startswith(prefix) if prefix else path.name == model.file:
            return model
    return None


def license_text(name: str) -> str:
    """Return what is known of the licence of an official checkpoint."""
    return f"{name} (of the upstream repository; no separate text for the weights was found)"


def known_keypoints(names_or_paths: Iterable[str], files: Iterable[Path] = ()) -> str | None:
    """Return the keypoint set of the official pose checkpoint among these names and files, if there is one.

    Networks of 17 points, for example, are of people or of animals; their tensors do not tell which.
    files: the checkpoints themselves; one of another name is known by its SHA-256. Errors: OSError.
    """
    named = (lookup(Path(text).name) for text in names_or_paths)
    renamed = (
        _official(path, sha256_file(path)) for path in files if lookup(path.name) is None and path.is_file()
    )
    found = itertools.chain(named, renamed)
    return next((model.keypoints for model in found if model is not None and model.keypoints), None)


@cache
def _by_name() -> dict[str, ZooModel]:
    return {
        _key(spelling): model
        for model in models()
        for spelling in (model.name, *model.aliases, model.file, model.file.removesuffix(".pth"))
    }


def _key(name: str) -> str:
    return name.strip().lower().replace("_", "-")
