"""What the comparison of two networks leaves out, and what it holds against what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from toy_pose import TOY_POSE, WHOLE_BODY, whole_bodies

from edgepose.artifact import Precision
from edgepose.calibration.from_bundle import artifact_of
from edgepose.converters import parity
from edgepose.converters.decoded import compare_decoded, match_boxes
from edgepose.converters.engine import run_engine
from edgepose.converters.limits import LIMITS
from edgepose.converters.parity import ParityError, StageResult, compare_stage


@pytest.mark.parametrize(("lowered", "compared"), [(0.0, 4), (5.0, 0)])
def test_points_without_a_score_are_not_compared(lowered: float, compared: int) -> None:
    """A network that is sure of none says nothing of another one; all are at the same place then."""
    random = np.random.default_rng(4)
    rows = [random.uniform(0.1, 1, (1, 2, 64)).astype(np.float32) - np.float32(lowered) for _ in range(2)]
    found = compare_decoded(TOY_POSE, [rows, rows], [rows, rows], LIMITS["fp32"])
    assert (len(found.shifts_px), found.ambiguous) == (compared, 0)


def test_hands_with_lower_scores_than_the_body_count(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = {name: dataclasses.replace(limits, cosine=-1) for name, limits in LIMITS.items()}
    monkeypatch.setattr(parity, "LIMITS", blind)

    def result(precision: Precision, seen: float) -> StageResult:
        return compare_stage(
            dataclasses.replace(WHOLE_BODY, keypoint_score_threshold=seen), "toy", "engine 1",
            precision=precision, references=whole_bodies(32), candidates=whole_bodies(32, hands_px=2.5),
            is_real=[True] * 32,
        )  # fmt: skip

    mixed = result("mixed", 0.3)
    assert mixed.mean_px is not None and mixed.mean_px > 0.5 and mixed.p95_px == 2.5
    assert result("mixed", 3.0).mean_px == 0
    with pytest.raises(
        ParityError, match=r"keypoints shift by 0\.\d+ px in the mean, over the limit 0\.3 px"
    ):
        result("fp16", 0.3)


def test_a_box_of_another_label_is_another_box() -> None:
    box = np.array([[10, 10, 30, 50, 0.9, 0]], np.float32)
    other = np.array([[10, 10, 30, 50, 0.9, 1]], np.float32)
    assert match_boxes(box, other) == []
    moved = box + np.array([1, 0, 0, 0, 0, 0], np.float32)
    assert match_boxes(box, np.concatenate([other, moved])) == [(0, 1)]


def test_a_person_whom_the_reference_has_not_is_false(bundles_v1: Path) -> None:
    artifact = artifact_of(bundles_v1 / "one_stage", "one_stage")
    shape = (1, 3, *artifact.spec.preprocess.input_hw)
    noise = np.random.default_rng(1).uniform(-2, 2, shape).astype(np.float32)
    (found,) = run_engine(artifact, [noise])
    nobody = [np.full_like(a, -20) if i < 2 else a for i, a in enumerate(found)]
    for reference, figures in ((nobody, (None, 1)), (found, (1, 0))):
        result = compare_decoded(
            artifact.spec, [reference], [found], LIMITS["fp32"], dcc_file=artifact.files["dcc"]
        )
        assert (result.recall, result.false_boxes) == figures
