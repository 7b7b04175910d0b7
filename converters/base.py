"""What every exporter is, where it is found, and how it runs tools that are programs of their own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from edgepose import interrupts, log
from edgepose.artifact import Artifact, Precision
from edgepose.errors import ConfigurationError, ConversionError, EdgePoseError, UsageError, lack_of
from edgepose.extras import PACKAGES, missing_package

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What descriptions and a disk's own blocks take beside the weights.
_SPARE_BYTES = 4 << 20

# Where a target's exporter lives. A new target is one line here.
EXPORTERS = {
    "ncnn": "edgepose.converters.to_ncnn:NcnnExporter",
    "openvino": "edgepose.converters.to_openvino:OpenvinoExporter",
    "onnx": "edgepose.converters.onnx_target:OnnxExporter",
    "rknn": "edgepose.converters.rknn.exporter:RknnExporter",
}

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")


class Children:
    """The programs that a conversion has started; kill() ends them when it is interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False

    def run(self, argv: Sequence[str], *, cwd: Path, timeout_s: float | None = None) -> tuple[int, str]:
        """Run a program to its end; return its exit status and all that it wrote.

        An interrupt ends the program. Errors: OSError; subprocess.TimeoutExpired, with what was written so
        far, after ending the program.
        """
        child = None
        try:
            # An interrupt in the middle of a start would leave a program that nobody knows of.
            with interrupts.deferred():
                child = self._started(argv, cwd)
            output, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise subprocess.TimeoutExpired(list(argv), timeout_s or 0.0, output=_ended(child)) from None
        except BaseException:
            _ended(child)
            raise
        finally:
            if child is not None:
                with self._lock:
                    self._running.discard(child)
        return child.returncode, output

    def _started(self, argv: Sequence[str], cwd: Path) -> subprocess.Popen[str]:
        with self._lock:
            if self._closed:
                raise ConversionError("the conversion was interrupted")
            # A session of its own: a Ctrl-C reaches us alone, and kill() decides what it ends.
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(child)
        return child

    def kill(self) -> None:
        """End every running program, and refuse new ones."""
        with self._lock:
            self._closed = True
            for child in self._running:
                _end(child)


def _ended(child: subprocess.Popen[str] | None) -> str:
    """End a program, if it was started; return what it wrote."""
    if child is None:
        return ""
    _end(child)
    return child.communicate()[0]


def _end(child: subprocess.Popen[str]) -> None:
    """End a program and what it has started: its session is its own."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Context:
    """What an exporter works with: an empty folder of its own, the wanted precision, and its programs.

    inputs: what the result will be compared on, [1, ...] each, for a tool that runs its result itself.
    """

    work_dir: Path
    precision: Precision
    children: Children = field(default_factory=Children)
    inputs: Sequence[NDArray[np.float32]] = ()


class Exporter(Protocol):
    """Turns an artifact of format `source` into one of format `target`.

    `tools` are the import names (of extras.PACKAGES) that run() needs.
    """

    name: str
    source: str
    target: str
    tools: tuple[str, ...]

    def run(self, artifact: Artifact, context: Context) -> Artifact:
        """Write the target's files into context.work_dir. Errors: ConversionError, OSError."""
        ...


@runtime_checkable
class DeviceExporter(Exporter, Protocol):
    """An exporter for one chip, whose result does not run here but in its tool's simulator."""

    @property
    def label(self) -> str:
        """The target with the chip, as bundles are named."""
        ...

    @property
    def simulator(self) -> str:
        """What ran in place of the device, for reports."""
        ...

    def check(self, precision: str) -> None:
        """Check the precision and the tool before any work. Errors: EdgePoseError."""
        ...

    def settings(self) -> Mapping[str, str]:
        """Return what the result depends on beside the graph and the precision."""
        ...

    def simulated(self, artifact: Artifact, context: Context) -> list[list[Any]]:
        """Return the simulator's outputs for context.inputs, after run(). Errors: ConversionError."""
        ...


# Exporters that take the chip (`--soc`).
SOC_TARGETS = ("rknn",)


_TENSORRT = "for TensorRT and Jetson: --to onnx, then edgepose run BUNDLE INPUT --device TENSORRT"
# What is asked for, too, and what there is in its place.
_INSTEAD = {
    **dict.fromkeys(("tensorrt", "trt", "jetson", "cuda"), _TENSORRT),
    **dict.fromkeys(("tflite", "litert", "android"), "for Android and ARM boards: --to ncnn"),
    "coreml": "there is nothing for Core ML",
}


def exporter(target: str, soc: str | None = None) -> Exporter:
    """Return the exporter of a target. Errors: UsageError for an unknown target or chip."""
    if target not in EXPORTERS:
        known = f"choose from: {', '.join(EXPORTERS)}"
        instead = _INSTEAD.get(target.lower())
        raise UsageError(f"unknown target {target!r}", hint=f"{instead}; {known}" if instead else known)
    module, _, attribute = EXPORTERS[target].partition(":")
    made = getattr(importlib.import_module(module), attribute)
    return cast(Exporter, made(soc) if target in SOC_TARGETS else made())


def bundle_label(exporter: Exporter) -> str:
    """Return the target, with the chip where there is one."""
    return exporter.label if isinstance(exporter, DeviceExporter) else exporter.target


def absent(tools: Sequence[str]) -> list[str]:
    """Return those import names that are not installed; imports nothing."""
    missing = []
    for tool in tools:
        try:
            found = importlib.util.find_spec(tool) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            missing.append(tool)
    return missing


def require(tools: Sequence[str], *, purpose: str) -> None:
    """Check that packages are installed. Errors: MissingDependencyError for the first that is not."""
    for tool in absent(tools):
        raise missing_package(tool, purpose=purpose)


def tool_versions(tools: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each tool by import name, "" where it is absent; imports nothing."""
    versions = {}
    for tool in tools:
        try:
            versions[tool] = importlib.metadata.version(PACKAGES[tool][0])
        except importlib.metadata.PackageNotFoundError:
            versions[tool] = ""
    return versions


def tool_failure(
    step: str, reason: object, *, folder: Path, writes_bytes: int, output: str = ""
) -> EdgePoseError:
    """Make the error for a tool that failed: a full disk where that is likely, else a ConversionError.

    writes_bytes: how much it may write into the folder, which was empty before. Many a tool does not say that
    there was no space, or removes the files that it could not finish. A lack of memory or threads is raised.
    """
    if output:
        log.info(f"{step} wrote:\n{output.rstrip()}")
    text = str(reason).strip()
    if isinstance(reason, Exception) and lack_of(reason):
        raise reason  # what the system lacks is told as such
    if isinstance(reason, Exception) and not isinstance(reason, EdgePoseError):
        log.info(f"{step} raised {type(reason).__name__}: {text}")
    first = text.splitlines()[0] if text else type(reason).__name__
    needed = writes_bytes + _SPARE_BYTES
    written = sum(path.lstat().st_size for path in folder.rglob("*"))
    room = shutil.disk_usage(folder).free + written
    if room < needed:
        return ConfigurationError(
            f"{step} failed, with too little space in {folder.parent}: "
            f"room for {room / 1e6:.1f} MB, up to {needed / 1e6:.1f} MB needed ({first})",
            hint="free some space there, or set TMPDIR to a folder on another disk",
        )
    return ConversionError(f"{step} failed: {first}", hint="run again with -v to see what the tool wrote")
