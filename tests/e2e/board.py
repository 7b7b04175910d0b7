"""The programs of a board, cross-built for aarch64 Linux, and how they run here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = "aarch64-linux-gnu"


@pytest.fixture(scope="session")
def program() -> Path:
    """Cross-build edgepose_run for a board, as docs/rockchip.md says."""
    for tool in (f"{TARGET}-g++", "qemu-aarch64-static", "cmake", "ninja"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    # ncnn's sources are those of all builds, not of this session's cache.
    env = {name: value for name, value in os.environ.items() if name != "EDGEPOSE_CACHE"}
    configure = ["--preset", "board", f"-DPython_EXECUTABLE={sys.executable}"]
    for argv in (configure, ["--build", "--preset", "board"]):
        done = subprocess.run(
            ["cmake", *argv], cwd=ROOT, capture_output=True, text=True, timeout=3000, env=env
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return ROOT / "build" / "board" / "runtime_cpp" / "edgepose_run"


def emulated(
    program: Path, *arguments: object, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program of the board under qemu."""
    # -L: where the loader and the C++ library of the cross compiler lie.
    argv = ["qemu-aarch64-static", "-L", f"/usr/{TARGET}", str(program), *map(str, arguments)]
    return subprocess.run(
        argv, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600, check=False
    )
