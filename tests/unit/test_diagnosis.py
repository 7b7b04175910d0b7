"""The causes that the gate names: each planted, and told from those that are alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.verify.compared import Compared
from edgepose.verify.diagnosis import diagnose
from edgepose.verify.predictions import Recipe

Floats = NDArray[np.float64]
PERSONS, JOINTS = 40, 10
NAMES = [f"j{n}" for n in range(JOINTS)]


def drift_of(change: Callable[[Floats], Any], depths: tuple[Floats, Floats] | None = None) -> Compared:
    """Compare persons of 200 px with what `change` makes of their points (M, K, 3)."""
    random = np.random.default_rng(0)
    other = np.concatenate(
        [random.uniform(0, 200, (PERSONS, JOINTS, 2)), np.full((PERSONS, JOINTS, 1), 0.9)], axis=2
    )
    candidate = other.copy()
    change(candidate)
    people, none = np.arange(PERSONS), np.zeros(PERSONS, np.int64)
    return Compared(
        "reference", other, candidate, np.ones((PERSONS, JOINTS), bool), people, people,
        np.tile([0.0, 0.0, 200.0, 200.0], (PERSONS, 1)), np.full(PERSONS, 0.5), none, none, depths,
    )  # fmt: skip


def noise(size_px: float) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        points[..., :2] += np.random.default_rng(1).normal(0, size_px, points[..., :2].shape)

    return change


def causes(drift: Compared, **more: Any) -> list[tuple[str, str]]:
    known: dict[str, Any] = {
        "names": NAMES, "constants": ({}, {}), "split_ratio": 2.0, "precision": "fp16", "again": None,
    }  # fmt: skip
    return [(cause.cause, cause.message) for cause in diagnose(drift, **{**known, **more})]


def exchange(*pairs: tuple[int, int]) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        for a, b in pairs:
            points[:, [a, b]] = points[:, [b, a]]

    return change


def test_joints_that_are_exchanged() -> None:
    assert causes(drift_of(exchange((0, 1)))) == [("swapped_joints", "j0 and j1 are exchanged")]
    found = causes(drift_of(exchange((0, 9), (2, 3), (5, 7))))
    assert [message for _, message in found] == [
        "j0 and j9 are exchanged", "j2 and j3 are exchanged", "j5 and j7 are exchanged",
    ]  # fmt: skip
    (cause,) = causes(drift_of(exchange((0, 9), (2, 3), (4, 6), (5, 7))))
    assert cause[1] == (
        "4 pairs of joints: j0 and j9 are exchanged; j2 and j3 are exchanged; j4 and j6 are exchanged; ..."
    )


def test_a_joint_in_the_place_of_another() -> None:
    def copy(points: Floats) -> None:
        points[:, 4] = points[:, 0]

    assert causes(drift_of(copy)) == [("swapped_joints", "j4 lies where the reference has j0")]


@pytest.mark.parametrize(
    ("shift_px", "split_ratio", "message"),
    [
        (
            (1, 0),
            2.0,
            "moved by (+0.50, +0.00) px of the network's input, that is one SimCC bin (x +1, y +0;",
        ),
        ((0, -1), 2.0, "(+0.00, -0.50) px of the network's input, that is one SimCC bin (x +0, y -1; split"),
        (
            (2, 1),
            2.0,
            "(+1.00, +0.50) px of the network's input, that is SimCC bins (x +2, y +1; split ratio 2)",
        ),
        ((1, 0), None, "every keypoint is moved by (+0.50, +0.00) px of the network's input"),
        ((0.6, 0), 2.0, "every keypoint is moved by (+0.30, +0.00) px of the network's input"),
    ],
)
def test_a_shift_of_all_points(
    shift_px: tuple[float, float], split_ratio: float | None, message: str
) -> None:
    def shift(points: Floats) -> None:
        points[..., :2] += shift_px

    ((cause, text),) = causes(drift_of(shift), split_ratio=split_ratio)
    assert cause == "bin_shift" and message in text
    assert ("SimCC" in text) == ("SimCC" in message)


def test_a_shift_that_few_points_share_or_that_is_small_is_none() -> None:
    def some(points: Floats) -> None:
        noise(3)(points)
        points[:, 0, :2] += 0.2  # of 0.14 px in the network's input

    assert [cause for cause, _ in causes(drift_of(some))] == ["unknown"]

    def most(points: Floats) -> None:  # joints, each in a way of its own
        points[:, :5, :2] += np.arange(5)[:, None] + 1.0

    assert [cause for cause, _ in causes(drift_of(most))] == ["unknown"]


def test_scores_that_collapse() -> None:
    def dim(share: float) -> Callable[[Floats], None]:
        def change(points: Floats) -> None:
            points[..., 2] *= share

        return change

    ((cause, text),) = causes(drift_of(dim(0.09)))
    assert cause == "dead_output" and "collapsed to 9.0 % of the reference's" in text
    assert causes(drift_of(dim(0.2)))[0][0] == "unknown"


@pytest.mark.parametrize(
    ("cure", "message"),
    [
        (Recipe(swap_channels=True), "agrees with the reference when red and blue are exchanged ("),
        (Recipe(box_scale=1.25 / 1.2), "when its boxes are made 1.042 times as large ("),
        (Recipe(box_scale=1.2 / 1.25), "when its boxes are made 0.960 times as large ("),
        (Recipe(box_scale=1.25), "when its boxes are made 1.250 times as large ("),
        (Recipe(box_scale=1 / 1.25), "when its boxes are made 0.800 times as large ("),
        (Recipe(box_scale=1.1), "when its boxes are made 1.100 times as large ("),
        (Recipe(box_scale=1 / 1.1), "when its boxes are made 0.909 times as large ("),
    ],
)
def test_an_experiment_tells_the_cause(cure: Recipe, message: str) -> None:
    """The nearer a run's input is to the reference's, the smaller is the drift."""
    before = drift_of(noise(4))

    def again(changed: Recipe) -> tuple[Compared, Compared]:
        cured = changed.swap_channels == cure.swap_channels
        near = abs(np.log(changed.box_scale / cure.box_scale)) * 20
        return before, drift_of(noise(0.4 + near if cured else 4))

    ((cause, text),) = causes(before, again=again)
    assert cause == ("colour_order" if cure.swap_channels else "box_padding") and message in text
    assert "becomes 0.2" in text and before.distance_input_px.mean() > 2


def test_an_experiment_that_helps_little_explains_nothing() -> None:
    before = drift_of(noise(4))
    found = causes(before, again=lambda _: (before, drift_of(noise(2.4))))
    assert [cause for cause, _ in found] == ["unknown"]
    nothing = dataclasses.replace(before, candidate=before.other)
    assert causes(nothing, again=lambda _: (nothing, nothing)) == []  # persons were lost, no point moved


def test_constants_count_as_far_as_they_were_used() -> None:
    names = ("detector.head.score_threshold", "pipeline.box_score_threshold", "pose.head.split_ratio")
    pair = tuple(dict(zip(names, values, strict=True)) for values in ((0.05, 0.3, 2), (0.5, 0.6, 4)))
    for constants, score in zip(pair, (0.3, 3.0), strict=True):
        constants["pipeline.keypoint_score_threshold"] = score  # nobody is tracked in pictures
    for boxes, count in (("labelled", 1), ("detected", 3)):
        found = [text for _, text in causes(drift_of(noise(4)), constants=pair, boxes=boxes)]
        assert len(found) == count and found[-1].startswith("pose.head.split_ratio is 4")


def test_constants_explain_themselves_without_an_experiment() -> None:
    def never(_: Recipe) -> tuple[Compared, Compared]:
        raise AssertionError

    named = ({"pose.preprocess.color": "rgb"}, {"pose.preprocess.color": "bgr"})
    assert causes(drift_of(noise(4)), constants=named, again=never) == [
        ("colour_order", "pose.preprocess.color is 'bgr' in the candidate, 'rgb' in the reference")
    ]
    named = (
        {"pipeline.person_label": 0, "a.keypoints": ["x", "y", "z"]},
        {"pipeline.person_label": 1, "a.keypoints": ["x", "z", "y"]},
    )
    assert causes(drift_of(noise(4)), constants=named, again=never) == [
        ("swapped_joints", "a.keypoints differ: point 1 is 'z', not 'y'; point 2 is 'y', not 'z'")
    ]


def test_depths_that_do_not_vary_or_hardly_change_have_no_cause_of_their_own() -> None:
    flat, some = np.zeros((PERSONS, JOINTS)), np.random.default_rng(2).uniform(-1, 1, (PERSONS, JOINTS))
    for depths in ((flat, flat + 0.1), (some, some + 0.0009)):
        assert [cause for cause, _ in causes(drift_of(noise(4), depths))] == ["unknown"]
    assert [cause for cause, _ in causes(drift_of(noise(4), (some, some + 0.0011)))] == ["depth"]


def test_what_rounding_leaves_is_described_by_the_joints_that_drift_most() -> None:
    def worst(points: Floats) -> None:
        noise(1)(points)
        points[:, 7, :2] += np.random.default_rng(3).normal(0, 9, (PERSONS, 2))
        points[:20, 3] = drift_of(np.copy).other[:20, 3]

    ((cause, text),) = causes(drift_of(worst), precision="mixed")
    assert cause == "low_precision" and text.startswith("95 % of the keypoints drift, most of all j7, ")
    advice = "Calibrate on pictures like these (--precision auto), or use fp16"
    assert text.endswith(f"rounding to mixed. {advice}")
