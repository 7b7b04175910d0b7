"""What `edgepose build-runner` says when CMake or the compiler fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgepose.device import build
from edgepose.errors import EngineError, UsageError

MISSING = """\
print("-- The CXX compiler identification is GNU 12.2.0")
print("-- Looking for error.h", flush=True)
print("CMake Warning: an error is not this", file=sys.stderr)
print("CMake Error at runtime_cpp/cmake/dependencies.cmake:43 (message):", file=sys.stderr)
print("  nlohmann_json was not found.  Install it", file=sys.stderr)
print("  (Debian: nlohmann-json3-dev)", file=sys.stderr)
print("Call Stack (most recent call first):", file=sys.stderr, flush=True)
print("-- Configuring incomplete, errors occurred!")
sys.exit(1)
"""
COMPILER = """\
if "--build" not in sys.argv: sys.exit()
print("[1/9] Building CXX object errors.cpp.o")
print("FAILED: errors.cpp.o")
print("errors.cpp:1:2: error: expected ';'")
sys.exit(1)
"""
# Holds the lock of another build for a while.
HOLDER = """\
import fcntl, sys, time
from pathlib import Path
path = Path(sys.argv[1])
path.parent.mkdir(parents=True)
with path.open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(1)
"""


def failure(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> tuple[str, str]:
    """Build with a stand-in for CMake; the message, and all lines that were reported."""
    sources = folder / "sources"
    (sources / "runtime_cpp").mkdir(parents=True)
    (sources / "runtime_cpp" / "CMakeLists.txt").touch()
    cmake = folder / "cmake"
    cmake.write_text(f"#!{sys.executable}\nimport sys\n{program}")
    cmake.chmod(0o755)
    monkeypatch.setenv("EDGEPOSE_CACHE", str(folder / "cache"))
    monkeypatch.setattr(build, "_tool", lambda name: str(cmake))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    lines: list[str] = []
    with pytest.raises(EngineError) as caught:
        build.build_runner("aarch64-linux", sources=sources, on_line=lines.append)
    return caught.value.message, "".join(lines)


def test_two_builds_take_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They share a folder, in which each would remove and overwrite what the other is about to read."""
    lock = tmp_path / "cache" / "build" / "runner-aarch64-linux.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        failure(monkeypatch, tmp_path, MISSING)
        assert holder.wait(0.5) == 0  # it was over
    assert capsys.readouterr().err.count("another edgepose builds in") == 1


def test_what_cmake_says_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message, reported = failure(monkeypatch, tmp_path, MISSING)
    assert message == (
        "the runner cannot be built: nlohmann_json was not found. Install it (Debian: nlohmann-json3-dev)"
    )
    assert "nlohmann_json was not found" in reported and "Configuring incomplete" in reported


def test_the_compilers_error_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    message, _ = failure(monkeypatch, tmp_path, COMPILER)
    assert message == "the runner cannot be built: errors.cpp:1:2: error: expected ';'"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["CMake Error: CMAKE_C_COMPILER not set", "Missing variable is:"], "CMAKE_C_COMPILER not set"),
        (["CMake Error at CMakeLists.txt:1 (message):", "  " + "x" * 500], "x" * 400 + " ..."),
        (["-- Configuring incomplete, errors occurred!"], "no message"),
        (["no errors.cpp", "ninja: error: no 'build.ninja'"], "ninja: error: no 'build.ninja'"),
        (["", "Killed"], "Killed"),
    ],
)  # fmt: skip
def test_reasons(lines: list[str], reason: str) -> None:
    assert build._reason(lines) == reason


def test_a_folder_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no EdgePose sources"):
        build.find_sources(tmp_path)
