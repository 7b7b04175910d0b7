"""The gate's statistics and limits, without networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.errors import UsageError
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import bootstrap
from edgepose.verify.checks import unjudged_joints
from edgepose.verify.ci_formats import markdown
from edgepose.verify.compared import Compared, with_reference
from edgepose.verify.dataset import Dataset, Picture
from edgepose.verify.decision import Decision, decide
from edgepose.verify.diagnosis import diagnose
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.gate_members import scores_of, summary_of
from edgepose.verify.oks import match
from edgepose.verify.predictions import Predictions, subset

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


def test_checks_at_their_limits_do_not_hide_what_decides_the_others() -> None:
    data, run = persons(pictures=12)

    def jump(keypoints: Floats) -> None:
        keypoints[:1, :, :2] += 1.5

    found = decision(data, run, moved(run, jump))
    first = found.checks[0]
    needed = max(check.needed(12) or 0 for check in found.checks)
    at_limit = [
        dataclasses.replace(first, name="joint_mean", title=f"{joint}, mean drift", unit="input px",
                            estimate=0.99, low=0.5, high=2.0, limit=1.0)
        for joint in ("right_knee", "left_knee")
    ]  # fmt: skip
    for hopeless, said in (
        (at_limit[:1], "right_knee, mean drift: 0.99 input px lies at the limit 1"),
        (at_limit, "right_knee, mean drift and 1 more: they lie at their limits"),
    ):
        assert all(check.needed(12) is None for check in hopeless)
        both = dataclasses.replace(found, checks=(*found.checks, *hopeless))
        summary = summary_of(both, data, POINTS.keypoints, [])
        wanted = f"more pictures will hardly decide {said}, and about {needed} pictures would decide the rest"
        assert wanted in summary


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


def test_every_verdict_names_the_joints_that_are_not_judged() -> None:
    data, run = persons(pictures=60)

    def hide(keypoints: Floats) -> None:
        keypoints[:, 5, 2] = 0.0

    def shift(keypoints: Floats) -> None:
        keypoints[..., 0] += 20.0

    seen = moved(run, hide)
    causes = [{"cause": "joint_shift", "message": "the cause"}]
    for candidate, verdict in ((seen, "INCONCLUSIVE"), (moved(seen, shift), "FAIL")):
        found = decision(data, seen, candidate)
        assert found.verdict == verdict
        summary = summary_of(found, data, POINTS.keypoints, causes)
        assert summary.endswith("; too seldom seen to be judged: left_shoulder")


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


def test_labels_that_nothing_matches_lose_nothing_and_decide_nothing() -> None:
    data, run = persons(pictures=120)
    elsewhere = data.keypoints.copy()
    elsewhere[..., 0] += 5000
    data = dataclasses.replace(data, keypoints=elsewhere)
    found = decision(data, run, run)
    check = found.checks[0]
    assert (check.name, check.verdict, found.verdict) == ("ap_loss", "INCONCLUSIVE", "INCONCLUSIVE")
    summary = summary_of(found, data, POINTS.keypoints, [])
    assert summary.startswith("the reference's own AP is 0") and "None" not in summary


def test_who_finds_nobody_is_not_told_of_labels() -> None:
    data, run = persons(pictures=120)
    nobody = subset(run, [])
    summary = summary_of(decision(data, nobody, nobody), data, POINTS.keypoints, [])
    assert summary.endswith("give ones that show people; too seldom seen to be judged: all joints")
    assert "drift" in summary


def test_nothing_to_compare_is_inconclusive() -> None:
    data, run = persons(pictures=4)

    def silence(keypoints: Floats) -> None:
        keypoints[..., 2] = 0

    silent = moved(run, silence)
    found = decision(data, silent, silent)
    assert found.verdict == "INCONCLUSIVE"
    summary = summary_of(found, data, POINTS.keypoints, [])
    assert "there is nothing to compare" in summary and "; give ones that show people" in summary
    assert "nan" not in summary


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


def test_both_runs_see_the_same_resamplings() -> None:
    """What makes a picture hard cancels out of their difference, whose interval is narrow."""
    data, run = persons()
    random = np.random.default_rng(3)

    def blur(keypoints: Floats) -> None:
        keypoints[..., :2] += random.normal(0, 1, keypoints[..., :2].shape)

    candidate = moved(run, blur)
    found = decision(data, run, candidate, seed=5)
    drawn = bootstrap.resample(60, 500, 5)
    assert np.array_equal(found.weights, drawn)
    assert found.ap is not None
    for ap, persons_of in zip(found.ap, (run, candidate), strict=True):
        matches = bootstrap.ApOfWeights(match(data, persons_of, POINTS.sigmas))
        assert np.array_equal(ap[1:], matches.of(drawn))
        assert ap[0] == matches.of(np.ones((1, 60), np.uint8))[0]
    check = found.checks[0]
    low, high = bootstrap.interval(found.ap[0][1:], 0.95)
    assert check.name == "ap_loss" and check.low < check.estimate < check.high
    assert check.high - check.low < (high - low) / 2
