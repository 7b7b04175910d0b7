"""How near a quantised network is to the float one: what counts, and what the budget of int8 refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from toy_pose import WHOLE_BODY, whole_bodies

from edgepose.artifact import BoxHead, KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.calibration.agreement import Outputs, compare, figures_json, output_error
from edgepose.calibration.search import default_budget
from edgepose.errors import CalibrationError

Array = NDArray[np.float32]

SIDE, KEYPOINTS = 64, 6
DETECTOR = ModelSpec(
    name="toy-detector",
    family="rtmdet",
    task="detect",
    preprocess=Preprocess("letterbox", (SIDE, SIDE), "bgr", (1, 2, 3), (4, 5, 6), (114, 114, 114)),
    head=BoxHead((8, 16, 32), False, ("person",), 0.05, 0.6, 1000, 100),
    input_names=("input",),
    output_names=("cls_8", "cls_16", "cls_32", "box_8", "box_16", "box_32"),
    license="Apache-2.0",
    parameters=1,
)
POSE_3D = dataclasses.replace(
    DETECTOR,
    name="toy-pose",
    task="pose",
    preprocess=Preprocess("affine", (SIDE, SIDE), "rgb", (1, 2, 3), (4, 5, 6), (0, 0, 0), 1.25),
    head=SimccHead(2.0, KeypointSet("six", tuple("abcdef"), (), (), (0.05,) * KEYPOINTS), z_range=2.17),
    output_names=("simcc_x", "simcc_y", "simcc_z"),
)
POSE = dataclasses.replace(
    POSE_3D,
    head=SimccHead(2.0, KeypointSet("six", tuple("abcdef"), (), (), (0.05,) * KEYPOINTS)),
    output_names=("simcc_x", "simcc_y"),
)


def boxes(*cells: tuple[int, int, float]) -> Outputs:
    """Make a detector's outputs with boxes of 16 px about cells of stride 8, given as row, column, score."""
    outputs: Outputs = []
    for stride in (8, 16, 32):
        outputs.append(np.full((1, 1, SIDE // stride, SIDE // stride), -8, np.float32))
    for row, column, score in cells:
        outputs[0][0, 0, row, column] = np.log(score / (1 - score))
    return outputs + [np.full((1, 4, SIDE // s, SIDE // s), 8 / s, np.float32) for s in (8, 16, 32)]


def rows(seed: int, bins: int = 2 * SIDE) -> Array:
    peaks = np.random.default_rng(seed).integers(10, bins - 10, KEYPOINTS)
    return np.exp(-(((np.arange(bins) - peaks[:, None]) / 3) ** 2)).astype(np.float32)[None]


def poses(axes: int) -> list[Outputs]:
    return [[rows(10 * sample + axis) for axis in range(axes)] for sample in range(3)]


PERSONS = [boxes((1, 1, 0.9), (5, 5, 0.7)), boxes((2, 3, 0.8)), boxes()]


def test_an_equal_detector_has_no_false_box() -> None:
    found = compare(DETECTOR, PERSONS, PERSONS)
    assert (found.similarity, found.false_boxes, found.compared) == pytest.approx((1, 0, 3))
    assert figures_json(found)["false_boxes"] == 0


def test_a_false_box_costs_as_much_as_a_lost_one() -> None:
    false = [*PERSONS[:2], boxes((4, 4, 0.8))]
    found = compare(DETECTOR, PERSONS, false)
    assert (found.similarity, found.false_boxes) == pytest.approx((3 / 4, 1))
    assert found.p95_px == 0
    assert not default_budget(DETECTOR).allows(found)
    assert figures_json(found)["false_boxes"] == 1


def test_a_lost_box_overlaps_with_nothing() -> None:
    found = compare(DETECTOR, PERSONS, [boxes((1, 1, 0.9)), *PERSONS[1:]])
    assert (found.similarity, found.false_boxes, found.compared) == pytest.approx((2 / 3, 0, 2))
    assert found.max_px == 0 and not default_budget(DETECTOR).allows(found)
    nothing = compare(DETECTOR, PERSONS, [boxes()] * 3)
    assert (nothing.similarity, nothing.compared, nothing.p95_px) == (0, 0, float("inf"))
    assert figures_json(nothing)["p95_px"] is None and not default_budget(DETECTOR).allows(nothing)


@pytest.mark.parametrize("stated", [0.05, 0.3, 0.5])
def test_a_box_about_the_threshold_that_a_checkpoint_states_is_not_lost(stated: float) -> None:
    spec = dataclasses.replace(DETECTOR, head=dataclasses.replace(DETECTOR.head, score_threshold=stated))
    above = max(stated, 0.3) + 0.001
    found = compare(spec, [boxes((1, 1, above))], [boxes((1, 1, above - 0.002))])
    assert (found.similarity, found.false_boxes, found.compared) == pytest.approx((1, 0, 1))


def test_persons_everywhere_are_not_allowed() -> None:
    everywhere = [[a + np.float32(10) if a.shape[1] == 1 else a for a in outputs] for outputs in PERSONS]
    found = compare(DETECTOR, PERSONS, everywhere)
    assert found.false_boxes and found.similarity < 0.2
    assert not default_budget(DETECTOR).allows(found)


@pytest.mark.parametrize(("before", "after", "false"), [(0.28, 0.37, 0), (0.2, 0.33, 0), (0.2, 0.4, 1)])
def test_a_score_is_as_exact_as_int8_leaves_it(before: float, after: float, false: int) -> None:
    references, candidates = ([PERSONS[0], boxes((3, 3, score))] for score in (before, after))
    assert compare(DETECTOR, references, candidates).false_boxes == false


def test_false_boxes_alone_are_nothing_to_compare_by() -> None:
    with pytest.raises(CalibrationError, match="the float network finds nothing in the 1 samples"):
        compare(DETECTOR, [boxes()], [boxes((4, 4, 0.8))])


def test_a_depth_counts_as_a_third_axis() -> None:
    references = poses(3)
    same = compare(POSE_3D, references, references)
    assert (same.max_px, same.similarity) == pytest.approx((0, 1))
    moved = [[x, y, np.roll(z, 3, axis=2)] for x, y, z in references]
    assert compare(POSE_3D, references, moved).mean_px == pytest.approx(1.5)
    both = [[np.roll(x, 4, axis=2), y, np.roll(z, 3, axis=2)] for x, y, z in references]
    assert compare(POSE_3D, references, both).mean_px == pytest.approx(2.5)


def test_the_similarity_is_coco_s_of_a_person_in_the_padded_input() -> None:
    references = poses(2)
    found = compare(POSE, references, [[np.roll(x, 3, axis=2), np.roll(y, 4, axis=2)] for x, y in references])
    assert (found.mean_px, found.p95_px, found.max_px) == pytest.approx((2.5, 2.5, 2.5))
    area = (SIDE / 1.25) ** 2
    assert found.similarity == pytest.approx(np.exp(-(2.5**2) / (2 * area * (2 * 0.05) ** 2)))
    assert set(figures_json(found)) == {
        "compared", "mean_px", "p95_px", "max_px", "similarity", "output_error",
    }  # fmt: skip
    assert figures_json(found)["similarity"] == round(found.similarity, 5)
    assert figures_json(found)["output_error"] == float(f"{found.output_error:.3g}") != found.output_error


def test_the_figures_are_those_of_all_samples() -> None:
    references = poses(2)
    moved = [[np.roll(x, 2 * n, axis=2), y] for n, (x, y) in enumerate(references)]
    found = compare(POSE, references, moved)
    assert (found.mean_px, found.p95_px, found.max_px) == pytest.approx((1, 2, 2))
    for first, second in (([], []), (references, references[:2])):
        with pytest.raises(CalibrationError, match="samples cannot be compared with"):
            compare(POSE, first, second)


@pytest.mark.parametrize(("seen", "allowed"), [(0.3, False), (3.0, True)])
def test_hands_with_lower_scores_than_the_body_count_where_they_are_seen(seen: float, allowed: bool) -> None:
    spec = dataclasses.replace(WHOLE_BODY, keypoint_score_threshold=seen)
    found = compare(spec, whole_bodies(32), whole_bodies(32, hands_px=2.5))
    assert default_budget(spec).allows(found) == allowed
    assert found.p95_px == (0 if allowed else 2.5)
    assert (found.similarity == 1) == allowed


def test_outputs_that_overflow_are_infinitely_wrong() -> None:
    references = poses(2)
    assert output_error(references, references) == 0
    doubled = [[x, 2 * y] for x, y in references]
    assert output_error(references, doubled) == pytest.approx(0.5)  # the mean of 0 and 1
    overflowed = [[x, np.full_like(y, np.inf)] for x, y in references]
    assert output_error(references, overflowed) == float("inf")
    nothing = [[np.zeros_like(x), y] for x, y in references]
    something = [[x + 2, y] for x, y in nothing]
    assert output_error(nothing, something) == pytest.approx(sum(2 * x.size for x, _ in nothing))


def test_a_depth_the_wrong_way_round_is_not_allowed() -> None:
    references = poses(3)
    found = compare(POSE_3D, references, [[x, y, -z] for x, y, z in references])
    assert found.p95_px > 10
    assert not default_budget(POSE_3D).allows(found)


def test_a_pose_has_no_false_boxes() -> None:
    found = compare(POSE, poses(2), poses(2))
    assert found.false_boxes is None and "false_boxes" not in figures_json(found)
