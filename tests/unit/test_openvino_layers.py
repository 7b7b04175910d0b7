"""The integers that are searched for OpenVINO: it computes what the search computed, nearer than nncf's."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.artifact import Artifact, KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.calibration.agreement import output_error
from edgepose.calibration.openvino_int8 import OpenvinoCalibrator, OpenvinoQuantiser
from edgepose.calibration.plan import Plan, load_plan
from edgepose.converters.engine import run_engine
from edgepose.errors import CalibrationError

nncf = pytest.importorskip("nncf")
openvino = pytest.importorskip("openvino")

ACCURATE = load_plan("accurate")
CHANNELS, ROWS, HEIGHT, WIDTH = 6, 8, 24, 20
# Ranges of channels that differ by orders of magnitude.
GAINS = np.array([8, 0.05, 1, 0.1, 4, 0.2], np.float32).reshape(1, -1, 1, 1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Write a network: uneven channels, a convolution, which is also put out, and one behind a pooling."""
    from openvino import opset13 as op

    random = np.random.default_rng(3)

    def convolved(source: Any, weight: np.ndarray, stride: int, name: str) -> Any:
        pads = [weight.shape[-1] // 2] * 2
        constant = op.constant(weight.astype(np.float32))
        made = op.convolution(source, constant, [stride] * 2, pads, pads, [1, 1], name=name)
        return op.add(made, op.constant(np.full((1, len(weight), 1, 1), 0.3, np.float32)), name=f"{name}+")

    source = op.parameter([-1, CHANNELS, HEIGHT, WIDTH], np.float32, name="input")
    first = convolved(
        op.multiply(source, op.constant(GAINS)),
        random.standard_normal((ROWS, CHANNELS, 3, 3)) / GAINS,  # so that every channel counts
        2,
        "uneven",
    )
    pooled = op.max_pool(op.swish(first), [1, 1], [1, 1], [1, 1], [1, 1], [3, 3])
    both = op.concat([op.swish(first), pooled.output(0)], axis=1)
    last = convolved(both, random.standard_normal((4, 2 * ROWS, 1, 1)), 1, "behind")
    model = openvino.Model([op.result(first), op.result(last)], [source], "uneven")
    for port, name in zip((*model.inputs, *model.outputs), ("input", "first", "last"), strict=True):
        port.tensor.set_names({name})
    folder = tmp_path_factory.mktemp("uneven")
    openvino.save_model(model, str(folder / "one.xml"), compress_to_fp16=False)
    zero = (0.0, 0.0, 0.0)
    spec = ModelSpec(
        name="uneven",
        family="test",
        task="pose",
        preprocess=Preprocess("affine", (HEIGHT, WIDTH), "rgb", zero, (1.0, 1.0, 1.0), (0, 0, 0)),
        head=SimccHead(2.0, KeypointSet("none", (), (), (), ())),
        input_names=("input",),
        output_names=("first", "last"),
        license="",
        parameters=0,
    )
    half = (HEIGHT // 2, WIDTH // 2)
    return Artifact(
        spec=spec,
        format="openvino",
        precision="fp32",
        files={"xml": folder / "one.xml", "bin": folder / "one.bin"},
        input_shapes={"input": (-1, CHANNELS, HEIGHT, WIDTH)},
        output_shapes={"first": (-1, ROWS, *half), "last": (-1, 4, *half)},
    )


def samples(count: int, seed: int) -> list[np.ndarray]:
    """Make inputs of which neighbours are alike, as those of pictures are."""
    random = np.random.default_rng(seed)
    coarse = random.standard_normal((count, 1, CHANNELS, HEIGHT // 4, WIDTH // 4)) + 1.0
    return list(coarse.repeat(4, axis=3).repeat(4, axis=4).astype(np.float32))


def test_an_observer_that_has_no_effect_is_told(
    artifact: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load_plan("plain")
    OpenvinoCalibrator().observe(artifact, samples(2, 1), plain)
    assert capsys.readouterr().err == ""
    OpenvinoCalibrator().observe(artifact, samples(2, 1), dataclasses.replace(plain, observer="kl"))
    assert capsys.readouterr().err == (
        "uneven: the plan's observer kl has no effect on OpenVINO, whose ranges are nncf's\n"
    )


CONVERSION = "OpenvinoExporter().run(artifact, Context(Path(sys.argv[1]), 'fp32'))"
CALIBRATION = "OpenvinoCalibrator().observe(artifact, samples, load_plan('plain'))"
REPORTS_NOTHING = """
import pickle, sys
from pathlib import Path
from edgepose.calibration.openvino_int8 import OpenvinoCalibrator
from edgepose.calibration.plan import load_plan
from edgepose.converters.base import Context
from edgepose.converters.to_openvino import OpenvinoExporter
artifact, samples = pickle.load(sys.stdin.buffer)
assert "openvino" not in sys.modules
{work}
assert "openvino" in sys.modules and sys.modules["openvino_telemetry"] is None
"""


@pytest.mark.parametrize("work", [CONVERSION, CALIBRATION], ids=["convert", "calibrate"])
def test_neither_openvino_nor_nncf_reports_to_its_maker(
    work: str, artifact: Artifact, tmp_path: Path
) -> None:
    """In a process of its own: they see by the environment whether they are tested."""
    home, made = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    made.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    environment = {**kept, "HOME": str(home), "https_proxy": "http://127.0.0.1:9"}
    given = dataclasses.replace(artifact, files={"onnx": artifact.files["xml"], **artifact.files})
    subprocess.run(
        [sys.executable, "-c", REPORTS_NOTHING.format(work=work), str(made)],
        input=pickle.dumps((given, samples(2, 1))),
        env=environment,
        check=True,
    )
    assert list(home.iterdir()) == []


def errors(artifact: Artifact, plan: Plan, layer: str, folder: Path) -> float:
    """Return the error of the outputs with one layer in int8, on samples of their own."""
    quantiser = OpenvinoQuantiser(artifact, samples(24, 1), plan)
    other = samples(8, 2)
    made = quantiser.write({layer: "int8"}, folder)
    return output_error(run_engine(artifact, other), run_engine(made, other))


def test_openvino_computes_what_was_searched(artifact: Artifact, tmp_path: Path) -> None:
    """Hold the factors of the channels, the ranges and the bias against their definition."""
    quantiser = OpenvinoQuantiser(artifact, samples(24, 1), ACCURATE)
    better = quantiser._better["uneven"]
    assert better.factors is not None
    (sample,) = samples(1, 5)
    (found,) = run_engine(quantiser.write({"uneven": "int8"}, tmp_path), [sample])
    step = (better.highest - better.lowest) / 255
    divided = sample[0].astype(np.float64) * GAINS[0] / better.factors.reshape(-1, 1, 1)
    kept = np.clip(divided, better.lowest, better.highest)
    rounded = np.rint((kept - better.lowest) / step) * step + better.lowest
    padded = np.pad(rounded, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    wanted = np.einsum("ocij,chwij->ohw", better.weight.astype(np.float64), windows)
    wanted += 0.3 + better.missing.reshape(-1, 1, 1)
    integers = better.weight.reshape(ROWS, -1) / better.steps[:, None]
    assert np.abs(integers - np.rint(integers)).max() < 1e-3
    assert np.abs(integers).max() <= 64.001
    # A value that lies between two steps may be rounded to either.
    assert np.percentile(np.abs(found[0][0] - wanted), 99) < 1e-3 * wanted.std()


def test_uneven_channels_are_nearer_than_with_nncf_alone(artifact: Artifact, tmp_path: Path) -> None:
    without = dataclasses.replace(ACCURATE, rounding=False, equalisation=False)
    before = errors(artifact, without, "uneven", tmp_path / "nncf")
    rounding = errors(
        artifact, dataclasses.replace(ACCURATE, equalisation=False), "uneven", tmp_path / "rounding"
    )
    even = errors(artifact, dataclasses.replace(ACCURATE, rounding=False), "uneven", tmp_path / "even")
    assert even < before
    both = errors(artifact, ACCURATE, "uneven", tmp_path / "both")
    assert rounding < before
    assert both < 0.5 * before


@pytest.mark.parametrize(
    ("without", "kept"),
    [
        ((), ["equalisation", "rounding", "bias_correction"]),
        (("rounding", "bias_correction"), ["equalisation"]),
        (("equalisation", "rounding"), []),
    ],
)
def test_the_record_names_what_was_kept(
    artifact: Artifact, tmp_path: Path, without: tuple[str, ...], kept: list[str]
) -> None:
    plan = dataclasses.replace(ACCURATE, **dict.fromkeys(without, False))
    made = OpenvinoQuantiser(artifact, samples(24, 1), plan).write({"uneven": "int8"}, tmp_path)
    assert made.lineage[-1].arguments["int8_layers"] == {"uneven": kept}


def test_a_layer_behind_a_pooling_reads_integers(artifact: Artifact, tmp_path: Path) -> None:
    """Its input is rounded in front of the pooling; without that it would compute in float."""
    made = OpenvinoQuantiser(artifact, samples(24, 1), ACCURATE).write({"behind": "int8"}, tmp_path)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(made.files["xml"]), "CPU", options)
    kinds = {
        node.get_friendly_name(): node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    assert kinds == {"uneven": "f32", "behind": "u8"}


def test_too_few_samples_to_agree_change_nothing(artifact: Artifact) -> None:
    assert OpenvinoQuantiser(artifact, samples(1, 1), ACCURATE)._better == {}


def test_work_counts_multiplications_and_values(artifact: Artifact) -> None:
    quantiser = OpenvinoQuantiser(artifact, samples(2, 1), load_plan("plain"))
    places = HEIGHT // 2 * WIDTH // 2
    assert quantiser.work("uneven") == places * ROWS * (CHANNELS * 9 + 16)
    assert quantiser.work("behind") == places * 4 * (2 * ROWS + 16)


@pytest.mark.parametrize("kind", [nncf.errors.InternalError, nncf.errors.ValidationError, RuntimeError])
def test_what_nncf_refuses_is_named(
    kind: type[Exception], artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*positional: Any, **named: Any) -> None:
        raise kind("no such operation\nmore")

    monkeypatch.setattr(nncf, "quantize", refuse)
    samples = [np.zeros((1, CHANNELS, HEIGHT, WIDTH), np.float32)]
    with pytest.raises(CalibrationError, match=r"^nncf failed: no such operation$"):
        OpenvinoQuantiser(artifact, samples, ACCURATE)
