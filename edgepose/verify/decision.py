"""The statistics of the gate: two runs on the same pictures, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgepose.verify import bootstrap
from edgepose.verify.checks import Check, Verdict, accuracy_check, drift_checks, overall
from edgepose.verify.compared import Compared, with_reference
from edgepose.verify.dataset import Dataset
from edgepose.verify.gate_limits import GateLimits
from edgepose.verify.oks import Matches, match
from edgepose.verify.predictions import Predictions


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The checks of two runs, and what they were made from."""

    checks: tuple[Check, ...]
    drift: Compared
    weights: bootstrap.Weights
    ap: tuple[bootstrap.Floats, bootstrap.Floats] | None

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        return overall(self.checks)


def decide(
    data: Dataset,
    reference: Predictions,
    candidate: Predictions,
    limits: GateLimits,
    *,
    names: Sequence[str],
    sigmas: Sequence[float],
    seen: float,
    samples: int = bootstrap.DEFAULT_SAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Decision:
    """Compare two runs on the same pictures: the statistics of the gate, without bundles.

    seen: the reference's keypoint score threshold.
    """
    drift = with_reference(reference, candidate, pictures=len(data.pictures), seen=seen)
    matches = None
    if len(data.labelled):
        matches = (match(data, reference, sigmas), match(data, candidate, sigmas))
    return decide_matched(
        drift, matches, limits, names=names, pictures=len(data.pictures), samples=samples,
        confidence=confidence, seed=seed,
    )  # fmt: skip


def decide_matched(
    drift: Compared,
    matches: tuple[Matches, Matches] | None,
    limits: GateLimits,
    *,
    names: Sequence[str],
    pictures: int,
    samples: int,
    confidence: float,
    seed: int,
) -> Decision:
    """Decide on persons that are paired already, and on the matches of both runs where there are labels."""
    import numpy as np

    weights = bootstrap.resample(pictures, samples, seed)
    checks = []
    ap = None
    if matches is not None:
        with_all = np.concatenate([np.ones((1, pictures), np.uint8), weights])
        first = bootstrap.ApOfWeights(matches[0]).of(with_all)
        second = first if _equal(*matches) else bootstrap.ApOfWeights(matches[1]).of(with_all)
        ap = (first, second)
        labelled = int((matches[0].labels_in > 0).sum())
        checks.append(accuracy_check(*ap, limits, confidence, images=labelled))
    checks += drift_checks(drift, weights, limits, confidence, names)
    return Decision(tuple(checks), drift, weights, ap)


def _equal(first: Matches, second: Matches) -> bool:
    """Tell whether two runs have the same AP on every choice of pictures."""
    import numpy as np

    return np.array_equal(first.picture_of, second.picture_of) and np.array_equal(
        first.outcome, second.outcome
    )
