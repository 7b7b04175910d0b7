"""Turn one float layer into integers, and search for better ones: ranges, channel scales, rounding, bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgepose.calibration.ncnn_activations import BlobStatistics
from edgepose.calibration.ncnn_layers import QuantisableLayer
from edgepose.calibration.observers import LEVELS, Observer, threshold, weight_scales
from edgepose.calibration.plan import Plan
from edgepose.calibration.rounding import channel_factors, round_weights

Floats = NDArray[np.float32]

# At which multiples of the largest input equalisation clips: samples show too little of a single channel.
_SHARES = (1.6, 1.3)

_MAX_FACTOR = 64.0

# Room above the observer's choice: with a zero point a step is half as wide, and what a new picture has above
# the range costs more than a wider step.
_HEADROOM = 1.25

# A zero point costs a pass over the input at run time, and the ranges of single channels are known less well
# than that of all: the error must fall to these shares.
_ZERO_POINT_GAIN = 0.8
_EQUALISATION_GAIN = 0.8

# ncnn's convolutions of 3x3 at stride 1 (Winograd 4x3) hold the sums of products times this in 32 bits; other
# pictures than those of the calibration may have sums as much larger.
_WINOGRAD_SCALE, _WINOGRAD_ROOM = 576, 1.5

# A search of the rounding takes the cube of this.
_MAX_FEATURES = 4096

MIN_PATCHES = 32


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """A layer in int8: y = (q - zero_point) weight^T / (weight_scales * input_scale) + bias.

    q = round(x * input_scale / factors) + zero_point, clipped to -127..127. weight [rows, features] int8;
    weight_scales [rows], or [1] for a Gemm; factors [channels] or None for ones. steps: what was kept of the
    plan. error: mean square error of the output on the columns it was checked on, relative to the output's
    mean square; None where nothing was measured.
    """

    weight: NDArray[np.int8]
    weight_scales: Floats
    input_scale: float
    bias: Floats | None
    factors: Floats | None = None
    zero_point: int = 0
    steps: tuple[str, ...] = ()
    error: float | None = None


def quantise_layer(
    layer: QuantisableLayer, blob: BlobStatistics, plan: Plan, *, patches: Floats | None = None
) -> IntegerLayer:
    """Quantise a layer, with those steps of the plan that lower the error of its output.

    patches: columns [n, features] of its input; fewer than MIN_PATCHES, or none, leave the plain rounding.
    """
    result = _rounded(layer, LEVELS / threshold(blob.histogram, plan.observer))
    if not layer.takes_patches or patches is None or len(patches) < MIN_PATCHES or not plan.needs_patches:
        return result
    return _Search(layer, blob, patches).run(result, plan)


def _rounded(
    layer: QuantisableLayer, input_scale: float, factors: Floats | None = None, zero_point: int = 0
) -> IntegerLayer:
    """Round the weights, with the factors folded in, to the nearest integers."""
    weight = layer.weight
    if factors is not None:
        weight = weight * np.repeat(factors, weight.shape[1] // len(factors))
    scales = weight_scales(weight.reshape(1, -1) if layer.kind == "Gemm" else weight)
    integers = np.clip(np.rint(weight * scales[:, None]), -LEVELS, LEVELS).astype(np.int8)
    return IntegerLayer(integers, scales, float(np.float32(input_scale)), layer.bias, factors, zero_point)


class _Search:
    """The steps on one layer: fitted on the even columns, kept where the odd ones agree."""

    def __init__(self, layer: QuantisableLayer, blob: BlobStatistics, patches: Floats) -> None:
        self._layer, self._blob = layer, blob
        self._fit, self._check = patches[::2], patches[1::2]
        self._fit_target = self._fit @ layer.weight.T
        self._check_target = self._check @ layer.weight.T
        self._per_channel = layer.weight.shape[1] // layer.channels

    def run(self, start: IntegerLayer, plan: Plan) -> IntegerLayer:
        best, best_error = start, self._error(start)
        steps: list[str] = []
        is_convolution = self._layer.kind == "Convolution"
        has_bias = self._layer.bias is not None
        trials: tuple[tuple[bool, str, float, Callable[[IntegerLayer], IntegerLayer]], ...] = (
            (
                plan.zero_points and is_convolution and has_bias,
                "zero_point",
                _ZERO_POINT_GAIN,
                lambda best: self._shifted(best, plan.observer),
            ),
            (plan.equalisation and is_convolution, "equalisation", _EQUALISATION_GAIN, self._equalised),
            (plan.rounding and start.weight.shape[1] <= _MAX_FEATURES, "rounding", 1.0, self._searched),
            (plan.bias_correction and has_bias, "bias_correction", 1.0, self._corrected),
        )
        for is_wanted, name, gain, trial in trials:
            if not is_wanted:
                continue
            candidate = trial(best)
            error = self._error(candidate)
            if error < gain * best_error:
                best, best_error = candidate, error
                steps.append(name)
        return replace(best, steps=tuple(steps), error=best_error)

    def _shifted(self, best: IntegerLayer, observer: Observer) -> IntegerLayer:
        """Use all 255 steps for an input that is not symmetric about zero, such as a Swish makes."""
        histogram = self._blob.histogram
        # The Scale layer works in place, and ncnn cannot do that to a caller's own memory.
        if self._layer.reads_input:
            return best
        # Nearly all steps lie on the wider side.
        wide = _HEADROOM * threshold(histogram, observer, levels=2 * LEVELS)
        low, high = max(histogram.lowest, -wide), min(histogram.highest, wide)
        if high >= -low:
            return _with_zero_point(self._layer, low, wide) or best
        return _with_zero_point(self._layer, -wide, high) or best

    def _equalised(self, best: IntegerLayer) -> IntegerLayer:
        """Divide each input channel by a factor, and multiply its weights by it: exact before rounding."""
        by_channel = (-1, self._layer.channels, self._per_channel)
        lows = np.minimum(self._blob.channel_lowest, 0).astype(np.float64)
        highs = np.maximum(self._blob.channel_highest, 0).astype(np.float64)
        ranges = np.maximum(highs, -lows)
        weights = np.abs(self._layer.weight.reshape(by_channel)).max(axis=(0, 2)).astype(np.float64)
        candidates = []
        for factors in channel_factors(ranges, weights, _MAX_FACTOR):
            low, high = float((lows / factors).min()), float((highs / factors).max())
            for share in _SHARES:
                if best.zero_point:
                    candidates.append(_with_zero_point(self._layer, low, high * share, factors))
                elif max(-low, high) > 0:
                    candidates.append(_rounded(self._layer, LEVELS / (max(-low, high) * share), factors))
        return self._best_fit([best, *(candidate for candidate in candidates if candidate is not None)])

    def _best_fit(self, candidates: list[IntegerLayer]) -> IntegerLayer:
        errors = [self._mean_square_error(c, self._fit, self._fit_target) for c in candidates]
        return candidates[int(np.argmin(errors))]

    def _searched(self, current: IntegerLayer) -> IntegerLayer:
        inputs = self._quantised(current, self._fit).astype(np.float64)
        exact = self._exact_integers(current)
        integers = round_weights(exact, inputs.T @ inputs / len(inputs), -LEVELS, LEVELS)
        return current if integers is None else replace(current, weight=integers.astype(np.int8))

    def _exact_integers(self, current: IntegerLayer) -> Floats:
        """Return what the weights would be, in units of their steps, without rounding."""
        exact = self._layer.weight * current.weight_scales[:, None]
        if current.factors is not None:
            exact *= np.repeat(current.factors, self._per_channel)
        return exact

    def _corrected(self, current: IntegerLayer) -> IntegerLayer:
        if current.bias is None:
            return current
        sums = self._sums(current, self._fit)
        mean = self._residual(current, sums, self._fit, self._fit_target).mean(axis=0, dtype=np.float64)
        return replace(current, bias=(current.bias + mean).astype(np.float32))

    def _error(self, candidate: IntegerLayer) -> float:
        power = _mean_square(self._check_target)
        error = self._mean_square_error(candidate, self._check, self._check_target)
        return error / power if power > 0 else error

    def _mean_square_error(self, candidate: IntegerLayer, columns: Floats, target: Floats) -> float:
        """Return the mean square error of the output; infinity where ncnn's sums may overflow."""
        sums = self._sums(candidate, columns)
        if self._may_overflow(candidate, sums):
            return math.inf
        return _mean_square(self._residual(candidate, sums, columns, target))

    def _may_overflow(self, candidate: IntegerLayer, sums: Floats) -> bool:
        layer = self._layer
        shape = (layer.kernel_hw, layer.stride_hw, layer.dilation_hw)
        if layer.kind != "Convolution" or shape != ((3, 3), (1, 1), (1, 1)):
            return False
        # The zero point is in ncnn's sums; the bias takes it off again.
        offset = candidate.zero_point * candidate.weight.sum(axis=1, dtype=np.int64)
        largest = float(np.abs(sums + offset).max()) if sums.size else 0.0
        return _WINOGRAD_ROOM * _WINOGRAD_SCALE * largest >= 2**31

    def _sums(self, candidate: IntegerLayer, columns: Floats) -> Floats:
        """Return the products of integers, [n, rows]."""
        sums: Floats = self._quantised(candidate, columns) @ candidate.weight.astype(np.float32).T
        return sums

    def _quantised(self, candidate: IntegerLayer, columns: Floats) -> Floats:
        """Return the columns as the integers that ncnn makes of them, less the zero point."""
        if self._layer.kind == "Gemm":
            scales = LEVELS / np.maximum(np.abs(columns).max(axis=1, keepdims=True), np.float32(1e-30))
            integers: Floats = np.rint(columns * scales)
            return integers
        scaled = columns * np.float32(candidate.input_scale)
        if candidate.factors is not None:
            scaled /= np.repeat(candidate.factors, self._per_channel)
        integers = np.clip(np.rint(scaled), -LEVELS - candidate.zero_point, LEVELS - candidate.zero_point)
        return integers

    def _residual(self, candidate: IntegerLayer, sums: Floats, columns: Floats, target: Floats) -> Floats:
        """Return what is missing in the integer layer's output, [n, rows]; sums: of its integers."""
        output = sums.copy()
        if self._layer.kind == "Gemm":
            largest = np.maximum(np.abs(columns).max(axis=1, keepdims=True), np.float32(1e-30))
            output *= largest / (LEVELS * candidate.weight_scales)
        else:
            output /= candidate.weight_scales * np.float32(candidate.input_scale)
        residual: Floats = target - output
        if candidate.bias is not None and self._layer.bias is not None:
            residual -= candidate.bias - self._layer.bias
        return residual


def _with_zero_point(
    layer: QuantisableLayer, low: float, high: float, factors: Floats | None = None
) -> IntegerLayer | None:
    """Spread low..high over -127..127; None where that is no finer than the symmetric way."""
    if high - low <= 0 or high - low >= 1.9 * max(high, -low):
        return None
    scale = 2 * LEVELS / (high - low)
    return _rounded(layer, scale, factors, -LEVELS - round(low * scale))


def _mean_square(values: Floats) -> float:
    total = float(np.square(values, dtype=np.float64).mean()) if values.size else 0.0
    return total if math.isfinite(total) else math.inf
