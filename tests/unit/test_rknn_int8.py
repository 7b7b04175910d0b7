"""Which blocks become integers on which chip, with the toolkit's answers written by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepose.artifact import Artifact, KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.calibration import rknn_int8
from edgepose.calibration.rknn_int8 import RknnQuantiser
from edgepose.converters.rknn.environment import Environment
from edgepose.errors import UsageError

BODY, HEAD = "backbone/stem/stem.0", "head/cls_x"
NODES = [
    ["Conv", "/backbone/stem/stem.0/conv/Conv", ["input", "w"], ["s"]],
    ["exSwish", "/backbone/stem/stem.0/activate/Mul", ["s"], ["t"]],
    ["Conv", "/head/cls_x/MatMul", ["t", "w"], ["simcc_x"]],
]
SPEC = ModelSpec(
    name="toy",
    family="rtmpose",
    task="pose",
    preprocess=Preprocess("affine", (8, 8), "rgb", (0, 0, 0), (1, 1, 1), (0, 0, 0), 1.25),
    head=SimccHead(2.0, KeypointSet("one", ("a",), (), (), (0.1,))),
    input_names=("input",),
    output_names=("simcc_x",),
    license="",
    parameters=1,
)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Stand in for the toolkit; returns what it is asked to do."""
    asked: list[dict[str, Any]] = []

    def run_job(job: dict[str, Any], **_: Any) -> Any:
        asked.append(job)
        for trial in job.get("trials", ()):
            if trial["rknn"]:
                Path(trial["rknn"]).write_bytes(b"RKNN")
        return SimpleNamespace(found={"nodes": NODES, "tensors": ["s", "t", "simcc_x"]})

    ready = Environment("ready", tmp_path, "2.5.0")
    placed = SimpleNamespace(summary=lambda: "all", elsewhere=())
    monkeypatch.setattr(rknn_int8.client, "run_job", run_job)
    monkeypatch.setattr(rknn_int8.environment, "require", lambda: ready)
    monkeypatch.setattr(rknn_int8, "prepare", lambda *_: {})
    monkeypatch.setattr(rknn_int8, "placement", lambda *_: placed)
    return asked


def quantiser(folder: Path, soc: str) -> RknnQuantiser:
    (folder / "toy.onnx").write_bytes(b"onnx")
    shapes: dict[str, tuple[int, ...]] = {"simcc_x": (-1, 1, 16)}
    network = Artifact(SPEC, "onnx", "fp32", {"onnx": folder / "toy.onnx"}, {}, shapes)
    return RknnQuantiser(network, [np.zeros((1, 3, 8, 8), np.float32)] * 4, soc)


@pytest.mark.parametrize(
    ("soc", "blocks", "precision", "floats"),
    [
        ("rk3588", [BODY], "mixed", ["simcc_x"]),
        ("rv1126b", [BODY], "mixed", ["simcc_x"]),
        ("rv1103", [BODY, HEAD], "int8", []),
        ("rv1106b", [BODY, HEAD], "int8", []),
    ],
)
def test_heads_are_integers_where_the_npu_has_nothing_else(
    jobs: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    soc: str,
    blocks: list[str],
    precision: str,
    floats: list[str],
) -> None:
    made = quantiser(tmp_path, soc)
    assert made.names() == made.worthwhile() == blocks
    written = made.write(dict.fromkeys(blocks, "int8"), tmp_path)
    assert (jobs[-1]["soc"], jobs[-1]["trials"][0]["float_tensors"]) == (soc, floats)
    assert (written.format, written.precision, written.files) == (
        "rknn", precision, {"rknn": tmp_path / "pose.rknn"},
    )  # fmt: skip
    arguments = written.lineage[-1].arguments
    assert capsys.readouterr().err == f"note: {SPEC.name}: {arguments['layers']}\n"
    assert list(arguments["int8_layers"]) == blocks
    assert arguments["fp16_layers"] == [name for name in (BODY, HEAD) if name not in blocks]


def test_what_is_not_chosen_is_in_half_precision(jobs: list[dict[str, Any]], tmp_path: Path) -> None:
    made = quantiser(tmp_path, "rk3588")
    assert made.half(tmp_path).precision == "fp16"
    assert jobs[-1]["trials"][0]["float_tensors"] == ["s", "t", "simcc_x"]
    with pytest.raises(UsageError, match=f"no layer '{HEAD}' that can become int8"):
        made.write({HEAD: "int8"}, tmp_path)
