"""Read and write ncnn's text .param and tagged .bin, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.calibration.ncnn_layouts import Slot, slots_of
from edgepose.converters.ncnn_param import MAGIC, NcnnModelError, ParamLayer, parse_line

TAG_FP32 = 0x00000000
TAG_FP16 = 0x01306B47
TAG_INT8 = 0x000D4B38

_DTYPES: dict[int | None, np.dtype[Any]] = {
    None: np.dtype("<f4"),
    TAG_FP32: np.dtype("<f4"),
    TAG_FP16: np.dtype("<f2"),
    TAG_INT8: np.dtype("i1"),
}


@dataclass(frozen=True, slots=True)
class Weight:
    """One array of the .bin: flat values, storage tag (None: untagged fp32) and padding to 4 bytes."""

    values: NDArray[Any]
    tag: int | None
    padding: bytes = b""

    def floats(self) -> NDArray[np.float32]:
        """Return the values as float32."""
        return self.values.astype(np.float32)


@dataclass(slots=True)
class Layer(ParamLayer):
    """A layer with its arrays by the names that ncnn_layouts gives them."""

    weights: dict[str, Weight] = field(default_factory=dict)


@dataclass(slots=True)
class NcnnModel:
    """A network: its layers in the order of execution."""

    layers: list[Layer]

    def layer(self, name: str) -> Layer:
        """Return the layer of a name. Errors: NcnnModelError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise NcnnModelError(f"the network has no layer {name!r}")

    def producers(self) -> dict[str, Layer]:
        """Map each blob to the layer that makes it."""
        return {top: layer for layer in self.layers for top in layer.tops}

    def source(self, blob: str, producers: Mapping[str, Layer] | None = None) -> str:
        """Return the blob that `blob` is a copy of, through any Split layers."""
        made_by = self.producers() if producers is None else producers
        while blob in made_by and made_by[blob].type == "Split":
            blob = made_by[blob].bottoms[0]
        return blob

    def param_bytes(self) -> bytes:
        """Return the .param file."""
        blobs = sum(len(layer.tops) for layer in self.layers)
        lines = [MAGIC, f"{len(self.layers)} {blobs}", *(layer.line() for layer in self.layers)]
        return ("\n".join(lines) + "\n").encode("utf-8")

    def bin_bytes(self) -> bytes:
        """Return the .bin file. Errors: NcnnModelError (arrays that do not fit a layer's line)."""
        parts: list[bytes] = []
        for layer in self.layers:
            slots = slots_of(layer)
            if [slot.name for slot in slots] != list(layer.weights):
                raise NcnnModelError(
                    f"layer {layer.name} has the arrays {', '.join(layer.weights) or 'none'}, "
                    f"its parameters ask for {', '.join(slot.name for slot in slots) or 'none'}"
                )
            for slot in slots:
                weight = layer.weights[slot.name]
                if weight.values.size != slot.count or (weight.tag is None) == slot.is_tagged:
                    raise NcnnModelError(
                        f"layer {layer.name}: {slot.name} has {weight.values.size} values where "
                        f"{slot.count} are expected, or the wrong storage"
                    )
                if weight.tag is not None:
                    parts.append(weight.tag.to_bytes(4, "little"))
                parts += [weight.values.astype(_DTYPES[weight.tag], copy=False).tobytes(), weight.padding]
        return b"".join(parts)


def raw(values: NDArray[Any]) -> Weight:
    """Make an untagged float32 array."""
    return Weight(np.ascontiguousarray(values, dtype=np.float32).ravel(), None)


def tagged(values: NDArray[Any]) -> Weight:
    """Make a tagged array: int8 and float16 keep their type, everything else becomes float32."""
    flat = np.ascontiguousarray(values).ravel()
    if flat.dtype == np.int8:
        return Weight(flat, TAG_INT8, bytes(-flat.nbytes % 4))
    if flat.dtype == np.float16:
        return Weight(flat, TAG_FP16, bytes(-flat.nbytes % 4))
    return Weight(flat.astype(np.float32), TAG_FP32)


def read_model(param: Path, weights: Path) -> NcnnModel:
    """Read a network. Errors: NcnnModelError for damaged files and unknown layers, OSError."""
    return parse_model(param.read_bytes(), weights.read_bytes(), name=param.name)


def write_model(model: NcnnModel, param: Path, weights: Path) -> None:
    """Write a network. Errors: NcnnModelError, OSError."""
    param.write_bytes(model.param_bytes())
    weights.write_bytes(model.bin_bytes())


def parse_model(param: bytes, weights: bytes, *, name: str = "the network") -> NcnnModel:
    """Parse a network from the bytes of both files. Errors: NcnnModelError."""
    model = NcnnModel(_parse_layers(param, name))
    offset = 0
    for layer in model.layers:
        for slot in slots_of(layer):
            weight, offset = _take(weights, offset, slot, f"{name}, layer {layer.name}")
            layer.weights[slot.name] = weight
    if offset != len(weights):
        raise NcnnModelError(
            f"{name}: the weights have {len(weights)} bytes, the layers take {offset}",
            hint="the .param and the .bin may belong to different networks",
        )
    return model


def _parse_layers(param: bytes, name: str) -> list[Layer]:
    try:
        lines = param.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise NcnnModelError(f"{name} is not a text file") from error
    if len(lines) < 2 or lines[0].strip() != MAGIC:
        raise NcnnModelError(f"{name} does not begin with {MAGIC}: it is no ncnn .param file")
    try:
        layer_count, blob_count = (int(word) for word in lines[1].split())
    except ValueError:
        raise NcnnModelError(f"{name}, line 2: {lines[1]!r} is not two counts") from None
    parsed = [parse_line(line, f"{name}, line {i}") for i, line in enumerate(lines[2:], 3) if line.strip()]
    layers = [Layer(layer.type, layer.name, layer.bottoms, layer.tops, layer.params) for layer in parsed]
    if len(layers) != layer_count:
        raise NcnnModelError(f"{name} has {len(layers)} layers and declares {layer_count}")
    names: set[str] = set()
    blobs: set[str] = set()
    for layer in layers:
        if layer.name in names:
            raise NcnnModelError(f"{name} has two layers named {layer.name}")
        names.add(layer.name)
        for blob in layer.bottoms:
            if blob not in blobs:
                raise NcnnModelError(
                    f"{name}: layer {layer.name} reads {blob}, which no layer before it makes"
                )
        for blob in layer.tops:
            if blob in blobs:
                raise NcnnModelError(f"{name}: two layers make {blob}")
            blobs.add(blob)
    if len(blobs) != blob_count:
        raise NcnnModelError(f"{name} has {len(blobs)} blobs and declares {blob_count}")
    return layers


def _take(data: bytes, offset: int, slot: Slot, where: str) -> tuple[Weight, int]:
    """Read one array at an offset; return it and the offset after it."""
    tag: int | None = None
    if slot.is_tagged:
        tag = int.from_bytes(data[offset : offset + 4], "little")
        offset += 4
        if tag not in _DTYPES:
            raise NcnnModelError(f"{where}: {slot.name} has the unknown storage tag {tag:#010x}")
    dtype = _DTYPES[tag]
    end = offset + slot.count * dtype.itemsize
    padded = end + -(slot.count * dtype.itemsize) % 4
    if padded > len(data):
        raise NcnnModelError(f"{where}: the weights end in the middle of {slot.name}")
    values = np.frombuffer(data, dtype, slot.count, offset)
    return Weight(values, tag, data[end:padded]), padded
