"""Plans: which quantisation steps are tried. A plan is a JSON file; the package carries some in plans/."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.artifact import is_text
from edgepose.calibration.observers import OBSERVERS, Observer
from edgepose.errors import UsageError

DEFAULT_OBSERVER: Observer = "mse"  # of the package's plans

_FOLDER = Path(__file__).parent / "plans"
_HINT = "the plans of the package show the members: edgepose/calibration/plans"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the quantiser does beside scaling and rounding.

    Each step of a layer is kept only where it lowers the error of the layer's output on columns of the input
    that it was not fitted to. equalisation: give each input channel a scale of its own, folded into the
    weights. zero_points: use all integers for an input that is not symmetric about zero. rounding: search the
    direction of rounding of each weight. bias_correction: shift the bias by the mean error. fp16_weights:
    store the weights that stay float as half precision.
    """

    name: str
    observer: Observer
    equalisation: bool
    zero_points: bool
    rounding: bool
    bias_correction: bool
    fp16_weights: bool

    @property
    def needs_patches(self) -> bool:
        """Tell whether a step needs columns of each layer's input."""
        return any((self.equalisation, self.zero_points, self.rounding, self.bias_correction))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as it is recorded and read."""
        return dataclasses.asdict(self)


def plan_names() -> list[str]:
    """Return the names of the plans that the package carries."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def load_plan(name_or_path: str | Path) -> Plan:
    """Read a plan of the package by name, or a file. Errors: UsageError."""
    path = Path(name_or_path)
    if str(name_or_path) in plan_names():
        path = _FOLDER / f"{name_or_path}.json"
    elif path.suffix != ".json":
        raise UsageError(
            f"unknown plan {str(name_or_path)!r}",
            hint=f"choose from: {', '.join(plan_names())}; or give a .json file",
        )
    try:
        members = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the plan {path} cannot be read: {error.strerror}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the plan {path} is not JSON: {error}", hint=_HINT) from error
    return _from_json(members, str(path))


def _from_json(members: Any, where: str) -> Plan:
    wanted = {item.name: item.type for item in dataclasses.fields(Plan)}
    if not isinstance(members, dict) or members.keys() != wanted.keys():
        raise UsageError(f"the plan {where} must have exactly the members {', '.join(wanted)}", hint=_HINT)
    for key, kind in wanted.items():
        if not isinstance(members[key], bool if kind == "bool" else str):
            raise UsageError(f"the plan {where}: {key} is {members[key]!r}, not a {kind}", hint=_HINT)
    if not is_text(members["name"]):
        raise UsageError(f"the plan {where}: a bundle cannot hold its name", hint="give a short plain one")
    if members["observer"] not in OBSERVERS:
        raise UsageError(
            f"the plan {where}: unknown observer {members['observer']!r}",
            hint=f"choose from: {', '.join(OBSERVERS)}",
        )
    return Plan(**members)
