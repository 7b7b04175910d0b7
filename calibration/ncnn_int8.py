"""Write an ncnn network with chosen layers in int8."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepose import __version__
from edgepose.artifact import Artifact, LineageEntry, Precision
from edgepose.calibration.base import Calibrator, LayerPrecision, NetworkQuantiser, PrecisionMap
from edgepose.calibration.improve import IntegerLayer, quantise_layer
from edgepose.calibration.ncnn_activations import ActivationStatistics, collect
from edgepose.calibration.ncnn_layers import QuantisableLayer, quantisable_layers
from edgepose.calibration.ncnn_model import Layer, NcnnModel, raw, read_model, tagged, write_model
from edgepose.calibration.plan import Plan
from edgepose.errors import CalibrationError, UsageError
from edgepose.hashing import sha256_file

Floats = NDArray[np.float32]

# The parameter that says how a layer is quantised, and its value (load_param in ncnn's src/layer/*.cpp).
_TERMS = {"Convolution": (8, 2), "ConvolutionDepthWise": (8, 1), "InnerProduct": (8, 2), "Gemm": (18, 2)}

_PAD_VALUE = 18

# Below this many input channels ncnn's int8 kernels for 3x3 convolutions of stride 1 are slower than its
# float ones.
_FAST_CHANNELS = 24


def layers_of(artifact: Artifact) -> list[QuantisableLayer]:
    """List the layers of a float ncnn artifact that can become int8. Errors: CalibrationError, OSError."""
    return quantisable_layers(read_model(artifact.files["param"], artifact.files["bin"]))


def default_map(layers: Sequence[QuantisableLayer]) -> dict[str, LayerPrecision]:
    """Choose the layers that are worth int8 in general: dense convolutions of many channels, no heads."""
    return {layer.name: "int8" if _is_worth_it(layer) else "float" for layer in layers}


def _is_worth_it(layer: QuantisableLayer) -> bool:
    return layer.kind == "Convolution" and layer.channels >= _FAST_CHANNELS and not layer.feeds_output


class Quantiser(NetworkQuantiser):
    """Writes one float ncnn artifact with different precision maps; each layer's integers are found once."""

    def __init__(self, artifact: Artifact, statistics: ActivationStatistics, plan: Plan) -> None:
        self._artifact, self._statistics, self._plan = artifact, statistics, plan
        self._layers = {layer.name: layer for layer in layers_of(artifact)}
        self._made: dict[str, IntegerLayer] = {}

    def kind(self, name: str) -> str:
        """Return the type of a layer. Errors: UsageError."""
        return self._layer(name).kind

    def names(self) -> list[str]:
        """List the layers that can become int8, in the order of execution."""
        return list(self._layers)

    def worthwhile(self) -> list[str]:
        """List those that are worth it in general: see default_map."""
        return [name for name, value in default_map(list(self._layers.values())).items() if value == "int8"]

    def layer_error(self, name: str) -> float | None:
        """Return the error of a layer's own output, where the search measured it."""
        return self.integers(name).error

    def half(self, out_dir: Path) -> Artifact:
        """Write the network with all layers float and its weights as half precision."""
        param, weights = self._artifact.files["param"], self._artifact.files["bin"]
        model = read_model(param, weights)
        _halve_float_weights(model)
        out_dir.mkdir(parents=True, exist_ok=True)
        files = {"param": out_dir / param.name, "bin": out_dir / weights.name}
        write_model(model, files["param"], files["bin"])
        return replace(self._artifact, precision="fp16", files=files)

    def integers(self, name: str) -> IntegerLayer:
        """Return a layer in int8. Errors: UsageError, CalibrationError."""
        if name not in self._made:
            self._made[name] = _integers(self._layer(name), self._statistics, self._plan)
        return self._made[name]

    def write(self, precision_map: PrecisionMap, out_dir: Path) -> Artifact:
        """Write the network; what the map does not name stays float. Equal arguments give equal bytes.

        The artifact's precision is "int8" where every layer that can be is int8, else "mixed".
        Errors: UsageError (an unknown layer in the map), CalibrationError (a layer not observed), OSError.
        """
        started = time.monotonic()
        for name in precision_map:
            self._layer(name)
        chosen = [name for name in self._layers if precision_map.get(name) == "int8"]
        made = {name: self.integers(name) for name in chosen}
        param, weights = self._artifact.files["param"], self._artifact.files["bin"]
        model = read_model(param, weights)
        _apply(model, made)
        if self._plan.fp16_weights:
            _halve_float_weights(model)
        out_dir.mkdir(parents=True, exist_ok=True)
        files = {"param": out_dir / param.name, "bin": out_dir / weights.name}
        write_model(model, files["param"], files["bin"])
        precision: Precision = "int8" if len(chosen) == len(self._layers) else "mixed"
        entry = LineageEntry(
            step="quantise",
            tool="edgepose",
            version=__version__,
            arguments={
                "plan": self._plan.to_json(),
                "samples": self._statistics.samples,
                "int8_layers": {name: list(integers.steps) for name, integers in made.items()},
            },
            inputs={path.name: sha256_file(path) for path in (param, weights)},
            outputs={path.name: sha256_file(path) for path in files.values()},
            seconds=time.monotonic() - started,
        )
        return replace(
            self._artifact, precision=precision, files=files, lineage=(*self._artifact.lineage, entry)
        )

    def _layer(self, name: str) -> QuantisableLayer:
        if name not in self._layers:
            raise UsageError(f"{self._artifact.spec.name} has no layer {name!r} that can become int8")
        return self._layers[name]


def _integers(layer: QuantisableLayer, statistics: ActivationStatistics, plan: Plan) -> IntegerLayer:
    blob = statistics.blobs.get(layer.blob)
    if blob is None:
        raise CalibrationError(f"layer {layer.name} was not observed", hint="collect its activations first")
    patches = statistics.patches.get(layer.name)
    if plan.needs_patches and layer.takes_patches and patches is None:
        raise CalibrationError(
            f"the plan {plan.name} needs columns of the input of {layer.name}",
            hint="collect with patches=True",
        )
    return quantise_layer(layer, blob, plan, patches=patches)


def _apply(model: NcnnModel, made: Mapping[str, IntegerLayer]) -> None:
    layers: list[Layer] = []
    for layer in model.layers:
        if layer.name in made:
            layers += _before(layer, made[layer.name])
            _rewrite(layer, made[layer.name])
        layers.append(layer)
    model.layers = layers


def _before(layer: Layer, integers: IntegerLayer) -> list[Layer]:
    """Make the layer in front that scales channel by channel or shifts, and let `layer` read its output.

    ncnn's convolutions take int8 input as it is: a Quantize layer costs what they would have spent
    themselves. It cannot shift, so a zero point needs a Scale layer.
    """
    if integers.factors is None and integers.zero_point == 0:
        return []
    channels = integers.weight.shape[1] // (layer.integer(1) * layer.integer(11, layer.integer(1)))
    scales = np.full(channels, integers.input_scale, np.float32)
    if integers.factors is not None:
        scales /= integers.factors
    if integers.zero_point == 0:
        front = Layer(
            "Quantize", f"{layer.name}_in", params={0: str(channels)}, weights={"scales": raw(scales)}
        )
    else:
        scales = scales * np.float32(_sign(integers))
        shift = np.full(channels, abs(integers.zero_point), np.float32)
        front = Layer(
            "Scale",
            f"{layer.name}_in",
            params={0: str(channels), 1: "1"},
            weights={"scale": raw(scales), "bias": raw(shift)},
        )
    front.bottoms, front.tops = [layer.bottoms[0]], [f"{layer.name}_in"]
    layer.bottoms = list(front.tops)
    return [front]


def _rewrite(layer: Layer, integers: IntegerLayer) -> None:
    key, term = _TERMS[layer.type]
    layer.params[key] = str(term)
    is_gemm = layer.type == "Gemm"
    weight, bias = integers.weight, integers.bias
    weight_scales, input_scale = integers.weight_scales, integers.input_scale
    if integers.zero_point != 0 and bias is not None:
        # The layer in front has scaled already. Zeros at the border are the zero point.
        weight_scales, input_scale = weight_scales * np.float32(input_scale), 1.0
        weight = weight * np.int8(_sign(integers))
        sums = weight.sum(axis=1, dtype=np.int64) * abs(integers.zero_point)
        bias = (bias - sums / weight_scales.astype(np.float64)).astype(np.float32)
        layer.params[_PAD_VALUE] = f"{abs(integers.zero_point)}.0"
    weights = {"weight": tagged(weight)}
    if bias is not None:
        weights["bias"] = tagged(bias) if is_gemm else raw(bias)
    weights["weight_scales"] = raw(weight_scales)
    if not is_gemm:
        weights["input_scales"] = raw(np.array([input_scale], np.float32))
    layer.weights = weights


def _sign(integers: IntegerLayer) -> int:
    """Return -1 where input and weights are written negated.

    ncnn's x86 code fills the border of an int8 blob wrongly with a negative value (padding_x86.cpp: the sign
    bits of the first byte run into the other seven), so every zero point is made positive.
    """
    return -1 if integers.zero_point < 0 else 1


def _halve_float_weights(model: NcnnModel) -> None:
    """Store tagged float32 weights as float16; a weight that leaves its range keeps the layer as it is."""
    for layer in model.layers:
        for name, weight in layer.weights.items():
            if weight.tag is not None and weight.values.dtype == np.float32:
                with np.errstate(over="ignore"):
                    half = weight.values.astype(np.float16)
                if np.isfinite(half).all():
                    layer.weights[name] = tagged(half)


class NcnnCalibrator(Calibrator):
    """Quantises ncnn networks with the quantiser of this module."""

    format = source = label = "ncnn"
    tools = ("ncnn",)

    def observe(self, artifact: Artifact, samples: Sequence[Floats], plan: Plan) -> Quantiser:
        """Run the float network on the samples. Errors: those of collect()."""
        return Quantiser(artifact, collect(artifact, samples, patches=plan.needs_patches), plan)
