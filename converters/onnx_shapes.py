"""Write out the shapes of ONNX graphs that are computed at run time, although only the batch varies."""

from __future__ import annotations

from typing import Any

# The one size that is not known before: in the place of a number.
_BATCH = "batch"
_MAX_ROUNDS = 32

Sizes = list[Any]


def write_shapes_out(model: Any) -> int:
    """Give every Reshape the constant shape that its inputs amount to, in place; return how many.

    The same numbers come out. Such arithmetic on shapes ONNX Runtime moves from a GPU to the CPU, which
    sessions for a GPU refuse here.
    """
    count = 0
    del model.graph.value_info[:]  # other tools give the batch other names
    for _ in range(_MAX_ROUNDS):  # a shape that is known makes those behind it known
        found = _round(model)
        if not found:
            break
        count += found
    return count


def _round(model: Any) -> int:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from edgepose.converters.onnx_passes import drop_unused

    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = {v.name: _sizes(v) for v in [*inferred.input, *inferred.value_info, *inferred.output]}
    vectors = _vectors(model.graph, known)
    initializers = {tensor.name for tensor in model.graph.initializer}
    count = 0
    for index, node in enumerate(model.graph.node):
        shape = vectors.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is None or node.input[1] in initializers:
            continue
        if -1 not in shape and 0 not in shape:
            size = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, shape)
            model.graph.value_info.append(size)  # which -1 will not tell
        data = known.get(node.input[0])
        # 0 takes the size of the data; -1 what is left, once.
        if shape[0] == _BATCH and data and data[0] == _BATCH:
            shape = [0, *shape[1:]]
        elif -1 not in shape and shape.count(_BATCH) == 1:
            shape = [-1 if size == _BATCH else size for size in shape]
        if _BATCH in shape:
            continue
        name = f"{node.output[0]}.shape.{index}"
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
        node.input[1] = name
        count += 1
    if count:
        drop_unused(model)
    return count


def _sizes(value: Any) -> Sizes | None:
    """Return the sizes of a tensor, the batch by its name; None where another one is not known."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    sizes = [dim.dim_value or dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
    return sizes if all(isinstance(size, int) or size == _BATCH for size in sizes) else None


def _vectors(graph: Any, known: dict[str, Sizes | None]) -> dict[str, Sizes]:
    """Follow the sizes of tensors through the nodes that cut and join them; by the name of the result."""
    from edgepose.converters.onnx_passes import attribute, constant_values

    found: dict[str, Sizes] = {
        name: value.reshape(-1).tolist()
        for name, value in constant_values(graph).items()
        if value.dtype.kind == "i" and value.size <= 8
    }
    for node in graph.node:
        inputs = [found.get(name) for name in node.input]
        result: Sizes | None = None
        if node.op_type == "Shape" and not node.attribute:
            result = known.get(node.input[0])
        elif node.op_type == "Concat" and all(part is not None for part in inputs):
            result = [size for part in inputs if part for size in part]
        elif node.op_type in ("Unsqueeze", "Squeeze", "Cast"):
            result = inputs[0]
        elif node.op_type == "Gather" and inputs[0] and inputs[1] and attribute(node, "axis", 0) == 0:
            result = [inputs[0][place] for place in inputs[1]]
        elif node.op_type == "Slice" and inputs[0] and all(inputs[1:]) and len(inputs) >= 3:
            start, end, *rest = (part[0] for part in inputs[1:] if part)
            if rest[1:] in ([], [1]):
                result = inputs[0][start:end]
        if result is not None:
            found[node.output[0]] = result
    return found
