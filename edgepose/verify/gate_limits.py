"""The gate's limits: the table gate_limits.json, a file of the user's in the same form, and budgets."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgepose.errors import UsageError


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What a candidate may lose against its reference.

    name: the precision, or "file". ap_loss: points of AP (0 to 100). drift_*: over all confident keypoints;
    joint_*: each joint's mean distance, and the length of its mean shift; all in pixels of the network's
    input; depth_*: of the same keypoints' depths, of 3-D networks, mm. score_shift: change of the mean
    keypoint score, unmatched_persons: detections that are not found again, or added, both in percent. On a
    video: jitter_increase in percent of the reference's, lag_frames behind it, id_switches for 1,000 persons
    (one person in one frame is one).
    """

    name: str
    ap_loss: float
    drift_mean_input_px: float
    drift_p95_input_px: float
    joint_mean_input_px: float
    joint_bias_input_px: float
    depth_mean_mm: float
    depth_p95_mm: float
    score_shift: float
    unmatched_persons: float
    jitter_increase: float
    lag_frames: float
    id_switches: float

    def as_member(self) -> dict[str, Any]:
        """Return "limits"."""
        return asdict(self)


NAMES = tuple(field.name for field in fields(GateLimits) if field.name != "name")


def limits_for(precision: str, *, file: Path | None = None, budgets: Sequence[str] = ()) -> GateLimits:
    """Return the limits of a precision, from the user's file where there is one, with budgets on top.

    A budget is "NAME=VALUE", or a number alone, which is the AP that may be lost. Errors: UsageError.
    """
    own = Path(__file__).with_name("gate_limits.json")
    table = json.loads(own.read_text(encoding="utf-8"))
    limits = GateLimits(name=precision, **_row(own, table, precision))
    if file is not None:
        values = _section(file, _read(file), precision, known=tuple(table))
        limits = _with(limits, _checked(str(file), values), name="file")
    for budget in budgets:
        name, mark, value = budget.rpartition("=")
        values = {name if mark else "ap_loss": _number(budget, value)}
        limits = _with(limits, _checked("--budget", values), name=limits.name)
    return limits


def _with(limits: GateLimits, values: dict[str, float], *, name: str) -> GateLimits:
    return GateLimits(**{**limits.as_member(), **values, "name": name})


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{file}: no such file", hint="--limits takes a JSON file: docs/accuracy.md"
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{file}: a folder, not a file of limits", hint="see docs/accuracy.md") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not JSON ({error})", hint="see docs/accuracy.md") from error
    if not isinstance(document, dict):
        raise UsageError(f"{file}: not an object of limits", hint="see docs/accuracy.md")
    return document


def _section(file: Path, document: dict[str, Any], precision: str, *, known: Sequence[str]) -> Any:
    """Return the limits of a precision from a file of sections, or the file where it has none."""
    if not any(name in known or isinstance(value, dict) for name, value in document.items()):
        return document
    for name in document:
        # A misspelt one would leave its precision with the default limits, unnoticed.
        if name not in known:
            raise UsageError(
                f"{file}: {name!r} is no precision", hint=f"sections are named {', '.join(known)}"
            )
    if precision not in document:
        raise UsageError(
            f"{file}: has no limits for the precision {precision!r}, only for {', '.join(document)}",
            hint=f"add them; an empty section takes the defaults: {json.dumps({precision: {}})}",
        )
    return document[precision]


def _row(file: Path, document: dict[str, Any], precision: str) -> dict[str, float]:
    if precision not in document:
        raise UsageError(
            f"there are no limits for the precision {precision!r}", hint=f"known: {', '.join(document)}"
        )
    return _checked(str(file), document[precision])


def _checked(where: str, values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise UsageError(f"{where}: {values!r} is not an object of limits", hint="see docs/accuracy.md")
    for name, value in values.items():
        if name not in NAMES:
            raise UsageError(f"{where}: there is no limit {name!r}", hint=f"one of {', '.join(NAMES)}")
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not 0 < value <= sys.float_info.max
        ):
            raise UsageError(f"{where}: {name} is {value!r}", hint="a limit is a number above 0")
    return {name: float(value) for name, value in values.items()}


def _number(budget: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"--budget {budget}: not a number", hint="write 0.5 (points of AP) or NAME=VALUE"
        ) from None
