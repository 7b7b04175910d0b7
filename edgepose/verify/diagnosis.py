"""What is wrong with a candidate: the usual defects, each told by the trace that it leaves.

Constants are compared; the rest is judged by experiment, so that a defect in the weights or in the graph is
found as well as one in the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgepose.verify.predictions import BoxSource, Recipe
from edgepose.verify.run_info import SEEN_SCORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgepose.verify.compared import Compared

    Floats = NDArray[np.float64]

# A cause explains a drift when it is below this share of itself once the cause is undone.
_EXPLAINED = 0.5
_MIN_SHIFT_INPUT_PX = 0.2
_MIN_DEPTH_MM = 1.0
_BOX_SCALES = (1.25 / 1.2, 1.2 / 1.25, 1.25, 1 / 1.25, 1.1, 1 / 1.1)
_DEAD_SHARE = 0.1
_MAX_DIFFERENCES = 6
_CERTAIN = {"colour_order", "box_padding", "swapped_joints", "bin_shift", "joint_shift"}


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of "diagnosis"."""

    cause: str
    message: str

    def as_member(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"cause": self.cause, "message": self.message}


def diagnose(
    drift: Compared,
    *,
    names: Sequence[str],
    constants: tuple[Mapping[str, Any], Mapping[str, Any]],
    split_ratio: float | None,
    precision: str,
    again: Callable[[Recipe], tuple[Compared, Compared]] | None,
    boxes: BoxSource = "labelled",
) -> list[Cause]:
    """Say what may be the cause of a drift, or of lost persons, the most certain first.

    constants: the reference's and the candidate's. again: run the candidate in another way on some pictures,
    and return the drift there before and after; None where it cannot.

    Labelled boxes need no detector, and nobody is chosen. The keypoint score threshold is the tracker's, and
    pictures are not tracked.
    """
    unused = ("detector.", "pipeline.") if boxes == "labelled" else (SEEN_SCORE,)
    causes = differing_constants(*constants, unused=unused)
    if not drift.counts.any():  # nobody in both runs, or no keypoint that the reference is sure of
        return causes
    causes += _dead(drift)
    if not any(cause.cause == "dead_output" for cause in causes):
        causes += _exchanged(drift, names)
        causes += _moved(drift, names, split_ratio)
        causes += _depths(drift)
        known = {cause.cause for cause in causes}
        # Constants that differ explain themselves, and so does a shift: no need to run anything again.
        if again is not None and not known & _CERTAIN:
            causes += _experiments(again)
    return causes or ([_rounding(drift, names, precision)] if _drifts(drift) else [])


def _drifts(drift: Compared) -> bool:
    """Tell whether any keypoint moved or has another score: else persons were lost or added, no more."""
    depths = drift.depth_mm is not None and (drift.depth_mm[drift.counts] > 0).any()
    scores = (drift.other[..., 2] != drift.candidate[..., 2])[drift.counts].any()
    return bool((drift.distance_input_px[drift.counts] > 0).any() or scores or depths)


def differing_constants(
    reference: Mapping[str, Any], candidate: Mapping[str, Any], *, unused: tuple[str, ...] = ()
) -> list[Cause]:
    """Compare the constants of two bundles, as far as they were used.

    unused: how the names of the others begin. Colour order and padding have causes of their own.
    """
    special = {"color": "colour_order", "box_padding": "box_padding"}
    causes = []
    for name in sorted(set(reference) & set(candidate)):
        theirs, mine = reference[name], candidate[name]
        if name.startswith(unused) or theirs == mine:
            continue
        if name.endswith(".keypoints"):
            causes.append(_renamed(name, theirs, mine))
            continue
        cause = special.get(name.rpartition(".")[2], "constants")
        causes.append(Cause(cause, f"{name} is {mine!r} in the candidate, {theirs!r} in the reference"))
    return causes[:_MAX_DIFFERENCES]


def _renamed(name: str, theirs: Sequence[str], mine: Sequence[str]) -> Cause:
    places = [
        f"point {index} is {b!r}, not {a!r}"
        for index, (a, b) in enumerate(zip(theirs, mine, strict=False))
        if a != b
    ]
    return Cause("swapped_joints", f"{name} differ: " + "; ".join(places[:4]))


def _dead(drift: Compared) -> list[Cause]:
    theirs, mine = float(drift.other[..., 2].sum()), float(drift.candidate[..., 2].sum())
    if theirs <= 0 or mine > _DEAD_SHARE * theirs:
        return []
    return [
        Cause(
            "dead_output",
            f"the keypoint scores collapsed to {100 * mine / theirs:.1f} % of the reference's: an overflow "
            "in half precision, or a wrong output",
        )
    ]


def _exchanged(drift: Compared, names: Sequence[str]) -> list[Cause]:
    """Find joints whose points lie where the reference has another joint."""
    import numpy as np

    count = len(names)
    own = np.full(count, np.nan)
    nearest = np.full(count, -1)
    scale = drift.input_scale[:, None]
    for joint in range(count):
        # The joint itself need not be confident, the one that it lies on does.
        offset = drift.candidate[:, joint, None, :2] - drift.other[..., :2]
        distance = np.linalg.norm(offset, axis=2) * scale
        seen = drift.counts & drift.counts[:, joint, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(seen, distance, 0).sum(axis=0) / seen.sum(axis=0)
        own[joint] = means[joint]
        others = np.where(np.arange(count) == joint, np.nan, means)
        if np.isfinite(others).any() and means[joint] > 2 * _MIN_SHIFT_INPUT_PX:
            best = int(np.nanargmin(others))
            if others[best] < _EXPLAINED * means[joint]:
                nearest[joint] = best
    causes = []
    for joint, other in enumerate(nearest.tolist()):
        if other < 0:
            continue
        if nearest[other] == joint:
            if joint < other:
                causes.append(
                    Cause("swapped_joints", f"{names[joint]} and {names[other]} are exchanged")
                )  # fmt: skip
        else:
            causes.append(
                Cause("swapped_joints", f"{names[joint]} lies where the reference has {names[other]}")
            )
    if len(causes) > 3:
        pairs = "; ".join(cause.message for cause in causes[:3])
        return [Cause("swapped_joints", f"{len(causes)} pairs of joints: {pairs}; ...")]
    return causes


def _moved(drift: Compared, names: Sequence[str], split_ratio: float | None) -> list[Cause]:
    """Find a common shift of all joints, or of single ones."""
    import numpy as np

    shift = drift.shift_input_px
    common = _common_shift(shift[drift.counts])
    if common is not None:
        return [
            Cause("bin_shift", f"every keypoint is moved by {_vector(common)}{_bins(common, split_ratio)}")
        ]
    causes = []
    for joint, name in enumerate(names):
        alone = _common_shift(shift[drift.counts[:, joint], joint])
        if alone is not None:
            message = f"{name} alone is moved by {_vector(alone)}{_bins(alone, split_ratio)}"
            causes.append(Cause("joint_shift", message))
    moved = int(np.count_nonzero(drift.counts.any(axis=0)))
    # Where most joints move, and each in a way of its own, the cause lies before the output.
    return causes if len(causes) <= moved // 3 else []


def _common_shift(shifts: Floats) -> tuple[float, float] | None:
    """Return the shift that most of the points share, or None."""
    import numpy as np

    if len(shifts) < 5:
        return None
    middle = np.median(shifts, axis=0)
    size = float(np.linalg.norm(middle))
    alike = np.linalg.norm(shifts - middle, axis=1) <= max(0.26, 0.2 * size)
    if size < _MIN_SHIFT_INPUT_PX or alike.mean() < 0.6:
        return None
    return float(middle[0]), float(middle[1])


def _vector(shift: tuple[float, float]) -> str:
    return f"({shift[0]:+.2f}, {shift[1]:+.2f}) px of the network's input"


def _bins(shift: tuple[float, float], split_ratio: float | None) -> str:
    if not split_ratio:
        return ""
    bins = [round(value * split_ratio, 2) for value in shift]
    if all(abs(value - round(value)) <= 0.1 for value in bins):
        one = "one SimCC bin" if sorted(abs(round(v)) for v in bins) == [0, 1] else "SimCC bins"
        return f", that is {one} (x {round(bins[0]):+d}, y {round(bins[1]):+d}; split ratio {split_ratio:g})"
    return ""


def _experiments(again: Callable[[Recipe], tuple[Compared, Compared]]) -> list[Cause]:
    """Undo a defect on some pictures, and see whether the drift vanishes."""
    causes = []
    before, after = again(Recipe(swap_channels=True))
    if _drop(before, after) < _EXPLAINED:
        causes.append(
            Cause(
                "colour_order",
                "the candidate agrees with the reference when red and blue are exchanged "
                f"({_mean(before):.2f} becomes {_mean(after):.2f} input px): BGR for RGB",
            )
        )
    best, best_drop, message = 1.0, _EXPLAINED, ""
    for scale in _BOX_SCALES:
        before, after = again(Recipe(box_scale=scale))
        if _drop(before, after) < best_drop:
            best, best_drop = scale, _drop(before, after)
            message = f"{_mean(before):.2f} becomes {_mean(after):.2f} input px"
    if message:
        causes.append(
            Cause(
                "box_padding",
                f"the candidate agrees with the reference when its boxes are made {best:.3f} times as large "
                f"({message}): another box padding, such as 1.2 for 1.25",
            )
        )
    return causes


def _mean(drift: Compared) -> float:
    chosen = drift.distance_input_px[drift.counts]
    return float(chosen.mean()) if chosen.size else 0.0


def _drop(before: Compared, after: Compared) -> float:
    base = _mean(before)
    return _mean(after) / base if base > 0 else 1.0


def _depths(drift: Compared) -> list[Cause]:
    """Find one line that the candidate's depths lie on over the reference's."""
    import numpy as np

    if drift.depths is None:
        return []
    theirs, mine = (depths[drift.counts] for depths in drift.depths)
    apart = float(np.abs(mine - theirs).mean())
    if 1000 * apart < _MIN_DEPTH_MM or np.ptp(theirs) == 0:
        return []
    factor, offset = np.polyfit(theirs, mine, 1)
    if float(np.abs(mine - (factor * theirs + offset)).mean()) > _EXPLAINED * apart:
        return []
    if factor < 0:
        return [
            Cause("depth", f"the depths point the other way: they are {factor:.2f} times the reference's")
        ]
    if abs(factor - 1) * float(np.abs(theirs - theirs.mean()).mean()) > _EXPLAINED * apart:
        return [Cause("depth", f"the depths are {factor:.3f} times the reference's: another range of depths")]
    return [Cause("depth", f"all depths are moved by {1000 * offset:+.1f} mm")]


def _rounding(drift: Compared, names: Sequence[str], precision: str) -> Cause:
    """Say that no defect was found: what is left is what rounding does, or a network of other weights."""
    import numpy as np

    distance = np.where(drift.counts, drift.distance_input_px, 0).sum(axis=0)
    means = distance / np.maximum(drift.counts.sum(axis=0), 1)
    worst = ", ".join(names[int(joint)] for joint in np.argsort(-means)[:3])
    moved = float((drift.distance_input_px[drift.counts] > 0).mean()) if drift.counts.any() else 0.0
    text = f"{100 * moved:.0f} % of the keypoints drift, most of all {worst}, with no common direction"
    if drift.depth_mm is not None:
        text += f", and depths by {float(drift.depth_mm[drift.counts].mean()):.1f} mm"
    if precision in ("int8", "mixed"):
        return Cause(
            "low_precision",
            f"{text}: rounding to {precision}. Calibrate on pictures like these (--precision auto), "
            "or use fp16",
        )
    if precision == "bf16":
        return Cause("low_precision", f"{text}: rounding to bf16. fp16 rounds less")
    return Cause("unknown", f"{text}: other weights, or rounding that grows in the network ({precision})")
