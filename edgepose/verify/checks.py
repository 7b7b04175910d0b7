"""The checks of the gate: an estimate, its interval over pictures, a limit, and what follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgepose.verify import bootstrap
from edgepose.verify.figures import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.compared import Compared
    from edgepose.verify.gate_limits import GateLimits

    Floats = NDArray[np.float64]

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

# A joint that is compared less often is not judged: so few points say nothing about the others. They must lie
# in several pictures, for it is these that are resampled.
MIN_POINTS = 10
MIN_JOINT_PICTURES = 5
# Resamplings of fewer pictures are too alike: their intervals are far too narrow.
MIN_PICTURES = 10
_BIAS_CLIP_PX = 1.0
_MAX_IMAGES = 100_000


@dataclass(frozen=True, slots=True)
class Check:
    """One figure against its limit; less is better. keypoint: its joint, for a joint's check.

    seconds: how many seconds of video the interval rests on; None where it rests on pictures, and then
    images is how many of these hold anything to compare.
    """

    name: str
    title: str
    unit: str
    estimate: float
    low: float
    high: float
    limit: float
    keypoint: str | None = None
    seconds: int | None = None
    images: int | None = None

    @property
    def verdict(self) -> Verdict:
        """FAIL where the whole interval is above the limit, PASS where none of it is."""
        known = all(math.isfinite(value) for value in (self.estimate, self.low, self.high))
        if self._rests_on_few or not known:
            return "INCONCLUSIVE"
        if self.high <= self.limit:
            return "PASS"
        return "FAIL" if self.low > self.limit else "INCONCLUSIVE"

    @property
    def _rests_on_few(self) -> bool:
        return self.images is not None and self.images < MIN_PICTURES

    def needed(self, images: int) -> int | None:
        """Return how many pictures, or seconds of video, would decide, if the estimate stays.

        None where that is hopeless. An interval shrinks with the square root of their number.
        """
        if self.verdict != "INCONCLUSIVE":
            return None
        if self._rests_on_few:
            return math.ceil(images * MIN_PICTURES / self.images) if self.images else None
        distance = abs(self.estimate - self.limit)
        arm = self.high - self.estimate if self.estimate < self.limit else self.estimate - self.low
        count = images if self.seconds is None else self.seconds
        if not math.isfinite(arm) or distance <= 0 or arm / distance > math.sqrt(_MAX_IMAGES / count):
            return None
        return max(count + 1, math.ceil(count * (arm / distance) ** 2))

    def as_member(self, images: int) -> dict[str, Any]:
        """Return an entry of "checks"."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "estimate": number(self.estimate),
            "interval": [number(self.low), number(self.high)],
            "limit": self.limit,
            "verdict": self.verdict,
            "keypoint": self.keypoint,
            "images_needed": self.needed(images) if self.seconds is None else None,
            "seconds_needed": None if self.seconds is None else self.needed(images),
        }  # fmt: skip


def overall(checks: Sequence[Check]) -> Verdict:
    """Return the verdict of all checks together: the worst one."""
    verdicts = {check.verdict for check in checks}
    return "FAIL" if "FAIL" in verdicts else "INCONCLUSIVE" if "INCONCLUSIVE" in verdicts else "PASS"


def accuracy_check(
    reference_ap: Floats, candidate_ap: Floats, limits: GateLimits, confidence: float, *, images: int
) -> Check:
    """Check the loss of AP; the first entry of each is that of the data itself, the others resamplings.

    images: how many pictures have labels.
    """
    loss = reference_ap - candidate_ap
    low, high = bootstrap.interval(loss[1:], confidence)
    return Check("ap_loss", "AP lost", "points", float(loss[0]), low, high, limits.ap_loss, images=images)


def drift_checks(
    drift: Compared,
    weights: bootstrap.Weights,
    limits: GateLimits,
    confidence: float,
    names: Sequence[str],
    *,
    labelled: bool,
) -> list[Check]:
    """Check mean and 95th percentile of the drift, each joint's mean and bias, scores and persons.

    labelled: there are labels, so that AP judges the persons that the candidate adds.
    """
    import numpy as np

    pictures = weights.shape[1]
    distance = drift.distance_input_px
    chosen = distance[drift.counts]
    persons = _person_checks(drift, weights, limits, confidence, labelled=labelled)
    if not chosen.size:
        if persons and not len(drift.picture_of):
            return persons
        nan = math.nan
        title = "drift, mean (no confident keypoint to compare)"
        return [Check("drift_mean", title, "input px", nan, nan, nan, limits.drift_mean_input_px), *persons]
    sums = _per_picture(np.where(drift.counts, distance, 0), drift.picture_of, pictures)
    counts = _per_picture(drift.counts.astype(np.float64), drift.picture_of, pictures)
    means = bootstrap.ratios(weights, sums.sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True))[
        :, 0
    ]
    p95 = bootstrap.percentiles(weights, chosen, drift.point_pictures(), 95)
    checks = [
        Check(
            "drift_mean", "drift, mean", "input px", float(chosen.mean()),
            *bootstrap.interval(means, confidence), limits.drift_mean_input_px,
        ),
        Check(
            "drift_p95", "drift, 95th percentile", "input px", float(np.percentile(chosen, 95)),
            *bootstrap.interval(p95, confidence), limits.drift_p95_input_px,
        ),
    ]  # fmt: skip
    checks += _joint_checks(drift, weights, sums, counts, limits, confidence, names)
    checks.append(_score_check(drift, weights, limits, confidence))
    checks += persons
    images = int(counts.any(axis=1).sum())
    return [check if check.images is not None else replace(check, images=images) for check in checks]


def unjudged_joints(drift: Compared, names: Sequence[str]) -> list[str]:
    """Name the joints that are compared too seldom, or in too few pictures, to be judged."""
    return [name for name, judged in zip(names, _judged(drift), strict=True) if not judged]


def _judged(drift: Compared) -> NDArray[np.bool_]:
    """Tell which joints are judged, (K,)."""
    import numpy as np

    seen = _per_picture(drift.counts.astype(np.float64), drift.picture_of, len(drift.unmatched))
    judged: NDArray[np.bool_] = (seen.sum(axis=0) >= MIN_POINTS) & (
        (seen > 0).sum(axis=0) >= MIN_JOINT_PICTURES
    )
    return judged


def _joint_checks(
    drift: Compared,
    weights: bootstrap.Weights,
    sums: Floats,
    counts: Floats,
    limits: GateLimits,
    confidence: float,
    names: Sequence[str],
) -> list[Check]:
    import numpy as np

    pictures = weights.shape[1]
    joints = np.flatnonzero(_judged(drift))
    if not len(joints):
        return []
    # A jump between two equal peaks is no bias: a shift counts for 1 px at most.
    limited = np.clip(drift.shift_input_px, -_BIAS_CLIP_PX, _BIAS_CLIP_PX)
    shift = np.where(drift.counts[..., None], limited, 0)
    x, y = (_per_picture(shift[..., axis], drift.picture_of, pictures) for axis in (0, 1))
    columns = np.concatenate([sums[:, joints], x[:, joints], y[:, joints]], axis=1)
    means = bootstrap.ratios(weights, columns, np.tile(counts[:, joints], 3)).reshape(len(weights), 3, -1)
    biases = np.hypot(means[:, 1], means[:, 2])
    # Bonferroni: that one of many joints fails by chance must be as unlikely as for one check.
    each = 1 - (1 - confidence) / (2 * len(joints))
    totals = counts[:, joints].sum(axis=0)
    exact = columns.sum(axis=0).reshape(3, -1) / totals
    checks = []
    for index, joint in enumerate(joints):
        name = names[int(joint)]
        checks.append(
            Check(
                "joint_mean", f"{name}, mean drift", "input px", float(exact[0, index]),
                *bootstrap.interval(means[:, 0, index], each), limits.joint_mean_input_px, name,
            )
        )  # fmt: skip
        bias = float(np.hypot(exact[1, index], exact[2, index]))
        checks.append(
            Check(
                "joint_bias", f"{name}, bias", "input px", bias,
                *bootstrap.interval(biases[:, index], each), limits.joint_bias_input_px, name,
            )
        )  # fmt: skip
    return checks


def _score_check(drift: Compared, weights: bootstrap.Weights, limits: GateLimits, confidence: float) -> Check:
    pictures = weights.shape[1]
    theirs = _per_picture(drift.other[..., 2], drift.picture_of, pictures).sum(axis=1, keepdims=True)
    mine = _per_picture(drift.candidate[..., 2], drift.picture_of, pictures).sum(axis=1, keepdims=True)
    shifts = 100 * bootstrap.ratios(weights, mine - theirs, theirs)[:, 0]
    total = float(theirs.sum())
    estimate = 100 * float((mine - theirs).sum()) / total if total else math.nan
    low, high = bootstrap.interval(shifts, confidence)
    # The limit holds for both directions.
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return Check(
        "score_shift", "change of the mean keypoint score", "%", abs(estimate), nearest,
        max(abs(low), abs(high)), limits.score_shift,
    )  # fmt: skip


def _person_checks(
    drift: Compared, weights: bootstrap.Weights, limits: GateLimits, confidence: float, *, labelled: bool
) -> list[Check]:
    """Check the persons that one run alone has, each as a share of its own; none where boxes were given."""
    import numpy as np

    pairs = np.bincount(drift.picture_of, minlength=len(drift.unmatched))
    if (drift.person_of >= 0).all() and not drift.unmatched.any() and not drift.added.any():
        return []
    sides = [("unmatched_persons", "persons not found again", drift.unmatched)]
    if not labelled:
        sides.append(("added_persons", "persons added", drift.added))
    checks = []
    for name, title, alone in sides:
        persons = (pairs + alone).astype(np.float64)[:, None]
        if not persons.any():
            continue  # a share of nobody
        shares = 100 * bootstrap.ratios(weights, alone.astype(np.float64)[:, None], persons)[:, 0]
        estimate = 100 * float(alone.sum() / persons.sum())
        checks.append(
            Check(
                name, title, "%", estimate, *bootstrap.interval(shares, confidence),
                limits.unmatched_persons, images=int(persons.any(axis=1).sum()),
            )
        )  # fmt: skip
    return checks


def _per_picture(values: Floats, picture_of: NDArray[np.int64], pictures: int) -> Floats:
    """Sum rows (M, K) by their picture, (pictures, K)."""
    import numpy as np

    sums = np.zeros((pictures, values.shape[1]))
    np.add.at(sums, picture_of, values)
    return sums
