"""CMake finds TensorRT, which has no package of its own, and its version in either style of header."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = Path(__file__).resolve().parents[2] / "runtime_cpp" / "cmake"
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
list(APPEND CMAKE_MODULE_PATH "{modules}")
find_package(TensorRT 10 REQUIRED)
get_target_property(parser TensorRT::nvonnxparser IMPORTED_LOCATION)
message(STATUS "version ${{TensorRT_VERSION}}, parser ${{parser}}")
"""
PLAIN = (
    "#define NV_TENSORRT_MAJOR {} //!< major\n#define NV_TENSORRT_MINOR 3 //!< minor\n"
    "#define NV_TENSORRT_PATCH 0\n"
)
NAMED = (
    "#define TRT_MAJOR_ENTERPRISE 11\n#define TRT_MINOR_ENTERPRISE 1\n#define TRT_PATCH_ENTERPRISE 0\n"
    "#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< major\n"
    "#define NV_TENSORRT_MINOR TRT_MINOR_ENTERPRISE\n#define NV_TENSORRT_PATCH TRT_PATCH_ENTERPRISE\n"
)


def configured(folder: Path, header: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Configure a project against a TensorRT of this header and these libraries."""
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.exists() else shutil.which("cmake")
    if cmake is None:
        pytest.skip("optional: cmake is not installed")
    root = folder / "tensorrt"
    for name in ("include", "lib"):
        (root / name).mkdir(parents=True)
    (root / "include" / "NvInfer.h").touch()
    (root / "include" / "NvInferVersion.h").write_text(header)
    for name in names:
        (root / "lib" / f"lib{name}.so").touch()
    (folder / "CMakeLists.txt").write_text(PROJECT.format(modules=MODULES))
    command = [cmake, "-S", str(folder), "-B", str(folder / "build"), f"-DTensorRT_ROOT={root}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("header", "version"), [(PLAIN.format(10), "10.3.0"), (NAMED, "11.1.0")])
def test_a_new_one_is_found(tmp_path: Path, header: str, version: str) -> None:
    done = configured(tmp_path, header, "nvinfer", "nvonnxparser")
    assert done.returncode == 0, done.stderr
    assert f"version {version}, parser {tmp_path}/tensorrt/lib/libnvonnxparser.so" in done.stdout


@pytest.mark.parametrize(
    ("header", "names", "message"),
    [
        (PLAIN.format(8), ("nvinfer", "nvonnxparser"), 'Found unsuitable version "8.3.0"'),
        (PLAIN.format(10), ("nvinfer",), "missing: TensorRT_nvonnxparser_LIBRARY"),
    ],
)
def test_an_old_or_partial_one_is_named(
    tmp_path: Path, header: str, names: tuple[str, ...], message: str
) -> None:
    done = configured(tmp_path, header, *names)
    assert done.returncode != 0 and message in " ".join(done.stderr.split())
    assert "-DTensorRT_ROOT=FOLDER" in done.stderr
