"""What was not seen: exact upper bounds of a share, and how many pictures, or seconds, they take.

Resampling pictures of which none is bad gives none that is bad: its interval has no width, however few the
pictures are. Clopper and Pearson's bound has: of n pictures that are all good, up to 3 / n may be bad.
"""

from __future__ import annotations

import math

# The most pictures or seconds that anybody will be asked for.
MOST_UNITS = 10_000  # COCO has 5,000 to validate with
_HALVINGS = 60


def upper_share(share: float, units: int, confidence: float) -> float:
    """Return the share that the true one is not above, with the confidence given, by `units` pictures.

    share: of the persons (0 to 1). The persons of a picture are no independent trials: what loses one often
    loses all of them. So each picture is one trial, and the persons that are lost count as the pictures that
    they fill (Korn and Graubard's bound for clustered samples, for persons of a picture who share their
    fate). It is too high where they do not, and too low only where it is the crowded pictures that are bad.
    One-sided: that the share is not above a limit is all that a PASS claims.
    """
    bad = min(max(share, 0.0), 1.0) * units
    below = _upper(math.floor(bad), units, 1 - confidence)
    above = _upper(math.ceil(bad), units, 1 - confidence)
    return below + (bad - math.floor(bad)) * (above - below)


def units_for(share: float, limit: float, confidence: float) -> int | None:
    """Return how many pictures bring the bound to the limit if the share stays; None where too many."""
    if share >= limit or upper_share(share, MOST_UNITS, confidence) > limit:
        return None
    low, high = 0, MOST_UNITS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if upper_share(share, middle, confidence) > limit else (low, middle)
    return high


def units_to_see(share: float, confidence: float) -> int:
    """Return in how many pictures a share of bad ones does not go unseen, with the confidence given."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share))


def _upper(bad: int, units: int, tail: float) -> float:
    """Return the share at which `bad` of `units`, or fewer, have the probability `tail`."""
    import numpy as np

    if bad >= units:
        return 1.0
    count = np.arange(1, bad + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((units - count + 1) / count))])
    number = np.arange(bad + 1)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        terms = ways + number * math.log(middle) + (units - number) * math.log1p(-middle)
        low, high = (middle, high) if np.exp(terms).sum() > tail else (low, middle)
    return high
