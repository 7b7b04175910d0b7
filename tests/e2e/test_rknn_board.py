"""The programs of a Rockchip board, cross-built whole: aarch64, the rknn engine, a recording as librknnrt."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from e2e.board import TARGET, emulated, program
from engine import rknn_double

from edgepose import errors

__all__ = ["program"]  # a fixture

pytestmark = pytest.mark.skipif(
    not os.environ.get("EDGEPOSE_BOARD"), reason="optional: minutes; EDGEPOSE_BOARD=1 runs it"
)


def _run(program: Path, *arguments: object, library: Path | str) -> subprocess.CompletedProcess[str]:
    return emulated(program, *arguments, environment={"EDGEPOSE_RKNN_LIBRARY": str(library)})


@pytest.mark.parametrize("name", ["pose", "detect", "pose_3d", "one_stage"])
def test_the_golden_vectors_come_out(program: Path, tmp_path: Path, name: str) -> None:
    library = rknn_double.library("rknn_recorded", f"{TARGET}-g++")
    bundle = rknn_double.recorded_bundle(name, tmp_path / name)
    outcome = _run(program, bundle, "--verify", "--device", "NPU012", library=library)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["verification"]["passed"] is True
    # Another picture was never recorded: the error is the library's.
    other = tmp_path / "other.ppm"
    other.write_bytes(b"P6\n8 8\n255\n" + bytes(range(192)))
    box = ["--boxes", "1,1,7,7"] if name.startswith("pose") else []
    refused = _run(program, bundle, other, "--device", "NPU", *box, library=library)
    assert refused.returncode != 0 and refused.stderr.count("\n") == 1


def test_a_board_without_the_library_says_so(program: Path, tmp_path: Path) -> None:
    bundle = rknn_double.recorded_bundle("pose", tmp_path / "pose")
    outcome = _run(program, bundle, "--verify", "--device", "NPU", library=tmp_path / "absent.so")
    assert outcome.returncode == errors.MissingDependencyError.exit_code
    assert "absent.so" in outcome.stderr and outcome.stderr.count("\n") == 1
