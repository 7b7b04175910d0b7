"""A tiny network in the files of every backend, written by hand, and what it must compute."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import rknn_double

from edgepose import _core
from edgepose.core import offer_onnxruntime

Array = np.ndarray[Any, np.dtype[np.float32]]
Spec = tuple[str, str, list[int]]

WEIGHTS = np.array([[0.5, -1.0, 0.25], [2.0, 0.125, -0.75]], np.float32)
BIAS = np.array([0.5, -0.25], np.float32)
INPUTS: list[Spec] = [("input", "in0", [-1, 3, 8, 8])]
OUTPUTS: list[Spec] = [("map", "out0", [-1, 2, 8, 8]), ("mean", "out1", [-1, 2])]


@dataclass(frozen=True)
class TinyNetwork:
    """A backend, the files of the network, its tensors, and a NumPy twin."""

    backend: str
    files: dict[str, Path]
    expected: Callable[[Array], list[Array]]
    inputs: tuple[Spec, ...] = tuple(INPUTS)
    outputs: tuple[Spec, ...] = tuple(OUTPUTS)
    exact: bool = False
    device: str = "CPU"

    def open(self, **options: Any) -> _core.Engine:
        """Load the network."""
        files = {role: str(path) for role, path in self.files.items()}
        options.setdefault("threads", 1)
        options.setdefault("device", self.device)
        return _core.Engine(self.backend, files, list(self.inputs), list(self.outputs), **options)

    def having(self, **changes: Any) -> TinyNetwork:
        """Give a copy with other members."""
        return replace(self, **changes)


def _convolution(x: Array) -> list[Array]:
    maps = np.einsum("oc,nchw->nohw", WEIGHTS, x) + BIAS[:, None, None]
    return [maps, maps.mean(axis=(2, 3))]


def _fake(x: Array) -> list[Array]:
    outputs = []
    for index, (_, _, dims) in enumerate(OUTPUTS):
        places = (index * 104729 + np.arange(np.prod(dims[1:])) * 7919) % x[0].size
        outputs.append(x.reshape(len(x), -1)[:, places].reshape(len(x), *dims[1:]))
    return outputs


def _write_fake(folder: Path) -> dict[str, Path]:
    path = folder / "tiny.fake"
    path.write_bytes(b"edgepose-fake 1\n")
    return {"fake": path}


def _write_ncnn(folder: Path) -> dict[str, Path]:
    param, weights = folder / "tiny.param", folder / "tiny.bin"
    param.write_text(
        "7767517\n4 5\n"
        "Input in0 0 1 in0 0=8 1=8 2=3\n"
        "Convolution conv 1 1 in0 c 0=2 1=1 5=1 6=6\n"
        "Split split 1 2 c out0 c1\n"
        "Pooling mean 1 1 c1 out1 0=1 4=1\n"
    )
    weights.write_bytes(struct.pack("<I", 0) + WEIGHTS.tobytes() + BIAS.tobytes())
    return {"param": param, "bin": weights}


def _write_openvino(folder: Path) -> dict[str, Path]:
    ov = pytest.importorskip("openvino", reason="openvino is not installed")
    ops = ov.opset13
    x = ops.parameter([-1, 3, 8, 8], np.float32, name="in0")
    maps = ops.convolution(x, ops.constant(WEIGHTS[:, :, None, None]), [1, 1], [0, 0], [0, 0], [1, 1])
    maps = ops.add(maps, ops.constant(BIAS[None, :, None, None]))
    mean = ops.reduce_mean(maps, ops.constant(np.array([2, 3], np.int64)), keep_dims=False)
    for node, name in ((x, "in0"), (maps, "out0"), (mean, "out1")):
        node.output(0).get_tensor().set_names({name})
    ov.save_model(ov.Model([maps, mean], [x], "tiny"), folder / "tiny.xml", compress_to_fp16=False)
    return {"xml": folder / "tiny.xml", "bin": folder / "tiny.bin"}


def _write_onnx(folder: Path) -> dict[str, Path]:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = helper.make_tensor("w", kind, [2, 3, 1, 1], WEIGHTS.ravel())
    bias = helper.make_tensor("b", kind, [2], BIAS)
    nodes = [
        helper.make_node("Conv", ["in0", "w", "b"], ["out0"]),
        helper.make_node("ReduceMean", ["out0"], ["out1"], axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("in0", kind, ["N", 3, 8, 8])],
        [
            helper.make_tensor_value_info("out0", kind, ["N", 2, 8, 8]),
            helper.make_tensor_value_info("out1", kind, ["N", 2]),
        ],
        [weights, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "tiny.onnx").write_bytes(model.SerializeToString())
    return {"onnx": folder / "tiny.onnx"}


def _write_rknn(folder: Path) -> dict[str, Path]:
    path = folder / "tiny.rknn"
    path.write_bytes(rknn_double.network(WEIGHTS.tobytes(), BIAS.tobytes()))
    return {"rknn": path}


_WRITERS: dict[str, Callable[[Path], dict[str, Path]]] = {
    "fake": _write_fake,
    "ncnn": _write_ncnn,
    "openvino": _write_openvino,
    "onnx": _write_onnx,
    "onnxruntime": _write_onnx,
    "rknn": _write_rknn,
    "tensorrt": _write_onnx,
}


@pytest.fixture(params=_core.available_backends())
def network(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyNetwork:
    """Give the tiny network for each backend of this build; a new backend must add its writer above."""
    backend: str = request.param
    if backend == "rknn":
        monkeypatch.setenv("EDGEPOSE_RKNN_LIBRARY", str(rknn_double.library()))
    offer_onnxruntime()
    files = _WRITERS[backend](tmp_path)
    fake = backend == "fake"
    # Where there are such: EDGEPOSE_TEST_DEVICES="openvino=GPU.0 onnxruntime=CUDA" pytest tests/engine
    devices = {"tensorrt": "TENSORRT"}
    devices |= dict(pair.split("=", 1) for pair in os.environ.get("EDGEPOSE_TEST_DEVICES", "").split())
    device = devices.get(backend, "CPU")
    return TinyNetwork(backend, files, _fake if fake else _convolution, exact=fake, device=device)
