"""Exact rewrites of ONNX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Smaller tensors (scalars, shapes, biases of a few channels) gain nothing from being halved.
_MIN_HALVED_ELEMENTS = 64


def strip_origin(model: Any) -> None:
    """Remove what tells where and when a graph was made (doc strings, metadata), in place."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        if hasattr(node, "metadata_props"):
            del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        value.doc_string = ""


def fix_output_dims(model: Any, dims: dict[str, tuple[int, ...]]) -> None:
    """Write the known dims of inputs and outputs into the graph, in place; -1 becomes the symbol "batch"."""
    for value in [*model.graph.input, *model.graph.output]:
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for size in dims[value.name]:
            dim = shape.dim.add()
            if size < 0:
                dim.dim_param = "batch"
            else:
                dim.dim_value = size


def halve_weights(model: Any) -> int:
    """Store float32 weights as float16, each followed by a Cast back, in place; return how many.

    The arithmetic stays float32: engines fold the Cast when they load the model. Errors: ValueError, naming
    the tensor, for a weight beyond the range of float16.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _MIN_HALVED_ELEMENTS:
            continue
        if float(np.abs(values).max()) > float(np.finfo(np.float16).max):
            raise ValueError(f"the weight {tensor.name} does not fit half precision")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(
            helper.make_node("Cast", [f"{name}.fp16"], [name], name=f"{name}.cast", to=TensorProto.FLOAT)
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    return len(casts)


def fold_space_to_depth(model: Any) -> int:
    """Turn "four slices of every other pixel, joined, then a convolution" into one, in place.

    The same sums over the same pixels: a kernel of 2k at stride 2s. ncnn has no slices with steps. Returns
    how many were folded.
    """
    constants = constant_values(model.graph)
    makers = {name: node for node in model.graph.node for name in node.output}
    users: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    folded = 0
    for node in model.graph.node:
        joined = makers.get(node.input[0]) if node.op_type == "Conv" else None
        if joined is None or joined.op_type != "Concat" or users[joined.output[0]] != 1:
            continue
        parts = [_even_slice(makers.get(name), constants) for name in joined.input]
        sources = {part[0] for part in parts if part}
        if None in parts or len(parts) != 4 or len(sources) != 1 or attribute(joined, "axis") != 1:
            continue
        offsets = [part[1] for part in parts if part]
        if _fold_convolution(model, node, offsets, constants):
            node.input[0] = sources.pop()
            folded += 1
    if folded:
        drop_unused(model)
    return folded


def _fold_convolution(
    model: Any, node: Any, offsets: list[tuple[int, int]], constants: dict[str, Any]
) -> bool:
    """Interleave a convolution's weights so that it reads the pixels which the four slices had."""
    import numpy as np
    from onnx import helper, numpy_helper

    weight = constants.get(node.input[1])
    simple = attribute(node, "group", 1) == 1 and set(attribute(node, "dilations", [1, 1])) == {1}
    if weight is None or not simple or sorted(offsets) != [(0, 0), (0, 1), (1, 0), (1, 1)]:
        return False
    out_channels, in_channels, rows, columns = weight.shape
    source_channels = in_channels // 4
    wide = np.zeros((out_channels, source_channels, 2 * rows, 2 * columns), weight.dtype)
    for index, (dy, dx) in enumerate(offsets):
        wide[:, :, dy::2, dx::2] = weight[:, index * source_channels : (index + 1) * source_channels]
    name = f"{node.input[1]}.folded"
    model.graph.initializer.append(numpy_helper.from_array(wide, name))
    node.input[1] = name
    doubled = {
        "kernel_shape": [2 * rows, 2 * columns],
        "strides": [2 * s for s in attribute(node, "strides", [1, 1])],
        "pads": [2 * p for p in attribute(node, "pads", [0, 0, 0, 0])],
    }
    kept = [a for a in node.attribute if a.name not in doubled]
    del node.attribute[:]
    node.attribute.extend(kept + [helper.make_attribute(key, value) for key, value in doubled.items()])
    return True


def _even_slice(node: Any, constants: dict[str, NDArray[np.int64]]) -> tuple[str, tuple[int, int]] | None:
    """Read a Slice of every other row and column to the end; return its source, first row and column."""
    if node is None or node.op_type != "Slice" or len(node.input) != 5:
        return None
    if any(name not in constants for name in node.input[1:]):
        return None
    starts, ends, axes, steps = (constants[name].tolist() for name in node.input[1:])
    if (
        axes != [2, 3]
        or steps != [2, 2]
        or any(start not in (0, 1) for start in starts)
        or min(ends) < 1 << 30
    ):
        return None
    return node.input[0], (starts[0], starts[1])


def constant_values(graph: Any) -> dict[str, Any]:
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def attribute(node: Any, name: str, default: Any = None) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def drop_unused(model: Any) -> None:
    """Remove nodes and initializers that nothing reads, in place."""
    while True:
        read = {name for node in model.graph.node for name in node.input}
        read |= {value.name for value in model.graph.output}
        kept = [node for node in model.graph.node if read.intersection(node.output)]
        if len(kept) == len(model.graph.node):
            break
        del model.graph.node[:]
        model.graph.node.extend(kept)
    used = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(used)
