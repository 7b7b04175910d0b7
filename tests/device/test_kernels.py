"""The kernels for ARM (NEON) against their scalar twins: the C++ unit tests, on an emulated processor."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GTEST = Path("/usr/src/googletest/googletest")  # Debian's libgtest-dev: sources, which any compiler takes
TESTS = ("preprocess", "camera", "simcc")
SOURCES = (
    "image", "input_geometry", "pixel_gather", "pixel_kernels", "pixel_kernels_neon", "pixel_kernels_x86",
    "preprocess", "row_maximum", "simcc", "status", "tensor",
)  # fmt: skip
COMPILER = "aarch64-linux-gnu-g++"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the tests for aarch64; quick where ccache knows them."""
    for needed in (COMPILER, "qemu-aarch64-static"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed (packages.txt)")
    if not GTEST.is_dir():
        pytest.skip("libgtest-dev is not installed (packages.txt)")
    out = tmp_path_factory.mktemp("kernels")
    files = [ROOT / "tests/cpp" / f"{name}_test.cpp" for name in TESTS]
    files += [ROOT / "runtime_cpp/src" / f"{name}.cpp" for name in SOURCES]
    files += [GTEST / "src/gtest-all.cc", GTEST / "src/gtest_main.cc"]
    folders = (ROOT / "runtime_cpp/include", ROOT / "runtime_cpp/src", GTEST / "include", GTEST)
    cached = ["ccache"] if shutil.which("ccache") else []
    objects = []
    for file in files:
        objects.append(str(out / f"{file.stem}.o"))
        command = [*cached, COMPILER, "-std=c++17", "-O2", "-c", *(f"-I{folder}" for folder in folders)]
        _run([*command, str(file), "-o", objects[-1]])
    _run([COMPILER, "-static", "-pthread", *objects, "-o", str(out / "tests")])
    return out / "tests"


def _run(command: list[str]) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GTEST_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_every_kernel_table_gives_the_bits_of_the_scalar_one(program: Path) -> None:
    printed = _run(["qemu-aarch64-static", str(program)])
    for name in (
        "Preprocess.VectorTablesEqualTheScalarOne",
        "Preprocess.VectorTablesAreTested",  # there is more than the scalar one
        "Camera.EveryKernelTableGivesTheSameBits",
        "Camera.EveryKernelTableConvertsEveryColourAlike",
    ):
        assert f"[       OK ] {name} " in printed
