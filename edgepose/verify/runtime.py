"""What decides a result besides the bundle and the picture."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from edgepose.core import load_core
from edgepose.hashing import sha256_file, sha256_json
from edgepose.media import load_cv2


@cache
def runtime_digest() -> str:
    """Return the digest of the C++ core, the engines, the pictures' decoder and the processor."""
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
    decoder = load_cv2().getBuildInformation()  # OpenCV's version, and those of the libraries in it
    return sha256_json([packages, digests, decoder, platform.machine(), platform.processor(), features])
