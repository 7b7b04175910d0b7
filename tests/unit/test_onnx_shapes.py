"""Shapes of ONNX graphs that are written out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="optional: the extra convert is not installed")
torch = pytest.importorskip("torch", reason="optional: the extra convert is not installed")
ort = pytest.importorskip("onnxruntime", reason="optional: the extra convert is not installed")

from edgepose.converters.onnx_shapes import write_shapes_out  # noqa: E402


class Heads(torch.nn.Module):  # type: ignore[misc]
    """What the exporter writes shapes for: flattened maps, heads of an attention, a Linear on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.second = torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.first(torch.flatten(x, 2).transpose(1, 2))
        batch, count = tokens.shape[:2]
        heads = tokens.reshape(batch, count, 2, 4).transpose(1, 2)
        joined = (heads * 2).transpose(1, 2).reshape(batch, count, 8)
        return self.second(joined + tokens)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the exporter's, as in conversions
def test_no_size_is_computed_at_run_time(tmp_path: object) -> None:
    torch.manual_seed(5)
    path = f"{tmp_path}/heads.onnx"
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    torch.onnx.export(
        Heads().eval(), (torch.zeros(1, 4, 3, 5),), path, dynamo=False, opset_version=17,
        input_names=["x"], output_names=["y"], dynamic_axes=axes,
    )  # fmt: skip
    before, after = onnx.load(path), onnx.load(path)
    assert Counter(node.op_type for node in before.graph.node)["Shape"] > 0
    assert write_shapes_out(after) > 0
    onnx.checker.check_model(after)
    kinds = {node.op_type for node in after.graph.node}
    assert not kinds & {"Shape", "Gather", "Concat", "Unsqueeze"}
    old, new = (ort.InferenceSession(model.SerializeToString()) for model in (before, after))
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, 4, 3, 5)).astype(np.float32)
        assert np.allclose(new.run(None, {"x": x})[0], old.run(None, {"x": x})[0], rtol=0, atol=1e-6)
    assert write_shapes_out(after) == 0


def test_other_sizes_that_vary_stay() -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Reshape", ["y", "sizes"], ["out"]),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "width"]) for n in "xy"]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs))
    assert write_shapes_out(model) == 0
    assert [node.op_type for node in model.graph.node] == ["Shape", "Reshape"]


def _constant(name: str, *values: int) -> object:
    return onnx.numpy_helper.from_array(np.array(values, np.int64), name)


@pytest.mark.parametrize("kind", ["the batch last", "every other size", "the batch twice"])
def test_what_is_written_out_is_what_was_computed(kind: str) -> None:
    """A 0 copies the first size of the data, and -1 can stand once."""
    from onnx import TensorProto, helper

    constants = [_constant("start", 0), _constant("end", 4), _constant("axis", 0), _constant("step", 2)]
    constants += [_constant("six", 6), _constant("all", -1)]
    nodes = [helper.make_node("Shape", ["x"], ["sizes"])]
    if kind == "the batch last":
        nodes.append(helper.make_node("Transpose", ["x"], ["data"], perm=[1, 2, 3, 0]))
        nodes.append(helper.make_node("Reshape", ["data", "sizes"], ["out"]))
    elif kind == "every other size":
        nodes.append(helper.make_node("Slice", ["sizes", "start", "end", "axis", "step"], ["two"]))
        nodes.append(helper.make_node("Concat", ["two", "six"], ["three"], axis=0))
        nodes.append(helper.make_node("Reshape", ["x", "three"], ["out"]))
    else:
        nodes.append(helper.make_node("Flatten", ["x"], ["rows"], axis=1))
        nodes.append(helper.make_node("Transpose", ["rows"], ["columns"], perm=[1, 0]))
        nodes.append(helper.make_node("MatMul", ["rows", "columns"], ["square"]))
        nodes.append(helper.make_node("Shape", ["square"], ["sides"]))
        nodes.append(helper.make_node("Reshape", ["square", "all"], ["line"]))
        nodes.append(helper.make_node("Reshape", ["line", "sides"], ["out"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 4, 3])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    old = ort.InferenceSession(model.SerializeToString())
    write_shapes_out(model)
    new = ort.InferenceSession(model.SerializeToString())
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, 2, 4, 3)).astype(np.float32)
        assert np.array_equal(new.run(None, {"x": x})[0], old.run(None, {"x": x})[0])
