"""What the training configuration that a checkpoint quotes says about its network, and what must fit it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgepose.artifact import Preprocess
from edgepose.errors import CheckpointError
from edgepose.models.checkpoint import quoted_configuration

if TYPE_CHECKING:
    from torch import Tensor

Numbers = tuple[float, ...]

# The value of a setting that is not written out: a name, a calculation.
UNKNOWN = object()

# Far above any official network's settings (12 KB); it bounds how deep hostile text can nest.
_MAX_SETTINGS_CHARS = 32768
# The bundle format's limits of a mean and a standard deviation.
_MAX_LEVEL = 255

# Without mean and std these normalise nothing; what another class does then is not known.
_PREPROCESSORS = ("PoseDataPreprocessor", "DetDataPreprocessor", "ImgDataPreprocessor")
# Either turns the BGR pictures that mmpose and mmdet load.
_SWAPS = ("bgr_to_rgb", "rgb_to_bgr")

_WHERE = "its training configuration"
_UNREAD = (
    "mean, std and channel order assumed, as in the official networks: the training configuration does not "
    "write them out"
)
_UNREAD_MODEL = (
    "the training configuration could not be read; what no tensor shows is assumed, as in the official "
    "networks"
)
_UNQUOTED = (
    "the checkpoint quotes no training configuration; what no tensor shows (as a rule mean, std, channel "
    "order and box padding) is assumed, as in the official networks"
)
# What the trainings beside this package (training/) note; they prepare pictures as the official ones do.
_OWN_META = ({"steps", "batch", "minutes"}, {"averaged"})
_HINT = "the network's preprocessing is not known then; correct it where the network was trained"


def model_settings(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of `model` in the configuration that the meta data quotes; {} where it does not.

    Nothing is executed. What is not written out as a value is UNKNOWN.
    """
    value = _setting(meta, "model")
    return value if isinstance(value, dict) else {}


def unread_notes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Say so where the configuration has settings of `model` that could not be read."""
    return (_UNREAD_MODEL,) if _quotes_model(meta) and not model_settings(meta) else ()


def unquoted_notes(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Say so where the meta data quotes no network's configuration."""
    return () if _quotes_model(meta) or meta.keys() in _OWN_META else (_UNQUOTED,)


def _quotes_model(meta: Mapping[str, Any]) -> bool:
    return re.search(r"^model\s*=", quoted_configuration(meta), re.M) is not None


def pipeline_step(meta: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the settings of a step that prepares pictures for testing; None where no such step is stated.

    kind: the step's class, such as "TopdownAffine".
    """
    for step in _test_steps(meta):
        if isinstance(step, Mapping) and str(step.get("type")).rpartition(".")[2] == kind:
            return step
    return None


def _test_steps(meta: Mapping[str, Any]) -> list[Any]:
    """List what prepares pictures for testing: a data loader's steps, which are run, else the named ones.

    A configuration that replaces its base's data loader still has the base's names.
    """
    for name in ("test_dataloader", "val_dataloader"):
        loader = _setting(meta, name)
        steps = _steps_of(loader.get("dataset")) if isinstance(loader, Mapping) else []
        if steps:
            return steps
    named = (_setting(meta, name) for name in ("test_pipeline", "val_pipeline"))  # mmdet's name, and mmpose's
    return [step for steps in named if isinstance(steps, list) for step in steps]


def _steps_of(dataset: Any) -> list[Any]:
    """List the steps of a data set and of those that it wraps; [] where not all are written out."""
    found: list[Any] = []
    while isinstance(dataset, Mapping):
        steps = dataset.get("pipeline") or []
        if not isinstance(steps, list):
            return []
        found += steps
        several = dataset.get("datasets")
        dataset = several[0] if isinstance(several, list) and several else dataset.get("dataset")
    return found


def _setting(meta: Mapping[str, Any], name: str) -> Any:
    """Return the value of a top-level name; None where it is missing, stated twice, or not to be read."""
    found = set(re.findall(rf"^{name}\s*=\s*(.+?)(?=^\w|\Z)", quoted_configuration(meta), re.M | re.S))
    text = found.pop() if len(found) == 1 else ""
    if not text or len(text) > _MAX_SETTINGS_CHARS:
        return None
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@dataclass(frozen=True, slots=True)
class _Stated:
    """mean and std in the order of the channels; color is None where that order is not stated."""

    mean: Numbers
    std: Numbers
    color: Literal["rgb", "bgr"] | None


def stated_preprocess(
    usual: Preprocess, meta: Mapping[str, Any], stored: Mapping[str, Tensor]
) -> tuple[Preprocess, tuple[str, ...]]:
    """Put the mean, std and channel order that the checkpoint states in place of its family's usual ones.

    stored: the tensors "mean" and "std" of its data_preprocessor, where it has them. Returns notes on what
    is unusual. Errors: CheckpointError (unusable numbers, or two statements that differ).
    """
    model = model_settings(meta)
    # As mmengine 0.10.7 merges the two (runner/runner.py).
    found = model.get("data_preprocessor", _setting(meta, "data_preprocessor")) if model else None
    settings: Mapping[str, Any] | None = found if isinstance(found, Mapping) else None
    stated = _of_settings(settings, stored=bool(stored)) if settings is not None else None
    if stored:
        tensors = _of_tensors(stored)
        order = _order(settings) if settings and any(name in settings for name in _SWAPS) else None
        expected = stated or _Stated(usual.mean, usual.std, order)
        if _rounds_to(expected.mean, tensors.mean) and _rounds_to(expected.std, tensors.std):
            stated = expected
        elif stated is None:
            stated = replace(tensors, color=order)
        else:
            raise CheckpointError(
                f"its training configuration states {_described(stated)}, but its data_preprocessor "
                f"holds {_described(tensors)}",
                hint="remove the one that the network was not trained with",
            )
    if stated is None:
        return usual, (_UNREAD,) if model else ()
    color = stated.color or usual.color
    given = replace(usual, mean=stated.mean, std=stated.std, color=color)  # type: ignore[arg-type]
    notes = []
    if given != usual:
        notes.append(f"preprocessing as the checkpoint states it, not as usual: {_described(given)}")
    if stated.color is None and (given != usual or settings is not None):
        notes.append(f"channel order assumed {color}, as in the official networks")
    return given, tuple(notes)


def _of_settings(settings: Mapping[str, Any], *, stored: bool) -> _Stated | None:
    """Read a data_preprocessor's settings; None where they do not tell what is subtracted and divided by.

    stored: the checkpoint holds a mean and std, which say more than silent settings do.
    Source: mmengine 0.10.7, model/base_model/data_preprocessor.py.
    """
    mean, std = settings.get("mean"), settings.get("std")
    if mean is UNKNOWN or std is UNKNOWN:
        return None
    if mean is None and std is None:
        kind = settings.get("type", _PREPROCESSORS[0])
        if stored or not isinstance(kind, str) or kind.rpartition(".")[2] not in _PREPROCESSORS:
            return None
        mean, std = (0.0,) * 3, (1.0,) * 3
    return _Stated(
        mean=_numbers(mean, "mean", _WHERE, low=0),
        std=_numbers(std, "std", _WHERE),
        color=_order(settings),
    )


def _order(settings: Mapping[str, Any]) -> Literal["rgb", "bgr"] | None:
    """Read the order of the channels; None where it is not written out. Errors: CheckpointError."""
    # Without a word mmengine does not turn them.
    swaps = [settings.get(name, False) for name in _SWAPS]
    if not all(swap is UNKNOWN or isinstance(swap, bool) for swap in swaps):
        raise CheckpointError(
            f"the channel order that {_WHERE} states (bgr_to_rgb) is neither True nor False", hint=_HINT
        )
    if True in swaps:
        return "rgb"
    return None if UNKNOWN in swaps else "bgr"


def _of_tensors(stored: Mapping[str, Tensor]) -> _Stated:
    found = {name: value.flatten()[:4].tolist() for name, value in stored.items()}
    # The shortest spelling that float32 has for the number.
    short = {name: [float(f"{v:.7g}") for v in values] for name, values in found.items()}
    where = "its data_preprocessor"
    return _Stated(
        mean=_numbers(short.get("mean"), "mean", where, low=0),
        std=_numbers(short.get("std"), "std", where),
        color=None,
    )


def _numbers(value: Any, name: str, where: str, *, low: float | None = None) -> Numbers:
    """Return three numbers from `low`, or else above 0, up to 255. Errors: CheckpointError."""
    usable = (
        isinstance(value, Sequence)
        and len(value) == 3
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
        and all((v > 0 if low is None else v >= low) and v <= _MAX_LEVEL for v in value)
    )
    if not usable:
        expected = f"3 numbers {'above 0' if low is None else f'from {low:g}'}, at most {_MAX_LEVEL}"
        raise CheckpointError(
            f"the {name} that {where} states is {str(value)[:60]}; expected {expected}",
            hint=_HINT,
        )
    return tuple(float(v) for v in value)


def _rounds_to(exact: Numbers, found: Numbers) -> bool:
    """Tell whether the numbers are the exact ones, or what a precision of checkpoints makes of them."""
    import torch

    kinds = (torch.float32, torch.float16, torch.bfloat16)
    stored = torch.tensor(found, dtype=torch.float32)
    return any(torch.equal(torch.tensor(exact).to(kind).float(), stored) for kind in kinds)


def _described(stated: _Stated | Preprocess) -> str:
    order = f"{stated.color}, " if stated.color else ""
    numbers = (f"{name} {', '.join(f'{v:g}' for v in getattr(stated, name))}" for name in ("mean", "std"))
    return order + ", ".join(numbers)


def _value(node: ast.expr) -> Any:
    """Return what an expression of values says: numbers, texts, lists, dictionaries, calls of dict."""
    if isinstance(node, ast.Constant):
        # Python does not print a number of some thousand digits, which a message would have to.
        huge = isinstance(node.value, int) and node.value.bit_length() > 64
        return UNKNOWN if huge else node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand)
        return -value if isinstance(value, (int, float)) else UNKNOWN
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_value(item) for item in node.elts]
        return UNKNOWN if any(value is UNKNOWN for value in values) else values
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else UNKNOWN for key in node.keys]
        if any(not isinstance(key, str) for key in keys):
            return UNKNOWN
        return {key: _value(value) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args or any(keyword.arg is None for keyword in node.keywords):
            return UNKNOWN
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    return UNKNOWN
