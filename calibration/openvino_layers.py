"""Better integers for OpenVINO's dense convolutions than nncf's nearest ones, from what they read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgepose.calibration.plan import Plan
from edgepose.calibration.rounding import channel_factors, round_weights

Floats = NDArray[np.float32]
Moments = NDArray[np.float64]

# Samples that are looked at, and places in all of them: a first layer has tens of thousands in each.
_MAX_SAMPLES = 96
_PLACES = 32768
_KEPT_PLACES = 2048
# Columns that are multiplied at once: one by one, wide layers wait for memory.
_COLUMNS = 2048
# The moments of wider layers (a 3x3 kernel over 256 channels) would take too much memory.
_MAX_FEATURES = 2304
# Weights of 7 bits (see openvino_int8) on the steps of 8.
_LIMIT = 64
HALF_STEPS = 127
_SEED = 20261128
# Operations that hand on the steps of their inputs.
_PASSING = ("Concat", "MaxPool")

_MAX_FACTOR = 16.0
# Samples show too little of a single channel: room above what they show.
_HEADROOM = 1.5


@dataclass(frozen=True, slots=True)
class BetterConvolution:
    """A convolution on integers. Its input is divided by `factors` [C] and rounded to nncf's steps from
    `lowest` to `highest`; `weight`, in the constant's shape, holds the factors and is on steps of `steps`
    [rows]. missing [rows]: what the outputs lack on average. is_searched: the rounding is not the nearest.
    """

    weight: Floats
    steps: Floats
    lowest: float
    highest: float
    factors: Floats | None
    missing: Floats
    is_searched: bool


@dataclass(frozen=True, slots=True)
class _Geometry:
    """Where nncf's layer is in the network, and what it does."""

    name: str
    shape: tuple[int, ...]
    weight: Floats  # [rows, features]
    steps: Floats  # [rows]
    lowest: float
    highest: float
    levels: int
    strides: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    is_only_reader: bool


class _Inputs:
    """What a layer reads: second moments and some columns, of the even and of the odd samples."""

    def __init__(self, layer: _Geometry, samples: int) -> None:
        features = layer.weight.shape[1]
        self._layer = layer
        self._places = max(1, _PLACES // samples)
        self._kept = max(1, _KEPT_PLACES // samples)
        self.moments: list[Moments] = [np.zeros((features, features)) for _ in range(2)]
        self.counts = [0, 0]
        self.channel_lowest = np.zeros(layer.shape[1], np.float32)
        self.channel_highest = np.zeros(layer.shape[1], np.float32)
        self._columns: tuple[list[Floats], list[Floats]] = ([], [])
        self._waiting: tuple[list[Floats], list[Floats]] = ([], [])

    def add(self, blob: Floats, half: int, random: np.random.Generator) -> None:
        """Take in the input [C, H, W] of one sample."""
        columns = _columns(self._layer, blob, self._places, random)
        self._waiting[half].append(columns)
        if sum(len(each) for each in self._waiting[half]) >= _COLUMNS:
            self._multiply(half)
        self.counts[half] += len(columns)
        self.channel_lowest = np.minimum(self.channel_lowest, blob.min(axis=(1, 2)))
        self.channel_highest = np.maximum(self.channel_highest, blob.max(axis=(1, 2)))
        self._columns[half].append(columns[random.permutation(len(columns))[: self._kept]])

    def _multiply(self, half: int) -> None:
        if self._waiting[half]:
            columns = np.concatenate(self._waiting[half])
            self._waiting[half].clear()
            self.moments[half] += columns.T @ columns

    def finish(self) -> None:
        """End the input."""
        for half in range(2):
            self._multiply(half)

    def columns(self, half: int) -> Floats:
        """Return columns of the even or the odd samples, [n, features]."""
        return np.concatenate(self._columns[half])


def better_convolutions(
    quantised: Any, original: Any, names: Iterable[str], samples: Sequence[Floats], plan: Plan
) -> dict[str, list[BetterConvolution]]:
    """Propose integers for the named dense convolutions, by name: searched ones where they bring the layer's
    outputs nearer, and searched ones behind an equalised input.

    quantised: the network by nncf, with float weights in front of their FakeQuantize. original: the float
    one. samples [1, 3, H, W], the first ones of which are looked at: a layer is fitted to the even ones, and
    the odd ones must agree.
    """
    operations = {op.get_friendly_name(): op for op in quantised.get_ordered_ops()}
    layers = [layer for name in names if (layer := _geometry(operations[name])) is not None]
    if not layers or len(samples) < 2:
        return {}
    samples = samples[:_MAX_SAMPLES]
    seen = [_Inputs(layer, len(samples)) for layer in layers]
    random = np.random.default_rng(_SEED)
    for number, blobs in enumerate(_blobs(original, [layer.name for layer in layers], samples)):
        for inputs, blob in zip(seen, blobs, strict=True):
            inputs.add(blob, number % 2, random)
    for inputs in seen:
        inputs.finish()
    return {
        layer.name: _Search(layer, inputs, plan).run() for layer, inputs in zip(layers, seen, strict=True)
    }


class _Search:
    """Fits one layer to the even samples, and asks the odd ones."""

    def __init__(self, layer: _Geometry, inputs: _Inputs, plan: Plan) -> None:
        self._layer, self._inputs, self._plan = layer, inputs, plan
        self._fit, self._check = inputs.columns(0), inputs.columns(1)
        self._power = np.maximum((self._check @ layer.weight.T).var(axis=0, dtype=np.float64), 1e-12)
        self._area = layer.weight.shape[1] // layer.shape[1]

    def run(self) -> list[BetterConvolution]:
        layer, moments = self._layer, self._inputs.moments
        # What is worth it on the odd samples is surer with all of them.
        every = moments[0] + moments[1] if self._plan.rounding else None
        ones = np.ones(layer.shape[1], np.float32)
        found = []
        if self._plan.rounding:
            nearest, searched = (
                self._error(self._candidate(ones, layer.lowest, layer.highest, each))
                for each in (None, moments[0])
            )
            if searched < nearest:
                found.append(self._candidate(ones, layer.lowest, layer.highest, every))
        if self._plan.equalisation and layer.is_only_reader:
            found.append(self._candidate(*self._evenest(), every))
        return found

    def _evenest(self) -> tuple[Floats, float, float]:
        """Return what to divide the channels of the input by, and the range then: the best without a search
        of the rounding, which takes long and makes up for the same share in all of them.
        """
        tries = [(factors, *self._range(factors)) for factors in self._factors()]
        return min(tries, key=lambda each: self._error(self._candidate(each[0], each[1], each[2], None)))

    def _factors(self) -> list[Floats]:
        lows, highs = self._inputs.channel_lowest, self._inputs.channel_highest
        ranges = np.maximum(highs, -lows).astype(np.float64)
        weights = np.abs(self._layer.weight.reshape(-1, len(ranges), self._area)).max(axis=(0, 2))
        return channel_factors(ranges, weights, _MAX_FACTOR)

    def _range(self, factors: Floats) -> tuple[float, float]:
        """Return the range of the divided input, with 0 on one of its steps."""
        low = float((self._inputs.channel_lowest / factors).min()) * _HEADROOM
        high = float((self._inputs.channel_highest / factors).max()) * _HEADROOM
        if high <= low:
            return self._layer.lowest, self._layer.highest
        steps = self._layer.levels - 1
        below = round(-low * steps / (high - low))
        step = max(-low / max(below, 1), high / max(steps - below, 1))
        return -below * step, (steps - below) * step

    def _candidate(
        self, factors: Floats, lowest: float, highest: float, moments: Moments | None
    ) -> BetterConvolution:
        layer, inputs = self._layer, self._inputs
        repeated = np.repeat(factors, self._area)
        weight = layer.weight * repeated
        is_plain = bool((factors == 1).all())
        steps = layer.steps
        if not is_plain:
            steps = (np.maximum(np.abs(weight).max(axis=1), 1e-12) / (HALF_STEPS / 2)).astype(np.float32)
        exact = weight / steps[:, None]
        integers, is_searched = np.clip(np.rint(exact), -_LIMIT, _LIMIT), False
        if moments is not None:
            scaled = moments / np.outer(repeated, repeated)
            # What rounding the input adds to its moments.
            count = inputs.counts[0] if moments is inputs.moments[0] else sum(inputs.counts)
            step = (highest - lowest) / (layer.levels - 1)
            scaled[np.diag_indices_from(scaled)] += count * step * step / 12
            found = round_weights(exact, scaled, -_LIMIT, _LIMIT)
            if found is not None:
                integers, is_searched = found, True
        rounded = (integers * steps[:, None]).astype(np.float32)
        made = BetterConvolution(
            rounded.reshape(layer.shape),
            steps,
            lowest,
            highest,
            None if is_plain else factors,
            np.zeros(len(rounded), np.float32),
            is_searched,
        )
        missing = self._residual(made, self._fit).mean(axis=0, dtype=np.float64)
        return replace(made, missing=missing.astype(np.float32))

    def _error(self, candidate: BetterConvolution) -> float:
        """Return the mean square error of the outputs on the columns of the odd samples, relative to the
        variance of each of them: layers that follow weigh small channels as much as large ones.
        """
        residual = self._residual(candidate, self._check)
        if not self._plan.bias_correction:
            residual += candidate.missing
        return float((np.square(residual, dtype=np.float64) / self._power).mean())

    def _residual(self, candidate: BetterConvolution, columns: Floats) -> Floats:
        """Return what is missing in the outputs, [n, rows]."""
        divided = columns
        if candidate.factors is not None:
            divided = (columns / np.repeat(candidate.factors, self._area)).astype(np.float32)
        step = (candidate.highest - candidate.lowest) / (self._layer.levels - 1)
        kept = np.clip(divided, candidate.lowest, candidate.highest)
        rounded = (np.rint((kept - candidate.lowest) / step) * step + candidate.lowest).astype(np.float32)
        weight = candidate.weight.reshape(self._layer.weight.shape)
        residual: Floats = columns @ self._layer.weight.T - rounded @ weight.T - candidate.missing
        return residual


def _columns(layer: _Geometry, blob: Floats, limit: int, random: np.random.Generator) -> Floats:
    """Return what the kernel sees at up to `limit` places of an input [C, H, W], as [n, features]."""
    windows = sliding_window_view(np.pad(blob, ((0, 0), *layer.pads)), layer.shape[2:], axis=(1, 2))
    windows = windows[:, :: layer.strides[0], :: layer.strides[1]]
    places = windows.shape[1] * windows.shape[2]
    chosen = np.arange(places)
    if places > limit:
        chosen = np.sort(random.choice(places, limit, replace=False))
    rows, columns = np.divmod(chosen, windows.shape[2])
    seen = windows[:, rows, columns]  # [C, n, kernel height, kernel width]
    return np.ascontiguousarray(seen.transpose(1, 0, 2, 3).reshape(len(chosen), -1))


def _geometry(operation: Any) -> _Geometry | None:
    """Describe a convolution that nncf quantised; None for one that is not searched."""
    if operation.get_type_name() != "Convolution":
        return None
    weights = operation.input_value(1).get_node()
    found = _input_fakes(operation)
    if found is None or weights.get_type_name() != "FakeQuantize":
        return None
    inputs = found[0]
    constant, attributes = weights.input_value(0).get_node(), operation.get_attributes()
    if constant.get_type_name() != "Constant":
        return None
    ranges = [inputs.input_value(index).get_node().data for index in (1, 2)]
    shape = constant.data.shape
    is_plain = (
        len(shape) == 4
        and set(attributes["dilations"]) == {1}
        and attributes["auto_pad"] == "explicit"
        and all(values.size == 1 for values in ranges)
    )
    if not is_plain or np.prod(shape[1:]) > _MAX_FEATURES:
        return None
    (top, left), (bottom, right) = attributes["pads_begin"], attributes["pads_end"]
    low, high = (weights.input_value(index).get_node().data.reshape(-1) for index in (1, 2))
    steps = (high - low) / (weights.get_attributes()["levels"] - 1)
    return _Geometry(
        name=operation.get_friendly_name(),
        shape=shape,
        weight=constant.data.reshape(shape[0], -1).copy(),
        steps=np.broadcast_to(steps, (shape[0],)).astype(np.float32),
        lowest=float(ranges[0].item()),
        highest=float(ranges[1].item()),
        levels=inputs.get_attributes()["levels"],
        strides=tuple(attributes["strides"]),
        pads=((top, bottom), (left, right)),
        is_only_reader=operation.input_value(0).get_node() == inputs
        and len(inputs.output(0).get_target_inputs()) == 1,
    )


def passed_through(operation: Any) -> set[str]:
    """Name the operations between an operation and the FakeQuantize of its input that change no value."""
    names, waiting = set(), [operation.input_value(0).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_type_name() in _PASSING:
            names.add(node.get_friendly_name())
            waiting += [node.input_value(index).get_node() for index in range(node.get_input_size())]
    return names


def _input_fakes(operation: Any) -> list[Any] | None:
    """Return the FakeQuantize operations of an input; None unless it has them, all with one range."""
    found, waiting = [], [operation.input_value(0).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_type_name() == "FakeQuantize":
            found.append(node)
        elif node.get_type_name() in _PASSING:
            waiting += [node.input_value(index).get_node() for index in range(node.get_input_size())]
        else:
            return None
    ranges = {tuple(node.input_value(i).get_node().data.tobytes() for i in range(1, 5)) for node in found}
    return found if len(ranges) == 1 else None


def _blobs(model: Any, names: Sequence[str], samples: Sequence[Floats]) -> Iterator[list[Floats]]:
    """Run the float network and give, for each sample, what the named operations read, [C, H, W]."""
    import openvino

    copy = model.clone()
    operations = {op.get_friendly_name(): op for op in copy.get_ordered_ops()}
    sources = {name: operations[name].input_value(0) for name in names}
    # Several layers may read the same blob, and a model returns it once.
    keys = {name: (out.get_node().get_friendly_name(), out.get_index()) for name, out in sources.items()}
    outputs = {keys[name]: source for name, source in sources.items()}
    probe = openvino.Model(list(outputs.values()), copy.get_parameters(), "inputs of layers")
    compiled = openvino.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    places = {key: place for place, key in enumerate(outputs)}
    for sample in samples:
        results = compiled(sample)
        yield [results[places[keys[name]]][0] for name in names]
