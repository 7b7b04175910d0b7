"""The border to the C++ runtime: loading `edgepose._core`, and its errors as EdgePose's."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from edgepose.errors import MissingDependencyError, from_core
from edgepose.hashing import sha256_file, sha256_json


def load_core() -> Any:
    """Import the compiled runtime. Errors: MissingDependencyError (not built, or a library is absent)."""
    try:
        from edgepose import _core
    except ImportError as error:
        raise MissingDependencyError(
            f"the compiled runtime edgepose._core cannot be loaded ({error})",
            hint="install EdgePose from its folder with: pip install .",
        ) from error
    offer_onnxruntime()
    return _core


@cache
def offer_onnxruntime() -> None:
    """Let the runtime, and the programs started from here, find the ONNX Runtime of this environment."""
    name = "EDGEPOSE_ONNXRUNTIME_LIBRARY"
    package = importlib.util.find_spec("onnxruntime")  # found, not imported
    if name in os.environ or package is None or package.origin is None:
        return
    # The wheels name the file by its whole version.
    for library in sorted(Path(package.origin).parent.glob("capi/libonnxruntime.so.*")):
        os.environ[name] = str(library)


@cache
def runtime_digest() -> str:
    """Return the digest of what decides a result besides bundle and picture: core, engines, processor."""
    core = getattr(load_core(), "__file__", None)  # which also names the library that is looked at
    packages = []
    for name in ("edgepose", "openvino", "onnxruntime"):
        try:
            packages.append(metadata.version(name))
        except metadata.PackageNotFoundError:
            packages.append("")
    files = [core, os.environ.get("EDGEPOSE_ONNXRUNTIME_LIBRARY")]
    digests = [sha256_file(Path(file)) if file and Path(file).is_file() else "" for file in files]
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    features = sorted({line for line in text.splitlines() if line.startswith(("flags", "Features"))})
    return sha256_json([packages, digests, platform.machine(), platform.processor(), features])


@contextmanager
def core_errors() -> Iterator[None]:
    """Turn the C++ runtime's errors into EdgePose's."""
    core = load_core()
    try:
        yield
    except core.CoreError as error:
        raise from_core(error.code, error.message, error.hint or None) from error
