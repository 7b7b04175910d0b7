"""Keep the head of an ncnn network in float32 where the rest runs at half precision."""

from __future__ import annotations

from pathlib import Path

_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise")
# ncnn's layer parameter 31 turns features off for one layer: 1 is fp16 arithmetic, 2 is fp16 storage.
_FEATURES_OFF = "31=3"


class _Line:
    """A layer's line of the .param: its words, and the names of its tensors among them."""

    def __init__(self, text: str) -> None:
        self.text = text.rstrip()
        words = text.split()
        self.type, self.name = words[0], words[1]
        bottoms, tops = int(words[2]), int(words[3])
        self.inputs, self.outputs = words[4 : 4 + bottoms], words[4 + bottoms : 4 + bottoms + tops]
        self.parameters = words[4 + bottoms + tops :]

    def with_inputs(self, inputs: list[str]) -> str:
        head = f"{self.type:<24} {self.name:<24} {len(inputs)} {len(self.outputs)}"
        return " ".join([head, *inputs, *self.outputs, *self.parameters])


def keep_head_float(param: Path) -> list[str]:
    """Turn fp16 off for the layers with no convolution behind them; return their names.

    These are RTMPose's last convolution, whose sums run over thousands of products, and its attention and
    classifier. At fp16 they move peaks by whole bins; they are a few percent of the work. ncnn does not
    convert the input of a layer whose fp16 storage is off, and reads garbage. A Dropout of factor 1 in
    front does it: it changes nothing, and has no fp16 form, so that ncnn gives it float32.
    """
    text = param.read_text(encoding="utf-8").splitlines()
    layers = [_Line(line) for line in text[2:] if line.strip()]
    names = _behind_convolutions(layers)
    half = {tensor for layer in layers if layer.name not in names for tensor in layer.outputs}
    lines: list[str] = []
    as_float: dict[str, str] = {}
    for layer in layers:
        if layer.name not in names:
            lines.append(layer.text)
            continue
        for tensor in layer.inputs:
            if tensor in half and tensor not in as_float:
                as_float[tensor] = f"{tensor}_float"
                lines.append(f"{'Dropout':<24} {'float_' + tensor:<24} 1 1 {tensor} {as_float[tensor]} 0=1.0")
        inputs = [as_float.get(tensor, tensor) for tensor in layer.inputs]
        lines.append(f"{layer.with_inputs(inputs)} {_FEATURES_OFF}")
    tensors = len({name for line in lines for name in _Line(line).outputs})
    param.write_text("\n".join([text[0], f"{len(lines)} {tensors}", *lines]) + "\n", encoding="utf-8")
    return [layer.name for layer in layers if layer.name in names]


def _behind_convolutions(layers: list[_Line]) -> set[str]:
    """Name the layers from which no path leads to a convolution."""
    before: set[str] = set()  # tensors that a later convolution depends on
    names: set[str] = set()
    for layer in reversed(layers):
        is_before = not before.isdisjoint(layer.outputs)
        if is_before or layer.type in _CONVOLUTIONS:
            before.update(layer.inputs)
        if not is_before and layer.type != "Input":
            names.add(layer.name)
    return names
