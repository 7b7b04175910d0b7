"""What the canonical ONNX graph needs before Rockchip's compiler gets it: exact rewrites by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Chains of this pool give every larger odd one; the simulator computes wide pools wrongly (see preflight).
_POOL = 5
_WIDE_POOL = 7


def prepare(model: Any, input_name: str, input_dims: tuple[int, ...]) -> tuple[Any, dict[str, int]]:
    """Apply all passes; return the graph and how much each changed. Errors: ValueError."""
    counts: dict[str, int] = {}
    for name, apply in _PASSES.items():
        model, counts[name] = apply(model, input_name, input_dims)
    return model, counts


def fix_shapes(model: Any, input_name: str, input_dims: tuple[int, ...]) -> tuple[Any, int]:
    """Set the batch to 1 and fold what then is constant; the compiler takes no dynamic shape.

    Returns the number of nodes that went.
    """
    import onnxsim

    before = len(model.graph.node)
    model, same = onnxsim.simplify(model, overwrite_input_shapes={input_name: list(input_dims)})
    if not same:
        raise ValueError("the graph with a batch of 1 is not equal to the canonical one")
    return model, before - len(model.graph.node)


def cascade_pools(model: Any, _name: str = "", _dims: tuple[int, ...] = ()) -> tuple[Any, int]:
    """Turn max-pools of 9, 13, ... at stride 1 into chains of 5: the same maxima over the same pixels.

    Returns the number of pools that were replaced.
    """
    from onnx import helper

    replaced = 0
    nodes = []
    for node in model.graph.node:
        size = _same_size_pool(node)
        if size is None or size < _WIDE_POOL or (size - 1) % (_POOL - 1):
            nodes.append(node)
            continue
        links = (size - 1) // (_POOL - 1)
        source = node.input[0]
        for link in range(links):
            last = link == links - 1
            target = node.output[0] if last else f"{node.output[0]}.pool{link}"
            nodes.append(
                helper.make_node(
                    "MaxPool",
                    [source],
                    [target],
                    name=f"{node.name}.pool{link}",
                    kernel_shape=[_POOL, _POOL],
                    strides=[1, 1],
                    pads=[_POOL // 2] * 4,
                )
            )
            source = target
        replaced += 1
    if replaced:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model, replaced


def _same_size_pool(node: Any) -> int | None:
    """Return the side of a square max-pool that keeps its input's size, else None."""
    from onnx import helper

    if node.op_type != "MaxPool" or len(node.output) != 1:
        return None
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rows, columns = values.get("kernel_shape", [0, 0])
    plain = (
        rows == columns
        and rows % 2 == 1
        and list(values.get("strides", [1, 1])) == [1, 1]
        and list(values.get("dilations", [1, 1])) == [1, 1]
        and list(values.get("pads", [])) == [rows // 2] * 4
        and not values.get("ceil_mode", 0)
    )
    return int(rows) if plain else None


_PASSES: dict[str, Callable[[Any, str, tuple[int, ...]], tuple[Any, int]]] = {
    "fix shapes": fix_shapes,
    "cascade pools": cascade_pools,
}
