"""The layers that ncnn can run in int8: their geometry, weights and input patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgepose.calibration.ncnn_model import Layer, NcnnModel

Floats = NDArray[np.float32]

Kind = Literal["Convolution", "ConvolutionDepthWise", "InnerProduct", "Gemm"]
_KINDS: tuple[Kind, ...] = ("Convolution", "ConvolutionDepthWise", "InnerProduct", "Gemm")


@dataclass(frozen=True, slots=True)
class QuantisableLayer:
    """A layer that can become int8.

    blob: the input, seen through Split layers. weight: [rows, features] with one int8 scale a row (one for
    the whole matrix for a Gemm); features are in the order channel, kernel row, kernel column.
    feeds_output: no convolution comes after it. reads_input: its input is one of the network's.
    """

    name: str
    kind: Kind
    blob: str
    weight: Floats
    bias: Floats | None
    channels: int
    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    dilation_hw: tuple[int, int]
    padding_tl: tuple[int, int]
    padding_br: tuple[int, int]
    feeds_output: bool
    reads_input: bool

    @property
    def takes_patches(self) -> bool:
        """Tell whether the layer is a product of its weight matrix with columns of its input."""
        return self.kind != "ConvolutionDepthWise"

    @property
    def input_is_static(self) -> bool:
        """Tell whether ncnn quantises the input by a stored scale; a Gemm finds its own on every run."""
        return self.kind != "Gemm"

    def patches(self, blob: Floats, count: int, generator: np.random.Generator) -> Floats:
        """Take random columns of the input: [at most count, features]."""
        if self.kind == "Gemm":
            rows = generator.permutation(len(blob))[:count]
            return np.ascontiguousarray(blob[rows])
        if self.kind == "InnerProduct":
            return blob.reshape(1, -1)
        return self._convolution_patches(blob, count, generator)

    def _convolution_patches(self, blob: Floats, count: int, generator: np.random.Generator) -> Floats:
        height, width = blob.shape[1:]
        (kh, kw), (sh, sw), (dh, dw) = self.kernel_hw, self.stride_hw, self.dilation_hw
        (top, left), (bottom, right) = self.padding_tl, self.padding_br
        out_h = (height + top + bottom - dh * (kh - 1) - 1) // sh + 1
        out_w = (width + left + right - dw * (kw - 1) - 1) // sw + 1
        chosen = generator.permutation(out_h * out_w)[:count]
        y = (chosen // out_w * sh - top)[:, None, None] + np.arange(kh)[:, None] * dh
        x = (chosen % out_w * sw - left)[:, None, None] + np.arange(kw) * dw
        y, x = np.broadcast_arrays(y, x)
        is_inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        columns = blob[:, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] * is_inside
        return np.ascontiguousarray(columns.transpose(1, 0, 2, 3)).reshape(len(chosen), -1)


def quantisable_layers(model: NcnnModel) -> list[QuantisableLayer]:
    """List the layers of a float network that can become int8, in the order of execution.

    Left out: layers that are int8 already, with weights made at run time, or with ncnn's automatic padding.
    """
    producers = model.producers()
    last = _feeding_outputs(model)
    found = []
    for layer in model.layers:
        if layer.type not in _KINDS:
            continue
        parts = _gemm(layer) if layer.type == "Gemm" else _product(layer)
        if parts is not None:
            blob = model.source(layer.bottoms[0], producers)
            found.append(parts(blob, layer.name in last, producers[blob].type == "Input"))
    return found


class _Parts:
    def __init__(self, layer: Layer, rows: int, channels: int, **geometry: tuple[int, int]) -> None:
        self.layer, self.rows, self.channels, self.geometry = layer, rows, channels, geometry

    def __call__(self, blob: str, feeds_output: bool, reads_input: bool) -> QuantisableLayer:
        one, none = (1, 1), (0, 0)
        bias = self.layer.weights.get("bias")
        return QuantisableLayer(
            name=self.layer.name,
            kind=self.layer.type,  # type: ignore[arg-type]
            blob=blob,
            weight=self.layer.weights["weight"].floats().reshape(self.rows, -1),
            bias=None if bias is None else bias.floats(),
            channels=self.channels,
            kernel_hw=self.geometry.get("kernel_hw", one),
            stride_hw=self.geometry.get("stride_hw", one),
            dilation_hw=self.geometry.get("dilation_hw", one),
            padding_tl=self.geometry.get("padding_tl", none),
            padding_br=self.geometry.get("padding_br", none),
            feeds_output=feeds_output,
            reads_input=reads_input,
        )


def _gemm(layer: Layer) -> _Parts | None:
    """Accept x W^T (+ C) with constant weights, which is what pnnx makes of a fully connected layer."""
    is_plain = (
        layer.integer(2) == 0 and layer.integer(3) == 1 and not layer.integer(4) and not layer.integer(18)
    )
    if not is_plain or not layer.integer(5) or len(layer.bottoms) != 1:
        return None
    if any(layer.integer(key) for key in (11, 12, 13, 14)) or {0, 1} & layer.params.keys():
        return None
    return _Parts(layer, rows=layer.integer(8), channels=layer.integer(9))


def _product(layer: Layer) -> _Parts | None:
    if layer.integer(8) or (layer.type != "InnerProduct" and layer.integer(19)):
        return None
    if layer.type == "InnerProduct":
        rows = layer.integer(0)
        return _Parts(layer, rows=rows, channels=layer.integer(2) // rows)
    kernel = (layer.integer(11, layer.integer(1)), layer.integer(1))
    left = layer.integer(4)
    top = layer.integer(14, left)
    padding = (top, left), (layer.integer(16, top), layer.integer(15, left))
    if min(*padding[0], *padding[1]) < 0 or float(layer.params.get(18, "0")) != 0:
        return None
    outputs, groups = layer.integer(0), 1
    if layer.type == "ConvolutionDepthWise":
        groups = layer.integer(7, 1)
        if groups != outputs:
            return None
    channels = layer.integer(6) // outputs // (kernel[0] * kernel[1]) * groups
    return _Parts(
        layer,
        rows=outputs,
        channels=channels,
        kernel_hw=kernel,
        stride_hw=(layer.integer(13, layer.integer(3, 1)), layer.integer(3, 1)),
        dilation_hw=(layer.integer(12, layer.integer(2, 1)), layer.integer(2, 1)),
        padding_tl=padding[0],
        padding_br=padding[1],
    )


def _feeding_outputs(model: NcnnModel) -> set[str]:
    """Name the quantisable layers with no convolution between them and an output of the network."""
    readers: dict[str, list[Layer]] = {}
    for layer in model.layers:
        for blob in layer.bottoms:
            readers.setdefault(blob, []).append(layer)
    before_output: set[str] = set()
    found: set[str] = set()
    for layer in reversed(model.layers):
        after = [reader for top in layer.tops for reader in readers.get(top, [])]
        is_output = any(not readers.get(top) for top in layer.tops)
        if is_output or any(
            reader.name in before_output and not reader.type.startswith("Convolution") for reader in after
        ):
            before_output.add(layer.name)
            if layer.type in _KINDS:
                found.add(layer.name)
    return found
