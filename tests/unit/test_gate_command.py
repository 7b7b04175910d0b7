"""`edgepose gate` and `edgepose baseline` without networks: commands, documents and files."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from edgepose import log, writers
from edgepose.cli.main import main
from edgepose.hashing import sha256_file, sha256_json
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import baseline_job
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.predictions import Predictions, Recipe, predict

MakeBundle = Callable[..., Path]
POINTS = KEYPOINT_SETS["coco17"]


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give annotations of 24 pictures with a person each."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    annotations = []
    for number in range(24):
        image = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
        writers.write_picture(tmp_path / "images" / f"{number}.png", image)
        places = np.linspace(10, 40, 17)
        keypoints = np.stack([places, places + 2, np.full(17, 2)], axis=1).ravel().tolist()
        annotations.append(
            {
                "id": 1 + number, "image_id": number, "category_id": 1, "area": 700.0,
                "bbox": [8, 8, 36, 40], "keypoints": keypoints, "num_keypoints": 17,
            }
        )  # fmt: skip
    document = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(24)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(POINTS.keypoints)}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    return path


def command(labels: Path, *arguments: str | Path) -> int:
    data = ["--data", str(labels), "--images", str(labels.parent / "images"), "--processes", "1"]
    return main([*(str(argument) for argument in arguments), *data])


def test_labels_in_other_pixels_are_told(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(labelled.read_text())
    for annotation in document["annotations"]:
        annotation["bbox"] = [80, 8, 36, 40]
    labelled.write_text(json.dumps(document))
    bundle, path = fake_bundle("pose"), labelled.parent / "baseline.json"
    for arguments in (
        ("gate", bundle, "--reference", bundle),
        ("baseline", "record", bundle, "-o", path),
        ("gate", bundle, "--reference", path),
    ):
        log.warning_once.cache_clear()  # as in another process
        command(labelled, *arguments)
        assert capsys.readouterr().err.count("the boxes of 24 of 24 persons lie outside their pictures") == 1


@pytest.fixture
def baseline(fake_bundle: MakeBundle, labelled: Path) -> Path:
    """Give a recorded baseline of the stand-in."""
    path = labelled.parent / "baseline.json"
    assert command(labelled, "baseline", "record", fake_bundle("pose"), "-o", path) == 0
    return path


def resign(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    del document["sha256"]
    path.write_text(json.dumps({**document, "sha256": sha256_json(document)}))


def test_a_baseline_is_sorted_and_repeats(
    fake_bundle: MakeBundle, labelled: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = baseline.read_text()
    assert command(labelled, "baseline", "record", fake_bundle("pose"), "-o", baseline) == 2
    assert "exists already" in capsys.readouterr().err
    assert command(labelled, "baseline", "record", fake_bundle("pose"), "-o", baseline, "--force") == 0
    assert baseline.read_text() == first
    people = [json.loads(line.rstrip(",")) for line in first.splitlines() if line.startswith('  {"image_id"')]
    assert [(person["image_id"], person["id"]) for person in people] == [(n, n + 1) for n in range(24)]
    assert command(labelled, "baseline", "compare", baseline, fake_bundle("pose")) == 0
    assert "24 persons are the same" in capsys.readouterr().out


def test_a_baseline_replaces_no_input_and_is_refused_before_the_work(
    fake_bundle: MakeBundle,
    labelled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle, labels = fake_bundle("pose"), labelled.read_text()
    monkeypatch.setattr(baseline_job, "predict", None)
    for path, text in (
        (labelled, "-o would overwrite the input"),
        (bundle / "baseline.json", "-o would write into a bundle"),
        (labelled.parent / "none" / "baseline.json", "there is no folder"),
        (labelled.parent, "is a folder"),
    ):
        assert command(labelled, "baseline", "record", bundle, "-o", path, "--force") == 2
        assert f"error: {path}: {text}" in capsys.readouterr().err
    assert labelled.read_text() == labels and not (bundle / "baseline.json").exists()


def test_a_candidate_passes_against_bundle_and_baseline(
    fake_bundle: MakeBundle, labelled: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fake_bundle("pose")
    out = labelled.parent
    files = ["--json", out / "g.json", "--junit", out / "g.xml", "--markdown", out / "g.md"]
    files += ["--confidence", "0.5"]  # which 23 pictures suffice for
    for reference in (bundle, baseline):
        assert command(labelled, "gate", bundle, "--reference", reference, "--samples", "300", *files) == 0
        assert "PASS: all" in capsys.readouterr().out
        document = json.loads((out / "g.json").read_text())
        assert document["reference"]["kind"] == ("bundle" if reference == bundle else "baseline")
        assert document["verdict"] == "PASS" and document["exit_code"] == 0
        suite = ElementTree.parse(out / "g.xml").getroot()
        assert suite.attrib["failures"] == "0" and int(suite.attrib["tests"]) == len(document["checks"])
        # A job may gate the network for several targets and precisions.
        name = ".".join(document["candidate"][part] for part in ("name", "backend", "precision"))
        assert suite[0].attrib["name"] == f"edgepose gate {name}"
        assert {case.attrib["classname"] for case in suite.iter("testcase")} == {f"edgepose.gate.{name}"}
        assert "Accuracy gate: PASS" in (out / "g.md").read_text()
    more = ("--reference", bundle, "--baseline", baseline, "--json", out / "g.json")
    assert command(labelled, "gate", bundle, *more, "--confidence", "0.5") == 0
    # An equal bundle has no cause of a drift to name: there are too few pictures, that is all.
    assert command(labelled, "gate", bundle, *more) == 11
    document = json.loads((out / "g.json").read_text())
    assert document["diagnosis"] == [] and "so few may lack the bad ones" in document["summary"]
    decides, _, unjudged = document["summary"].rpartition("; ")
    assert re.search(r", and \d+ more checks; about 99 pictures would decide$", decides)
    assert unjudged == "too seldom seen to be judged: nose, left_eye"


def test_a_verdict_is_told_before_its_files_are_written(
    fake_bundle: MakeBundle,
    labelled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(writers, "write_text", full)
    bundle = fake_bundle("pose")
    for option in ("--json", "--junit", "--markdown"):
        file = labelled.parent / "file"
        assert command(labelled, "gate", bundle, "--reference", bundle, option, file) == 3
        told = capsys.readouterr()
        assert "INCONCLUSIVE: 24 pictures" in told.out and f"error: {file}: No space left" in told.err


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"


@pytest.mark.parametrize("name", ["baseline.json", "labels.json", "images/23.png"])
def test_what_git_lfs_has_yet_to_fetch_is_named(
    fake_bundle: MakeBundle,
    labelled: Path,
    baseline: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, bundle = labelled.parent / name, fake_bundle("pose")
    file.write_text(LFS_POINTER)
    assert command(labelled, "gate", bundle, "--reference", baseline) == 2
    said = f"error: {file}: a Git LFS pointer, not the file itself"
    told = capsys.readouterr().err
    assert said in told and "git lfs pull" in told
    if file != baseline:
        assert command(labelled, "gate", bundle, "--reference", bundle) == 2
        assert said in capsys.readouterr().err


def test_a_candidate_fails_with_its_cause(
    fake_bundle: MakeBundle, labelled: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shift(document: dict[str, Any]) -> None:
        for person in document["persons"]:
            person["keypoints"][3 * 16] -= 4.0  # the stand-in is sure of its last point most of all

    resign(baseline, shift)
    out = labelled.parent
    files = ["--json", "-", "--junit", out / "g.xml", "--markdown", out / "g.md", "--confidence", "0.5"]
    assert command(labelled, "gate", fake_bundle("pose"), "--reference", baseline, *files) == 10
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "FAIL" and document["exit_code"] == 10
    assert document["diagnosis"][0]["cause"] == "joint_shift"
    assert "right_ankle alone is moved by" in document["summary"]
    failures = ElementTree.parse(out / "g.xml").getroot().findall(".//failure")
    assert {failure.attrib["type"] for failure in failures} == {"FAIL"}
    assert any("right_ankle alone" in (failure.text or "") for failure in failures)
    assert "Accuracy gate: FAIL" in (out / "g.md").read_text()
    assert command(labelled, "baseline", "compare", baseline, fake_bundle("pose")) == 7
    assert "24 keypoints differ" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda persons: persons[0]["keypoints"].__setitem__(2, 0.01), "1 of their scores"),
        (lambda persons: persons[0]["keypoints"].__setitem__(0, 8.01), "1 keypoints differ"),
        (lambda persons: persons[0]["box"].__setitem__(4, 0.125), "and 1 boxes"),
        (lambda persons: persons[0]["box"].__setitem__(0, 8.25), "and 1 boxes"),
        (lambda persons: persons.pop(), "1 are new"),
    ],
)
def test_a_comparison_sees_scores_boxes_and_new_persons(
    fake_bundle: MakeBundle,
    labelled: Path,
    baseline: Path,
    capsys: pytest.CaptureFixture[str],
    edit: Callable[[list[dict[str, Any]]], Any],
    message: str,
) -> None:
    resign(baseline, lambda document: edit(document["persons"]))
    assert command(labelled, "baseline", "compare", baseline, fake_bundle("pose")) == 7
    assert message in capsys.readouterr().err


def test_a_comparison_runs_on_the_recorded_device(
    fake_bundle: MakeBundle,
    labelled: Path,
    baseline: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    devices: list[str] = []

    def watched(bundle: Path, data: Any, recipe: Recipe, **more: Any) -> Predictions:
        devices.append(recipe.device)
        return predict(bundle, data, dataclasses.replace(recipe, device="CPU"), **more)

    monkeypatch.setattr(baseline_job, "predict", watched)
    compare = ("baseline", "compare", baseline, fake_bundle("pose"))
    for edit in (
        lambda settings: None,
        lambda settings: settings.update(device="GPU"),
        lambda settings: settings.pop("device"),  # an old one
    ):
        resign(baseline, lambda document, edit=edit: edit(document["settings"]))
        assert command(labelled, *compare) == 0
    assert devices == ["CPU", "GPU", "CPU"]
    assert "recorded on the device" not in capsys.readouterr().err
    assert command(labelled, *compare, "--device", "GPU") == 0
    assert devices[-1] == "GPU"
    assert f"{baseline}: was recorded on the device CPU, and GPU rounds" in capsys.readouterr().err
    resign(baseline, lambda document: document["settings"].update(device=7))
    assert command(labelled, *compare) == 2


def test_a_comparison_runs_the_bundle_whatever_is_kept(
    fake_bundle: MakeBundle, labelled: Path, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Predictions] = []

    def watched(*arguments: Any, **more: Any) -> Predictions:
        runs.append(predict(*arguments, **more))
        return runs[-1]

    monkeypatch.setattr(baseline_job, "predict", watched)
    assert command(labelled, "baseline", "compare", baseline, fake_bundle("pose")) == 0
    assert [run.from_cache for run in runs] == [0]


def test_other_bundles_data_and_schemas_are_refused(
    fake_bundle: MakeBundle, labelled: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = fake_bundle("pose")

    def refused(message: str, code: int = 7, *more: str | Path) -> None:
        assert command(labelled, "gate", bundle, "--reference", *(more or (baseline,))) == code
        assert message in capsys.readouterr().err

    kept = baseline.read_text()
    baseline.write_text(kept.replace('"box":[8.0', '"box":[8.5', 1))
    refused("was changed since it was recorded")
    resign(baseline, lambda document: document.update(format_version=0))
    refused("a baseline of an older schema, version 0")
    resign(baseline, lambda document: document.update(format_version=2))
    refused("a baseline of another schema, version 2")
    baseline.write_text("{}")
    refused("not a baseline", 2)
    baseline.write_text(kept)
    refused("is a baseline itself", 2, baseline, "--baseline", baseline)
    refused("is a baseline, which holds no video", 2, baseline, "--video", labelled.parent / "a.mp4")
    refused("a.mp4: no such file", 2, bundle, "--video", labelled.parent / "a.mp4")
    refused("no such file", 2, labelled.parent / "none")
    resign(baseline, lambda document: document["bundle"].update(digest="cd" * 32))
    refused("of another digest: the bundle is abab", 7, bundle, "--baseline", baseline)
    baseline.write_text(kept)
    resign(baseline, lambda document: document["bundle"].update(preprocess_digest="cd" * 32))
    refused("of another digest: its preprocessing", 7, bundle, "--baseline", baseline)
    baseline.write_text(kept)
    writers.write_picture(labelled.parent / "images" / "3.png", np.zeros((60, 80, 3), np.uint8))
    refused("was recorded on other data")


def decided(labelled: Path, *arguments: str | Path) -> dict[str, Any]:
    out = labelled.parent / "decided.json"
    assert command(labelled, "gate", *arguments, "--samples", "200", "--json", out) in (0, 10, 11)
    document: dict[str, Any] = json.loads(out.read_text())
    return document


def test_a_bundle_that_was_calibrated_with_the_pictures_is_refused(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = [{"sha256": sha256_file(labelled.parent / "images" / "3.png")}]
    bundle = fake_bundle("pose", lineage=[{"step": "quantise", "arguments": {"calibration": seen}}])
    assert command(labelled, "gate", bundle, "--reference", bundle) == 2
    assert "calibrated with 1 of the 24 pictures, 3.png for example" in capsys.readouterr().err


def test_the_limits_are_those_of_the_candidate_s_precision(fake_bundle: MakeBundle, labelled: Path) -> None:
    for precision in ("fp32", "int8"):
        bundle = fake_bundle("pose", precision=precision)
        limits = decided(labelled, bundle, "--reference", bundle)["limits"]
        assert limits == limits_for(precision).as_member()
    asked = decided(labelled, bundle, "--reference", bundle, "--precision", "fp16")["limits"]
    assert asked == limits_for("fp16").as_member() != limits
    file = labelled.parent / "limits.json"
    file.write_text('{"ap_loss": 0.125}')
    own = decided(labelled, bundle, "--reference", bundle, "--limits", file)["limits"]
    assert (own["name"], own["ap_loss"]) == ("file", 0.125)


def test_the_boxes_are_those_that_the_baseline_was_recorded_with(
    fake_bundle: MakeBundle, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, recorded = fake_bundle("pose"), labelled.parent / "detected.json"
    assert command(labelled, "baseline", "record", bundle, "-o", recorded, "--boxes", "detected") == 0
    capsys.readouterr()
    assert decided(labelled, bundle, "--reference", recorded)["settings"]["boxes"] == "detected"
    assert "each picture is taken as one person" in capsys.readouterr().err
    assert command(labelled, "gate", bundle, "--reference", recorded, "--boxes", "labelled") == 7
    assert "detected boxes" in capsys.readouterr().err


def test_a_pass_says_that_the_detector_was_not_run(fake_bundle: MakeBundle, labelled: Path) -> None:
    words = "the detector was not run, which --boxes detected judges"
    for kind, said in (("top_down", True), ("pose", False)):
        bundle = fake_bundle(kind)
        found = decided(labelled, bundle, "--reference", bundle, "--confidence", "0.5")
        assert found["verdict"] == "PASS" and (words in found["summary"]) == said
    bundle, document = fake_bundle("top_down"), json.loads(labelled.read_text())
    for annotation in document["annotations"]:  # what the stand-in detects has an AP of 0
        del annotation["keypoints"]
    labelled.write_text(json.dumps(document))
    asked = ["--confidence", "0.5", "--boxes", "detected", "--budget", "unmatched_persons=50"]
    detected = decided(labelled, bundle, "--reference", bundle, *asked)
    assert detected["verdict"] == "PASS" and words not in detected["summary"]
