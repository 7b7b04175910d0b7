"""What the gate's checks must not let through: rare losses, whole groups of joints, wide limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.converters.decoded import confident
from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import bootstrap
from edgepose.verify.checks import Check, drift_checks, overall, unjudged_joints
from edgepose.verify.compared import Compared, with_reference
from edgepose.verify.diagnosis import diagnose
from edgepose.verify.evaluation import drift_document
from edgepose.verify.gate_limits import limits_for
from edgepose.verify.predictions import Predictions
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
        against="reference", other=other, candidate=candidate, counts=confident(other[..., 2], SEEN),
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
    limits = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
    assert [units_for(0, limit, 0.95) for limit in limits] == [299, 149, 99, 59, 29, 14]
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


def test_a_bias_is_the_length_of_the_mean_shift() -> None:
    other, candidate = points(100), points(100)
    candidate[:, 0, :2] += (0.3, -0.4)
    candidate[::2, 1, 0] += 0.8
    candidate[1::2, 1, 0] -= 0.8  # to and fro is no bias
    found = {c.keypoint: c for c in checks(drift_of(other, candidate)) if c.name == "joint_bias"}
    assert (found["j0"].low, found["j0"].estimate, found["j0"].high) == pytest.approx((0.5, 0.5, 0.5))
    assert found["j1"].estimate == pytest.approx(0) and found["j1"].verdict == "PASS"


def test_many_joints_have_wider_intervals() -> None:
    """One of six figures must fail by chance as seldom as one figure alone would."""
    other = points(60)
    candidate = other.copy()
    candidate[..., 0] += np.random.default_rng(3).exponential(0.1, (60, 3))
    found = {(check.name, check.keypoint): check for check in checks(drift_of(other, candidate))}
    shift = (candidate - other)[:, 1, 0]
    means = bootstrap.ratios(bootstrap.resample(60, 300, 0), shift[:, None], np.ones((60, 1)))[:, 0]
    low, high = bootstrap.interval(means, 1 - 0.05 / 6)
    assert (found["joint_mean", "j1"].low, found["joint_mean", "j1"].high) == pytest.approx((low, high))
    assert high > bootstrap.interval(means, 0.95)[1]


def test_scores_of_nought_have_no_diagnosis() -> None:
    silent = points(12, 17)
    silent[..., 2] = 0
    drift = drift_of(silent, silent.copy())
    names = [str(n) for n in range(17)]
    told = {"names": names, "split_ratio": 2.0, "precision": "int8", "again": None}
    assert diagnose(drift, constants=({}, {}), **told) == []  # type: ignore[arg-type]
    (cause,) = diagnose(drift, constants=({"a.b": 1}, {"a.b": 2}), **told)  # type: ignore[arg-type]
    assert cause.cause == "constants"
    made = checks(drift)
    assert overall(made) == "INCONCLUSIVE" and [check.needed(12) for check in made] == [None]


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
    sure = confident(other[..., 2], SEEN)
    assert sure[:, :4].all() and sure[:, 4].tolist() == [True] * 8 + [False] * 92
    # A bundle's own threshold counts, where it is another.
    assert confident(other[..., 2], 0.5)[:, 4].sum() == 0
    assert confident(other[..., 2], 0.0)[:, 4].sum() == 50


def test_scores_that_are_low_throughout_are_the_network_s_way() -> None:
    other = points(40, 4)
    other[..., 2] = np.random.default_rng(0).uniform(0.02, 0.25, (40, 4))
    assert confident(other[..., 2], SEEN).sum() == 80
    other[..., 2] = 0
    assert not confident(other[..., 2], SEEN).any()


@pytest.mark.parametrize(("high", "needed"), [(0.69, 4500), (0.79, None)])
def test_more_pictures_than_there_are_anywhere_are_not_asked_for(high: float, needed: int | None) -> None:
    check = Check("drift_mean", "drift", "input px", 0.59, 0.5, high, 0.6, shown=45, least=99)
    assert check.verdict == "INCONCLUSIVE" and check.needed(45) == (pytest.approx(needed) if needed else None)


def test_a_share_that_is_the_limit_is_decided_by_no_number_of_pictures() -> None:
    lost = np.zeros(100, np.int64)
    lost[:2] = 1
    drift = drift_of(points(98), points(98), pictures=100, found=True)
    drift = dataclasses.replace(drift, picture_of=np.arange(2, 100), unmatched=lost)
    (check,) = (c for c in checks(drift, "int8", "unmatched_persons=2") if c.name == "unmatched_persons")
    assert (check.estimate, check.verdict, check.needed(100)) == (2.0, "INCONCLUSIVE", None)


@pytest.mark.parametrize("factor", [0.5, 1.5])
@pytest.mark.parametrize(
    ("changed", "verdict", "estimate"), [(12, "INCONCLUSIVE", 5), (1, "PASS", 5 / 12), (120, "FAIL", 50)]
)
def test_scores_that_change_in_some_pictures(
    factor: float, changed: int, verdict: str, estimate: float
) -> None:
    candidate = points(120)
    candidate[:changed, :, 2] *= factor
    (check,) = (c for c in checks(drift_of(points(120), candidate)) if c.name == "score_shift")
    assert check.estimate == pytest.approx(estimate) and check.verdict == verdict
    assert 0 <= check.low <= check.estimate + 1e-9 and check.high >= check.estimate - 1e-9


def test_scores_that_change_both_ways_may_be_unchanged_in_the_mean() -> None:
    candidate = points(120)
    candidate[::2, :, 2] *= 1.2
    candidate[1::2, :, 2] *= 0.8
    (check,) = (c for c in checks(drift_of(points(120), candidate)) if c.name == "score_shift")
    assert (check.estimate, check.low) == (pytest.approx(0), 0) and 0 < check.high < 5


@pytest.mark.parametrize(
    ("pictures", "each", "judged"), [(10, 1, True), (10, 2, True), (9, 1, False), (9, 3, False)]
)
def test_a_joint_is_judged_by_ten_pictures(pictures: int, each: int, judged: bool) -> None:
    other = points(100 * each)
    other[pictures * each :, 0, 2] = 0
    drift = drift_of(other, other.copy(), each=each)
    assert unjudged_joints(drift, ["a", "b", "c"]) == ([] if judged else ["a"])


@pytest.mark.parametrize(("more_px", "verdict"), [(3e-6, "PASS"), (0.004, "PASS"), (0.04, "FAIL")])
def test_one_step_of_the_grid_is_not_more_than_the_limit(more_px: float, verdict: str) -> None:
    """A fifth of the points is off by half a pixel, fp16's limit, as float32 or a baseline tells it."""
    candidate = points(300)
    candidate[::5, :, 0] += 0.5 + more_px
    drift = drift_of(points(300), candidate)
    (check,) = (c for c in checks(drift, "fp16") if c.name == "drift_p95")
    assert check.limit == 0.5 and check.verdict == verdict


@pytest.mark.parametrize(("pictures", "told"), [(1, False), (9, False), (10, True)])
def test_an_interval_takes_ten_pictures(pictures: int, told: bool) -> None:
    candidate = points(pictures)
    candidate[::2, :, 0] += 1
    weights = bootstrap.resample(pictures, 300, 0)
    found = drift_document(drift_of(points(pictures), candidate), ("a", "b", "c"), weights, 0.95)
    low, high = found["mean_input_px_interval"]
    assert low < high if told else (low, high) == (None, None)


def people(boxes: list[tuple[float, float, float, float]]) -> Predictions:
    """Find persons in one picture, each in a box."""
    count = len(boxes)
    scored = np.concatenate([np.array(boxes, np.float64).reshape(count, 4), np.ones((count, 1))], axis=1)
    none = np.full(count, -1)
    return Predictions(np.zeros(count, np.int64), none, scored, points(count), np.ones(count), ())


@pytest.mark.parametrize(("offset", "same"), [(33.0, 1), (34.0, 0), (-33.0, 1), (-34.0, 0)])
def test_boxes_are_one_person_from_half_an_overlap_on(offset: float, same: int) -> None:
    """By a third of its width a box overlaps another by half of what they cover together."""
    first, second = people([(100, 100, 200, 300)]), people([(100 + offset, 100, 200 + offset, 300)])
    drift = with_reference(first, second, pictures=1, seen=SEEN)
    assert (len(drift.other), drift.unmatched.sum(), drift.added.sum()) == (same, 1 - same, 1 - same)


def test_the_largest_overlap_is_paired_first() -> None:
    first = people([(0, 0, 100, 100), (20, 0, 120, 100)])
    second = people([(18, 0, 118, 100), (500, 0, 600, 100)])
    drift = with_reference(first, second, pictures=1, seen=SEEN)
    assert drift.boxes.tolist() == [[20, 0, 120, 100]]
    assert (drift.unmatched.tolist(), drift.added.tolist()) == ([1], [1])


@pytest.mark.parametrize(
    ("low", "high", "images", "verdict"),
    [
        (0.1, 0.6, 99, "PASS"),
        (0.1, 0.6, 98, "INCONCLUSIVE"),
        (0.1, 0.61, 99, "INCONCLUSIVE"),
        (0.6, 0.7, 99, "INCONCLUSIVE"),
        (0.61, 0.7, 99, "FAIL"),
        (0.61, 0.7, 10, "FAIL"),
        (0.61, 0.7, 9, "INCONCLUSIVE"),
        (float("nan"), float("nan"), 99, "INCONCLUSIVE"),
    ],
)
def test_a_limit_is_kept_up_to_its_value(low: float, high: float, images: int, verdict: str) -> None:
    check = Check("drift_mean", "drift", "px", (low + high) / 2, low, high, 0.6, shown=images, least=99)
    assert check.verdict == verdict and check.may_exceed == (not high <= 0.6)


def test_a_depth_that_is_no_number_passes_nothing() -> None:
    """One of 120 pictures has it: the interval of the percentile is that of the others."""
    depths = np.zeros((120, 3))
    depths[5, 1] = np.nan
    drift = dataclasses.replace(drift_of(points(120), points(120)), depths=(np.zeros((120, 3)), depths))
    found = {check.name: check for check in checks(drift)}
    (p95, mean) = found["depth_p95"], found["depth_mean"]
    assert (p95.low, p95.high) == (0, 0) and np.isnan(p95.estimate)
    assert p95.verdict == mean.verdict == "INCONCLUSIVE" and p95.needed(120) is mean.needed(120) is None


def test_a_drift_that_is_the_limit_takes_the_pictures_of_a_pass() -> None:
    for pictures, verdict, needed in ((50, "INCONCLUSIVE", 99), (99, "PASS", None)):
        candidate = points(pictures)
        candidate[..., 0] += 0.5
        drift = drift_of(points(pictures), candidate)
        (check,) = (c for c in checks(drift, "int8", "drift_mean_input_px=0.5") if c.name == "drift_mean")
        assert (check.high, check.verdict, check.needed(pictures)) == (0.5, verdict, needed)
