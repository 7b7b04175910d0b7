"""A bundle that somebody names: is the path one at all, and what does its manifest say?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepose.bundle.manifest import MANIFEST_NAME
from edgepose.core import core_errors, load_core
from edgepose.errors import ConfigurationError, UsageError
from edgepose.media import require_utf8

_HINT = "a bundle is a folder made by edgepose convert"


def require_bundle(path: Path) -> None:
    """Check that a path is a bundle's folder, be it a damaged one, and one that the compiled core can take.

    Errors: UsageError; ConfigurationError (the path cannot be looked at).
    """
    try:
        exists, has_manifest = path.exists(), (path / MANIFEST_NAME).is_file()
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror or error}", hint="check the path and its permissions"
        ) from error
    if not exists:
        raise UsageError(f"{path}: no such bundle", hint=_HINT)
    if not has_manifest:
        raise UsageError(f"{path}: is no bundle, it has no {MANIFEST_NAME}", hint=_HINT)
    require_utf8(path)


def read_manifest(path: Path) -> dict[str, Any]:
    """Check all files of a bundle and return its manifest.

    Errors: UsageError (no bundle), BundleError, ConfigurationError (a file that cannot be read).
    """
    require_bundle(path)
    with core_errors():
        manifest: dict[str, Any] = json.loads(load_core().Bundle.open(str(path)).manifest_json)
    return manifest


def golden_keypoints(path: Path, manifest: Mapping[str, Any]) -> str:
    """Say what the keypoints' differences from a checked bundle's golden results are of.

    Older bundles of 3-D networks have no depths among these.
    """
    pose = manifest["models"].get("pose")
    if pose is None or pose["head"].get("z_range") is None:
        return "keypoints"
    golden = json.loads((path / manifest["golden"]["expected"]).read_text(encoding="utf-8"))
    return "keypoints (places or depths)" if "depths" in golden else "keypoints"
