"""The checks of the gate: an estimate, its interval over pictures, a limit, and what follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgepose.verify import bootstrap
from edgepose.verify.figures import number
from edgepose.verify.shares import MOST_UNITS, units_for, units_to_see, upper_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.compared import Compared
    from edgepose.verify.gate_limits import GateLimits

    Floats = NDArray[np.float64]

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

# Resamplings of fewer pictures are too alike: their intervals are far too narrow.
MIN_PICTURES = 10
# A joint that is compared in fewer pictures is not judged, either.
MIN_JOINT_PICTURES = 10
# Frames next to each other are alike, so seconds of a video are resampled, not frames; fewer say nothing.
MIN_SECONDS = 5
# A mean says nothing about far-off persons that the pictures happen to lack: it passes where they would show
# a share of bad pictures as large as this one. 99 pictures do, at 95 %; a share of 1 % would take 299.
UNSEEN_SHARE = 0.03
_BIAS_CLIP_PX = 1.0
# Points of SimCC lie on a grid, and a limit of their 95th percentile is a step of it: what float32, or a
# baseline's hundredths of a pixel, add to a step must not decide.
_GRID_SLACK = 0.005


@dataclass(frozen=True, slots=True)
class Check:
    """One figure against its limit; less is better. keypoint: its joint, for a joint's check.

    seconds: how many seconds of video were resampled; None where it was pictures. shown: how many of the
    seconds, or pictures, hold anything to compare. least: a PASS takes as many of them. resampled_high: the
    interval's end by resampling, where high is the larger one of an exact bound. slack: how much more than
    the limit is not more.
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
    shown: int | None = None
    least: int = 0
    resampled_high: float | None = None
    slack: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """FAIL where the whole interval is above the limit, PASS where none of it is."""
        # An interval leaves out the resamplings that are no numbers, and may be finite where this is not.
        if self._rests_on_few or not math.isfinite(self.estimate):
            return "INCONCLUSIVE"
        if self.high <= self._most:
            return "INCONCLUSIVE" if self.hides_much else "PASS"
        return "FAIL" if self.low > self._most else "INCONCLUSIVE"

    @property
    def may_exceed(self) -> bool:
        """Whether what was seen, and not only what may be unseen, lets the figure be over its limit."""
        return not (self.high if self.resampled_high is None else self.resampled_high) <= self._most

    @property
    def hides_much(self) -> bool:
        """Whether so few pictures, or seconds, may lack far-off persons that are not rare."""
        if self.seconds is not None:
            return self._rests_on_few
        return self.shown is not None and self.shown < self.least

    @property
    def _most(self) -> float:
        return self.limit + self.slack

    @property
    def _rests_on_few(self) -> bool:
        return self.shown is not None and self.shown < self._fewest

    @property
    def _fewest(self) -> int:
        return MIN_PICTURES if self.seconds is None else MIN_SECONDS

    def needed(self, images: int) -> int | None:
        """Return how many pictures, or seconds of video, would decide, if the estimate stays.

        None where that is hopeless. An interval shrinks with the square root of their number.
        """
        if self.verdict != "INCONCLUSIVE" or not math.isfinite(self.estimate):
            return None
        count = images if self.seconds is None else self.seconds
        own = count if self.shown is None else self.shown
        least = max(self._fewest, self.least if self.estimate <= self._most else 0)
        if own == 0:
            return None
        if self._rests_on_few or self.high <= self._most:
            return math.ceil(count * least / own)
        distance = abs(self.estimate - self.limit)
        high = self.high if self.resampled_high is None else self.resampled_high
        arm = high - self.estimate if self.estimate < self.limit else self.estimate - self.low
        if not math.isfinite(arm) or distance <= 0 or arm / distance > math.sqrt(MOST_UNITS / count):
            return None
        return max(count + 1, math.ceil(count * (arm / distance) ** 2), math.ceil(count * least / own))

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

    images: how many pictures have labels. Where the reference has no AP either, there is none to lose: the
    labels are of other pictures, or in other pixels.
    """
    loss = reference_ap - candidate_ap
    low, high = bootstrap.interval(loss[1:], confidence)
    estimate = float(loss[0]) if reference_ap[0] > 0 else math.nan
    return Check(
        "ap_loss", "AP lost", "points", estimate, low, high, limits.ap_loss, shown=images,
        least=units_to_see(UNSEEN_SHARE, confidence),
    )  # fmt: skip


def share_check(
    name: str,
    title: str,
    unit: str,
    part: Floats,
    whole: Floats,
    limit: float,
    weights: bootstrap.Weights,
    confidence: float,
    *,
    factor: float = 100.0,
    most: float = 1.0,
    video: bool = False,
) -> Check:
    """Check `factor` times a share: the sum of part (N,) by that of whole, by picture or second of video.

    most: the share in a picture, or a second, that is bad altogether.
    """
    total, units = float(whole.sum()), int((whole > 0).sum())
    share = float(part.sum()) / total if total else math.nan
    low, resampled = bootstrap.interval(
        factor * bootstrap.ratios(weights, part[:, None], whole[:, None])[:, 0], confidence
    )
    high, least = math.nan, None
    if units:
        high = max(resampled, factor * most * upper_share(share / most, units, confidence))
        least = units_for(share / most, limit / (factor * most), confidence)
    return Check(
        name, title, unit, factor * share, low, high, limit, seconds=len(whole) if video else None,
        shown=units, least=least or 0, resampled_high=resampled,
    )  # fmt: skip


def drift_checks(
    drift: Compared,
    weights: bootstrap.Weights,
    limits: GateLimits,
    confidence: float,
    names: Sequence[str],
) -> list[Check]:
    """Check mean and 95th percentile of the drift, each joint's mean and bias, scores and persons."""
    import numpy as np

    pictures = weights.shape[1]
    distance = drift.distance_input_px
    chosen = distance[drift.counts]
    persons = _person_checks(drift, weights, limits, confidence)
    if not chosen.size:
        if persons and not len(drift.picture_of):
            return persons
        nan = math.nan
        title = "drift, mean (no confident keypoint to compare)"
        return [Check("drift_mean", title, "input px", nan, nan, nan, limits.drift_mean_input_px), *persons]
    sums = _per_picture(np.where(drift.counts, distance, 0), drift.picture_of, pictures)
    counts = _per_picture(drift.counts.astype(np.float64), drift.picture_of, pictures)
    checks = _spread_checks(
        ("drift", "drift", "input px"), drift, distance,
        (limits.drift_mean_input_px, limits.drift_p95_input_px), weights, confidence,
    )  # fmt: skip
    if drift.depth_mm is not None:
        checks += _spread_checks(
            ("depth", "change of the depth", "mm"), drift, drift.depth_mm,
            (limits.depth_mean_mm, limits.depth_p95_mm), weights, confidence,
        )  # fmt: skip
    checks += _joint_checks(drift, weights, sums, counts, limits, confidence, names)
    checks.append(_score_check(drift, weights, limits, confidence))
    images, least = int(counts.any(axis=1).sum()), units_to_see(UNSEEN_SHARE, confidence)
    return [*(replace(check, shown=images, least=least) for check in checks), *persons]


def _spread_checks(
    about: tuple[str, str, str],
    drift: Compared,
    values: Floats,
    limits: tuple[float, float],
    weights: bootstrap.Weights,
    confidence: float,
) -> list[Check]:
    """Check mean and 95th percentile of values (M, K) at the points that compare.

    about: name, title and unit.
    """
    import numpy as np

    name, title, unit = about
    pictures = weights.shape[1]
    chosen = values[drift.counts]
    totals = _per_picture(np.where(drift.counts, values, 0), drift.picture_of, pictures)
    counts = _per_picture(drift.counts.astype(np.float64), drift.picture_of, pictures)
    means = bootstrap.ratios(weights, totals.sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True))
    p95 = bootstrap.percentiles_95(weights, chosen, drift.point_pictures())
    return [
        Check(
            f"{name}_mean", f"{title}, mean", unit, float(chosen.mean()),
            *bootstrap.interval(means[:, 0], confidence), limits[0],
        ),
        Check(
            f"{name}_p95", f"{title}, 95th percentile", unit, float(np.percentile(chosen, 95)),
            *bootstrap.interval(p95, confidence), limits[1], slack=_GRID_SLACK,
        ),
    ]  # fmt: skip


def unjudged_joints(drift: Compared, names: Sequence[str]) -> list[str]:
    """Name the joints that are compared too seldom, or in too few pictures, to be judged."""
    return [name for name, judged in zip(names, _judged(drift), strict=True) if not judged]


def _judged(drift: Compared) -> NDArray[np.bool_]:
    """Tell which joints are judged, (K,)."""
    import numpy as np

    seen = _per_picture(drift.counts.astype(np.float64), drift.picture_of, len(drift.unmatched))
    judged: NDArray[np.bool_] = (seen > 0).sum(axis=0) >= MIN_JOINT_PICTURES
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
    # A jump between two equal peaks is no bias: a shift counts for 1 px an axis at most, or for twice the
    # limit, so that a shift that most of the points share breaks any limit.
    most = max(_BIAS_CLIP_PX, 2 * limits.joint_bias_input_px)
    limited = np.clip(drift.shift_input_px, -most, most)
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
    drift: Compared, weights: bootstrap.Weights, limits: GateLimits, confidence: float
) -> list[Check]:
    """Check the persons that one run alone has, each as a share of its own; none where boxes were given.

    With labels, too: AP does not see the added ones whose scores are below those of all others.
    """
    import numpy as np

    pairs = np.bincount(drift.picture_of, minlength=len(drift.unmatched))
    if (drift.person_of >= 0).all() and not drift.unmatched.any() and not drift.added.any():
        return []
    return [
        share_check(
            name, title, "%", alone.astype(np.float64), (pairs + alone).astype(np.float64),
            limits.unmatched_persons, weights, confidence,
        )
        for name, title, alone in (
            ("unmatched_persons", "persons not found again", drift.unmatched),
            ("added_persons", "persons added", drift.added),
        )
        if (pairs + alone).any()  # else a share of nobody
    ]  # fmt: skip


def _per_picture(values: Floats, picture_of: NDArray[np.int64], pictures: int) -> Floats:
    """Sum rows (M, K) by their picture, (pictures, K)."""
    import numpy as np

    sums = np.zeros((pictures, values.shape[1]))
    np.add.at(sums, picture_of, values)
    return sums
