"""The comparison of one-stage networks, which decides whether their bundles may be written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.calibration.from_bundle import artifact_of
from edgepose.converters import parity
from edgepose.converters.limits import LIMITS
from edgepose.converters.parity import ParityError, StageResult, compare_stage

Outputs = list[NDArray[np.float32]]
Person = tuple[int, int, float]

TWO: tuple[Person, ...] = ((0, 0, 0.9), (2, 2, 0.8))


@pytest.fixture(autouse=True)
def _raw_outputs_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let persons alone decide."""
    blind = {name: dataclasses.replace(limits, cosine=-1) for name, limits in LIMITS.items()}
    monkeypatch.setattr(parity, "LIMITS", blind)


def people(*cells: Person, moved_px: float = 0.0, seed: int = 0) -> Outputs:
    """Make outputs with a person of 16 px about cells of stride 16, given as row, column, score."""
    random = np.random.default_rng(seed)
    outputs = [np.full((1, 1, side, side), -8, np.float32) for side in (4, 2)]
    for row, column, score in cells:
        outputs[0][0, 0, row, column] = np.log(score / (1 - score))
    outputs += [np.zeros((1, 4, side, side), np.float32) for side in (4, 2)]
    outputs[2][0, 0] = moved_px / 16
    visible, pose = random.uniform(0, 3, (3, 4, 4)), random.normal(0, 1, (8, 4, 4))
    for values in (visible, pose):
        whole = values.astype(np.float32)[None]
        outputs += [whole, np.ascontiguousarray(whole[..., :2, :2])]
    return outputs


def compared(bundles_v1: Path, reference: Outputs, candidate: Outputs) -> StageResult:
    """Compare on two pictures, the first of which is the same for both."""
    artifact = artifact_of(bundles_v1 / "one_stage", "one_stage")
    return compare_stage(
        artifact.spec, "toy", "engine 1", precision="fp32", references=[people(*TWO, seed=1), reference],
        candidates=[people(*TWO, seed=1), candidate], is_real=[True, True], dcc_file=artifact.files["dcc"],
    )  # fmt: skip


def test_equal_persons_have_no_difference(bundles_v1: Path) -> None:
    result = compared(bundles_v1, people(*TWO), people(*TWO))
    assert (result.recall, result.false_boxes, result.mean_px, result.max_px) == (1, 0, 0, 0)
    # Of 4 persons with 3 keypoints each the upper half, and one point more in that of its joint.
    assert result.compared == 7


@pytest.mark.parametrize(
    ("found", "moved_px", "message"),
    [
        (TWO[:1], 0.0, r"recall 0\.750 is below the limit 0\.99"),
        (TWO[1:], 0.0, r"recall 0\.750 is below the limit 0\.99"),
        ((*TWO, (0, 2, 0.9)), 0.0, r"false boxes: 20\.0% of those found are none of the reference's"),
        (TWO, 2.0, r"keypoints shift by 1\.\d+ px in the mean, over the limit 0\.1 px"),
        (((2, 0, 0.9), (2, 2, 0.8)), 0.0, r"recall 0\.750 "),
    ],
    ids=["first lost", "second lost", "invented", "moved", "elsewhere"],
)
def test_what_is_wrong_is_named(
    bundles_v1: Path, found: tuple[Person, ...], moved_px: float, message: str
) -> None:
    with pytest.raises(ParityError, match=message):
        compared(bundles_v1, people(*TWO), people(*found, moved_px=moved_px))


def test_who_is_invented_in_a_picture_of_nobody_is_refused(bundles_v1: Path) -> None:
    with pytest.raises(ParityError, match=r"false boxes: 33\.3% ") as caught:
        compared(bundles_v1, people(), people((1, 1, 0.9)))
    assert caught.value.stages[0].recall == 1


@pytest.mark.parametrize(
    ("before", "after"), [(0.29, 0.31), (0.31, 0.29), (0.29, 0.34), (0.281, 0.33), (0.25, 0.31)]
)
def test_a_person_about_the_threshold_is_neither_false_nor_lost(
    bundles_v1: Path, before: float, after: float
) -> None:
    result = compared(bundles_v1, people(*TWO, (0, 2, before)), people(*TWO, (0, 2, after)))
    assert (result.recall, result.false_boxes, result.max_px) == (1, 0, 0)


def test_a_person_whom_the_reference_hardly_sees_is_false(bundles_v1: Path) -> None:
    with pytest.raises(ParityError, match=r"false boxes: 20\.0% "):
        compared(bundles_v1, people(*TWO, (0, 2, 0.25)), people(*TWO, (0, 2, 0.5)))


def test_networks_that_find_nobody_are_told_apart_by_their_outputs_alone(bundles_v1: Path) -> None:
    artifact = artifact_of(bundles_v1 / "one_stage", "one_stage")
    result = compare_stage(
        artifact.spec, "toy", "engine 1", precision="fp32", references=[people()], candidates=[people()],
        is_real=[True], dcc_file=artifact.files["dcc"],
    )  # fmt: skip
    assert (result.compared, result.recall, result.false_boxes, result.mean_px) == (0, None, None, None)
