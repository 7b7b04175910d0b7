"""What the gate's checks must not let through: rare losses, whole groups of joints, wide limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import bootstrap
from edgepose.verify.checks import Check, drift_checks, overall, unjudged_joints
from edgepose.verify.compared import Compared, confident
from edgepose.verify.diagnosis import diagnose
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.shares import units_for, units_to_see, upper_share

Floats = NDArray[np.float64]
SEEN = 0.3


def drift_of(
    other: Floats, candidate: Floats, *, pictures: int | None = None, each: int = 1, found: bool = False
) -> Compared:
    """Pair persons (M, K, 3), `each` in a picture, by their labelled boxes or by those found."""
    count = len(other)
    pictures = pictures or count // each
    none = np.zeros(pictures, np.int64)
    return Compared(
        against="reference", other=other, candidate=candidate, counts=confident(other, SEEN),
        picture_of=np.arange(count) // each, person_of=np.full(count, -1) if found else np.arange(count),
        boxes=np.tile([0.0, 0.0, 100.0, 100.0], (count, 1)), input_scale=np.ones(count), unmatched=none,
        added=none,
    )  # fmt: skip


def points(persons: int, joints: int = 3) -> Floats:
    """Make points at one place, with a score of 0.9."""
    made = np.full((persons, joints, 3), 10.0)
    made[..., 2] = 0.9
    return made


def checks(drift: Compared, precision: str = "int8", *budgets: str) -> list[Check]:
    weights = bootstrap.resample(len(drift.unmatched), 300, 0)
    names = [f"j{n}" for n in range(drift.other.shape[1])]
    return drift_checks(drift, weights, limits_for(precision, budgets=budgets), 0.95, names)


@pytest.mark.parametrize(
    ("bad", "units", "bound"),  # scipy.stats.beta.ppf(0.95, bad + 1, units - bad)
    [(0, 10, 0.2589), (1, 10, 0.3942), (3, 100, 0.0757), (50, 400, 0.1555), (10, 10, 1.0)],
)
def test_the_bound_of_a_share(bad: int, units: int, bound: float) -> None:
    assert upper_share(bad / units, units, 0.95) == pytest.approx(bound, abs=1e-4)


def test_a_bound_grows_with_the_share_and_shrinks_with_the_pictures() -> None:
    bounds = [upper_share(share, 150, 0.95) for share in np.linspace(0, 1, 301)]
    assert all(np.diff(bounds) > -1e-12) and bounds[-1] == 1.0
    assert [units_for(0, limit, 0.95) for limit in (0.01, 0.02, 0.03)] == [299, 149, 99]
    assert units_for(0.02, 0.02, 0.95) is None and units_for(0.0199999, 0.02, 0.95) is None
    needed = units_for(0.01, 0.02, 0.95)
    assert needed and upper_share(0.01, needed, 0.95) <= 0.02 < upper_share(0.01, needed - 1, 0.95)
    assert units_to_see(0.03, 0.95) == 99 and 0.97**99 <= 0.05 < 0.97**98


@pytest.mark.parametrize(("pictures", "verdict"), [(10, "INCONCLUSIVE"), (98, "INCONCLUSIVE"), (99, "PASS")])
def test_few_pictures_without_a_loss_do_not_pass(pictures: int, verdict: str) -> None:
    for found in (True, False):
        made = checks(drift_of(points(pictures), points(pictures), found=found))
        assert overall(made) == verdict
        assert {check.needed(pictures) for check in made} <= {None, 99}


@pytest.mark.parametrize("pictures", [20, 120])
def test_a_loss_of_twice_the_limit_seldom_passes(pictures: int) -> None:
    random = np.random.default_rng(0)
    verdicts = []
    for _ in range(60):
        lost = (random.random(pictures) < 0.06).astype(np.int64)
        kept = np.flatnonzero(lost == 0)
        drift = drift_of(points(len(kept)), points(len(kept)), pictures=pictures, found=True)
        verdicts.append(overall(checks(dataclasses.replace(drift, picture_of=kept, unmatched=lost))))
    assert verdicts.count("PASS") <= 1


def test_the_persons_of_a_picture_are_lost_together() -> None:
    """Three in each of 60 pictures are 180 persons, but no more than 60 trials."""
    drift = dataclasses.replace(
        drift_of(points(180), points(180), each=3, found=True),
        added=np.eye(1, 60, dtype=np.int64)[0],
    )
    lost, added = (check for check in checks(drift) if check.name.endswith("_persons"))
    assert lost.high == pytest.approx(100 * (1 - 0.05 ** (1 / 60))) and lost.needed(60) == 99
    assert added.estimate == pytest.approx(100 / 181) and added.high > lost.high


def test_a_limit_of_the_bias_above_one_pixel_can_fail() -> None:
    other, candidate = points(100), points(100)
    candidate[:, 0, 0] += 5
    bias = {c.keypoint: c for c in checks(drift_of(other, candidate), "int8", "joint_bias_input_px=2")
            if c.name == "joint_bias"}  # fmt: skip
    assert bias["j0"].verdict == "FAIL" and bias["j0"].estimate == pytest.approx(4)
    assert bias["j1"].verdict == "PASS"


def test_scores_of_nought_have_no_diagnosis() -> None:
    silent = points(12, 17)
    silent[..., 2] = 0
    drift = drift_of(silent, silent.copy())
    names = [str(n) for n in range(17)]
    told = {"names": names, "split_ratio": 2.0, "precision": "int8", "again": None}
    assert diagnose(drift, constants=({}, {}), **told) == []  # type: ignore[arg-type]
    (cause,) = diagnose(drift, constants=({"a.b": 1}, {"a.b": 2}), **told)  # type: ignore[arg-type]
    assert cause.cause == "constants"
    assert overall(checks(drift)) == "INCONCLUSIVE"


def test_hands_with_lower_scores_than_the_body_are_judged() -> None:
    names = KEYPOINT_SETS["wholebody133"].keypoints
    random = np.random.default_rng(0)
    other = points(120, 133)
    other[..., 2] = random.normal(0.85, 0.05, other.shape[:2]).clip(0.05, 1)
    other[:, 91:, 2] = random.normal(0.5, 0.05, (120, 42)).clip(0.31, 1)
    candidate = other.copy()
    candidate[:, 91:, :2] += random.normal(0, 60, (120, 42, 2))
    drift = drift_of(other, candidate)
    assert unjudged_joints(drift, names) == []
    weights = bootstrap.resample(120, 300, 0)
    made = drift_checks(drift, weights, limits_for("fp32"), 0.95, names)
    failed = {check.keypoint for check in made if check.name == "joint_mean" and check.verdict == "FAIL"}
    assert failed == set(names[91:])


def test_joints_out_of_sight_are_not_judged_by_noise() -> None:
    random = np.random.default_rng(0)
    other = points(100, 5)
    other[:, 4, 2] = random.uniform(0.02, 0.25, 100)  # below what a bundle takes for seen
    other[:8, 4, 2] = 0.4
    sure = confident(other, SEEN)
    assert sure[:, :4].all() and sure[:, 4].tolist() == [True] * 8 + [False] * 92
    # A bundle's own threshold counts, where it is another.
    assert confident(other, 0.5)[:, 4].sum() == 0
    assert confident(other, 0.0)[:, 4].sum() == 50


def test_scores_that_are_low_throughout_are_the_network_s_way() -> None:
    other = points(40, 4)
    other[..., 2] = np.random.default_rng(0).uniform(0.02, 0.25, (40, 4))
    assert confident(other, SEEN).sum() == 80
    other[..., 2] = 0
    assert not confident(other, SEEN).any()


@pytest.mark.parametrize(("high", "needed"), [(0.69, 4500), (0.79, None)])
def test_more_pictures_than_there_are_anywhere_are_not_asked_for(high: float, needed: int | None) -> None:
    check = Check("drift_mean", "drift", "input px", 0.59, 0.5, high, 0.6, images=45, least=99)
    assert check.verdict == "INCONCLUSIVE" and check.needed(45) == (pytest.approx(needed) if needed else None)
