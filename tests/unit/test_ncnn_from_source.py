"""Where the C++ build keeps ncnn's sources, and what it says where OpenMP is missing; ncnn is a stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgepose.paths import cache_dir

MODULES = Path(__file__).resolve().parents[2] / "runtime_cpp" / "cmake"
PROJECT = f"""
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
set(EDGEPOSE_NCNN_VERSION 1)
include("{MODULES}/ncnn_from_source.cmake")
message(STATUS "sources: ${{EDGEPOSE_NCNN_SOURCE_DIR}}")
"""
# As in ncnn: the variables of find_package(OpenMP) are those of this folder.
LIBRARY = """
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/ncnn.cpp" "int ncnn;")
add_library(ncnn STATIC "${CMAKE_CURRENT_BINARY_DIR}/ncnn.cpp")
find_package(OpenMP)
"""
NAMES = ("EDGEPOSE_CACHE", "XDG_CACHE_HOME", "HOME")


def configured(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Configure a project with ncnn's sources in the cache, as the environment names it."""
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.exists() else shutil.which("cmake")
    if cmake is None or shutil.which("g++") is None:
        pytest.skip("optional: cmake or g++ is not installed")
    sources = cache_dir("build", "ncnn-1.0.1")
    (sources / "src").mkdir(parents=True)
    (sources / "CMakeLists.txt").write_text("add_subdirectory(src)\n")
    (sources / "src" / "CMakeLists.txt").write_text(LIBRARY)
    project = folder / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(PROJECT)
    command = [cmake, "-S", str(project), "-B", str(project / "build"), "-DCMAKE_CXX_COMPILER=g++", *options]
    environment = {**os.environ, "PWD": str(Path.cwd())}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    "places",
    [
        ("own", "/proc/nowhere", "/proc/nowhere"),
        ("{}/own", "/proc/nowhere", "/proc/nowhere"),
        ("~/mine", "/proc/nowhere", "{}/home"),
        ("~", "", "{}/home"),
        ("", "{}/xdg", "/proc/nowhere"),
        ("", "relative", "{}/home"),
        ("", "", "{}/home"),
    ],
)
def test_sources_lie_where_python_keeps_files(
    places: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, place in zip(NAMES, places, strict=True):
        monkeypatch.setenv(name, place.format(tmp_path))
    done = configured(tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"sources: {cache_dir('build', 'ncnn-1.0.1')}\n" in done.stdout


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ([], False),
        (["-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON"], True),
        (["-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON", "-DANDROID=ON"], False),
    ],
)
def test_a_build_without_openmp_says_so(
    options: list[str], warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    done = configured(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert ("install libomp-dev (for clang) or build with GCC" in " ".join(done.stderr.split())) == warned
