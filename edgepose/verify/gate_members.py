"""What the gate's document says beside its checks: the summary, accuracy, and score calibration."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgepose.verify import bootstrap
from edgepose.verify.checks import Check, unjudged_joints
from edgepose.verify.dataset import Dataset
from edgepose.verify.decision import Decision
from edgepose.verify.figures import number
from edgepose.verify.oks import Matches, match
from edgepose.verify.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCORE_BINS = 10


def summary_of(
    decision: Decision,
    data: Dataset,
    names: Sequence[str],
    causes: Sequence[Mapping[str, str]],
) -> str:
    """Say in a sentence what was decided and why, and which joints were not judged."""
    unjudged = unjudged_joints(decision.drift, names)
    # Where it is all of them, their names say nothing.
    joints = ", ".join(unjudged) if len(unjudged) < len(names) else "all joints"
    seldom = f"; too seldom seen to be judged: {joints}" if unjudged else ""
    return _what_was_decided(decision, len(data.pictures), causes) + seldom


def _what_was_decided(decision: Decision, pictures: int, causes: Sequence[Mapping[str, str]]) -> str:
    verdict = decision.verdict
    bad = [check for check in decision.checks if check.verdict == verdict]
    if verdict == "PASS":
        seen = " and ".join(dict.fromkeys(_what_was_seen(check, pictures) for check in decision.checks))
        return f"all {len(decision.checks)} checks are within their limits on {seen}"
    worst = bad[0]
    rest = f", and {len(bad) - 1} more check{'s' * (len(bad) > 2)}" if len(bad) > 1 else ""
    cause = f"; {causes[0]['message']}" if causes else ""
    if verdict == "FAIL":
        return (
            f"{worst.title} is {worst.estimate:.3g} {worst.unit} ({worst.low:.3g} to {worst.high:.3g}), over "
            f"the limit {worst.limit:g}{rest}{cause}"
        )
    # What could not be compared explains the rest.
    unknown = [check for check in bad if not math.isfinite(check.estimate)]
    # The reference's own AP is 0 where it finds nobody, too.
    worst = next((check for check in unknown if check.name != "ap_loss"), unknown[0] if unknown else worst)
    if worst.name == "ap_loss" and not math.isfinite(worst.estimate):
        return (
            f"the reference's own AP is 0, so nothing can be lost{rest}; see that the labels are of these "
            "pictures, and in their pixels"
        )
    if not math.isfinite(worst.estimate):
        return (
            f"{_what_was_seen(worst, pictures)} do not decide: of {worst.title} there is nothing to "
            f"compare{rest}; give ones that show people"
        )
    if worst.hides_much and worst.high <= worst.limit:
        return (
            f"{_what_was_seen(worst, pictures)} do not decide: {worst.title} is {worst.estimate:.3g} "
            f"{worst.unit}, within the limit, but so few may lack the bad ones{rest}; "
            + _what_decides(bad, pictures)
        )
    return (
        f"{_what_was_seen(worst, pictures)} do not decide: {worst.title} is {worst.estimate:.3g} "
        f"{worst.unit}, between {worst.low:.3g} and {worst.high:.3g}, the limit is {worst.limit:g}{rest}; "
        + _what_decides(bad, pictures)
    )


def _what_was_seen(check: Check, pictures: int) -> str:
    return f"{pictures} pictures" if check.seconds is None else f"{check.seconds} seconds of video"


def _what_decides(undecided: Sequence[Check], pictures: int) -> str:
    """Say how many pictures, and how much video, would decide all checks that are undecided."""
    words = []
    for unit, mine in (
        ("pictures", [check for check in undecided if check.seconds is None]),
        ("seconds of video", [check for check in undecided if check.seconds is not None]),
    ):
        known = [count for check in mine if (count := check.needed(pictures)) is not None]
        hopeless = [check for check in mine if check.needed(pictures) is None]
        if len(hopeless) == 1:
            (check,) = hopeless
            words.append(
                f"more {unit} will hardly decide {check.title}: {check.estimate:.3g} {check.unit} lies at "
                f"the limit {check.limit:g}"
            )
        elif hopeless:
            words.append(
                f"more {unit} will hardly decide {hopeless[0].title} and {len(hopeless) - 1} more: they lie "
                "at their limits"
            )
        if known:
            words.append(f"about {max(known)} {unit} would decide" + " the rest" * bool(hopeless))
    return ", and ".join(words)


def accuracy_of(
    data: Dataset,
    theirs: Predictions,
    mine: Predictions,
    sigmas: Sequence[float],
    decision: Decision,
    confidence: float,
) -> dict[str, Any] | None:
    if decision.ap is None:
        return None
    members: dict[str, Any] = {}
    for name, run, ap in (("reference", theirs, decision.ap[0]), ("candidate", mine, decision.ap[1])):
        members[name] = {"AP": number(float(ap[0])), **_at_levels(match(data, run, sigmas))}
    difference = decision.ap[1] - decision.ap[0]
    members["difference"] = {"AP": number(float(difference[0]))}
    members["AP_difference_interval"] = [number(v) for v in bootstrap.interval(difference[1:], confidence)]
    return members


def _at_levels(matches: Matches) -> dict[str, float | None]:
    """Return AP50, AP75 and AR of one run."""
    import numpy as np

    ones = np.ones((1, len(matches.labels_in)), np.uint8)
    found = {}
    for name, level in (("AP50", 0), ("AP75", 5)):
        one = dataclasses.replace(matches, outcome=matches.outcome[level : level + 1])
        found[name] = number(float(bootstrap.ApOfWeights(one).of(ones)[0]))
    labels = int(matches.labels_in.sum())
    found["AR"] = number(100 * float((matches.outcome == 1).sum(axis=1).mean()) / labels) if labels else None
    return found


def scores_of(decision: Decision, confidence: float) -> dict[str, Any]:
    """Return "scores": how the candidate's keypoint scores differ, over all and by the reference's score."""
    import numpy as np

    drift = decision.drift
    theirs, mine = drift.other[..., 2].ravel(), drift.candidate[..., 2].ravel()
    if not theirs.size:
        return {
            "reference_mean": None, "candidate_mean": None, "shift": None,
            "shift_interval": [None, None], "by_reference_score": [],
        }  # fmt: skip
    pictures = decision.weights.shape[1]
    sums = np.zeros((pictures, 2))
    difference = (drift.candidate[..., 2] - drift.other[..., 2]).sum(axis=1)
    np.add.at(
        sums, drift.picture_of, np.stack([difference, np.full(len(difference), drift.other.shape[1])], 1)
    )
    shifts = bootstrap.ratios(decision.weights, sums[:, :1], sums[:, 1:])[:, 0]
    edges = np.linspace(0, max(1.0, float(theirs.max())), _SCORE_BINS + 1)
    rows = []
    for low, high in itertools.pairwise(edges):
        # The last one has its upper end, which is the highest score.
        inside: NDArray[np.bool_] = (theirs >= low) & ((theirs < high) | (high == edges[-1]))
        if inside.any():
            rows.append(
                {
                    "from": number(float(low), 3), "to": number(float(high), 3), "count": int(inside.sum()),
                    "shift": number(float((mine - theirs)[inside].mean())),
                }
            )  # fmt: skip
    return {
        "reference_mean": number(float(theirs.mean())),
        "candidate_mean": number(float(mine.mean())),
        "shift": number(float((mine - theirs).mean())),
        "shift_interval": [number(v) for v in bootstrap.interval(shifts, confidence)],
        "by_reference_score": rows,
    }
