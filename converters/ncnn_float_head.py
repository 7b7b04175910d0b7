"""Keep the head of an ncnn network in float32 where the rest runs at half precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgepose.converters.ncnn_param import ParamLayer, parse_line

_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise")
# ncnn's layer parameter 31 turns features off for one layer: 1 is fp16 arithmetic, 2 is fp16 storage.
_FEATURES_OFF = {31: "3"}


def keep_head_float(param: Path) -> list[str]:
    """Turn fp16 off for the layers with no convolution behind them; return their names.

    These are RTMPose's last convolution, whose sums run over thousands of products, and its attention and
    classifier. At fp16 they move peaks by whole bins; they are a few percent of the work. ncnn does not
    convert the input of a layer whose fp16 storage is off, and reads garbage. A Dropout of factor 1 in
    front does it: it changes nothing, and has no fp16 form, so that ncnn gives it float32.
    """
    text = param.read_text(encoding="utf-8").splitlines()
    layers = [parse_line(line, param.name) for line in text[2:] if line.strip()]
    names = behind_convolutions(layers)
    half = {tensor for layer in layers if layer.name not in names for tensor in layer.tops}
    written: list[ParamLayer] = []
    as_float: dict[str, str] = {}
    for layer in layers:
        if layer.name in names:
            for tensor in layer.bottoms:
                if tensor in half and tensor not in as_float:
                    as_float[tensor] = f"{tensor}_float"
                    written.append(
                        ParamLayer("Dropout", f"float_{tensor}", [tensor], [as_float[tensor]], {0: "1.0"})
                    )
            layer.bottoms = [as_float.get(tensor, tensor) for tensor in layer.bottoms]
            layer.params |= _FEATURES_OFF
        written.append(layer)
    tensors = len({tensor for layer in written for tensor in layer.tops})
    lines = [text[0], f"{len(written)} {tensors}", *(layer.line() for layer in written)]
    param.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [layer.name for layer in layers if layer.name in names]


def behind_convolutions(layers: Sequence[ParamLayer]) -> set[str]:
    """Name the layers from which no path leads to a convolution."""
    before: set[str] = set()  # tensors that a later convolution depends on
    names: set[str] = set()
    for layer in reversed(layers):
        is_before = not before.isdisjoint(layer.tops)
        if is_before or layer.type in _CONVOLUTIONS:
            before.update(layer.bottoms)
        if not is_before and layer.type != "Input":
            names.add(layer.name)
    return names
