"""The end of a conversion: finished bundles are checked as a reader will, and all of them appear or none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgepose.artifact import Precision
from edgepose.bundle.manifest import spec_from_json, spec_to_json
from edgepose.calibration.from_bundle import artifact_of
from edgepose.cli.main import main
from edgepose.converters import assemble, conversion, steps
from edgepose.converters.limits import LIMITS
from edgepose.errors import ConversionError
from edgepose.pipeline import PosePipeline


@pytest.fixture
def golden(
    request: pytest.FixtureRequest, bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Let the cache give a tiny pose network, converted to whatever is asked; returns its golden results."""
    bundle = bundles_v1 / getattr(request, "param", "pose")
    stated = json.loads((bundle / "bundle.json").read_text())["golden"]
    golden = {**stated, **json.loads((bundle / "golden.json").read_text())}
    stage: Any = SimpleNamespace(to_json=lambda: {"model": "tiny-pose", "mean_px": 0.0}, compared=1)
    artifact = artifact_of(bundle, "pose")
    canonical = steps.Canonical(
        "", artifact, stage, tmp_path, bundle / "golden.bgr", golden, notes=(), cached=True
    )
    converted = steps.Converted(canonical, artifact, stage, cached=True)
    monkeypatch.setattr(steps, "cached_canonical", lambda *_: canonical)
    monkeypatch.setattr(steps, "cached_target", lambda *_: converted)
    monkeypatch.setattr(conversion, "exporter", lambda target, _: SimpleNamespace(target=target))
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "net.pth").write_bytes(b"")
    return golden


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_golden_results_are_held_to_the_limit_of_the_precision(
    precision: Precision, golden: dict[str, Any], tmp_path: Path
) -> None:
    (made,) = conversion.convert(
        [tmp_path / "net.pth"], ["fake"], precision=precision, out_dir=tmp_path / "out"
    )
    written = json.loads((made.path / "bundle.json").read_text())
    assert written["golden"]["tolerance_px"] == LIMITS[precision].mean_px


def test_the_scores_of_a_network_decide_both_thresholds(
    golden: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which keypoints are drawn, and who is lost, of a network whose scores are ten times as high."""
    found: Any = steps.cached_target(None, None, "fp32", None)  # type: ignore[arg-type]  # the stand-in
    spec = dataclasses.replace(found.artifact.spec, keypoint_score_threshold=3.0)
    high = dataclasses.replace(found, artifact=dataclasses.replace(found.artifact, spec=spec))
    for converted, score in ((found, 0.3), (high, 3.0)):
        monkeypatch.setattr(steps, "cached_target", lambda *_, it=converted: it)
        (made,) = conversion.convert(
            [tmp_path / "net.pth"], ["fake"], out_dir=tmp_path / "out", name=f"of-{score}"
        )
        with PosePipeline(made.path) as pipeline:
            assert pipeline.keypoint_threshold == score
            assert pipeline.manifest["tracking"]["loss_keypoint_score"] == score
        # As a calibration has it.
        assert artifact_of(made.path, "pose").spec.keypoint_score_threshold == score
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec  # as the cache keeps it


@pytest.mark.parametrize("golden", ["pose_3d"], indirect=True)
def test_depths_are_among_the_golden_results(golden: dict[str, Any], tmp_path: Path) -> None:
    golden["depths"] = [[9.0] * 3] * 2
    with pytest.raises(ConversionError, match=r"golden results: .* found, keypoints \(places or depths\) \d"):
        conversion.convert([tmp_path / "net.pth"], ["fake"], out_dir=tmp_path / "out")


def test_a_bundle_that_does_not_give_its_golden_results_is_not_written(
    golden: dict[str, Any], tmp_path: Path
) -> None:
    golden["poses"][0][0][0] += 9
    with pytest.raises(ConversionError, match=r"golden results: .* found, keypoints \d") as caught:
        conversion.convert([tmp_path / "net.pth"], ["fake"], out_dir=tmp_path / "out")
    assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()


def test_no_target_is_written_where_the_last_is_refused(
    golden: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, out = str(tmp_path / "net.pth"), tmp_path / "out"
    assert main(["convert", checkpoint, "--to", "fake", "--to", "unknown", "-o", str(out)]) == 5
    assert "the finished bundle is refused: " in capsys.readouterr().err
    assert not out.exists()
    assert main(["convert", checkpoint, "--to", "fake", "-o", str(out), "--json"]) == 0
    assert [path.name for path in out.iterdir()] == ["tiny-pose.fake.fp32"]


def pair(bundles_v1: Path) -> list[steps.Converted]:
    """Give a pose network and a detector of persons and dogs, whose scores differ."""
    bundle = bundles_v1 / "top_down"
    stage: Any = SimpleNamespace(to_json=lambda: {"model": "tiny", "mean_px": 0.0}, compared=1)
    parts: list[steps.Converted] = []
    golden = json.loads((bundle / "bundle.json").read_text())["golden"]
    golden |= json.loads((bundle / "golden.json").read_text())
    for role, score in (("pose", 3.0), ("detector", 0.3)):
        artifact = artifact_of(bundle, role)
        spec = dataclasses.replace(artifact.spec, keypoint_score_threshold=score)
        artifact = dataclasses.replace(artifact, spec=spec)
        canonical = steps.Canonical(
            role, artifact, stage, bundle, bundle / "golden.bgr", golden, notes=(), cached=True
        )
        parts.append(steps.Converted(canonical, artifact, stage, cached=True))
    return parts


@pytest.mark.usefixtures("golden")
def test_the_class_whose_boxes_the_pose_network_gets_can_be_named(
    bundles_v1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {part.canonical.role: part for part in pair(bundles_v1)}
    monkeypatch.setattr(
        steps, "cached_canonical", lambda request, _: parts[request.checkpoint.stem].canonical
    )
    monkeypatch.setattr(steps, "cached_target", lambda canonical, *_: parts[canonical.key])
    files = []
    for role in parts:
        files.append(str(tmp_path / f"{role}.pth"))
        Path(files[-1]).write_text(role)

    def convert(*arguments: str) -> tuple[int, str]:
        rc = main(["convert", *arguments, "--to", "fake", "-o", str(tmp_path / "out"), "--force", "--json"])
        return rc, capsys.readouterr().err

    (path,) = [tmp_path / "out" / "pair.fake.fp32"]
    for option, label in (((), 0), (("--box-class", "DOG"), 1), (("--box-class", "person"), 0)):
        rc, err = convert(*files, "--name", "pair", *option)
        assert rc == 0, err
        written = json.loads((path / "bundle.json").read_text())
        assert written["pipeline"]["person_label"] == label
        notes = [note for note in written["license"]["notes"] if "--box-class" in note]
        assert len(notes) == (not option)  # its points are named a, b and c
    rc, err = convert(*files, "--box-class", "cat")
    assert rc == 2 and "has no class 'cat'" in err and "its classes: person, dog" in err
    for file in files:
        rc, err = convert(file, "--box-class", "dog")
        assert rc == 2 and "--box-class is for a detector with a pose network" in err


def test_of_a_pair_the_pose_network_s_scores_decide(bundles_v1: Path) -> None:
    parts = pair(bundles_v1)
    members, _ = assemble.manifest("pair", "fake", "fp32", parts)
    assert members["pipeline"]["keypoint_score_threshold"] == 3.0
    assert members["tracking"]["loss_keypoint_score"] == 3.0
