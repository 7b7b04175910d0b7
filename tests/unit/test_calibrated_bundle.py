"""What becomes of calibrated networks: the bundle of them, and when there is none."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepose.artifact import LineageEntry, Precision
from edgepose.calibration import calibrate
from edgepose.calibration.agreement import Agreement
from edgepose.calibration.calibrate import CalibrationRequest
from edgepose.calibration.samples import Half, Samples
from edgepose.calibration.sensitivity import LayerSensitivity, SensitivityReport
from edgepose.converters.limits import LIMITS
from edgepose.errors import CalibrationError
from edgepose.writers import write_picture

MAKER: Any = SimpleNamespace(
    format="fake", source="fake", label="fake", tools=(), simulator=None, has_half=True, takes_plan=True,
    check=lambda mode: None,
)  # fmt: skip


def networks(bundle: Path, folder: Path, detector: str, pose: str) -> dict[str, Any]:
    """Make networks of these precisions for a bundle; one of fp32 is left as it lies there."""
    made = {}
    for role, precision in (("detector", detector), ("pose", pose)):
        path = bundle / f"tiny-{role}.fake"
        entry = LineageEntry("quantise", "toy", "1", {"model": role}, {}, {}, 0.0)
        lineage = () if precision == "fp32" else (entry,)
        stage = {"model": role, "mean_px": 0.5} if lineage else None
        if lineage:
            (folder / path.name).write_bytes(path.read_bytes())
            path = folder / path.name
        made[role] = SimpleNamespace(
            artifact=SimpleNamespace(
                spec=SimpleNamespace(name=role, preprocess=None), files={"fake": path}, precision=precision,
                lineage=(None, *lineage),  # the bundle's own is one step
            ),
            left_float=None if lineage else "slow", report=None,
            median_ms={"fp32": 9.0, "fp16": 8.0, "int8": 5.0 if lineage else 8.5},
            stage_member=lambda stage=stage: stage,
        )  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("detector", "pose", "precision"),
    [
        ("int8", "int8", "int8"),
        ("int8", "mixed", "mixed"),
        ("mixed", "int8", "mixed"),
        ("fp32", "int8", "mixed"),
        ("int8", "fp32", "mixed"),
    ],
)
def test_a_bundle_is_int8_where_every_network_is(
    detector: str, pose: str, precision: Precision, bundles_v1: Path, tmp_path: Path
) -> None:
    bundle = bundles_v1 / "top_down"
    manifest = json.loads((bundle / "bundle.json").read_text())
    made = networks(bundle, tmp_path, detector, pose)
    target = tmp_path / "out" / "tiny.fake.auto"
    assert calibrate._write(bundle, manifest, made, target, MAKER, "auto", force=False)[0] == precision
    written = json.loads((target / "bundle.json").read_text())
    assert written["precision"] == precision
    assert written["golden"]["tolerance_px"] == LIMITS[precision].mean_px
    steps = [role for role, kind in (("detector", detector), ("pose", pose)) if kind != "fp32"]
    assert [entry["arguments"]["model"] for entry in written["lineage"][1:]] == steps
    assert [stage["model"] for stage in written["verification"]["stages"][2:]] == steps


def test_a_bundle_of_which_no_network_gains_is_refused(bundles_v1: Path, tmp_path: Path) -> None:
    bundle, target = bundles_v1 / "top_down", tmp_path / "out" / "tiny.fake.auto"
    manifest = json.loads((bundle / "bundle.json").read_text())
    made = networks(bundle, tmp_path, "fp32", "fp32")
    with pytest.raises(CalibrationError, match=r"no network gains .* \(detector: slow; pose: slow\)"):
        calibrate._write(bundle, manifest, made, target, MAKER, "auto", force=False)
    assert not target.parent.exists()


def test_a_bundle_that_half_precision_would_outrun_as_a_whole_is_refused(
    bundles_v1: Path, tmp_path: Path
) -> None:
    """What stays float computes at float32 there: int8 must win more than that loses."""
    bundle, target = bundles_v1 / "top_down", tmp_path / "out" / "tiny.fake.auto"
    manifest = json.loads((bundle / "bundle.json").read_text())
    made = networks(bundle, tmp_path, "fp32", "int8")
    made["pose"].median_ms["int8"] = 7.0  # 9 + 7 for 8 + 8
    with pytest.raises(CalibrationError) as caught:
        calibrate._write(bundle, manifest, made, target, MAKER, "auto", force=False)
    assert caught.value.message == (
        "the networks together are 1.00 times as fast as at fp16 on this machine, as what stays float "
        "computes at float32 (detector: slow)"
    )
    assert caught.value.hint == "convert with --precision fp16"
    assert not target.parent.exists()
    made["pose"].median_ms["int8"] = 6.9
    assert calibrate._write(bundle, manifest, made, target, MAKER, "auto", force=False)[0] == "mixed"


def test_a_calibration_that_is_refused_leaves_its_tables_of_layers(
    bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    bundle = bundles_v1 / "top_down"
    made = networks(bundle, tmp_path, "fp32", "fp32")
    for role, each in made.items():
        figures = Agreement(1, 0.0, 0.0, 0.0, 1.0, 0.5)
        layer = LayerSensitivity(f"layer of {role}", "Convolution", figures, None, None)
        each.report = SensitivityReport("OKS", 1, figures, (layer,))
    monkeypatch.setattr(calibrate, "_finder", lambda *_: None)
    monkeypatch.setattr(calibrate, "artifact_of", lambda _, role: made[role].artifact)
    monkeypatch.setattr(calibrate, "make_samples", lambda *_, **__: Samples(Half(), Half(), 0, ()))
    monkeypatch.setattr(calibrate, "calibrate_network", lambda artifact, *_, **__: made[artifact.spec.name])
    with pytest.raises(CalibrationError, match="no network gains from int8 here"):
        calibrate.calibrate(bundle, CalibrationRequest(tmp_path), out_dir=tmp_path / "out", maker=MAKER)
    told = capsys.readouterr().err
    for each in made.values():
        assert f"layers of {each.artifact.spec.name}:\n{each.report.table()}" in told

    def refused_at_the_second(*_: Any, **__: Any) -> Samples:
        if not answers:
            raise CalibrationError("too few")
        return answers.pop()

    # Before minutes of work for the first network, whose table says nothing about the second's samples.
    monkeypatch.setattr(calibrate, "calibrate_network", lambda *_, **__: pytest.fail("calibrated before"))
    answers = [Samples(Half(), Half(), 0, ())]
    monkeypatch.setattr(calibrate, "make_samples", refused_at_the_second)
    with pytest.raises(CalibrationError, match="too few"):
        calibrate.calibrate(bundle, CalibrationRequest(tmp_path), out_dir=tmp_path / "out", maker=MAKER)
    assert capsys.readouterr().err == ""


def test_the_asked_budget_reaches_the_networks(
    bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: Any, budget_changes: Any, **__: Any) -> None:
        assert budget_changes == {"p95_px": 2.0}
        raise InterruptedError

    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(calibrate, "make_samples", lambda *_, **__: Samples(Half(), Half(), 0, ()))
    monkeypatch.setattr(calibrate, "calibrate_network", take)
    request = CalibrationRequest(tmp_path, budgets=("p95_px=2",))
    with pytest.raises(InterruptedError):
        calibrate.calibrate(bundles_v1 / "pose", request, out_dir=tmp_path / "out", maker=MAKER)


def test_who_asks_for_integers_gets_them_and_a_chip_is_not_timed(bundles_v1: Path, tmp_path: Path) -> None:
    slow = {"fp32": 9.0, "fp16": 8.0, "int8": 99.0}
    chip: Any = SimpleNamespace(**{**vars(MAKER), "simulator": "toy"})
    nothing: dict[str, float] = {}
    for detector, maker, times in (("int8", MAKER, slow), ("fp32", chip, nothing)):
        made = networks(bundles_v1 / "top_down", tmp_path, detector, "int8")
        for each in made.values():
            each.median_ms = times
        calibrate._refuse_without_gain(made, maker)
