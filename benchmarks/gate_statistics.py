"""Simulate the gate: how often it fails what is equal, and what is really worse.

python benchmarks/gate_statistics.py [--trials 1000] [--images 500] [--samples 400] [--limits fp16]

A population of 5,000 pictures is made once: labelled persons, a reference that finds them with errors of
COCO's size (some joints far off), and candidates. Each trial draws pictures from it and asks the gate.

equal       the candidate is the reference
rounding    as fp16 rounds: 1 % of the keypoints move by one bin, 0.05 % jump by up to 10 px
loss        the population's AP is 1.0 points lower, by a little more error everywhere
rare loss   the same, by persons that are lost altogether
shift       one joint is moved by 2 px of the network's input, in a direction of its own each trial

"AP alone" counts the check of AP only, as if drift were not looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.skeletons import KEYPOINT_SETS
from edgepose.verify import bootstrap
from edgepose.verify.compared import Compared, with_reference
from edgepose.verify.dataset import Dataset, Picture
from edgepose.verify.decision import Decision, decide_matched
from edgepose.verify.gate_limits import GateLimits, limits_for
from edgepose.verify.oks import Matches, match
from edgepose.verify.predictions import Predictions

POINTS = KEYPOINT_SETS["coco17"]
INPUT_HEIGHT_PX, PADDING = 256, 1.25
TRUE_LOSS = 1.0
SEEN_SCORE = 0.3  # the keypoint score threshold of the bundles
Floats = NDArray[np.float64]


def population(pictures: int, random: np.random.Generator) -> tuple[Dataset, Predictions]:
    """Make labelled persons (2.2 a picture, 60 to 350 px high) and the reference's answer."""
    picture_of = np.sort(random.integers(0, pictures, round(2.2 * pictures)))
    count = len(picture_of)
    height = np.exp(random.uniform(np.log(60), np.log(350), count))
    corner = random.uniform(0, 400, (count, 2))
    sides = np.stack([height * random.uniform(0.3, 0.6, count), height], axis=1)
    boxes = np.concatenate([corner, corner + sides], axis=1)
    places = corner[:, None] + random.uniform(0, 1, (count, 17, 2)) * sides[:, None]
    seen = random.random((count, 17)) < 0.75
    labels = np.concatenate([places, np.where(seen, 2.0, 0.0)[..., None]], axis=2)
    area = sides.prod(axis=1) * 0.6
    # A hard person has a large factor; some joints are far off, as occluded ones are.
    hardness = np.exp(random.normal(-0.35, 0.6, count))
    size = 2 * np.asarray(POINTS.sigmas) * np.sqrt(area)[:, None] * hardness[:, None]
    size = np.where(random.random((count, 17)) < 0.06, 0.25 * height[:, None], 0.55 * size)
    found = labels.copy()
    found[..., :2] += random.normal(size=(count, 17, 2)) * size[..., None]
    found[..., 2] = np.clip(0.9 - 0.25 * hardness[:, None] + random.normal(0, 0.1, (count, 17)), 0.05, 1)
    data = Dataset(
        path=Path("simulated.json"), digest="", annotation_ids=np.arange(count), picture_of=picture_of,
        pictures=tuple(Picture(n, str(n), Path(str(n))) for n in range(pictures)), boxes=boxes, areas=area,
        keypoints=labels, crowd=np.zeros(count, bool),
    )  # fmt: skip
    scale = INPUT_HEIGHT_PX / (height * PADDING)
    scored = np.concatenate([boxes, np.ones((count, 1))], axis=1)
    return data, Predictions(picture_of, np.arange(count), scored, found, scale, ())


def changed(run: Predictions, change: Callable[[Floats], None]) -> Predictions:
    """Return a run whose keypoints went through `change`."""
    keypoints = run.keypoints.copy()
    change(keypoints)
    return dataclasses.replace(run, keypoints=keypoints)


def rounding(run: Predictions, random: np.random.Generator) -> Predictions:
    """Move 1 % of the keypoints by one bin (half an input px), and 0.05 % anywhere within 10 px."""

    def change(keypoints: Floats) -> None:
        draw = random.random(keypoints.shape[:2])
        step = 0.5 * random.choice([-1, 1], keypoints.shape[:2])
        axis = random.integers(0, 2, keypoints.shape[:2])
        for n in (0, 1):
            keypoints[..., n] += np.where((draw < 0.01) & (axis == n), step, 0) / run.input_scale[:, None]
        jumps = random.uniform(-10, 10, (*keypoints.shape[:2], 2)) / run.input_scale[:, None, None]
        keypoints[..., :2] += np.where((draw > 0.9995)[..., None], jumps, 0)

    return changed(run, change)


def average_precision(data: Dataset, run: Predictions) -> float:
    """Return AP in percent."""
    ones = np.ones((1, len(data.pictures)), np.uint8)
    return float(bootstrap.ApOfWeights(match(data, run, POINTS.sigmas)).of(ones)[0])


def with_loss(data: Dataset, run: Predictions, make: Callable[[float], Predictions]) -> Predictions:
    """Find by bisection the amount for which make(amount) has TRUE_LOSS points less AP than the run."""
    wanted = average_precision(data, run) - TRUE_LOSS
    low, high = 0.0, 1.0
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if average_precision(data, make(middle)) > wanted else (low, middle)
    return make((low + high) / 2)


def losses(data: Dataset, run: Predictions, random: np.random.Generator) -> dict[str, Predictions]:
    """Make the two candidates that are really worse."""
    noise = random.normal(size=(*run.keypoints.shape[:2], 2))
    size = 2 * np.asarray(POINTS.sigmas) * np.sqrt(data.areas)[:, None]
    order = random.permutation(len(run.keypoints))

    def everywhere(amount: float) -> Predictions:
        def change(keypoints: Floats) -> None:
            keypoints[..., :2] += amount * size[..., None] * noise

        return changed(run, change)

    def rare(amount: float) -> Predictions:
        def change(keypoints: Floats) -> None:
            broken = order[: round(0.1 * amount * len(order))]
            keypoints[broken, :, :2] += 20 * size[broken, :, None] * noise[broken]

        return changed(run, change)

    return {"loss": with_loss(data, run, everywhere), "rare loss": with_loss(data, run, rare)}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Reference and candidate on the whole population."""

    drift: Compared
    matches: tuple[Matches, Matches]

    def ask(self, chosen: NDArray[np.int64], pictures: int, limits: GateLimits, **more: Any) -> Decision:
        """Ask the gate about some of the pictures."""
        index = np.full(pictures, -1)
        index[chosen] = np.arange(len(chosen))
        drift = self.drift
        rows = index[drift.picture_of] >= 0
        small = dataclasses.replace(
            drift, other=drift.other[rows], candidate=drift.candidate[rows], counts=drift.counts[rows],
            picture_of=index[drift.picture_of[rows]], person_of=drift.person_of[rows],
            boxes=drift.boxes[rows], input_scale=drift.input_scale[rows], unmatched=drift.unmatched[chosen],
            added=drift.added[chosen],
        )  # fmt: skip
        matches = tuple(
            Matches(
                index[m.picture_of[keep]], m.scores[keep], np.ascontiguousarray(m.outcome[:, keep]),
                m.labels_in[chosen],
            )
            for m in self.matches
            for keep in [index[m.picture_of] >= 0]
        )  # fmt: skip
        return decide_matched(
            small, (matches[0], matches[1]), limits, names=POINTS.keypoints, pictures=len(chosen), **more
        )


def paired(data: Dataset, run: Predictions, candidate: Predictions, reference: Matches) -> Pair:
    """Compare a candidate with the reference's run, whose matches are known, on all pictures."""
    drift = with_reference(run, candidate, pictures=len(data.pictures), seen=SEEN_SCORE)
    return Pair(drift, (reference, match(data, candidate, POINTS.sigmas)))


def shifted(run: Predictions, random: np.random.Generator) -> Predictions:
    """Move one joint of every person by 2 px of the network's input."""
    angle, joint = random.uniform(0, 2 * np.pi), int(random.integers(17))
    step = 2 * np.array([np.cos(angle), np.sin(angle)])

    def change(keypoints: Floats) -> None:
        keypoints[:, joint, :2] += step / run.input_scale[:, None]

    return changed(run, change)


def main() -> None:
    """Print how often each candidate got which verdict, as one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--population", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--limits", default="fp16")
    parser.add_argument("--only", action="append", help="run these candidates only")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    data, run = population(options.population, random)
    limits = limits_for(options.limits)
    wanted = options.only or ["equal", "rounding", "loss", "rare loss", "shift"]
    candidates = {"equal": run, "shift": run, "rounding": rounding(run, random)}
    if {"loss", "rare loss"} & set(wanted):
        candidates |= losses(data, run, random)
    reference = match(data, run, POINTS.sigmas)
    found: dict[str, Any] = {
        "images": options.images, "samples": options.samples, "limits": options.limits,
        "reference_ap": round(average_precision(data, run), 2),
    }  # fmt: skip
    for name in wanted:
        candidate = candidates[name]
        pair = paired(data, run, candidate, reference)
        lost = [found["reference_ap"] - average_precision(data, candidate)]
        all_checks: Counter[str] = Counter()
        ap_alone: Counter[str] = Counter()
        started_s = time.perf_counter()
        for trial in range(options.trials):
            chosen = np.sort(random.choice(options.population, options.images, replace=False))
            if name == "shift":
                candidate = shifted(run, random)
                pair = paired(data, run, candidate, reference)
                lost.append(found["reference_ap"] - average_precision(data, candidate))
            decision = pair.ask(
                chosen, options.population, limits, samples=options.samples, confidence=0.95, seed=trial
            )
            all_checks[decision.verdict] += 1
            ap_alone[decision.checks[0].verdict] += 1
        found[name] = {
            "true_loss_ap": round(float(np.mean(lost[-options.trials :])), 2),
            "trials": options.trials, "verdicts": dict(all_checks), "ap_alone": dict(ap_alone),
            "seconds": round(time.perf_counter() - started_s),
        }  # fmt: skip
        print(json.dumps({name: found[name]}), flush=True)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
