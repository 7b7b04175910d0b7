"""ONNX bundles on a board: the cross-built program, the real ONNX Runtime for aarch64, on the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from e2e.board import emulated, program

__all__ = ["program"]  # a fixture

pytestmark = pytest.mark.skipif(
    not os.environ.get("EDGEPOSE_BOARD"), reason="optional: minutes; EDGEPOSE_BOARD=1 runs it"
)


# 1.31.1 crashes under qemu 7.2 (Debian 12) as soon as it is loaded, by any program.
VERSION = "1.20.1"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the library that a board would install from the package index."""
    folder = tmp_path_factory.mktemp("onnxruntime")
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    argv += ["--platform=manylinux_2_28_aarch64", "--python-version=3.11", "-d", str(folder)]
    subprocess.run([*argv, f"onnxruntime=={VERSION}"], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        (name,) = (n for n in content.namelist() if n.startswith("onnxruntime/capi/libonnxruntime.so."))
        return Path(content.extract(name, folder))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("device", ["CPU", "ORT"])
def test_the_golden_picture_comes_out(
    program: Path, library: Path, bundles: dict[tuple[str, str], Path], device: str, precision: str
) -> None:
    outcome = emulated(
        program,
        *(bundles["onnx", precision], "--verify", "--device", device),
        environment={"EDGEPOSE_ONNXRUNTIME_LIBRARY": str(library)},
    )
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["verification"]["passed"] is True


def test_a_library_without_gpus_is_named(
    program: Path, library: Path, bundles: dict[tuple[str, str], Path]
) -> None:
    outcome = emulated(
        program,
        *(bundles["onnx", "fp32"], "--verify", "--device", "CUDA"),
        environment={"EDGEPOSE_ONNXRUNTIME_LIBRARY": str(library)},
    )
    assert outcome.returncode != 0
    assert "CUDA" in outcome.stderr and outcome.stderr.count("\n") == 1
