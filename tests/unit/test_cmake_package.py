"""find_package(edgepose): the CMake package of the C library has no components, and says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "runtime_cpp" / "cmake" / "package.cmake"
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES NONE)
find_package(edgepose {wanted} NO_DEFAULT_PATH PATHS "${{CMAKE_SOURCE_DIR}}/package")
if(TARGET edgepose::edgepose)
  message(STATUS "it can be linked")
endif()
"""


def configured(folder: Path, wanted: str) -> subprocess.CompletedProcess[str]:
    """Configure a project that wants the package, of which only the exported target is a stand-in."""
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.exists() else shutil.which("cmake")
    if cmake is None:
        pytest.skip("optional: cmake is not installed")
    package = folder / "package"
    package.mkdir()
    shutil.copy(PACKAGE, package / "edgepose-config.cmake")
    (package / "edgepose-targets.cmake").write_text("add_library(edgepose::edgepose INTERFACE IMPORTED)\n")
    (folder / "CMakeLists.txt").write_text(PROJECT.format(wanted=wanted))
    command = [cmake, "-S", str(folder), "-B", str(folder / "build")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("wanted", ["REQUIRED", "REQUIRED OPTIONAL_COMPONENTS cuda"])
def test_it_is_found(tmp_path: Path, wanted: str) -> None:
    done = configured(tmp_path, wanted)
    assert done.returncode == 0, done.stderr
    assert "it can be linked" in done.stdout


def test_a_component_that_it_has_not_is_named(tmp_path: Path) -> None:
    done = configured(tmp_path, "REQUIRED COMPONENTS cuda")
    assert done.returncode == 1
    assert 'has no component "cuda"; leave COMPONENTS out' in " ".join(done.stderr.split())


def test_a_program_may_do_without_it(tmp_path: Path) -> None:
    done = configured(tmp_path, "QUIET COMPONENTS cuda")
    assert done.returncode == 0, done.stderr
    assert "it can be linked" not in done.stdout
