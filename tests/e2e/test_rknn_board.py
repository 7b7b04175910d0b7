"""The programs of a Rockchip board, cross-built whole: aarch64, the rknn engine, a recording as librknnrt."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import cases
from e2e.board import TARGET, emulated, program
from engine import rknn_double

from edgepose import _core, errors
from edgepose.hashing import sha256_bytes

__all__ = ["program"]  # a fixture

pytestmark = pytest.mark.skipif(
    not os.environ.get("EDGEPOSE_BOARD"), reason="optional: minutes; EDGEPOSE_BOARD=1 runs it"
)


def _run(program: Path, *arguments: object, library: Path | str) -> subprocess.CompletedProcess[str]:
    return emulated(program, *arguments, environment={"EDGEPOSE_RKNN_LIBRARY": str(library)})


def _recorded(name: str, folder: Path) -> Path:
    """Turn a bundle of the fake engine into one for rknn that has recorded what its golden picture gives."""
    source = cases.HERE / "v1" / name
    manifest: dict[str, Any] = json.loads((source / "bundle.json").read_text())
    golden = manifest["golden"]
    (role,) = manifest["models"]
    model = manifest["models"][role]
    tensors = {t["tensor"]: [1, *t["dims"][1:]] for t in (*model["inputs"], *model["outputs"])}
    described = [[(t["name"], t["tensor"], t["dims"]) for t in model[key]] for key in ("inputs", "outputs")]
    files = {kind: str(source / file) for kind, file in model["files"].items() if kind == "fake"}
    kept = {kind: file for kind, file in model["files"].items() if kind != "fake"}
    engine = _core.Engine("fake", files, *described, threads=1)
    shape = (golden["height_px"], golden["width_px"], 3)
    picture = np.frombuffer((source / "golden.bgr").read_bytes(), np.uint8).reshape(shape)
    samples = []
    for box in golden["boxes_xyxy"] or [None]:
        tensor, _ = _core.preprocess(picture, box, json.dumps(model["preprocess"]))
        samples.append([tensor[None], *(output.copy() for output in engine.run([tensor[None].copy()]))])
    cases.build(
        {
            "base": name,
            "patch": [
                {"op": "replace", "path": "/backend", "value": "rknn"},
                {"op": "replace", "path": f"/models/{role}/files", "value": {**kept, "rknn": "net.rknn"}},
            ],
            "sign": False,
        },
        folder,
    )
    (folder / "net.rknn").write_bytes(rknn_double.recording(tensors, samples))
    manifest = json.loads((folder / "bundle.json").read_text())
    for file in files.values():
        del manifest["files"][Path(file).name]
        (folder / Path(file).name).unlink()
    content = (folder / "net.rknn").read_bytes()
    manifest["files"]["net.rknn"] = {
        "bytes": len(content),
        "sha256": sha256_bytes(content),
    }
    (folder / "bundle.json").write_text(cases.sign(manifest))
    return folder


@pytest.mark.parametrize("name", ["pose", "detect", "pose_3d", "one_stage"])
def test_the_golden_vectors_come_out(program: Path, tmp_path: Path, name: str) -> None:
    library = rknn_double.library("rknn_recorded", f"{TARGET}-g++")
    bundle = _recorded(name, tmp_path / name)
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
    bundle = _recorded("pose", tmp_path / "pose")
    outcome = _run(program, bundle, "--verify", "--device", "NPU", library=tmp_path / "absent.so")
    assert outcome.returncode == errors.MissingDependencyError.exit_code
    assert "absent.so" in outcome.stderr and outcome.stderr.count("\n") == 1
