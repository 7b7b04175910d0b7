"""The gate's statistics, limits, documents and baselines, without networks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose import writers
from edgepose.cli.main import main
from edgepose.errors import UsageError
from edgepose.hashing import sha256_json
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import baseline_job
from edgepose.verify.checks import unjudged_joints
from edgepose.verify.ci_formats import markdown
from edgepose.verify.compared import Compared, with_reference
from edgepose.verify.dataset import Dataset, Picture
from edgepose.verify.decision import Decision, decide
from edgepose.verify.diagnosis import diagnose
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.gate_members import scores_of, summary_of
from edgepose.verify.predictions import Predictions, predict, subset

MakeBundle = Callable[..., Path]
Floats = NDArray[np.float64]
POINTS = KEYPOINT_SETS["coco17"]


def persons(pictures: int = 60, each: int = 2, seed: int = 0) -> tuple[Dataset, Predictions]:
    """Make labelled persons, and a run that finds them with some noise."""
    random = np.random.default_rng(seed)
    count = pictures * each
    picture_of = np.repeat(np.arange(pictures), each)
    corner = random.uniform(0, 300, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(80, 200, (count, 2))], axis=1)
    sides = boxes[:, 2:] - boxes[:, :2]
    places = boxes[:, None, :2] + random.uniform(0, 1, (count, 17, 2)) * sides[:, None]
    labels = np.concatenate([places, np.full((count, 17, 1), 2.0)], axis=2)
    found = labels.copy()
    found[..., :2] += random.normal(0, 8, (count, 17, 2))
    found[..., 2] = random.uniform(0.3, 1, (count, 17))
    data = Dataset(
        path=Path("labels.json"), digest="d",
        pictures=tuple(Picture(n + 1, f"{n}.png", Path(f"{n}.png")) for n in range(pictures)),
        annotation_ids=np.arange(count), picture_of=picture_of, boxes=boxes,
        areas=sides.prod(axis=1) * 0.5, keypoints=labels, crowd=np.zeros(count, bool),
    )  # fmt: skip
    scored = np.concatenate([boxes, np.ones((count, 1))], axis=1)
    return data, Predictions(picture_of, np.arange(count), scored, found, np.ones(count), ())


def moved(run: Predictions, change: Callable[[Floats], None]) -> Predictions:
    keypoints = run.keypoints.copy()
    change(keypoints)
    return dataclasses.replace(run, keypoints=keypoints)


def decision(data: Dataset, reference: Predictions, candidate: Predictions, **more: Any) -> Decision:
    return decide(
        data, reference, candidate, limits_for("fp16"), names=POINTS.keypoints, sigmas=POINTS.sigmas,
        seen=0.3, samples=500, **more,
    )  # fmt: skip


def test_an_equal_run_passes_with_zeros() -> None:
    data, run = persons(pictures=99)
    found = decision(data, run, run)
    assert found.verdict == "PASS" and len(found.checks) == 4 + 2 * 17
    assert {check.estimate for check in found.checks} == {0.0}
    assert {(check.low, check.high) for check in found.checks} == {(0.0, 0.0)}
    summary = summary_of(found, data, POINTS.keypoints, [])
    assert summary == "all 38 checks are within their limits on 99 pictures"


def test_one_joint_moved_by_two_pixels_fails() -> None:
    data, run = persons()

    def move(keypoints: Floats) -> None:
        keypoints[:, 9, 0] += 2

    found = decision(data, run, moved(run, move))
    failed = {(check.name, check.keypoint) for check in found.checks if check.verdict == "FAIL"}
    assert found.verdict == "FAIL" and ("joint_mean", "left_wrist") in failed
    assert {keypoint for _, keypoint in failed} == {"left_wrist"}


def test_few_pictures_are_inconclusive_and_say_how_many_decide() -> None:
    data, run = persons(pictures=12)
    random = np.random.default_rng(1)

    def jump(keypoints: Floats) -> None:
        keypoints[:1, :, :2] += random.normal(0, 4, (1, 17, 2))

    found = decision(data, run, moved(run, jump))
    assert found.verdict == "INCONCLUSIVE"
    needed = [check.needed(12) for check in found.checks if check.verdict == "INCONCLUSIVE"]
    assert all(count is None or count > 12 for count in needed) and any(needed)
    assert all(check.needed(12) is None for check in found.checks if check.verdict != "INCONCLUSIVE")


# Ten pictures can fail a candidate; 99 are the fewest that pass one.
@pytest.mark.parametrize(("offset", "needed"), [(0.0, {99}), (20.0, {10, 99})])
def test_too_few_pictures_decide_nothing(offset: float, needed: set[int]) -> None:
    data, run = persons(pictures=9)

    def shift(keypoints: Floats) -> None:
        keypoints[..., 0] += offset

    found = decision(data, run, moved(run, shift))
    assert {check.verdict for check in found.checks} == {"INCONCLUSIVE"}
    assert {check.needed(9) for check in found.checks} == needed
    drift = {check.needed(9) for check in found.checks if check.name.startswith("drift")}
    assert drift == {min(needed)}


def test_a_joint_seen_in_one_picture_only_is_not_judged() -> None:
    data, run = persons(pictures=100, each=12)

    def crowd(keypoints: Floats) -> None:
        keypoints[12:, 5, 2] = 0.0  # below every threshold in all pictures but the first

    seen = moved(run, crowd)
    found = decision(data, seen, seen)
    assert unjudged_joints(found.drift, POINTS.keypoints) == ["left_shoulder"]
    assert "left_shoulder" not in {check.keypoint for check in found.checks}
    assert found.verdict == "PASS"


def test_a_candidate_that_finds_nobody_fails() -> None:
    data, run = persons()
    run = dataclasses.replace(run, person_of=np.full(len(run.boxes), -1))
    nobody = subset(run, [])
    unlabelled = dataclasses.replace(data, keypoints=data.keypoints * [1, 1, 0])
    found = decision(unlabelled, run, nobody)
    assert [(check.name, check.estimate) for check in found.checks] == [("unmatched_persons", 100.0)]
    assert found.verdict == "FAIL"


def with_strangers(run: Predictions, each: int, pictures: int = 60) -> Predictions:
    """Add persons to every picture, beside those who are there."""
    count = each * pictures
    picture_of = np.concatenate([run.picture_of, np.repeat(np.arange(pictures), each)])
    order = np.argsort(picture_of, kind="stable")
    corner = np.stack([np.full(count, 900.0), np.tile(np.arange(each) * 200.0, pictures)], axis=1)
    boxes = np.concatenate([corner, corner + 100, np.full((count, 1), 0.9)], axis=1)
    return dataclasses.replace(
        run,
        picture_of=picture_of[order],
        person_of=np.concatenate([run.person_of, np.full(count, -1)])[order],
        boxes=np.concatenate([run.boxes, boxes])[order],
        keypoints=np.concatenate([run.keypoints, np.full((count, 17, 3), 0.9)])[order],
        input_scale=np.concatenate([run.input_scale, np.ones(count)])[order],
    )


def test_a_candidate_that_invents_persons_fails() -> None:
    data, run = persons(pictures=200)
    run = dataclasses.replace(run, person_of=np.full(len(run.boxes), -1))
    unlabelled = dataclasses.replace(data, keypoints=data.keypoints * [1, 1, 0])
    found = decision(unlabelled, run, with_strangers(run, 5, 200))
    (check,) = (check for check in found.checks if check.verdict != "PASS")
    assert (check.name, check.verdict) == ("added_persons", "FAIL")
    assert check.estimate == pytest.approx(100 * 5 / 7)
    assert check.limit == limits_for("fp16").unmatched_persons
    # AP does not see those whose scores are below all others.
    strangers = with_strangers(run, 5, 200)
    strangers.boxes[strangers.boxes[:, 4] < 1, 4] = 0.01
    found = decision(data, run, strangers)
    assert found.ap is not None and found.ap[0][0] == found.ap[1][0]
    assert [check.name for check in found.checks if check.verdict != "PASS"] == ["added_persons"]
    # Where the reference finds nobody, nothing else is left to judge.
    nobody = subset(run, [])
    found = decision(unlabelled, nobody, run)
    assert [(check.name, check.estimate) for check in found.checks] == [("added_persons", 100.0)]
    assert found.verdict == "FAIL"
    assert decision(unlabelled, nobody, nobody).verdict == "INCONCLUSIVE"


def test_a_loss_of_accuracy_fails() -> None:
    data, run = persons(pictures=200)
    random = np.random.default_rng(2)

    def spoil(keypoints: Floats) -> None:
        keypoints[::10, :, :2] += random.normal(0, 60, keypoints[::10, :, :2].shape)

    found = decision(data, run, moved(run, spoil))
    check = found.checks[0]
    assert check.name == "ap_loss" and check.verdict == "FAIL" and check.low > 0.3


def test_nothing_to_compare_is_inconclusive() -> None:
    data, run = persons(pictures=4)

    def silence(keypoints: Floats) -> None:
        keypoints[..., 2] = 0

    silent = moved(run, silence)
    assert decision(data, silent, silent).verdict == "INCONCLUSIVE"


def test_every_score_is_in_a_bin() -> None:
    data, run = persons()

    def certain(keypoints: Floats) -> None:
        keypoints[::3, :, 2] = 1.0

    sure = moved(run, certain)
    rows = scores_of(decision(data, sure, sure), 0.95)["by_reference_score"]
    assert sum(row["count"] for row in rows) == sure.keypoints[..., 2].size


def causes(run: Predictions, candidate: Predictions, **more: Any) -> list[tuple[str, str]]:
    drift: Compared = with_reference(run, candidate, pictures=60, seen=0.3)
    known: dict[str, Any] = {
        "names": POINTS.keypoints, "constants": ({}, {}), "split_ratio": 2.0, "precision": "fp16",
        "again": None,
    }  # fmt: skip
    return [(cause.cause, cause.message) for cause in diagnose(drift, **{**known, **more})]


def test_the_traces_of_defects() -> None:
    _, run = persons()

    def swap(keypoints: Floats) -> None:
        keypoints[:, [15, 16]] = keypoints[:, [16, 15]]

    def shift_all(keypoints: Floats) -> None:
        keypoints[..., 1] -= 0.5

    def shift_one(keypoints: Floats) -> None:
        keypoints[:, 0, 0] += 3

    def silence(keypoints: Floats) -> None:
        keypoints[..., 2] *= 0.01

    def noise(keypoints: Floats) -> None:
        keypoints[..., :2] += np.random.default_rng(0).normal(0, 3, keypoints[..., :2].shape)

    (swapped,) = causes(run, moved(run, swap))
    assert swapped == ("swapped_joints", "left_ankle and right_ankle are exchanged")
    (all_moved,) = causes(run, moved(run, shift_all))
    assert all_moved[0] == "bin_shift" and "one SimCC bin (x +0, y -1" in all_moved[1]
    (one_moved,) = causes(run, moved(run, shift_one))
    assert one_moved[0] == "joint_shift" and one_moved[1].startswith("nose alone is moved by (+3.00, +0.00)")
    assert causes(run, moved(run, silence))[0][0] == "dead_output"
    assert [cause for cause, _ in causes(run, moved(run, noise), precision="int8")] == ["low_precision"]
    assert [cause for cause, _ in causes(run, moved(run, noise))] == ["unknown"]
    named = ({"pose.preprocess.mean": [1]}, {"pose.preprocess.mean": [2]})
    assert causes(run, moved(run, noise), constants=named)[0] == (
        "constants", "pose.preprocess.mean is [2] in the candidate, [1] in the reference",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not an object of limits"),
        ('{"ap_los": 1}', "there is no limit 'ap_los'"),
        ('{"fp16": {"ap_loss": -1}}', "ap_loss is -1"),
        ('{"fp16": {"ap_loss": "1"}}', "ap_loss is '1'"),
        ('{"fp16": {"ap_loss": true}}', "ap_loss is True"),
        ('{"fp16": {"ap_loss": Infinity}}', "ap_loss is inf"),
        ('{"int8": {"ap_loss": 1}}', "has no limits for the precision 'fp16', only for int8"),
        ('{"ftp16": {"ap_loss": 1}}', "'ftp16' is no precision"),
        ('{"fp16": {}, "ap_loss": 1}', "'ap_loss' is no precision"),
    ],
)
def test_bad_limits_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        limits_for("fp16", file=path)


def test_limits_of_a_file_and_budgets(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text('{"fp16": {"ap_loss": 2.5}, "int8": {"ap_loss": 9}}')
    found = limits_for("fp16", file=path, budgets=("joint_mean_input_px=3",))
    assert (found.ap_loss, found.joint_mean_input_px, found.name) == (2.5, 3.0, "file")
    assert found.drift_mean_input_px == limits_for("fp16").drift_mean_input_px
    assert limits_for("fp32", budgets=("1.5",)).ap_loss == 1.5
    path.write_text('{"ap_loss": 4}')
    assert limits_for("int8", file=path).ap_loss == 4
    for budget in ("x", "ap_loss=", "none=1", "0", "inf", "nan"):
        with pytest.raises(UsageError, match="--budget"):
            limits_for("fp32", budgets=(budget,))


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
        assert "Accuracy gate: PASS" in (out / "g.md").read_text()
    more = ("--reference", bundle, "--baseline", baseline, "--json", out / "g.json")
    assert command(labelled, "gate", bundle, *more, "--confidence", "0.5") == 0
    # An equal bundle has no cause of a drift to name: there are too few pictures, that is all.
    assert command(labelled, "gate", bundle, *more) == 11
    document = json.loads((out / "g.json").read_text())
    assert document["diagnosis"] == [] and "so few may lack the bad ones" in document["summary"]
    assert "about 99 pictures would decide" in document["summary"]


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


def test_names_cannot_break_the_comment() -> None:
    bundle = {"name": "a|<b>`c`", "backend": "ncnn", "precision": "fp16", "digest": "0"}
    document = {
        "verdict": "PASS", "summary": "fine | <script>", "checks": [], "diagnosis": [],
        "candidate": bundle, "reference": {**bundle, "kind": "bundle"}, "data": {"images": 1},
        "drift": {"persons": 1, "per_keypoint": []}, "settings": {"confidence": 0.95, "samples": 10},
        "video": None,
    }  # fmt: skip
    assert "intervals at 95%, 10" in markdown(document)
    document["settings"]["confidence"] = 0.999
    text = markdown(document)
    assert "intervals at 99.9%, 10" in text
    assert "<script>" not in text and "<b>" not in text and "fine \\| &lt;script&gt;" in text
