"""Build the runner for another processor, from EdgePose's sources."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edgepose.device.kernels import require_kernels
from edgepose.device.process import Ended, TimeLimit, run_lines
from edgepose.device.runner import PROGRAM, built_runner
from edgepose.errors import EngineError, MissingDependencyError, UsageError
from edgepose.lock import locked
from edgepose.paths import cache_dir
from edgepose.writers import atomic_path

TARGETS = {"aarch64-linux": "aarch64-linux-gnu-g++"}
_PACKAGES = {"aarch64-linux": "g++-aarch64-linux-gnu"}
_LIMIT_SECONDS = 3600.0
_KEPT_LINES = 200
_REASON_CHARACTERS = 400


def find_sources(given: Path | None) -> Path:
    """Return the folder with EdgePose's sources: the one given, or the one that is installed editable."""
    folder = given or Path(__file__).resolve().parents[2]
    if (folder / "runtime_cpp" / "CMakeLists.txt").is_file():
        return folder.resolve()
    raise UsageError(
        f"{folder}: no EdgePose sources", hint="unpack the source distribution and name it with --source"
    )


def build_runner(
    target: str, *, sources: Path | None = None, on_line: Callable[[str], None] | None = None
) -> tuple[Path, dict[str, int]]:
    """Build a static runner; its path, and how many fp16 and dot-product instructions it holds.

    Two processes take turns. Errors: MissingDependencyError (no compiler), EngineError (the build failed, or
    its kernels are missing), ConfigurationError (the cache cannot be written).
    """
    folder = find_sources(sources)
    compiler = TARGETS[target]
    if shutil.which(compiler) is None:
        raise MissingDependencyError(
            f"there is no compiler for {target} ({compiler})",
            hint=f"Debian: apt-get install {_PACKAGES[target]}",
        )
    cmake, ninja = _tool("cmake"), _tool("ninja")
    build = cache_dir("build", f"runner-{target}")
    toolchain = folder / "runtime_cpp" / "cmake" / "toolchains" / f"{target}.cmake"
    configure = [
        cmake,
        "-G",
        "Ninja",
        "-S",
        str(folder),
        "-B",
        str(build),
        f"-DCMAKE_MAKE_PROGRAM={ninja}",
        f"-DCMAKE_TOOLCHAIN_FILE={toolchain}",
        f"-DPython_EXECUTABLE={sys.executable}",
        "-DEDGEPOSE_WITH_OPENVINO=OFF",
        "-DEDGEPOSE_WITH_RKNN=OFF",  # a static program can load no library
        "-DEDGEPOSE_WITH_ONNXRUNTIME=OFF",
        "-DEDGEPOSE_BUILD_TOOLS=OFF",
        "-DEDGEPOSE_STATIC_RUNNER=ON",
    ]
    report = on_line or (lambda line: None)
    build.parent.mkdir(parents=True, exist_ok=True)
    lock = build.with_name(build.name + ".lock")
    with locked(lock, waiting=f"another edgepose builds in {build}; waiting"):
        home = build / "CMakeCache.txt"
        known = home.read_text(encoding="utf-8") if home.is_file() else None
        if known is not None and f"CMAKE_HOME_DIRECTORY:INTERNAL={folder}\n" not in known:
            shutil.rmtree(build)  # made from other sources; ccache remembers what they have in common
        build.mkdir(exist_ok=True)
        _run(configure, report)
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _run([cmake, "--build", str(build), "--target", PROGRAM, "-j", str(jobs)], report)
        program = build / "runtime_cpp" / PROGRAM
        counts = require_kernels(program)
        result = built_runner(target)
        result.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(result) as temporary:
            shutil.copy(program, temporary)
    return result, counts


def _tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise MissingDependencyError(f"the program {name} is not installed", hint=f"pip install {name}")
    return found


def _run(argv: list[str], report: Callable[[str], None]) -> None:
    last: deque[str] = deque(maxlen=_KEPT_LINES)

    def take(line: str) -> None:
        last.append(line.rstrip())
        report(line)

    # One stream: CMake's errors, which go to stderr, reach the report in their place among the other lines.
    merged = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *argv]
    try:
        ended: Ended = run_lines(merged, timeout_s=_LIMIT_SECONDS, on_line=take)
    except TimeLimit:
        raise EngineError(f"building the runner took longer than {_LIMIT_SECONDS / 60:.0f} minutes") from None
    if ended.exit_code != 0:
        raise EngineError(
            f"the runner cannot be built: {_reason(list(last))}",
            hint="run it again with -vv to see everything",
        )


def _reason(lines: list[str]) -> str:
    """Return what CMake, the compiler or the linker complains about first, in one line."""
    for number, line in enumerate(lines):
        if line.startswith("CMake Error"):
            told = [line.partition(": ")[2]]  # nothing in "CMake Error at FILE:LINE (message):"
            for following in lines[number + 1 :]:
                if following.strip() and not following[0].isspace():
                    break
                told.append(following)
            text = " ".join(" ".join(told).split()) or line
            return text if len(text) <= _REASON_CHARACTERS else text[:_REASON_CHARACTERS].rstrip() + " ..."
    said = [line.strip() for line in lines if line.strip() and "Configuring incomplete" not in line]
    errors = [line for line in said if re.search(r"\berror: ", line, re.IGNORECASE)]
    return (errors or [line for line in said if "error" in line.lower()] or said or ["no message"])[0]
