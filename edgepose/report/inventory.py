"""The layers of a network as its files hold them: type, attributes, precision and digest of the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from edgepose.errors import EdgePoseError
from edgepose.hashing import sha256_bytes

# What only carries constants or marks the ends is no layer to a reader.
_OPENVINO_SILENT = frozenset({"Const", "Parameter", "Result"})
_ONNX_SILENT = frozenset({"Constant", "Identity"})
_NCNN_SILENT = frozenset({"Input", "Split", "Noop"})
_WEIGHTED = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
# What reshapes or rounds its first input; the others are a shape, an order, or limits.
_OPENVINO_PASSING = frozenset({"Convert", "Reshape", "Transpose", "FakeQuantize"})
_OPENVINO_PRECISIONS = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8", "i4": "int4", "u4": "int4"}
_ONNX_PRECISIONS = {1: "fp32", 10: "fp16", 2: "int8", 3: "int8"}
_ONNX_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. precision: of its weights, None without any; weights_sha256: of all its constants.

    constants: how those are stored.
    """

    name: str
    type: str
    precision: str | None
    parameters: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    weights_sha256: str | None = None
    constants: str | None = None

    @property
    def stored(self) -> str | None:
        """The precision of the weights, or else of the other constants."""
        return self.precision or self.constants


@dataclass(frozen=True, slots=True)
class Inventory:
    """The layers in the order of the file; note: why there are none, where they cannot be read."""

    layers: tuple[Layer, ...]
    note: str | None = None

    def types(self) -> dict[str, int]:
        """Count the layers by type, the most frequent first."""
        return dict(Counter(layer.type for layer in self.layers).most_common())

    def precisions(self) -> dict[str, int]:
        """Count the parameters by the precision that they are stored in."""
        found: Counter[str] = Counter()
        for layer in self.layers:
            if layer.precision:
                found[layer.precision] += layer.parameters
        return dict(found.most_common())


def read_inventory(backend: str, files: Mapping[str, Path]) -> Inventory:
    """List the layers of one network; where that is not possible, say why in the note."""
    readers = {"ncnn": _ncnn, "openvino": _openvino, "onnx": _onnx}
    if backend not in readers:
        return Inventory((), f"the files of the backend {backend} do not show their layers")
    try:
        return Inventory(tuple(readers[backend](files)))
    except EdgePoseError as error:
        return Inventory((), error.message)
    except ModuleNotFoundError as error:
        return Inventory((), f"listing the layers needs the package {error.name}, which is not installed")
    except (ValueError, LookupError, ElementTree.ParseError) as error:  # LookupError: an encoding, too
        return Inventory((), f"the layers cannot be read: {error}")


def _ncnn(files: Mapping[str, Path]) -> list[Layer]:
    from edgepose.calibration.ncnn_model import TAG_FP16, TAG_FP32, TAG_INT8, read_model

    names = {TAG_FP32: "fp32", TAG_FP16: "fp16", TAG_INT8: "int8"}
    layers = []
    for layer in read_model(files["param"], files["bin"]).layers:
        if layer.type in _NCNN_SILENT:
            continue
        # The scales of int8 belong to the precision, not to what was learnt.
        arrays = [array for name, array in layer.weights.items() if not name.endswith(("_scale", "_scales"))]
        tagged = [array for array in arrays if array.tag is not None]
        main = max(tagged, key=lambda array: array.values.size, default=None)
        precision = names[main.tag] if main is not None and main.tag is not None else None
        layers.append(
            Layer(
                layer.name,
                layer.type,
                precision or ("fp32" if arrays else None),
                sum(array.values.size for array in arrays),
                {str(key): text for key, text in layer.params.items()},
                sha256_bytes(b"".join(a.values.tobytes() for a in layer.weights.values()))
                if layer.weights
                else None,
            )
        )
    return layers


def _openvino(files: Mapping[str, Path]) -> list[Layer]:
    # The bundle's own file, checked against its checksum; expat bounds entity expansion itself.
    root = ElementTree.parse(files["xml"]).getroot()
    weights = files["bin"].read_bytes()
    by_id = {node.get("id", ""): node for node in root.iterfind("layers/layer")}
    feeds: dict[str, dict[str, str]] = {}
    for edge in root.iterfind("edges/edge"):
        feeds.setdefault(edge.get("to-layer", ""), {})[edge.get("to-port", "")] = edge.get("from-layer", "")
    fixed = _fixed(by_id, feeds)
    layers = []
    for node_id, node in by_id.items():
        kind, data = node.get("type", ""), node.find("data")
        if kind in _OPENVINO_SILENT or node.find("rt_info/attribute[@name='decompression']") is not None:
            continue
        constant = None
        if kind in _WEIGHTED:
            sources = [_constant(source, by_id, feeds) for source in feeds.get(node_id, {}).values()]
            constant = max((c for c in sources if c is not None), key=_const_bytes, default=None)
        precision, count = None, 0
        if constant is not None:
            element, shape = constant.get("element_type", ""), constant.get("shape", "")
            precision = _OPENVINO_PRECISIONS.get(element, element)
            count = _product(shape)
        held = _held(node_id, by_id, feeds, fixed)
        if constant is not None and constant not in held:
            held.append(constant)
        digest = sha256_bytes(b"".join(_const_value(c, weights) for c in held)) if held else None
        kinds = ", ".join(sorted({c.get("element_type", "") for c in held})) or None
        attributes = dict(data.attrib) if data is not None else {}
        layers.append(Layer(node.get("name", ""), kind, precision, count, attributes, digest, kinds))
    return layers


def _fixed(by_id: Mapping[str, Any], feeds: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Return the nodes that depend on constants only; a file lists what feeds a node before it."""
    fixed = {node_id for node_id, node in by_id.items() if node.get("type", "") == "Const"}
    for node_id in by_id:
        if node_id in feeds and fixed.issuperset(feeds[node_id].values()):
            fixed.add(node_id)
    return fixed


def _held(
    node_id: str, by_id: Mapping[str, Any], feeds: Mapping[str, Mapping[str, str]], fixed: set[str]
) -> list[Any]:
    """Return the constants that a layer works with, scales too; none of one that only feeds them."""
    found: list[Any] = []
    stack, seen = [] if node_id in fixed else [node_id], set()
    while stack:
        current = stack.pop()
        if current in seen or by_id[current].get("type", "") == "ShapeOf":  # whatever the values are
            continue
        seen.add(current)
        data = by_id[current].find("data") if by_id[current].get("type", "") == "Const" else None
        found += [] if data is None else [data]
        stack += (source for _, source in sorted(feeds.get(current, {}).items()) if source in fixed)
    return found


def _constant(node_id: str, by_id: Mapping[str, Any], feeds: Mapping[str, Mapping[str, str]]) -> Any:
    """Follow an input back to its largest constant, through scales; None for an activation."""
    stack, seen, found = [node_id], set(), []
    while stack:
        current = stack.pop()
        if current in seen or current not in by_id:
            continue
        seen.add(current)
        node = by_id[current]
        kind = node.get("type", "")
        if kind == "Const":
            found.append(node.find("data"))
        elif kind in _OPENVINO_PASSING:
            stack.append(feeds.get(current, {}).get("0", ""))
        elif kind in ("Multiply", "Subtract"):
            stack += feeds.get(current, {}).values()
        else:
            return None
    return max((c for c in found if c is not None), key=_const_bytes, default=None)


def _const_value(data: Any, weights: bytes) -> bytes:
    offset = int(data.get("offset", "0"))
    return weights[offset : offset + _const_bytes(data)]


def _const_bytes(data: Any) -> int:
    return int(data.get("size", "0"))


def _product(shape: str) -> int:
    count = 1
    for side in shape.split(","):
        count *= int(side.strip() or 1)
    return count


def _onnx(files: Mapping[str, Path]) -> list[Layer]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(str(files["onnx"])).graph
    except DecodeError as error:
        raise ValueError(str(error)) from error
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for tensor in graph.initializer:
        tensor.ClearField("name")  # every export counts them anew
    layers = []
    for number, node in enumerate(graph.node):
        if node.op_type in _ONNX_SILENT:
            continue
        if node.op_type == "Cast" and node.input[0] in constants:  # how weights of half precision are stored
            constants[node.output[0]] = constants[node.input[0]]
            continue
        arrays = [constants[name] for name in node.input if name in constants]
        weighted = arrays if node.op_type in _ONNX_WEIGHTED else []
        main = max(weighted, key=lambda tensor: _size(tensor.dims), default=None)
        kind = None if main is None else _ONNX_PRECISIONS.get(main.data_type, f"type {main.data_type}")
        digest = sha256_bytes(b"".join(t.SerializeToString() for t in arrays)) if arrays else None
        kinds = ", ".join(sorted({str(t.data_type) for t in arrays})) or None
        attributes = {a.name: _attribute(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        layers.append(
            Layer(
                node.name or f"{node.op_type}_{number}",
                node.op_type,
                kind,
                sum(_size(tensor.dims) for tensor in weighted),
                attributes,
                digest,
                kinds,
            )
        )
    return layers


def _size(dims: Any) -> int:
    count = 1
    for side in dims:
        count *= int(side)
    return count


def _attribute(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    text = str(value)
    return text if len(text) <= 100 else f"sha256 {sha256_bytes(text.encode())[:16]}"
