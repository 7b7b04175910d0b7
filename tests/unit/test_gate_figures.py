"""What the documents of `eval` and `gate` say beside the verdict, against figures made in another way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify.coco_library import average_precision, parts_of
from edgepose.verify.compared import Compared, with_labels, with_reference
from edgepose.verify.dataset import Dataset, Picture
from edgepose.verify.decision import Decision, decide
from edgepose.verify.evaluation import drift_document
from edgepose.verify.figures import errors_member, worst_member
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.gate_members import accuracy_of, scores_of
from edgepose.verify.predictions import Predictions
from edgepose.verify.run_info import data_member

POINTS = KEYPOINT_SETS["coco17"]
PICTURES, EACH = 24, 2
PERSONS = PICTURES * EACH


def labels(seed: int = 0) -> Dataset:
    """Make two persons of 100 px in each picture; a third of the points is not labelled, and has a place."""
    random = np.random.default_rng(seed)
    corner = np.tile([[0.0, 0.0], [300.0, 0.0]], (PICTURES, 1)) + random.uniform(0, 50, (PERSONS, 2))
    keypoints = np.concatenate(
        [corner[:, None] + random.uniform(0, 100, (PERSONS, 17, 2)), np.zeros((PERSONS, 17, 1))], axis=2
    )
    keypoints[..., 2] = random.integers(0, 3, (PERSONS, 17))
    keypoints[-1, :, 2] = 0
    return Dataset(
        path=Path("labels.json"), digest="d",
        pictures=tuple(Picture(n + 7, f"{n}.png", Path(f"{n}.png")) for n in range(PICTURES)),
        annotation_ids=np.arange(PERSONS) + 100, picture_of=np.repeat(np.arange(PICTURES), EACH),
        boxes=np.concatenate([corner, corner + 100], axis=1), areas=np.full(PERSONS, 5300.0),
        keypoints=keypoints, crowd=np.zeros(PERSONS, bool),
    )  # fmt: skip


def run(data: Dataset, noise_px: float, seed: int = 1) -> Predictions:
    """Find every person, some better than others."""
    random = np.random.default_rng(seed)
    found = data.keypoints.copy()
    found[..., :2] += random.normal(0, 1, (PERSONS, 17, 2)) * random.uniform(0, noise_px, (PERSONS, 1, 1))
    found[..., 2] = random.uniform(0.3, 1, (PERSONS, 17))
    boxes = np.concatenate([data.boxes, np.ones((PERSONS, 1))], axis=1)
    return Predictions(
        data.picture_of, np.arange(PERSONS), boxes, found, np.full(PERSONS, 0.5), ("0",) * PICTURES
    )


def decision(data: Dataset, reference: Predictions, candidate: Predictions) -> Decision:
    return decide(
        data, reference, candidate, limits_for("int8"), names=POINTS.keypoints, sigmas=POINTS.sigmas,
        seen=0.3, samples=100,
    )  # fmt: skip


def drift_of(reference: Predictions, candidate: Predictions) -> Compared:
    return with_reference(reference, candidate, pictures=PICTURES, seen=0.3)


def test_the_accuracy_of_both_runs_is_the_library_s() -> None:
    data = labels()
    theirs, mine = run(data, 12), run(data, 20, seed=2)
    made = decision(data, theirs, mine)
    members = accuracy_of(data, theirs, mine, POINTS.sigmas, made, 0.95)
    assert members is not None
    for name, found in (("reference", theirs), ("candidate", mine)):
        figures = average_precision(data, found, POINTS)["body"]
        assert 10 < figures["AP75"] < figures["AP"] < figures["AP50"] < 95
        assert members[name] == {key: pytest.approx(figures[key], abs=1e-4) for key in members[name]}
        assert set(members[name]) == {"AP", "AP50", "AP75", "AR"}
    lost = members["reference"]["AP"] - members["candidate"]["AP"]
    low, high = members["AP_difference_interval"]
    assert members["difference"]["AP"] == pytest.approx(-lost, abs=1e-3) and low < -lost < high
    check = made.checks[0]
    assert (check.name, check.estimate, check.shown) == ("ap_loss", pytest.approx(lost, abs=1e-3), PICTURES)
    assert (-check.high, -check.low) == pytest.approx((low, high), abs=1e-3)


def test_points_that_are_not_labelled_count_nowhere_wherever_they_lie() -> None:
    data = labels()
    elsewhere = dataclasses.replace(data, keypoints=data.keypoints.copy())
    elsewhere.keypoints[data.keypoints[..., 2] == 0, :2] = 0
    found = run(data, 12)
    assert average_precision(data, found, POINTS) == average_precision(elsewhere, found, POINTS)
    assert len(data.labelled) == PERSONS - 1
    member = data_member(data, found)
    assert (member["persons"], member["images"]) == (PERSONS, PICTURES)
    assert member["labelled_keypoints"] == np.count_nonzero(data.keypoints[..., 2])


def test_errors_are_those_of_the_labelled_points() -> None:
    data = labels()
    data.boxes[:, 3] -= 40
    found = run(data, 0)
    found.keypoints[:, 0, 0] += 9.9  # boxes are 100 px wide, and 60 high
    found.keypoints[:, 1, 1] += 10.1
    found.keypoints[data.keypoints[..., 2] == 0] = 999
    member = errors_member(with_labels(data, found), POINTS.keypoints, data)
    counts = (data.keypoints[..., 2] > 0).sum(axis=0)
    total = counts.sum()
    assert [row["compared"] for row in member["per_keypoint"]] == counts.tolist()
    assert [row["pck_0.1"] for row in member["per_keypoint"]] == [100.0, 0.0, *[100.0] * 15]
    assert [row["mean_px"] for row in member["per_keypoint"]] == pytest.approx([9.9, 10.1, *[0] * 15])
    for share, far in (("0.05", counts[0] + counts[1]), ("0.1", counts[1]), ("0.2", 0)):
        assert member["pck"][share] == pytest.approx(100 * (total - far) / total, abs=1e-3)
    assert (member["error_px"]["compared"], member["error_px"]["max"]) == (total, pytest.approx(10.1))


def test_the_worst_persons_are_those_with_the_farthest_point() -> None:
    data = labels()
    theirs = run(data, 5)
    candidate = dataclasses.replace(theirs, keypoints=theirs.keypoints.copy())
    # Each moves by two points; the farther one of each is sure.
    theirs.keypoints[..., 2] = 0.9
    for place, person in enumerate(range(3, 17)):
        candidate.keypoints[person, 4, 0] += 20 + place
        candidate.keypoints[person, 5, 0] += 10 - place / 2
    worst = worst_member(drift_of(theirs, candidate), data, POINTS.keypoints)
    assert [entry["annotation_id"] for entry in worst] == list(range(116, 104, -1))
    assert [entry["distance_px"] for entry in worst] == [33.0 - n for n in range(12)]
    assert {entry["keypoint"] for entry in worst} == {POINTS.keypoints[4]}
    assert (worst[0]["image_id"], worst[0]["image"]) == (15, "8.png")
    assert worst[0]["box_xyxy"] == pytest.approx(data.boxes[16], abs=0.01)
    candidate.keypoints[5:] = theirs.keypoints[5:]
    few = worst_member(drift_of(theirs, candidate), data, POINTS.keypoints)
    assert [entry["annotation_id"] for entry in few] == [104, 103]
    assert worst_member(drift_of(theirs, theirs), data, POINTS.keypoints) == []


def test_the_drift_s_figures_agree_with_its_checks() -> None:
    data = labels()
    theirs, mine = run(data, 5), run(data, 5, seed=2)
    made = decision(data, theirs, mine)
    document = drift_document(made.drift, POINTS.keypoints, made.weights, 0.95)
    checks = {(check.name, check.keypoint): check for check in made.checks}
    mean, p95 = checks["drift_mean", None], checks["drift_p95", None]
    assert document["mean_input_px_interval"] == pytest.approx([mean.low, mean.high], abs=1e-4)
    assert mean.low < mean.estimate < mean.high and p95.low <= p95.estimate <= p95.high
    figures = document["input_px"]
    assert (figures["mean"], figures["p95"]) == pytest.approx((mean.estimate, p95.estimate), abs=1e-4)
    assert document["px"]["mean"] == pytest.approx(2 * figures["mean"], abs=1e-3)
    for row in document["per_keypoint"]:
        joint = checks["joint_mean", row["name"]]
        assert row["mean_input_px"] == pytest.approx(joint.estimate, abs=1e-4)
        assert joint.low < joint.estimate < joint.high and joint.high - joint.low > mean.high - mean.low


def test_scores_are_compared_by_the_reference_s() -> None:
    data = labels()
    theirs = run(data, 5)
    mine = dataclasses.replace(theirs, keypoints=theirs.keypoints.copy())
    high = theirs.keypoints[..., 2] >= 0.8
    mine.keypoints[high, 2] -= 0.1
    found: dict[str, Any] = scores_of(decision(data, theirs, mine), 0.95)
    share = float(high.mean())
    assert found["shift"] == pytest.approx(-0.1 * share, abs=1e-4)
    assert found["candidate_mean"] - found["reference_mean"] == pytest.approx(found["shift"], abs=2e-4)
    low, upper = found["shift_interval"]
    assert low < found["shift"] < upper < 0 and upper - low < 0.05
    rows = found["by_reference_score"]
    assert [(row["from"], row["to"]) for row in rows] == [(n / 10, (n + 1) / 10) for n in range(3, 10)]
    assert [row["shift"] for row in rows] == pytest.approx([0, 0, 0, 0, 0, -0.1, -0.1])
    assert sum(row["count"] for row in rows) == PERSONS * 17


def test_the_parts_of_a_whole_body_are_its_points() -> None:
    names = KEYPOINT_SETS["wholebody133"].keypoints
    parts = parts_of(KEYPOINT_SETS["wholebody133"])
    assert list(parts) == ["wholebody", "body", "foot", "face", "left_hand", "right_hand"]
    whole, *others = parts.values()
    assert [k for part in others for k in part] == list(whole) == list(range(133))
    assert (names[parts["body"][-1]], names[parts["foot"][0]], names[parts["foot"][-1]]) == (
        "right_ankle", "left_big_toe", "right_heel",
    )  # fmt: skip
    assert {names[k].split("-")[0] for k in parts["face"]} == {"face"}
    assert (names[parts["left_hand"][0]], names[parts["right_hand"][0]]) == (
        "left_hand_root", "right_hand_root",
    )  # fmt: skip
