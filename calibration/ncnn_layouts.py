"""Which arrays each type of ncnn layer keeps in the .bin, by what its line in the .param says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgepose.converters.ncnn_param import NcnnModelError, ParamLayer

_MAX_ELEMENTS = 1 << 30


@dataclass(frozen=True, slots=True)
class Slot:
    """One array: its name, its number of values, and whether a storage tag comes before it."""

    name: str
    count: int
    is_tagged: bool


def slots_of(layer: ParamLayer) -> list[Slot]:
    """List the arrays that a layer keeps in the .bin, in order (load_model() in ncnn's src/layer)."""
    if layer.type in _WEIGHTLESS:
        return []
    if layer.type not in _LAYOUTS:
        raise NcnnModelError(f"layer {layer.name} has the type {layer.type}, which this reader does not know")
    slots = [Slot(name, count, is_tagged) for name, count, is_tagged in _LAYOUTS[layer.type](layer)]
    for slot in slots:
        if not 0 < slot.count <= _MAX_ELEMENTS:
            raise NcnnModelError(f"layer {layer.name}: its {slot.name} would have {slot.count} values")
    return slots


_Layout = Sequence[tuple[str, int, bool]]


def _convolution(layer: ParamLayer) -> _Layout:
    return _product(layer, layer.integer(6), 5, layer.integer(0))


def _depthwise(layer: ParamLayer) -> _Layout:
    groups = layer.integer(7, 1) if layer.integer(8) % 100 == 1 else 1
    return _product(layer, layer.integer(6), 5, groups)


def _inner_product(layer: ParamLayer) -> _Layout:
    return _product(layer, layer.integer(2), 1, layer.integer(0))


def _product(layer: ParamLayer, weights: int, bias_key: int, weight_scales: int) -> _Layout:
    slots = [("weight", weights, True)] + [("bias", layer.integer(0), False)] * _is_set(layer, bias_key)
    term = layer.integer(8)
    slots += [("weight_scales", weight_scales, False), ("input_scales", 1, False)] * bool(term)
    return slots + [("output_scales", 1, False)] * (term > 100)


def _gemm(layer: ParamLayer) -> _Layout:
    m, n, k = layer.integer(7), layer.integer(8), layer.integer(9)
    term = layer.integer(18)
    if term >= 400:
        raise NcnnModelError(f"layer {layer.name}: block-quantised weights (18={term}) are not known")
    slots: list[tuple[str, int, bool]] = []
    if layer.integer(4):
        slots.append(("a", m * k, True))
    if layer.integer(5):
        slots.append(("weight", n * k, True))
    broadcast = layer.integer(10)
    if layer.integer(6) and broadcast != -1:
        counts = {0: 1, 1: m, 2: m, 3: m * n, 4: n}
        if broadcast not in counts:
            raise NcnnModelError(f"layer {layer.name}: the broadcast type {broadcast} is not known")
        slots.append(("bias", counts[broadcast], True))
    if term and layer.integer(4):
        slots.append(("a_scales", m, False))
    if term and layer.integer(5):
        slots.append(("weight_scales", 1, False))
    return slots


def _memory_data(layer: ParamLayer) -> _Layout:
    count = 1
    for key in (0, 1, 11, 2):
        count *= max(1, layer.integer(key))
    return [("data", count, layer.integer(21, 1) == 0)] * bool(layer.integer(0))


def _attention(layer: ParamLayer) -> _Layout:
    width, total, term = layer.integer(0), layer.integer(2), layer.integer(18)
    if term >= 400:
        raise NcnnModelError(f"layer {layer.name}: block-quantised weights (18={term}) are not known")
    key_width, value_width = layer.integer(3, width), layer.integer(4, width)
    query_width = total // max(1, width)
    slots = [("q_weight", width * query_width, True), ("q_bias", width, False)]
    slots += [("k_weight", width * key_width, True), ("k_bias", width, False)]
    slots += [("v_weight", width * value_width, True), ("v_bias", width, False)]
    slots += [("out_weight", query_width * width, True), ("out_bias", query_width, False)]
    scales = [(f"{name}_weight_scales", width, False) for name in "qkv"] + [("out_weight_scale", 1, False)]
    return slots + scales * bool(term)


def _layer_norm(layer: ParamLayer) -> _Layout:
    return [(name, layer.integer(0), False) for name in ("gamma", "beta")] * _is_set(layer, 2, 1)


def _batch_norm(layer: ParamLayer) -> _Layout:
    return [(name, layer.integer(0), False) for name in ("slope", "mean", "variance", "bias")]


def _scale(layer: ParamLayer) -> _Layout:
    count = layer.integer(0)
    if count == -233:
        return []
    return [("scale", count, False)] + [("bias", count, False)] * _is_set(layer, 1)


def _quantize(layer: ParamLayer) -> _Layout:
    return [("scales", layer.integer(0, 1), False)]


def _dequantize(layer: ParamLayer) -> _Layout:
    bias = layer.integer(1)
    return [("scales", layer.integer(0, 1), False)] + [("bias", bias, False)] * bool(bias)


def _first_is_count(name: str) -> Callable[[ParamLayer], _Layout]:
    return lambda layer: [(name, layer.integer(0), False)]


def _is_set(layer: ParamLayer, key: int, default: int = 0) -> int:
    return int(layer.integer(key, default) != 0)


_LAYOUTS: dict[str, Callable[[ParamLayer], _Layout]] = {
    "BatchNorm": _batch_norm,
    "Bias": _first_is_count("bias"),
    "Convolution": _convolution,
    "ConvolutionDepthWise": _depthwise,
    "Dequantize": _dequantize,
    "Gemm": _gemm,
    "InnerProduct": _inner_product,
    "LayerNorm": _layer_norm,
    "MemoryData": _memory_data,
    "MultiHeadAttention": _attention,
    "PReLU": _first_is_count("slope"),
    "Quantize": _quantize,
    "Scale": _scale,
}

_WEIGHTLESS = frozenset(
    [
        "AbsVal",
        "BinaryOp",
        "Cast",
        "Clip",
        "Concat",
        "CopyTo",
        "Crop",
        "DeepCopy",
        "Dropout",
        "Eltwise",
        "Exp",
        "ExpandDims",
        "Flatten",
        "GELU",
        "HardSigmoid",
        "HardSwish",
        "Input",
        "Interp",
        "Log",
        "MatMul",
        "Noop",
        "Packing",
        "Padding",
        "Permute",
        "PixelShuffle",
        "Pooling",
        "Power",
        "Reduction",
        "ReLU",
        "Reshape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Swish",
        "TanH",
        "Tile",
        "UnaryOp",
    ]
)

# The layers of a model that can be read: those that the runtime is built with.
KNOWN_LAYERS = frozenset(_LAYOUTS) | _WEIGHTLESS
