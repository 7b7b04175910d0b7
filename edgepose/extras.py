"""Which optional packages belong to which extra, and the command that installs it."""

from __future__ import annotations

import re
import sys
from importlib import metadata

from edgepose.errors import MissingDependencyError

# Import name -> (distribution, extra); an empty extra is a plain dependency of EdgePose.
PACKAGES: dict[str, tuple[str, str]] = {
    "numpy": ("numpy", ""),
    "cv2": ("opencv-python-headless", ""),
    "openvino": ("openvino", ""),
    "yaml": ("pyyaml", ""),
    "torch": ("torch", "convert"),
    "onnx": ("onnx", "convert"),
    "onnxruntime": ("onnxruntime", "convert"),
    "onnxsim": ("onnxsim", "convert"),
    "pnnx": ("pnnx", "convert"),
    "ncnn": ("ncnn", "calibrate"),
    "nncf": ("nncf", "calibrate"),
    "faster_coco_eval": ("faster-coco-eval", "eval"),
}


def install_command(extra: str, distribution: str = "") -> str:
    """Return the pip command that brings an extra, or without one a distribution that EdgePose needs.

    Where this Python is too old for the extra, what it takes instead.
    """
    if extra == "convert" and sys.version_info < (3, 11):
        return "converting needs Python 3.11 or newer"
    if extra:
        return f"pip install 'edgepose[{extra}]'"
    try:
        needed = metadata.requires("edgepose") or []
    except metadata.PackageNotFoundError:  # run from its sources
        needed = []
    wanted = (text for text in needed if re.match(rf"{re.escape(distribution)}\b(?!-)", text, re.IGNORECASE))
    return f"pip install '{next(wanted, distribution)}'"


def installed_version(distribution: str) -> str | None:
    """Return the version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def onnxruntime_for_gpus() -> str:
    """Return the commands that bring the ONNX Runtime for GPUs.

    That for CPUs, which the convert extra brings, lies in the same folder; each replaces files of the other.
    """
    if installed_version("onnxruntime") is None:
        return "pip install onnxruntime-gpu"
    return "pip uninstall onnxruntime, then pip install --force-reinstall onnxruntime-gpu"


def missing_package(import_name: str, *, purpose: str = "") -> MissingDependencyError:
    """Make the error for a package of PACKAGES that cannot be imported."""
    distribution, extra = PACKAGES[import_name]
    wanted = f" (needed to {purpose})" if purpose else ""
    return MissingDependencyError(
        f"the package {distribution} is not installed{wanted}", hint=install_command(extra, distribution)
    )
