"""What the comparison of two networks leaves out, and what it holds against what."""

from __future__ import annotations

import numpy as np
import pytest

from edgepose.artifact import KeypointSet, ModelSpec, Preprocess, SimccHead
from edgepose.converters.decoded import compare_decoded, match_boxes
from edgepose.converters.limits import LIMITS

POSE = ModelSpec(
    name="toy-pose",
    family="rtmpose",
    task="pose",
    preprocess=Preprocess("affine", (32, 32), "rgb", (1, 2, 3), (4, 5, 6), (0, 0, 0), 1.25),
    head=SimccHead(2.0, KeypointSet("two", ("a", "b"), (), (), (0.05, 0.05))),
    input_names=("input",),
    output_names=("simcc_x", "simcc_y"),
    license="Apache-2.0",
    parameters=1,
)


@pytest.mark.parametrize(("lowered", "compared"), [(0.0, 2), (5.0, 0)])
def test_points_without_a_score_are_not_compared(lowered: float, compared: int) -> None:
    """A network that is sure of none says nothing of another one; all are at the same place then."""
    random = np.random.default_rng(4)
    rows = [random.uniform(0.1, 1, (1, 2, 64)).astype(np.float32) - np.float32(lowered) for _ in range(2)]
    found = compare_decoded(POSE, [rows, rows], [rows, rows], LIMITS["fp32"])
    assert (len(found.shifts_px), found.ambiguous) == (compared, 0)


def test_a_box_of_another_label_is_another_box() -> None:
    box = np.array([[10, 10, 30, 50, 0.9, 0]], np.float32)
    other = np.array([[10, 10, 30, 50, 0.9, 1]], np.float32)
    assert match_boxes(box, other) == []
    moved = box + np.array([1, 0, 0, 0, 0, 0], np.float32)
    assert match_boxes(box, np.concatenate([other, moved])) == [(0, 1)]
