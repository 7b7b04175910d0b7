"""The lists of layers of OpenVINO and ONNX networks that `edgepose diff` and `report` show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepose.report.inventory import read_inventory


@pytest.mark.parametrize("fp16", [True, False])
def test_layers_of_openvino(tmp_path: Path, fp16: bool) -> None:
    import openvino
    from openvino import opset13

    x = opset13.parameter([1, 3, 8, 8], np.float32, name="x")
    kernel = opset13.constant(np.ones((4, 3, 3, 3), np.float32))
    conv = opset13.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1], name="conv")
    model = openvino.Model([opset13.relu(conv, name="relu")], [x])
    openvino.save_model(model, tmp_path / "m.xml", compress_to_fp16=fp16)
    inventory = read_inventory("openvino", {"xml": tmp_path / "m.xml", "bin": tmp_path / "m.bin"})
    assert [(layer.type, layer.precision, layer.parameters) for layer in inventory.layers] == [
        ("Convolution", "fp16" if fp16 else "fp32", 108),
        ("ReLU", None, 0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '<?xml version="1.0" encoding="none"?><net/>',
        "<net><layers>",
        '<net><layers><layer id="0" type="Convolution"/><layer id="1" type="Const"><data size="x"/></layer>'
        '</layers><edges><edge from-layer="1" to-layer="0" to-port="1"/></edges></net>',
    ],
)
def test_a_damaged_network_of_openvino(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(text)
    (tmp_path / "m.bin").touch()
    inventory = read_inventory("openvino", {"xml": tmp_path / "m.xml", "bin": tmp_path / "m.bin"})
    assert (inventory.note or "").startswith("the layers cannot be read: ") and not inventory.layers


def test_layers_of_onnx(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="optional: onnx is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    kernel = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "k")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "k"], ["y"], name="conv", strides=[2, 2])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, [1, 4, 3, 3])],
        [kernel],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    (layer,) = read_inventory("onnx", {"onnx": tmp_path / "m.onnx"}).layers
    assert (layer.name, layer.type, layer.precision, layer.parameters) == ("conv", "Conv", "fp32", 108)
    assert layer.attributes["strides"] == "[2, 2]"
    (tmp_path / "m.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:40])
    note = read_inventory("onnx", {"onnx": tmp_path / "m.onnx"}).note
    assert note is not None and note.startswith("the layers cannot be read: ")
