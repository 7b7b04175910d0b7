"""What the demo networks are made of runs on a Rockchip NPU, as far as is known before a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepose.calibration.from_bundle import artifact_of
from edgepose.converters.rknn import preflight
from edgepose.converters.rknn.exporter import prepare
from edgepose.converters.rknn.soc import SOCS

pytest.importorskip("torch", reason="optional: the extra convert is not installed")
onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")


@pytest.mark.parametrize("role", ["detector", "pose"])
def test_every_node_of_the_demo_networks_runs_on_the_npu(
    role: str, demo_bundles: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    prepared, soc = tmp_path / "prepared.onnx", SOCS["rk3588"]
    prepare(artifact_of(demo_bundles["onnx", "fp32"], role), prepared, soc)
    assert preflight.check(onnx.load(str(prepared)), soc) == []
