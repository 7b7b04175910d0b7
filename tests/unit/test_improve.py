"""Integer layers: ncnn computes what the search computed, and every step of a plan lowers the error."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepose.artifact import Artifact, KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.calibration import improve, ncnn_activations
from edgepose.calibration.improve import IntegerLayer, quantise_layer
from edgepose.calibration.ncnn_activations import ActivationStatistics, WheelNetwork, collect
from edgepose.calibration.ncnn_int8 import Quantiser, layers_of
from edgepose.calibration.ncnn_model import parse_model, raw, tagged, write_model
from edgepose.calibration.plan import Plan, load_plan

pytest.importorskip("ncnn")

CHANNELS, OUTPUTS, HEIGHT, WIDTH = 8, 16, 12, 10
PLAIN = load_plan("plain")
KERNELS = {"1x1": (1, 1, 0), "3x3": (3, 1, 1), "3x3 stride 2": (3, 2, 1)}


def network(
    folder: Path,
    kernel: int,
    stride: int,
    padding: int,
    seed: int = 1,
    *,
    channels: int = CHANNELS,
    mean_weight: float = 0.0,
) -> Artifact:
    """Write a network that doubles its input and convolves it with random weights."""
    random = np.random.default_rng(seed)
    size = OUTPUTS * channels * kernel * kernel
    line = (
        f"Convolution conv 1 1 mid out0 0={OUTPUTS} 1={kernel} 11={kernel} 3={stride} 13={stride} "
        f"4={padding} 14={padding} 5=1 6={size}"
    )
    first = "Input in0 0 1 in0\nBinaryOp twice 1 1 in0 mid 0=2 1=1 2=2.0"
    empty = bytes(4 + 4 * (size + OUTPUTS))
    model = parse_model(f"7767517\n3 3\n{first}\n{line}\n".encode(), empty)
    weights = {
        "weight": tagged((random.standard_normal(size) + mean_weight) / 5),
        "bias": raw(random.standard_normal(OUTPUTS)),
    }
    model.layer("conv").weights = weights
    folder.mkdir(exist_ok=True)
    files = {"param": folder / "one.param", "bin": folder / "one.bin"}
    write_model(model, files["param"], files["bin"])
    out_hw = ((HEIGHT + 2 * padding - kernel) // stride + 1, (WIDTH + 2 * padding - kernel) // stride + 1)
    zero = (0.0, 0.0, 0.0)
    spec = ModelSpec(
        name="one",
        family="test",
        task="pose",
        preprocess=Preprocess("affine", (HEIGHT, WIDTH), "rgb", zero, (1.0, 1.0, 1.0), (0, 0, 0)),
        head=SimccHead(2.0, KeypointSet("none", (), (), (), ())),
        input_names=("input",),
        output_names=("output",),
        license="",
        parameters=0,
    )
    return Artifact(
        spec=spec,
        format="ncnn",
        precision="fp32",
        files=files,
        input_shapes={"input": (-1, channels, HEIGHT, WIDTH)},
        output_shapes={"output": (-1, OUTPUTS, *out_hw)},
        tensor_names={"input": "in0", "output": "out0"},
    )


def swish_samples(count: int, seed: int = 2, channels: int = CHANNELS) -> list[np.ndarray]:
    """Make inputs as a Swish leaves them: from -0.28 up, some channels much wider than others."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, channels, HEIGHT, WIDTH)) * 2
    x *= 2.0 ** random.uniform(-3, 3, (1, channels, 1, 1))
    return list((x / (1 + np.exp(-x))).astype(np.float32)[:, None])


def integer_output(
    layer: IntegerLayer, sample: np.ndarray, kernel: int, stride: int, padding: int
) -> np.ndarray:
    """Compute an integer convolution as IntegerLayer defines it, in float64."""
    factors = np.ones(CHANNELS) if layer.factors is None else layer.factors.astype(np.float64)
    scaled = 2 * sample[0].astype(np.float64) * layer.input_scale / factors[:, None, None]
    integers = np.clip(np.rint(scaled) + layer.zero_point, -127, 127) - layer.zero_point
    padded = np.pad(integers, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    weight = layer.weight.reshape(OUTPUTS, CHANNELS, kernel, kernel).astype(np.float64)
    output = np.einsum("ocij,chwij->ohw", weight, windows)
    output /= (layer.weight_scales.astype(np.float64) * layer.input_scale)[:, None, None]
    assert layer.bias is not None
    return output + layer.bias[:, None, None]


@pytest.mark.parametrize("skewed_down", [False, True])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("steps", [(), ("zero_points",), ("equalisation",), ("zero_points", "equalisation")])
def test_ncnn_computes_the_integer_layer(
    tmp_path: Path, steps: tuple[str, ...], name: str, skewed_down: bool
) -> None:
    """Hold ncnn's borders, zero points and channel scales against the definition."""
    kernel, stride, padding = KERNELS[name]
    artifact = network(tmp_path / "float", kernel, stride, padding)
    samples = [-x if skewed_down else x for x in swish_samples(12)]
    statistics = collect(artifact, samples)
    plan = dataclasses.replace(PLAIN, **dict.fromkeys(steps, True))
    made = Quantiser(artifact, statistics, plan).write({"conv": "int8"}, tmp_path / "int8")
    layer = quantise_layer(
        layers_of(artifact)[0], statistics.blobs["mid"], plan, patches=statistics.patches["conv"]
    )
    assert (layer.zero_point != 0) == ("zero_points" in steps)
    assert (layer.factors is not None) == ("equalisation" in steps)
    assert layer.zero_point >= 0 if skewed_down else layer.zero_point <= 0
    wheel = WheelNetwork(made.files["param"], made.files["bin"], keep_blobs=False, int8=True)
    for sample in samples[:3]:
        wanted = integer_output(layer, sample, kernel, stride, padding)
        got = wheel.run("in0", sample, ["out0"])[0]
        # A value that lies between two steps may be rounded the other way in float32: one step of one weight.
        step = 127 / float((layer.weight_scales * layer.input_scale).min())
        assert np.abs(got - wanted).max() <= 1.01 * step
        assert np.abs(got - wanted).mean() <= 0.002 * step


@pytest.mark.parametrize("stride", [1, 2])
def test_sums_that_ncnn_cannot_hold_are_avoided(tmp_path: Path, stride: int) -> None:
    """3x3 convolutions at stride 1 hold 576 times the sums; a zero point makes those of wide layers large."""
    artifact = network(tmp_path / "float", 3, stride, 1, channels=512, mean_weight=0.5)
    samples = swish_samples(6, channels=512)
    statistics = collect(artifact, samples)
    plan = dataclasses.replace(PLAIN, zero_points=True)
    made = Quantiser(artifact, statistics, plan).write({"conv": "int8"}, tmp_path / "int8")
    patches = statistics.patches["conv"]
    layer = quantise_layer(layers_of(artifact)[0], statistics.blobs["mid"], plan, patches=patches)
    assert (layer.zero_point == 0) == (stride == 1)
    networks = [
        WheelNetwork(a.files["param"], a.files["bin"], keep_blobs=False, int8=True) for a in (made, artifact)
    ]
    got, wanted = (wheel.run("in0", samples[0], ["out0"])[0] for wheel in networks)
    assert np.abs(got - wanted).mean() < 0.02 * np.abs(wanted).mean()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(sorted(KERNELS)))
def test_every_step_lowers_the_error(tmp_path_factory: pytest.TempPathFactory, seed: int, name: str) -> None:
    artifact = network(tmp_path_factory.mktemp("net"), *KERNELS[name], seed=seed)
    statistics = collect(artifact, swish_samples(12, seed))
    errors = []
    for count in range(5):
        steps = ("zero_points", "equalisation", "rounding", "bias_correction")[:count]
        errors.append(
            measured(artifact, statistics, dataclasses.replace(PLAIN, **dict.fromkeys(steps, True)))
        )
    plain = measured(artifact, statistics, dataclasses.replace(PLAIN, bias_correction=True))
    assert errors[4] < 0.5 * plain
    assert errors[1:] == sorted(errors[1:], reverse=True)


def measured(artifact: Artifact, statistics: ActivationStatistics, plan: Plan) -> float:
    layer = quantise_layer(
        layers_of(artifact)[0], statistics.blobs["mid"], plan, patches=statistics.patches["conv"]
    )
    return float("inf") if layer.error is None else layer.error


@pytest.mark.parametrize("reads_input", [False, True])
def test_the_networks_own_input_is_not_shifted(tmp_path: Path, reads_input: bool) -> None:
    """ncnn would scale it in place, in memory that is not its own."""
    artifact = network(tmp_path, 3, 1, 1)
    statistics = collect(artifact, swish_samples(12))
    layer = dataclasses.replace(layers_of(artifact)[0], reads_input=reads_input)
    plan = dataclasses.replace(PLAIN, zero_points=True, equalisation=True)
    made = quantise_layer(layer, statistics.blobs["mid"], plan, patches=statistics.patches["conv"])
    assert (made.zero_point == 0) == reads_input
    assert ("zero_point" in made.steps) == (not reads_input)


@pytest.mark.parametrize(
    ("step", "share", "kept"),
    [
        ("zero_point", 0.79, True),
        ("zero_point", 0.81, False),  # it costs a pass over the input
        ("equalisation", 0.79, True),
        ("equalisation", 0.81, False),  # the ranges of single channels are hardly known
        ("rounding", 0.99, True),
        ("rounding", 1.0, False),
        ("bias_correction", 0.99, True),
        ("bias_correction", 1.0, False),
    ],
)
def test_a_step_is_kept_where_it_gains_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, share: float, kept: bool
) -> None:
    artifact = network(tmp_path, 1, 1, 0)
    statistics = collect(artifact, swish_samples(12))
    errors = iter([0.5, 0.5 * share])
    monkeypatch.setattr(improve._Search, "_error", lambda self, candidate: next(errors))
    plan = dataclasses.replace(PLAIN, **{step.replace("zero_point", "zero_points"): True})
    layer = layers_of(artifact)[0]
    made = quantise_layer(layer, statistics.blobs["mid"], plan, patches=statistics.patches["conv"])
    assert made.steps == ((step,) if kept else ())
    assert made.error == (0.5 * share if kept else 0.5)


def test_few_columns_leave_plain_rounding(tmp_path: Path) -> None:
    artifact = network(tmp_path, 1, 1, 0)
    statistics = collect(artifact, swish_samples(1))
    layer = quantise_layer(
        layers_of(artifact)[0],
        statistics.blobs["mid"],
        load_plan("accurate"),
        patches=statistics.patches["conv"],
    )
    assert layer.steps == ()
    assert layer.error is None


def test_an_input_of_zeros_is_quantised(tmp_path: Path) -> None:
    artifact = network(tmp_path / "float", 3, 1, 1)
    zeros = [np.zeros((1, CHANNELS, HEIGHT, WIDTH), np.float32)] * 3
    statistics = collect(artifact, zeros)
    made = Quantiser(artifact, statistics, load_plan("accurate")).write({"conv": "int8"}, tmp_path / "int8")
    wheel = WheelNetwork(made.files["param"], made.files["bin"], keep_blobs=False, int8=True)
    bias = layers_of(artifact)[0].bias
    assert bias is not None
    output = wheel.run("in0", zeros[0], ["out0"])[0]
    assert np.allclose(output, bias[:, None, None], atol=1e-5)


def test_the_ranges_of_channels_are_those_of_all_samples(tmp_path: Path) -> None:
    artifact = network(tmp_path, 1, 1, 0)
    random = np.random.default_rng(3)
    samples = [random.standard_normal((1, CHANNELS, HEIGHT, WIDTH)).astype(np.float32) for _ in range(3)]
    blob = collect(artifact, samples).blobs["mid"]
    seen = 2 * np.concatenate(samples)
    assert blob.channel_lowest == pytest.approx(seen.min(axis=(0, 2, 3)))
    assert blob.channel_highest == pytest.approx(seen.max(axis=(0, 2, 3)))
    assert blob.histogram.count == seen.size


def test_columns_are_drawn_from_all_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncnn_activations, "MAX_PATCHES", 30)
    artifact = network(tmp_path, 1, 1, 0)
    samples = [np.full((1, CHANNELS, HEIGHT, WIDTH), n, np.float32) for n in range(1, 21)]
    columns = collect(artifact, samples).patches["conv"]
    assert columns.shape == (30, CHANNELS)
    drawn = np.unique(columns / 2, return_counts=True)
    assert set(drawn[0]) <= set(range(1, 21)) and len(drawn[0]) > 10 and drawn[1].max() < 8 * CHANNELS
    assert collect(artifact, samples, patches=False).patches == {}
