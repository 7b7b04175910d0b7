"""The border to the C++ runtime: loading `edgepose._core`, and its errors as EdgePose's."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from edgepose.errors import MissingDependencyError, from_core
from edgepose.extras import install_command, installed_version, onnxruntime_for_gpus


def load_core() -> Any:
    """Import the compiled runtime. Errors: MissingDependencyError (not built, or a library is absent)."""
    try:
        try:
            from edgepose import _core
        except ImportError:
            _load_openvino()
            from edgepose import _core
    except ImportError as error:
        raise MissingDependencyError(
            f"the compiled runtime edgepose._core cannot be loaded ({error})",
            hint=_cure(str(error)),
        ) from error
    offer_onnxruntime()
    return _core


def _cure(reason: str) -> str:
    """Return what helps where the runtime cannot be loaded."""
    absent = re.match(r"(lib[\w.+-]+\.so[\d.]*): cannot open shared object file", reason)
    if absent is None:
        return "install EdgePose from its folder with: pip install ."
    if absent[1].startswith("libopenvino"):
        return install_command("", "openvino")
    return f"install the system's package with {absent[1]}"


def _load_openvino() -> None:
    """Load OpenVINO where it lies in other site-packages than EdgePose: those of the system, or the user's.

    The programs that are started from here find it, too. Errors: ImportError.
    """
    package = importlib.util.find_spec("openvino")
    libraries = Path(package.origin).parent / "libs" if package and package.origin else Path()
    for library in sorted(libraries.glob("libopenvino.so.*")):
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            raise ImportError(str(error)) from error
        paths = [str(libraries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        os.environ["LD_LIBRARY_PATH"] = ":".join(paths)


@cache
def offer_onnxruntime() -> None:
    """Let the runtime, and the programs started from here, find the ONNX Runtime of this environment."""
    name = "EDGEPOSE_ONNXRUNTIME_LIBRARY"
    package = importlib.util.find_spec("onnxruntime")  # found, not imported
    if name in os.environ or package is None or package.origin is None:
        return
    # The wheels name the file by its whole version; that for GPUs may lie beside the one for CPUs.
    of_gpus = f"libonnxruntime.so.{installed_version('onnxruntime-gpu')}"
    libraries = Path(package.origin).parent.glob("capi/libonnxruntime.so.*")
    chosen = max(libraries, key=lambda path: (path.name == of_gpus, _numbers(path.name)), default=None)
    if chosen is not None:
        os.environ[name] = str(chosen)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


@contextmanager
def core_errors() -> Iterator[None]:
    """Turn the C++ runtime's errors into EdgePose's."""
    core = load_core()
    try:
        yield
    except core.CoreError as error:
        hint = error.hint or None
        if hint and "onnxruntime-gpu" in hint and installed_version("onnxruntime") is not None:
            hint += f"; here: {onnxruntime_for_gpus()}"
        raise from_core(error.code, error.message, hint) from error
