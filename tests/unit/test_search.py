"""Which layers `auto` makes int8: on layers whose damage is known, and by times that are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.artifact import (
    Artifact,
    BoxHead,
    KeypointSet,
    LineageEntry,
    ModelSpec,
    Preprocess,
    SimccHead,
)
from edgepose.calibration import latency, network, search, sensitivity
from edgepose.calibration.agreement import Agreement, Outputs
from edgepose.calibration.samples import Half, Samples
from edgepose.calibration.search import Budget, Found, default_budget
from edgepose.calibration.sensitivity import LayerSensitivity, SensitivityReport
from edgepose.errors import CalibrationError, ConversionError

Sample = NDArray[np.float32]

BINS, KEYPOINTS = 128, 6
POSE = ModelSpec(
    name="toy-pose",
    family="rtmpose",
    task="pose",
    preprocess=Preprocess("affine", (64, 64), "rgb", (1, 2, 3), (4, 5, 6), (0, 0, 0), 1.25),
    head=SimccHead(2.0, KeypointSet("six", tuple("abcdef"), (), (), (0.05,) * KEYPOINTS)),
    input_names=("input",),
    output_names=("simcc_x", "simcc_y"),
    license="",
    parameters=1,
)
FLOAT = Artifact(POSE, "ncnn", "fp32", {}, {}, {}, {}, ())
BUDGET = Budget(similarity=0.5, p95_px=1.0)


def samples(count: int) -> list[Sample]:
    return [np.full((1, 3, 64, 64), n, np.float32) for n in range(count)]


def outputs(sample: Sample, moved_bins: int = 0) -> Outputs:
    """Make two peaked rows a keypoint; a bin is half a pixel."""
    random = np.random.default_rng(int(sample.flat[0]))
    peaks = random.integers(30, BINS - 30, (2, KEYPOINTS, 1))
    rows = np.exp(-(((np.arange(BINS) - peaks) / 3) ** 2)).astype(np.float32)
    return [np.roll(rows[:1], moved_bins, axis=2), rows[1:]]


class Quantiser:
    """Moves the points by the bins of all layers in int8 together; by those of `rare` on later samples."""

    def __init__(
        self, bins: Mapping[str, int], work: Mapping[str, float] | None = None, rare: Sequence[str] = ()
    ) -> None:
        self.bins, self._work, self._rare = bins, work or {}, rare

    def work(self, name: str) -> float:
        return self._work.get(name, 1.0)

    def kind(self, name: str) -> str:
        return f"kind of {name}"

    def layer_error(self, name: str) -> float | None:
        return 0.25 if name == "a" else None

    def outputs(self, maps: Sequence[Mapping[str, str]], given: Sequence[Sample]) -> Iterator[list[Outputs]]:
        for chosen in maps:
            yield [
                outputs(s, sum(self.bins[n] for n in chosen if n not in self._rare or s.flat[0] >= 2))
                for s in given
            ]


def report(errors: Mapping[str, float]) -> SensitivityReport:
    figures = {name: Agreement(1, 0.0, 0.0, 0.0, 1.0, error) for name, error in errors.items()}
    layers = tuple(LayerSensitivity(name, "Convolution", f, None, None) for name, f in figures.items())
    return SensitivityReport("OKS", 1, next(iter(figures.values())), layers)


@pytest.fixture(autouse=True)
def _float_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(artifact: Any, given: Sequence[Sample]) -> list[Outputs]:
        return [outputs(sample) for sample in given]

    for module in (search, network, sensitivity):
        monkeypatch.setattr(module, "run_engine", run)


def found(
    errors: Mapping[str, float],
    bins: Mapping[str, int],
    *,
    work: Mapping[str, float] | None = None,
    budget: Budget = BUDGET,
) -> Found:
    quantiser: Any = Quantiser({name: bins.get(name, 0) for name in errors}, work)
    return search.search(FLOAT, quantiser, report(errors), samples(2), budget)


@pytest.mark.parametrize("leave_out", [True, False])
def test_the_sensitivity_is_of_a_layer_alone_and_of_all_others(leave_out: bool) -> None:
    quantiser: Any = Quantiser({"b": 4, "a": 1, "c": 0})
    steps: list[int] = []
    found = sensitivity.sensitivity(
        FLOAT,
        quantiser,
        samples(2),
        layers=["b", "a", "c"],
        leave_out=leave_out,
        advance=lambda: steps.append(1),
    )
    assert (found.similarity_name, found.samples, len(steps)) == ("OKS", 2, 3)
    assert found.all_int8.max_px == pytest.approx(2.5)
    figures = [(row.layer, row.kind, row.alone_int8.max_px, row.layer_error) for row in found.layers]
    assert figures == [
        ("b", "kind of b", 2.0, None),
        ("a", "kind of a", 0.5, 0.25),
        ("c", "kind of c", 0.0, None),
    ]
    left = [row.left_float.max_px if row.left_float else None for row in found.layers]
    assert left == ([0.5, 2.0, 2.5] if leave_out else [None] * 3)
    assert [row.layer for row in found.worst_first()] == ["b", "a", "c"]
    assert [line.split()[0] for line in found.table().splitlines()] == ["layer", "b", "a", "c", "(all"]
    assert [row["layer"] for row in found.to_json()["layers"]] == ["b", "a", "c"]


def test_layers_that_do_no_harm_are_all_taken_at_once() -> None:
    result = found({"c": 1, "a": 2, "b": 3}, {"a": 1, "b": 1})
    assert (result.int8_layers, result.tried) == (("c", "a", "b"), 1)
    assert result.agreement is not None and result.agreement.p95_px == pytest.approx(1)


def test_a_layer_that_stands_out_stays_float_even_where_the_budget_allows_it() -> None:
    result = found({"a": 1, "b": 1, "c": 21, "d": 20, "e": 1}, {})
    assert (result.int8_layers, result.tried) == (("a", "b", "d", "e"), 1)


def test_of_two_that_harm_alike_the_larger_is_int8() -> None:
    result = found({"a": 1, "b": 1, "c": 0.1}, {"a": 2, "b": 2}, work={"a": 9, "b": 3})
    assert (result.int8_layers, result.tried) == (("a", "c"), 3)
    result = found({"a": 1, "b": 1, "c": 0.1}, {"a": 2, "b": 2}, work={"a": 3, "b": 9})
    assert result.int8_layers == ("b", "c")


def test_layers_that_prove_harmless_are_taken_back() -> None:
    errors = {f"l{n:02}": 20.0 - n for n in range(20)}
    result = found(errors, {"l10": 3, "l11": 3})
    assert result.int8_layers == tuple(name for name in errors if name not in ("l10", "l11"))
    assert result.agreement is not None and result.agreement.max_px == 0


def test_nothing_in_int8_is_left_where_nothing_keeps_to_the_budget() -> None:
    result = found({"a": 1, "b": 2}, {}, budget=Budget(1.1, 1.0))
    assert (result.int8_layers, result.agreement, result.tried) == ((), None, 4)


@pytest.mark.parametrize(("height", "pose_px", "box_px"), [(192, 1, 0.9), (256, 1, 1.2), (384, 1.5, 1.8)])
def test_a_larger_input_has_more_pixels_of_shift(height: int, pose_px: float, box_px: float) -> None:
    preprocess = dataclasses.replace(POSE.preprocess, input_hw=(height, 192))
    pose = dataclasses.replace(POSE, preprocess=preprocess)
    boxes = dataclasses.replace(pose, head=BoxHead((8,), False, ("person",), 0.05, 0.6, 1000, 100))
    assert default_budget(pose) == Budget(0.995, pytest.approx(pose_px))
    assert default_budget(boxes) == Budget(0.98, pytest.approx(box_px))


@pytest.mark.parametrize(("rare", "layers"), [((), ["a", "b"]), (("a",), ["b"])])
def test_what_few_samples_allow_must_hold_on_all(rare: Sequence[str], layers: list[str]) -> None:
    quantiser: Any = Quantiser({"a": 8 if rare else 0, "b": 0}, rare=rare)
    few: Any = SimpleNamespace(search_samples=2)
    chosen = network._search(
        FLOAT, few, quantiser, report({"a": 2, "b": 1}), samples(6), BUDGET, lambda: None
    )
    assert chosen == layers


class GoesOn(Exception):
    """The network in int8 was taken: what comes next is its comparison with the float one."""


def calibrated(
    monkeypatch: pytest.MonkeyPatch, mode: network.Mode, medians: list[float], tmp_path: Path
) -> network.CalibratedNetwork:
    def compare(*_: Any) -> None:
        raise GoesOn

    write: Callable[..., Artifact] = lambda *_: FLOAT  # noqa: E731
    quantiser = SimpleNamespace(names=lambda: ["a"], worthwhile=lambda: ["a"], write=write, half=write)
    monkeypatch.setattr(network, "sensitivity", lambda *_, **__: report({"a": 1}))
    monkeypatch.setattr(network, "search", lambda *_, **__: Found(("a",), None, 1))
    monkeypatch.setattr(network, "interleaved_ms", lambda *_: medians)
    monkeypatch.setattr(network, "run_engine", compare)
    any_: Any = None
    calibrator: Any = SimpleNamespace(
        observe=lambda *_: quantiser, max_mean_px=None, search_samples=None, simulator=None
    )
    return network.calibrate_network(
        FLOAT, calibrator, Samples(Half(), Half(samples(2), []), 0, ()), any_, mode=mode,
        budget_changes={}, with_sensitivity=False, work_dir=tmp_path,
        stage=lambda *_: None, advance=lambda: None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("medians", "reason"),
    [
        ([10.0, 8.0, 9.0], "int8 is 0.89 times as fast as fp16 on this machine"),
        ([8.0, 10.0, 9.0], "int8 is 0.89 times as fast as fp32 on this machine"),
        ([9.0, 10.0, 9.0], "int8 is 1.00 times as fast as fp32 on this machine"),
    ],
)
def test_a_network_that_int8_does_not_speed_up_stays_float(
    monkeypatch: pytest.MonkeyPatch,
    medians: list[float],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = calibrated(monkeypatch, "auto", medians, tmp_path)
    assert f"toy-pose stays float and computes at float32: {reason}\n" in capsys.readouterr().err
    assert (left.left_float, left.artifact, left.int8_layers) == (reason, FLOAT, ())
    assert left.stage_member() is None
    assert left.median_ms == dict(zip(("fp32", "fp16", "int8"), medians, strict=True))
    with pytest.raises(GoesOn):
        calibrated(monkeypatch, "mixed", medians, tmp_path)  # who asks for integers gets them


def test_a_network_that_int8_speeds_up_is_int8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(GoesOn):
        calibrated(monkeypatch, "auto", [10.0, 8.0, 7.9], tmp_path)


class Network(Quantiser):
    """Two layers that each move the points by a bin; `seen` takes down samples, and what is written."""

    def __init__(self, seen: dict[str, list[Any]]) -> None:
        super().__init__({"a": 1, "b": 1})
        self._seen = seen

    def names(self) -> list[str]:
        return ["a", "b"]

    worthwhile = names

    def write(self, chosen: Any, folder: Path) -> Artifact:
        self._seen["written"] = list(chosen)
        entry = LineageEntry("quantise", "toy", "1", {"samples": 3}, {}, {}, 0.0)
        return dataclasses.replace(FLOAT, precision="int8", lineage=(entry,))

    def half(self, folder: Path) -> Artifact:
        entry = LineageEntry("halve", "toy", "1", {}, {}, {}, 0.0)
        return dataclasses.replace(FLOAT, precision="fp16", lineage=(entry,))

    def outputs(self, maps: Any, given: Sequence[Sample]) -> Iterator[list[Outputs]]:
        self._seen["simulated"] = values_of(given)
        return super().outputs(maps, given)


def values_of(given: Sequence[Sample]) -> list[int]:
    return [int(sample.flat[0]) for sample in given]


def calibrated_on_halves(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    simulator: str | None,
    chosen: tuple[str, ...],
    budget: Mapping[str, float] | None = None,
) -> tuple[network.CalibratedNetwork, dict[str, list[Any]]]:
    """Calibrate with samples 0 to 2, of which 3 to 6 are held out; return what was used for what, too."""
    seen: dict[str, list[Any]] = {}

    def observe(artifact: Artifact, given: Sequence[Sample], plan: Any) -> Network:
        seen["ranges"] = values_of(given)
        return Network(seen)

    def measure(artifact: Any, quantiser: Any, given: Sequence[Sample], **_: Any) -> SensitivityReport:
        seen["sensitivity"] = values_of(given)
        return report({"a": 1, "b": 1})

    def choose(*given: Any, **_: Any) -> Found:
        seen["search"] = values_of(given[3])
        return Found(chosen, None, 1)

    def run(artifact: Artifact, given: Sequence[Sample]) -> list[Outputs]:
        seen[f"run {artifact.precision}"] = values_of(given)
        return [outputs(sample, int(artifact.precision == "int8")) for sample in given]

    def measured(artifacts: Any, sample: Sample) -> list[float]:
        seen["timed"] = values_of([sample])
        return [3.0, 2.0, 1.0][: len(artifacts)]

    monkeypatch.setattr(network, "sensitivity", measure)
    monkeypatch.setattr(network, "search", choose)
    monkeypatch.setattr(network, "run_engine", run)
    monkeypatch.setattr(network, "interleaved_ms", measured)
    calibrator: Any = SimpleNamespace(
        observe=observe, max_mean_px=0.75, search_samples=None, simulator=simulator, has_half=True
    )
    any_: Any = None
    every = samples(7)
    halves = Half(every[:3], [("seen", None)] * 3), Half(every[3:], [("held out", None)] * 4)
    made = network.calibrate_network(
        FLOAT, calibrator, Samples(*halves, 0, ()), any_, mode="auto",
        budget_changes=budget or {}, with_sensitivity=False, work_dir=folder,
        stage=lambda *_: None, advance=lambda: None,
    )  # fmt: skip
    return made, seen


@pytest.mark.parametrize("simulator", [None, "toy"])
def test_the_ranges_are_of_one_half_and_every_figure_of_the_other(
    simulator: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And what is written is what the search has found, of more that are worth it."""
    made, seen = calibrated_on_halves(monkeypatch, tmp_path, simulator, ("a",))
    held_out = [3, 4, 5, 6]
    ran = {"simulated": held_out} if simulator else {"run int8": held_out, "timed": [3]}
    assert seen == {
        "ranges": [0, 1, 2], "sensitivity": held_out, "search": held_out, "run fp32": held_out,
        "written": ["a"], **ran,
    }  # fmt: skip
    assert made.agreement is not None and made.agreement.compared == 4 * KEYPOINTS
    assert (made.agreement.mean_px, made.int8_layers) == (pytest.approx(0.5), ("a",))
    assert made.budget == dataclasses.replace(default_budget(POSE), mean_px=0.75)
    arguments = made.artifact.lineage[-1].arguments
    assert (len(arguments["calibration"]), len(arguments["held_out"])) == (3, 4)


def test_a_network_for_a_chip_is_half_precision_where_no_layer_keeps_to_the_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, seen = calibrated_on_halves(monkeypatch, tmp_path, "toy", ())
    assert (made.artifact.precision, made.int8_layers) == ("fp16", ())
    assert made.left_float == "no layer in int8 keeps to the budget"
    assert seen["simulated"] == [3, 4, 5, 6]
    assert made.agreement is not None and made.agreement.max_px == 0 and made.stage_member() is not None
    made, _ = calibrated_on_halves(monkeypatch, tmp_path, None, ())
    assert (made.artifact, made.stage_member()) == (FLOAT, None)
    assert made.median_ms == {"fp32": 3.0, "fp16": 2.0}  # what it costs beside a network in int8


def test_a_changed_budget_is_kept_to_and_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limit of a chip's calibrator stays, unless it is what is changed."""
    for changes, budget in (
        ({"p95_px": 3.0}, Budget(0.995, 3.0, 0.75)),
        ({"mean_px": 2.0}, Budget(0.995, 1.0, 2.0)),
    ):
        made, _ = calibrated_on_halves(monkeypatch, tmp_path, "toy", ("a",), changes)
        member = made.stage_member()
        assert made.budget == budget and member is not None and member["budget"] == budget.to_json()


def test_a_network_that_is_refused_leaves_its_table_of_layers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(*_: Any, **__: Any) -> None:
        raise ConversionError("the network is off")

    monkeypatch.setattr(network, "compare_stage", off)
    with pytest.raises(CalibrationError, match="the network is off"):
        calibrated_on_halves(monkeypatch, tmp_path, "toy", ("a",))
    assert report({"a": 1, "b": 1}).table() in capsys.readouterr().err


def test_times_are_medians_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run of each is not counted, and a slow one hardly."""
    clock_ns, turns = [0], ""

    class Engine:
        def __init__(self, name: str) -> None:
            self.name, self.runs = name, 0

        def run(self, inputs: Any) -> None:
            nonlocal turns
            turns += self.name
            clock_ns[0] += {"a": 1, "b": 2, "c": 4}[self.name] * (10**9 if self.runs < 2 else 10**6)
            self.runs += 1

    monkeypatch.setattr(latency, "open_engine", Engine)
    monkeypatch.setattr(latency.time, "thread_time_ns", lambda: clock_ns[0])
    artifacts: Any = ["a", "b", "c"]
    assert latency.interleaved_ms(artifacts, samples(1)[0], rounds=5) == [1.0, 2.0, 4.0]
    assert turns == "abc" * 6
